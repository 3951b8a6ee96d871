//! Taking a phase back: its steps in reverse order.
//!
//! Invariant: only what this run made is taken back. What was found already there is left alone, what cannot be
//! taken back is said beforehand, and a step in doubt is decided before anything is undone. What a step only looked at
//! is forgotten before anything that it looked at is undone: the next run looks anew.

use tokio::time::timeout;

use super::approver::{Approver, way_back_text};
use super::doubt::Met;
use super::driver::Driver;
use super::seam::{Resolved, StepTasks, Steps, Task};
use super::state::State;
use crate::diagnostic::{Error, Result, codes};
use crate::event::{Event, Listener};
use crate::journal::Checkpoint;
use crate::journal::record::{Before, Change, Observed, OutputValue, Outputs, Place, Record};
use crate::name::PhaseId;
use crate::step::{Failure, WayBack};
use crate::waiting::{Await, awaited};

/// What rolling back one place would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retreat {
    /// Where.
    pub place: Place,
    /// What would happen to it.
    pub fate: Fate,
    /// How, or why not: a sentence for the operator.
    pub how: String,
}

/// What becomes of a place in a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is undone.
    Undone,
    /// It stays: it cannot be undone.
    Stays,
    /// Nothing was changed there, and what was seen there counts no longer.
    Forgotten,
    /// It stays: this run did not make it, or it was never done.
    NotOurs,
}

