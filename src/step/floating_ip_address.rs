//! `floating_ip_address`: the system of a server has a floating IP among its addresses, now and after a reboot.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::common::{recall, remember, unverified};
use super::kind::{Effect, Evidence, Failure, Findings, Scope, StepKind, WayBack};
use crate::access::reads::{ConfiguredBy, Interface};
use crate::access::{Become, FileMode, Hands, Trial, View};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::{Before, Change, Observed, Outputs};

/// Gives a host an address beside those that it has: at once, and in the configuration of whichever of netplan,
/// systemd-networkd and ifupdown configures the interface, for its next start. Nothing of the network is restarted.
///
/// A floating IP leads to one server at a time; each server that it may ever lead to can have the address already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FloatingIpAddress {
    /// The address, such as `${steps.ip.ip}`.
    pub address: String,
    /// The interface; without one that of the default route.
    #[serde(default)]
    pub interface: Option<String>,
}

/// What was there before anything was changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Was {
    interface: String,
    file: String,
    /// What the file held, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Whether the interface had the address.
    address: Had,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Had {
    Yes,
    No,
}

/// The interface as it is, and the file as it is and as it is wanted.
struct Seen {
    interface: Interface,
    address: Ipv4Addr,
    file: String,
    is: Option<String>,
    wanted: String,
    mode: u32,
    by: &'static str,
}

/// Arguments: the interface and the address. What netplan makes of its files is checked before the address is given.
const GIVE: &str = r#"set -eu
case $3 in netplan) netplan generate ;; esac
ip addr replace "$2/32" dev "$1""#;

