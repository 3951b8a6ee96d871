//! Floating IPs and where they lead, carried out by the engine against the lab's cloud, whatever goes wrong.

use hactl::journal::fake::FakeDisk;
use hactl::lab::cloud::{Fault, FaultKind};
use hactl::transport::hcloud::{FloatingIp, Member, Resource as _};
use serde_json::{Value, json};

use crate::bench::{Bench, Job, told};

const RUNBOOK: &str = r#"[runbook]
name = "objects"
title = "A floating IP"
summary = "For tests."

[[phase]]
id = "0"
title = "Make it"

[[phase.step]]
id = "ip"
title = "The floating IP"
timeout = "5s"
[phase.step.action.hcloud_floating_ip]
name = "cell0-ip"
location = "hel1"

[[phase.step]]
id = "assign"
title = "Where it leads"
timeout = "5s"
[phase.step.action.hcloud_assign_floating_ip]
floating_ip = "cell0-ip"
server = "web-1"
"#;

fn with_servers(runbook: &str) -> (Bench, [i64; 2]) {
    let bench = Bench::new(runbook);
    let servers = ["web-1", "web-2"].map(|name| {
        let body = json!({ "name": name, "server_type": "cx23", "image": "debian-13", "location": "hel1" });
        bench.foreign::<Member>(name, body).head().id
    });
    (bench, servers)
}

fn seen(bench: &Bench) -> Option<FloatingIp> {
    bench.cloud.clear_faults();
    bench.runtime.block_on(bench.client().find("cell0-ip")).unwrap()
}

fn assert_whole(bench: &Bench, servers: [i64; 2], story: &str) {
    let found = seen(bench).unwrap_or_else(|| panic!("{story}: no floating IP"));
    assert_eq!((found.server, found.protection.delete), (Some(servers[0]), true), "{story}");
    assert_eq!(bench.runtime.block_on(bench.client().list::<FloatingIp>(&[])).unwrap().len(), 1, "{story}");
}

fn assert_gone(bench: &Bench, story: &str) {
    assert_eq!(seen(bench), None, "{story}");
    assert_eq!(bench.names(), ["server web-1", "server web-2"], "{story}");
}

/// What somebody else does with the floating IP.
fn act(bench: &Bench, action: &str, body: Value) {
    let found = seen(bench).unwrap();
    let actions = bench.runtime.block_on(bench.client().act(&found, action, body)).unwrap();
    bench.runtime.block_on(bench.client().wait(actions, |_: &str| {})).unwrap();
}

#[test]
fn a_floating_ip_is_made_protected_and_assigned_once_and_taken_back_once() {
    let (bench, servers) = with_servers(RUNBOOK);
    let disk = FakeDisk::default();
    bench.carry_through(&disk, Job::Run, "making it");
    assert_whole(&bench, servers, "made");
    bench.cloud.forget_requests();
    bench.process(&disk, Job::Run).unwrap();
    bench.process(&FakeDisk::default(), Job::Run).unwrap();
    assert_eq!(bench.changes(), [""; 0]);
    bench.carry_through(&disk, Job::RollBack, "taking it back");
    assert_gone(&bench, "taken back");
    bench.cloud.forget_requests();
    bench.process(&disk, Job::RollBack).unwrap();
    assert_eq!(bench.changes(), [""; 0]);
}

#[test]
fn whatever_becomes_of_a_request_there_is_one_and_it_leads_to_one_server() {
    let actions = ["change_protection", "assign", "unassign"];
    let paths = actions.iter().map(|action| format!("/floating_ips/*/actions/{action}"));
    for path in paths.chain(["/floating_ips".to_owned()]) {
        for (number, fault) in crate::bench::faults().into_iter().enumerate() {
            let story = format!("{path} {fault:?}");
            let (bench, servers) = with_servers(RUNBOOK);
            let disk = FakeDisk::default();
            let times = if number % 2 == 0 { 1 } else { 3 };
            bench.cloud.fault(Fault::next("POST", &path, fault.clone()).times(times));
            bench.carry_through(&disk, Job::Run, &story);
            assert_whole(&bench, servers, &story);
            let method = if path == "/floating_ips" { "DELETE" } else { "POST" };
            bench.cloud.fault(Fault::next(method, &path, fault).times(times));
            bench.carry_through(&disk, Job::RollBack, &story);
            assert_gone(&bench, &story);
        }
    }
}

#[test]
fn a_list_that_is_behind_and_an_action_that_hangs_or_fails_leave_one() {
    let stale = || FaultKind::Stale { milliseconds: 150 };
    let parts = "/floating_ips/*";
    for (method, path, fault, times) in [
        ("GET", "/floating_ips", stale(), 1000),
        ("GET", "/servers", stale(), 1000),
        ("POST", parts, FaultKind::ActionStuck, 1),
        ("POST", parts, FaultKind::ActionFails { code: "action_failed".into() }, 1),
    ] {
        let story = format!("{path} {fault:?}");
        let (bench, servers) = with_servers(RUNBOOK);
        let disk = FakeDisk::default();
        let again = || bench.cloud.fault(Fault::next(method, path, fault.clone()).times(times));
        again();
        bench.carry_through(&disk, Job::Run, &story);
        assert_whole(&bench, servers, &story);
        again();
        bench.carry_through(&disk, Job::RollBack, &story);
        assert_gone(&bench, &story);
    }
}

#[test]
fn killed_anywhere_and_gone_on_with_there_is_one() {
    crate::bench::killed_at_each_call(20, || {
        let (bench, servers) = with_servers(RUNBOOK);
        let whole = move |bench: &Bench, story: &str| assert_whole(bench, servers, story);
        (bench, whole, assert_gone)
    });
}

#[test]
fn one_that_led_elsewhere_leads_there_again_and_one_that_others_made_is_as_it_was() {
    let (bench, servers) = with_servers(RUNBOOK);
    let disk = FakeDisk::default();
    let body = json!({ "type": "ipv4", "name": "cell0-ip", "home_location": "hel1", "server": servers[1] });
    bench.foreign::<FloatingIp>("cell0-ip", body);
    let before = seen(&bench);
    let error = bench.process(&disk, Job::Run).unwrap_err();
    assert!(told(&error).contains("was not made by hactl"), "{}", told(&error));
    bench.write(
        &RUNBOOK
            .replace("location =", "adopt = true\nlocation =")
            .replace("server =", "adopt = true\nserver ="),
    );
    bench.carry_through(&disk, Job::Run, "adopting");
    assert_whole(&bench, servers, "adopted");
    bench.carry_through(&disk, Job::RollBack, "adopting");
    assert_eq!(seen(&bench), before);
}

#[test]
fn what_somebody_moved_on_stays_there_and_is_neither_unprotected_nor_deleted() {
    let (bench, servers) = with_servers(RUNBOOK);
    let disk = FakeDisk::default();
    bench.carry_through(&disk, Job::Run, "making it");
    act(&bench, "assign", json!({ "server": servers[1] }));
    let moved = seen(&bench);
    let error = bench.process(&disk, Job::RollBack).unwrap_err();
    assert!(told(&error).contains(&format!("is still used by server {}", servers[1])), "{}", told(&error));
    assert_eq!(seen(&bench), moved);
    act(&bench, "unassign", json!({}));
    bench.carry_through(&disk, Job::RollBack, "taking it back");
    assert_gone(&bench, "taken back");
}
