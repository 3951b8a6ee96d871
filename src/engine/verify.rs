//! Verifying: that a change which was made does what it is for, right after it and whenever it is asked for again.
//!
//! Invariant: nothing is changed here but what a trial makes and removes by itself, and every answer is a record.

use tokio::time::timeout;

use super::approver::Approver;
use super::driver::Driver;
use super::look::LOOK;
use super::seam::{StepTasks, Steps, Task};
use super::state::State;
use crate::diagnostic::{Error, Result, codes};
use crate::event::{Event, Listener};
use crate::journal::record::{AttemptNumber, Observed, Record};
use crate::journal::{AttemptLabel, Purpose};
use crate::name::HostName;
use crate::step::Effect;
use crate::waiting::{Await, awaited};

impl<S: Steps, A: Approver, L: Listener> Driver<'_, S, A, L> {
    /// Verifies a change that is there.
    pub(super) async fn verify(&self, task: &Task) -> Result<()> {
        let place = &task.place;
        self.stop_if_asked(place)?;
        let resolved = self.resolve(task)?;
        self.settle_last_trial(task, &resolved.hosts).await?;
        self.busy(place, "verifying");
        let trial = self.journal.begin_trial(place.clone(), resolved.hosts.clone()).await?;
        let end = Await::new("the verification to end").within(task.timeout);
        let verify = awaited(end, self.steps.verify(task, &resolved.action, &trial));
        match timeout(task.timeout, verify).await {
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
                    .next("look at it, then the same command again"));
            }
            let there = matches!(observed, Observed::Applied(_));
            self.journal.append(Record::Observed { place: task.place.clone(), observed })?;
            if !there {
                return Err(Error::new(codes::DRIFTED, "the change is no longer there")
                    .at(&task.place)
                    .state("nothing was changed; the step counts as not done")
                    .next("hactl plan --dry-run    (shows what is different)")
                    .next("hactl resume    (makes the change again, through its gate)"));
            }
            self.verify(task).await.map_err(|e| e.at(&task.place))?;
        }
        Ok(())
    }

    /// Looks again at a verified change. One that happens once cannot be seen again by looking, and stays done; one
    /// that drifted is recorded as wanted, so that it is made again through its gate.
    pub(super) async fn still_there(&self, task: &Task) -> Result<bool> {
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
    pub(super) fn made_once(&self, task: &Task) -> Result<bool> {
        let made = self.journal.state().checkpoint(&task.place).is_some_and(|c| c.made.is_some());
        Ok(made && self.resolve(task).map_err(|e| e.at(&task.place))?.effect == Effect::OneShot)
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
        self.within(limit, &task.place, "the last verification", settle).await
    }
}
