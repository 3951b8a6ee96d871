//! What a lab is made of now, and which of its parts are real.

use std::net::Ipv4Addr;

use super::state::{MachineKind, MachineState, Snapshot, State};
use super::{Lab, cloud, machine};
use crate::diagnostic::Result;

/// Whether a part of the lab is the thing itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reality {
    /// The real software; it says what and how it runs.
    Real(&'static str),
    /// It speaks the real protocol, but is not what production has; it says what it stands for.
    StandIn(&'static str),
}

/// Whether a machine's processes are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// They are.
    Yes,
    /// They are not: killed, or ended from outside.
    No,
}

/// One machine as it is now.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What it was asked to be.
    pub machine: MachineState,
    /// What it is.
    pub running: Running,
    /// How real it is.
    pub reality: Reality,
}

/// A lab as it is now.
#[derive(Debug, Clone)]
pub struct Status {
    /// What it was asked to be.
    pub state: State,
    /// Its machines.
    pub machines: Vec<Seen>,
    /// What it can be put back to.
    pub snapshots: Vec<Snapshot>,
    /// Its cloud, where the scene has one.
    pub cloud: Option<CloudSeen>,
}

/// The lab's cloud as it is now.
#[derive(Debug, Clone)]
pub struct CloudSeen {
    /// Where its API is.
    pub address: Ipv4Addr,
    /// Whether the API answers.
    pub running: Running,
    /// What it is.
    pub reality: Reality,
    /// The machines that were made through it.
    pub servers: Vec<CloudServer>,
}

/// A machine that was made through the API.
#[derive(Debug, Clone)]
pub struct CloudServer {
    /// Its name.
    pub name: String,
    /// Its public address.
    pub address: Option<Ipv4Addr>,
    /// Whether it runs.
    pub running: Running,
}

impl Lab {
    /// Looks at the lab.
    ///
    /// # Errors
    /// There is no lab of this name.
    pub fn status(&self) -> Result<Status> {
        let state = self.state()?;
        let machines = state.machines.iter().map(|there| Seen {
            machine: there.clone(),
            running: if machine::processes(&state, there).is_empty() { Running::No } else { Running::Yes },
            reality: match there.kind {
                MachineKind::Debian => Reality::Real("Debian 13 with systemd and OpenSSH, in systemd-nspawn"),
                MachineKind::ObjectStore => Reality::StandIn(
                    "SeaweedFS, a real S3 server over TLS, for the provider's object storage",
                ),
            },
        });
        let (machines, snapshots) = (machines.collect(), state.snapshots.clone());
        let cloud = cloud::look(self, &state)?;
        Ok(Status { state, machines, snapshots, cloud })
    }

    /// The names of all labs that have a folder on this computer.
    #[must_use]
    pub fn names() -> Vec<super::LabName> {
        let entries = std::fs::read_dir(super::home().join("labs")).into_iter().flatten().flatten();
        let dirs = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
        let mut names: Vec<_> =
            dirs.filter_map(|e| super::LabName::new(e.file_name().to_str()?).ok()).collect();
        names.sort();
        names
    }
}
