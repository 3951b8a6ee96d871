//! The loop that carries out steps: require, observe, gate, intent, apply, outcome, verify.
//!
//! Invariant: the world is changed only between an `Intended` record that reached the disk and the record of its
//! outcome, and where that outcome is unknown, observing decides before anything else happens. Resuming is this
//! same loop over a replayed journal; there is no second path. Rolling back is [`super::unwind`].

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, sleep, timeout};

use super::approver::Approver;
use super::doubt::Met;
use super::interrupt::Interrupt;
use super::seam::{Resolved, StepTasks, Steps, Task};
use super::state::State;
use crate::clock::Clock;
use crate::diagnostic::{Error, Result, codes};
use crate::event::{Event, Listener};
use crate::evidence::EvidenceStore;
use crate::journal::record::{AttemptNumber, Before, Observed, Operator, Place, Record};
use crate::journal::{AttemptLabel, Journal, Purpose};
use crate::name::{HostName, PhaseId};
use crate::step::{Effect, Failure, Findings, Weight};

/// How long one look at the world may take.
pub(super) const LOOK: Duration = Duration::from_secs(120);
/// How often something that is under way is looked at again.
const AGAIN: Duration = Duration::from_millis(500);

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
        for step in steps {
            self.run_step(step).await?;
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
            .map(|(index, task)| async move { (index, self.carry(task, skipped).await) })
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
            match self.state_of(place) {
                State::Verified => return Ok(()),
                State::Intended => {
                    self.doubt(place, "hactl was interrupted before the outcome was recorded")?
                }
                State::InDoubt => self.decide(task, Met::GoingOn).await.map_err(|e| e.at(place))?,
                State::Applied => self.verify(task).await.map_err(|e| e.at(place))?,
                State::Failed if self.made_once(task)? => self.verify(task).await.map_err(|e| e.at(place))?,
                State::RollingBack | State::RollbackFailed => {
                    return Err(Error::new(
                        codes::ROLLBACK_UNFINISHED,
                        "a rollback of this step has not been finished",
                    )
                    .at(place)
                    .state("the step may be half undone")
                    .next("hactl phase rollback N    (N is the phase's id; finishes it)"));
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

    /// Looks again at a verified change. One that happens once cannot be seen again by looking, and stays done; one
    /// that drifted is recorded as wanted, so that it is made again through its gate.
    async fn still_there(&self, task: &Task) -> Result<bool> {
        let place = &task.place;
        let resolved = self.resolve(task)?;
        if resolved.effect == Effect::OneShot {
            return Ok(true);
        }
        match self.observe_settled(task, &resolved, None).await? {
            Observed::Applied(_) => Ok(true),
            Observed::Running(what) | Observed::Indeterminate(what) => Err(Error::new(
                codes::CANNOT_TELL,
                format!("this step is done, but it cannot be told whether it still holds: {what}"),
            )
            .state("nothing was changed")
            .next("look at it, then: hactl resume")),
            drifted @ Observed::NotApplied { .. } => {
                let text = "was verified, but its change is no longer there".to_owned();
                self.listener.event(Event::Found { place: place.clone(), weight: "warning", text });
                self.journal.append(Record::Observed { place: place.clone(), observed: drifted })?;
                Ok(false)
            }
        }
    }

    /// True for a change that happens once and that the journal knows was made. Looking cannot see it again, so a
    /// failed verification of it is tried again and the change is not.
    fn made_once(&self, task: &Task) -> Result<bool> {
        let made = self.journal.state().checkpoint(&task.place).is_some_and(|c| c.made.is_some());
        Ok(made && self.resolve(task).map_err(|e| e.at(&task.place))?.effect == Effect::OneShot)
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
        let intent = self.journal.intend(cleared, resolved.hosts.clone())?;
        let outcome = timeout(task.timeout, self.steps.apply(task, &resolved.action, &intent)).await;
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
                tries.failed(error);
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
                tries.failed(error);
                Ok(())
            }
        }
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

    /// Verifies a change that is there.
    async fn verify(&self, task: &Task) -> Result<()> {
        let place = &task.place;
        self.stop_if_asked(place)?;
        let resolved = self.resolve(task)?;
        self.settle_last_trial(task, &resolved.hosts).await?;
        self.busy(place, "verifying");
        let trial = self.journal.begin_trial(place.clone(), resolved.hosts.clone())?;
        match timeout(task.timeout, self.steps.verify(task, &resolved.action, &trial)).await {
            Ok(Ok(evidence)) => {
                let mut outputs =
                    self.journal.state().checkpoint(place).map(|c| c.outputs.clone()).unwrap_or_default();
                outputs.extend(evidence.outputs);
                for mut proof in evidence.proofs {
                    proof.place = Some(place.clone());
                    self.journal.append(Record::Proven(proof))?;
                }
                self.journal.append(Record::Verified {
                    place: place.clone(),
                    evidence: evidence.files,
                    facts: evidence.facts,
                    outputs,
                })?;
                Ok(())
            }
            Ok(Err(error)) => {
                let error = error
                    .default_state("the change was made, but it is not verified")
                    .default_next("hactl resume");
                Err(self.failed(place, error)?)
            }
            Err(_elapsed) => {
                let limit = humantime::format_duration(task.timeout);
                let error = Error::new(codes::STEP_TIMEOUT, format!("verifying took longer than {limit}"))
                    .state("the change was made, but it is not verified")
                    .next("hactl resume");
                Err(self.failed(place, error)?)
            }
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

    /// A trial that was cut off may still run on a host; it must end before the next one begins.
    pub(super) async fn settle_last_trial(&self, task: &Task, hosts: &[HostName]) -> Result<()> {
        let state = self.journal.state();
        let Some(checkpoint) = state.checkpoint(&task.place) else { return Ok(()) };
        if checkpoint.trial == AttemptNumber(0) || checkpoint.state == State::Verified {
            return Ok(());
        }
        let label = AttemptLabel { purpose: Purpose::Trial, number: checkpoint.trial };
        let limit = task.timeout.saturating_add(LOOK);
        let settle = self.steps.settle(task, label, hosts, &state);
        self.within(limit, &task.place, "waiting for the last verification to end", settle).await
    }

    /// Verifies again what is verified already, and says what no longer holds.
    ///
    /// # Errors
    /// Something no longer holds.
    pub async fn verify_step(&self, step: &StepTasks) -> Result<()> {
        for task in &step.tasks {
            match self.state_of(&task.place) {
                State::Applied | State::Verified | State::Failed => {}
                State::Pending
                | State::Ready
                | State::AwaitingApproval
                | State::Intended
                | State::InDoubt
                | State::RollingBack
                | State::RolledBack
                | State::RollbackFailed
                | State::Skipped => continue,
            }
            if self.made_once(task)? {
                self.verify(task).await.map_err(|e| e.at(&task.place))?;
                continue;
            }
            let resolved = self.resolve(task).map_err(|e| e.at(&task.place))?;
            let observed =
                self.observe_settled(task, &resolved, None).await.map_err(|e| e.at(&task.place))?;
            if let Observed::Running(what) | Observed::Indeterminate(what) = &observed {
                let error = Error::new(codes::CANNOT_TELL, format!("cannot tell how things stand: {what}"));
                return Err(error
                    .at(&task.place)
                    .state("nothing was changed")
                    .next("hactl phase verify, again"));
            }
            let there = matches!(observed, Observed::Applied(_));
            self.journal.append(Record::Observed { place: task.place.clone(), observed })?;
            if !there {
                return Err(Error::new(codes::DRIFTED, "the change is no longer there")
                    .at(&task.place)
                    .next("hactl plan    (shows what is different)"));
            }
            self.verify(task).await.map_err(|e| e.at(&task.place))?;
        }
        Ok(())
    }

    /// Observes, waiting while something is under way, for at most the step's timeout.
    pub(super) async fn observe_settled(
        &self,
        task: &Task,
        resolved: &Resolved<S::Action>,
        before: Option<&Before>,
    ) -> Result<Observed> {
        let until = Instant::now() + task.timeout;
        loop {
            let seen = self
                .look(&task.place, "observing", self.steps.observe(task, &resolved.action, before))
                .await?;
            match seen {
                Observed::Running(what) if Instant::now() < until => {
                    self.busy(&task.place, &format!("waiting: {what}"));
                    sleep(AGAIN).await;
                }
                Observed::Applied(_)
                | Observed::NotApplied { .. }
                | Observed::Running(_)
                | Observed::Indeterminate(_) => return Ok(seen),
            }
        }
    }

    pub(super) async fn look<T>(
        &self,
        place: &Place,
        doing: &str,
        look: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let seen = self.within(LOOK, place, doing, look).await;
        seen.map_err(|error| error.default_state("nothing was changed by looking"))
    }

    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        place: &Place,
        doing: &str,
        look: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.listener.event(Event::Looking { place: place.clone(), doing: doing.to_owned() });
        match timeout(limit, look).await {
            Ok(result) => result,
            Err(_elapsed) => {
                let limit = humantime::format_duration(limit);
                Err(Error::new(codes::STEP_TIMEOUT, format!("{doing} took longer than {limit}"))
                    .state("nothing was changed by looking")
                    .next("hactl doctor"))
            }
        }
    }

    pub(super) fn resolve(&self, task: &Task) -> Result<Resolved<S::Action>> {
        self.steps.resolve(task, &self.journal.state())
    }

    pub(super) fn state_of(&self, place: &Place) -> State {
        self.journal.state().checkpoint(place).map_or(State::Pending, |c| c.state)
    }

    /// Records a failure and hands the error back.
    fn failed(&self, place: &Place, error: Error) -> Result<Error> {
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

    pub(super) fn busy(&self, place: &Place, doing: &str) {
        self.listener.event(Event::Busy { place: place.clone(), doing: doing.to_owned() });
    }

    fn show(&self, place: &Place, findings: &Findings) {
        for finding in &findings.0 {
            let weight = match finding.weight {
                Weight::Note => "note",
                Weight::Warning => "warning",
                Weight::Blocks => "blocks",
            };
            self.listener.event(Event::Found { place: place.clone(), weight, text: finding.text.clone() });
        }
    }
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
