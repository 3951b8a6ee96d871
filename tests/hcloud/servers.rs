//! Servers: three in the end, never four, whatever goes wrong; and the one that was there stays as it is.

use std::net::Ipv4Addr;

use hactl::diagnostic::codes;
use hactl::journal::StateDir;
use hactl::journal::fake::{FakeDisk, Fault as DiskFault};
use hactl::lab::cloud::{Existing, Fault, FaultKind};
use hactl::plan::Outlook;
use hactl::runbook::load;
use hactl::step::table::Table;
use hactl::transport::hcloud::{Firewall, Network, Server};
use serde_json::json;

use crate::bench::{Bench, Job, told};

const RUNBOOK: &str = r##"[runbook]
name = "objects"
title = "Three servers"
summary = "For tests."

[[phase]]
id = "0"
title = "Make them"

[[phase.step]]
id = "key"
title = "The key"
[phase.step.action.hcloud_ssh_key]
name = "ops@desk"
public_key = "KEY"

[[phase.step]]
id = "net"
title = "The network"
[phase.step.action.hcloud_network]
name = "cell0-net"
ip_range = "10.0.0.0/16"
subnet = "10.0.1.0/24"
zone = "eu-central"

[[phase.step]]
id = "spread"
title = "The placement group"
[phase.step.action.hcloud_placement_group]
name = "cell0-spread"

[[phase.step]]
id = "wall"
title = "The firewall"
[phase.step.action.hcloud_firewall]
name = "cell0-wall"
rules = [{ direction = "in", protocol = "tcp", port = "22", addresses = ["0.0.0.0/0", "::/0"] }]

[[phase.step]]
id = "node-1"
title = "The server that is there"
[phase.step.action.hcloud_server]
name = "cell0-node-1"
adopt = true

[[phase.step]]
id = "attach"
title = "Its private address"
[phase.step.action.hcloud_attach]
server = "cell0-node-1"
network = "cell0-net"
address = "10.0.1.1"

[[phase.step]]
id = "behind"
title = "Its firewall"
[phase.step.action.hcloud_apply_firewall]
server = "cell0-node-1"
firewall = "cell0-wall"

[[phase.step]]
id = "join"
title = "Its placement group"
[phase.step.action.hcloud_join_group]
server = "cell0-node-1"
placement_group = "cell0-spread"
restart = true

[[phase.step]]
id = "protect"
title = "Nobody deletes it"
[phase.step.action.hcloud_protection]
server = "cell0-node-1"

[[phase.step]]
id = "node-2"
title = "The second"
[phase.step.action.hcloud_server]
name = "cell0-node-2"
type = "cx33"
fallback_types = ["cx23"]
image = "debian-13"
location = "hel1"
network = "cell0-net"
private_address = "10.0.1.12"
placement_group = "cell0-spread"
firewalls = ["cell0-wall"]
ssh_keys = ["ops@desk"]
labels = { role = "node" }
user_data = "#cloud-config\npackages: [jq]\n"

[[phase.step]]
id = "node-3"
title = "The third"
[phase.step.action.hcloud_server]
name = "cell0-node-3"
type = "cx33"
image = "debian-13"
location = "hel1"
network = "cell0-net"
placement_group = "cell0-spread"
firewalls = ["cell0-wall"]
ssh_keys = ["ops@desk"]
"##;

const ALL: [&str; 7] = [
    "SSH key ops@desk",
    "firewall cell0-wall",
    "network cell0-net",
    "placement group cell0-spread",
    "server cell0-node-1",
    "server cell0-node-2",
    "server cell0-node-3",
];

const BEFORE: [&str; 1] = ["server cell0-node-1"];

fn bench() -> Bench {
    let node = Existing {
        name: "cell0-node-1".into(),
        machine: "node-1".into(),
        ipv4: Ipv4Addr::new(192, 0, 2, 1),
        location: "hel1".into(),
        server_type: "cx33".into(),
    };
    Bench::with(RUNBOOK, vec![node])
}

fn server(bench: &Bench, name: &str) -> Server {
    bench.runtime.block_on(bench.client().find::<Server>(name)).unwrap().unwrap()
}

