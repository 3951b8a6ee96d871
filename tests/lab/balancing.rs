//! Load balancers by hactl's own steps: what they make really balances, and is gone after a rollback.

use serde_json::{Value, json};

use super::Test;
use super::cloud::{LONG, Project, answers};
use super::common::lab::{Lab, Scene, eventually};

pub(crate) const TESTS: &[Test] = &[(
    "balancing::a_load_balancer_made_by_steps_balances_and_is_taken_back",
    a_load_balancer_made_by_steps_balances_and_is_taken_back,
)];

fn a_load_balancer_made_by_steps_balances_and_is_taken_back() {
    let lab = Lab::up("steps", Scene::SingleServer);
    let project = Project::of(&lab);
    project.key();
    let network = project.network();
    let servers = ["web-1", "web-2"].map(|name| project.server(name, &json!({ "networks": [network] })));
    for (_, ip) in &servers {
        let serve = "mkdir -p /srv/web && hostname > /srv/web/index.html && touch /srv/web/healthz && \
                     systemd-run -q --unit web --property=WorkingDirectory=/srv/web python3 -m http.server 30080";
        project.on(ip, serve);
    }
    let workspace = lab.workspace("balancing.toml");
    let ran = workspace.must(&["phase", "run", "0", "--yes"]);
    for name in ["web-1", "web-2"] {
        assert!(ran.stdout.contains(&format!("({name}) as healthy for port 80")), "{ran}");
    }
    let made = || project.must("GET", "/load_balancers", &Value::Null)["load_balancers"].clone();
    let balancers = made();
    assert_eq!(balancers.as_array().unwrap().len(), 1, "{balancers}");
    assert_eq!(balancers[0]["private_net"], json!([{ "network": network, "ip": "10.0.1.200" }]));
    let ip = balancers[0]["public_net"]["ipv4"]["ip"].as_str().unwrap().to_owned();

    let url = format!("http://{ip}/");
    let ask = || project.enter(&["curl", "-sS", "--max-time", "5", &url]).stdout.trim().to_owned();
    let mut seen: Vec<String> = (0..8).map(|_| ask()).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["web-1", "web-2"]);

    // A target that does not answer is said so by verification, which fails where health is wanted.
    project.on(&servers[0].1, "systemctl stop web");
    eventually("the stopped target is unhealthy", LONG, || {
        made()[0]["targets"].to_string().contains("unhealthy")
    });
    let ran = workspace.hactl(&["phase", "verify", "0"]);
    assert_eq!(ran.status, 1, "{ran}");
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("(web-1) as unhealthy for port 80"), "{ran}");
    assert!(!said.contains("(web-2) as unhealthy"), "{ran}");

    workspace.must(&["phase", "rollback", "0", "--yes"]);
    assert_eq!(made(), json!([]));
    assert!(!answers(&project, &ip, 80), "the load balancer still answers");
    // What the steps did not make is there.
    let servers = project.must("GET", "/servers", &Value::Null)["servers"].clone();
    assert_eq!(servers.as_array().unwrap().len(), 3, "{servers}");
}
