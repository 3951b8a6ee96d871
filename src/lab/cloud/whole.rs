//! The lab's cloud as a part of a snapshot: its project, the disks of its servers, and what stands behind both.
//!
//! Invariant: a copy is taken and put back while neither the API's process nor a machine of the cloud runs, so the project
//! and the disks are of one moment. Bringing back makes the world what the project says, whatever stood there.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Signal, kill_process};

use super::backend::Machines;
use super::model::{Phase, Project, Server};
use super::{keep, run};
use crate::diagnostic::{Error, Result, codes};
use crate::lab::exec::{Tool, io, wait_until};
use crate::lab::state::State;
use crate::lab::{Lab, machine, network};

/// How long the API's process may take to be gone.
const DEATH: Duration = Duration::from_secs(10);
/// How long a started server may take until its sshd answers.
const BOOT: Duration = Duration::from_secs(90);
/// What of the cloud's folder is the project's: the rest are logs.
const PARTS: [&str; 3] = ["project.json", "servers", "balancers"];

/// The cloud of a lab, while all of it is taken or put back.
pub(crate) struct Whole<'a> {
    lab: &'a Lab,
    state: &'a State,
    machines: Machines,
}

impl<'a> Whole<'a> {
    /// That of a lab; none where its scene has no cloud.
    pub(crate) fn of(lab: &'a Lab, state: &'a State) -> Option<Self> {
        state.scene.has_cloud().then(|| Self { lab, state, machines: Machines::looking(lab.clone()) })
    }

    /// Ends the API's process, and what it was doing; what was not done begins anew with the next one.
    pub(crate) fn pause(&self) -> Result<()> {
        let namespace = network::lab_namespace(&self.lab.name);
        let gone = wait_until(DEATH, || {
            let mut there = machine::in_namespace(&namespace);
            there.retain(|pid| {
                let words = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
                words.split(|byte| *byte == 0).any(|word| word == b"cloud-serve")
            });
            for pid in &there {
                // It may have ended by itself in the meantime.
                let _ = kill_process(*pid, Signal::KILL);
            }
            there.is_empty()
        });
        if gone {
            return Ok(());
        }
        Err(Error::new(codes::LAB_TOOL, format!("the cloud of lab {} does not end", self.lab.name)))
    }

    /// Shuts down the machines that were made, and keeps all of the cloud under a name. The API's process is to be paused.
    pub(crate) fn keep(&self, name: &str) -> Result<()> {
        let project = self.project()?;
        for server in made(&project) {
            // One that hangs loses its power, as any other machine of the lab.
            let asked = self.machines.shut_down(server);
            if asked.is_err() {
                self.machines.power_off(server)?;
            }
        }
        self.clear_balancers(&project)?;
        let (own, kept) = (self.lab.dir.join("cloud"), self.kept(name));
        if kept.exists() {
            fs::remove_dir_all(&kept).map_err(io("remove", &kept))?;
        }
        fs::create_dir_all(&kept).map_err(io("make", &kept))?;
        let there = PARTS.iter().map(|part| own.join(part)).filter(|path| path.exists());
        let there: Vec<_> = there.collect();
        // Nobody has ordered anything yet.
        if there.is_empty() {
            return Ok(());
        }
        Tool::new("cp")
            .args(["-a", "--reflink=auto", "--"])
            .args(there)
            .arg(&kept)
            .within(COPY)
            .run()
            .map(drop)
    }

    /// Refuses where the snapshot was taken without the cloud.
    pub(crate) fn has(&self, name: &str) -> Result<()> {
        if self.kept(name).exists() {
            return Ok(());
        }
        Err(Error::new(
            codes::LAB_NO_SNAPSHOT,
            format!("the snapshot {name} holds nothing of the lab's cloud"),
        )
        .state("nothing was done: what the cloud made would not fit to the machines")
        .next(format!("hactl lab --name {} snapshot NAME    (of how it is now)", self.lab.name)))
    }

    /// Takes away all that the cloud made, and puts back what the snapshot holds. The API's process is to be paused.
    pub(crate) fn put_back(&self, name: &str) -> Result<()> {
        let project = self.project()?;
        for server in made(&project) {
            self.machines.remove(server)?;
        }
        self.clear_balancers(&project)?;
        let (own, kept) = (self.lab.dir.join("cloud"), self.kept(name));
        for part in PARTS.map(|part| own.join(part)) {
            if part.is_dir() {
                fs::remove_dir_all(&part).map_err(io("remove", &part))?;
            } else if part.exists() {
                fs::remove_file(&part).map_err(io("remove", &part))?;
            }
        }
        let held = kept.join(".");
        Tool::new("cp").args(["-a", "--reflink=auto", "--"]).arg(&held).arg(&own).within(COPY).run().map(drop)
    }

    /// Makes the world what the project says, and starts the API again.
    pub(crate) fn go_on(&self) -> Result<()> {
        let project = self.project()?;
        for server in project.servers.values() {
            match (&server.existing, server.phase) {
                (None, Phase::Running | Phase::Starting) => self.machines.start(&project, server)?,
                // Its machine is the lab's own, which starts it.
                (Some(_), _) | (None, _) => self.machines.stand(&project, server)?,
            }
        }
        for balancer in project.balancers.keys() {
            self.machines.balance(&project, *balancer)?;
        }
        self.machines.route(&project)?;
        for server in made(&project).filter(|server| server.phase == Phase::Running) {
            let Some(ip) = server.ipv4 else { continue };
            let answers = || network::answers(&self.lab.name, ip.into(), 22, Duration::from_millis(200));
            if !wait_until(BOOT, answers) {
                let text = format!("server {} does not answer after {} s", server.meta.name, BOOT.as_secs());
                return Err(Error::new(codes::LAB_BOOT, text));
            }
        }
        run::ensure(self.lab, self.state)
    }

    /// Ends the load balancers and takes them away: they keep nothing.
    fn clear_balancers(&self, project: &Project) -> Result<()> {
        let mut without = project.clone();
        without.balancers.clear();
        project.balancers.keys().try_for_each(|id| self.machines.balance(&without, *id))
    }

    fn project(&self) -> Result<Project> {
        let kept = keep::load(&run::project_file(self.lab))?;
        Ok(kept.unwrap_or_else(|| Project::new(super::Ground::default())))
    }

    fn kept(&self, name: &str) -> PathBuf {
        self.lab.dir.join("snapshots").join(name)
    }
}

/// Copying the disks of all servers ends within this.
const COPY: Duration = Duration::from_secs(300);

/// The servers whose machines the cloud made.
fn made(project: &Project) -> impl Iterator<Item = &Server> {
    project.servers.values().filter(|server| server.existing.is_none())
}