/// Each object once, as it was asked for.
fn all_is_well(bench: &Bench, story: &str) {
    assert_eq!(bench.names(), ALL, "{story}");
    let network: Network = bench.runtime.block_on(bench.client().find("cell0-net")).unwrap().unwrap();
    let wall: Firewall = bench.runtime.block_on(bench.client().find("cell0-wall")).unwrap().unwrap();
    let addresses: Vec<_> = ["cell0-node-1", "cell0-node-2", "cell0-node-3"]
        .iter()
        .map(|name| {
            let server = server(bench, name);
            assert_eq!(server.status, "running", "{story}: {name}");
            assert!(wall.is_before(server.head.id), "{story}: {name}");
            let group = server.placement_group.as_ref().and_then(|group| group.name.clone());
            assert_eq!(group.as_deref(), Some("cell0-spread"), "{story}: {name}");
            assert_eq!(server.private_net.len(), 1, "{story}: {name}");
            server.address_in(network.head.id).unwrap().to_owned()
        })
        .collect();
    assert_eq!((addresses[0].as_str(), addresses[1].as_str()), ("10.0.1.1", "10.0.1.12"), "{story}");
    let first = server(bench, "cell0-node-1");
    assert!(first.protection.delete && first.head.labels.is_empty(), "{story}: {first:?}");
    let second = server(bench, "cell0-node-2");
    assert_eq!(second.head.labels.get("role").map(String::as_str), Some("node"), "{story}");
}

/// What was made is gone, and the server that was there is as it was.
fn as_before(bench: &Bench, was: &Server, story: &str) {
    assert_eq!(bench.names(), BEFORE, "{story}");
    assert_eq!(server(bench, "cell0-node-1"), *was, "{story}");
}

#[test]
fn three_servers_are_made_seen_again_and_two_taken_back() {
    let bench = bench();
    let disk = FakeDisk::default();
    let was = server(&bench, "cell0-node-1");
    bench.process(&disk, Job::Run).unwrap();
    all_is_well(&bench, "made");

    bench.cloud.forget_requests();
    bench.process(&disk, Job::Run).unwrap();
    let fleet = bench.fleet(StateDir::of(bench.folder.path()));
    let phase = fleet.phase(&load::<Table>(&bench.file()).unwrap().runbook.phases[0]);
    let plan = bench.runtime.block_on(hactl::plan::plan(&fleet, &[phase], &Default::default()));
    assert!(plan.places().all(|place| place.outlook == Outlook::AlreadyThere), "{plan:?}");
    assert_eq!(bench.changes(), [""; 0]);

    bench.process(&disk, Job::RollBack).unwrap();
    as_before(&bench, &was, "rolled back");
    bench.cloud.forget_requests();
    bench.process(&disk, Job::RollBack).unwrap();
    assert_eq!(bench.changes(), [""; 0]);
}

/// The private key is in the request that makes the server, and encrypted here; nowhere else.
#[test]
fn the_host_key_stands_in_no_file_of_the_workspace_and_the_server_carries_its_digest() {
    let bench = bench();
    let disk = FakeDisk::default();
    bench.process(&disk, Job::Run).unwrap();
    let journal = String::from_utf8(disk.live()).unwrap();
    assert!(journal.contains("\"host-key\":{\"string\":\"ssh-ed25519 AAAA"), "the public key is an output");
    assert!(!journal.contains("[secret host-key"), "the public key was taken for the secret");
    assert!(!journal.contains("OPENSSH PRIVATE KEY"));
    assert!(server(&bench, "cell0-node-2").head.labels.contains_key("hactl-host-key"));
    let keys: Vec<_> = std::fs::read_dir(bench.folder.path().join(".hactl/secrets"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("host-key.") && name.ends_with(".age"))
        .collect();
    assert_eq!(keys.len(), 2, "{keys:?}");
    let mut folders = vec![bench.folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                assert!(!String::from_utf8_lossy(&bytes).contains("OPENSSH PRIVATE KEY"), "{path:?}");
            }
        }
    }
    bench.process(&disk, Job::RollBack).unwrap();
    // The next server of the name gets another key.
    let secrets = StateDir::of(bench.folder.path()).secrets();
    assert!(!secrets.join("host-key.cell0-node-2.age").exists());
}

