//! `POST /servers`: everything is judged before anything is made.

use serde_json::{Value, json};

use super::super::answer::{Answer, Answered, Refusal};
use super::super::catalogue::{Image, Location, ServerType};
use super::super::request::{Fields, which};
use super::network::Network;
use super::object::{self, Context};
use super::server::{Phase, Private, Server};
use super::{Effect, Firewall, Id, Object as _, Project, place, subnet};

/// How long user data may be.
const LONGEST_USER_DATA: usize = 32 * 1024;

pub(crate) fn create(project: &mut Project, context: Context<'_>, fields: Fields<'_>) -> Answered {
    let name = fields.need_text("name")?;
    if !is_host_name(name) {
        return Err(Refusal::invalid("name", "must be a valid hostname as per RFC 1123"));
    }
    if fields.value("datacenter").is_some() {
        return Err(Refusal::invalid("datacenter", "is no longer there; use location"));
    }
    let server_type = server_type(fields)?;
    let image = fields.id_or_name("image")?.ok_or_else(|| Refusal::invalid("image", "is required"))?;
    let image = Image::named(&image, server_type.arch).ok_or_else(|| {
        Refusal::invalid("image", format!("there is no image {image} for {}", server_type.arch))
    })?;
    let location = location(project, server_type, fields)?;
    if image.arch != server_type.arch {
        return Err(Refusal::invalid("image", "is for another architecture"));
    }
    let networks = networks(project, location, fields)?;
    let firewalls = firewalls(project, fields)?;
    let group = fields.number("placement_group")?;
    if let Some(group) = group {
        place::has_room(project, group)?;
    }
    let keys = keys(project, fields)?;
    let user_data = fields.text("user_data")?.map(str::to_owned);
    if user_data.as_ref().is_some_and(|d| d.len() > LONGEST_USER_DATA) {
        return Err(Refusal::invalid("user_data", "is longer than 32 KiB"));
    }
    if !fields.list("volumes")?.is_empty() {
        return Err(Refusal::invalid("volumes", "the lab's cloud has no volumes"));
    }
    let start = fields.flag("start_after_create")?.unwrap_or(true);
    let ipv4 = public_address(project, fields)?;
    let meta = object::begin::<Server>(project, context, fields, name)?;
    let id = meta.id;
    let server = Server {
        meta,
        server_type: server_type.id,
        image: image.id,
        location: location.name.to_owned(),
        phase: Phase::Initializing,
        ipv4,
        private: Vec::new(),
        placement_group: group,
        rebuild_protected: false,
        user_data,
        keys,
        existing: None,
    };
    project.servers.insert(id, server);
    for network in &networks {
        let ip = subnet::address(project, *network, location.zone, None, None)?;
        let private = Private { network: *network, ip, alias_ips: Vec::new() };
        object::get_mut::<Server>(project, id)?.private.push(private);
    }
    for firewall in &firewalls {
        object::get_mut::<Firewall>(project, *firewall)?.servers.insert(id);
    }
    let root = fields.list("ssh_keys")?.is_empty().then(|| "lab-no-password-login".to_owned());
    let (first, next) = actions(project, context, id, &networks, start);
    let view = |id: &Id| project.action_view(context, *id);
    let mut body = object::shown::<Server>(project, context, id)?;
    body["action"] = view(&first);
    body["next_actions"] = next.iter().map(view).collect();
    body["root_password"] = json!(root);
    Ok(Answer::created(body))
}

