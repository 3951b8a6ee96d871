//! Load balancers: services, targets, and the health of each target.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::answer::{Answer, Answered, Refusal};
use super::super::catalogue::{BalancerType, LOCATIONS, Location};
use super::super::request::Fields;
use super::super::wire::Health;
use super::balancer_parts as parts;
use super::object::{self, Context, Meta, Object, kept_in};
use super::server::Server;
use super::{Effect, Id, Network, Project, subnet};

/// How a target is chosen for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Algorithm {
    RoundRobin,
    LeastConnections,
}

/// What a service or a health check speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Tcp,
    Http,
}

/// A health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) interval: u64,
    pub(crate) timeout: u64,
    pub(crate) retries: u64,
    /// What is asked and expected, as the API describes it, where the protocol is HTTP.
    pub(crate) http: Option<Value>,
}

/// A port that it listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Service {
    pub(crate) protocol: Protocol,
    pub(crate) listen: u16,
    pub(crate) destination: u16,
    pub(crate) proxyprotocol: bool,
    pub(crate) http: Option<Value>,
    pub(crate) check: Check,
}

/// What a target is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TargetKind {
    Server(Id),
    LabelSelector(String),
    Ip(Ipv4Addr),
}

/// A target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) kind: TargetKind,
    pub(crate) private: bool,
}

/// A load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Balancer {
    pub(crate) meta: Meta,
    pub(crate) size: Id,
    pub(crate) location: String,
    pub(crate) ipv4: Ipv4Addr,
    pub(crate) public: bool,
    pub(crate) algorithm: Algorithm,
    pub(crate) services: Vec<Service>,
    pub(crate) targets: Vec<Target>,
    pub(crate) private: Vec<(Id, Ipv4Addr)>,
}

impl Balancer {
    pub(crate) fn size(&self) -> Option<&'static BalancerType> {
        BalancerType::named(&self.size.to_string())
    }

    fn zone(&self) -> &'static str {
        Location::named(&self.location).map_or("", |l| l.zone)
    }

    /// The servers that a target stands for.
    pub(crate) fn servers_of(&self, project: &Project, target: &Target) -> Vec<Id> {
        match &target.kind {
            TargetKind::Server(id) => vec![*id],
            TargetKind::LabelSelector(selector) => project.servers_by_label(selector),
            TargetKind::Ip(_) => Vec::new(),
        }
    }

    pub(crate) fn has_target(&self, project: &Project, server: &Server) -> bool {
        self.targets.iter().any(|t| self.servers_of(project, t).contains(&server.meta.id))
    }

    /// Takes a server away that is being deleted; true where it was a target.
    pub(crate) fn forget_server(&mut self, server: Id) -> bool {
        let before = self.targets.len();
        self.targets.retain(|t| t.kind != TargetKind::Server(server));
        before != self.targets.len()
    }

    /// The address by which it reaches a server; none where there is no way.
    pub(crate) fn address_of(&self, server: &Server, private: bool) -> Option<Ipv4Addr> {
        if !private {
            return server.ipv4;
        }
        let shared = server.private.iter().find(|p| self.private.iter().any(|(n, _)| *n == p.network));
        shared.map(|p| p.ip)
    }

    /// Every address that it balances to.
    pub(crate) fn addresses(&self, project: &Project) -> Vec<Ipv4Addr> {
        let mut all = Vec::new();
        for target in &self.targets {
            if let TargetKind::Ip(ip) = target.kind {
                all.push(ip);
            }
            let servers = self.servers_of(project, target);
            let servers = servers.iter().filter_map(|id| project.servers.get(id));
            all.extend(servers.filter_map(|s| self.address_of(s, target.private)));
        }
        all
    }

    fn health(&self, context: Context<'_>, address: Option<Ipv4Addr>) -> Vec<Value> {
        let one = |service: &Service| {
            let seen = address.and_then(|ip| context.seen.health.get(&(self.meta.id, service.listen, ip)));
            let status = seen.copied().unwrap_or(Health::Unknown);
            json!({ "listen_port": service.listen, "status": status.name() })
        };
        self.services.iter().map(one).collect()
    }

    fn target_view(&self, project: &Project, context: Context<'_>, target: &Target) -> Value {
        let of_server = |id: Id| {
            let address = project.servers.get(&id).and_then(|s| self.address_of(s, target.private));
            json!({
                "type": "server", "server": { "id": id }, "use_private_ip": target.private,
                "health_status": self.health(context, address),
            })
        };
        match &target.kind {
            TargetKind::Server(id) => of_server(*id),
            TargetKind::LabelSelector(selector) => {
                let chosen: Vec<Value> =
                    project.servers_by_label(selector).into_iter().map(of_server).collect();
                json!({
                    "type": "label_selector", "label_selector": { "selector": selector },
                    "use_private_ip": target.private, "targets": chosen,
                })
            }
            TargetKind::Ip(ip) => {
                json!({ "type": "ip", "ip": { "ip": ip.to_string() }, "health_status": self.health(context, Some(*ip)) })
            }
        }
    }
}

impl Object for Balancer {
    const KIND: &'static str = "load_balancer";
    const COLLECTION: &'static str = "load_balancers";

    kept_in!(balancers);

