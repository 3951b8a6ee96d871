//! The loop that carries out steps: require, observe, gate, intent, apply, outcome, verify.
//!
//! Invariant: the world is changed only between an `Intended` record that reached the disk and the record of its
//! outcome, and where that outcome is unknown, observing decides before anything else happens. Resuming is this
//! same loop over a replayed journal; there is no second path. Rolling back is [`super::unwind`].

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, sleep, timeout};

use super::approver::{Answer, Approver, Question};
use super::gate::{Binding, Cleared};
use super::interrupt::Interrupt;
use super::seam::{Resolved, StepTasks, Steps, Task};
use super::state::State;
use crate::clock::Clock;
use crate::diagnostic::{Error, Result, codes};
use crate::event::{Event, Listener};
use crate::evidence::EvidenceStore;
use crate::journal::record::{Approval, AttemptNumber, Before, Change, Observed, Operator, Place, Record};
use crate::journal::{AttemptLabel, Journal, Purpose};
use crate::name::PhaseId;
use crate::runbook::Gate;
use crate::step::{Effect, Failure, Findings, Weight};

/// How long one look at the world may take.
const LOOK: Duration = Duration::from_secs(120);
/// How long an approval counts.
const APPROVAL_LASTS: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
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
        let mut failures: Vec<(usize, Error)> = stream::iter(step.tasks.iter().enumerate())
            .map(|(index, task)| async move { (index, self.carry(task).await) })
            .buffer_unordered(step.parallel.max(1))
            .filter_map(|(index, result)| async move { result.err().map(|error| (index, error)) })
            .collect()
            .await;
        failures.sort_by_key(|(index, _)| *index);
        match failures.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    /// Brings one place to verified, from wherever it stands.
    async fn carry(&self, task: &Task) -> Result<()> {
        let place = &task.place;
        if self.state_of(place) == State::Verified && self.still_there(task).await.map_err(|e| e.at(place))? {
            self.listener.event(Event::AlreadyDone { place: place.clone() });
            return Ok(());
        }
        self.listener.event(Event::StepBegun { place: place.clone(), title: task.title.clone() });
        let mut tries = Tries::new(task.retries);
        loop {
            match self.state_of(place) {
                State::Verified | State::Skipped => return Ok(()),
                State::Intended => {
                    self.doubt(place, "hactl was interrupted before the outcome was recorded")?
                }
                State::InDoubt => self.decide(task).await.map_err(|e| e.at(place))?,
                State::Applied => self.verify(task).await.map_err(|e| e.at(place))?,
                State::RollingBack | State::RollbackFailed => {
                    return Err(Error::new(
                        codes::ROLLBACK_UNFINISHED,
                        "a rollback of this step has not been finished",
                    )
                    .at(place)
                    .state("the step may be half undone")
                    .next("hactl phase rollback N, with the phase's id, finishes it"));
                }
                State::Pending
                | State::Ready
                | State::AwaitingApproval
                | State::Failed
                | State::RolledBack => {
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

        let cleared = self.gate(task, &resolved, &findings, change, before)?;
        self.stop_if_asked(place)?;
        let intent = self.journal.intend(cleared, resolved.hosts.clone())?;
        self.busy(place, "changing");
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

    /// Lets the step through, or stops with what would let it through.
    fn gate(
        &self,
        task: &Task,
        resolved: &Resolved<S::Action>,
        findings: &Findings,
        change: Change,
        before: Before,
    ) -> Result<Cleared> {
        let place = &task.place;
        if task.gate == Gate::None {
            return Cleared::without_gate(task.gate, place.clone(), resolved.digest, change, before);
        }
        let binding = self.binding(place, resolved, &change)?;
        if let Some(approval) = self.journal.state().approval(&binding, self.clock.now())? {
            return Cleared::by_approval(
                place.clone(),
                resolved.digest,
                change,
                before,
                binding,
                &approval,
                self.clock.now(),
            );
        }
        if self.state_of(place) != State::AwaitingApproval {
            self.journal.append(Record::AwaitingApproval { place: place.clone(), binding })?;
        }
        let approval = self.ask(task, resolved, findings, &change, binding)?;
        self.journal.append(Record::Approved(approval.clone()))?;
        Cleared::by_approval(
            place.clone(),
            resolved.digest,
            change,
            before,
            binding,
            &approval,
            self.clock.now(),
        )
    }

    /// Puts the gate's question, and turns a yes into an approval (not recorded yet).
    fn ask(
        &self,
        task: &Task,
        resolved: &Resolved<S::Action>,
        findings: &Findings,
        change: &Change,
        binding: crate::digest::Digest,
    ) -> Result<Approval> {
        let place = &task.place;
        let question = Question {
            place,
            title: &task.title,
            why: task.why.as_deref(),
            gate: task.gate,
            change,
            way_back: &resolved.way_back,
            findings,
            typed_name: &resolved.typed_name,
        };
        let shown = self.evidence.put("what the gate showed", question.text().as_bytes())?;
        match self.approver.ask(&question)? {
            Answer::Yes(how) => Ok(Approval {
                place: place.clone(),
                binding,
                by: self.operator.clone(),
                how,
                shown,
                expires: self.clock.now().saturating_add(APPROVAL_LASTS).unwrap_or(jiff::Timestamp::MAX),
            }),
            Answer::No => Err(Error::new(codes::APPROVAL_REFUSED, "the approval was refused")
                .state("nothing was changed")
                .next("hactl resume asks again")),
            Answer::NobodyThere => {
                let command = match &place.host {
                    Some(host) => format!("hactl approve {} --host {host}", place.step),
                    None => format!("hactl approve {}", place.step),
                };
                Err(Error::new(
                    codes::APPROVAL_NEEDED,
                    "this step needs an approval, and there is no terminal to ask at",
                )
                .state("nothing was changed")
                .next(format!("{command}   (at a terminal)"))
                .next("then: hactl resume"))
            }
        }
    }

    /// Approves a place ahead: observes, asks the gate's own question, records the answer.
    ///
    /// # Errors
    /// There is nothing to approve, or the answer was no.
    pub async fn approve_ahead(&self, task: &Task) -> Result<()> {
        let place = &task.place;
        let resolved = self.resolve(task)?;
        let findings =
            self.look(place, "checking what it requires", self.steps.check(task, &resolved.action)).await?;
        match self.observe_settled(task, &resolved, None).await? {
            Observed::NotApplied { change, .. } if task.gate != Gate::None => {
                let binding = self.binding(place, &resolved, &change)?;
                let approval = self.ask(task, &resolved, &findings, &change, binding)?;
                self.journal.append(Record::Approved(approval))?;
                Ok(())
            }
            Observed::NotApplied { .. } | Observed::Applied(_) => {
                Err(Error::new(codes::NOTHING_TO_APPROVE, "this step needs no approval now")
                    .at(place)
                    .next("hactl plan"))
            }
            Observed::Running(what) | Observed::Indeterminate(what) => {
                Err(Error::new(codes::CANNOT_TELL, format!("cannot tell how things stand: {what}")).at(place))
            }
        }
    }

    /// Settles a doubt by observing; stops where that cannot tell.
    async fn decide(&self, task: &Task) -> Result<()> {
        let place = &task.place;
        let resolved = self.resolve(task)?;
        let (attempt, before) = {
            let state = self.journal.state();
            let checkpoint = state.checkpoint(place);
            (checkpoint.map_or(AttemptNumber(0), |c| c.attempt), checkpoint.and_then(|c| c.before.clone()))
        };
        self.busy(place, "in doubt: looking at what became of the last attempt");
        let label = AttemptLabel { purpose: Purpose::Action, number: attempt };
        let state = self.journal.state();
        self.look(place, "settling", self.steps.settle(task, label, &resolved.hosts, &state))
            .await
            .map_err(|e| self.still_in_doubt(e))?;
        let observed = self
            .observe_settled(task, &resolved, before.as_ref())
            .await
            .map_err(|e| self.still_in_doubt(e))?;
        let unclear = match &observed {
            Observed::Applied(_) | Observed::NotApplied { .. } => None,
            Observed::Running(why) | Observed::Indeterminate(why) => Some(why.clone()),
        };
        self.journal.append(Record::Decided { place: place.clone(), attempt, observed, by: None })?;
        match unclear {
            None => Ok(()),
            Some(why) => Err(Error::new(
                codes::IN_DOUBT,
                format!("in doubt, and observing cannot decide it: {why}"),
            )
            .state("the last attempt may or may not have had its effect; hactl will not run it again blindly")
            .next(format!("look for yourself, then: hactl resume --decide {}=applied", decision_name(place)))
            .next(format!("or: hactl resume --decide {}=not-applied", decision_name(place)))),
        }
    }

    fn still_in_doubt(&self, error: Error) -> Error {
        Error::new(codes::IN_DOUBT, "in doubt, and it cannot be looked at now")
            .source(error)
            .state("the last attempt may or may not have had its effect; nothing else was tried")
            .next("when the host answers again: hactl resume")
    }

    /// Verifies a change that is there.
    async fn verify(&self, task: &Task) -> Result<()> {
        let place = &task.place;
        self.stop_if_asked(place)?;
        let resolved = self.resolve(task)?;
        self.busy(place, "verifying");
        let trial = self.journal.begin_trial(place.clone(), resolved.hosts.clone())?;
        match timeout(task.timeout, self.steps.verify(task, &resolved.action, &trial)).await {
            Ok(Ok(evidence)) => {
                let mut outputs =
                    self.journal.state().checkpoint(place).map(|c| c.outputs.clone()).unwrap_or_default();
                outputs.extend(evidence.outputs);
                for proof in evidence.proofs {
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
            let resolved = self.resolve(task).map_err(|e| e.at(&task.place))?;
            let observed =
                self.observe_settled(task, &resolved, None).await.map_err(|e| e.at(&task.place))?;
            let there = matches!(observed, Observed::Applied(_));
            self.journal.append(Record::Observed { place: task.place.clone(), observed })?;
            if !there {
                return Err(Error::new(codes::DRIFTED, "the change is no longer there")
                    .at(&task.place)
                    .next("hactl plan shows what is different; hactl resume makes it so again"));
            }
            self.verify(task).await.map_err(|e| e.at(&task.place))?;
        }
        Ok(())
    }

    /// Observes, waiting while something is under way, for at most the step's timeout.
    async fn observe_settled(
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

    /// What an approval of this action on this place binds.
    fn binding(
        &self,
        place: &Place,
        resolved: &Resolved<S::Action>,
        change: &Change,
    ) -> Result<crate::digest::Digest> {
        let state = self.journal.state();
        let run = state.run().ok_or_else(|| Error::new(codes::INTERNAL, "no run has begun"))?;
        Binding {
            fleet: &run.fleet,
            runbook: run.runbook_bytes.digest,
            place,
            action: resolved.digest,
            change,
            identities: &resolved.identities,
        }
        .digest()
    }

    async fn look<T>(&self, place: &Place, doing: &str, look: impl Future<Output = Result<T>>) -> Result<T> {
        self.busy(place, doing);
        match timeout(LOOK, look).await {
            Ok(result) => result,
            Err(_elapsed) => {
                let limit = humantime::format_duration(LOOK);
                Err(Error::new(codes::STEP_TIMEOUT, format!("{doing} took longer than {limit}"))
                    .state("nothing was changed by looking")
                    .next("hactl doctor"))
            }
        }
    }

    fn resolve(&self, task: &Task) -> Result<Resolved<S::Action>> {
        self.steps.resolve(task, &self.journal.state())
    }

    fn state_of(&self, place: &Place) -> State {
        self.journal.state().checkpoint(place).map_or(State::Pending, |c| c.state)
    }

    fn doubt(&self, place: &Place, why: &str) -> Result<()> {
        let attempt = self.journal.state().checkpoint(place).map_or(AttemptNumber(0), |c| c.attempt);
        self.journal.append(Record::InDoubt { place: place.clone(), attempt, why: why.to_owned() })?;
        Ok(())
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

/// A place as `--decide` names it.
#[must_use]
pub fn decision_name(place: &Place) -> String {
    match &place.host {
        Some(host) => format!("{}@{host}", place.step),
        None => place.step.to_string(),
    }
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