impl<S: Steps, A: Approver, L: Listener> Driver<'_, S, A, L> {
    /// What rolling these steps back would do, in the order in which it would happen.
    ///
    /// # Errors
    /// A step is in doubt, or cannot be resolved.
    pub fn retreat(&self, steps: &[StepTasks]) -> Result<Vec<Retreat>> {
        let mut retreats = Vec::new();
        for task in steps.iter().rev().flat_map(|step| step.tasks.iter().rev()) {
            retreats.push(self.retreat_of(task).map_err(|e| e.at(&task.place))?);
        }
        Ok(retreats)
    }

    fn retreat_of(&self, task: &Task) -> Result<Retreat> {
        let Checkpoint { state, outputs, .. } =
            self.journal.state().checkpoint(&task.place).cloned().unwrap_or_default();
        let ours = self.journal.state().checkpoint(&task.place).is_some_and(Checkpoint::is_ours);
        let object = object(&outputs);
        let not_ours =
            |how: &str| Ok(Retreat { place: task.place.clone(), fate: Fate::NotOurs, how: how.to_owned() });
        match state {
            State::RolledBack => not_ours("taken back already"),
            State::Pending | State::Ready | State::AwaitingApproval if !ours => not_ours("never done"),
            State::Skipped if !ours => not_ours("was skipped"),
            State::Intended | State::InDoubt => Err(Error::new(
                codes::IN_DOUBT,
                "this step is in doubt, and must be decided before it is taken back",
            )
            .state("nothing was taken back")
            .next("hactl phase rollback N    (N is the phase's id; looks first, and decides it)")),
            // Also where it is to be run again: an attempt that was found not applied may have done half of it.
            State::Pending
            | State::Ready
            | State::AwaitingApproval
            | State::Skipped
            | State::Applied
            | State::Verified
            | State::Failed
            | State::RollingBack
            | State::RollbackFailed => {
                if !ours {
                    if outputs.is_empty() && self.only_looked(task, state) {
                        let how = "changed nothing, and is looked at anew by the next run".to_owned();
                        return Ok(Retreat { place: task.place.clone(), fate: Fate::Forgotten, how });
                    }
                    return not_ours("this run changed nothing there");
                }
                let resolved = self.steps.resolve(task, &self.journal.state())?;
                let fate = match resolved.way_back {
                    WayBack::Nothing | WayBack::Undo | WayBack::Compensate(_) => Fate::Undone,
                    WayBack::Irreversible { .. } => Fate::Stays,
                };
                let how = match &resolved.way_back {
                    WayBack::Undo => match object {
                        Some(object) => format!("is undone: {object}"),
                        None => "is undone".to_owned(),
                    },
                    WayBack::Nothing => "changed nothing".to_owned(),
                    WayBack::Compensate(how) => how.clone(),
                    WayBack::Irreversible { .. } => way_back_text(&resolved.way_back),
                };
                Ok(Retreat { place: task.place.clone(), fate, how })
            }
        }
    }

    /// Is this a place where nothing can be changed, and something was seen? What a step found and gave out is looked at
    /// anew by every run, and other steps stand on it until they are undone.
    fn only_looked(&self, task: &Task, state: State) -> bool {
        let seen = match state {
            State::Applied | State::Verified => true,
            State::Pending
            | State::Ready
            | State::AwaitingApproval
            | State::Intended
            | State::InDoubt
            | State::Failed
            | State::RollingBack
            | State::RolledBack
            | State::RollbackFailed
            | State::Skipped => false,
        };
        // What cannot be resolved any more cannot be looked at again either.
        let resolved = seen.then(|| self.steps.resolve(task, &self.journal.state()));
        matches!(resolved, Some(Ok(Resolved { way_back: WayBack::Nothing, .. })))
    }

    /// Is any of these places in doubt?
    #[must_use]
    pub fn in_doubt(&self, steps: &[StepTasks]) -> bool {
        let mut tasks = steps.iter().flat_map(|step| &step.tasks);
        tasks.any(|task| matches!(self.state_of(&task.place), State::Intended | State::InDoubt))
    }

    /// Decides every doubt of these steps by observing, without carrying anything out: what is taken back need not be
    /// done first. Every place is looked at, also where another one stays in doubt.
    ///
    /// # Errors
    /// The first place where observing cannot tell; a person has to.
    pub async fn settle_doubts(&self, steps: &[StepTasks], phase: &PhaseId) -> Result<()> {
        let mut unclear = None;
        for task in steps.iter().flat_map(|step| &step.tasks) {
            if self.state_of(&task.place) == State::Intended {
                self.doubt(&task.place, "hactl was interrupted before the outcome was recorded")?;
            }
            if self.state_of(&task.place) == State::InDoubt
                && let Err(error) =
                    self.attended(&task.place, self.decide(task, Met::TakingBack(phase))).await
            {
                unclear.get_or_insert(error.at(&task.place));
            }
        }
        unclear.map_or(Ok(()), Err)
    }

    /// Takes steps back in reverse order, each place one after the other.
    ///
    /// # Errors
    /// The first step that could not be taken back; the ones before it in the runbook are left as they are.
    pub async fn roll_back(&self, phase: &PhaseId, steps: &[StepTasks]) -> Result<()> {
        // Looked at as a whole first: a doubt anywhere stops the rollback before it begins.
        for Retreat { place, fate, .. } in self.retreat(steps)? {
            if fate == Fate::Forgotten {
                self.forget(&place)?;
            }
        }
        for task in steps.iter().rev().flat_map(|step| step.tasks.iter().rev()) {
            match self.retreat_of(task)?.fate {
                Fate::Undone => {
                    self.attended(&task.place, self.undo(phase, task))
                        .await
                        .map_err(|e| e.at(&task.place))?;
                }
                Fate::Forgotten | Fate::Stays | Fate::NotOurs => {}
            }
        }
        Ok(())
    }

    /// Lets what was seen at a place count no longer: what was looked at is about to go.
    fn forget(&self, place: &Place) -> Result<()> {
        let change = Change { summary: "nothing; the next run looks anew".to_owned(), details: Vec::new() };
        let observed = Observed::NotApplied { change, before: Before::default() };
        self.journal.append(Record::Observed { place: place.clone(), observed }).map(drop)
    }

    async fn undo(&self, phase: &PhaseId, task: &Task) -> Result<()> {
        let place = &task.place;
        self.stop_if_asked(place)?;
        self.listener
            .event(Event::StepBegun { place: place.clone(), title: format!("take back: {}", task.title) });
        let resolved = self.steps.resolve(task, &self.journal.state())?;
        self.same_action(place, &resolved)?;
        self.settle_unfinished(task, &resolved.hosts).await?;
        self.settle_last_trial(task, &resolved.hosts).await?;
        let rollback = match self.journal.begin_rollback(place.clone(), resolved.hosts.clone()).await {
            Ok(rollback) => rollback,
            Err(error) => {
                if self.state_of(place) == State::RollingBack {
                    let record = Record::RollbackFailed { place: place.clone(), error: error.one_line() };
                    // Where even that cannot be recorded, the next hactl finds a rollback that was not finished.
                    let _ = self.journal.append(record);
                }
                return Err(error);
            }
        };
        self.busy(place, "undoing");
        let end = Await::new("the undoing to end").within(task.timeout);
        let undone =
            match timeout(task.timeout, awaited(end, self.steps.undo(task, &resolved.action, &rollback)))
                .await
            {
                Ok(Ok(())) => self.seen_undone(task, &resolved.action, &resolved.way_back).await,
                Ok(Err(failure)) => {
                    let error = Error::new(codes::ROLLBACK_FAILED, "could not be taken back");
                    Err(match failure {
                        Failure::NotStarted(cause) => {
                            error.caused_by(cause).state("this attempt to take it back changed nothing")
                        }
                        Failure::Unclear(cause) => error.caused_by(cause),
                    })
                }
                Err(_elapsed) => {
                    Err(Error::new(codes::STEP_TIMEOUT, "taking it back took longer than the step's timeout"))
                }
            };
        match undone {
            Ok(()) => {
                self.journal.append(Record::RolledBack { place: place.clone() })?;
                Ok(())
            }
            Err(error) => {
                self.journal
                    .append(Record::RollbackFailed { place: place.clone(), error: error.one_line() })?;
                let again = format!("hactl phase rollback {phase}");
                let error = error
                    .default_state("the step may be half undone")
                    .default_next(format!("mend the cause, then: {again}"));
                // The cause may know what mends it, and cannot know what goes on.
                let told = error.next_moves().iter().any(|next| next.contains(&again));
                Err(if told { error } else { error.next(again) })
            }
        }
    }

    /// An undo that was interrupted may still run on a host; it must end before the next one begins.
    async fn settle_unfinished(&self, task: &Task, hosts: &[crate::name::HostName]) -> Result<()> {
        let state = self.journal.state();
        match state.checkpoint(&task.place).and_then(Checkpoint::last_rollback_label) {
            Some(label) => self.steps.settle(task, label, hosts, &state).await,
            None => Ok(()),
        }
    }

    /// Undone means that observing no longer finds the change.
    async fn seen_undone(&self, task: &Task, action: &S::Action, way_back: &WayBack) -> Result<()> {
        match way_back {
            WayBack::Undo => {}
            WayBack::Nothing | WayBack::Compensate(_) | WayBack::Irreversible { .. } => return Ok(()),
        }
        match self.steps.observe(task, action, None).await? {
            Observed::NotApplied { .. } => Ok(()),
            Observed::Applied(_) => {
                Err(Error::new(codes::ROLLBACK_FAILED, "the change is still there after undoing it"))
            }
            Observed::Running(what) | Observed::Indeterminate(what) => {
                Err(Error::new(codes::ROLLBACK_FAILED, format!("cannot tell whether it is undone: {what}")))
            }
        }
    }
}

/// The object that a step made, by its name and its number, where its outputs say so.
fn object(outputs: &Outputs) -> Option<String> {
    let find =
        |wanted: &str| outputs.iter().find(|(name, _)| name.as_str() == wanted).map(|(_, value)| value);
    match (find("name")?, find("id")?) {
        (OutputValue::String(name), OutputValue::Integer(id)) => Some(format!("{name} (number {id})")),
        _ => None,
    }
}
