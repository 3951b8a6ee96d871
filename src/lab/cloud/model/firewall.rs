//! Firewalls: what may reach a server's public interface, and leave by it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::answer::{Answer, Answered, Refusal};
use super::super::list::Selector;
use super::super::request::Fields;
use super::object::{self, Context, Meta, Object, kept_in};
use super::server::Server;
use super::{Effect, Id, Project};

/// How many rules a firewall may have.
const MOST_RULES: usize = 50;

/// Which way a rule looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    In,
    Out,
}

/// What a rule lets through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) direction: Direction,
    pub(crate) protocol: String,
    /// First and last, where the protocol has ports.
    pub(crate) ports: Option<(u16, u16)>,
    /// Where it comes from (`in`) or goes to (`out`), as ranges.
    pub(crate) ranges: Vec<String>,
    description: Option<String>,
}

impl Rule {
    fn view(&self) -> Value {
        let (inward, outward) = match self.direction {
            Direction::In => (self.ranges.clone(), Vec::new()),
            Direction::Out => (Vec::new(), self.ranges.clone()),
        };
        let port = self.ports.map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") });
        json!({
            "direction": self.direction, "protocol": self.protocol, "port": port, "source_ips": inward,
            "destination_ips": outward, "description": self.description,
        })
    }
}

/// A firewall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Firewall {
    pub(crate) meta: Meta,
    pub(crate) rules: Vec<Rule>,
    pub(crate) servers: BTreeSet<Id>,
    pub(crate) selectors: BTreeSet<String>,
}

impl Firewall {
    pub(crate) fn holds_for(&self, server: &Server) -> bool {
        self.servers.contains(&server.meta.id)
            || self.selectors.iter().any(|s| object::selects(s, &server.meta.labels))
    }

    /// Every server that it holds for.
    fn reach(&self, project: &Project) -> Vec<Id> {
        project.servers.values().filter(|s| self.holds_for(s)).map(|s| s.meta.id).collect()
    }
}

impl Object for Firewall {
    const KIND: &'static str = "firewall";
    const COLLECTION: &'static str = "firewalls";

    kept_in!(firewalls);

    fn view(&self, project: &Project, _: Context<'_>) -> Value {
        let server = |id: Id| json!({ "type": "server", "server": { "id": id } });
        let by_label = self.selectors.iter().map(|selector| {
            let chosen: Vec<Value> = project.servers_by_label(selector).into_iter().map(server).collect();
            json!({
                "type": "label_selector", "label_selector": { "selector": selector },
                "applied_to_resources": chosen,
            })
        });
        let applied: Vec<Value> = self.servers.iter().map(|id| server(*id)).chain(by_label).collect();
        json!({
            "id": self.meta.id, "name": self.meta.name, "labels": self.meta.labels, "created": self.meta.created,
            "rules": self.rules.iter().map(Rule::view).collect::<Vec<_>>(), "applied_to": applied,
        })
    }
}

fn rules(fields: Fields<'_>) -> Answered<Vec<Rule>> {
    let asked = fields.list("rules")?;
    if asked.len() > MOST_RULES {
        return Err(Refusal::invalid("rules", format!("more than {MOST_RULES} rules")));
    }
    asked.into_iter().map(|rule| read_rule(Fields(rule))).collect()
}

fn read_rule(fields: Fields<'_>) -> Answered<Rule> {
    let (direction, ranges) = match fields.need_text("direction")? {
        "in" => (Direction::In, "source_ips"),
        "out" => (Direction::Out, "destination_ips"),
        _ => return Err(Refusal::invalid("direction", "must be in or out")),
    };
    let protocol = fields.need_text("protocol")?;
    if !["tcp", "udp", "icmp", "esp", "gre"].contains(&protocol) {
        return Err(Refusal::invalid("protocol", "must be tcp, udp, icmp, esp or gre"));
    }
    let ports = fields.text("port")?.map(port_range).transpose()?;
    if ["tcp", "udp"].contains(&protocol) != ports.is_some() {
        return Err(Refusal::invalid("port", "is for tcp and udp, and those need it"));
    }
    let ranges_of = |name: &str| -> Answered<Vec<String>> {
        let list = fields.list(name)?.into_iter().map(|v| {
            let text = v.as_str().filter(|t| is_range(t));
            text.map(str::to_owned).ok_or_else(|| Refusal::invalid(name, "must be ranges in CIDR notation"))
        });
        list.collect()
    };
    let chosen = ranges_of(ranges)?;
    if chosen.is_empty() || chosen.len() > 100 {
        return Err(Refusal::invalid(ranges, "needs 1 to 100 ranges"));
    }
    let description = fields.text("description")?.map(str::to_owned);
    Ok(Rule { direction, protocol: protocol.to_owned(), ports, ranges: chosen, description })
}

fn port_range(text: &str) -> Answered<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let read = match (first, last) {
        ("any", "any") => Some((1, u16::MAX)),
        _ => first.parse::<u16>().ok().zip(last.parse::<u16>().ok()),
    };
    let fine = read.filter(|(a, b)| *a >= 1 && a <= b);
    fine.ok_or_else(|| Refusal::invalid("port", "must be a port, a range of ports, or any"))
}

