//! The states of a step and what may follow what: a pure, total table.
//!
//! Invariant: a history that this table rejects never happened through hactl, so replaying it is refused. The live
//! engine and the replay both go through [`State::after`], so they cannot disagree.

use std::fmt;

use crate::journal::record::{Observed, Record};

/// Where a step stands on one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Nothing happened yet.
    #[default]
    Pending,
    /// Observed, and its change is wanted.
    Ready,
    /// A gate waits for an answer.
    AwaitingApproval,
    /// The intent is on disk; the world may have changed.
    Intended,
    /// The change is there, not yet verified.
    Applied,
    /// The change is there and was verified.
    Verified,
    /// The change may or may not be there.
    InDoubt,
    /// It failed, and it is known how things stand.
    Failed,
    /// Being undone.
    RollingBack,
    /// Undone.
    RolledBack,
    /// Undoing failed.
    RollbackFailed,
    /// Left out on purpose; unproven.
    Skipped,
}

impl State {
    /// Every state, for tables and tests.
    pub const ALL: [Self; 12] = [
        Self::Pending,
        Self::Ready,
        Self::AwaitingApproval,
        Self::Intended,
        Self::Applied,
        Self::Verified,
        Self::InDoubt,
        Self::Failed,
        Self::RollingBack,
        Self::RolledBack,
        Self::RollbackFailed,
        Self::Skipped,
    ];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::AwaitingApproval => "awaiting approval",
            Self::Intended => "intended",
            Self::Applied => "applied",
            Self::Verified => "verified",
            Self::InDoubt => "in doubt",
            Self::Failed => "failed",
            Self::RollingBack => "rolling back",
            Self::RolledBack => "rolled back",
            Self::RollbackFailed => "rollback failed",
            Self::Skipped => "skipped",
        })
    }
}

/// What a record does to the state of its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Move {
    /// Observed: the change is there.
    SeeApplied,
    /// Observed: the change is wanted.
    SeeNotApplied,
    /// Observed: under way, or it cannot be told.
    SeeUnclear,
    /// The gate asks.
    Await,
    /// The gate was answered yes.
    Approve,
    /// The intent was recorded.
    Intend,
    /// The action ended well.
    Apply,
    /// The action certainly did not begin.
    NotStart,
    /// The action's outcome is unknown.
    Doubt,
    /// The doubt was settled: it is there.
    DecideApplied,
    /// The doubt was settled: it is not there.
    DecideNotApplied,
    /// The doubt stays.
    DecideUnclear,
    /// Verification begins.
    Try,
    /// Verified.
    Verify,
    /// Failed, known.
    Fail,
    /// Left out.
    Skip,
    /// Undoing begins.
    RollBack,
    /// Undone.
    RolledBack,
    /// Undoing failed.
    RollbackFail,
}

impl Move {
    /// Every move, for tables and tests.
    pub const ALL: [Self; 19] = [
        Self::SeeApplied,
        Self::SeeNotApplied,
        Self::SeeUnclear,
        Self::Await,
        Self::Approve,
        Self::Intend,
        Self::Apply,
        Self::NotStart,
        Self::Doubt,
        Self::DecideApplied,
        Self::DecideNotApplied,
        Self::DecideUnclear,
        Self::Try,
        Self::Verify,
        Self::Fail,
        Self::Skip,
        Self::RollBack,
        Self::RolledBack,
        Self::RollbackFail,
    ];

