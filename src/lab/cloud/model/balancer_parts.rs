//! What a load balancer is made of: services with their health checks, and targets.

use serde_json::{Value, json};

use super::super::answer::{Answered, Refusal};
use super::super::list::Selector;
use super::super::request::Fields;
use super::balancer::{Algorithm, Balancer, Check, Protocol, Service, Target, TargetKind};
use super::object;
use super::server::Server;
use super::{Id, Project, subnet};

pub(crate) fn algorithm(fields: Fields<'_>) -> Answered<Algorithm> {
    match fields.need_text("type")? {
        "round_robin" => Ok(Algorithm::RoundRobin),
        "least_connections" => Ok(Algorithm::LeastConnections),
        _ => Err(Refusal::invalid("type", "must be round_robin or least_connections")),
    }
}

pub(crate) fn service_view(service: &Service) -> Value {
    let check = &service.check;
    let mut view = json!({
        "protocol": service.protocol, "listen_port": service.listen, "destination_port": service.destination,
        "proxyprotocol": service.proxyprotocol,
        "health_check": {
            "protocol": check.protocol, "port": check.port, "interval": check.interval, "timeout": check.timeout,
            "retries": check.retries,
        },
    });
    if let Some(http) = &check.http {
        view["health_check"]["http"] = http.clone();
    }
    if let Some(http) = &service.http {
        view["http"] = http.clone();
    }
    view
}

fn port(fields: Fields<'_>, name: &str) -> Answered<Option<u16>> {
    let Some(number) = fields.number(name)? else { return Ok(None) };
    let port = u16::try_from(number).ok().filter(|p| *p > 0);
    port.map(Some).ok_or_else(|| Refusal::invalid(name, "must be a port"))
}

fn protocol(fields: Fields<'_>, was: Option<Protocol>) -> Answered<Protocol> {
    match (fields.text("protocol")?, was) {
        (Some("tcp"), _) => Ok(Protocol::Tcp),
        (Some("http"), _) => Ok(Protocol::Http),
        (Some("https"), _) => Err(Refusal::invalid(
            "protocol",
            "https needs a certificate, and the lab's cloud has none; tcp passes TLS through to the targets",
        )),
        (None, Some(was)) => Ok(was),
        (Some(_) | None, _) => Err(Refusal::invalid("protocol", "must be tcp, http or https")),
    }
}

/// A service as described, on top of what it was; what nobody says stays, or is as the API has it by default.
fn read(fields: Fields<'_>, was: Option<&Service>) -> Answered<Service> {
    let protocol = protocol(fields, was.map(|s| s.protocol))?;
    let by_default = match protocol {
        Protocol::Http => Some(80),
        Protocol::Tcp => None,
    };
    let need = |name: &str, was: Option<u16>| {
        let given = port(fields, name)?.or(was).or(by_default);
        given.ok_or_else(|| Refusal::invalid(name, "is required"))
    };
    let listen = need("listen_port", was.map(|s| s.listen))?;
    let destination = need("destination_port", was.map(|s| s.destination))?;
    let proxyprotocol = fields.flag("proxyprotocol")?.unwrap_or(was.is_some_and(|s| s.proxyprotocol));
    let null = Value::Null;
    let check = fields.value("health_check").unwrap_or(&null);
    let check = read_check(Fields(check), was.map(|s| &s.check), protocol, destination)?;
    let http = match protocol {
        Protocol::Tcp => None,
        Protocol::Http => {
            let mut http = was.and_then(|s| s.http.clone()).unwrap_or_else(|| {
                json!({ "cookie_name": "HCLBSTICKY", "cookie_lifetime": 300, "certificates": [],
                        "redirect_http": false, "sticky_sessions": false })
            });
            merge(&mut http, fields.value("http"));
            Some(http)
        }
    };
    Ok(Service { protocol, listen, destination, proxyprotocol, http, check })
}

fn read_check(
    fields: Fields<'_>,
    was: Option<&Check>,
    service: Protocol,
    destination: u16,
) -> Answered<Check> {
    let protocol = protocol(fields, Some(was.map_or(service, |c| c.protocol)))?;
    let number = |name: &str, was: Option<u64>, otherwise: u64, (least, most): (u64, u64)| {
        let n = fields.number(name)?.or(was).unwrap_or(otherwise);
        let fine = (least..=most).contains(&n).then_some(n);
        fine.ok_or_else(|| Refusal::invalid(name, format!("must be from {least} to {most}")))
    };
    let interval = number("interval", was.map(|c| c.interval), 15, (3, 60))?;
    let timeout = number("timeout", was.map(|c| c.timeout), 10, (1, 60))?;
    let retries = number("retries", was.map(|c| c.retries), 3, (1, 5))?;
    let port = port(fields, "port")?.or(was.map(|c| c.port)).unwrap_or(destination);
    if timeout > interval {
        return Err(Refusal::invalid("timeout", "must not be longer than interval"));
    }
    let http = match protocol {
        Protocol::Tcp => None,
        Protocol::Http => {
            let mut http = was.and_then(|c| c.http.clone()).unwrap_or_else(|| {
                json!({ "domain": "", "path": "/", "response": "", "status_codes": ["2??", "3??"], "tls": false })
            });
            merge(&mut http, fields.value("http"));
            Some(http)
        }
    };
    Ok(Check { protocol, port, interval, timeout, retries, http })
}

