//! Parts that several kinds of objects have, each read in one way wherever it stands.
//!
//! Invariant: as in [`super::model`]: what is missing at one of them is an option for all of them.

use serde::Deserialize;

/// An entry of a catalogue, or another object, by its name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Named {
    /// The name. A snapshot, as the image of a server, has none; all else has one.
    #[serde(default)]
    pub name: Option<String>,
}

impl Named {
    /// The name, or the word for none.
    #[must_use]
    pub fn word(&self) -> &str {
        self.name.as_deref().unwrap_or("none")
    }
}

/// An object, by number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Numbered {
    /// The number.
    pub id: i64,
}

/// How something is reached from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PublicNet {
    /// Its IPv4 address. A server without one has nothing here; a load balancer without one has it without an address in it.
    #[serde(default)]
    pub ipv4: Option<Address>,
    /// The firewalls before it, where it is a server.
    #[serde(default)]
    pub firewalls: Vec<FirewallOn>,
    /// The floating IPs that are assigned to it, where it is a server, by number.
    #[serde(default)]
    pub floating_ips: Vec<i64>,
}

impl PublicNet {
    /// Its IPv4 address.
    #[must_use]
    pub fn ipv4(&self) -> Option<&str> {
        self.ipv4.as_ref().and_then(|ipv4| ipv4.ip.as_deref())
    }
}

/// An address, where there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Address {
    /// As text.
    #[serde(default)]
    pub ip: Option<String>,
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

/// A private network that something is in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PrivateNet {
    /// The network's number.
    pub network: i64,
    /// The address there. The API does not promise one for a load balancer.
    #[serde(default)]
    pub ip: Option<String>,
}

/// Against what an object is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Protection {
    /// Against being deleted.
    #[serde(default)]
    pub delete: bool,
    /// Against being set up anew, where it is a server.
    #[serde(default)]
    pub rebuild: bool,
}
