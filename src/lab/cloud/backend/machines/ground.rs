//! Interfaces, private networks and routes.
//!
//! A private network is a bridge of its own in the lab's namespace, without an address there; a floating IP is a route of
//! the lab's namespace to the public address of the server that it is assigned to.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;

use super::super::super::model::{Id, Server};
use super::super::Project;
use super::Machines;
use crate::diagnostic::Result;
use crate::lab::exec::{Tool, io, words};
use crate::lab::network;
use crate::lab::state::replace;

/// The lab's own bridge.
const BRIDGE: &str = "br0";
/// What the real private networks carry.
const MTU: u32 = 1450;

/// The bridge of a private network.
fn bridge(network: Id) -> String {
    format!("n{network}")
}

/// The port of a server's or load balancer's public interface.
fn public_port(id: Id) -> String {
    format!("c{id}")
}

/// The port of its interface in a private network; names of interfaces have at most 15 characters.
fn private_port(network: Id, id: Id) -> String {
    format!("v{network:x}{id:x}")
}

fn links(namespace: &str) -> Result<BTreeSet<String>> {
    let text = Tool::new("ip").args(words(&format!("-n {namespace} -o link show"))).run()?;
    let names = text.lines().filter_map(|l| l.split(": ").nth(1));
    Ok(names.map(|n| n.split('@').next().unwrap_or(n).to_owned()).collect())
}

fn batch(namespace: &str, lines: &str) -> Result<()> {
    Tool::new("ip").args(["-n", namespace, "-batch", "-"]).input(lines).run().map(drop)
}

/// What an interface in a private network needs.
pub(super) struct Leg {
    pub(super) network: Id,
    pub(super) mac: Option<String>,
    pub(super) ip: Ipv4Addr,
}

impl Machines {
    /// Lets the lab's namespace route floating IPs, and every machine of the lab find them.
    pub(super) fn prepare_routing(&self) -> Result<()> {
        for (setting, value) in
            [("ip_forward", "1"), ("conf/all/send_redirects", "0"), ("conf/br0/send_redirects", "0")]
        {
            let path = std::path::Path::new("/proc/sys/net/ipv4").join(setting);
            fs::write(&path, value).map_err(io("write", &path))?;
        }
        let state = self.lab.state()?;
        for there in &state.machines {
            let own = network::machine_namespace(self.name(), &there.name);
            batch(&own, &format!("route replace {} via {}\n", self.floating_range()?, state.gateway()))?;
        }
        Ok(())
    }

    /// The range of all floating IPs of this lab.
    pub(super) fn floating_range(&self) -> Result<String> {
        let [a, b, c, _] = super::super::super::run::floating_ground(self.lab.state()?.gateway()).octets();
        Ok(format!("{a}.{b}.{c}.0/24"))
    }

    /// Makes a server's interfaces what the project says, and notes its addresses for its boots.
    pub(super) fn connect(&self, project: &Project, server: &Server) -> Result<()> {
        let legs: Vec<Leg> =
            server.private.iter().map(|p| Leg { network: p.network, mac: Some(p.mac()), ip: p.ip }).collect();
        let _held = Self::held(&self.network);
        let namespace = self.namespace(server);
        let public = if server.existing.is_some() { None } else { Some(server.ipv4) };
        let addresses = self.interfaces(project, &namespace, server.meta.id, public, &legs)?;
        if server.existing.is_some() {
            return Ok(());
        }
        let path = self.dir().join(Self::folder(server.meta.id)).join("addresses");
        replace(&path, addresses.as_bytes(), 0o600)
    }

