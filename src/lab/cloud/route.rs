//! Which request is whose, by its path.

use serde_json::{Value, json};

use super::answer::{Answer, Answered, Refusal};
use super::catalogue::{
    self, BALANCER_TYPES, BalancerType, IMAGES, Image, LOCATIONS, Location, SERVER_TYPES, ServerType,
};
use super::list;
use super::model::{
    Balancer, Context, Firewall, FloatingIp, Id, Network, Object, PlacementGroup, Project, Server, SshKey,
};
use super::request::{Method, Request};

/// Answers a request. Where it changes something, the changed project comes with the answer.
pub(crate) fn answer(
    project: &Project,
    context: Context<'_>,
    request: &Request,
) -> Answered<(Answer, Option<Project>)> {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    if request.method == Method::Get {
        return read(project, context, request, &path).map(|answer| (answer, None));
    }
    let mut changed = project.clone();
    let answer = change(&mut changed, context, request, &path)?;
    Ok((answer, Some(changed)))
}

fn id(text: &str) -> Answered<Id> {
    text.parse().map_err(|_| Refusal::no_such_path())
}

fn read(project: &Project, context: Context<'_>, request: &Request, path: &[&str]) -> Answered {
    match path {
        ["locations", rest @ ..] => {
            catalogue_of("location", "locations", LOCATIONS.iter().map(Location::view), request, rest)
        }
        ["server_types", rest @ ..] => {
            let all = SERVER_TYPES.iter().map(|t: &ServerType| t.view(&project.sold_out));
            catalogue_of("server_type", "server_types", all, request, rest)
        }
        ["images", rest @ ..] => {
            catalogue_of("image", "images", IMAGES.iter().map(Image::view), request, rest)
        }
        ["load_balancer_types", rest @ ..] => {
            let all = BALANCER_TYPES.iter().map(BalancerType::view);
            catalogue_of("load_balancer_type", "load_balancer_types", all, request, rest)
        }
        ["pricing"] => Ok(Answer::ok(json!({ "pricing": catalogue::pricing() }))),
        ["actions"] => project.list_actions(context, request, None, None),
        ["actions", action] => project.one_action(context, id(action)?, None),
        // No such things can be made here, and clients ask whether there are any.
        ["volumes" | "certificates" | "primary_ips" | "isos"] => list::page(path[0], Vec::new(), request),
        ["ssh_keys", rest @ ..] => read_of::<SshKey>(project, context, request, rest),
        ["servers", rest @ ..] => read_of::<Server>(project, context, request, rest),
        ["networks", rest @ ..] => read_of::<Network>(project, context, request, rest),
        ["firewalls", rest @ ..] => read_of::<Firewall>(project, context, request, rest),
        ["placement_groups", rest @ ..] => read_of::<PlacementGroup>(project, context, request, rest),
        ["load_balancers", rest @ ..] => read_of::<Balancer>(project, context, request, rest),
        ["floating_ips", rest @ ..] => read_of::<FloatingIp>(project, context, request, rest),
        _ => Err(Refusal::no_such_path()),
    }
}

fn catalogue_of(
    one: &str,
    many: &str,
    all: impl Iterator<Item = Value>,
    request: &Request,
    rest: &[&str],
) -> Answered {
    match rest {
        [] => list::page(many, all.collect(), request),
        [wanted] => {
            let mut all = all;
            let number = id(wanted)?;
            let found = all.find(|v| v["id"].as_u64() == Some(number));
            let found = found.ok_or_else(|| Refusal::not_found(one, wanted))?;
            Ok(Answer::ok(json!({ one: found })))
        }
        _ => Err(Refusal::no_such_path()),
    }
}

