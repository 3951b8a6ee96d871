//! Servers by hactl's own steps: really made, reached by the key they were given from the first login on, three in the
//! end however often hactl is killed, and two of them taken back.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::Test;
use super::cloud::Project;
use super::common::lab::{Lab, Scene};
use super::kills::{Kills, through};

pub(crate) const TESTS: &[Test] = &[(
    "servers::three_servers_not_four_are_reached_by_the_key_they_were_given",
    three_servers_not_four_are_reached_by_the_key_they_were_given,
)];

const NOW: &[Duration] = &[Duration::ZERO];
const SOON: &[Duration] = &[Duration::ZERO, Duration::from_millis(400)];

/// Where a server or its host key is being made.
fn at(record: &str) -> &'static [Duration] {
    let place = |kind: &str| {
        record.starts_with(&format!("{kind} node-")) || record.starts_with(&format!("{kind} rotate"))
    };
    if place("intended") {
        SOON
    } else if place("applied") {
        NOW
    } else {
        &[]
    }
}

fn names(project: &Project<'_>) -> Vec<String> {
    let servers = project.must("GET", "/servers", &Value::Null)["servers"].clone();
    let mut names: Vec<_> =
        servers.as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn three_servers_not_four_are_reached_by_the_key_they_were_given() {
    let lab = Lab::up("servers", Scene::SingleServer);
    let project = Project::of(&lab);
    let workspace = lab.workspace("servers.toml");
    let identity = workspace.path().join("secrets/id_ed25519");
    let public = Command::new("ssh-keygen").args(["-y", "-f"]).arg(identity).output().unwrap();
    let public = String::from_utf8(public.stdout).unwrap().trim().to_owned();
    workspace.edit("hactl.toml", |text| {
        let inputs = format!("\n[inputs]\noperator_key = \"{public}\"\n");
        let host = |name: &str| {
            format!("\n[[host]]\nname = \"{name}\"\nserver = \"cell0-{name}\"\nuser = \"root\"\nroles = [\"new\"]\n")
        };
        text + &host("node-2") + &host("node-3") + &inputs
    });

    // Before they are made, nothing fails for that: it is said.
    assert_eq!(workspace.hactl(&["check"]).status, 0);
    let plan = workspace.must(&["plan", "--dry-run"]);
    assert!(plan.stdout.contains("its server cell0-node-2 is not made yet"), "{plan}");

    let may_stop = |_: &_| false;
    let tally = through(&workspace, "0", &Kills { at, may_stop });
    assert!(tally.kills >= 6, "{tally:?}");
    assert_eq!(names(&project), ["cell0-node-1", "cell0-node-2", "cell0-node-3"]);

    // Only the key that was made on the host is accepted; the first one is not.
    let known = std::fs::read_to_string(workspace.path().join(".hactl/known_hosts")).unwrap();
    for name in ["node-2", "node-3"] {
        let pinned: Vec<_> = known.lines().filter(|line| line.starts_with(&format!("{name} "))).collect();
        assert_eq!(pinned.len(), 1, "{known}");
        let first = workspace.journal().lines().iter().find_map(|line| {
            let outputs = line.to_string();
            let from = outputs.find("\"host-key\"")?;
            (outputs.contains(&format!("cell0-{name}"))).then(|| outputs[from..].to_owned())
        });
        let key = pinned[0].split(' ').nth(2).unwrap();
        assert!(!first.expect("no host key was journaled").contains(key), "{name} was not given another key");
    }
    assert!(!format!("{:?}", workspace.journal().lines()).contains("PRIVATE KEY"));
    workspace.must(&["phase", "verify", "0"]);
    // What the operator's own user data asked for is there too, and the private network carries.
    let servers = project.must("GET", "/servers", &Value::Null)["servers"].clone();
    let node = servers.as_array().unwrap().iter().find(|s| s["name"] == "cell0-node-2").unwrap();
    assert_eq!(node["private_net"][0]["ip"], json!("10.0.1.12"));
    let ping = lab.on("node-1", "sudo -n ping -q -c 2 -W 2 10.0.1.12 >/dev/null && echo there");
    assert_eq!(ping.stdout.trim(), "there", "{ping}");

    // A second run makes no other request than to look.
    workspace.must(&["phase", "run", "0", "--yes"]);
    assert_eq!(names(&project).len(), 3);

    workspace.must(&["phase", "rollback", "0", "--yes"]);
    assert_eq!(names(&project), ["cell0-node-1"]);
    let known = std::fs::read_to_string(workspace.path().join(".hactl/known_hosts")).unwrap();
    assert!(!known.contains("node-2 "), "{known}");
    let again = workspace.hactl(&["phase", "rollback", "0", "--yes"]);
    assert!(again.stderr.contains("nothing of phase 0 can be taken back"), "{again}");
    assert_eq!(names(&project), ["cell0-node-1"]);
}