#[test]
fn whatever_becomes_of_a_request_there_are_three_servers_and_not_four() {
    let refused = |status, code: &str| FaultKind::Refused { status, code: code.to_owned() };
    let faults = [
        FaultKind::RateLimited { retry_after: 0 },
        refused(500, "server_error"),
        refused(502, "bad_gateway"),
        refused(504, "timeout"),
        refused(409, "conflict"),
        refused(423, "locked"),
        FaultKind::Garbled { status: 200 },
        FaultKind::Garbled { status: 502 },
        FaultKind::DropBefore,
        FaultKind::DropAfter,
        FaultKind::GatewayAfter,
        FaultKind::Hang { milliseconds: 600 },
        FaultKind::HangAfter { milliseconds: 600 },
    ];
    let made = ["/servers$"];
    let acts = [
        "/servers/*/actions/attach_to_network",
        "/firewalls/*/actions/apply_to_resources",
        "/servers/*/actions/shutdown",
        "/servers/*/actions/add_to_placement_group",
        "/servers/*/actions/poweron",
        "/servers/*/actions/change_protection",
    ];
    let back = [
        "/servers/*/actions/detach_from_network",
        "/firewalls/*/actions/remove_from_resources",
        "/servers/*/actions/remove_from_placement_group",
    ];
    for (number, fault) in faults.iter().enumerate() {
        // One that passes, and one that does not pass before hactl gives up: an operator goes on.
        let times = if number % 2 == 0 { 1 } else { 3 };
        let story = format!("{fault:?} {times} times");
        let bench = bench();
        let disk = FakeDisk::default();
        let was = server(&bench, "cell0-node-1");
        let each = |paths: &[&str]| {
            for path in paths {
                bench.cloud.fault(Fault::next("POST", path, fault.clone()).times(times));
            }
        };
        each(&made);
        each(&acts);
        bench.carry_through(&disk, Job::Run, &story);
        all_is_well(&bench, &story);
        each(&acts);
        each(&back);
        bench.cloud.fault(Fault::next("DELETE", "/servers", fault.clone()).times(times));
        bench.carry_through(&disk, Job::RollBack, &story);
        as_before(&bench, &was, &story);
    }
}

#[test]
fn an_action_that_fails_or_hangs_and_a_list_that_is_behind_make_no_fourth() {
    let fails = FaultKind::ActionFails { code: "action_failed".into() };
    for (path, fault, times) in [
        ("/servers/*/actions/attach_to_network", fails.clone(), 1),
        ("/servers/*/actions/poweron", fails, 1),
        ("/servers/*/actions/shutdown", FaultKind::ActionStuck, 1),
        ("/servers$", FaultKind::ActionStuck, 1),
    ] {
        let story = format!("{path} {fault:?}");
        let bench = bench();
        let disk = FakeDisk::default();
        let was = server(&bench, "cell0-node-1");
        bench.cloud.fault(Fault::next("POST", path, fault).times(times));
        bench.carry_through(&disk, Job::Run, &story);
        all_is_well(&bench, &story);
        bench.carry_through(&disk, Job::RollBack, &story);
        as_before(&bench, &was, &story);
    }
    for lost in [None, Some(FaultKind::DropAfter)] {
        let story = format!("a list that is behind, {lost:?}");
        let bench = bench();
        let disk = FakeDisk::default();
        let was = server(&bench, "cell0-node-1");
        if let Some(lost) = lost {
            bench.cloud.fault(Fault::next("POST", "/servers$", lost));
        }
        let stale = FaultKind::Stale { milliseconds: 150 };
        bench.cloud.fault(Fault::next("GET", "/servers$", stale).times(10_000));
        bench.carry_through(&disk, Job::Run, &story);
        bench.cloud.clear_faults();
        all_is_well(&bench, &story);
        bench.carry_through(&disk, Job::RollBack, &story);
        as_before(&bench, &was, &story);
    }
}

#[test]
fn killed_anywhere_and_gone_on_with_there_are_three_servers_and_not_four() {
    // Every third place, each beginning in turn from another one: the whole is walked by the existing kinds too.
    for call in (0..700).step_by(3) {
        let bench = bench();
        let was = server(&bench, "cell0-node-1");
        let disk = FakeDisk::default();
        disk.fail_at(call, DiskFault::Killed(call % 7));
        let ended = bench.process(&disk, Job::Run);
        if !disk.is_dead() {
            ended.unwrap();
            assert!(call > 90, "only {call} places to be killed in");
            return;
        }
        let story = format!("killed in disk call {call}");
        let disk = FakeDisk::holding(disk.live());
        // Every second one is given up instead.
        if call % 2 == 0 {
            bench.carry_through(&disk, Job::Run, &story);
            all_is_well(&bench, &story);
        }
        bench.carry_through(&disk, Job::RollBack, &story);
        as_before(&bench, &was, &story);
    }
    panic!("it never ends");
}

