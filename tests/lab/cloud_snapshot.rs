//! Snapshots of a lab hold its cloud: what was made since is gone with its record, what was deleted since is back.

use std::process::Command;

use serde_json::{Value, json};

use super::Test;
use super::cloud::{LONG, Project, answers};
use super::common::lab::{Lab, Scene, eventually};

pub(crate) const TESTS: &[Test] =
    &[("cloud_snapshot::a_snapshot_holds_the_cloud", a_snapshot_holds_the_cloud)];

fn servers(project: &Project<'_>) -> Vec<(String, String)> {
    let servers = project.must("GET", "/servers", &Value::Null)["servers"].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut all: Vec<_> =
        servers.as_array().unwrap().iter().map(|s| (text(&s["name"]), text(&s["status"]))).collect();
    all.sort();
    all
}

fn pairs(all: &[&str]) -> Vec<(String, String)> {
    all.iter().map(|name| ((*name).to_owned(), "running".to_owned())).collect()
}

/// The network namespaces of what this lab's cloud made.
fn made(lab: &Lab) -> Vec<String> {
    let listed = Command::new("ip").args(["netns", "list"]).output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split(' ').next());
    let own = format!("{}.c", lab.name());
    names.filter(|name| name.contains(&own)).map(ToOwned::to_owned).collect()
}

fn a_snapshot_holds_the_cloud() {
    let lab = Lab::up("cloud-snap", Scene::SingleServer);
    let project = Project::of(&lab);
    project.key();
    let network = project.network();
    lab.must(&["snapshot", "before"]);
    assert_eq!(servers(&project), pairs(&["cell0-node-1"]));
    let networks = |project: &Project<'_>| project.must("GET", "/networks", &Value::Null)["networks"].clone();
    let before = networks(&project);

    // Ordered, in the network with the first one, with something on its disk, and a load balancer before it.
    let first = project.must("GET", "/servers?name=cell0-node-1", &Value::Null)["servers"][0]["id"].clone();
    project.post(&format!("/servers/{first}/actions/attach_to_network"), &json!({ "network": network }));
    let (id, ip) = project.server("made", &json!({ "networks": [network] }));
    project.on(&ip, "cloud-init status --wait > /dev/null; echo kept > /root/mark; sync");
    let private = project.on(&ip, "ip -o -4 addr show enp7s0 | awk '{print $4}'");
    let balancer = json!({
        "name": "lb", "load_balancer_type": "lb11", "location": "hel1",
        "targets": [{ "type": "server", "server": { "id": id } }],
        "services": [{
            "protocol": "tcp", "listen_port": 2222, "destination_port": 22, "proxyprotocol": false,
            "health_check": { "protocol": "tcp", "port": 22, "interval": 3, "timeout": 2, "retries": 2 },
        }],
    });
    let balancer = project.must("POST", "/load_balancers", &balancer)["load_balancer"].clone();
    let way_in = balancer["public_net"]["ipv4"]["ip"].as_str().unwrap().to_owned();
    eventually("the load balancer leads to the server", LONG, || answers(&project, &way_in, 2222));
    let with = networks(&project);
    lab.must(&["snapshot", "with"]);
    assert_eq!(servers(&project), pairs(&["cell0-node-1", "made"]));
    assert_eq!(project.on(&ip, "cat /root/mark"), "kept");

    // Back to before it was ordered: no machine, no record, no load balancer, and the first one out of the network.
    lab.must(&["restore", "before"]);
    assert_eq!(servers(&project), pairs(&["cell0-node-1"]));
    assert_eq!(networks(&project), before);
    assert_eq!(made(&lab), [""; 0]);
    assert!(!answers(&project, &ip, 22) && !answers(&project, &way_in, 2222));
    let balancers = project.must("GET", "/load_balancers", &Value::Null)["load_balancers"].clone();
    assert_eq!(balancers, json!([]));
    assert_eq!(lab.read("node-1", "ip -o -4 addr show | grep -c ' 10\\.0\\.1\\.' || true"), "0");

    // To how it was with it, though it is gone: the same number, the same disk, reached in the same network.
    lab.must(&["restore", "with"]);
    assert_eq!(servers(&project), pairs(&["cell0-node-1", "made"]));
    assert_eq!(project.must("GET", &format!("/servers/{id}"), &Value::Null)["server"]["name"], "made");
    assert_eq!(networks(&project), with);
    assert_eq!(project.on(&ip, "cat /root/mark"), "kept");
    let address = private.split('/').next().unwrap();
    let ping = format!("sudo -n ping -q -c 2 -W 2 {address} > /dev/null && echo there");
    assert_eq!(lab.read("node-1", &ping), "there");
    eventually("the load balancer leads to the server again", LONG, || answers(&project, &way_in, 2222));

    // Deleted by its API, and back once more.
    project.must("DELETE", &format!("/load_balancers/{}", balancer["id"]), &Value::Null);
    project.must("DELETE", &format!("/servers/{id}"), &Value::Null);
    eventually("the server is gone", LONG, || servers(&project) == pairs(&["cell0-node-1"]));
    lab.must(&["restore", "with"]);
    assert_eq!(servers(&project), pairs(&["cell0-node-1", "made"]));
    assert_eq!(project.on(&ip, "cat /root/mark"), "kept");
    // And it can go on from there.
    project.must("DELETE", &format!("/servers/{id}"), &Value::Null);
    eventually("the server is gone again", LONG, || made(&lab).len() == 1);
}