fn merge(into: &mut Value, given: Option<&Value>) {
    for (key, value) in given.and_then(Value::as_object).into_iter().flatten() {
        into[key.as_str()] = value.clone();
    }
}

pub(crate) fn add_service(project: &mut Project, id: Id, fields: Fields<'_>) -> Answered<()> {
    let service = read(fields, None)?;
    let balancer = object::get_mut::<Balancer>(project, id)?;
    if balancer.services.iter().any(|s| s.listen == service.listen) {
        return Err(Refusal::refused("source_port_already_used", "the listen port is already used"));
    }
    if balancer.size().is_some_and(|t| balancer.services.len() >= t.services) {
        return Err(Refusal::new(403, "resource_limit_exceeded", "its type has no more services"));
    }
    balancer.services.push(service);
    Ok(())
}

fn service<'a>(project: &'a mut Project, id: Id, fields: Fields<'_>) -> Answered<&'a mut Service> {
    let listen = port(fields, "listen_port")?;
    let listen = listen.ok_or_else(|| Refusal::invalid("listen_port", "is required"))?;
    let balancer = object::get_mut::<Balancer>(project, id)?;
    let found = balancer.services.iter_mut().find(|s| s.listen == listen);
    found.ok_or_else(|| Refusal::not_found("service", listen))
}

pub(crate) fn update_service(project: &mut Project, id: Id, fields: Fields<'_>) -> Answered<()> {
    let there = service(project, id, fields)?;
    *there = read(fields, Some(there))?;
    Ok(())
}

pub(crate) fn delete_service(project: &mut Project, id: Id, fields: Fields<'_>) -> Answered<()> {
    let listen = service(project, id, fields)?.listen;
    object::get_mut::<Balancer>(project, id)?.services.retain(|s| s.listen != listen);
    Ok(())
}

fn read_target(project: &Project, fields: Fields<'_>) -> Answered<Target> {
    let inner = |name: &str| {
        fields.value(name).map(Fields).ok_or_else(|| Refusal::invalid(name, "is required for this type"))
    };
    let kind = match fields.need_text("type")? {
        "server" => {
            let id = inner("server")?.need_number("id")?;
            object::get::<Server>(project, id)?;
            TargetKind::Server(id)
        }
        "label_selector" => {
            let selector = inner("label_selector")?.need_text("selector")?;
            Selector::parse(selector)?;
            TargetKind::LabelSelector(selector.to_owned())
        }
        "ip" => {
            let ip = subnet::wanted(inner("ip")?, "ip")?;
            TargetKind::Ip(ip.ok_or_else(|| Refusal::invalid("ip", "is required"))?)
        }
        _ => return Err(Refusal::invalid("type", "must be server, label_selector or ip")),
    };
    Ok(Target { kind, private: fields.flag("use_private_ip")?.unwrap_or(false) })
}

pub(crate) fn add_target(project: &mut Project, id: Id, fields: Fields<'_>) -> Answered<()> {
    let target = read_target(project, fields)?;
    let balancer = object::get::<Balancer>(project, id)?;
    if balancer.targets.iter().any(|t| t.kind == target.kind) {
        return Err(Refusal::refused("target_already_defined", "it is a target already"));
    }
    if balancer.size().is_some_and(|t| balancer.targets.len() >= t.targets) {
        return Err(Refusal::new(403, "resource_limit_exceeded", "its type has no more targets"));
    }
    if target.private && balancer.private.is_empty() {
        return Err(Refusal::refused(
            "load_balancer_not_attached_to_network",
            "a target by its private address needs a network",
        ));
    }
    if let TargetKind::Server(server) = target.kind {
        let server = object::get::<Server>(project, server)?;
        if balancer.address_of(server, target.private).is_none() {
            return Err(Refusal::refused(
                "server_not_attached_to_network",
                "the server is not in the load balancer's network",
            ));
        }
    }
    object::get_mut::<Balancer>(project, id)?.targets.push(target);
    Ok(())
}

pub(crate) fn remove_target(project: &mut Project, id: Id, fields: Fields<'_>) -> Answered<()> {
    let target = read_target(project, fields)?;
    let balancer = object::get_mut::<Balancer>(project, id)?;
    let before = balancer.targets.len();
    balancer.targets.retain(|t| t.kind != target.kind);
    if balancer.targets.len() == before {
        return Err(Refusal::not_found("target", id));
    }
    Ok(())
}
