//! `POST /servers/{id}/actions/…`

use super::super::answer::{Answered, Refusal};
use super::super::request::Fields;
use super::network::Network;
use super::object::{self, Context, Object as _};
use super::server::{Phase, Private, Server};
use super::{Effect, Id, PlacementGroup, Project, place, subnet};
use crate::cidr::Cidr;

pub(crate) fn act(
    project: &mut Project,
    context: Context<'_>,
    id: Id,
    command: &str,
    fields: Fields<'_>,
) -> Answered {
    let running = object::unlocked::<Server>(project, id)?.is_running(project, context);
    let mut resources = vec![(Server::KIND, id)];
    let (name, effect) = match command {
        "poweron" => ("start_server", power(project, id, Phase::Starting, Effect::Start(id))?),
        "poweroff" => ("stop_server", power(project, id, Phase::Stopping, Effect::PowerOff(id))?),
        "reset" => ("reset_server", power(project, id, Phase::Starting, Effect::Reset(id))?),
        "shutdown" => {
            ("shutdown_server", alive(project, id, running, Phase::Stopping, Effect::Shutdown(id))?)
        }
        "reboot" => ("reboot_server", alive(project, id, running, Phase::Starting, Effect::Reboot(id))?),
        "change_protection" => {
            let (delete, rebuild) = (fields.flag("delete")?, fields.flag("rebuild")?);
            if delete.is_some() != rebuild.is_some() || (delete, rebuild) == (Some(true), Some(false)) {
                return Err(Refusal::invalid("rebuild", "must be given with delete, and be the same"));
            }
            let server = object::get_mut::<Server>(project, id)?;
            server.meta.protected = delete.unwrap_or(server.meta.protected);
            server.rebuild_protected = rebuild.unwrap_or(server.rebuild_protected);
            ("change_protection", Effect::Nothing)
        }
        "add_to_placement_group" => {
            let group = fields.need_number("placement_group")?;
            stopped(running)?;
            place::has_room(project, group)?;
            let server = object::get_mut::<Server>(project, id)?;
            if server.placement_group.is_some() {
                return Err(Refusal::refused(
                    "server_in_placement_group",
                    "the server is in a placement group",
                ));
            }
            server.placement_group = Some(group);
            resources.push((PlacementGroup::KIND, group));
            ("add_to_placement_group", Effect::Nothing)
        }
        "remove_from_placement_group" => {
            let group = object::get_mut::<Server>(project, id)?.placement_group.take();
            let group = group.ok_or_else(|| {
                Refusal::refused("server_not_in_placement_group", "the server is in no placement group")
            })?;
            resources.push((PlacementGroup::KIND, group));
            ("remove_from_placement_group", Effect::Nothing)
        }
        "attach_to_network" => {
            resources.push((Network::KIND, attach(project, id, fields)?));
            ("attach_to_network", Effect::Interfaces(id))
        }
        "detach_from_network" => {
            resources.push((Network::KIND, detach(project, id, fields)?));
            ("detach_from_network", Effect::Interfaces(id))
        }
        _ => return Err(Refusal::no_such_path()),
    };
    let action = project.act(context, name, &resources, effect);
    if command == "attach_to_network" || command == "detach_from_network" {
        // Load balancers reach their targets by these addresses.
        rebalance(project, context, id);
    }
    Ok(project.acting(context, action))
}

/// The balancers that have this server as a target look at its addresses again.
pub(super) fn rebalance(project: &mut Project, context: Context<'_>, server: Id) {
    let Some(server) = project.servers.get(&server) else { return };
    let of = project.balancers.values().filter(|b| b.has_target(project, server));
    let of: Vec<Id> = of.map(|b| b.meta.id).collect();
    for balancer in of {
        project.chore(context, "update_targets", Effect::Balance(balancer));
    }
}

fn power(project: &mut Project, id: Id, phase: Phase, effect: Effect) -> Answered<Effect> {
    object::get_mut::<Server>(project, id)?.phase = phase;
    Ok(effect)
}

/// The same, for what only a running system can be asked for.
fn alive(project: &mut Project, id: Id, running: bool, phase: Phase, effect: Effect) -> Answered<Effect> {
    if !running {
        return Err(Refusal::refused("server_not_running", "the server is not running"));
    }
    power(project, id, phase, effect)
}

fn stopped(running: bool) -> Answered<()> {
    if running {
        return Err(Refusal::refused("server_not_stopped", "the server must be powered off"));
    }
    Ok(())
}

fn attach(project: &mut Project, id: Id, fields: Fields<'_>) -> Answered<Id> {
    let network = fields.need_number("network")?;
    let server = object::get::<Server>(project, id)?;
    if server.private.iter().any(|p| p.network == network) {
        return Err(Refusal::refused("server_already_attached", "the server is attached to the network"));
    }
    let range = object::get::<Network>(project, network)?.range;
    let others = server.private.iter().filter_map(|p| project.networks.get(&p.network));
    if others.into_iter().any(|n| n.range.overlaps(range)) {
        return Err(Refusal::refused("networks_overlap", "the server is attached to an overlapping network"));
    }
    if server.private.len() >= 3 {
        return Err(Refusal::new(403, "resource_limit_exceeded", "a server has at most 3 networks"));
    }
    let within = fields
        .text("ip_range")?
        .map(|text| Cidr::parse(text).ok_or_else(|| Refusal::invalid("ip_range", "is not an IPv4 range")));
    let wanted = subnet::wanted(fields, "ip")?;
    let ip = subnet::address(project, network, server.zone(), wanted, within.transpose()?)?;
    let mut private = Private { network, ip, alias_ips: Vec::new() };
    for alias in fields.list("alias_ips")? {
        let alias = alias.as_str().and_then(|a| a.parse().ok());
        let alias = alias.ok_or_else(|| Refusal::invalid("alias_ips", "must be IPv4 addresses"))?;
        private.alias_ips.push(subnet::address(project, network, server.zone(), Some(alias), None)?);
    }
    object::get_mut::<Server>(project, id)?.private.push(private);
    Ok(network)
}

fn detach(project: &mut Project, id: Id, fields: Fields<'_>) -> Answered<Id> {
    let network = fields.need_number("network")?;
    let server = object::get_mut::<Server>(project, id)?;
    let before = server.private.len();
    server.private.retain(|p| p.network != network);
    if server.private.len() == before {
        return Err(Refusal::refused("server_not_attached", "the server is not attached to the network"));
    }
    Ok(network)
}
