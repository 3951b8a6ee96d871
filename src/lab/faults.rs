//! What can be done to a lab's machines: take their power, give it back, cut and heal their link.
//!
//! A killed machine is taken off the bridge first: one that lost power answers nothing, not "connection refused".
//! A kill is no power cut for the page cache: what was written but not synced is still there afterwards.

use std::time::Duration;

use super::state::{Link, MachineKind, MachineState, Power, State};
use super::{Lab, cloud, lock, machine, network};
use crate::diagnostic::Result;
use crate::name::HostName;

/// How long a machine may take until it answers again.
const BOOT: Duration = Duration::from_secs(60);

impl Lab {
    /// Takes a machine's power. One that is off stays off. A server of the lab's cloud goes by its name there.
    ///
    /// # Errors
    /// There is no such machine, or its processes do not end.
    pub fn kill(&self, node: &HostName) -> Result<()> {
        if let Some(server) = self.cloud_server(node)? {
            return server.kill();
        }
        self.change(node, |state, machine| {
            machine.power = Power::Off;
            network::set_link(state, machine, Link::Cut)?;
            machine::kill(state, machine)
        })
    }

    /// Gives a machine its power back and waits until it answers, unless its link is cut.
    ///
    /// # Errors
    /// There is no such machine, or it does not answer in time.
    pub fn start(&self, node: &HostName) -> Result<()> {
        if let Some(server) = self.cloud_server(node)? {
            return server.start();
        }
        self.change(node, |state, machine| {
            machine.power = Power::On;
            self.begin(state, machine)
        })?;
        let state = self.state()?;
        let machine = state.machine(node)?;
        match machine.link {
            Link::Connected => machine::wait_ready(&self.dir, &state, machine, BOOT),
            Link::Cut => Ok(()),
        }
    }

    /// Notes whether a machine is meant to run, for whoever looks at the lab as a whole: the lab's cloud gives and takes
    /// power too. It waits for whoever works on the lab just now.
    pub(crate) fn note_power(&self, node: &HostName, power: Power) -> Result<()> {
        let _held = lock::wait(&self.name, BOOT)?;
        let mut state = self.state()?;
        state.machine(node)?;
        for machine in state.machines.iter_mut().filter(|m| m.name == *node) {
            machine.power = power;
        }
        state.save(&self.dir)
    }

    /// Takes every machine's power at once; the object store is elsewhere and goes on. `start` brings each back.
    ///
    /// # Errors
    /// A machine's processes do not end.
    pub fn power_cut(&self) -> Result<()> {
        let _held = lock::hold(&self.name)?;
        let mut state = self.state()?;
        for machine in state.nodes() {
            network::set_link(&state, machine, Link::Cut)?;
        }
        for machine in state.nodes() {
            machine::kill(&state, machine)?;
        }
        for machine in state.machines.iter_mut().filter(|m| m.kind == MachineKind::Debian) {
            machine.power = Power::Off;
        }
        state.save(&self.dir)
    }

    /// Cuts a machine off from the others; it goes on running.
    ///
    /// # Errors
    /// There is no such machine.
    pub fn cut(&self, node: &HostName) -> Result<()> {
        self.set_link(node, Link::Cut)
    }

    /// Connects a machine again.
    ///
    /// # Errors
    /// There is no such machine.
    pub fn heal(&self, node: &HostName) -> Result<()> {
        self.set_link(node, Link::Connected)
    }

    fn set_link(&self, node: &HostName, link: Link) -> Result<()> {
        if let Some(server) = self.cloud_server(node)? {
            return server.set_link(link);
        }
        self.change(node, |state, machine| {
            machine.link = link;
            match machine.power {
                Power::On => network::set_link(state, machine, link),
                Power::Off => Ok(()),
            }
        })
    }

    /// A machine that was made through the lab's cloud, by the name of its server, where the lab has no machine of its own
    /// of that name.
    pub(super) fn cloud_server(&self, node: &HostName) -> Result<Option<cloud::ServerAt>> {
        let state = self.state()?;
        if state.machines.iter().any(|m| m.name == *node) {
            return Ok(None);
        }
        cloud::ServerAt::find(self, &state, node)
    }

    /// Starts a machine's processes, with its link as it is meant to be.
    pub(super) fn begin(&self, state: &State, machine: &MachineState) -> Result<()> {
        network::set_link(state, machine, machine.link)?;
        if !machine::processes(state, machine).is_empty() {
            return Ok(());
        }
        machine::start(&self.dir, state, machine)
    }

    fn change(
        &self,
        node: &HostName,
        change: impl FnOnce(&State, &mut MachineState) -> Result<()>,
    ) -> Result<()> {
        let _held = lock::hold(&self.name)?;
        let mut state = self.state()?;
        let mut machine = state.machine(node)?.clone();
        change(&state, &mut machine)?;
        if let Some(there) = state.machines.iter_mut().find(|m| m.name == *node) {
            *there = machine;
        }
        state.save(&self.dir)
    }
}