/// Arguments: the interface, the address, the file, and whether the address stays.
const TAKE: &str = r#"set -eu
case $3 in
  /etc/netplan/*) netplan generate ;;
  /etc/systemd/network/*) rmdir --ignore-fail-on-non-empty -- "${3%/*}" 2> /dev/null || : ;;
esac
[ "$4" = keep ] || ! ip -4 -o addr show dev "$1" | grep -qF " $2/32 " || ip addr del "$2/32" dev "$1""#;

const LIMIT: Duration = Duration::from_secs(60);

impl FloatingIpAddress {
    fn address(&self) -> Result<Ipv4Addr> {
        self.address.parse().map_err(|_| {
            let text = format!("{:?} is no IPv4 address", self.address);
            Error::new(codes::FILE_BAD_VALUE, text)
                .next("set `address` of the step to the output ip of the floating IP")
        })
    }

    /// What there is to see; or why the step cannot be done on this host.
    async fn look(&self, view: &View<'_>) -> Result<Result<Seen, String>> {
        let address = self.address()?;
        let host = view.here()?;
        let Some(interface) = host.interface(self.interface.as_deref()).await? else {
            return Ok(Err(match &self.interface {
                Some(name) => format!("{} has no interface {name}", host.name()),
                None => {
                    format!("{} has no default route: say which `interface` gets the address", host.name())
                }
            }));
        };
        let name = &interface.name;
        let own = format!("60-hactl-{}", address.to_string().replace('.', "-"));
        let first = "# Written by hactl: this floating IP may lead here.\n";
        let (file, text, mode, by) = match &interface.configured_by {
            ConfiguredBy::Netplan { id } => (
                format!("/etc/netplan/{own}.yaml"),
                format!(
                    "network:\n  version: 2\n  ethernets:\n    {id}:\n      addresses:\n        - {address}/32\n"
                ),
                0o600,
                "netplan",
            ),
            ConfiguredBy::Networkd { file } => {
                let base = file.rsplit('/').next().unwrap_or_default();
                let text = format!("[Network]\nAddress={address}/32\n");
                (format!("/etc/systemd/network/{base}.d/{own}.conf"), text, 0o644, "systemd-networkd")
            }
            ConfiguredBy::Ifupdown => {
                // A label of its own, so that the interface's other addresses are left alone.
                let label = format!("{name}:f{}", address.octets()[3]);
                let text = format!("auto {label}\niface {label} inet static\n    address {address}/32\n");
                (format!("/etc/network/interfaces.d/{own}"), text, 0o644, "ifupdown")
            }
            ConfiguredBy::Unknown => {
                return Ok(Err(format!(
                    "none of netplan, systemd-networkd and ifupdown configures {name} on {}: an address would be gone \
                     after a reboot",
                    host.name()
                )));
            }
        };
        let is = host.text(&file).await?;
        let wanted = format!("{first}{text}");
        Ok(Ok(Seen { interface, address, file, is, wanted, mode, by }))
    }

    /// The same, where it must be possible by now.
    async fn seen(&self, view: &View<'_>) -> Result<Seen> {
        self.look(view).await?.map_err(|why| Error::new(codes::NOT_VERIFIED, why))
    }
}

impl Seen {
    fn has_address(&self) -> bool {
        self.interface.addresses.contains(&self.address)
    }

    fn has_file(&self) -> bool {
        self.is.as_deref() == Some(&self.wanted)
    }
}

impl StepKind for FloatingIpAddress {
    const NAME: &'static str = "floating_ip_address";
    const SUMMARY: &'static str = "gives a host the address of a floating IP, now and after a reboot";

    fn scope(&self) -> Scope {
        Scope::EachHost
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn way_back(&self) -> WayBack {
        WayBack::Undo
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        match self.look(view).await? {
            Ok(seen) => findings.note(format!("{} is configured by {}", seen.interface.name, seen.by)),
            Err(why) => findings.block(why),
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let seen = match self.look(view).await? {
            Ok(seen) => seen,
            Err(why) => return Ok(Observed::Indeterminate(why)),
        };
        if seen.has_address() && seen.has_file() {
            return Ok(Observed::Applied(Outputs::new()));
        }
        let had = if seen.has_address() { Had::Yes } else { Had::No };
        let mut details = Vec::new();
        if !seen.has_file() {
            details.push(format!("write {}, which {} reads at the next start", seen.file, seen.by));
        }
        if !seen.has_address() {
            details.push(format!("add {}/32 to {}", seen.address, seen.interface.name));
        }
        let change =
            Change { summary: format!("give {} the address {}", view.here()?.name(), seen.address), details };
        let was = Was { interface: seen.interface.name, file: seen.file, text: seen.is, address: had };
        Ok(Observed::NotApplied { change, before: remember(&was)? })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let seen = self.seen(hands).await.map_err(Failure::NotStarted)?;
        let host = hands.here()?;
        if let ConfiguredBy::Networkd { .. } = seen.interface.configured_by
            && let Some((folder, _)) = seen.file.rsplit_once('/')
        {
            host.make_dir(folder, &FileMode::new("root", "root", 0o755)).await?;
        }
        let mode = FileMode::new("root", "root", seen.mode);
        host.write_file(&seen.file, seen.wanted.clone().into_bytes(), &mode).await?;
        let address = seen.address.to_string();
        host.script(GIVE, &[&seen.interface.name, &address, seen.by], "", Become::Root, LIMIT)
            .await?
            .ok("cannot give the interface the address")
            .map(|_| Outputs::new())
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let seen = self.seen(trial).await?;
        let (host, name) = (trial.view().here()?, &seen.interface.name);
        if !seen.has_address() {
            return Err(unverified(format!("{name} does not have {}", seen.address)).host(host.name()));
        }
        if !seen.has_file() {
            return Err(unverified(format!("{} is not as it was written", seen.file)).host(host.name()));
        }
        Ok(Evidence::facts([
            format!("{name} has {}", seen.address),
            format!("{} gives it that at the next start, by {}", seen.by, seen.file),
        ]))
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let was: Option<Was> = recall(hands.before()).map_err(Failure::NotStarted)?;
        let Some(was) = was else { return Ok(()) };
        let address = self.address().map_err(Failure::NotStarted)?.to_string();
        let host = hands.here()?;
        match was.text {
            Some(text) => {
                let mode = if was.file.starts_with("/etc/netplan/") { 0o600 } else { 0o644 };
                let mode = FileMode::new("root", "root", mode);
                host.write_file(&was.file, text.into_bytes(), &mode).await?;
            }
            None => host.remove_file(&was.file).await?,
        }
        let then = match was.address {
            Had::Yes => "keep",
            Had::No => "remove",
        };
        host.script(TAKE, &[&was.interface, &address, &was.file, then], "", Become::Root, LIMIT)
            .await?
            .ok("cannot take the address from the interface")
            .map(drop)
    }
}
