//! Load balancers, their targets and their services, carried out by the engine against the lab's cloud, whatever goes
//! wrong. Whether a connection is really balanced is a test of the lab.

use std::sync::LazyLock;

use hactl::journal::fake::FakeDisk;
use hactl::transport::hcloud::{LoadBalancer, Network, Resource as _, Server};
use serde_json::{Value, json};

use crate::bench::{Bench, HEAD, Job, told};
use crate::sweeps::{
    behind_stuck_or_failing, however, killed_at_each_call, made_once_and_taken_back_once, one_by_one,
    whatever_becomes_of,
};

const STEPS: &str = r#"
[[phase.step]]
id = "balancer"
title = "The load balancer"
timeout = "30s"
[phase.step.action.hcloud_load_balancer]
name = "cell0-lb"
type = "lb11"
location = "hel1"
network = "cell0-net"
private_address = "10.0.1.9"

[[phase.step]]
id = "https"
title = "Port 443"
timeout = "30s"
[phase.step.action.hcloud_balancer_service]
balancer = "cell0-lb"
protocol = "tcp"
listen_port = 443
destination_port = 30443
[phase.step.action.hcloud_balancer_service.health_check]
protocol = "http"
path = "/healthz"
tls = true
interval = 5
timeout = 3

[[phase.step]]
id = "web-1"
title = "A server"
timeout = "30s"
[phase.step.action.hcloud_balancer_target]
balancer = "cell0-lb"
server = "web-1"

[[phase.step]]
id = "web-2"
title = "Another server"
timeout = "30s"
[phase.step.action.hcloud_balancer_target]
balancer = "cell0-lb"
server = "web-2"
by = "public"
"#;

static RUNBOOK: LazyLock<String> = LazyLock::new(|| HEAD.to_owned() + STEPS);

const BALANCER: &str = "load balancer cell0-lb";

/// The network and the servers, which others made.
fn with_servers(runbook: &str) -> (Bench, [i64; 2]) {
    let bench = Bench::new(runbook);
    let subnet = json!({ "type": "cloud", "ip_range": "10.0.1.0/24", "network_zone": "eu-central" });
    let body = json!({ "name": "cell0-net", "ip_range": "10.0.0.0/16", "subnets": [subnet] });
    let network: Network = bench.foreign("cell0-net", body);
    let servers = ["web-1", "web-2"].map(|name| {
        let body = json!({
            "name": name, "server_type": "cx23", "image": "debian-13", "location": "hel1",
            "networks": [network.head().id],
        });
        bench.foreign::<Server>(name, body).head().id
    });
    (bench, servers)
}

/// The load balancer with all that belongs to it, as it is.
fn seen(bench: &Bench) -> Option<LoadBalancer> {
    bench.cloud.clear_faults();
    bench.runtime.block_on(bench.client().find("cell0-lb")).unwrap()
}

/// What is there once everything is done.
fn assert_whole(bench: &Bench, servers: [i64; 2], story: &str) {
    let found = seen(bench).unwrap_or_else(|| panic!("{story}: no load balancer"));
    let targets: Vec<_> = found
        .targets
        .iter()
        .map(|target| (target.server.map(|server| server.id), target.use_private_ip))
        .collect();
    assert_eq!(targets, [(Some(servers[0]), true), (Some(servers[1]), false)], "{story}");
    let services: Vec<_> = found.services.iter().map(|s| (s.listen_port, s.destination_port)).collect();
    assert_eq!(services, [(443, 30443)], "{story}");
    let inside: Vec<_> = found.private_net.iter().filter_map(|net| net.ip.as_deref()).collect();
    assert_eq!(inside, ["10.0.1.9"], "{story}");
    let of_the_kind = bench.runtime.block_on(bench.client().list::<LoadBalancer>(&[])).unwrap();
    assert_eq!(of_the_kind.len(), 1, "{story}");
}

fn assert_gone(bench: &Bench, story: &str) {
    assert_eq!(seen(bench), None, "{story}");
    // What others made is as it was.
    assert_eq!(bench.names(), ["network cell0-net", "server web-1", "server web-2"], "{story}");
}

fn made() -> (Bench, impl Fn(&Bench, &str), impl Fn(&Bench, &str)) {
    let (bench, servers) = with_servers(&RUNBOOK);
    (bench, move |bench: &Bench, story: &str| assert_whole(bench, servers, story), assert_gone)
}

#[test]
fn a_load_balancer_is_made_with_its_parts_once_and_taken_back_once() {
    made_once_and_taken_back_once(made());
}

#[test]
fn whatever_becomes_of_a_request_each_part_is_there_once() {
    let paths = [
        "/load_balancers/*/actions/attach_to_network",
        "/load_balancers/*/actions/add_service",
        "/load_balancers/*/actions/add_target",
        "/load_balancers/*/actions/delete_service",
        "/load_balancers/*/actions/remove_target",
        "/load_balancers",
    ];
    whatever_becomes_of(&one_by_one(&paths), made);
}

#[test]
fn a_list_that_is_behind_and_an_action_that_hangs_or_fails_leave_each_part_once() {
    however(&behind_stuck_or_failing("/load_balancers"), made);
}

