//! Steps that change nothing and look for real: at a private network, a firewall, clocks, hosts, a floating IP.
//!
//! Invariant: a step here holds only where what it claims was seen, from both sides where there are two: a port is blocked
//! outside only if it was open inside at the same time, and what could not be measured does not hold.

pub mod clocks;
pub mod firewall;
pub mod floating_ip;
pub mod private_network;
pub mod spread;

use std::net::Ipv4Addr;
use std::time::Duration;

use super::common::unverified;
use crate::access::HostView;
use crate::cidr::Cidr;
use crate::diagnostic::Result;

/// How long what was just set up may take to be so.
const SETTLE: Duration = Duration::from_secs(20);

/// Between two looks.
const EVERY: Duration = Duration::from_millis(500);

/// The items that are the same for every step which changes nothing.
macro_rules! changes_nothing {
    () => {
        fn effect(&self) -> crate::step::Effect {
            crate::step::Effect::Idempotent
        }

        fn way_back(&self) -> crate::step::WayBack {
            crate::step::WayBack::Nothing
        }

        async fn observe(
            &self,
            _view: &crate::access::View<'_>,
            _before: Option<&crate::journal::record::Before>,
        ) -> crate::diagnostic::Result<crate::journal::record::Observed> {
            // There is nothing to change, so all that is left is to verify.
            Ok(crate::journal::record::Observed::Applied(crate::journal::record::Outputs::new()))
        }

        async fn apply(
            &self,
            _hands: &crate::access::Hands<'_>,
        ) -> Result<crate::journal::record::Outputs, crate::step::Failure> {
            Ok(crate::journal::record::Outputs::new())
        }
    };
}
use changes_nothing;

/// The address that a host has in a subnet, asked of the host itself.
async fn address_in(host: &HostView<'_>, subnet: Cidr) -> Result<Ipv4Addr> {
    let own = host.addresses().await?;
    own.iter().copied().find(|ip| subnet.contains(*ip)).ok_or_else(|| {
        let has = own.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        unverified(format!("{} has no address in {subnet}; it has {has}", host.name()))
            .host(host.name())
            .next("hactl plan    (is the step done that attaches it to the network?)")
    })
}
