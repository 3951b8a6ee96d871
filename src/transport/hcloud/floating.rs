//! Floating IPs, as far as hactl looks at them.

use serde::Deserialize;

use super::model::Head;
use super::parts::{Named, Protection};

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
