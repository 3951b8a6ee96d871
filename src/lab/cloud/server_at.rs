//! A machine that was made through the API, for the lab's own commands: they do to it what happens to real machines, behind
//! the API's back, and the API shows what became of it.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use super::backend::Machines;
use super::model::{Project, Server};
use super::{keep, run};
use crate::diagnostic::{Error, Result, codes};
use crate::lab::exec::{io, wait_until};
use crate::lab::state::{Link, State, replace};
use crate::lab::{Lab, network};
use crate::name::HostName;

/// How long a started server may take until its sshd answers.
const BOOT: Duration = Duration::from_secs(60);

/// A server with the machine that it is.
#[derive(Debug)]
pub(crate) struct ServerAt {
    lab: Lab,
    machines: Machines,
    project: Project,
    server: Server,
}

impl ServerAt {
    /// The one of this name, where the lab's cloud has one.
    pub(crate) fn find(lab: &Lab, state: &State, name: &HostName) -> Result<Option<Self>> {
        if !state.scene.has_cloud() {
            return Ok(None);
        }
        let Some(project) = keep::load(&run::project_file(lab))? else { return Ok(None) };
        let made = project.servers.values().find(|s| s.meta.name == name.as_str() && s.existing.is_none());
        Ok(made.cloned().map(|server| Self {
            lab: lab.clone(),
            machines: Machines::looking(lab.clone()),
            project,
            server,
        }))
    }

    /// Takes its power.
    pub(crate) fn kill(&self) -> Result<()> {
        self.machines.power_off(&self.server)
    }

    /// Gives it its power back, and waits until its sshd answers.
    pub(crate) fn start(&self) -> Result<()> {
        self.machines.start(&self.project, &self.server)?;
        let Some(ip) = self.server.ipv4 else { return Ok(()) };
        if wait_until(BOOT, || network::answers(&self.lab.name, ip.into(), 22, Duration::from_millis(200))) {
            return Ok(());
        }
        let text = format!("server {} does not answer after {} s", self.server.meta.name, BOOT.as_secs());
        Err(Error::new(codes::LAB_BOOT, text))
    }

    /// Cuts it off, or connects it again. Its next start connects it too.
    pub(crate) fn set_link(&self, link: Link) -> Result<()> {
        self.machines.set_port(
            &self.server,
            match link {
                Link::Connected => "up",
                Link::Cut => "down",
            },
        )
    }

    /// Its public address, and a file that says which host keys its disk holds now.
    pub(crate) fn for_ssh(&self) -> Result<(Ipv4Addr, PathBuf)> {
        let name = &self.server.meta.name;
        let ip = self.server.ipv4.ok_or_else(|| {
            Error::new(codes::LAB_NO_MACHINE, format!("server {name} has no public address to log in at"))
        })?;
        let own = self.lab.dir.join(Machines::folder(self.server.meta.id));
        let keys = own.join("upper/etc/ssh");
        let mut known = String::new();
        for entry in fs::read_dir(&keys).map_err(io("read", &keys))?.flatten() {
            let path = entry.path();
            let is_key =
                entry.file_name().to_str().is_some_and(|n| n.starts_with("ssh_host_") && n.ends_with(".pub"));
            if is_key {
                let key = fs::read_to_string(&path).map_err(io("read", &path))?;
                known.push_str(&format!("{name} {}\n", key.trim()));
            }
        }
        let file = own.join("known_hosts");
        replace(&file, known.as_bytes(), 0o600)?;
        Ok((ip, file))
    }
}
