//! Phase 1 with hactl killed over and over, and with an API that loses answers and fails: in the end there is one of
//! everything, and nothing was ordered twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Test;
use crate::cell0;
use crate::cloud::Project;
use crate::common::cli::Ran;
use crate::common::lab::{Lab, Scene, Workspace};
use crate::kills::{Kills, through};
use crate::phase1::{MADE, changes, first, names};

pub(crate) const TESTS: &[Test] = &[
    ("phase1_kills::killed_at_every_order_everything_is_there_once", killed_at_every_order),
    ("phase1_kills::answers_that_are_lost_order_nothing_twice", lost_answers),
];

/// Every change that an undisturbed run asks for, without the numbers of objects, and how often.
const ORDERED: &[(&str, usize)] = &[
    ("POST /firewalls", 1),
    ("POST /firewalls/*/actions/apply_to_resources", 1),
    ("POST /floating_ips", 1),
    ("POST /floating_ips/*/actions/assign", 1),
    ("POST /floating_ips/*/actions/change_protection", 1),
    ("POST /load_balancers", 1),
    ("POST /load_balancers/*/actions/add_service", 2),
    ("POST /load_balancers/*/actions/add_target", 3),
    ("POST /load_balancers/*/actions/attach_to_network", 1),
    ("POST /networks", 1),
    ("POST /placement_groups", 1),
    ("POST /servers", 2),
    ("POST /servers/*/actions/add_to_placement_group", 1),
    ("POST /servers/*/actions/attach_to_network", 3),
    ("POST /servers/*/actions/change_protection", 1),
    ("POST /servers/*/actions/poweron", 3),
    ("POST /servers/*/actions/shutdown", 1),
    ("POST /ssh_keys", 1),
];

/// At once, and while the cloud is at work on it.
const NOW: &[Duration] = &[Duration::ZERO];
const BOTH: &[Duration] = &[Duration::ZERO, Duration::from_millis(600)];

/// Each step that orders or changes something is killed behind its intent; those that take long also while they are under
/// way, and behind their outcome.
fn at(record: &str) -> &'static [Duration] {
    let Some((kind, place)) = record.split_once(' ') else { return &[] };
    let long = ["node-2", "node-3", "node-1-group", "host-keys node-2", "balancer"];
    match kind {
        "intended" if long.contains(&place) => BOTH,
        // What a person has done nobody can look up; a machine that is going down does not let the next hactl in.
        "intended" if !["owner", "see-reboot node-2"].contains(&place) => NOW,
        "applied" if long.contains(&place) => NOW,
        _ => &[],
    }
}

/// What was asked for, without the numbers of objects.
fn ordered(project: &Project<'_>) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for line in changes(project) {
        let words = line.split('/').map(|part| if part.parse::<u64>().is_ok() { "*" } else { part });
        *times.entry(words.collect::<Vec<_>>().join("/")).or_insert(0) += 1;
    }
    times
}

fn once() -> BTreeMap<String, usize> {
    ORDERED.iter().map(|(line, times)| ((*line).to_owned(), *times)).collect()
}

/// Everything is there, once, and joined as it is to be.
fn everything_is_there_once(project: &Project<'_>, before: &Value) {
    assert_eq!(names(project), MADE);
    let joined = first(project);
    assert_eq!((&joined["id"], &joined["status"]), (&before["id"], &json!("running")));
    assert_eq!(joined["placement_group"]["servers"].as_array().unwrap().len(), 3);
    let balancer = project.must("GET", "/load_balancers", &Value::Null)["load_balancers"][0].clone();
    assert_eq!(balancer["targets"].as_array().unwrap().len(), 3, "{balancer}");
    assert_eq!(balancer["services"].as_array().unwrap().len(), 2, "{balancer}");
    let ip = project.must("GET", "/floating_ips", &Value::Null)["floating_ips"][0].clone();
    let second = project.must("GET", "/servers?name=cell0-node-2", &Value::Null)["servers"][0].clone();
    assert_eq!(ip["server"], second["id"]);
}

