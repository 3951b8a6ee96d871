//! The kinds of objects in the cloud, carried out by the engine against the lab's cloud: whatever goes wrong, each object
//! is there once in the end, and taken back once.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use hactl::access::hcloud::{FLEET_LABEL, RUN_LABEL};
use hactl::event::Event;
use hactl::journal::fake::FakeDisk;
use hactl::lab::cloud::{Fault, FaultKind};
use hactl::transport::hcloud::{Firewall, Network, Server, SshKey};
use serde_json::json;

use crate::bench::{Bench, HEAD, Job, KEY, KEY_AND_NET, SPREAD, told, wall};
use crate::sweeps::{
    at_once, killed_at_each_call, made_once_and_taken_back_once, one_by_one, whatever_becomes_of,
};

const RULES: &str = r#"
  { direction = "in", protocol = "tcp", port = "22", addresses = ["0.0.0.0/0", "::/0"], description = "ssh" },
  { direction = "in", protocol = "icmp", addresses = ["0.0.0.0/0", "::/0"] },
"#;

static RUNBOOK: LazyLock<String> = LazyLock::new(|| HEAD.to_owned() + KEY_AND_NET + SPREAD + &wall(RULES));

const ALL: [&str; 4] =
    ["SSH key ops@desk", "firewall cell0-wall", "network cell0-net", "placement group cell0-spread"];

const KINDS: [&str; 4] = ["/ssh_keys", "/networks", "/placement_groups", "/firewalls"];

fn made() -> (Bench, impl Fn(&Bench, &str), impl Fn(&Bench, &str)) {
    let whole = |bench: &Bench, story: &str| {
        let objects = bench.objects();
        assert_eq!(objects.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ALL, "{story}");
        let ours = BTreeMap::from([
            (FLEET_LABEL.to_owned(), "cell0".to_owned()),
            (RUN_LABEL.to_owned(), "run-1".to_owned()),
        ]);
        assert!(objects.iter().all(|(_, head)| head.labels == ours), "{story}: {objects:?}");
    };
    let gone = |bench: &Bench, story: &str| assert_eq!(bench.names(), [""; 0], "{story}");
    (Bench::new(&RUNBOOK), whole, gone)
}

#[test]
fn objects_are_made_once_seen_again_and_taken_back_once() {
    made_once_and_taken_back_once(made());
}

#[test]
fn whatever_becomes_of_a_request_each_object_is_made_once_and_taken_back_once() {
    whatever_becomes_of(&one_by_one(&KINDS), made);
}

#[test]
fn a_list_that_is_behind_makes_no_second_object_and_leaves_none() {
    let stories = KINDS.map(|path| [(path, None), (path, Some(FaultKind::DropAfter))]).concat();
    at_once(&stories, |(path, lost)| {
        let story = format!("{path} {lost:?}");
        let bench = Bench::new(&RUNBOOK);
        let disk = FakeDisk::default();
        if let Some(lost) = lost {
            bench.cloud.fault(Fault::next("POST", path, lost.clone()));
        }
        // Every list of the kind, the ones right after the object was made among them.
        let lists = format!("{path}$");
        bench.cloud.fault(Fault::next("GET", &lists, FaultKind::Stale { milliseconds: 150 }).times(1000));
        bench.carry_through(&disk, Job::Run, &story);
        bench.carry_through(&disk, Job::RollBack, &story);
        assert_eq!(bench.names(), [""; 0], "{story}");
    });
}

#[test]
fn killed_anywhere_and_gone_on_with_each_object_is_there_once() {
    killed_at_each_call(1, 30, made);
}

