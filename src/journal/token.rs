//! What the journal hands out after fsync: without one of these nothing can touch a host.
//!
//! Invariant: the fields are private and the constructors are the journal's alone, so a token is proof that its
//! record is durable. A token cannot be cloned.

use std::fmt;
use std::ops::Deref;

use super::record::{AttemptNumber, Before, Epoch, Outputs, Place};
use crate::name::{FleetName, HostName, RunId};

/// What an attempt is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// To carry out the step's action.
    Action,
    /// To verify it.
    Trial,
    /// To undo it.
    Undo,
}

/// The name of an attempt within its place: `a1`, `v1`, `u1`. It is a path segment on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptLabel {
    /// What it is for.
    pub purpose: Purpose,
    /// Which one.
    pub number: AttemptNumber,
}

impl fmt::Display for AttemptLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.purpose {
            Purpose::Action => 'a',
            Purpose::Trial => 'v',
            Purpose::Undo => 'u',
        };
        write!(f, "{letter}{}", self.number)
    }
}

/// What a durable record entitles to: the ground on which a claim on a host stands.
#[derive(Debug)]
pub struct Warrant {
    fleet: FleetName,
    run: RunId,
    epoch: Epoch,
    place: Place,
    label: AttemptLabel,
    hosts: Vec<HostName>,
    before: Option<Before>,
    outputs: Outputs,
}

/// What a warrant is made of; the journal fills it in.
pub(super) struct Ground {
    pub(super) fleet: FleetName,
    pub(super) run: RunId,
    pub(super) epoch: Epoch,
    pub(super) place: Place,
    pub(super) label: AttemptLabel,
    pub(super) hosts: Vec<HostName>,
    pub(super) before: Option<Before>,
    pub(super) outputs: Outputs,
}

impl From<Ground> for Warrant {
    fn from(ground: Ground) -> Self {
        let Ground { fleet, run, epoch, place, label, hosts, before, outputs } = ground;
        Self { fleet, run, epoch, place, label, hosts, before, outputs }
    }
}

impl Warrant {
    /// Whose servers.
    #[must_use]
    pub fn fleet(&self) -> &FleetName {
        &self.fleet
    }

    /// Which run.
    #[must_use]
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Which machine's hold on the fleet.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Where.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The name of the attempt within its place.
    #[must_use]
    pub fn label(&self) -> AttemptLabel {
        self.label
    }

    /// The attempt's number.
    #[must_use]
    pub fn attempt(&self) -> AttemptNumber {
        self.label.number
    }

    /// What was seen before: for an action and its trial, before the newest intent; for an undo, before the *first*
    /// intent since the place was clean, which is what has to be restored.
    #[must_use]
    pub fn before(&self) -> Option<&Before> {
        self.before.as_ref()
    }

    /// The outputs that the journal holds of the place: what was made and is to be verified, or undone.
    #[must_use]
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// The only hosts that it covers.
    #[must_use]
    pub fn hosts(&self) -> &[HostName] {
        &self.hosts
    }

    /// Does it cover this host?
    #[must_use]
    pub fn covers(&self, host: &HostName) -> bool {
        self.hosts.contains(host)
    }
}

/// An intent stands in the journal: the world may be changed, on its hosts (`a1`).
#[derive(Debug)]
#[must_use = "an intent that is not carried out leaves its step in doubt"]
pub struct IntentRecorded(Warrant);

/// A rollback stands in the journal: the change may be undone, on its hosts (`u1`).
#[derive(Debug)]
#[must_use = "a rollback that is not carried out leaves its step half undone"]
pub struct RollbackRecorded(Warrant);

/// A trial stands in the journal: objects marked as ours may be created and removed, on its hosts (`v1`).
#[derive(Debug)]
#[must_use = "a trial was recorded for verifying"]
pub struct TrialRecorded(Warrant);

macro_rules! tokens {
    ($($name:ident)*) => {$(
        impl $name {
            pub(super) fn new(ground: Ground) -> Self {
                Self(ground.into())
            }
        }

        impl Deref for $name {
            type Target = Warrant;
            fn deref(&self) -> &Warrant {
                &self.0
            }
        }
    )*};
}

tokens! { IntentRecorded RollbackRecorded TrialRecorded }