/// The machine, then its networks and filters, then its power: it never runs without what was asked for.
fn actions(
    project: &mut Project,
    context: Context<'_>,
    id: Id,
    networks: &[Id],
    start: bool,
) -> (Id, Vec<Id>) {
    let own = [(Server::KIND, id)];
    let first = project.act(context, "create_server", &own, Effect::Create(id));
    let (mut last, mut next) = (first, Vec::new());
    for network in networks {
        let both = [(Server::KIND, id), (Network::KIND, *network)];
        last = project.act_after(context, "attach_to_network", &both, Effect::Interfaces(id), last);
        next.push(last);
    }
    let firewalls: Vec<Id> = match project.servers.get(&id) {
        Some(server) => project.firewalls_of(server).map(|f| f.meta.id).collect(),
        None => Vec::new(),
    };
    for firewall in firewalls {
        let both = [(Firewall::KIND, firewall), (Server::KIND, id)];
        last = project.act_after(context, "apply_firewall", &both, Effect::Filters(vec![id]), last);
        next.push(last);
    }
    if start {
        next.push(project.act_after(context, "start_server", &own, Effect::Start(id), last));
    }
    (first, next)
}

fn server_type(fields: Fields<'_>) -> Answered<&'static ServerType> {
    let wanted = fields.id_or_name("server_type")?;
    let wanted = wanted.ok_or_else(|| Refusal::invalid("server_type", "is required"))?;
    ServerType::named(&wanted).ok_or_else(|| Refusal::invalid("server_type", format!("there is no {wanted}")))
}

fn location(project: &Project, kind: &ServerType, fields: Fields<'_>) -> Answered<&'static Location> {
    // The real one chooses where nobody says; so does this one, always alike.
    let wanted = fields.id_or_name("location")?.unwrap_or_else(|| "fsn1".to_owned());
    let location = Location::named(&wanted)
        .ok_or_else(|| Refusal::invalid("location", format!("there is no location {wanted}")))?;
    if !kind.is_offered(location) {
        return Err(Refusal::invalid("server_type", format!("{} is not offered in {wanted}", kind.name)));
    }
    if !kind.is_available(location.name, &project.sold_out) {
        return Err(Refusal::new(
            412,
            "resource_unavailable",
            format!("{} is sold out in {wanted}", kind.name),
        ));
    }
    Ok(location)
}

fn networks(project: &Project, location: &Location, fields: Fields<'_>) -> Answered<Vec<Id>> {
    let networks = fields.ids("networks")?;
    for network in &networks {
        subnet::address(project, *network, location.zone, None, None)?;
    }
    Ok(networks)
}

fn firewalls(project: &Project, fields: Fields<'_>) -> Answered<Vec<Id>> {
    let list = fields.list("firewalls")?.into_iter().map(|entry| {
        let id = Fields(entry).need_number("firewall")?;
        object::get::<Firewall>(project, id).map(|_| id)
    });
    list.collect()
}

/// The public keys that `ssh_keys` names, by id or by name.
fn keys(project: &Project, fields: Fields<'_>) -> Answered<Vec<String>> {
    let find = |value: &Value| {
        let wanted = which(value).unwrap_or_default();
        let found =
            project.ssh_keys.values().find(|k| k.meta.name == wanted || k.meta.id.to_string() == wanted);
        let found = found.ok_or_else(|| Refusal::not_found("ssh_key", &wanted));
        found.map(|k| k.public_key.clone())
    };
    fields.list("ssh_keys")?.into_iter().map(find).collect()
}

fn public_address(project: &Project, fields: Fields<'_>) -> Answered<Option<std::net::Ipv4Addr>> {
    let enabled = match fields.value("public_net") {
        None => true,
        Some(net) => {
            let net = Fields(net);
            if net.value("ipv4").is_some() || net.value("ipv6").is_some() {
                return Err(Refusal::invalid(
                    "public_net",
                    "the lab's cloud has no primary IPs of their own",
                ));
            }
            net.flag("enable_ipv4")?.unwrap_or(true)
        }
    };
    if !enabled {
        return Ok(None);
    }
    let free = project.free_public();
    free.map(Some).ok_or_else(|| Refusal::new(403, "resource_limit_exceeded", "no public address is left"))
}

fn is_host_name(name: &str) -> bool {
    name.len() <= 63
        && name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        })
}