/// A range without bits behind its prefix.
fn is_range(text: &str) -> bool {
    let Some((ip, prefix)) = text.split_once('/') else { return false };
    let (Ok(ip), Ok(prefix)) = (ip.parse::<IpAddr>(), prefix.parse::<u32>()) else { return false };
    match ip {
        IpAddr::V4(_) => crate::cidr::Cidr::parse(text).is_some(),
        IpAddr::V6(ip) => {
            prefix <= 128 && u128::MAX.checked_shl(128 - prefix).is_none_or(|mask| ip.to_bits() & !mask == 0)
        }
    }
}

/// The servers and selectors of `apply_to`, `remove_from` and the like.
fn resources(project: &Project, list: &[&Value]) -> Answered<(Vec<Id>, Vec<String>)> {
    let (mut servers, mut selectors) = (Vec::new(), Vec::new());
    for resource in list {
        match resource["type"].as_str() {
            Some("server") => {
                let id = Fields(&resource["server"]).need_number("id")?;
                object::get::<Server>(project, id)?;
                servers.push(id);
            }
            Some("label_selector") => {
                let selector = Fields(&resource["label_selector"]).need_text("selector")?;
                Selector::parse(selector)?;
                selectors.push(selector.to_owned());
            }
            _ => return Err(Refusal::invalid("type", "must be server or label_selector")),
        }
    }
    Ok((servers, selectors))
}

pub(crate) fn create(project: &mut Project, context: Context<'_>, fields: Fields<'_>) -> Answered {
    let rules = rules(fields)?;
    let (servers, selectors) = resources(project, &fields.list("apply_to")?)?;
    let meta = object::begin::<Firewall>(project, context, fields, fields.need_text("name")?)?;
    let id = meta.id;
    let firewall = Firewall {
        meta,
        rules,
        servers: servers.into_iter().collect(),
        selectors: selectors.into_iter().collect(),
    };
    let reach = firewall.reach(project);
    project.firewalls.insert(id, firewall);
    let set = project.act(context, "set_firewall_rules", &[(Firewall::KIND, id)], Effect::Nothing);
    let mut actions = vec![set];
    actions.extend(apply(project, context, "apply_firewall", id, reach));
    answer(project, context, id, &actions)
}

/// One action for each server whose filters change.
fn apply(project: &mut Project, context: Context<'_>, command: &str, id: Id, servers: Vec<Id>) -> Vec<Id> {
    let one = |server| {
        let resources = [(Firewall::KIND, id), (Server::KIND, server)];
        project.act(context, command, &resources, Effect::Filters(vec![server]))
    };
    servers.into_iter().map(one).collect()
}

fn answer(project: &Project, context: Context<'_>, id: Id, actions: &[Id]) -> Answered {
    let mut body = object::shown::<Firewall>(project, context, id)?;
    body["actions"] = actions.iter().map(|a| project.action_view(context, *a)).collect();
    Ok(Answer::created(body))
}

pub(crate) fn delete(project: &mut Project, id: Id) -> Answered {
    let firewall = object::get::<Firewall>(project, id)?;
    if !firewall.servers.is_empty() || !firewall.selectors.is_empty() {
        return Err(Refusal::refused("resource_in_use", format!("firewall {id} is still applied")));
    }
    project.firewalls.remove(&id);
    Ok(Answer::gone())
}

/// `POST /firewalls/{id}/actions/…`; the answer has `actions`.
pub(crate) fn act(
    project: &mut Project,
    context: Context<'_>,
    id: Id,
    command: &str,
    fields: Fields<'_>,
) -> Answered {
    let before = object::get::<Firewall>(project, id)?.reach(project);
    let actions = match command {
        "set_rules" => {
            fields.value("rules").ok_or_else(|| Refusal::invalid("rules", "is required"))?;
            object::get_mut::<Firewall>(project, id)?.rules = rules(fields)?;
            let set = project.act(context, "set_firewall_rules", &[(Firewall::KIND, id)], Effect::Nothing);
            let mut all = vec![set];
            all.extend(apply(project, context, "apply_firewall", id, before));
            all
        }
        "apply_to_resources" => {
            let (servers, selectors) = resources(project, &fields.list("apply_to")?)?;
            let firewall = object::get_mut::<Firewall>(project, id)?;
            if servers.iter().any(|s| firewall.servers.contains(s)) {
                return Err(Refusal::refused("firewall_already_applied", "the firewall is already applied"));
            }
            firewall.servers.extend(servers);
            firewall.selectors.extend(selectors);
            let mut reach = object::get::<Firewall>(project, id)?.reach(project);
            reach.retain(|s| !before.contains(s));
            apply(project, context, "apply_firewall", id, reach)
        }
        "remove_from_resources" => {
            let (servers, selectors) = resources(project, &fields.list("remove_from")?)?;
            let firewall = object::get_mut::<Firewall>(project, id)?;
            let there = servers.iter().all(|s| firewall.servers.contains(s))
                && selectors.iter().all(|s| firewall.selectors.contains(s));
            if !there {
                return Err(Refusal::refused(
                    "firewall_already_removed",
                    "the firewall is not applied there",
                ));
            }
            firewall.servers.retain(|s| !servers.contains(s));
            firewall.selectors.retain(|s| !selectors.contains(s));
            let after = object::get::<Firewall>(project, id)?.reach(project);
            let left = before.into_iter().filter(|s| !after.contains(s)).collect();
            apply(project, context, "remove_firewall", id, left)
        }
        _ => return Err(Refusal::no_such_path()),
    };
    let actions: Vec<Value> = actions.iter().map(|a| project.action_view(context, *a)).collect();
    Ok(Answer::created(json!({ "actions": actions })))
}