#[test]
fn where_a_type_is_sold_out_the_next_one_is_taken_and_where_none_is_left_nothing_is_made() {
    let bench = bench();
    bench.cloud.sell_out("cx33@hel1").unwrap();
    let error = bench.process(&FakeDisk::default(), Job::Run).unwrap_err();
    // The second server has another type to fall back on, the third has not.
    assert_eq!(server(&bench, "cell0-node-2").server_type.name.as_deref(), Some("cx23"));
    assert!(told(&error).contains("none of the types cx33 can be had in hel1 now"), "{}", told(&error));
    assert_eq!(error.code(), codes::REQUIREMENT_NOT_MET);
    assert!(!bench.names().contains(&"server cell0-node-3".to_owned()));

    // What the list says is not what is answered: sold out between the two.
    let bench = self::bench();
    let gone = FaultKind::Refused { status: 412, code: "resource_unavailable".into() };
    bench.cloud.fault(Fault::next("POST", "/servers$", gone));
    bench.process(&FakeDisk::default(), Job::Run).unwrap();
    assert_eq!(server(&bench, "cell0-node-2").server_type.name.as_deref(), Some("cx23"));
}

#[test]
fn an_adopted_server_that_is_not_there_is_never_made() {
    for (runbook, said) in [
        (RUNBOOK.replace("\"cell0-node-1\"", "\"cell0-node-9\""), "there is no server cell0-node-9"),
        (RUNBOOK.replace("adopt = true", "adopt = true\nid = 7"), "not 7"),
        (
            RUNBOOK.replace("adopt = true", "type = \"cx33\"\nimage = \"debian-13\"\nlocation = \"hel1\""),
            "was not made by hactl",
        ),
    ] {
        let bench = bench();
        bench.write(&runbook);
        bench.cloud.forget_requests();
        let error = bench.process(&FakeDisk::default(), Job::Run).unwrap_err();
        assert!(told(&error).contains(said), "{}", told(&error));
        let asked: Vec<_> = bench.changes().into_iter().filter(|asked| asked.contains("/servers")).collect();
        assert_eq!(asked, [""; 0], "{said}");
    }
}

/// Somebody made a server of the name with other things: it is left alone.
#[test]
fn a_server_that_is_another_one_stops_the_step() {
    let bench = bench();
    let body =
        json!({ "name": "cell0-node-2", "server_type": "cx23", "image": "debian-13", "location": "hel1" });
    bench.foreign::<Server>("cell0-node-2", body);
    let error = bench.process(&FakeDisk::default(), Job::Run).unwrap_err();
    assert!(told(&error).contains("the server cell0-node-2 (number"), "{}", told(&error));
    assert!(told(&error).contains("was not made by hactl"), "{}", told(&error));
}

#[test]
fn a_running_server_joins_a_group_only_where_the_step_may_take_it_down() {
    let bench = bench();
    bench.write(&RUNBOOK.replace("restart = true\n", ""));
    let error = bench.process(&FakeDisk::default(), Job::Run).unwrap_err();
    assert!(told(&error).contains("only while it is off"), "{}", told(&error));
    assert_eq!(server(&bench, "cell0-node-1").status, "running");
}

#[test]
fn a_server_is_shut_down_and_switched_on_again_by_the_rollback() {
    let runbook = RUNBOOK.split("[[phase.step]]").next().unwrap().to_owned()
        + "[[phase.step]]\nid = \"off\"\ntitle = \"Off\"\n[phase.step.action.hcloud_power]\n\
           server = \"cell0-node-1\"\npower = \"off\"\n";
    let refused = |status, code: &str| FaultKind::Refused { status, code: code.to_owned() };
    for fault in
        [FaultKind::DropAfter, FaultKind::DropBefore, refused(500, "server_error"), refused(423, "locked")]
    {
        let bench = bench();
        bench.write(&runbook);
        let disk = FakeDisk::default();
        let story = format!("{fault:?}");
        bench.cloud.fault(Fault::next("POST", "/servers", fault.clone()).times(3));
        bench.carry_through(&disk, Job::Run, &story);
        assert_eq!(server(&bench, "cell0-node-1").status, "off", "{story}");
        bench.cloud.fault(Fault::next("POST", "/servers", fault).times(3));
        bench.carry_through(&disk, Job::RollBack, &story);
        assert_eq!(server(&bench, "cell0-node-1").status, "running", "{story}");
    }
}