    /// The move that a record makes on its place; none for records about the run as a whole.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        Some(match record {
            Record::Observed { observed, .. } => match observed {
                Observed::Applied(_) => Self::SeeApplied,
                Observed::NotApplied { .. } => Self::SeeNotApplied,
                Observed::Running(_) | Observed::Indeterminate(_) => Self::SeeUnclear,
            },
            Record::Decided { observed, .. } => match observed {
                Observed::Applied(_) => Self::DecideApplied,
                Observed::NotApplied { .. } => Self::DecideNotApplied,
                Observed::Running(_) | Observed::Indeterminate(_) => Self::DecideUnclear,
            },
            Record::AwaitingApproval { .. } => Self::Await,
            Record::Approved(_) => Self::Approve,
            Record::Intended { .. } => Self::Intend,
            Record::Applied { .. } => Self::Apply,
            Record::NotStarted { .. } => Self::NotStart,
            Record::InDoubt { .. } => Self::Doubt,
            Record::Trial { .. } => Self::Try,
            Record::Verified { .. } => Self::Verify,
            Record::Failed { .. } => Self::Fail,
            Record::Skipped { .. } => Self::Skip,
            Record::RollingBack { .. } => Self::RollBack,
            Record::RolledBack { .. } => Self::RolledBack,
            Record::RollbackFailed { .. } => Self::RollbackFail,
            Record::RunStarted { .. }
            | Record::Resumed { .. }
            | Record::TakenOver { .. }
            | Record::TornTail { .. }
            | Record::Planned { .. }
            | Record::Proven(_)
            | Record::PhaseDone { .. }
            | Record::Interrupted
            | Record::Rebased { .. } => return None,
        })
    }
}

/// A history that the table rejects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{made:?} cannot follow on a step that is {from}")]
pub struct Illegal {
    /// The state it was in.
    pub from: State,
    /// What was to happen.
    pub made: Move,
}

