//! Where one place of a run stands: the resume point that replaying yields, and how each record moves it on.
//!
//! Invariant: pure. Whether a record may follow is [`super::replay::RunState::check`]; here it is only taken in, in two
//! parts: how it moves the place on ([`Checkpoint::move_on`]) needs only its kind, what it holds ([`Checkpoint::keep`])
//! needs all of it. A replay leaves the second out where [`writes`] says that later records replaced everything.

use jiff::Timestamp;

use super::record::{AttemptNumber, Before, Change, EvidenceRef, Observed, Outputs, Record};
use super::token::{AttemptLabel, Purpose};
use crate::digest::Digest;
use crate::engine::state::{Move, State};

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
    /// hactl made the change, or began to, and has not undone it: then `original` is there.
    pub(super) ours: bool,
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
        self.ours
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
    /// The attempt that a record of this move has to name; none where it names none.
    pub(super) fn wanted(&self, made: Move) -> Option<AttemptNumber> {
        match made {
            Move::Intend => Some(self.attempt.next()),
            Move::Try => Some(self.trial.next()),
            Move::RollBack => Some(self.rollback.next()),
            Move::Apply
            | Move::NotStart
            | Move::Doubt
            | Move::DecideApplied
            | Move::DecideNotApplied
            | Move::DecideUnclear => Some(self.attempt),
            Move::SeeApplied
            | Move::SeeNotApplied
            | Move::SeeUnclear
            | Move::Await
            | Move::Approve
            | Move::Verify
            | Move::Fail
            | Move::Skip
            | Move::RolledBack
            | Move::RollbackFail => None,
        }
    }

    /// Comes into the state `to` by a move that was judged legal, its attempt too.
    pub(super) fn move_on(&mut self, made: Move, to: State, at: Timestamp) {
        if self.state != to || self.since.is_none() {
            self.since = Some(at);
        }
        self.state = to;
        match made {
            Move::Intend => {
                self.attempt = self.attempt.next();
                self.fresh = !self.ours;
                self.ours = true;
                self.made = None;
            }
            Move::Apply | Move::DecideApplied => self.made = Some(self.attempt),
            Move::SeeNotApplied | Move::DecideNotApplied => self.made = None,
            Move::Try => self.trial = self.trial.next(),
            Move::RollBack => self.rollback = self.rollback.next(),
            // What certainly did not begin made nothing: what is there later may be somebody else's.
            Move::NotStart => self.ours &= !self.fresh,
            Move::RolledBack => {
                self.ours = false;
                self.made = None;
            }
            Move::SeeApplied
            | Move::SeeUnclear
            | Move::Await
            | Move::Approve
            | Move::Doubt
            | Move::DecideUnclear
            | Move::Verify
            | Move::Fail
            | Move::Skip
            | Move::RollbackFail => {}
        }
    }

    fn see(&mut self, observed: Observed) {
        self.why = None;
        match observed {
            Observed::Applied(outputs) => self.outputs = outputs,
            Observed::NotApplied { change, .. } => self.change = Some(change),
            Observed::Running(why) | Observed::Indeterminate(why) => self.why = Some(why),
        }
    }

    /// Takes in what a record holds. Records whose every part was replaced since may be left out.
    pub(super) fn keep(&mut self, record: Record) {
        match record {
            Record::Observed { observed, .. } | Record::Decided { observed, .. } => self.see(observed),
            Record::Intended { action, change, before, .. } => {
                self.action = Some(action);
                self.change = Some(change);
                self.original.get_or_insert_with(|| before.clone());
                self.before = Some(before);
                self.why = None;
            }
            Record::Applied { outputs, .. } => self.outputs = outputs,
            Record::Verified { evidence, facts, outputs, .. } => {
                self.evidence = evidence;
                self.facts = facts;
                self.outputs = outputs;
                self.why = None;
            }
            Record::NotStarted { error, .. } => {
                if !self.ours {
                    self.original = None;
                }
                self.why = Some(error);
            }
            Record::InDoubt { why, .. }
            | Record::Failed { error: why, .. }
            | Record::Skipped { reason: why, .. }
            | Record::RollbackFailed { error: why, .. } => self.why = Some(why),
            Record::RolledBack { .. } => {
                self.original = None;
                self.outputs = Outputs::new();
                self.evidence.clear();
                self.facts.clear();
                self.why = None;
            }
            Record::Trial { .. }
            | Record::RollingBack { .. }
            | Record::AwaitingApproval { .. }
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

/// Parts of a checkpoint that records replace as a whole, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts(u8);

impl Parts {
    const NONE: Self = Self(0);
    const CHANGE: Self = Self(1);
    /// The action and what was seen before it.
    const INTENT: Self = Self(2);
    const ORIGINAL: Self = Self(4);
    const OUTPUTS: Self = Self(8);
    /// The evidence and the facts.
    const VERIFIED: Self = Self(16);
    const WHY: Self = Self(32);
    const ALL: Self = Self(63);

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is left of it without `other`.
    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What [`Checkpoint::keep`] replaces in a checkpoint as it was before a record of this move.
pub(super) fn writes(before: &Checkpoint, made: Move) -> Parts {
    match made {
        Move::SeeApplied => Parts::OUTPUTS.and(Parts::WHY),
        Move::SeeNotApplied => Parts::CHANGE.and(Parts::WHY),
        Move::SeeUnclear => Parts::WHY,
        Move::Await | Move::Try => Parts::NONE,
        Move::Intend => {
            let original = if before.ours { Parts::NONE } else { Parts::ORIGINAL };
            original.and(Parts::INTENT).and(Parts::CHANGE).and(Parts::WHY)
        }
        Move::Apply => Parts::OUTPUTS,
        Move::Verify => Parts::VERIFIED.and(Parts::OUTPUTS).and(Parts::WHY),
        // They are rare, and are taken in at once.
        Move::Approve
        | Move::NotStart
        | Move::Doubt
        | Move::DecideApplied
        | Move::DecideNotApplied
        | Move::DecideUnclear
        | Move::Fail
        | Move::Skip
        | Move::RollBack
        | Move::RolledBack
        | Move::RollbackFail => Parts::ALL,
    }
}
