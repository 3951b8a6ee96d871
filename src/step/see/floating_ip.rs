//! A floating IP that leads to the host it is assigned to.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{SETTLE, changes_nothing};
use crate::access::Trial;
use crate::diagnostic::{Error, Result, codes};
use crate::step::common::{unverified, wait_for};
use crate::step::{Evidence, Scope, StepKind};

/// Between two looks: an sshd shuts out whoever comes more often without logging in.
const EVERY: Duration = Duration::from_secs(4);

/// Changes nothing. The operator's machine asks for the SSH host key at the floating IP: it must be one that is pinned for
/// this host. Whoever answers with another key is another machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeeFloatingIp {
    /// The address, such as `${steps.ip.ip}`.
    address: String,
}

impl StepKind for SeeFloatingIp {
    const NAME: &'static str = "see_floating_ip";
    const SUMMARY: &'static str = "sees that a floating IP leads to this host, by its pinned SSH host key";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    changes_nothing!();

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let here = trial.view().here()?;
        let address: Ipv4Addr = self.address.parse().map_err(|_| {
            let text = format!("{:?} is no IPv4 address", self.address);
            Error::new(codes::FILE_BAD_VALUE, text)
                .next("set `address` of the step to the output ip of the floating IP")
        })?;
        let (address, port) = (address.into(), here.host().port);
        let pinned = trial.pinned_keys(here.name())?;
        let Some(like) = pinned.first() else {
            return Err(unverified(format!("no key is pinned for {}", here.name())).host(here.name()));
        };
        let mut seen = None;
        let what = format!("{} to answer at {address}", here.name());
        let found = wait_for(&what, SETTLE, EVERY, async || {
            seen = trial.ssh_key_at(address, port, like).await?;
            Ok(seen.clone().filter(|key| pinned.contains(key)))
        })
        .await?;
        if let Some(key) = found {
            return Ok(Evidence::facts([format!(
                "at {address}, port {port}, {} answers with its pinned key {}",
                here.name(),
                key.fingerprint()
            )]));
        }
        let error = match &seen {
            None => unverified(format!("nobody answers at {address}, port {port}"))
                .next(format!("ip addr    (on {}: does the system have {address}?)", here.name())),
            Some(key) => unverified(format!(
                "at {address}, port {port}, somebody answers with the key {}, which is not pinned for {}",
                key.fingerprint(),
                here.name()
            ))
            .next("hactl plan    (to which server is the floating IP assigned?)"),
        };
        Err(error.host(here.name()))
    }
}
