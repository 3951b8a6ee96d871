//! Attempts: how a change reaches a host, so that afterwards it can be told what became of it.
//!
//! Invariant: a command starts at most once, and only after its claim (a `mkdir` on the host) succeeded under the
//! host's lock with the owner file checked. A claim that was made void can never start. The scripts on the host do
//! the work; here their answers become types.

use std::fmt;

use super::command::Status;
use crate::journal::AttemptLabel;
use crate::journal::record::Epoch;
use crate::name::{FleetName, HostName, RunId, StepId};

/// The ground on which commands are claimed on hosts: whose they are, and which try of which step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptId {
    /// Whose servers.
    pub fleet: FleetName,
    /// Which run.
    pub run: RunId,
    /// Which machine's hold on the fleet.
    pub epoch: Epoch,
    /// The step.
    pub step: StepId,
    /// The host of the step's place, where it has one.
    pub place_host: Option<HostName>,
    /// Which try: `a1` an action, `v1` a trial, `u1` an undo.
    pub label: AttemptLabel,
}

impl AttemptId {
    /// The step's folder on a host. A place on one host may also touch another; there its own name is added, so
    /// that two places of a step cannot meet.
    #[must_use]
    pub(super) fn folder(&self, on: &HostName) -> String {
        match &self.place_host {
            Some(host) if host != on => format!("{}@{host}", self.step),
            Some(_) | None => self.step.to_string(),
        }
    }

    /// What tells it from every other attempt of every fleet.
    #[must_use]
    pub fn mark(&self) -> String {
        let host = self.place_host.as_ref().map_or("", HostName::as_str);
        let whole = format!("{}/{}/{}/{host}/{}", self.fleet, self.run, self.step, self.label);
        crate::digest::Digest::of(whole).short()
    }

    /// The `application_name` of its database sessions: unique to this attempt, and short enough for PostgreSQL.
    #[must_use]
    pub fn application_name(&self) -> String {
        let step: String = self.step.as_str().chars().take(30).collect();
        format!("hactl {} {step} {}", self.label, self.mark())
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.run, self.step, self.label)
    }
}

/// What became of an attempt on one host, and nothing of it can start any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptState {
    /// None of its commands ever began.
    Never,
    /// Its command number `command` runs.
    Running {
        /// Which, from 1.
        command: u32,
    },
    /// Its last command, number `command`, ended.
    Finished {
        /// Which, from 1.
        command: u32,
        /// How.
        status: Status,
    },
    /// Its command number `command` began and was cut short: the machine rebooted, or the wrapper was killed.
    Unknown {
        /// Which, from 1.
        command: u32,
    },
}
