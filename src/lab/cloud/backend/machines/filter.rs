//! Firewalls as nftables rules on a server's public interface.

use super::super::super::model::{Direction, Firewall, Rule, Server};
use super::super::Project;
use super::Machines;
use crate::diagnostic::Result;
use crate::lab::exec::Tool;
use crate::lab::network;

impl Machines {
    /// Makes the filter what the server's firewalls say together; no firewall is no filter.
    pub(super) fn filter(&self, project: &Project, server: &Server) -> Result<()> {
        let firewalls: Vec<&Firewall> = project.firewalls_of(server).collect();
        let namespace = network::path(&self.namespace(server));
        if !namespace.exists() {
            return Ok(());
        }
        let _held = Self::held(&self.network);
        let tool = Tool::new("nsenter").arg(format!("--net={}", namespace.display()));
        tool.args(["nft", "-f", "-"]).input(ruleset(&firewalls)).run().map(drop)
    }
}

/// A table that replaces the one before it in one transaction.
fn ruleset(firewalls: &[&Firewall]) -> String {
    let mut text = "table inet hactl_cloud\ndelete table inet hactl_cloud\n".to_owned();
    if firewalls.is_empty() {
        return text;
    }
    let rules = |direction: Direction| {
        firewalls.iter().flat_map(|f| &f.rules).filter(move |r| r.direction == direction)
    };
    text.push_str("table inet hactl_cloud {\n");
    // Behind connection tracking and before any address is rewritten, so that what is forwarded is filtered too.
    text.push_str("chain inward {\ntype filter hook prerouting priority -150; policy accept;\n");
    text.push_str("iifname != \"eth0\" accept\nct state established,related accept\n");
    rules(Direction::In).for_each(|r| text.push_str(&lines(r, "saddr")));
    text.push_str("drop\n}\n");
    // Where no rule says what may leave, everything may.
    if rules(Direction::Out).next().is_some() {
        text.push_str("chain outward {\ntype filter hook postrouting priority -150; policy accept;\n");
        text.push_str("oifname != \"eth0\" accept\nct state established,related accept\n");
        rules(Direction::Out).for_each(|r| text.push_str(&lines(r, "daddr")));
        text.push_str("drop\n}\n");
    }
    text.push_str("}\n");
    text
}

fn lines(rule: &Rule, end: &str) -> String {
    let (v6, v4): (Vec<&String>, Vec<&String>) = rule.ranges.iter().partition(|r| r.contains(':'));
    let mut text = String::new();
    for (family, ranges) in [("ip", v4), ("ip6", v6)] {
        let what = match (rule.protocol.as_str(), rule.ports) {
            ("icmp", _) if family == "ip6" => "meta l4proto ipv6-icmp".to_owned(),
            (protocol, Some((first, last))) if first == last => format!("{protocol} dport {first}"),
            (protocol, Some((first, last))) => format!("{protocol} dport {first}-{last}"),
            (protocol, None) => format!("meta l4proto {protocol}"),
        };
        for range in ranges {
            // The whole internet is not a range that nftables wants to be told.
            let from = if range.ends_with("/0") {
                format!("meta nfproto {}", if family == "ip" { "ipv4" } else { "ipv6" })
            } else {
                format!("{family} {end} {range}")
            };
            text.push_str(&format!("{from} {what} accept\n"));
        }
    }
    text
}
