//! The addresses of a host's interface, and which of the system's programs gives it those at its next start.

use std::net::Ipv4Addr;

use super::HostView;
use crate::diagnostic::Result;
use crate::transport::ssh::Command;

/// An interface as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name, such as `eth0`.
    pub name: String,
    /// The IPv4 addresses that it has now.
    pub addresses: Vec<Ipv4Addr>,
    /// Who configures it.
    pub configured_by: ConfiguredBy,
}

/// What gives an interface its addresses when the system starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfiguredBy {
    /// netplan, through systemd-networkd; the interface has this name in its files.
    Netplan {
        /// The name.
        id: String,
    },
    /// systemd-networkd, by this file.
    Networkd {
        /// Its path.
        file: String,
    },
    /// ifupdown, which reads the files of `/etc/network/interfaces.d`.
    Ifupdown,
    /// None of these.
    Unknown,
}

/// Argument: the interface, or nothing for that of the default route.
const LOOK: &str = r#"set -eu
dev=$1
if [ -z "$dev" ]; then dev=$(ip -4 -o route show default | sed -n '1s/.* dev \([^ ]*\).*/\1/p'); fi
[ -n "$dev" ] || exit 0
ip link show dev "$dev" > /dev/null 2>&1 || exit 0
printf 'device %s\n' "$dev"
ip -4 -o addr show dev "$dev" | while read -r _ _ _ address _; do printf 'address %s\n' "$address"; done
if systemctl is-active --quiet systemd-networkd.service; then
  networkctl status --no-pager --lines=0 -- "$dev" | sed -n 's/^ *Network File: \(\/.*\)$/networkd \1/p'
fi
if command -v ifup > /dev/null && systemctl is-enabled --quiet networking.service \
  && grep -qsE '^[[:space:]]*source(-directory)?[[:space:]]+/etc/network/interfaces\.d' /etc/network/interfaces; then
  cat /etc/network/interfaces /etc/network/interfaces.d/* 2> /dev/null | while read -r word name _; do
    if [ "$word" = iface ] && [ "$name" = "$dev" ]; then echo ifupdown; fi
  done
fi
exit 0"#;

impl HostView<'_> {
    /// An interface of the host; without a name that of the default route. None where there is none.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn interface(&self, name: Option<&str>) -> Result<Option<Interface>> {
        let look =
            Command::new("sh").args(["-c", LOOK, "hactl-look", name.unwrap_or_default()]).env("LC_ALL", "C");
        let text = self.ask_ok(&look, "cannot see how the network is configured").await?.text();
        parse(&text).map_err(|line| self.odd("the network's configuration", line))
    }
}

fn parse(text: &str) -> Result<Option<Interface>, &str> {
    let mut seen: Option<Interface> = None;
    for line in text.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, &mut seen) {
            ("device", None) => {
                let name = rest.to_owned();
                seen = Some(Interface { name, addresses: Vec::new(), configured_by: ConfiguredBy::Unknown });
            }
            ("address", Some(interface)) => {
                let address = rest.split('/').next().and_then(|address| address.parse().ok());
                interface.addresses.push(address.ok_or(line)?);
            }
            ("networkd", Some(interface)) => interface.configured_by = of_networkd(rest),
            ("ifupdown", Some(interface)) => {
                if interface.configured_by == ConfiguredBy::Unknown {
                    interface.configured_by = ConfiguredBy::Ifupdown;
                }
            }
            _ => return Err(line),
        }
    }
    Ok(seen)
}

/// netplan writes files for systemd-networkd, and says so in their names.
fn of_networkd(file: &str) -> ConfiguredBy {
    let id =
        file.rsplit('/').next().and_then(|name| name.strip_prefix("10-netplan-")?.strip_suffix(".network"));
    match id {
        Some(id) => ConfiguredBy::Netplan { id: id.to_owned() },
        None => ConfiguredBy::Networkd { file: file.to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::{ConfiguredBy, Interface, parse};

    #[test]
    fn who_configures_an_interface_is_read() {
        let seen = |tail: &str| {
            let text = format!("device eth0\naddress 192.0.2.1/24\naddress 198.51.100.7/32\n{tail}");
            let Interface { name, addresses, configured_by } = parse(&text).unwrap().unwrap();
            assert_eq!((name.as_str(), addresses.len()), ("eth0", 2));
            configured_by
        };
        let id = "eth0".to_owned();
        assert_eq!(
            seen("networkd /run/systemd/network/10-netplan-eth0.network"),
            ConfiguredBy::Netplan { id }
        );
        let file = "/etc/systemd/network/10-eth0.network".to_owned();
        assert_eq!(seen(&format!("networkd {file}\nifupdown")), ConfiguredBy::Networkd { file });
        assert_eq!(seen("ifupdown\nifupdown"), ConfiguredBy::Ifupdown);
        assert_eq!(seen(""), ConfiguredBy::Unknown);
        assert_eq!(parse(""), Ok(None));
        assert!(parse("device eth0\naddress none\n").is_err());
        assert!(parse("motd of the host\n").is_err());
    }
}
