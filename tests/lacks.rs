//! What a workspace lacks for a later phase is no problem, is shown with the lines to write, and stops that phase before
//! anything of it is begun.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::cli::{Place, Ran};
use serde_json::Value;

/// The bundled runbook without Phase 0, which nobody can carry out here.
fn alone() -> String {
    let bundled = include_str!("../runbooks/cell0.toml");
    let begin = |id: &str| bundled.find(&format!("[[phase]]\nid = \"{id}\"")).unwrap();
    format!("{}{}", &bundled[..begin("0")], &bundled[begin("1")..])
}

/// A workspace that is enough for Phase 0 and no more: nobody answers at its address.
fn for_phase_0(place: &Place, runbook: &str) {
    let recipient = age::x25519::Identity::generate().to_public();
    place.write(
        "hactl.toml",
        &format!(
            "runbook = \"{runbook}\"\nfleet = \"pair\"\n\n[ssh]\nuser = \"ops\"\n\n\
             [[host]]\nname = \"node-1\"\naddress = \"127.0.0.1\"\nport = 9\nroles = [\"postgres\"]\n\n\
             [[host]]\nname = \"prover\"\naddress = \"127.0.0.1\"\nport = 9\nroles = [\"prover\"]\n\n\
             [s3]\nendpoint = \"https://127.0.0.1:9\"\nregion = \"x\"\nbucket = \"b\"\n\
             access_key = {{ file = \"a\" }}\nsecret_key = {{ file = \"s\" }}\n\
             restore_access_key = {{ file = \"ra\" }}\nrestore_secret_key = {{ file = \"rs\" }}\n\n\
             [postgres]\ninstance = \"systemd\"\nrole = \"postgres\"\nversion = \"17\"\ncluster = \"main\"\n\n\
             [pgbackrest]\ncipher_pass = {{ file = \"p\" }}\n\n\
             [age]\nrecipients = [\"{recipient}\"]\nidentity = {{ file = \"secrets/age-identity\" }}\n"
        ),
    );
}

const RUN: &[&str] = &["phase", "run", "1"];

fn refused(ran: &Ran) {
    assert!(ran.status == 2 && ran.stderr.contains("error[runbook::lacks]"), "{ran}");
    assert!(ran.stderr.contains("nothing was begun, and nothing ordered"), "{ran}");
}

#[test]
fn a_phase_that_would_stop_halfway_is_not_begun() {
    let place = Place::new();
    for_phase_0(&place, "cell0");
    // Whoever wants Phase 0 only has a sound workspace.
    let checked = place.hactl(&["check"]);
    assert!(checked.status == 0 && checked.stdout.ends_with("no problems found\n"), "{checked}");
    assert!(!checked.stdout.contains("phase 0 is not begun"), "{checked}");
    insta::assert_snapshot!(checked.stdout);

    place.write("alone.toml", &alone());
    for_phase_0(&place, "./alone.toml");
    let ran = place.hactl(RUN);
    refused(&ran);
    insta::assert_snapshot!(ran);
    refused(&place.hactl(&["phase", "run", "1", "--step", "ssh-key"]));
    assert!(!place.path().join(".hactl/journal.jsonl").exists() || records(&place).is_empty());

    // The plan of that phase says the same, and is no success.
    let plan = place.hactl(&["plan", "--dry-run", "--phase", "1"]);
    assert!(plan.status == 1 && plan.stdout.contains("! NOT BEGUN before hactl.toml holds more:"), "{plan}");
    assert!(plan.stdout.contains("      server = \"cell0-node-2\"\n"), "{plan}");
}

fn records(place: &Place) -> String {
    std::fs::read_to_string(place.path().join(".hactl/journal.jsonl")).unwrap()
}

/// Each thing that lacks: where its lines belong, and the lines.
fn lacking(place: &Place) -> Vec<(String, Vec<String>)> {
    let checked = place.hactl(&["--output", "json", "check"]);
    let checked: Value = serde_json::from_str(&checked.stdout).unwrap();
    let phases = checked["lacks"].as_array().cloned().unwrap_or_default();
    let all = phases.iter().flat_map(|phase| phase["lacks"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    all.map(|lack| (text(&lack["to"]), lack["lines"].as_array().unwrap().iter().map(text).collect()))
        .collect()
}

#[test]
fn the_lines_that_are_shown_are_enough() {
    let place = Place::new();
    place.write("alone.toml", &alone());
    for_phase_0(&place, "./alone.toml");
    let all = lacking(&place);
    assert_eq!(all.len(), 5, "{all:?}");
    let mut file = std::fs::read_to_string(place.path().join("hactl.toml")).unwrap();
    for (to, lines) in all {
        // Whoever reads it types these lines, and fills in what only they know.
        let lines = lines.join("\n").replace('…', "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA ada");
        match to.as_str() {
            "add to hactl.toml" => file.push_str(&format!("\n{lines}\n")),
            "write under [inputs]" => file.push_str(&format!("\n[inputs]\n{lines}\n")),
            "write in the [[host]] node-1" => file = file.replace("roles = [\"postgres\"]", &lines),
            other => panic!("where is {other:?}?"),
        }
    }
    place.write("hactl.toml", &file);
    assert_eq!(lacking(&place), []);
    // It is begun: the first step asks a person, and nobody is there.
    let ran = place.hactl(RUN);
    assert!(ran.status == 3 && records(&place).contains("\"step\":\"owner\""), "{ran}");
    // Each of them is wanted by itself.
    for (cut, says) in [
        ("token = { file = \"secrets/hcloud-token\" }", "there is no [hcloud]"),
        ("server = \"cell0-node-3\"", "no host stands on the server cell0-node-3"),
        ("user = \"root\"\nroles = [\"node\", \"new\"]", "would be logged in to as ops"),
        ("identity = { file = \"secrets/age-identity\" }", "[age] has no identity"),
        ("operator_key = ", "the input operator_key is empty"),
    ] {
        let place = Place::new();
        place.write("alone.toml", &alone());
        assert!(file.contains(cut), "{cut}: {file}");
        let less = match cut {
            "token = { file = \"secrets/hcloud-token\" }" => file.replace(&format!("[hcloud]\n{cut}"), ""),
            "server = \"cell0-node-3\"" => file.replace(cut, "address = \"127.0.0.1\""),
            "operator_key = " => file.replace(cut, "operator_key = \"\" # "),
            other if other.starts_with("user") => file.replace(cut, "roles = [\"node\", \"new\"]"),
            other => file.replace(other, ""),
        };
        place.write("hactl.toml", &less);
        let ran = place.hactl(RUN);
        refused(&ran);
        assert!(ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ").contains(says), "{cut}: {ran}");
    }
}
