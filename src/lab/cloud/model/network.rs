//! Private networks: one range of addresses, subnets in it, and who is attached.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::answer::{Answer, Answered, Refusal};
use super::super::request::Fields;
use super::object::{self, Context, Meta, Object, kept_in};
use super::server_actions;
use super::subnet::{self, Subnet};
use super::{Balancer, Effect, Id, Project, Server};
use crate::cidr::Cidr;

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Network {
    pub(crate) meta: Meta,
    pub(crate) range: Cidr,
    pub(crate) subnets: Vec<Subnet>,
}

impl Network {
    /// The address that the API keeps for the gateway of all subnets.
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        self.range.nth(1)
    }
}

impl Object for Network {
    const KIND: &'static str = "network";
    const COLLECTION: &'static str = "networks";

    kept_in!(networks);

    fn view(&self, project: &Project, _: Context<'_>) -> Value {
        let subnets = self.subnets.iter().map(|s| s.view(self.gateway()));
        json!({
            "id": self.meta.id, "name": self.meta.name, "ip_range": self.range.to_string(),
            "subnets": subnets.collect::<Vec<_>>(), "routes": [],
            "servers": servers_in(project, self.meta.id), "load_balancers": balancers_in(project, self.meta.id),
            "protection": { "delete": self.meta.protected }, "labels": self.meta.labels,
            "created": self.meta.created, "expose_routes_to_vswitch": false,
        })
    }
}

fn servers_in(project: &Project, network: Id) -> Vec<Id> {
    let all = project.servers.values().filter(|s| s.private.iter().any(|p| p.network == network));
    all.map(|s| s.meta.id).collect()
}

fn balancers_in(project: &Project, network: Id) -> Vec<Id> {
    let all = project.balancers.values().filter(|b| b.private.iter().any(|p| p.0 == network));
    all.map(|b| b.meta.id).collect()
}

fn range_of(text: &str) -> Answered<Cidr> {
    let range = Cidr::parse(text)
        .ok_or_else(|| Refusal::invalid("ip_range", "is not an IPv4 range in CIDR notation"))?;
    if !range.is_private() || range.prefix() > 24 {
        return Err(Refusal::invalid("ip_range", "must be a private range of RFC 1918 of at least /24"));
    }
    Ok(range)
}

pub(crate) fn create(project: &mut Project, context: Context<'_>, fields: Fields<'_>) -> Answered {
    let (name, range) = (fields.need_text("name")?, range_of(fields.need_text("ip_range")?)?);
    if !fields.list("routes")?.is_empty() {
        return Err(Refusal::invalid("routes", "the lab's cloud has no routes in networks"));
    }
    let meta = object::begin::<Network>(project, context, fields, name)?;
    let id = meta.id;
    let mut network = Network { meta, range, subnets: Vec::new() };
    for asked in fields.list("subnets")? {
        let subnet = subnet::read(&network, Fields(asked))?;
        network.subnets.push(subnet);
    }
    project.networks.insert(id, network);
    Ok(Answer::created(object::shown::<Network>(project, context, id)?))
}

pub(crate) fn delete(project: &mut Project, context: Context<'_>, id: Id) -> Answered {
    object::deletable::<Network>(project, id)?;
    // As documented: what is attached is detached, and nobody is asked.
    for server in servers_in(project, id) {
        object::get_mut::<Server>(project, server)?.private.retain(|at| at.network != id);
        project.chore(context, "detach_from_network", Effect::Interfaces(server));
        server_actions::rebalance(project, context, server);
    }
    for balancer in balancers_in(project, id) {
        object::get_mut::<Balancer>(project, balancer)?.private.retain(|(network, _)| *network != id);
        project.chore(context, "detach_from_network", Effect::Balance(balancer));
    }
    project.networks.remove(&id);
    project.chore(context, "delete_network", Effect::Routes);
    Ok(Answer::gone())
}

/// `POST /networks/{id}/actions/…`
pub(crate) fn act(
    project: &mut Project,
    context: Context<'_>,
    id: Id,
    command: &str,
    fields: Fields<'_>,
) -> Answered {
    object::get::<Network>(project, id)?;
    match command {
        "add_subnet" => {
            let subnet = subnet::read(object::get::<Network>(project, id)?, fields)?;
            object::get_mut::<Network>(project, id)?.subnets.push(subnet);
        }
        "delete_subnet" => {
            let range = fields.need_text("ip_range")?;
            let network = object::get::<Network>(project, id)?;
            let subnet = network.subnets.iter().find(|s| s.range.to_string() == range);
            let subnet = subnet.ok_or_else(|| Refusal::not_found("subnet", range))?.range;
            let used = taken(project, id);
            if used.iter().any(|ip| subnet.contains(*ip)) {
                return Err(Refusal::refused("resource_in_use", "the subnet still has attached resources"));
            }
            object::get_mut::<Network>(project, id)?.subnets.retain(|s| s.range != subnet);
        }
        "change_ip_range" => {
            let range = range_of(fields.need_text("ip_range")?)?;
            if !range.holds(object::get::<Network>(project, id)?.range) {
                return Err(Refusal::invalid("ip_range", "must hold the range that the network has"));
            }
            object::get_mut::<Network>(project, id)?.range = range;
        }
        "change_protection" => {
            let delete = fields.flag("delete")?;
            let meta = &mut object::get_mut::<Network>(project, id)?.meta;
            meta.protected = delete.unwrap_or(meta.protected);
        }
        _ => return Err(Refusal::no_such_path()),
    }
    let action = project.act(context, command, &[(Network::KIND, id)], Effect::Nothing);
    Ok(project.acting(context, action))
}

/// The addresses of a network that somebody has.
pub(crate) fn taken(project: &Project, network: Id) -> Vec<Ipv4Addr> {
    let servers = project.servers.values().flat_map(|s| &s.private).filter(|p| p.network == network);
    let balancers = project.balancers.values().flat_map(|b| &b.private).filter(|p| p.0 == network);
    let servers = servers.flat_map(|p| p.alias_ips.iter().copied().chain([p.ip]));
    servers.chain(balancers.map(|p| p.1)).collect()
}
