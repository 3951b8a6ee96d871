//! Objects of the API, as far as hactl looks at them.
//!
//! Invariant: only what an object cannot be without is required; a new field or a new word in one never makes the
//! rest of a list unreadable. Words are texts here, and compared where they matter.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::balancer::LoadBalancer;
use super::floating::FloatingIp;
use super::parts::Numbered;
use super::server::{Server, ServerType};

/// What every object has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Head {
    /// Its number.
    pub id: i64,
    /// Its name, unique in a project among objects of its kind.
    pub name: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// A kind of object.
pub trait Resource: Clone + Debug + DeserializeOwned {
    /// The path, which is also the key of lists.
    const MANY: &'static str;
    /// The key of a single one.
    const ONE: &'static str;
    /// What it is called.
    const WORDS: &'static str;
    /// Whether the API does things with it in the background.
    const ACTIONS: Actions = Actions::Some;

    /// What every object has.
    fn head(&self) -> &Head;

    /// What would lose it if it were deleted: the API takes it away from them without asking.
    fn used_by(&self) -> Vec<String>;
}

/// Whether the API does things with a kind of object in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actions {
    /// It does.
    Some,
    /// It never does.
    Never,
}

macro_rules! resources {
    ($($name:ident = $many:literal, $one:literal, $words:literal, $actions:ident,
        [$($($users:ident).+: $user:literal),*];)*) => {$(
        impl Resource for $name {
            const MANY: &'static str = $many;
            const ONE: &'static str = $one;
            const WORDS: &'static str = $words;
            const ACTIONS: Actions = Actions::$actions;
            fn head(&self) -> &Head {
                &self.head
            }
            fn used_by(&self) -> Vec<String> {
                let all: &[Vec<String>] =
                    &[$(self.$($users).+.iter().map(|one| format!("{} {one}", $user)).collect()),*];
                all.concat()
            }
        }
    )*};
}

resources! {
    Firewall = "firewalls", "firewall", "firewall", Some, [];
    FloatingIp = "floating_ips", "floating_ip", "floating IP", Some, [server: "server"];
    LoadBalancer = "load_balancers", "load_balancer", "load balancer", Some, [targets: "its target"];
    Network = "networks", "network", "network", Some, [servers: "server", load_balancers: "load balancer"];
    PlacementGroup = "placement_groups", "placement_group", "placement group", Never, [servers: "server"];
    Server = "servers", "server", "server", Some,
        [load_balancers: "load balancer", public_net.floating_ips: "floating IP"];
    ServerType = "server_types", "server_type", "server type", Some, [];
    SshKey = "ssh_keys", "ssh_key", "SSH key", Never, [];
}

/// A public key that new servers can be given.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SshKey {
    /// What every object has.
    #[serde(flatten)]
    pub head: Head,
    /// The key, as it stands in `authorized_keys`.
    pub public_key: String,
}

/// A private network.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Network {
    /// What every object has.
    #[serde(flatten)]
    pub head: Head,
    /// The range that its subnets lie in.
    pub ip_range: String,
    /// Its subnets.
    pub subnets: Vec<SubnetSeen>,
    /// The servers in it, by number.
    #[serde(default)]
    pub servers: Vec<i64>,
    /// The load balancers in it, by number.
    #[serde(default)]
    pub load_balancers: Vec<i64>,
}

/// A subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SubnetSeen {
    /// Its range.
    #[serde(default)]
    pub ip_range: Option<String>,
    /// Its zone.
    #[serde(default)]
    pub network_zone: String,
    /// What it is for, such as `cloud`.
    #[serde(rename = "type", default)]
    pub kind: String,
}

/// A placement group.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PlacementGroup {
    /// What every object has.
    #[serde(flatten)]
    pub head: Head,
    /// How it places servers, such as `spread`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The servers in it, by number.
    #[serde(default)]
    pub servers: Vec<i64>,
}

/// A firewall.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Firewall {
    /// What every object has.
    #[serde(flatten)]
    pub head: Head,
    /// What it lets through.
    pub rules: Vec<RuleSeen>,
    /// What stands behind it.
    #[serde(default)]
    pub applied_to: Vec<AppliedTo>,
}

impl Firewall {
    /// Does this server stand behind it by its own number, rather than by a label?
    #[must_use]
    pub fn is_before(&self, server: i64) -> bool {
        self.applied_to.iter().any(|to| to.server.as_ref().is_some_and(|it| it.id == server))
    }
}

/// What stands behind a firewall: a server, or whatever has a label.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AppliedTo {
    /// The server, where it is one.
    #[serde(default)]
    pub server: Option<Numbered>,
}

/// A rule of a firewall, as the API shows it; it can be sent back as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSeen {
    /// `in` or `out`.
    pub direction: String,
    /// Such as `tcp`.
    pub protocol: String,
    /// One port or a range, where the protocol has ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// From where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_ips: Vec<String>,
    /// To where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destination_ips: Vec<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}