    fn view(&self, project: &Project, context: Context<'_>) -> Value {
        let targets: Vec<Value> =
            self.targets.iter().map(|t| self.target_view(project, context, t)).collect();
        let private = self.private.iter().map(|(n, ip)| json!({ "network": n, "ip": ip.to_string() }));
        let reverse = self.ipv4.to_string().replace('.', "-");
        json!({
            "id": self.meta.id, "name": self.meta.name, "labels": self.meta.labels, "created": self.meta.created,
            "load_balancer_type": self.size().map(BalancerType::view),
            "location": Location::named(&self.location).map(Location::view),
            "algorithm": { "type": self.algorithm },
            "public_net": {
                "enabled": self.public,
                "ipv4": { "ip": self.ipv4.to_string(), "dns_ptr": format!("static.{reverse}.clients.lab") },
                "ipv6": { "ip": null, "dns_ptr": null },
            },
            "private_net": private.collect::<Vec<_>>(),
            "services": self.services.iter().map(parts::service_view).collect::<Vec<_>>(),
            "targets": targets, "protection": { "delete": self.meta.protected },
            "included_traffic": 20_u64 << 40, "ingoing_traffic": 0, "outgoing_traffic": 0,
        })
    }
}

pub(crate) fn create(project: &mut Project, context: Context<'_>, fields: Fields<'_>) -> Answered {
    let wanted = fields.id_or_name("load_balancer_type")?.unwrap_or_default();
    let size = BalancerType::named(&wanted)
        .ok_or_else(|| Refusal::invalid("load_balancer_type", format!("there is no {wanted:?}")))?;
    let location = match (fields.id_or_name("location")?, fields.text("network_zone")?) {
        (Some(which), None) => Location::named(&which),
        (None, Some(zone)) => LOCATIONS.iter().find(|l| l.zone == zone),
        _ => return Err(Refusal::invalid("location", "needs either location or network_zone")),
    };
    let location = location.ok_or_else(|| Refusal::invalid("location", "there is no such location"))?;
    let free = project.free_public();
    let ipv4 =
        free.ok_or_else(|| Refusal::new(403, "resource_limit_exceeded", "no public address is left"))?;
    let algorithm = match fields.value("algorithm") {
        Some(value) => parts::algorithm(Fields(value))?,
        None => Algorithm::RoundRobin,
    };
    let meta = object::begin::<Balancer>(project, context, fields, fields.need_text("name")?)?;
    let id = meta.id;
    let public = fields.flag("public_interface")?.unwrap_or(true);
    let balancer = Balancer {
        meta,
        size: size.id,
        location: location.name.to_owned(),
        ipv4,
        public,
        algorithm,
        services: Vec::new(),
        targets: Vec::new(),
        private: Vec::new(),
    };
    project.balancers.insert(id, balancer);
    if let Some(network) = fields.number("network")? {
        attach(project, id, network, None)?;
    }
    for service in fields.list("services")? {
        parts::add_service(project, id, Fields(service))?;
    }
    for target in fields.list("targets")? {
        parts::add_target(project, id, Fields(target))?;
    }
    let action = project.act(context, "create_load_balancer", &[(Balancer::KIND, id)], Effect::Balance(id));
    let mut body = object::shown::<Balancer>(project, context, id)?;
    body["action"] = project.action_view(context, action);
    Ok(Answer::created(body))
}

fn attach(project: &mut Project, id: Id, network: Id, wanted: Option<Ipv4Addr>) -> Answered<()> {
    let balancer = object::get::<Balancer>(project, id)?;
    if !balancer.private.is_empty() {
        return Err(Refusal::refused("load_balancer_already_attached", "it is attached to a network"));
    }
    let ip = subnet::address(project, network, balancer.zone(), wanted, None)?;
    object::get_mut::<Balancer>(project, id)?.private.push((network, ip));
    Ok(())
}

pub(crate) fn delete(project: &mut Project, context: Context<'_>, id: Id) -> Answered {
    object::deletable::<Balancer>(project, id)?;
    project.balancers.remove(&id);
    project.chore(context, "delete_load_balancer", Effect::Balance(id));
    Ok(Answer::gone())
}

/// `POST /load_balancers/{id}/actions/…`
pub(crate) fn act(
    project: &mut Project,
    context: Context<'_>,
    id: Id,
    command: &str,
    fields: Fields<'_>,
) -> Answered {
    object::unlocked::<Balancer>(project, id)?;
    match command {
        "add_service" => parts::add_service(project, id, fields)?,
        "update_service" => parts::update_service(project, id, fields)?,
        "delete_service" => parts::delete_service(project, id, fields)?,
        "add_target" => parts::add_target(project, id, fields)?,
        "remove_target" => parts::remove_target(project, id, fields)?,
        "attach_to_network" => {
            attach(project, id, fields.need_number("network")?, subnet::wanted(fields, "ip")?)?;
        }
        "detach_from_network" => {
            let network = fields.need_number("network")?;
            object::get::<Network>(project, network)?;
            let balancer = object::get_mut::<Balancer>(project, id)?;
            if balancer.targets.iter().any(|t| t.private) {
                return Err(Refusal::refused("targets_without_use_private_ip", "targets are reached by it"));
            }
            balancer.private.retain(|(n, _)| *n != network);
        }
        "change_algorithm" => {
            object::get_mut::<Balancer>(project, id)?.algorithm = parts::algorithm(fields)?;
        }
        "change_protection" => {
            let delete = fields.flag("delete")?;
            let meta = &mut object::get_mut::<Balancer>(project, id)?.meta;
            meta.protected = delete.unwrap_or(meta.protected);
        }
        "enable_public_interface" => object::get_mut::<Balancer>(project, id)?.public = true,
        "disable_public_interface" => object::get_mut::<Balancer>(project, id)?.public = false,
        _ => return Err(Refusal::no_such_path()),
    }
    let effect = if command == "change_protection" { Effect::Nothing } else { Effect::Balance(id) };
    let action = project.act(context, command, &[(Balancer::KIND, id)], effect);
    Ok(project.acting(context, action))
}
