//! Servers: three in the end, never four, whatever goes wrong; and the one that was there stays as it is.

use std::net::Ipv4Addr;
use std::sync::LazyLock;

use hactl::diagnostic::codes;
use hactl::journal::StateDir;
use hactl::journal::fake::FakeDisk;
use hactl::lab::cloud::{Existing, Fault, FaultKind};
use hactl::transport::hcloud::{Firewall, Network, Server};
use serde_json::json;

use crate::bench::{Bench, HEAD, Job, KEY_AND_NET, SPREAD, told, wall};
use crate::sweeps::{however, killed_at_each_call, made_once_and_taken_back_once, whatever_becomes_of};

const STEPS: &str = r##"
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

static RUNBOOK: LazyLock<String> = LazyLock::new(|| {
    let rules = r#"{ direction = "in", protocol = "tcp", port = "22", addresses = ["0.0.0.0/0", "::/0"] }"#;
    HEAD.to_owned() + KEY_AND_NET + SPREAD + &wall(rules) + STEPS
});

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
    Bench::with(&RUNBOOK, vec![node])
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

fn made() -> (Bench, impl Fn(&Bench, &str), impl Fn(&Bench, &str)) {
    let bench = bench();
    let was = server(&bench, "cell0-node-1");
    (bench, all_is_well, move |bench: &Bench, story: &str| as_before(bench, &was, story))
}

#[test]
fn three_servers_are_made_seen_again_and_two_taken_back() {
    made_once_and_taken_back_once(made());
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
    let acts = [
        ("POST", "/servers/*/actions/attach_to_network"),
        ("POST", "/firewalls/*/actions/apply_to_resources"),
        ("POST", "/servers/*/actions/shutdown"),
        ("POST", "/servers/*/actions/add_to_placement_group"),
        ("POST", "/servers/*/actions/poweron"),
        ("POST", "/servers/*/actions/change_protection"),
    ];
    let back = [
        ("POST", "/servers/*/actions/detach_from_network"),
        ("POST", "/firewalls/*/actions/remove_from_resources"),
        ("POST", "/servers/*/actions/remove_from_placement_group"),
        ("DELETE", "/servers"),
    ];
    // Each fault meets all requests of one story.
    let all = ([&[("POST", "/servers$")][..], &acts].concat(), [&acts[..], &back].concat());
    whatever_becomes_of(&[all], made);
}

#[test]
fn an_action_that_fails_or_hangs_and_a_list_that_is_behind_make_no_fourth() {
    let fails = || FaultKind::ActionFails { code: "action_failed".into() };
    let stale = Fault::next("GET", "/servers$", FaultKind::Stale { milliseconds: 150 }).times(10_000);
    let stories = [
        vec![Fault::next("POST", "/servers/*/actions/attach_to_network", fails())],
        vec![Fault::next("POST", "/servers/*/actions/poweron", fails())],
        vec![Fault::next("POST", "/servers/*/actions/shutdown", FaultKind::ActionStuck)],
        vec![Fault::next("POST", "/servers$", FaultKind::ActionStuck)],
        vec![stale.clone()],
        vec![Fault::next("POST", "/servers$", FaultKind::DropAfter), stale],
    ];
    however(&stories, made);
}

#[test]
fn killed_anywhere_and_gone_on_with_there_are_three_servers_and_not_four() {
    // Every third place: the whole is walked by the existing kinds too.
    killed_at_each_call(3, 90, made);
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
