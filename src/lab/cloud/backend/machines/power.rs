//! Power: given, taken, and asked for.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::super::super::model::{Id, Server};
use super::super::Project;
use super::Machines;
use crate::diagnostic::{Error, Result, codes};
use crate::lab::Power;
use crate::lab::exec::{PATH, Tool, io, wait_until};
use crate::lab::{cgroup, machine, network};
use crate::name::HostName;
use rustix::process::{Pid, Signal, kill_process};

/// How long a killed machine's processes may take to be gone.
const DEATH: Duration = Duration::from_secs(15);
/// How long a system may take to shut down by itself.
const SHUTDOWN: Duration = Duration::from_secs(60);
/// How long until a started machine has a first process.
const START: Duration = Duration::from_secs(30);
/// What asks systemd to power off, and to reboot: SIGRTMIN+4 and +5; glibc's SIGRTMIN is 34.
const POWER_OFF: u8 = 38;
const REBOOT: u8 = 39;

/// The layers of a server's disk, uppermost first, in the lab's folder.
const LAYERS: &str = "image/cloud:image/base";

/// The control group of what the cloud made for an object.
pub(super) fn group(id: Id) -> Result<HostName> {
    HostName::new(&format!("c{id}")).map_err(|e| Error::new(codes::INTERNAL, "an id is not a name").source(e))
}

fn host_name(name: &str) -> Result<HostName> {
    HostName::new(name).map_err(|e| Error::new(codes::INTERNAL, "a machine's name is not a name").source(e))
}

impl Machines {
    fn first(&self, server: &Server) -> Option<Pid> {
        machine::first_in(&self.namespace(server))
    }

    pub(crate) fn start(&self, project: &Project, server: &Server) -> Result<()> {
        self.connect(project, server)?;
        self.set_port(server, "up")?;
        if self.first(server).is_some() {
            return Ok(());
        }
        self.filter(project, server)?;
        match &server.existing {
            Some(name) => self.start_existing(name)?,
            None => self.boot(server)?,
        }
        if wait_until(START, || self.first(server).is_some()) {
            return self.note(server, Power::On);
        }
        Err(Error::new(codes::LAB_BOOT, format!("server {} does not start", server.meta.name)))
    }

    fn start_existing(&self, name: &str) -> Result<()> {
        let state = self.lab.state()?;
        machine::start(self.dir(), &state, state.machine(&host_name(name)?)?)
    }

    /// Tells the lab whether one of its own machines is meant to run. One that is not is told before it ends, or the lab
    /// would be taken for one that has died.
    fn note(&self, server: &Server, power: Power) -> Result<()> {
        match &server.existing {
            Some(name) => self.lab.note_power(&host_name(name)?, power),
            None => Ok(()),
        }
    }

    fn boot(&self, server: &Server) -> Result<()> {
        let own = Self::folder(server.meta.id);
        let group = group(server.meta.id)?;
        let mut command = Command::new("setsid");
        command.args(["--fork", "unshare", "--mount", "--propagation", "private", "--", "sh", "-euc"]);
        let namespace = self.namespace(server);
        command.args([machine::START, "hactl-lab", LAYERS]).arg(&own).arg(network::path(&namespace));
        command.arg(namespace).arg(own.join("addresses")).args(cgroup::prepare(self.name(), &group));
        self.run(command, &own.join("console.log"))
    }

    /// Runs what leaves a process behind.
    pub(super) fn run(&self, mut command: Command, log: &std::path::Path) -> Result<()> {
        let path = self.dir().join(log);
        let out = File::options().create(true).append(true).open(&path).map_err(io("open", &path))?;
        let errors = out.try_clone().map_err(io("open", &path))?;
        command.current_dir(self.dir()).env_clear().env("PATH", PATH);
        command.stdin(Stdio::null()).stdout(out).stderr(errors);
        let failed =
            |why: String| Error::new(codes::LAB_BOOT, "a machine of the cloud cannot be started").source(why);
        let status = command.status().map_err(|e| failed(e.to_string()))?;
        if status.success() { Ok(()) } else { Err(failed(fs::read_to_string(&path).unwrap_or_default())) }
    }

    pub(crate) fn power_off(&self, server: &Server) -> Result<()> {
        let namespace = self.namespace(server);
        if !network::path(&namespace).exists() {
            return Ok(());
        }
        self.note(server, Power::Off)?;
        // A machine without power answers nothing, not "connection refused".
        self.set_port(server, "down")?;
        self.end(&namespace)?;
        // What held the machine lets go of its disk a moment later.
        let group = group(server.meta.id)?;
        if wait_until(DEATH, || cgroup::processes_of(self.name(), &group).is_empty()) {
            return Ok(());
        }
        Err(Error::new(codes::LAB_TOOL, format!("what held server {} does not end", server.meta.name)))
    }

    /// Ends every process of a namespace: a machine's first one takes the others with it.
    pub(super) fn end(&self, namespace: &str) -> Result<()> {
        let gone = wait_until(DEATH, || {
            let there = machine::in_namespace(namespace);
            for pid in &there {
                // It may have ended by itself in the meantime.
                let _ = kill_process(*pid, Signal::KILL);
            }
            there.is_empty()
        });
        if gone {
            return Ok(());
        }
        Err(Error::new(codes::LAB_TOOL, format!("the processes of {namespace} do not end")))
    }

    fn ask(pid: Pid, signal: u8) -> Result<()> {
        let line = format!("kill -{signal} {}", pid.as_raw_nonzero());
        Tool::new("sh").args(["-c", &line]).run().map(drop)
    }

    pub(crate) fn shut_down(&self, server: &Server) -> Result<()> {
        let Some(first) = self.first(server) else { return Ok(()) };
        self.note(server, Power::Off)?;
        Self::ask(first, POWER_OFF)?;
        if wait_until(SHUTDOWN, || self.first(server).is_none()) {
            return Ok(());
        }
        self.note(server, Power::On)?;
        Err(Error::new(codes::LAB_TOOL, format!("server {} does not shut down", server.meta.name)))
    }

    pub(super) fn reboot(&self, server: &Server) -> Result<()> {
        let Some(first) = self.first(server) else { return Ok(()) };
        self.note(server, Power::Off)?;
        Self::ask(first, REBOOT)?;
        if wait_until(SHUTDOWN + START, || self.first(server).is_some_and(|now| now != first)) {
            return self.note(server, Power::On);
        }
        self.note(server, Power::On)?;
        Err(Error::new(codes::LAB_TOOL, format!("server {} does not reboot", server.meta.name)))
    }
}
