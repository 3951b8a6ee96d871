//! Servers and their types, as far as hactl looks at them.

use serde::Deserialize;

use super::model::{Head, Resource};

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Server {
    /// What every object has.
    #[serde(flatten)]
    pub head: Head,
    /// `running`, `off`, or a word for what lies between.
    pub status: String,
    /// Its addresses in the world.
    #[serde(default)]
    pub public_net: ServerPublicNet,
    /// Its addresses in private networks.
    #[serde(default)]
    pub private_net: Vec<ServerPrivateNet>,
    /// Its type.
    pub server_type: NamedPart,
    /// Its location.
    #[serde(default)]
    pub location: Option<NamedPart>,
    /// What it began with.
    #[serde(default)]
    pub image: Option<NamedPart>,
    /// The group that spreads it.
    #[serde(default)]
    pub placement_group: Option<NamedPart>,
    /// Against what it is protected.
    #[serde(default)]
    pub protection: Protection,
    /// The load balancers that have it as a target, by number.
    #[serde(default)]
    pub load_balancers: Vec<i64>,
}

/// An object that another one names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NamedPart {
    /// Its number.
    pub id: i64,
    /// Its name, where it has one.
    #[serde(default)]
    pub name: Option<String>,
}

/// A server's addresses in the world.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ServerPublicNet {
    /// Its IPv4 address, where it has one.
    #[serde(default)]
    pub ipv4: Option<Ip>,
    /// The firewalls before it.
    #[serde(default)]
    pub firewalls: Vec<FirewallOn>,
    /// The floating IPs that are assigned to it, by number.
    #[serde(default)]
    pub floating_ips: Vec<i64>,
}

/// An address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Ip {
    /// The address.
    pub ip: String,
}

/// A firewall before a server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FirewallOn {
    /// Its number.
    pub id: i64,
    /// `applied`, or `pending`.
    #[serde(default)]
    pub status: String,
}

/// A server's address in a private network.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ServerPrivateNet {
    /// The network's number.
    pub network: i64,
    /// The address.
    pub ip: String,
}

/// Against what a server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Protection {
    /// Against being deleted.
    #[serde(default)]
    pub delete: bool,
    /// Against being set up anew.
    #[serde(default)]
    pub rebuild: bool,
}

impl Resource for Server {
    const MANY: &'static str = "servers";
    const ONE: &'static str = "server";
    const WORDS: &'static str = "server";

    fn head(&self) -> &Head {
        &self.head
    }

    fn used_by(&self) -> Vec<String> {
        let balancers = self.load_balancers.iter().map(|id| format!("load balancer {id}"));
        let floating = self.public_net.floating_ips.iter().map(|id| format!("floating IP {id}"));
        balancers.chain(floating).collect()
    }
}

impl Server {
    /// Its public IPv4 address.
    #[must_use]
    pub fn ipv4(&self) -> Option<&str> {
        self.public_net.ipv4.as_ref().map(|ipv4| ipv4.ip.as_str())
    }

    /// Its address in a network.
    #[must_use]
    pub fn address_in(&self, network: i64) -> Option<&str> {
        self.private_net.iter().find(|net| net.network == network).map(|net| net.ip.as_str())
    }
}

/// A server type, as it can be ordered.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ServerType {
    /// Its number and name.
    #[serde(flatten)]
    pub head: Head,
    /// Where it is offered.
    #[serde(default)]
    pub locations: Vec<OfferedAt>,
}

/// A location where a server type is offered.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OfferedAt {
    /// The location's name.
    #[serde(default)]
    pub name: String,
    /// Can it be ordered there now? Where the API does not say, nobody knows before it is tried.
    #[serde(default)]
    pub available: Option<bool>,
}

impl Resource for ServerType {
    const MANY: &'static str = "server_types";
    const ONE: &'static str = "server_type";
    const WORDS: &'static str = "server type";

    fn head(&self) -> &Head {
        &self.head
    }

    fn used_by(&self) -> Vec<String> {
        Vec::new()
    }
}
