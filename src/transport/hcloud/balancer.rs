//! Load balancers, as far as hactl looks at them.
//!
//! Invariant: as in [`super::model`]: a new word in one never makes a list unreadable.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::model::Head;
use super::parts::{Address, Named, Numbered, PrivateNet, PublicNet};

/// A load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LoadBalancer {
    /// What every object has.
    #[serde(flatten)]
    pub head: Head,
    /// Its size.
    pub load_balancer_type: Named,
    /// Where it stands.
    pub location: Named,
    /// How it chooses a target.
    pub algorithm: AlgorithmSeen,
    /// How it is reached from outside.
    pub public_net: PublicNet,
    /// The networks that it is in.
    #[serde(default)]
    pub private_net: Vec<PrivateNet>,
    /// What it listens on.
    #[serde(default)]
    pub services: Vec<ServiceSeen>,
    /// What it balances to.
    #[serde(default)]
    pub targets: Vec<TargetSeen>,
}

/// How a load balancer chooses a target.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AlgorithmSeen {
    /// Such as `round_robin`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A service of a load balancer; it can be sent back as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSeen {
    /// Such as `tcp`.
    pub protocol: String,
    /// The port that it listens on.
    pub listen_port: u16,
    /// The port of the targets.
    pub destination_port: u16,
    /// Whether it says before each connection who is there.
    #[serde(default)]
    pub proxyprotocol: bool,
    /// How it learns whether a target is well.
    pub health_check: CheckSeen,
    /// What it does with HTTP, as the API shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<serde_json::Value>,
}

/// A health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckSeen {
    /// Such as `http`.
    pub protocol: String,
    /// The port that is asked.
    pub port: u16,
    /// Seconds between two of them.
    pub interval: u64,
    /// Seconds that one may take.
    pub timeout: u64,
    /// How many must agree before anything changes.
    pub retries: u64,
    /// What is asked and expected, where HTTP is spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<CheckHttpSeen>,
}

/// What a health check asks and expects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckHttpSeen {
    /// The `Host` header.
    #[serde(default)]
    pub domain: Option<String>,
    /// The path.
    #[serde(default)]
    pub path: String,
    /// What must be in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    /// Which statuses are fine.
    #[serde(default)]
    pub status_codes: Vec<String>,
    /// Whether it is asked over TLS.
    #[serde(default)]
    pub tls: bool,
}

/// What a load balancer balances to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TargetSeen {
    /// Such as `server`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The server.
    #[serde(default)]
    pub server: Option<Numbered>,
    /// The address.
    #[serde(default)]
    pub ip: Option<Address>,
    /// Whether the server is reached by its private address.
    #[serde(default)]
    pub use_private_ip: bool,
    /// How it is, service by service.
    #[serde(default)]
    pub health_status: Vec<HealthSeen>,
}

/// How a target is, as far as one service goes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct HealthSeen {
    /// The service's port.
    #[serde(default)]
    pub listen_port: u16,
    /// `healthy`, `unhealthy` or `unknown`.
    #[serde(default)]
    pub status: String,
}

impl fmt::Display for TargetSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.server, &self.ip) {
            (Some(server), _) => write!(f, "server {}", server.id),
            (None, Some(Address { ip: Some(ip) })) => f.write_str(ip),
            (None, Some(Address { ip: None }) | None) => f.write_str(&self.kind),
        }
    }
}