#[test]
fn killed_anywhere_and_gone_on_with_each_part_is_there_once() {
    killed_at_each_call(1, 40, made);
}

#[test]
fn what_others_did_with_a_load_balancer_is_put_back_and_never_lost() {
    let (bench, servers) = with_servers(&RUNBOOK);
    let service = |port: u16, path: &str| {
        json!({
            "protocol": "tcp", "listen_port": port, "destination_port": 30443, "proxyprotocol": false,
            "health_check": {
                "protocol": "http", "port": 30443, "interval": 15, "timeout": 10, "retries": 3,
                "http": { "path": path, "domain": null, "status_codes": ["200"], "tls": false },
            },
        })
    };
    let body = json!({
        "name": "cell0-lb", "load_balancer_type": "lb11", "location": "hel1",
        "services": [service(443, "/old"), service(80, "/else")],
        "targets": [{ "type": "server", "server": { "id": servers[1] } }],
    });
    bench.foreign::<LoadBalancer>("cell0-lb", body);
    let before = seen(&bench);
    let disk = FakeDisk::default();
    let error = bench.process(&disk, Job::Run).unwrap_err();
    assert!(told(&error).contains("was not made by hactl"), "{}", told(&error));
    assert_eq!(seen(&bench), before);

    let adopting = RUNBOOK
        .replace("type = \"lb11\"", "adopt = true\ntype = \"lb11\"")
        .replace("balancer = \"cell0-lb\"", "adopt = true\nbalancer = \"cell0-lb\"");
    bench.write(&adopting);
    bench.carry_through(&disk, Job::Run, "adopting");
    let now = seen(&bench).unwrap();
    let ports: Vec<_> = now.services.iter().map(|s| s.listen_port).collect();
    assert_eq!((ports, now.targets.len()), (vec![443, 80], 2));
    assert_eq!(now.services[0].health_check.http.as_ref().unwrap().path, "/healthz");
    bench.carry_through(&disk, Job::RollBack, "adopting");
    // The target that was there before stays, and the service is as it was.
    assert_eq!(seen(&bench), before);
}

#[test]
fn a_load_balancer_with_a_target_of_somebody_else_is_not_deleted() {
    let (bench, servers) = with_servers(&RUNBOOK);
    let disk = FakeDisk::default();
    bench.carry_through(&disk, Job::Run, "making it");
    let made = seen(&bench).unwrap();
    let act = |action: &str, body: Value| {
        let actions = bench.runtime.block_on(bench.client().act(&made, action, body)).unwrap();
        bench.runtime.block_on(bench.client().wait(actions, |_: &str| {})).unwrap();
    };
    let theirs = json!({ "type": "ip", "ip": { "ip": "192.0.2.7" } });
    act("add_target", theirs.clone());
    let error = bench.process(&disk, Job::RollBack).unwrap_err();
    let used = format!("the {BALANCER} (number {}) is still used by its target 192.0.2.7", made.head().id);
    assert!(told(&error).contains(&used), "{}", told(&error));
    assert!(seen(&bench).is_some());
    act("remove_target", theirs);
    bench.carry_through(&disk, Job::RollBack, "taking it back");
    assert_gone(&bench, "taken back");
    let _ = servers;
}

#[test]
fn what_cannot_be_changed_is_told_before_anything_is_done() {
    let (bench, _) = with_servers(&RUNBOOK);
    bench.carry_through(&FakeDisk::default(), Job::Run, "making it");
    let before = seen(&bench);
    bench.cloud.forget_requests();
    for (from, to, said) in [
        ("\"lb11\"", "\"lb21\"", "is lb11 in hel1, round_robin, not lb21 in hel1, round_robin"),
        ("10.0.1.9", "10.0.1.8", "is 10.0.1.9 in the network cell0-net, not 10.0.1.8"),
        ("by = \"public\"", "", "is a target of the load balancer cell0-lb by its public address already"),
        ("private_address = \"10.0.1.9\"", "adopt = true", ""),
        ("interval = 5", "interval = 2", "the interval of a health check is 3 to 60 seconds"),
    ] {
        bench.write(&RUNBOOK.replace(from, to));
        match bench.process(&FakeDisk::default(), Job::Run) {
            Err(error) => {
                assert!(!said.is_empty() && told(&error).contains(said), "{said}: {}", told(&error))
            }
            Ok(()) => assert_eq!(said, ""),
        }
        assert_eq!((bench.changes(), seen(&bench)), (Vec::new(), before.clone()), "{said}");
    }
}

/// The API knows nothing of the health of targets here: nobody stands behind them.
#[test]
fn health_that_is_wanted_and_not_reported_fails_verification_and_says_why() {
    let (bench, servers) = with_servers(&RUNBOOK.replace(
        "balancer = \"cell0-lb\"\nprotocol",
        "health = \"healthy\"\nbalancer = \"cell0-lb\"\nprotocol",
    ));
    let disk = FakeDisk::default();
    let error = bench.process(&disk, Job::Run).unwrap_err();
    assert!(
        told(&error).contains("reports no health yet: it has 1 services and 0 targets"),
        "{}",
        told(&error)
    );
    bench.write(&RUNBOOK);
    bench.carry_through(&disk, Job::Run, "without wanting it");
    assert_whole(&bench, servers, "without wanting it");
}
