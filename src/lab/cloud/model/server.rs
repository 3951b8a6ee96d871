//! Servers, as the API shows them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::answer::{Answer, Answered};
use super::super::catalogue::{Image, Location, ServerType};
use super::object::{self, Context, Meta, Object, kept_in};
use super::{Effect, Id, Project};

/// Where a server stands, as its last action left it or is bringing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    Initializing,
    Starting,
    Running,
    Stopping,
    Off,
    Deleting,
}

/// A server's interface in a private network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Private {
    pub(crate) network: Id,
    pub(crate) ip: Ipv4Addr,
    pub(crate) alias_ips: Vec<Ipv4Addr>,
}

impl Private {
    /// The interface's address on the wire, made of its own IP: the same after every boot.
    pub(crate) fn mac(&self) -> String {
        let [a, b, c, d] = self.ip.octets();
        format!("86:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
    }
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) meta: Meta,
    pub(crate) server_type: Id,
    pub(crate) image: Id,
    pub(crate) location: String,
    pub(crate) phase: Phase,
    pub(crate) ipv4: Option<Ipv4Addr>,
    pub(crate) private: Vec<Private>,
    pub(crate) placement_group: Option<Id>,
    pub(crate) rebuild_protected: bool,
    /// Until its machine has it: it may hold keys.
    pub(crate) user_data: Option<String>,
    /// Who may log in, as OpenSSH public keys.
    pub(crate) keys: Vec<String>,
    /// The machine that was there before the cloud was, by its name in the lab.
    pub(crate) existing: Option<String>,
}

/// A server that was there before the cloud was.
#[derive(Debug, Clone)]
pub struct Existing {
    /// Its name in the API.
    pub name: String,
    /// Its machine's name in the lab.
    pub machine: String,
    /// Its public address.
    pub ipv4: Ipv4Addr,
    /// Its location.
    pub location: String,
    /// Its type.
    pub server_type: String,
}

impl Existing {
    pub(super) fn server(&self, id: Id) -> Server {
        let meta = Meta {
            id,
            name: self.name.clone(),
            labels: BTreeMap::new(),
            // Long before whatever is done to it now.
            created: "2025-03-01T08:00:00Z".to_owned(),
            protected: false,
        };
        Server {
            meta,
            server_type: ServerType::named(&self.server_type).map_or(0, |t| t.id),
            image: Image::named("debian-13", "x86").map_or(0, |i| i.id),
            location: self.location.clone(),
            phase: Phase::Running,
            ipv4: Some(self.ipv4),
            private: Vec::new(),
            placement_group: None,
            rebuild_protected: false,
            user_data: None,
            keys: Vec::new(),
            existing: Some(self.machine.clone()),
        }
    }
}

impl Server {
    pub(crate) fn kind(&self) -> Option<&'static ServerType> {
        ServerType::named(&self.server_type.to_string())
    }

    pub(crate) fn zone(&self) -> &'static str {
        Location::named(&self.location).map_or("", |l| l.zone)
    }

    /// What the API calls its state, seen with what really runs.
    fn status(&self, project: &Project, context: Context<'_>) -> &'static str {
        let locked = project.is_locked(Self::KIND, self.meta.id);
        match (self.phase, context.seen.running.get(&self.meta.id)) {
            (Phase::Initializing, _) => "initializing",
            (Phase::Starting, _) => "starting",
            (Phase::Stopping, _) => "stopping",
            (Phase::Deleting, _) => "deleting",
            (Phase::Running | Phase::Off, Some(true)) if !locked => "running",
            (Phase::Running | Phase::Off, Some(false)) if !locked => "off",
            (Phase::Running, _) => "running",
            (Phase::Off, _) => "off",
        }
    }

    pub(crate) fn is_running(&self, project: &Project, context: Context<'_>) -> bool {
        self.status(project, context) == "running"
    }

    fn public_net(&self, project: &Project) -> Value {
        let id = self.meta.id;
        let pending = project.filters_pending(id);
        let firewalls = project.firewalls_of(self).map(|f| {
            let status = if pending { "pending" } else { "applied" };
            json!({ "id": f.meta.id, "status": status })
        });
        let floating: Vec<Id> =
            project.floating_ips.values().filter(|f| f.server == Some(id)).map(|f| f.meta.id).collect();
        let ipv4 = self.ipv4.map(|ip| {
            let reverse = ip.to_string().replace('.', "-");
            // The primary IP's own id: one server has one.
            json!({ "id": id + 100_000_000, "ip": ip.to_string(), "blocked": false,
                    "dns_ptr": format!("static.{reverse}.clients.lab") })
        });
        json!({
            "ipv4": ipv4, "ipv6": null, "floating_ips": floating, "firewalls": firewalls.collect::<Vec<_>>(),
        })
    }
}

impl Object for Server {
    const KIND: &'static str = "server";
    const COLLECTION: &'static str = "servers";

    kept_in!(servers);

    fn view(&self, project: &Project, context: Context<'_>) -> Value {
        let id = self.meta.id;
        let private = self.private.iter().map(|p| {
            json!({ "network": p.network, "ip": p.ip.to_string(), "alias_ips": p.alias_ips, "mac_address": p.mac() })
        });
        let group = self.placement_group.and_then(|g| project.placement_groups.get(&g));
        let balancers: Vec<Id> =
            project.balancers.values().filter(|b| b.has_target(project, self)).map(|b| b.meta.id).collect();
        json!({
            "id": id, "name": self.meta.name, "status": self.status(project, context),
            "created": self.meta.created, "labels": self.meta.labels,
            "locked": project.is_locked(Self::KIND, id),
            "public_net": self.public_net(project), "private_net": private.collect::<Vec<_>>(),
            "server_type": self.kind().map(|t| t.view(&project.sold_out)),
            "location": Location::named(&self.location).map(Location::view),
            "image": Image::of(self.image).map(Image::view),
            "placement_group": group.map(|g| g.view(project, context)),
            "load_balancers": balancers, "volumes": [],
            "protection": { "delete": self.meta.protected, "rebuild": self.rebuild_protected },
            "primary_disk_size": self.kind().map_or(0, |t| t.disk),
            "backup_window": null, "iso": null, "rescue_enabled": false,
            "included_traffic": 20_u64 << 40, "ingoing_traffic": 0, "outgoing_traffic": 0,
        })
    }
}

pub(crate) fn delete(project: &mut Project, context: Context<'_>, id: Id) -> Answered {
    object::deletable::<Server>(project, id)?;
    object::get_mut::<Server>(project, id)?.phase = Phase::Deleting;
    for firewall in project.firewalls.values_mut() {
        firewall.servers.remove(&id);
    }
    let mut routes = false;
    for floating in project.floating_ips.values_mut().filter(|f| f.server == Some(id)) {
        floating.server = None;
        routes = true;
    }
    let mut rebalanced = Vec::new();
    for balancer in project.balancers.values_mut() {
        if balancer.forget_server(id) {
            rebalanced.push(balancer.meta.id);
        }
    }
    if routes {
        project.chore(context, "unassign_floating_ip", Effect::Routes);
    }
    for balancer in rebalanced {
        project.chore(context, "remove_target", Effect::Balance(balancer));
    }
    let action = project.act(context, "delete_server", &[(Server::KIND, id)], Effect::Remove(id));
    Ok(Answer::ok(json!({ "action": project.action_view(context, action) })))
}
