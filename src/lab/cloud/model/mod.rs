//! The project: every object that the API knows, and what each request does to them.
//!
//! Invariant: pure. A request changes a copy of the project, which becomes the project only where the request was not
//! refused. Relations are kept on one side only and shown from both: a server's private networks are the server's, a
//! firewall's servers are the firewall's. What must be done in the world is an [`Effect`] of an action.

mod action;
pub(crate) mod balancer;
mod balancer_parts;
pub(crate) mod firewall;
pub(crate) mod floating;
pub(crate) mod network;
mod object;
pub(crate) mod place;
pub(crate) mod server;
pub(crate) mod server_actions;
pub(crate) mod server_create;
pub(crate) mod ssh_key;
mod subnet;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use action::{Action, ActionFault, Effect, Outcome, Stage};
pub(crate) use balancer::{Algorithm, Balancer, Protocol, Service, TargetKind};
pub(crate) use firewall::{Direction, Firewall, Rule};
pub(crate) use floating::FloatingIp;
pub(crate) use network::Network;
pub(crate) use object::{Context, Object, get, list, shown, update};
pub(crate) use place::PlacementGroup;
pub use server::Existing;
pub(crate) use server::{Phase, Server};
pub(crate) use ssh_key::SshKey;

use super::catalogue::SoldOut;

/// An object's id.
pub(crate) type Id = u64;

/// From where a lab's cloud takes addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ground {
    /// The first three octets of servers' and load balancers' public addresses.
    pub public: [u8; 3],
    /// The last octets that are the cloud's to give, first and last.
    pub octets: (u8, u8),
    /// The first three octets of floating IPs.
    pub floating: [u8; 3],
}

impl Default for Ground {
    /// Addresses that are for documentation only: nothing answers there.
    fn default() -> Self {
        Self { public: [198, 51, 100], octets: (100, 199), floating: [203, 0, 113] }
    }
}

/// A project with all that is in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Project {
    version: u32,
    next_id: Id,
    pub(crate) ground: Ground,
    pub(crate) sold_out: SoldOut,
    pub(crate) ssh_keys: BTreeMap<Id, SshKey>,
    pub(crate) servers: BTreeMap<Id, Server>,
    pub(crate) networks: BTreeMap<Id, Network>,
    pub(crate) firewalls: BTreeMap<Id, Firewall>,
    pub(crate) placement_groups: BTreeMap<Id, PlacementGroup>,
    pub(crate) balancers: BTreeMap<Id, Balancer>,
    pub(crate) floating_ips: BTreeMap<Id, FloatingIp>,
    pub(crate) actions: BTreeMap<Id, Action>,
}

/// The version of the project's file that this hactl writes and reads.
const VERSION: u32 = 1;

impl Project {
    pub(crate) fn new(ground: Ground) -> Self {
        Self {
            version: VERSION,
            next_id: 4_200_000,
            ground,
            sold_out: SoldOut::new(),
            ssh_keys: BTreeMap::new(),
            servers: BTreeMap::new(),
            networks: BTreeMap::new(),
            firewalls: BTreeMap::new(),
            placement_groups: BTreeMap::new(),
            balancers: BTreeMap::new(),
            floating_ips: BTreeMap::new(),
            actions: BTreeMap::new(),
        }
    }

    /// A new project in which these servers are there already.
    pub(crate) fn with(ground: Ground, existing: &[Existing]) -> Self {
        let mut project = Self::new(ground);
        for there in existing {
            let id = project.new_id();
            project.servers.insert(id, there.server(id));
        }
        project
    }

    pub(crate) fn is_known_version(&self) -> bool {
        self.version == VERSION
    }

    pub(crate) fn new_id(&mut self) -> Id {
        self.next_id += 1;
        self.next_id
    }

    /// A public address that nobody has.
    fn free_public(&self) -> Option<Ipv4Addr> {
        let [a, b, c] = self.ground.public;
        let (first, last) = self.ground.octets;
        let servers = self.servers.values().filter_map(|s| s.ipv4);
        let taken: Vec<Ipv4Addr> = servers.chain(self.balancers.values().map(|b| b.ipv4)).collect();
        (first..=last).map(|d| Ipv4Addr::new(a, b, c, d)).find(|ip| !taken.contains(ip))
    }

    /// Whether an action that has not ended concerns this object.
    pub(crate) fn is_locked(&self, kind: &str, id: Id) -> bool {
        let concerns = |a: &&Action| a.resources.iter().any(|r| r.0 == id && r.1 == kind);
        self.actions.values().filter(|a| a.stage == Stage::Running).any(|a| concerns(&a))
    }

    /// The firewalls that hold for a server.
    pub(crate) fn firewalls_of<'a>(&'a self, server: &'a Server) -> impl Iterator<Item = &'a Firewall> {
        self.firewalls.values().filter(move |f| f.holds_for(server))
    }

    /// Whether a server's filters are still to be changed.
    pub(crate) fn filters_pending(&self, server: Id) -> bool {
        self.actions.values().any(|a| {
            a.stage == Stage::Running
                && matches!(&a.effect, Effect::Filters(servers) if servers.contains(&server))
        })
    }

    /// What has to be done after a server's labels changed. The lab's cloud looks at those selectors only that exist.
    pub(crate) fn after_relabel(&mut self, context: Context<'_>, server: Id) {
        if self.firewalls.values().any(|f| !f.selectors.is_empty()) {
            self.chore(context, "apply_firewall", Effect::Filters(vec![server]));
        }
        let by_label =
            |b: &&Balancer| b.targets.iter().any(|t| matches!(t.kind, TargetKind::LabelSelector(_)));
        let balancers: Vec<Id> = self.balancers.values().filter(by_label).map(|b| b.meta.id).collect();
        for balancer in balancers {
            self.chore(context, "update_targets", Effect::Balance(balancer));
        }
    }

    /// The servers that a label selector chooses.
    pub(crate) fn servers_by_label(&self, selector: &str) -> Vec<Id> {
        let chosen = self.servers.values().filter(|s| object::selects(selector, &s.meta.labels));
        chosen.map(|s| s.meta.id).collect()
    }

    /// How an action ended, and what follows from that for the objects.
    pub(crate) fn settle(&mut self, action: Id, outcome: &Outcome, now: Timestamp) {
        let Some(there) = self.actions.get_mut(&action) else { return };
        there.end(outcome, now);
        let (effect, succeeded) = (there.effect.clone(), matches!(outcome, Outcome::Done));
        self.after(&effect, succeeded);
        if !succeeded {
            // What was to come after it cannot come any more.
            let next: Vec<Id> =
                self.actions.values().filter(|a| a.after == Some(action)).map(|a| a.id).collect();
            for id in next {
                self.settle(id, &Outcome::failed("action_failed", "the action before it failed"), now);
            }
        }
    }
}
