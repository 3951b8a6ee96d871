//! Floating IPs, as far as hactl looks at them.

use serde::Deserialize;

use super::balancer::Named;
use super::model::{Head, Resource};
use super::server::Protection;

/// A floating IP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FloatingIp {
    /// What every object has.
    #[serde(flatten)]
    pub head: Head,
    /// The address.
    pub ip: String,
    /// Of which family, such as `ipv4`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The server that it leads to, by number.
    #[serde(default)]
    pub server: Option<i64>,
    /// Where its traffic enters.
    pub home_location: Named,
    /// What cannot be done with it.
    #[serde(default)]
    pub protection: Protection,
}

impl Resource for FloatingIp {
    const MANY: &'static str = "floating_ips";
    const ONE: &'static str = "floating_ip";
    const WORDS: &'static str = "floating IP";

    fn head(&self) -> &Head {
        &self.head
    }

    fn used_by(&self) -> Vec<String> {
        self.server.iter().map(|id| format!("server {id}")).collect()
    }
}
