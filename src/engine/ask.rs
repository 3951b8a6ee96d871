//! Asking at a gate: from the question to an approval that binds what was shown.
//!
//! Invariant: nothing here changes the world. What comes out is a [`Cleared`], which only the journal takes.

use super::approver::{Answer, Approver, Question};
use super::driver::Driver;
use super::gate::{Binding, Cleared};
use super::seam::{Resolved, Steps, Task};
use super::state::State;
use crate::diagnostic::{Error, Result, codes};
use crate::event::Listener;
use crate::journal::record::{Approval, Before, Change, Observed, Place, Record};
use crate::runbook::Gate;
use crate::step::Findings;

/// How long an approval counts.
const APPROVAL_LASTS: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

impl<S: Steps, A: Approver, L: Listener> Driver<'_, S, A, L> {
    /// Lets the step through, or stops with what would let it through.
    pub(super) fn gate(
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
                .next("hactl resume    (asks again)")),
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
        match self.state_of(place) {
            State::Pending
            | State::Ready
            | State::AwaitingApproval
            | State::Failed
            | State::RolledBack
            | State::Skipped => {}
            State::Applied | State::Verified => {
                return Err(Error::new(codes::NOTHING_TO_APPROVE, "this step is done")
                    .at(place)
                    .next("hactl status"));
            }
            State::Intended | State::InDoubt | State::RollingBack | State::RollbackFailed => {
                return Err(Error::new(
                    codes::NOTHING_TO_APPROVE,
                    "this step has begun, and is not settled yet",
                )
                .at(place)
                .next("hactl resume"));
            }
        }
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
}
