//! The whole of Phase 1 against the lab's cloud: what is made is really there, a second run makes nothing, and taking it
//! back leaves the project as it was.

use std::time::Instant;

use serde_json::{Value, json};

use super::Test;
use super::cell0;
use super::cloud::Project;
use super::common::lab::{Lab, Scene, Workspace};

pub(crate) const TESTS: &[Test] =
    &[("phase1::rehearsed_repeated_and_taken_back", rehearsed_repeated_and_taken_back)];

/// Every kind of object that Phase 1 makes.
const KINDS: [&str; 7] =
    ["ssh_keys", "networks", "firewalls", "placement_groups", "servers", "load_balancers", "floating_ips"];

/// What is in the project after it, by kind and name.
pub(crate) const MADE: [&str; 9] = [
    "firewalls cell0-wall",
    "floating_ips cell0-ip",
    "load_balancers cell0-lb",
    "networks cell0-net",
    "placement_groups cell0-spread",
    "servers cell0-node-1",
    "servers cell0-node-2",
    "servers cell0-node-3",
    "ssh_keys cell0-operator",
];

/// The names of everything in the project.
pub(crate) fn names(project: &Project<'_>) -> Vec<String> {
    let of = |kind: &&str| -> Vec<String> {
        let there = project.must("GET", &format!("/{kind}"), &Value::Null)[*kind].clone();
        there.as_array().unwrap().iter().map(|o| format!("{kind} {}", o["name"].as_str().unwrap())).collect()
    };
    let mut names: Vec<String> = KINDS.iter().flat_map(of).collect();
    names.sort();
    names
}

/// The server that was there from the start, without what changes by itself.
pub(crate) fn first(project: &Project<'_>) -> Value {
    let servers = project.must("GET", "/servers?name=cell0-node-1", &Value::Null)["servers"].clone();
    servers[0].clone()
}

/// What was asked of the API since it was last forgotten, other than to look.
pub(crate) fn changes(project: &Project<'_>) -> Vec<String> {
    let log = project.must("GET", "/lab/requests", &Value::Null)["requests"].clone();
    let asked = log.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned());
    asked.filter(|line| !line.starts_with("GET ")).collect()
}

/// Every place's journaled facts of one step, as one text.
fn facts(workspace: &Workspace<'_>, step: &str) -> String {
    let lines = workspace.journal().lines();
    let of = |line: &Value| {
        let verified = &line["record"]["verified"];
        (verified["place"]["step"] == step).then(|| verified["facts"].to_string())
    };
    lines.iter().filter_map(of).collect()
}

fn rehearsed_repeated_and_taken_back() {
    let lab = Lab::up("phase1", Scene::SingleServer);
    let project = Project::of(&lab);
    let workspace = lab.workspace_of("cell0.toml", &cell0::phase_1());
    let (names_before, first_before) = (names(&project), first(&project));
    assert_eq!(names_before, ["servers cell0-node-1"]);

    // A server that a step makes is nothing to mend.
    let doctor = workspace.must(&["doctor"]);
    assert!(doctor.stdout.contains("WARN  node-2: its server cell0-node-2 is not made yet"), "{doctor}");

    // Looking asks for nothing, says what it will cost, and that two hosts are not there yet.
    project.must("DELETE", "/lab/requests", &Value::Null);
    let plan = workspace.hactl(&["plan", "--phase", "1", "--dry-run"]);
    for said in ["costs a month", "45.00 USD", "its server cell0-node-2 is not made yet"] {
        assert!(plan.stdout.contains(said), "{plan}");
    }
    assert_eq!(changes(&project), Vec::<String>::new());

    let began = Instant::now();
    let ran = workspace.must(&["phase", "run", "1", "--yes"]);
    eprintln!("phase 1 in {:.0} s", began.elapsed().as_secs_f32());
    assert!(ran.stdout.contains("phase 1: done"), "{ran}");
    assert_eq!(names(&project), MADE);

    // The first server is the very one that was there, joined to the others.
    let joined = first(&project);
    assert_eq!(joined["id"], first_before["id"]);
    assert_eq!(joined["protection"], json!({ "delete": true, "rebuild": true }));
    assert_eq!(joined["private_net"][0]["ip"], "10.0.1.11");
    assert_eq!(joined["placement_group"]["servers"].as_array().unwrap().len(), 3);
    let balancer = project.must("GET", "/load_balancers", &Value::Null)["load_balancers"][0].clone();
    let targets = balancer["targets"].as_array().unwrap();
    assert!(targets.len() == 3 && targets.iter().all(|t| t["use_private_ip"] == true), "{balancer}");
    assert_eq!(balancer["services"].as_array().unwrap().len(), 2);
    // Seen from the machines themselves, and not by hactl.
    let large = "sudo -n ping -q -M do -s 1422 -c 2 -W 2 10.0.1.13 >/dev/null && echo there";
    assert_eq!(lab.read("node-1", large), "there");
    // What ran on it runs again after its shutdown.
    assert_eq!(lab.read("node-1", "systemctl is-active postgresql@17-main"), "active");
    for (step, said) in [
        ("see-network", "3 of 3 packets of 1450 bytes"),
        ("see-wall", "this machine got no answer at"),
        ("see-clocks", "within 500ms"),
        ("see-spread", "3 servers are in the spreading placement group"),
        ("see-ip", "answers with its pinned key"),
    ] {
        assert!(facts(&workspace, step).contains(said), "{step}: {}", facts(&workspace, step));
    }
    // Nothing listens there yet: the health of each target is told, and none is taken for healthy.
    let health = facts(&workspace, "balancer-https");
    for name in ["cell0-node-1", "cell0-node-2", "cell0-node-3"] {
        assert!(health.contains(&format!("({name}) as un")), "{health}");
    }
    assert!(!format!("{:?}", workspace.journal().lines()).contains("PRIVATE KEY"));
    let terraform = workspace.must(&["report", "--terraform"]).stdout;
    // The objects, and what joins them: a subnet, three servers and the balancer in the network, who is behind the firewall,
    // three targets, two services, and where the floating IP leads.
    assert_eq!(terraform.matches("import {").count(), MADE.len() + 12, "{terraform}");
    assert!(!terraform.contains("by hand"), "{terraform}");

    // Again: nothing is to be changed, and nothing but looks is asked for.
    project.must("DELETE", "/lab/requests", &Value::Null);
    let plan = workspace.must(&["plan", "--phase", "1"]);
    assert!(plan.stdout.contains("0 steps would change something"), "{plan}");
    workspace.must(&["phase", "run", "1", "--yes"]);
    workspace.must(&["phase", "verify", "1"]);
    assert_eq!(changes(&project), Vec::<String>::new());
    assert_eq!(first(&project), joined);

    // Back: exactly what the run made is deleted, by name and number; what was there is as it was.
    let back = workspace.must(&["phase", "rollback", "1", "--yes"]);
    let said = format!("{}{}", back.stdout, back.stderr);
    assert!(said.contains("is undone: cell0-node-3 (number "), "{back}");
    assert_eq!(names(&project), names_before);
    assert_eq!(first(&project), first_before);
    let known = std::fs::read_to_string(workspace.path().join(".hactl/known_hosts")).unwrap();
    assert!(!known.contains("node-2") && known.contains("node-1"), "{known}");
    project.must("DELETE", "/lab/requests", &Value::Null);
    let again = workspace.hactl(&["phase", "rollback", "1", "--yes"]);
    assert!(again.stderr.contains("nothing of phase 1 can be taken back"), "{again}");
    assert_eq!(changes(&project), Vec::<String>::new());
}
