//! Floating IPs and where they lead, carried out by the engine against the lab's cloud, whatever goes wrong.

use std::sync::LazyLock;

use hactl::journal::fake::FakeDisk;
use hactl::lab::cloud::{Fault, FaultKind};
use hactl::transport::hcloud::{FloatingIp, Resource as _, Server};
use serde_json::{Value, json};

use crate::bench::{Bench, HEAD, Job, told};
use crate::sweeps::{
    behind_stuck_or_failing, however, killed_at_each_call, made_once_and_taken_back_once, one_by_one,
    whatever_becomes_of,
};

const STEPS: &str = r#"
[[phase.step]]
id = "ip"
title = "The floating IP"
timeout = "30s"
[phase.step.action.hcloud_floating_ip]
name = "cell0-ip"
location = "hel1"

[[phase.step]]
id = "assign"
title = "Where it leads"
timeout = "30s"
[phase.step.action.hcloud_assign_floating_ip]
floating_ip = "cell0-ip"
server = "web-1"
"#;

static RUNBOOK: LazyLock<String> = LazyLock::new(|| HEAD.to_owned() + STEPS);

fn with_servers(runbook: &str) -> (Bench, [i64; 2]) {
    let bench = Bench::new(runbook);
    let servers = ["web-1", "web-2"].map(|name| {
        let body = json!({ "name": name, "server_type": "cx23", "image": "debian-13", "location": "hel1" });
        bench.foreign::<Server>(name, body).head().id
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

fn made() -> (Bench, impl Fn(&Bench, &str), impl Fn(&Bench, &str)) {
    let (bench, servers) = with_servers(&RUNBOOK);
    (bench, move |bench: &Bench, story: &str| assert_whole(bench, servers, story), assert_gone)
}

#[test]
fn a_floating_ip_is_made_protected_and_assigned_once_and_taken_back_once() {
    made_once_and_taken_back_once(made());
}

#[test]
fn whatever_becomes_of_a_request_there_is_one_and_it_leads_to_one_server() {
    let paths = [
        "/floating_ips/*/actions/change_protection",
        "/floating_ips/*/actions/assign",
        "/floating_ips/*/actions/unassign",
        "/floating_ips",
    ];
    whatever_becomes_of(&one_by_one(&paths), made);
}

#[test]
fn a_list_that_is_behind_and_an_action_that_hangs_or_fails_leave_one() {
    however(&behind_stuck_or_failing("/floating_ips"), made);
}

#[test]
fn killed_anywhere_and_gone_on_with_there_is_one() {
    killed_at_each_call(1, 20, made);
}

#[test]
fn one_that_led_elsewhere_leads_there_again_and_one_that_others_made_is_as_it_was() {
    let (bench, servers) = with_servers(&RUNBOOK);
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
    let (bench, servers) = with_servers(&RUNBOOK);
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

const BALANCER: &str = r#"
[[phase.step]]
id = "balancer"
title = "The load balancer"
[phase.step.action.hcloud_load_balancer]
name = "cell0-lb"
type = "lb11"
location = "hel1"
"#;

const ESTIMATE: &str = r#"
[inputs.monthly]
type = "string"
help = "what a month costs, as the plan says"
default = "12 EUR"
"#;

/// The plan of the whole runbook, as JSON and as text.
fn planned(bench: &Bench) -> (Value, String) {
    let plan = bench.plan();
    (serde_json::to_value(&plan).unwrap(), hactl::render::plan::text(&plan, 100))
}

#[test]
fn a_plan_says_what_each_step_costs_and_all_of_it_before_and_after() {
    let with_estimate =
        RUNBOOK.replace("summary =", "cost_estimate = \"monthly\"\nsummary =") + BALANCER + ESTIMATE;
    let (bench, _) = with_servers(&with_estimate);
    let (plan, text) = planned(&bench);
    let cost = |step: usize| plan["phases"][0]["places"][step]["cost"].clone();
    let floating =
        json!({ "currency": "EUR", "net": "3.00", "gross": "3.57", "of": ["floating IPv4 in hel1"] });
    assert_eq!((cost(0), cost(1)), (floating, Value::Null));
    assert_eq!(cost(2)["net"], "5.39");
    // Two servers of 3.49, and their addresses of 0.50.
    let costs = json!({
        "currency": "EUR",
        "before": { "net": "7.98", "gross": "9.50" },
        "after": { "net": "16.37", "gross": "19.48" },
        "estimate": { "amount": "12.00", "currency": "EUR", "higher": { "net": "4.37", "gross": "7.48" } },
    });
    assert_eq!(plan["costs"], costs);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in [
        "cost: 5.39 EUR net, 6.41 EUR gross a month: load balancer lb11 in hel1",
        "costs a month: 7.98 EUR net, 9.50 EUR gross now; 16.37 EUR net, 19.48 EUR gross after this plan",
        "the plan's author thought of 12.00 EUR: the difference is 4.37 EUR net, 7.48 EUR gross",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }

    // What is there costs nothing more, and what a list that cannot be read says is not known.
    bench.carry_through(&FakeDisk::default(), Job::Run, "making it");
    let (plan, _) = planned(&bench);
    assert_eq!(plan["costs"]["before"], plan["costs"]["after"]);
    assert_eq!(plan["costs"]["after"], json!({ "net": "16.37", "gross": "19.48" }));
    bench.cloud.fault(Fault::next("GET", "/pricing", FaultKind::Garbled { status: 200 }).times(1000));
    let (plan, text) = planned(&bench);
    assert!(plan.get("costs").is_none() && text.contains("what it costs is not known"), "{text}");
}

#[test]
fn what_cannot_be_ordered_in_a_place_is_told_before_the_first_change() {
    for (from, to, said) in [
        ("\"lb11\"", "\"lb99\"", "no load balancer lb99 in hel1; it has lb11, lb21, lb31"),
        (
            "location = \"hel1\"",
            "location = \"hel9\"",
            "no floating IP ipv4 in hel9; it has some in ash, fsn1, hel1",
        ),
    ] {
        let (bench, _) = with_servers(&(RUNBOOK.clone() + BALANCER).replace(from, to));
        let (plan, _) = planned(&bench);
        assert!(plan.to_string().contains(said), "{plan}");
    }
}
