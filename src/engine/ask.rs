//! Asking at a gate: from the question to an approval that binds what was shown.
//!
//! Invariant: nothing here changes the world. What comes out is a [`Cleared`], which only the journal takes.

use super::approver::{Answer, Approver, Question};
use super::driver::Driver;
use super::gate::{Binding, Cleared, admits};
use super::request::{Judged, Request, approve_command, export_command};
use super::seam::{Resolved, Steps, Task};
use super::state::State;
use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::event::Listener;
use crate::journal::record::{Approval, Before, Change, How, Observed, Place, Record, Signed};
use crate::runbook::Gate;
use crate::step::Findings;

/// How long an approval counts.
const APPROVAL_LASTS: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// What a gate would be asked about.
struct Ahead<A> {
    resolved: Resolved<A>,
    findings: Findings,
    change: Change,
}

impl<S: Steps, A: Approver, L: Listener> Driver<'_, S, A, L> {
    /// Lets the step through, or stops with what would let it through.
    pub(super) async fn gate(
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
        let given = self.journal.state().approval(&binding, self.clock.now())?;
        if let Some(approval) = given.filter(|approval| admits(task, &approval.how)) {
            return Cleared::by_approval(
                task,
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
        // A person may take hours; this machine may be lost meanwhile.
        self.journal.mirrored().await?;
        let approval = self.ask(task, resolved, findings, &change, binding).await?;
        self.journal.append(Record::Approved(approval.clone()))?;
        Cleared::by_approval(task, resolved.digest, change, before, binding, &approval, self.clock.now())
    }

    /// Puts the gate's question, and turns a yes into an approval (not recorded yet).
    async fn ask(
        &self,
        task: &Task,
        resolved: &Resolved<S::Action>,
        findings: &Findings,
        change: &Change,
        binding: Digest,
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
        match self.approver.ask(&question).await? {
            Answer::Yes(how) => Ok(Approval {
                place: place.clone(),
                binding,
                by: self.operator.clone(),
                how,
                shown,
                expires: self.expiry(),
            }),
            Answer::No => Err(Error::new(codes::APPROVAL_REFUSED, "the approval was refused")
                .state("nothing was changed")
                .next("hactl resume    (asks again)")),
            Answer::NobodyThere => Err(nobody_there(task)),
        }
    }

    /// Approves a place ahead: observes, asks the gate's own question, records the answer.
    ///
    /// # Errors
    /// There is nothing to approve, or the answer was no.
    pub async fn approve_ahead(&self, task: &Task) -> Result<()> {
        let Ahead { resolved, findings, change } = self.look_ahead(task).await?;
        let binding = self.binding(&task.place, &resolved, &change)?;
        let approval = self.ask(task, &resolved, &findings, &change, binding).await?;
        self.journal.append(Record::Approved(approval))?;
        Ok(())
    }

    /// The request that somebody else can sign, with the text that was kept of it: observes as for a gate.
    ///
    /// # Errors
    /// There is nothing to approve.
    pub async fn request(&self, task: &Task) -> Result<String> {
        let Ahead { resolved, findings: _, change } = self.look_ahead(task).await?;
        let state = self.journal.state();
        let run = state.run().ok_or_else(|| Error::new(codes::INTERNAL, "no run has begun"))?;
        Request::new(run, task, &resolved, &change, &self.operator, self.expiry()).text()
    }

    /// Judges a request whose signature was checked: is it one for this run, here and now? Whether the change is still
    /// the one that was signed is seen when the gate is reached.
    ///
    /// # Errors
    /// It is for something else, was taken before, or has expired.
    pub fn judge<'a>(&self, task: &'a Task, request: &'a Request, text: &'a str) -> Result<Judged<'a>> {
        let place = &task.place;
        let command = approve_command(place);
        let refuse = |code, why: String| {
            let error = Error::new(code, why).at(place).state("nothing was approved");
            Err(error.next(format!("{command} --export FILE    (asks for a new one)")))
        };
        let state = self.journal.state();
        let Some(run) = state.run() else {
            let why = "no run has begun here that it could be for".to_owned();
            return refuse(codes::APPROVAL_OTHER, why);
        };
        self.may_be_approved(place)?;
        let wrong = [
            ("fleet", request.fleet.to_string(), run.fleet.to_string()),
            ("run", request.run.to_string(), run.run.to_string()),
            ("hactl.toml", request.workspace_digest.short(), run.workspace.digest.short()),
            ("runbook", request.runbook_digest.short(), run.runbook_bytes.digest.short()),
            ("step", request.place().to_string(), place.to_string()),
        ];
        if let Some((what, theirs, ours)) = wrong.into_iter().find(|(_, theirs, ours)| theirs != ours) {
            let why = format!("the request is for another {what}: {theirs}, and this is {ours}");
            return refuse(codes::APPROVAL_OTHER, why);
        }
        if request.expires <= self.clock.now() {
            return refuse(codes::APPROVAL_EXPIRED, format!("the request expired at {}", request.expires));
        }
        if request.expires > self.expiry() {
            let why =
                format!("the request would count until {}, longer than an approval may", request.expires);
            return refuse(codes::APPROVAL_OTHER, why);
        }
        if state.was_signed(&Digest::of(text)) {
            let why = "this request was signed and taken before, and lets one change through".to_owned();
            return refuse(codes::APPROVAL_OTHER, why);
        }
        Ok(Judged { task, request, text })
    }

    /// Records a signed approval, whose signature was checked.
    ///
    /// # Errors
    /// It is by somebody whose signature this gate does not take, or its text cannot be kept.
    pub fn accept(&self, judged: Judged<'_>, signed: Signed) -> Result<()> {
        let Judged { task, request, text } = judged;
        let place = &task.place;
        let refuse = |code, why: &str| {
            let error = Error::new(code, why).at(place).state("nothing was approved");
            Err(error.next("hactl approve --import FILE    (once somebody else has signed it)"))
        };
        let how = How::Signed(Box::new(signed));
        if !admits(task, &how) {
            let why = "this gate takes the signature of another person than who operates";
            return refuse(codes::APPROVAL_OTHER, why);
        }
        let shown = self.evidence.put("what was signed", text.as_bytes())?;
        if shown.digest != Digest::of(text) {
            let why = "the request holds what hactl knows as a secret, and cannot be kept";
            return refuse(codes::APPROVAL_TEXT, why);
        }
        let (binding, by) = (request.binding()?, self.operator.clone());
        let expires = request.expires;
        let approval = Approval { place: place.clone(), binding, by, how, shown, expires };
        self.journal.append(Record::Approved(approval))?;
        Ok(())
    }

    fn expiry(&self) -> jiff::Timestamp {
        self.clock.now().saturating_add(APPROVAL_LASTS).unwrap_or(jiff::Timestamp::MAX)
    }

    fn may_be_approved(&self, place: &Place) -> Result<()> {
        match self.state_of(place) {
            State::Pending
            | State::Ready
            | State::AwaitingApproval
            | State::Failed
            | State::RolledBack
            | State::Skipped => Ok(()),
            State::Applied | State::Verified => {
                Err(Error::new(codes::NOTHING_TO_APPROVE, "this step is done")
                    .at(place)
                    .state("nothing was approved")
                    .next("hactl status"))
            }
            State::Intended | State::InDoubt | State::RollingBack | State::RollbackFailed => {
                Err(Error::new(codes::NOTHING_TO_APPROVE, "this step has begun, and is not settled yet")
                    .at(place)
                    .state("nothing was approved")
                    .next("hactl resume"))
            }
        }
    }

    /// Looks at a place as its gate would, before its turn has come.
    async fn look_ahead(&self, task: &Task) -> Result<Ahead<S::Action>> {
        let place = &task.place;
        self.may_be_approved(place)?;
        let resolved = self.resolve(task)?;
        let findings =
            self.look(place, "checking what it requires", self.steps.check(task, &resolved.action)).await?;
        match self.observe_settled(task, &resolved, None).await? {
            Observed::NotApplied { change, .. } if task.gate != Gate::None => {
                Ok(Ahead { resolved, findings, change })
            }
            Observed::NotApplied { .. } | Observed::Applied(_) => {
                Err(Error::new(codes::NOTHING_TO_APPROVE, "this step needs no approval now")
                    .at(place)
                    .state("nothing was approved")
                    .next("hactl plan --dry-run    (shows which steps ask)"))
            }
            Observed::Running(what) | Observed::Indeterminate(what) => {
                Err(Error::new(codes::CANNOT_TELL, format!("cannot tell how things stand: {what}"))
                    .at(place)
                    .state("nothing was approved")
                    .next("look at it, then the same command again"))
            }
        }
    }

    /// What an approval of this action on this place binds.
    fn binding(&self, place: &Place, resolved: &Resolved<S::Action>, change: &Change) -> Result<Digest> {
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

/// What to type where a gate waits and nobody here can answer it.
fn nobody_there(task: &Task) -> Error {
    let place = &task.place;
    let error = match task.gate {
        Gate::Sign => {
            let (command, file) = export_command(place);
            Error::new(codes::APPROVAL_NEEDED, "this step needs an approval that somebody signed")
                .next(format!("{command}    (writes what is to be signed)"))
                .next(format!("whoever signs, with a hactl of their own: approve --sign {file}"))
                .next(format!("hactl approve --import {file}    (with {file}.sig beside it)"))
        }
        Gate::None | Gate::Confirm | Gate::Type => {
            let why = "this step needs an approval, and there is no terminal to ask at";
            let command = approve_command(place);
            Error::new(codes::APPROVAL_NEEDED, why).next(format!("{command}   (at a terminal)"))
        }
    };
    error.state("nothing was changed").next("then: hactl resume")
}
