//! A private network that carries full-size packets between every two hosts.

use serde::{Deserialize, Serialize};

use super::{EVERY, SETTLE, address_in, changes_nothing};
use crate::access::{HostView, Trial};
use crate::cidr::Cidr;
use crate::diagnostic::Result;
use crate::name::RoleName;
use crate::step::common::{unverified, wait_for};
use crate::step::{Evidence, Scope, StepKind};

/// Changes nothing. Each host sends packets of exactly the network's MTU to each other host of the role, by its address in
/// the subnet; none of them may be taken apart on its way, and an answer must come back. A private network of the Hetzner
/// Cloud carries 1450 bytes: whoever believes in 1500 sees small packets pass and large ones vanish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeePrivateNetwork {
    /// The hosts that must be reached, by their role; the host itself is left out.
    peers: RoleName,
    /// The subnet, such as `10.0.1.0/24`.
    subnet: Cidr,
    /// The largest packet that the network carries, in bytes.
    #[serde(default = "cloud_mtu")]
    mtu: u16,
}

/// What a private network of the Hetzner Cloud carries.
fn cloud_mtu() -> u16 {
    1450
}

/// An IPv4 header and an ICMP header.
const HEADERS: u16 = 28;

/// What `ping` sends where nobody says otherwise.
const SMALL: u16 = 56;

impl StepKind for SeePrivateNetwork {
    const NAME: &'static str = "see_private_network";
    const SUMMARY: &'static str = "sees full-size packets pass between every two hosts of a private network";

    fn scope(&self) -> Scope {
        Scope::EachHost
    }

    changes_nothing!();

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let here = trial.view().here()?;
        let own = address_in(&here, self.subnet).await?;
        let peers: Vec<_> =
            trial.hosts(&self.peers).into_iter().filter(|peer| peer.name() != here.name()).collect();
        if peers.is_empty() {
            let text = format!("no other host has the role {}, so nothing could be seen", self.peers);
            return Err(unverified(text).host(here.name()));
        }
        let mut facts = Vec::new();
        for peer in &peers {
            facts.push(self.reach(&here, peer).await?);
        }
        facts.insert(0, format!("{} is {own} in {}", here.name(), self.subnet));
        Ok(Evidence::facts(facts))
    }
}

impl SeePrivateNetwork {
    async fn reach(&self, here: &HostView<'_>, peer: &HostView<'_>) -> Result<String> {
        let (address, payload) = (address_in(peer, self.subnet).await?, self.mtu.saturating_sub(HEADERS));
        let what = format!("a packet of {} bytes to come back from {}", self.mtu, peer.name());
        let seen = wait_for(&what, SETTLE, EVERY, async || {
            let pinged = here.ping(address, payload).await?;
            Ok((pinged.received > 0).then_some(pinged))
        })
        .await?;
        if let Some(pinged) = seen {
            return Ok(format!(
                "{} at {address}: {} of {} packets of {} bytes came back whole",
                peer.name(),
                pinged.received,
                pinged.sent,
                self.mtu
            ));
        }
        let small = here.ping(address, SMALL).await?.received > 0;
        let text = if small {
            format!(
                "packets of {} bytes do not come back from {} at {address}, and small ones do",
                self.mtu,
                peer.name()
            )
        } else {
            format!("nothing comes back from {} at {address}", peer.name())
        };
        let next = if small {
            format!(
                "ip link    (on {} and {}: the MTU of each interface on the way)",
                here.name(),
                peer.name()
            )
        } else {
            format!("ip addr; ip route get {address}    (on {})", here.name())
        };
        Err(unverified(text).host(here.name()).next(next))
    }
}