impl State {
    /// The state after `made`, or why that cannot be.
    ///
    /// # Errors
    /// [`Illegal`] where such a history never comes from hactl.
    pub fn after(self, made: Move) -> Result<Self, Illegal> {
        let illegal = Err(Illegal { from: self, made });
        match made {
            // Looking again is legal wherever nothing is under way.
            Move::SeeApplied => match self {
                Self::Pending
                | Self::Ready
                | Self::AwaitingApproval
                | Self::Applied
                | Self::Failed
                | Self::RolledBack
                | Self::Skipped => Ok(Self::Applied),
                // A verified step stays verified while its change is seen.
                Self::Verified => Ok(Self::Verified),
                Self::Intended | Self::InDoubt | Self::RollingBack | Self::RollbackFailed => illegal,
            },
            Move::SeeNotApplied => match self {
                Self::Pending
                | Self::Ready
                | Self::AwaitingApproval
                | Self::Applied
                | Self::Verified
                | Self::Failed
                | Self::RolledBack
                | Self::Skipped => Ok(Self::Ready),
                Self::Intended | Self::InDoubt | Self::RollingBack | Self::RollbackFailed => illegal,
            },
            Move::SeeUnclear => match self {
                Self::Pending
                | Self::Ready
                | Self::AwaitingApproval
                | Self::Failed
                | Self::RolledBack
                | Self::Skipped => Ok(Self::Pending),
                Self::Applied => Ok(Self::Applied),
                Self::Verified => Ok(Self::Verified),
                Self::Intended | Self::InDoubt | Self::RollingBack | Self::RollbackFailed => illegal,
            },
            Move::Await => match self {
                Self::Ready | Self::AwaitingApproval => Ok(Self::AwaitingApproval),
                Self::Pending
                | Self::Intended
                | Self::Applied
                | Self::Verified
                | Self::InDoubt
                | Self::Failed
                | Self::RollingBack
                | Self::RolledBack
                | Self::RollbackFailed
                | Self::Skipped => illegal,
            },
            // Approving ahead is legal, and changes nothing about where the step stands.
            Move::Approve => match self {
                Self::AwaitingApproval | Self::Ready => Ok(Self::Ready),
                Self::Pending => Ok(Self::Pending),
                Self::Failed => Ok(Self::Failed),
                Self::RolledBack => Ok(Self::RolledBack),
                Self::Skipped => Ok(Self::Skipped),
                Self::Intended
                | Self::Applied
                | Self::Verified
                | Self::InDoubt
                | Self::RollingBack
                | Self::RollbackFailed => illegal,
            },
            Move::Intend => match self {
                Self::Ready => Ok(Self::Intended),
                Self::Pending
                | Self::AwaitingApproval
                | Self::Intended
                | Self::Applied
                | Self::Verified
                | Self::InDoubt
                | Self::Failed
                | Self::RollingBack
                | Self::RolledBack
                | Self::RollbackFailed
                | Self::Skipped => illegal,
            },
            Move::Apply => self.only_from(Self::Intended, made, Self::Applied),
            Move::NotStart => self.only_from(Self::Intended, made, Self::Failed),
            // An intent without an outcome is in doubt as soon as somebody looks at it again.
            Move::Doubt => match self {
                Self::Intended | Self::InDoubt => Ok(Self::InDoubt),
                Self::Pending
                | Self::Ready
                | Self::AwaitingApproval
                | Self::Applied
                | Self::Verified
                | Self::Failed
                | Self::RollingBack
                | Self::RolledBack
                | Self::RollbackFailed
                | Self::Skipped => illegal,
            },
            Move::DecideApplied => self.only_from(Self::InDoubt, made, Self::Applied),
            Move::DecideNotApplied => self.only_from(Self::InDoubt, made, Self::Ready),
            Move::DecideUnclear => self.only_from(Self::InDoubt, made, Self::InDoubt),
            // A change that was made and failed its verification is verified again, not made again.
            Move::Try => match self {
                Self::Applied | Self::Failed => Ok(Self::Applied),
                Self::Verified => Ok(Self::Verified),
                Self::Pending
                | Self::Ready
                | Self::AwaitingApproval
                | Self::Intended
                | Self::InDoubt
                | Self::RollingBack
                | Self::RolledBack
                | Self::RollbackFailed
                | Self::Skipped => illegal,
            },
            Move::Verify => match self {
                Self::Applied | Self::Verified => Ok(Self::Verified),
                Self::Pending
                | Self::Ready
                | Self::AwaitingApproval
                | Self::Intended
                | Self::InDoubt
                | Self::Failed
                | Self::RollingBack
                | Self::RolledBack
                | Self::RollbackFailed
                | Self::Skipped => illegal,
            },
            Move::Fail => match self {
                Self::Pending
                | Self::Ready
                | Self::AwaitingApproval
                | Self::Applied
                | Self::Verified
                | Self::Failed
                | Self::RolledBack
                | Self::Skipped => Ok(Self::Failed),
                Self::Intended | Self::InDoubt | Self::RollingBack | Self::RollbackFailed => illegal,
            },
            Move::Skip => match self {
                Self::Pending
                | Self::Ready
                | Self::AwaitingApproval
                | Self::Failed
                | Self::RolledBack
                | Self::Skipped => Ok(Self::Skipped),
                Self::Intended
                | Self::Applied
                | Self::Verified
                | Self::InDoubt
                | Self::RollingBack
                | Self::RollbackFailed => illegal,
            },
            // A failed step may have half a change to take back, and so may one that was found not applied and is to be
            // run again; one in doubt must be decided first.
            Move::RollBack => match self {
                Self::Pending
                | Self::Ready
                | Self::AwaitingApproval
                | Self::Applied
                | Self::Verified
                | Self::Failed
                | Self::RollingBack
                | Self::RollbackFailed
                | Self::Skipped => Ok(Self::RollingBack),
                Self::Intended | Self::InDoubt | Self::RolledBack => illegal,
            },
            Move::RolledBack => self.only_from(Self::RollingBack, made, Self::RolledBack),
            Move::RollbackFail => self.only_from(Self::RollingBack, made, Self::RollbackFailed),
        }
    }

    fn only_from(self, from: Self, made: Move, to: Self) -> Result<Self, Illegal> {
        if self == from { Ok(to) } else { Err(Illegal { from: self, made }) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Move, State};

    #[test]
    fn an_effect_needs_an_intent_and_an_intent_needs_an_observation() {
        for state in State::ALL {
            assert_eq!(state.after(Move::Apply).is_ok(), state == State::Intended, "{state}");
            assert_eq!(state.after(Move::Intend).is_ok(), state == State::Ready, "{state}");
        }
    }

    #[test]
    fn nothing_but_a_decision_leaves_doubt() {
        let out: Vec<_> = Move::ALL
            .into_iter()
            .filter(|m| State::InDoubt.after(*m).is_ok_and(|s| s != State::InDoubt))
            .collect();
        assert_eq!(out, [Move::DecideApplied, Move::DecideNotApplied]);
    }

    #[test]
    fn verified_comes_only_from_an_applied_change() {
        for state in State::ALL {
            if let Ok(State::Verified) = state.after(Move::Verify) {
                assert!(matches!(state, State::Applied | State::Verified));
            }
        }
    }
}
