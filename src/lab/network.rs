//! The lab's network: one namespace with the bridge, one namespace per machine, a veth pair between them.
//!
//! Invariant: no interface of a lab is ever in the host's namespace, so there is no route out to take away. Names
//! of namespaces carry the lab's name and a dot, which no lab name has, so that they cannot be mistaken.

use std::fs::File;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::exec::{Tool, io, words};
use super::state::{LabName, Link, MachineState, State};
use crate::diagnostic::Result;
use crate::name::HostName;

/// The bridge's name inside the lab's namespace.
const BRIDGE: &str = "br0";
const NAMESPACES: &str = "/run/netns";

/// The namespace that holds the bridge.
pub(crate) fn lab_namespace(lab: &LabName) -> String {
    format!("hactl-{lab}")
}

/// The namespace of one machine.
pub(crate) fn machine_namespace(lab: &LabName, machine: &HostName) -> String {
    format!("hactl-{lab}.{machine}")
}

/// The file by which a namespace is entered.
pub(crate) fn path(namespace: &str) -> PathBuf {
    Path::new(NAMESPACES).join(namespace)
}

/// The machine's port of the bridge.
fn port(machine: &MachineState) -> String {
    format!("p{}", machine.address.octets()[3])
}

/// Makes the namespaces, the bridge and the ports.
pub(crate) fn create(state: &State) -> Result<()> {
    let lab = lab_namespace(&state.name);
    ip(&format!("netns add {lab}"))?;
    let gateway = state.gateway();
    let mut batch = format!(
        "link set lo up\nlink add {BRIDGE} type bridge\nlink set {BRIDGE} up\naddr add {gateway}/24 dev {BRIDGE}\n"
    );
    for machine in &state.machines {
        let own = machine_namespace(&state.name, &machine.name);
        ip(&format!("netns add {own}"))?;
        let port = port(machine);
        batch.push_str(&format!(
            "link add {port} type veth peer name eth0 netns {own}\nlink set {port} master {BRIDGE} up\n"
        ));
    }
    Tool::new("ip").args(["-n", &lab, "-batch", "-"]).input(batch).run()?;
    for machine in &state.machines {
        let own = machine_namespace(&state.name, &machine.name);
        let batch = format!("link set lo up\naddr add {}/24 dev eth0\nlink set eth0 up\n", machine.address);
        Tool::new("ip").args(["-n", &own, "-batch", "-"]).input(batch).run()?;
    }
    Ok(())
}

/// Takes the machine's port of the bridge up or down.
pub(crate) fn set_link(state: &State, machine: &MachineState, link: Link) -> Result<()> {
    let to = match link {
        Link::Connected => "up",
        Link::Cut => "down",
    };
    ip(&format!("-n {} link set {} {to}", lab_namespace(&state.name), port(machine)))
}

fn ip(line: &str) -> Result<()> {
    Tool::new("ip").args(words(line)).run().map(drop)
}

/// Names of all namespaces of a lab that exist now.
pub(crate) fn existing(lab: &LabName) -> Vec<String> {
    let own = lab_namespace(lab);
    let prefix = format!("{own}.");
    let Ok(entries) = std::fs::read_dir(NAMESPACES) else { return Vec::new() };
    let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
    names.filter(|name| *name == own || name.starts_with(&prefix)).collect()
}

/// Removes one namespace by name; its interfaces go with it.
pub(crate) fn delete(namespace: &str) -> Result<()> {
    let ended = Tool::new("ip").args(["netns", "del", namespace]).ended()?;
    let file = path(namespace);
    if !ended.status.success() && file.exists() {
        // A namespace file whose mount is gone (after a restart of the machine) is an empty file.
        std::fs::remove_file(&file).map_err(io("remove", &file))?;
    }
    Ok(())
}

/// Whether something accepts TCP connections at `address` as seen from inside the lab.
///
/// A thread of its own enters the namespace: joining a network namespace concerns one thread only.
pub(crate) fn answers(lab: &LabName, address: IpAddr, port: u16, within: Duration) -> bool {
    let namespace = path(&lab_namespace(lab));
    let knock = move || -> std::io::Result<()> {
        let file = File::open(&namespace)?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        TcpStream::connect_timeout(&SocketAddr::new(address, port), within).map(drop)
    };
    std::thread::spawn(knock).join().is_ok_and(|r| r.is_ok())
}
