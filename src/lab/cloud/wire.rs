//! What the model is told about the world, when it is asked.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// What a check of a load balancer's target last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It answers as it must.
    Healthy,
    /// It does not.
    Unhealthy,
    /// It was not asked yet.
    Unknown,
}

impl Health {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Unknown => "unknown",
        }
    }
}

/// What was seen of the world just now.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Whether a server's machine runs; a server that is not in it is what its last action made it.
    pub running: BTreeMap<u64, bool>,
    /// By load balancer, the port it listens on, and the target's address.
    pub health: BTreeMap<(u64, u16, Ipv4Addr), Health>,
}