fn read_of<T: Object>(project: &Project, context: Context<'_>, request: &Request, rest: &[&str]) -> Answered {
    match rest {
        [] => super::model::list::<T>(project, context, request),
        ["actions"] => project.list_actions(context, request, Some(T::KIND), None),
        ["actions", action] => project.one_action(context, id(action)?, None),
        [own] => Ok(Answer::ok(super::model::shown::<T>(project, context, id(own)?)?)),
        [own, "actions"] => {
            let own = id(own)?;
            super::model::get::<T>(project, own)?;
            project.list_actions(context, request, Some(T::KIND), Some(own))
        }
        [own, "actions", action] => project.one_action(context, id(action)?, Some((T::KIND, id(own)?))),
        _ => Err(Refusal::no_such_path()),
    }
}

fn change(project: &mut Project, context: Context<'_>, request: &Request, path: &[&str]) -> Answered {
    use super::model as of;
    let fields = request.fields();
    match (request.method, path) {
        (Method::Post, ["ssh_keys"]) => of::ssh_key::create(project, context, fields),
        (Method::Delete, ["ssh_keys", own]) => of::ssh_key::delete(project, id(own)?),
        (Method::Post, ["servers"]) => of::server_create::create(project, context, fields),
        (Method::Delete, ["servers", own]) => of::server::delete(project, context, id(own)?),
        (Method::Post, ["servers", own, "actions", command]) => {
            of::server_actions::act(project, context, id(own)?, command, fields)
        }
        (Method::Post, ["networks"]) => of::network::create(project, context, fields),
        (Method::Delete, ["networks", own]) => of::network::delete(project, context, id(own)?),
        (Method::Post, ["networks", own, "actions", command]) => {
            of::network::act(project, context, id(own)?, command, fields)
        }
        (Method::Post, ["firewalls"]) => of::firewall::create(project, context, fields),
        (Method::Delete, ["firewalls", own]) => of::firewall::delete(project, id(own)?),
        (Method::Post, ["firewalls", own, "actions", command]) => {
            of::firewall::act(project, context, id(own)?, command, fields)
        }
        (Method::Post, ["placement_groups"]) => of::place::create(project, context, fields),
        (Method::Delete, ["placement_groups", own]) => of::place::delete(project, id(own)?),
        (Method::Post, ["load_balancers"]) => of::balancer::create(project, context, fields),
        (Method::Delete, ["load_balancers", own]) => of::balancer::delete(project, context, id(own)?),
        (Method::Post, ["load_balancers", own, "actions", command]) => {
            of::balancer::act(project, context, id(own)?, command, fields)
        }
        (Method::Post, ["floating_ips"]) => of::floating::create(project, context, fields),
        (Method::Delete, ["floating_ips", own]) => of::floating::delete(project, context, id(own)?),
        (Method::Post, ["floating_ips", own, "actions", command]) => {
            of::floating::act(project, context, id(own)?, command, fields)
        }
        (Method::Put, ["floating_ips", own]) => of::floating::update(project, context, id(own)?, fields),
        (Method::Put, [collection, own]) => {
            let own = id(own)?;
            match *collection {
                "ssh_keys" => super::model::update::<SshKey>(project, context, own, fields),
                "servers" => relabel(project, context, own, request),
                "networks" => super::model::update::<Network>(project, context, own, fields),
                "firewalls" => super::model::update::<Firewall>(project, context, own, fields),
                "placement_groups" => super::model::update::<PlacementGroup>(project, context, own, fields),
                "load_balancers" => super::model::update::<Balancer>(project, context, own, fields),
                _ => Err(Refusal::no_such_path()),
            }
        }
        _ => Err(Refusal::no_such_path()),
    }
}

/// A server's labels decide which firewalls and load balancers it belongs to.
fn relabel(project: &mut Project, context: Context<'_>, own: Id, request: &Request) -> Answered {
    let answer = super::model::update::<Server>(project, context, own, request.fields())?;
    if request.fields().value("labels").is_some() {
        project.after_relabel(context, own);
        return Ok(Answer::ok(super::model::shown::<Server>(project, context, own)?));
    }
    Ok(answer)
}
