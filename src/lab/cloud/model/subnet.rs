//! Subnets, and which address a newcomer gets.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::answer::{Answered, Refusal};
use super::super::catalogue::LOCATIONS;
use super::super::request::Fields;
use super::network::{Network, taken};
use super::{Id, Project, object};
use crate::cidr::Cidr;

/// A part of a network, in one network zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subnet {
    pub(crate) range: Cidr,
    pub(crate) zone: String,
}

impl Subnet {
    pub(crate) fn view(&self, gateway: Ipv4Addr) -> Value {
        json!({
            "type": "cloud", "ip_range": self.range.to_string(), "network_zone": self.zone,
            "gateway": gateway.to_string(), "vswitch_id": null,
        })
    }
}

/// A subnet as a request describes it: in the network, and beside its other subnets.
pub(crate) fn read(network: &Network, fields: Fields<'_>) -> Answered<Subnet> {
    if !["cloud", "server"].contains(&fields.need_text("type")?) {
        return Err(Refusal::invalid("type", "the lab's cloud has subnets of type cloud only"));
    }
    let zone = fields.need_text("network_zone")?;
    if !LOCATIONS.iter().any(|l| l.zone == zone) {
        return Err(Refusal::invalid("network_zone", "is not a network zone"));
    }
    let free = |range: Cidr| network.subnets.iter().all(|s| !s.range.overlaps(range));
    let range = match fields.text("ip_range")? {
        Some(text) => {
            Cidr::parse(text).ok_or_else(|| Refusal::invalid("ip_range", "is not an IPv4 range"))?
        }
        // The API chooses a /24 where nobody says.
        None => (0..=255)
            .map(|n| Cidr::of_256(network.range.nth(n << 8)))
            .find(|r| network.range.holds(*r) && free(*r))
            .ok_or_else(|| Refusal::refused("no_space_left_in_ip_range", "the network's range is full"))?,
    };
    if !network.range.holds(range) || range.prefix() > 30 {
        return Err(Refusal::invalid("ip_range", "must be a part of the network's range, of at least /30"));
    }
    if !free(range) {
        return Err(Refusal::invalid("ip_range", "overlaps with another subnet"));
    }
    Ok(Subnet { range, zone: zone.to_owned() })
}

/// The address for somebody in a network zone: the one asked for, or the first free one in order.
pub(crate) fn address(
    project: &Project,
    network: Id,
    zone: &str,
    wanted: Option<Ipv4Addr>,
    within: Option<Cidr>,
) -> Answered<Ipv4Addr> {
    let network = object::get::<Network>(project, network)?;
    let there = taken(project, network.meta.id);
    let mut subnets =
        network.subnets.iter().filter(|s| s.zone == zone && within.is_none_or(|w| w == s.range));
    let free = |subnet: &Subnet, ip: Ipv4Addr| {
        subnet.range.contains(ip)
            && ip != subnet.range.nth(0)
            && ip != subnet.range.last()
            && ip != network.gateway()
            && !there.contains(&ip)
    };
    let mut peek = subnets.clone().peekable();
    if peek.peek().is_none() {
        return Err(Refusal::refused(
            "no_subnet_available",
            format!("network {} has no subnet in network zone {zone}", network.meta.id),
        ));
    }
    let taken_or_outside =
        || Refusal::refused("ip_not_available", "the address is not available in the network");
    match wanted {
        Some(ip) => subnets.find(|s| free(s, ip)).map(|_| ip).ok_or_else(taken_or_outside),
        None => subnets
            .find_map(|s| {
                (1..65_536)
                    .map(|n| s.range.nth(n))
                    .take_while(|ip| s.range.contains(*ip))
                    .find(|ip| free(s, *ip))
            })
            .ok_or_else(taken_or_outside),
    }
}

/// An address of a request.
pub(crate) fn wanted(fields: Fields<'_>, name: &str) -> Answered<Option<Ipv4Addr>> {
    let Some(text) = fields.text(name)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Refusal::invalid(name, "is not an IPv4 address"))
}