#[test]
fn what_somebody_else_made_is_refused_by_name_or_adopted_and_never_deleted() {
    let bench = Bench::new(&RUNBOOK);
    let disk = FakeDisk::default();
    bench.foreign::<SshKey>("ops@desk", json!({ "name": "ops@desk", "public_key": KEY }));
    let network = json!({ "name": "cell0-net", "ip_range": "10.0.0.0/16" });
    let network: Network = bench.foreign("cell0-net", network);
    let rule = json!({ "direction": "in", "protocol": "tcp", "port": "443", "source_ips": ["0.0.0.0/0"], "destination_ips": [], "description": null });
    let wall: Firewall = bench.foreign("cell0-wall", json!({ "name": "cell0-wall", "rules": [rule] }));
    let before = bench.objects();

    let error = bench.process(&disk, Job::Run).unwrap_err();
    assert!(told(&error).contains("the SSH key ops@desk (number"), "{}", told(&error));
    assert!(told(&error).contains("was not made by hactl"), "{}", told(&error));
    assert_eq!(bench.objects(), before);

    // Adopted: what is missing in them is added, and taken out again.
    let adopting = RUNBOOK
        .replace("public_key =", "adopt = true\npublic_key =")
        .replace("ip_range =", "adopt = true\nip_range =")
        .replace("rules =", "adopt = true\nrules =");
    bench.write(&adopting);
    bench.hurry();
    let stuck = Fault::next("POST", "/networks", FaultKind::ActionStuck);
    bench.cloud.fault(stuck);
    bench.carry_through(&disk, Job::Run, "adopting");
    assert_eq!(bench.names(), ALL);
    let get = |id| bench.runtime.block_on(bench.client().get::<Network>(id)).unwrap().unwrap();
    assert_eq!(get(network.head.id).subnets.len(), 1);
    assert_eq!(get(network.head.id).head.labels, BTreeMap::new());
    let rules = |id| bench.runtime.block_on(bench.client().get::<Firewall>(id)).unwrap().unwrap().rules;
    assert_eq!(rules(wall.head.id).len(), 2);

    bench.cloud.fault(Fault::next(
        "POST",
        "/networks",
        FaultKind::ActionFails { code: "action_failed".into() },
    ));
    bench.carry_through(&disk, Job::RollBack, "adopting");
    assert_eq!(bench.objects(), before);
    assert_eq!(get(network.head.id), network);
    assert_eq!(rules(wall.head.id), wall.rules);
}

/// The API detaches servers from a network that is deleted, without asking.
#[test]
fn what_others_would_lose_is_not_deleted() {
    for (of, key, many) in
        [("network cell0-net", "networks", true), ("placement group cell0-spread", "placement_group", false)]
    {
        let bench = Bench::new(&RUNBOOK);
        let disk = FakeDisk::default();
        bench.process(&disk, Job::Run).unwrap();
        let made = bench.objects().into_iter().find(|(name, _)| name == of).unwrap().1;
        let mut body =
            json!({ "name": "theirs", "server_type": "cx23", "image": "debian-13", "location": "hel1" });
        body[key] = if many { json!([made.id]) } else { json!(made.id) };
        let client = bench.client();
        let wait = |actions| bench.runtime.block_on(client.wait(actions, |_: &str| {})).unwrap();
        let (theirs, actions) = bench.runtime.block_on(client.create::<Server>("theirs", body)).unwrap();
        wait(actions);

        bench.cloud.forget_requests();
        let error = bench.process(&disk, Job::RollBack).unwrap_err();
        let used = format!("the {of} (number {}) is still used by server {}", made.id, theirs.head.id);
        assert!(told(&error).contains(&used), "{}", told(&error));
        let gone = format!("DELETE /{}", if many { "networks" } else { "placement_groups" });
        assert!(!bench.changes().iter().any(|request| request.starts_with(&gone)), "{:?}", bench.changes());
        assert!(bench.names().contains(&of.to_owned()));

        wait(bench.runtime.block_on(client.delete(&theirs)).unwrap());
        bench.carry_through(&disk, Job::RollBack, of);
        assert_eq!(bench.names(), [""; 0]);
    }
}

#[test]
fn another_object_under_the_name_stops_the_step_before_anything_is_done() {
    let bench = Bench::new(&RUNBOOK);
    let disk = FakeDisk::default();
    bench.process(&disk, Job::Run).unwrap();
    let before = bench.objects();
    bench.cloud.forget_requests();
    // The same names, and other things: they cannot be changed in place.
    let other = RUNBOOK.replace("KEY", &KEY.replace("MaxNg", "MaxNh"));
    bench.write(&other);
    let fresh = FakeDisk::default();
    let error = bench.process(&fresh, Job::Run).unwrap_err();
    assert!(told(&error).contains("another key than the step's"), "{}", told(&error));
    bench.write(&RUNBOOK.replace("10.0.", "10.1."));
    let error = bench.process(&FakeDisk::default(), Job::Run).unwrap_err();
    assert!(told(&error).contains("has 10.0.0.0/16"), "{}", told(&error));
    assert_eq!((bench.changes(), bench.objects()), (Vec::new(), before));
}

#[test]
fn what_takes_long_is_told_while_it_is_waited_for() {
    let bench = Bench::new(&RUNBOOK.replace("ip_range =", "adopt = true\nip_range ="));
    bench.foreign::<Network>("cell0-net", json!({ "name": "cell0-net", "ip_range": "10.0.0.0/16" }));
    bench.carry_through(&FakeDisk::default(), Job::Run, "adding a subnet");
    let events = bench.told.0.borrow();
    let told = events.iter().any(|event| match event {
        Event::Busy { doing, .. } => doing.starts_with("add_subnet "),
        _ => false,
    });
    assert!(told, "{events:?}");
}