    /// Makes interfaces: the public one, where it is ours to make, and one for each private network. Says what `ip` has
    /// to be told at every boot.
    pub(super) fn interfaces(
        &self,
        project: &Project,
        namespace: &str,
        id: Id,
        public: Option<Option<Ipv4Addr>>,
        legs: &[Leg],
    ) -> Result<String> {
        let lab = network::lab_namespace(self.name());
        if !network::path(namespace).exists() {
            Tool::new("ip").args(words(&format!("netns add {namespace}"))).run()?;
            batch(namespace, "link set lo up\n")?;
        }
        let (outside, gateway) = (links(&lab)?, self.lab.state()?.gateway());
        let mut addresses = String::new();
        if let Some(public) = public {
            let port = public_port(id);
            if !outside.contains(&port) {
                let line = format!(
                    "link add {port} type veth peer name eth0 netns {namespace}\nlink set {port} master {BRIDGE} up\n"
                );
                batch(&lab, &line)?;
            }
            addresses.push_str("addr flush dev eth0 scope global\n");
            if let Some(ip) = public {
                let range = self.floating_range()?;
                addresses.push_str(&format!(
                    "addr add {ip}/24 dev eth0\nlink set eth0 up\nroute replace {range} via {gateway}\n"
                ));
            }
        }
        let wanted: BTreeSet<String> = legs.iter().map(|l| private_port(l.network, id)).collect();
        for port in outside.iter().filter(|p| p.starts_with('v') && p.ends_with(&format!("{id:x}"))) {
            if !wanted.contains(port) {
                batch(&lab, &format!("link del {port}\n"))?;
            }
        }
        let there = links(namespace)?;
        let mut free = (7..).map(|n| format!("enp{n}s0")).filter(|n| !there.contains(n));
        for leg in legs {
            let (port, bridge) = (private_port(leg.network, id), bridge(leg.network));
            let range = project.networks.get(&leg.network).map_or(32, |n| n.range.prefix());
            if !outside.contains(&bridge) {
                batch(&lab, &format!("link add {bridge} mtu {MTU} type bridge\nlink set {bridge} up\n"))?;
            }
            if !outside.contains(&port) {
                let Some(inside) = free.next() else { continue };
                let mac = leg.mac.as_ref().map_or(String::new(), |m| format!("address {m} "));
                batch(
                    &lab,
                    &format!(
                        "link add {port} mtu {MTU} type veth peer name {inside} {mac}mtu {MTU} netns {namespace}\n\
                         link set {port} master {bridge} up\nlink set {port} alias {inside}\n"
                    ),
                )?;
                batch(
                    namespace,
                    &format!("addr add {}/{range} dev {inside}\nlink set {inside} up\n", leg.ip),
                )?;
            }
            let inside = inside_of(&lab, &port)?;
            addresses.push_str(&format!(
                "addr flush dev {inside} scope global\naddr add {}/{range} dev {inside}\nlink set {inside} up\n",
                leg.ip
            ));
        }
        Ok(addresses)
    }

    /// Takes the port of a server's public interface up or down, and with it those in private networks.
    pub(crate) fn set_port(&self, server: &Server, to: &str) -> Result<()> {
        let _held = Self::held(&self.network);
        let lab = network::lab_namespace(self.name());
        let outside = links(&lab)?;
        let mut ports: Vec<String> =
            server.private.iter().map(|p| private_port(p.network, server.meta.id)).collect();
        ports.push(match (&server.existing, server.ipv4) {
            (Some(_), Some(ip)) => format!("p{}", ip.octets()[3]),
            _ => public_port(server.meta.id),
        });
        let there = ports.iter().filter(|p| outside.contains(*p));
        let lines: String = there.map(|p| format!("link set {p} {to}\n")).collect();
        batch(&lab, &lines)
    }

    /// Makes the routes of floating IPs what the project says, and removes the bridges of networks that are no more.
    pub(crate) fn route(&self, project: &Project) -> Result<()> {
        let _held = Self::held(&self.network);
        let lab = network::lab_namespace(self.name());
        let there = Tool::new("ip").args(words(&format!("-n {lab} -o route show proto 77"))).run()?;
        let wanted: Vec<(Ipv4Addr, Ipv4Addr)> = project
            .floating_ips
            .values()
            .filter_map(|f| Some((f.ip, project.servers.get(&f.server?)?.ipv4?)))
            .collect();
        let mut lines = String::new();
        for ip in there.lines().filter_map(|l| l.split(' ').next()) {
            if !wanted.iter().any(|(floating, _)| floating.to_string() == ip) {
                lines.push_str(&format!("route del {ip} proto 77\n"));
            }
        }
        for (floating, server) in wanted {
            lines.push_str(&format!("route replace {floating}/32 via {server} proto 77\n"));
        }
        let bridges = links(&lab)?;
        let gone = bridges.iter().filter(|b| {
            b.strip_prefix('n')
                .and_then(|id| id.parse::<Id>().ok())
                .is_some_and(|id| !project.networks.contains_key(&id))
        });
        for bridge in gone {
            lines.push_str(&format!("link del {bridge}\n"));
        }
        batch(&lab, &lines)
    }
}

/// The name of the other end of a port, which the port has as its alias.
fn inside_of(lab: &str, port: &str) -> Result<String> {
    let text = Tool::new("ip").args(words(&format!("-n {lab} -o link show dev {port}"))).run()?;
    let alias = text.split("alias ").nth(1).and_then(|rest| rest.split_whitespace().next());
    Ok(alias.unwrap_or_default().to_owned())
}
