//! The loop that carries out steps: require, observe, gate, intent, apply, outcome, verify.
//!
//! Invariant: the world is changed only between an `Intended` record that reached the disk and the record of its
//! outcome, and where that outcome is unknown, observing decides before anything else happens. Resuming is this
//! same loop over a replayed journal; there is no second path. How it looks at the world is `super::look`, how it
//! verifies `super::verify`; rolling back is [`super::unwind`].

use futures_util::{StreamExt as _, stream};
use tokio::time::timeout;

use super::approver::Approver;
use super::interrupt::Interrupt;
use super::seam::{Resolved, StepTasks, Steps, Task};
use super::state::State;
use crate::clock::Clock;
use crate::diagnostic::{Error, Result, codes};
use crate::event::{Event, Listener};
use crate::evidence::EvidenceStore;
use crate::journal::Journal;
use crate::journal::record::{AttemptNumber, Observed, Operator, Place, Record};
use crate::name::PhaseId;
use crate::step::Failure;
use crate::waiting::{Await, awaited};

/// What is known by the time at which an attempt in doubt is given up: the doubt was settled before.
const LOOKED_AT: &str = "hactl looked at what became of it: the change is not there, or not all of it";

/// Everything that carrying out steps needs.
pub struct Driver<'a, S, A, L> {
    /// The steps.
    pub steps: &'a S,
    /// The journal, locked by us.
    pub journal: &'a Journal,
    /// Where captured output goes.
    pub evidence: &'a EvidenceStore,
    /// Who answers gates.
    pub approver: &'a A,
    /// Who is told.
    pub listener: &'a L,
    /// The wall clock.
    pub clock: &'a dyn Clock,
    /// Ctrl-C.
    pub interrupt: Interrupt,
    /// Who types.
    pub operator: Operator,
}

