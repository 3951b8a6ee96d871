//! Where one place of a run stands: the resume point that replaying yields, and how each record moves it on.
//!
//! Invariant: pure. Whether a record may follow is [`super::replay::RunState::check`]; here it is only taken in.

use jiff::Timestamp;

use super::record::{AttemptNumber, Before, Change, EvidenceRef, Observed, Outputs, Record};
use super::token::{AttemptLabel, Purpose};
use crate::digest::Digest;
use crate::engine::state::State;

/// Where one place stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// The state.
    pub state: State,
    /// When it came into that state; none while nothing happened.
    pub since: Option<Timestamp>,
    /// The last attempt at its action; 0 where there was none.
    pub attempt: AttemptNumber,
    /// The last trial; 0 where there was none.
    pub trial: AttemptNumber,
    /// The last attempt to undo it; 0 where there was none.
    pub rollback: AttemptNumber,
    /// The attempt that made the change, where the journal knows of one and nobody saw the change gone since.
    pub made: Option<AttemptNumber>,
    /// The digest of the action of the newest intent.
    pub action: Option<Digest>,
    /// The change that is wanted, or that was made.
    pub change: Option<Change>,
    /// What was seen just before the newest intent: by this, observing recognises its change.
    pub before: Option<Before>,
    /// What was seen before the first intent since the place was clean: this is what undoing restores. It outlives a
    /// run, so that a later run that finds everything done can still be rolled back.
    pub original: Option<Before>,
    /// The outputs that hold.
    pub outputs: Outputs,
    /// The evidence of its verification.
    pub evidence: Vec<EvidenceRef>,
    /// What its verification found, one fact a line.
    pub facts: Vec<String>,
    /// Why it is failed, in doubt, skipped or unclear.
    pub why: Option<String>,
    pub(super) approved: Vec<Digest>,
    /// The newest intent was the first one since the place was clean.
    fresh: bool,
}

impl Checkpoint {
    /// The label of an undo that was begun and not finished.
    #[must_use]
    pub fn last_rollback_label(&self) -> Option<AttemptLabel> {
        match self.state {
            State::RollingBack | State::RollbackFailed => {
                Some(AttemptLabel { purpose: Purpose::Undo, number: self.rollback })
            }
            State::Pending
            | State::Ready
            | State::AwaitingApproval
            | State::Intended
            | State::Applied
            | State::Verified
            | State::InDoubt
            | State::Failed
            | State::RolledBack
            | State::Skipped => None,
        }
    }

    /// True where hactl made the change (or began to), in this run or an earlier one, and has not undone it.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.original.is_some()
    }
}

impl AttemptNumber {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Checkpoint {
    /// The attempt that a record names, and the one that it has to name.
    pub(super) fn attempts(&self, record: &Record) -> Option<(AttemptNumber, AttemptNumber)> {
        match record {
            Record::Intended { attempt, .. } => Some((*attempt, self.attempt.next())),
            Record::Trial { attempt, .. } => Some((*attempt, self.trial.next())),
            Record::RollingBack { attempt, .. } => Some((*attempt, self.rollback.next())),
            Record::Applied { attempt, .. }
            | Record::NotStarted { attempt, .. }
            | Record::InDoubt { attempt, .. }
            | Record::Decided { attempt, .. } => Some((*attempt, self.attempt)),
            Record::RunStarted { .. }
            | Record::Resumed { .. }
            | Record::TakenOver { .. }
            | Record::TornTail { .. }
            | Record::Planned { .. }
            | Record::Observed { .. }
            | Record::AwaitingApproval { .. }
            | Record::Approved(_)
            | Record::Verified { .. }
            | Record::Failed { .. }
            | Record::Skipped { .. }
            | Record::RolledBack { .. }
            | Record::RollbackFailed { .. }
            | Record::Proven(_)
            | Record::PhaseDone { .. }
            | Record::Interrupted
            | Record::Rebased { .. } => None,
        }
    }

    fn see(&mut self, observed: Observed) {
        self.why = None;
        match observed {
            Observed::Applied(outputs) => self.outputs = outputs,
            Observed::NotApplied { change, .. } => {
                self.change = Some(change);
                self.made = None;
            }
            Observed::Running(why) | Observed::Indeterminate(why) => self.why = Some(why),
        }
    }

    pub(super) fn take(&mut self, record: Record) {
        match record {
            Record::Observed { observed, .. } => self.see(observed),
            Record::Decided { observed, .. } => {
                if let Observed::Applied(_) = observed {
                    self.made = Some(self.attempt);
                }
                self.see(observed);
            }
            Record::Intended { attempt, action, change, before, .. } => {
                self.attempt = attempt;
                self.action = Some(action);
                self.change = Some(change);
                self.fresh = self.original.is_none();
                self.original.get_or_insert_with(|| before.clone());
                self.before = Some(before);
                self.made = None;
                self.why = None;
            }
            Record::Applied { attempt, outputs, .. } => {
                self.made = Some(attempt);
                self.outputs = outputs;
            }
            Record::Trial { attempt, .. } => self.trial = attempt,
            Record::Verified { evidence, facts, outputs, .. } => {
                self.evidence = evidence;
                self.facts = facts;
                self.outputs = outputs;
                self.why = None;
            }
            Record::NotStarted { error, .. } => {
                // What certainly did not begin made nothing: what is there later may be somebody else's.
                if self.fresh {
                    self.original = None;
                }
                self.why = Some(error);
            }
            Record::InDoubt { why, .. }
            | Record::Failed { error: why, .. }
            | Record::Skipped { reason: why, .. }
            | Record::RollbackFailed { error: why, .. } => self.why = Some(why),
            Record::RollingBack { attempt, .. } => self.rollback = attempt,
            Record::RolledBack { .. } => {
                self.original = None;
                self.made = None;
                self.outputs = Outputs::new();
                self.evidence.clear();
                self.facts.clear();
                self.why = None;
            }
            Record::AwaitingApproval { .. }
            | Record::Approved(_)
            | Record::RunStarted { .. }
            | Record::Resumed { .. }
            | Record::TakenOver { .. }
            | Record::TornTail { .. }
            | Record::Planned { .. }
            | Record::Proven(_)
            | Record::PhaseDone { .. }
            | Record::Interrupted
            | Record::Rebased { .. } => {}
        }
    }
}
