//! Real machines behind the API: a server boots Debian in a network namespace of its own, on the lab's bridge.
//!
//! Invariant: it runs inside the lab's network namespace, and everything that it starts is in a namespace or a control
//! group that carries the lab's name, so that the lab is taken away by its name alone, with all that the cloud made.
//! Every effect makes the world as the project describes it, whatever was there before.
//!
//! What is not as in the real cloud: whatever image is asked for, Debian 13 boots; a private address is given from outside,
//! without DHCP; a firewall's filter is in the server's own namespace, where its root could take it away.

mod balancer;
mod filter;
mod ground;
mod power;
mod seed;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::model::{Id, Server};
use super::super::wire::Seen;
use super::{Backend, Effect, Outcome, Outcomes, Project, Work, World};
use crate::diagnostic::Result;
use crate::lab::state::LabName;
use crate::lab::{Lab, machine, network};

/// The machines of one lab's cloud.
#[derive(Debug)]
pub struct Machines {
    lab: Lab,
    /// Interfaces, routes and filters are changed by one at a time.
    network: Mutex<()>,
    balancers: Mutex<()>,
}

impl Machines {
    /// Those of a lab that is up. Its bridge is made to route floating IPs.
    ///
    /// # Errors
    /// The lab's namespaces are not there.
    pub fn of(lab: Lab) -> Result<Self> {
        let machines = Self::looking(lab);
        machines.prepare_routing()?;
        Ok(machines)
    }

    /// Those of a lab, for somebody outside the lab's network: nothing is prepared.
    pub(crate) fn looking(lab: Lab) -> Self {
        Self { lab, network: Mutex::new(()), balancers: Mutex::new(()) }
    }

    fn name(&self) -> &LabName {
        &self.lab.name
    }

    fn dir(&self) -> &Path {
        &self.lab.dir
    }

    /// The namespace of a server's machine; its machine name too.
    fn namespace(&self, server: &Server) -> String {
        let lab = network::lab_namespace(self.name());
        match &server.existing {
            Some(name) => format!("{lab}.{name}"),
            None => self.namespace_of(server.meta.id),
        }
    }

    fn namespace_of(&self, id: Id) -> String {
        super::super::run::namespace_of(&self.lab, id)
    }

    /// A server's folder, below the lab's.
    pub(crate) fn folder(id: Id) -> PathBuf {
        Path::new("cloud/servers").join(id.to_string())
    }

    fn held(lock: &Mutex<()>) -> MutexGuard<'_, ()> {
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the interfaces and the filter of a server whose machine is not started here.
    pub(crate) fn stand(&self, project: &Project, server: &Server) -> Result<()> {
        self.connect(project, server)?;
        if server.existing.is_none() {
            self.set_port(server, "down")?;
        }
        self.filter(project, server)
    }

    fn carry_out(&self, effect: &Effect, project: &Project) -> Result<()> {
        let server = |id: &Id| project.servers.get(id);
        match effect {
            Effect::Nothing => Ok(()),
            Effect::Create(id) => server(id).map_or(Ok(()), |s| self.create(project, s)),
            Effect::Start(id) => server(id).map_or(Ok(()), |s| self.start(project, s)),
            Effect::PowerOff(id) => server(id).map_or(Ok(()), |s| self.power_off(s)),
            Effect::Shutdown(id) => server(id).map_or(Ok(()), |s| self.shut_down(s)),
            Effect::Reset(id) => server(id).map_or(Ok(()), |s| {
                self.power_off(s)?;
                self.start(project, s)
            }),
            Effect::Reboot(id) => server(id).map_or(Ok(()), |s| self.reboot(s)),
            Effect::Remove(id) => server(id).map_or(Ok(()), |s| self.remove(s)),
            Effect::Interfaces(id) => server(id).map_or(Ok(()), |s| self.connect(project, s)),
            Effect::Filters(ids) => ids.iter().filter_map(server).try_for_each(|s| self.filter(project, s)),
            Effect::Balance(id) => self.balance(project, *id),
            Effect::Routes => self.route(project),
        }
    }
}

impl Backend for Machines {
    fn description(&self) -> &'static str {
        "real Debian machines, in systemd-nspawn"
    }

    fn perform(&self, work: Work<'_>) -> Outcomes {
        Outcomes(match self.carry_out(work.effect, work.project) {
            Ok(()) => Outcome::Done,
            Err(e) => Outcome::failed("action_failed", e.one_line()),
        })
    }

    fn look(&self, World(project): World<'_>) -> Seen {
        let mut seen = Seen::default();
        for server in project.servers.values() {
            let alive = machine::first_in(&self.namespace(server)).is_some();
            seen.running.insert(server.meta.id, alive);
        }
        for balancer in project.balancers.values() {
            seen.health.extend(self.health(balancer));
        }
        seen
    }
}
