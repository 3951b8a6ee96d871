//! A step in doubt: its last attempt may or may not have had its effect.
//!
//! Invariant: before anything is decided, nothing of that attempt runs or can start late. Observing decides; where it
//! cannot, a person does, and that is recorded. Nothing is run again blindly.

use super::approver::Approver;
use super::driver::Driver;
use super::look::LOOK;
use super::seam::{StepTasks, Steps, Task};
use super::state::State;
use crate::diagnostic::{Error, Result, codes};
use crate::event::Listener;
use crate::journal::record::{AttemptNumber, Observed, Outputs, Place, Record};
use crate::journal::{AttemptLabel, Purpose};
use crate::name::PhaseId;

/// What a person found about a step in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The change is there.
    Applied,
    /// It is not.
    NotApplied,
}

/// Which command meets a doubt, and so which one is typed again once a person has looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met<'a> {
    /// Going on.
    GoingOn,
    /// Taking this phase back.
    TakingBack(&'a PhaseId),
}

impl Met<'_> {
    fn command(self) -> String {
        match self {
            Self::GoingOn => "hactl resume".to_owned(),
            Self::TakingBack(phase) => format!("hactl phase rollback {phase}"),
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

impl<S: Steps, A: Approver, L: Listener> Driver<'_, S, A, L> {
    /// Settles what was interrupted, before any other step of the phase is looked at: its attempt may still be at work,
    /// and what it works on cannot be judged meanwhile. A server that restarts answers nobody.
    pub(super) async fn settle_interrupted(&self, steps: &[StepTasks]) -> Result<()> {
        for task in steps.iter().flat_map(|step| &step.tasks) {
            if matches!(self.state_of(&task.place), State::Intended | State::InDoubt) {
                self.settle_doubt(task).await?;
            }
        }
        Ok(())
    }

    /// Decides what became of an attempt whose outcome is not known.
    pub(super) async fn settle_doubt(&self, task: &Task) -> Result<()> {
        let place = &task.place;
        if self.state_of(place) == State::Intended {
            self.doubt(place, "hactl was interrupted before the outcome was recorded")?;
        }
        self.decide(task, Met::GoingOn).await.map_err(|e| e.at(place))
    }

    pub(super) fn doubt(&self, place: &Place, why: &str) -> Result<()> {
        let attempt = self.journal.state().checkpoint(place).map_or(AttemptNumber(0), |c| c.attempt);
        self.journal.append(Record::InDoubt { place: place.clone(), attempt, why: why.to_owned() })?;
        Ok(())
    }

    /// Settles a doubt by observing; stops where that cannot tell.
    pub(super) async fn decide(&self, task: &Task, met: Met<'_>) -> Result<()> {
        let place = &task.place;
        let resolved = self.resolve(task)?;
        self.same_action(place, &resolved)?;
        let (attempt, before) = {
            let state = self.journal.state();
            let checkpoint = state.checkpoint(place);
            (checkpoint.map_or(AttemptNumber(0), |c| c.attempt), checkpoint.and_then(|c| c.before.clone()))
        };
        self.busy(place, "in doubt: looking at what became of the last attempt");
        let label = AttemptLabel { purpose: Purpose::Action, number: attempt };
        let state = self.journal.state();
        // What still runs may run as long as the action may; then it was cut off on the host itself.
        let limit = task.timeout.saturating_add(LOOK);
        self.within(limit, place, "settling", self.steps.settle(task, label, &resolved.hosts, &state))
            .await
            .map_err(|e| self.still_in_doubt(e, met))?;
        let observed = self
            .observe_settled(task, &resolved, before.as_ref())
            .await
            .map_err(|e| self.still_in_doubt(e, met))?;
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
            .next(format!(
                "look for yourself, then: {} --decide {}=applied",
                met.command(),
                decision_name(place)
            ))
            .next(format!("or: {} --decide {}=not-applied", met.command(), decision_name(place)))),
        }
    }

    fn still_in_doubt(&self, error: Error, met: Met<'_>) -> Error {
        Error::new(codes::IN_DOUBT, "in doubt, and it cannot be looked at now")
            .state("the last attempt may or may not have had its effect; nothing else was tried")
            .caused_by(error)
            .next(format!("when it can be looked at again: {}", met.command()))
    }

    /// Records what a person found about a step in doubt, once nothing of its attempt can start late.
    ///
    /// # Errors
    /// The step is not in doubt, or its hosts could not be asked.
    pub async fn decide_by_person(&self, task: &Task, verdict: Verdict, met: Met<'_>) -> Result<()> {
        let place = &task.place;
        match self.state_of(place) {
            State::InDoubt => {}
            // The person may have looked while the command still ran: hactl has to wait for its end first.
            State::Intended => {
                return Err(Error::new(
                    codes::NOT_IN_DOUBT,
                    "hactl has not looked yet at what became of this step",
                )
                .at(place)
                .next("the same command without --decide    (looks, and asks only where it cannot tell)"));
            }
            state @ (State::Pending
            | State::Ready
            | State::AwaitingApproval
            | State::Applied
            | State::Verified
            | State::Failed
            | State::RollingBack
            | State::RolledBack
            | State::RollbackFailed
            | State::Skipped) => {
                return Err(Error::new(
                    codes::NOT_IN_DOUBT,
                    format!("there is nothing to decide: the step is {state}"),
                )
                .at(place)
                .next("hactl status"));
            }
        }
        let resolved = self.resolve(task)?;
        let state = self.journal.state();
        let checkpoint = state.checkpoint(place);
        let attempt = checkpoint.map_or(AttemptNumber(0), |c| c.attempt);
        let label = AttemptLabel { purpose: Purpose::Action, number: attempt };
        self.look(place, "settling", self.steps.settle(task, label, &resolved.hosts, &state))
            .await
            .map_err(|e| self.still_in_doubt(e, met).at(place))?;
        let observed = match verdict {
            Verdict::Applied => Observed::Applied(Outputs::new()),
            Verdict::NotApplied => Observed::NotApplied {
                change: checkpoint.and_then(|c| c.change.clone()).unwrap_or_default(),
                before: checkpoint.and_then(|c| c.before.clone()).unwrap_or_default(),
            },
        };
        let by = Some(self.operator.clone());
        self.journal.append(Record::Decided { place: place.clone(), attempt, observed, by })?;
        Ok(())
    }
}