impl<S: Steps, A: Approver, L: Listener> Driver<'_, S, A, L> {
    /// Carries out a phase: its steps in order, each on all of its places.
    ///
    /// # Errors
    /// The first failure; every place keeps its checkpoint.
    pub async fn run_phase(&self, phase: &PhaseId, title: &str, steps: &[StepTasks]) -> Result<()> {
        let places = steps.iter().map(|s| s.tasks.len()).sum();
        self.listener.event(Event::PhaseBegun { phase: phase.to_string(), title: title.to_owned(), places });
        self.settle_interrupted(steps).await?;
        for step in steps {
            self.run_step(step).await.map_err(|error| finish_rollback(error, phase))?;
        }
        if !self.journal.state().phase_done(phase) {
            self.journal.append(Record::PhaseDone { phase: phase.clone() })?;
        }
        Ok(())
    }

    /// Carries out one step on all of its places. Places that were begun are finished even when another one fails,
    /// so that nothing is left half done for a reason that has nothing to do with it.
    ///
    /// # Errors
    /// The first failure, in the order of the fleet.
    pub async fn run_step(&self, step: &StepTasks) -> Result<()> {
        self.run_places(step, Skipped::Stays).await
    }

    /// The same, also where the step was left out before.
    ///
    /// # Errors
    /// As [`Self::run_step`].
    pub async fn run_skipped_step(&self, step: &StepTasks) -> Result<()> {
        self.run_places(step, Skipped::IsDoneNow).await
    }

    async fn run_places(&self, step: &StepTasks, skipped: Skipped) -> Result<()> {
        let mut failures: Vec<(usize, Error)> = stream::iter(step.tasks.iter().enumerate())
            .map(|(index, task)| async move {
                (index, self.attended(&task.place, self.carry(task, skipped)).await)
            })
            .buffer_unordered(step.parallel.max(1))
            .filter_map(|(index, result)| async move { result.err().map(|error| (index, error)) })
            .collect()
            .await;
        failures.sort_by_key(|(index, _)| *index);
        // One error ends the command; what went wrong elsewhere is told before it.
        for (index, error) in failures.iter().skip(1) {
            if let Some(task) = step.tasks.get(*index) {
                let (place, text) = (task.place.clone(), error.one_line());
                self.listener.event(Event::Found { place, weight: "warning", text });
            }
        }
        match failures.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    /// Brings one place to verified, from wherever it stands.
    async fn carry(&self, task: &Task, skipped: Skipped) -> Result<()> {
        let place = &task.place;
        if self.state_of(place) == State::Skipped && skipped == Skipped::Stays {
            return Ok(());
        }
        if self.state_of(place) == State::Verified && self.still_there(task).await.map_err(|e| e.at(place))? {
            self.listener.event(Event::AlreadyDone { place: place.clone() });
            return Ok(());
        }
        self.listener.event(Event::StepBegun { place: place.clone(), title: task.title.clone() });
        let mut tries = Tries::new(task.retries);
        loop {
            let state = self.state_of(place);
            // What was made is verified at once, and that takes its records along.
            if state != State::Applied {
                self.journal.mirrored().await.map_err(|e| e.at(place))?;
            }
            match state {
                State::Verified => return Ok(()),
                State::Intended | State::InDoubt => self.settle_doubt(task).await?,
                State::Applied => self.verify(task).await.map_err(|e| e.at(place))?,
                State::Failed if self.made_once(task)? => self.verify(task).await.map_err(|e| e.at(place))?,
                State::RollingBack | State::RollbackFailed => {
                    return Err(Error::new(
                        codes::ROLLBACK_UNFINISHED,
                        "a rollback of this step has not been finished",
                    )
                    .at(place)
                    .state("the step may be half undone"));
                }
                State::Pending
                | State::Ready
                | State::AwaitingApproval
                | State::Failed
                | State::RolledBack
                | State::Skipped => {
                    tries.begin().map_err(|e| self.failed(place, e).unwrap_or_else(|e| e).at(place))?;
                    if let Err(error) = self.act(task, &mut tries).await {
                        return Err(error.at(place));
                    }
                }
            }
        }
    }

    /// From observing to the outcome of the action.
    async fn act(&self, task: &Task, tries: &mut Tries) -> Result<()> {
        let place = &task.place;
        self.stop_if_asked(place)?;
        let resolved = self.resolve(task)?;
        let findings =
            self.look(place, "checking what it requires", self.steps.check(task, &resolved.action)).await?;
        self.show(place, &findings);
        let blocking: Vec<_> = findings.blocking().collect();
        if !blocking.is_empty() {
            let why = blocking.join("; ");
            let error = Error::new(codes::REQUIREMENT_NOT_MET, format!("not ready: {why}"))
                .state("nothing was changed")
                .next("mend it, then: hactl resume");
            return Err(self.failed(place, error)?);
        }
        let (change, before) = match self.observe_settled(task, &resolved, None).await? {
            Observed::Applied(outputs) => {
                self.journal.append(Record::Observed {
                    place: place.clone(),
                    observed: Observed::Applied(outputs),
                })?;
                return Ok(());
            }
            Observed::NotApplied { change, before } => (change, before),
            Observed::Running(what) | Observed::Indeterminate(what) => {
                return Err(Error::new(codes::CANNOT_TELL, format!("cannot tell how things stand: {what}"))
                    .state("nothing was changed")
                    .next("look at it, then: hactl resume"));
            }
        };
        let seen = Observed::NotApplied { change: change.clone(), before: before.clone() };
        self.journal.append(Record::Observed { place: place.clone(), observed: seen })?;

        let cleared = self.gate(task, &resolved, &findings, change, before).await?;
        self.stop_if_asked(place)?;
        let intent = match self.journal.intend(cleared, resolved.hosts.clone()).await {
            Ok(intent) => intent,
            Err(error) => return Err(self.not_begun(place, error)),
        };
        let end = Await::new("the action to end").within(task.timeout);
        let apply = awaited(end, self.steps.apply(task, &resolved.action, &intent));
        let outcome = timeout(task.timeout, apply).await;
        let attempt = intent.attempt();
        match outcome {
            Ok(Ok(outputs)) => {
                self.journal.append(Record::Applied { place: place.clone(), attempt, outputs })?;
                Ok(())
            }
            Ok(Err(Failure::NotStarted(error))) => {
                self.journal.append(Record::NotStarted {
                    place: place.clone(),
                    attempt,
                    error: error.one_line(),
                })?;
                tries.failed(error);
                Ok(())
            }
            Ok(Err(Failure::Unclear(error))) => {
                self.journal.append(Record::InDoubt {
                    place: place.clone(),
                    attempt,
                    why: error.one_line(),
                })?;
                tries.failed(error.state(LOOKED_AT));
                Ok(())
            }
            Err(_elapsed) => {
                let limit = humantime::format_duration(task.timeout);
                let error = Error::new(codes::STEP_TIMEOUT, format!("the action took longer than {limit}"));
                self.journal.append(Record::InDoubt {
                    place: place.clone(),
                    attempt,
                    why: error.one_line(),
                })?;
                tries.failed(error.state(LOOKED_AT));
                Ok(())
            }
        }
    }

    /// Where an intent stands in the journal and not in its mirror, the action certainly did not begin.
    fn not_begun(&self, place: &Place, error: Error) -> Error {
        if self.state_of(place) == State::Intended {
            let attempt = self.journal.state().checkpoint(place).map_or(AttemptNumber(0), |c| c.attempt);
            let record = Record::NotStarted { place: place.clone(), attempt, error: error.one_line() };
            // Where even that cannot be recorded, the next hactl decides by looking.
            let _ = self.journal.append(record);
        }
        error
    }

    /// Leaves a step out. It stays unproven.
    ///
    /// # Errors
    /// The step has begun, so that leaving it out would leave something half done.
    pub fn skip(&self, task: &Task, reason: &str) -> Result<()> {
        let place = &task.place;
        match self.state_of(place) {
            State::Pending
            | State::Ready
            | State::AwaitingApproval
            | State::Failed
            | State::RolledBack
            | State::Skipped => {
                let by = self.operator.clone();
                self.journal.append(Record::Skipped {
                    place: place.clone(),
                    reason: reason.to_owned(),
                    by,
                })?;
                Ok(())
            }
            state @ (State::Intended
            | State::Applied
            | State::Verified
            | State::InDoubt
            | State::RollingBack
            | State::RollbackFailed) => Err(Error::new(
                codes::CANNOT_SKIP,
                format!("the step is {state}, and cannot be left out any more"),
            )
            .at(place)
            .next("hactl phase rollback N    (takes the whole phase N back)")),
        }
    }

    /// Refuses to judge or take back, by the files of now, what an intent of other files began.
    pub(super) fn same_action(&self, place: &Place, resolved: &Resolved<S::Action>) -> Result<()> {
        let state = self.journal.state();
        match state.checkpoint(place).and_then(|c| c.action) {
            Some(begun) if begun != resolved.digest => Err(Error::new(
                codes::ACTION_CHANGED,
                "the step says something else now than when its last attempt began",
            )
            .at(place)
            .state("nothing was done")
            .next(
                "put the step back as it was (its runbook is kept in .hactl/evidence), then the same command",
            )),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn resolve(&self, task: &Task) -> Result<Resolved<S::Action>> {
        self.steps.resolve(task, &self.journal.state())
    }

    pub(super) fn state_of(&self, place: &Place) -> State {
        self.journal.state().checkpoint(place).map_or(State::Pending, |c| c.state)
    }

    /// Records a failure and hands the error back.
    pub(super) fn failed(&self, place: &Place, error: Error) -> Result<Error> {
        self.journal.append(Record::Failed { place: place.clone(), error: error.one_line() })?;
        Ok(error)
    }

    pub(super) fn stop_if_asked(&self, place: &Place) -> Result<()> {
        if !self.interrupt.wanted() {
            return Ok(());
        }
        self.journal.append(Record::Interrupted)?;
        Err(Error::new(codes::INTERRUPTED, "stopped as you asked, before the next action")
            .at(place)
            .state("nothing is half done")
            .next("hactl resume"))
    }
}

/// Says which phase has to be taken back to its end, where an error asks for that and does not know it.
#[must_use]
pub fn finish_rollback(error: Error, phase: &PhaseId) -> Error {
    if error.code() != codes::ROLLBACK_UNFINISHED {
        return error;
    }
    error.default_next(format!("hactl phase rollback {phase}    (finishes taking it back)"))
}

/// What becomes of a place that was left out before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skipped {
    /// It stays so.
    Stays,
    /// The operator wants it done after all.
    IsDoneNow,
}

/// How often an action was tried in this process, and what went wrong last.
#[derive(Debug)]
struct Tries {
    left: u32,
    last: Option<Error>,
}

impl Tries {
    fn new(retries: u32) -> Self {
        Self { left: retries.saturating_add(1), last: None }
    }

    /// Takes one try, or gives the error of the last one.
    fn begin(&mut self) -> Result<()> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self
                .last
                .take()
                .unwrap_or_else(|| Error::new(codes::INTERNAL, "a step without an outcome"))
                .default_state("the action had no effect")
                .default_next("mend the cause, then: hactl resume")),
        }
    }

    fn failed(&mut self, error: Error) {
        self.last = Some(error);
    }
}
