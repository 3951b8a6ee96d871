//! Servers and their types, as far as hactl looks at them.

use serde::Deserialize;

use super::model::Head;
use super::parts::{Named, PrivateNet, Protection, PublicNet};

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
    pub public_net: PublicNet,
    /// Its addresses in private networks.
    #[serde(default)]
    pub private_net: Vec<PrivateNet>,
    /// Its type.
    pub server_type: Named,
    /// Its location.
    #[serde(default)]
    pub location: Option<Named>,
    /// What it began with.
    #[serde(default)]
    pub image: Option<Named>,
    /// The group that spreads it.
    #[serde(default)]
    pub placement_group: Option<Named>,
    /// Against what it is protected.
    #[serde(default)]
    pub protection: Protection,
    /// The load balancers that have it as a target, by number.
    #[serde(default)]
    pub load_balancers: Vec<i64>,
}

impl Server {
    /// Its public IPv4 address.
    #[must_use]
    pub fn ipv4(&self) -> Option<&str> {
        self.public_net.ipv4()
    }

    /// Its address in a network.
    #[must_use]
    pub fn address_in(&self, network: i64) -> Option<&str> {
        self.private_net.iter().find(|net| net.network == network).and_then(|net| net.ip.as_deref())
    }

    /// Is it in a network, whether its address there is known or not?
    #[must_use]
    pub fn is_in(&self, network: i64) -> bool {
        self.private_net.iter().any(|net| net.network == network)
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