fn killed_at_every_order() {
    let lab = Lab::up("p1kills", Scene::SingleServer);
    let project = Project::of(&lab);
    let workspace = lab.workspace_of("cell0.toml", &cell0::phase_1());
    let before = first(&project);
    project.must("DELETE", "/lab/requests", &Value::Null);
    let tally = through(&workspace, "1", &Kills { at, may_stop: |_| false });
    eprintln!("{tally:?}");
    assert!(tally.kills >= 20, "{tally:?}");
    everything_is_there_once(&project, &before);
    let ordered = ordered(&project);
    assert_eq!(ordered, once(), "{ordered:#?}");
    workspace.must(&["phase", "verify", "1"]);
}

/// What one request suffers.
fn fault(method: &str, path: &str, nth: u32, kind: Value) -> Value {
    json!({ "method": method, "path": path, "nth": nth, "kind": kind })
}

fn lost_answers() {
    let lab = Lab::up("p1faults", Scene::SingleServer);
    let project = Project::of(&lab);
    let workspace = lab.workspace_of("cell0.toml", &cell0::phase_1());
    let before = first(&project);
    let (dropped, gateway) = (json!("drop-after"), json!("gateway-after"));
    // Done, and nobody is told.
    let done = [
        ("/ssh_keys$", 1, &dropped),
        ("/networks$", 1, &gateway),
        ("/firewalls$", 1, &dropped),
        ("/placement_groups$", 1, &gateway),
        ("/servers/*/actions/change_protection", 1, &dropped),
        ("/servers/*/actions/attach_to_network", 1, &gateway),
        ("/firewalls/*/actions/apply_to_resources", 1, &dropped),
        ("/servers$", 1, &dropped),
        ("/servers$", 2, &gateway),
        ("/servers/*/actions/add_to_placement_group", 1, &dropped),
        ("/load_balancers$", 1, &gateway),
        ("/load_balancers/*/actions/add_target", 1, &dropped),
        ("/load_balancers/*/actions/add_target", 3, &gateway),
        ("/load_balancers/*/actions/add_service", 2, &dropped),
        ("/floating_ips$", 1, &gateway),
        ("/floating_ips/*/actions/assign", 1, &dropped),
    ];
    // Not done: it is asked for once more. The last one leaves the first server off.
    let refused = |code: &str| json!({ "refused": { "status": 503, "code": code } });
    let undone = [
        ("/load_balancers/*/actions/add_target", 2, refused("unavailable")),
        ("/servers/*/actions/poweron", 3, json!({ "action-fails": { "code": "action_failed" } })),
    ];
    for (path, nth, kind) in done {
        project.must("POST", "/lab/faults", &fault("POST", path, nth, kind.clone()));
    }
    for (path, nth, kind) in &undone {
        project.must("POST", "/lab/faults", &fault("POST", path, *nth, kind.clone()));
    }
    project.must("DELETE", "/lab/requests", &Value::Null);
    let stops = stopped_and_resumed(&workspace, done.len() + undone.len());
    eprintln!("{stops} stops");
    everything_is_there_once(&project, &before);
    let mut wanted = once();
    for (path, ..) in &undone {
        *wanted.entry(format!("POST {path}")).or_insert(0) += 1;
    }
    let ordered = ordered(&project);
    assert_eq!(ordered, wanted, "{ordered:#?}");
    workspace.must(&["phase", "verify", "1"]);
}

/// Carries the phase out, typing what hactl says after each stop.
fn stopped_and_resumed(workspace: &Workspace<'_>, at_most: usize) -> usize {
    let began = Instant::now();
    let mut ran: Ran = workspace.hactl(&["phase", "run", "1", "--yes"]);
    let mut stops = 0;
    while ran.status != 0 {
        stops += 1;
        assert!(ran.status == 1 && ran.stderr.contains("hactl resume"), "{ran}");
        assert!(stops <= at_most && began.elapsed() < Duration::from_secs(420), "{stops} stops: {ran}");
        ran = workspace.hactl(&["resume", "--yes"]);
    }
    stops
}
