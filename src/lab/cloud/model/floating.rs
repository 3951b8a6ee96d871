//! Floating IPs: an address that is routed to one server at a time.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::answer::{Answer, Answered, Refusal};
use super::super::catalogue::Location;
use super::super::request::Fields;
use super::object::{self, Context, Meta, Object, kept_in};
use super::server::Server;
use super::{Effect, Id, Project};

/// A floating IP; the lab's cloud has IPv4 only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FloatingIp {
    pub(crate) meta: Meta,
    pub(crate) ip: Ipv4Addr,
    pub(crate) server: Option<Id>,
    description: Option<String>,
    home: String,
}

impl Object for FloatingIp {
    const KIND: &'static str = "floating_ip";
    const COLLECTION: &'static str = "floating_ips";

    kept_in!(floating_ips);

    fn view(&self, _: &Project, _: Context<'_>) -> Value {
        let reverse = self.ip.to_string().replace('.', "-");
        json!({
            "id": self.meta.id, "name": self.meta.name, "description": self.description, "type": "ipv4",
            "ip": self.ip.to_string(), "server": self.server, "blocked": false,
            "dns_ptr": [{ "ip": self.ip.to_string(), "dns_ptr": format!("static.{reverse}.clients.lab") }],
            "home_location": Location::named(&self.home).map(Location::view),
            "protection": { "delete": self.meta.protected }, "labels": self.meta.labels,
            "created": self.meta.created,
        })
    }
}

pub(crate) fn create(project: &mut Project, context: Context<'_>, fields: Fields<'_>) -> Answered {
    if fields.need_text("type")? != "ipv4" {
        return Err(Refusal::invalid("type", "the lab's cloud has floating IPs of type ipv4 only"));
    }
    let server = fields.number("server")?;
    let home = match (fields.id_or_name("home_location")?, server) {
        (Some(which), _) => {
            let found = Location::named(&which);
            found.ok_or_else(|| Refusal::invalid("home_location", "is not a location"))?.name.to_owned()
        }
        (None, Some(server)) => object::get::<Server>(project, server)?.location.clone(),
        (None, None) => return Err(Refusal::invalid("home_location", "is required without a server")),
    };
    if let Some(server) = server {
        object::get::<Server>(project, server)?;
    }
    let [a, b, c] = project.ground.floating;
    let taken: Vec<Ipv4Addr> = project.floating_ips.values().map(|f| f.ip).collect();
    let ip = (10..=250).map(|d| Ipv4Addr::new(a, b, c, d)).find(|ip| !taken.contains(ip));
    let ip = ip.ok_or_else(|| Refusal::new(403, "resource_limit_exceeded", "no floating IP is left"))?;
    let name = fields.text("name")?.map(str::to_owned);
    let name = name.unwrap_or_else(|| format!("floating-ip-{ip}"));
    let meta = object::begin::<FloatingIp>(project, context, fields, &name)?;
    let id = meta.id;
    let description = fields.text("description")?.map(str::to_owned);
    project.floating_ips.insert(id, FloatingIp { meta, ip, server, description, home });
    let action = server.map(|server| {
        let resources = [(FloatingIp::KIND, id), (Server::KIND, server)];
        project.act(context, "assign_floating_ip", &resources, Effect::Routes)
    });
    let mut body = object::shown::<FloatingIp>(project, context, id)?;
    if let Some(action) = action {
        body["action"] = project.action_view(context, action);
    }
    Ok(Answer::created(body))
}

/// PUT: the description too.
pub(crate) fn update(project: &mut Project, context: Context<'_>, id: Id, fields: Fields<'_>) -> Answered {
    if let Some(text) = fields.text("description")? {
        object::get_mut::<FloatingIp>(project, id)?.description = Some(text.to_owned());
    }
    object::update::<FloatingIp>(project, context, id, fields)
}

pub(crate) fn delete(project: &mut Project, context: Context<'_>, id: Id) -> Answered {
    if object::deletable::<FloatingIp>(project, id)?.server.is_some() {
        return Err(Refusal::refused("must_be_unassigned", "the floating IP is still assigned to a server"));
    }
    project.floating_ips.remove(&id);
    project.chore(context, "delete_floating_ip", Effect::Routes);
    Ok(Answer::gone())
}

/// `POST /floating_ips/{id}/actions/…`
pub(crate) fn act(
    project: &mut Project,
    context: Context<'_>,
    id: Id,
    command: &str,
    fields: Fields<'_>,
) -> Answered {
    let before = object::unlocked::<FloatingIp>(project, id)?.server;
    let mut resources = vec![(FloatingIp::KIND, id)];
    let (name, effect) = match command {
        "assign" => {
            let server = fields.need_number("server")?;
            object::get::<Server>(project, server)?;
            object::get_mut::<FloatingIp>(project, id)?.server = Some(server);
            resources.push((Server::KIND, server));
            ("assign_floating_ip", Effect::Routes)
        }
        "unassign" => {
            let server =
                before.ok_or_else(|| Refusal::refused("floating_ip_not_assigned", "it is not assigned"))?;
            object::get_mut::<FloatingIp>(project, id)?.server = None;
            resources.push((Server::KIND, server));
            ("unassign_floating_ip", Effect::Routes)
        }
        "change_protection" => {
            let delete = fields.flag("delete")?;
            let meta = &mut object::get_mut::<FloatingIp>(project, id)?.meta;
            meta.protected = delete.unwrap_or(meta.protected);
            ("change_protection", Effect::Nothing)
        }
        _ => return Err(Refusal::no_such_path()),
    };
    let action = project.act(context, name, &resources, effect);
    Ok(project.acting(context, action))
}
