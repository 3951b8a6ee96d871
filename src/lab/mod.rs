//! The lab: real Debian machines on this computer, where a runbook is rehearsed.
//!
//! Invariant: nothing in a lab has a route out, and everything a lab made can be taken away by its name alone, also
//! when hactl and every process of the lab were killed. What a lab is made of: one [`image`] (cached, built once),
//! [`machine`]s (an overlay over the image, a network namespace, systemd as PID 1), an object store, and one
//! [`state`] file that says what was asked for. What *is* there is always asked of the kernel, never of the state.
//!
//! Not here: the runbook, the engine, anything that a production run needs. This module is Linux only.

mod build;
mod cgroup;
pub mod cloud;
mod exec;
mod faults;
mod folder;
mod host;
mod image;
mod leftovers;
mod lock;
mod machine;
mod network;
mod seal;
mod snapshot;
mod state;
mod status;
mod store;
mod workspace;

pub mod progress;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::diagnostic::{Error, Result, codes};
use crate::name::HostName;

pub use host::{Missing, Need, become_root, install_packages, missing_packages, require};
pub use progress::Progress;
pub use seal::{enter, is_sealed};
pub use state::{LabName, Link, MachineKind, MachineState, Power, Scene, Snapshot, State, Work};
pub use status::{CloudSeen, CloudServer, Reality, Running, Seen, Status};
pub use workspace::{WorkspaceFor, give_back};

/// The environment variable that moves the lab's folder, for tests and for machines with a small /var.
pub const DIR_VARIABLE: &str = "HACTL_LAB_DIR";

/// How long a machine may take until it answers SSH; a booted one takes about a second.
const BOOT_DEADLINE: Duration = Duration::from_secs(60);

/// Where everything of the lab lives: images and labs.
#[must_use]
pub fn home() -> PathBuf {
    std::env::var_os(DIR_VARIABLE).map_or_else(|| PathBuf::from("/var/lib/hactl-lab"), PathBuf::from)
}

/// One lab, by its name. It may be up, down, or left over from a killed hactl.
#[derive(Debug, Clone)]
pub struct Lab {
    name: LabName,
    dir: PathBuf,
}

impl Lab {
    /// The lab of this name.
    #[must_use]
    pub fn named(name: LabName) -> Self {
        let dir = home().join("labs").join(name.as_str());
        Self { name, dir }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &LabName {
        &self.name
    }

    /// The network namespace in which the lab's bridge is, and which hactl enters for a rehearsal.
    #[must_use]
    pub fn namespace_path(&self) -> PathBuf {
        network::path(&network::lab_namespace(&self.name))
    }

    /// Is it up, all of it, as its state says?
    ///
    /// # Errors
    /// Its state cannot be read.
    pub fn is_up(&self) -> Result<bool> {
        Ok(State::load(&self.dir)?.is_some_and(|state| self.is_running(&state)))
    }

    /// Builds the image where it is missing, then makes and starts the scene's machines.
    ///
    /// A lab that is already up stays as it is; what an earlier lab of this name left behind is removed first.
    ///
    /// # Errors
    /// A host package is missing, the image cannot be built, or a machine does not answer SSH in time. What was
    /// made by then is taken down again.
    pub fn up(&self, scene: &Scene, progress: &dyn Fn(Progress)) -> Result<State> {
        host::require(if image::is_built() { Need::Machines } else { Need::Image })?;
        let image = image::ensure(progress)?;
        let _held = lock::hold(&self.name)?;
        if let Some(state) = State::load(&self.dir)? {
            if self.is_running(&state) {
                if state.scene != *scene {
                    let note = format!("lab {} is up already, with the machines it was made with", self.name);
                    progress(Progress::Note(note));
                }
                cloud::ensure(self, &state)?;
                return Ok(state);
            }
            progress(Progress::Note("removing what an earlier lab left behind".to_owned()));
            leftovers::remove(&self.name, &self.dir)?;
        } else {
            leftovers::remove(&self.name, &self.dir)?;
        }
        self.create(scene, &image, progress).inspect_err(|_| {
            // The first error is the one to show; what cannot be removed now is found by the next `up` or `down`.
            let _ = leftovers::remove(&self.name, &self.dir);
        })
    }

    fn create(&self, scene: &Scene, image: &image::Image, progress: &dyn Fn(Progress)) -> Result<State> {
        let mut state = State::plan(&self.name, scene, image)?;
        folder::prepare(&self.dir, &state, image)?;
        state.save_as(Work::Unfinished, &self.dir)?;
        network::create(&state)?;
        for machine in &state.machines {
            machine::prepare(&self.dir, &state, machine)?;
            machine::start(&self.dir, &state, machine)?;
            progress(Progress::Starting(machine.name.clone()));
        }
        self.wait(&state, progress)?;
        cloud::ensure(self, &state)?;
        state.save_as(Work::Finished, &self.dir)?;
        Ok(state)
    }

    fn wait(&self, state: &State, progress: &dyn Fn(Progress)) -> Result<()> {
        for machine in &state.machines {
            machine::wait_ready(&self.dir, state, machine, BOOT_DEADLINE)?;
            progress(Progress::Ready(machine.name.clone()));
        }
        Ok(())
    }

    fn is_running(&self, state: &State) -> bool {
        state.work == Work::Finished
            && state.machines.iter().any(|m| !machine::processes(state, m).is_empty())
            && state
                .machines
                .iter()
                .all(|m| m.power == Power::Off || !machine::processes(state, m).is_empty())
    }

    /// Removes the lab: processes, namespaces, control groups, files. The image stays. Nothing there is fine too.
    ///
    /// # Errors
    /// Something of it could not be removed; it says what.
    pub fn down(&self) -> Result<()> {
        let _held = lock::hold(&self.name)?;
        leftovers::remove(&self.name, &self.dir)?;
        lock::forget(&self.name);
        Ok(())
    }

    /// The state of a lab that is up.
    ///
    /// # Errors
    /// There is no lab of this name.
    pub fn state(&self) -> Result<State> {
        State::load(&self.dir)?.ok_or_else(|| {
            Error::new(codes::LAB_NOT_UP, format!("there is no lab {}", self.name))
                .next(format!("hactl lab up --name {}", self.name))
        })
    }

    /// The command that runs `argv` on a machine over SSH as its operator; no `argv` is a login shell. A server of the lab's
    /// cloud is logged in to as root, which it lets the lab's key do where it was created with it.
    ///
    /// # Errors
    /// There is no such lab or machine.
    pub fn ssh(&self, node: &HostName, argv: &[OsString]) -> Result<Command> {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace_path().display())).arg("ssh");
        command.arg("-F").arg(self.dir.join("ssh_config"));
        if let Some(server) = self.cloud_server(node)? {
            let (ip, known) = server.for_ssh()?;
            command.arg("-o").arg(format!("UserKnownHostsFile={}", known.display()));
            command.args(["-o", &format!("HostKeyAlias={node}"), "-l", "root"]).arg(ip.to_string());
        } else {
            command.arg(self.state()?.machine(node)?.name.as_str());
        }
        if !argv.is_empty() {
            command.arg("--").args(argv);
        }
        Ok(command)
    }
}
