//! What `hactl.toml` says of the cloud.

use crate::client::TOKEN;
use crate::common::cli::{HACTL_TOML, Place, SMALL_TOML};

/// A workspace with a project in the cloud.
pub(crate) fn workspace(hcloud: &str) -> Place {
    use std::os::unix::fs::PermissionsExt as _;

    let place = Place::new();
    place.write("hactl.toml", &format!("{HACTL_TOML}\n[hcloud]\n{hcloud}\n"));
    place.write("small.toml", SMALL_TOML);
    let token = place.write("token", TOKEN);
    std::fs::set_permissions(token, std::fs::Permissions::from_mode(0o600)).unwrap();
    place
}

#[test]
fn the_token_is_a_reference_and_goes_over_tls() {
    let ran = workspace("token = { file = \"token\" }").hactl(&["check"]);
    assert_eq!(ran.status, 0, "{ran}");
    for (wrong, code) in [
        ("", "file::missing_key"),
        ("token = \"k3Vt0ken-in-clear\"", "secret::in_clear"),
        ("token = { file = \"token\" }\nendpoint = \"http://api.example/v1\"", "file::bad_value"),
        ("token = { file = \"token\" }\nend = \"x\"", "file::unknown_key"),
    ] {
        let ran = workspace(wrong).hactl(&["check", "--output", "json"]);
        assert!(ran.status == 2 && ran.stdout.contains(code), "{wrong}: {ran}");
        assert!(!format!("{ran}").contains("k3Vt0ken-in-clear"), "{ran}");
    }
    let place = workspace("token = { file = \"token\" }");
    place.write(
        "hactl.toml",
        &format!("{HACTL_TOML}\n[hcloud]\ntoken = {{ file = \"token\" }}\n").replace("\"pair\"", "\"pair.\""),
    );
    let ran = place.hactl(&["check"]);
    assert!(ran.status == 2 && ran.stderr.contains("cannot be a label in the cloud"), "{ran}");
}

#[test]
fn a_host_may_stand_on_a_server_that_a_step_makes() {
    let with = |host: &str| {
        let place = workspace("token = { file = \"token\" }");
        let hcloud = "[hcloud]\ntoken = { file = \"token\" }\n";
        let host = format!("[[host]]\nname = \"node-9\"\nuser = \"root\"\nroles = []\n{host}\n");
        place.write("hactl.toml", &format!("{HACTL_TOML}\n{host}\n{hcloud}"));
        place
    };
    let place = with("server = \"cell0-node-9\"");
    let ran = place.hactl(&["check"]);
    assert_eq!(ran.status, 0, "{ran}");
    // Nobody knows where it is before the step made it, and nothing is sent anywhere.
    let ran = place.hactl(&["host", "trust", "node-9"]);
    assert!(ran.status == 1 && ran.stderr.contains("error[ssh::no_server]"), "{ran}");
    assert!(ran.stderr.contains("its server cell0-node-9 is not made yet"), "{ran}");
    for (host, said) in [
        ("server = \"cell0-node-9\"\naddress = \"192.0.2.9\"", "a host has an address or a server, not both"),
        ("", "address"),
        ("server = \"-x\"", "server"),
    ] {
        let ran = with(host).hactl(&["check"]);
        assert!(ran.status == 2 && ran.stderr.contains(said), "{host}: {ran}");
    }
}

/// A floating IP leads to one server, and never to a load balancer.
#[test]
fn a_public_name_on_a_floating_ip_is_told_to_bypass_the_load_balancer() {
    let place = workspace("token = { file = \"token\" }");
    let steps = r#"
[[phase]]
id = "9"
title = "The way in"
[[phase.step]]
id = "lb"
title = "The load balancer"
[phase.step.action.hcloud_load_balancer]
name = "lb"
type = "lb11"
location = "hel1"
[[phase.step]]
id = "ip"
title = "The floating IP"
[phase.step.action.hcloud_floating_ip]
name = "ip"
location = "hel1"
[[public_name]]
name = "shop.example"
points_at = "POINTS"
"#;
    let check = |points: &str| {
        place.write("small.toml", &format!("{SMALL_TOML}{}", steps.replace("POINTS", points)));
        place.hactl(&["check", "--output", "json"])
    };
    let ran = check("${steps.lb.ipv4}");
    assert_eq!(ran.status, 0, "{ran}");
    let ran = check("${steps.ip.ip}");
    assert!(ran.status == 2 && ran.stdout.contains("runbook::bypasses_balancer"), "{ran}");
    assert!(ran.stdout.contains("${steps.lb.ipv4}"), "{ran}");
    let ran = check("192.0.2.1");
    assert!(ran.status == 2 && ran.stdout.contains("runbook::unknown_reference"), "{ran}");
}

#[test]
fn an_estimate_is_an_amount_in_a_currency() {
    let place = workspace("token = { file = \"token\" }");
    let check = |input: &str, default: &str| {
        let with = SMALL_TOML.replacen("[runbook]", &format!("[runbook]\ncost_estimate = \"{input}\""), 1);
        let input =
            format!("[inputs.monthly]\ntype = \"string\"\nhelp = \"of the plan\"\ndefault = \"{default}\"\n");
        place.write("small.toml", &format!("{with}\n{input}"));
        place.hactl(&["check", "--output", "json"])
    };
    let ran = check("monthly", "45 USD");
    assert_eq!(ran.status, 0, "{ran}");
    let ran = check("monthly", "about 45 dollars");
    assert!(ran.status == 2 && ran.stdout.contains("runbook::ill_typed_input"), "{ran}");
    let ran = check("weekly", "45 USD");
    assert!(ran.status == 2 && ran.stdout.contains("runbook::unknown_input"), "{ran}");
}

/// What a load balancer cannot be told to do is refused by its name, with what is there instead.
#[test]
fn a_service_that_ends_tls_is_refused_by_name() {
    let place = workspace("token = { file = \"token\" }");
    let check = |protocol: &str| {
        let step = format!(
            "[[phase]]\nid = \"9\"\ntitle = \"The way in\"\n[[phase.step]]\nid = \"in\"\ntitle = \"In\"\n\
             [phase.step.action.hcloud_balancer_service]\nbalancer = \"lb\"\nprotocol = \"{protocol}\"\n\
             listen_port = 443\ndestination_port = 443\nhealth_check = {{ protocol = \"tcp\" }}\n"
        );
        place.write("small.toml", &format!("{SMALL_TOML}{step}"));
        place.hactl(&["check", "--output", "json"])
    };
    assert_eq!(check("tcp").status, 0);
    let ran = check("https");
    assert!(ran.status == 2 && ran.stdout.contains("the protocol https is not supported"), "{ran}");
    assert!(ran.stdout.contains("tcp passes TLS through"), "{ran}");
    let ran = check("quic");
    assert!(ran.status == 2 && ran.stdout.contains("the protocol is tcp or http"), "{ran}");
}
