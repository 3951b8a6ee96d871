//! `[notify]`: a real program is started when a gate waits and when a run ends, and can do a run no harm.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;
#[path = "common/terminal.rs"]
mod terminal;

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use common::cli::{Place, unreachable};
use serde_json::Value;
use terminal::Terminal;

/// A runbook whose one step needs no host: a person does it, behind a gate.
const BY_HAND: &str = r#"[runbook]
name = "small"
title = "One thing by hand"
summary = "For tests."

[roles.web]
help = "nothing acts on it"

[[component]]
name = "thing"
tier = "none"
replicas = 1
survives = []
degraded = "nobody notices"

[[phase]]
id = "0"
title = "By hand"

[[phase.step]]
id = "call"
title = "Call the registrar"
gate = "confirm"
[phase.step.action.manual]
instructions = "Call the registrar."
way_back = "call again"
"#;

/// Writes down each notification on a line of its own.
const LISTENER: &str = "#!/bin/sh\n/bin/cat >> told\n";

fn with(place: Place, listener: &str) -> Place {
    let file = place.write("tell", listener);
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o755)).unwrap();
    let text = std::fs::read_to_string(place.path().join("hactl.toml")).unwrap();
    place.write("hactl.toml", &format!("{text}\n[notify]\ncommand = [\"./tell\", \"a b\"]\n"));
    place
}

fn by_hand(listener: &str) -> Place {
    let place = with(unreachable(), listener);
    place.write("small.toml", BY_HAND);
    place
}

/// The notifications so far, each held against the schema that hactl prints.
fn told(place: &Place) -> Vec<Value> {
    let mut schema: Value = serde_json::from_str(&place.hactl(&["schema"]).stdout).unwrap();
    let root = schema.as_object_mut().unwrap();
    root.remove("oneOf");
    root.insert("$ref".into(), "#/$defs/notification".into());
    let validator = jsonschema::validator_for(&schema).unwrap();
    let text = std::fs::read_to_string(place.path().join("told")).unwrap_or_default();
    let told: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for one in &told {
        validator.validate(one).unwrap_or_else(|e| panic!("{one}\n{e} at {}", e.instance_path()));
    }
    let mut unheard = told.first().cloned().unwrap_or(Value::Null);
    unheard["notification"] = "unheard of".into();
    assert!(!validator.is_valid(&unheard), "the schema takes anything");
    told
}

#[test]
fn a_gate_that_is_refused_for_lack_of_a_terminal_is_told() {
    let place = by_hand(LISTENER);
    let ran = place.hactl(&["phase", "run", "0"]);
    assert_eq!(ran.status, 3, "{ran}");
    let told = told(&place);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["notification"], "gate_waits");
    assert_eq!(told[0]["step"], "call");
    assert_eq!(told[0]["next"][0], "hactl approve call");
    assert!(told[0]["run"].is_string() && told[0]["command"] == "hactl phase run 0", "{told:?}");
}

#[test]
fn a_run_that_fails_is_told_and_one_that_was_mistyped_is_not() {
    let place = with(unreachable(), LISTENER);
    assert_eq!(place.hactl(&["phase", "run", "9"]).status, 2);
    assert_eq!(told(&place), [Value::Null; 0]);
    assert_eq!(place.hactl(&["phase", "run", "0"]).status, 1);
    let told = told(&place);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["notification"], &told[0]["code"]), (&"failed".into(), &"ssh::unreachable".into()));
    assert_eq!(told[0]["host"], "node-1");
}

#[test]
fn a_gate_that_waits_at_a_terminal_is_told_while_it_waits_and_so_is_the_end() {
    let place = by_hand(LISTENER);
    let mut terminal = Terminal::start(place.path(), "/usr/bin:/bin", "phase run 0");
    terminal.wait_for("Do it?");
    // It comes while the question stands, and nobody has answered.
    terminal.wait_until(|| !told(&place).is_empty());
    terminal.press("y\r");
    terminal.wait_for("Is it done?");
    terminal.press("y\r");
    let (status, seen) = terminal.end();
    assert_eq!(status, 0, "{seen}");
    // Each is told by a program of its own; which of two that run at a time writes first is the machine's business.
    let mut told = told(&place);
    told.sort_by_key(|one| one["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap());
    let occasions: Vec<_> = told.iter().map(|one| one["notification"].as_str().unwrap()).collect();
    assert_eq!(occasions, ["gate_waits", "gate_waits", "ended"], "{seen}");
}

#[test]
fn a_command_that_fails_is_said_once_and_changes_nothing_else() {
    let place = by_hand("#!/bin/sh\necho 'the relay is down' >&2\nexit 3\n");
    let ran = place.hactl(&["phase", "run", "0"]);
    assert_eq!(ran.status, 3, "{ran}");
    let warning = "WARNING: nobody could be notified, and this is said once: ./tell ended with exit status: 3: \
                   the relay is down";
    assert_eq!(ran.stdout.matches(warning).count(), 1, "{ran}");
    let ran = place.hactl(&["--output", "json", "resume"]);
    assert!(ran.stdout.contains("\"event\":\"notify_failed\""), "{ran}");
}

#[test]
fn ctrl_c_ends_a_command_that_hangs_after_the_run() {
    let place = by_hand("#!/bin/sh\necho $$ > begun\nexec sleep 600\n");
    let mut terminal = Terminal::start(place.path(), "/usr/bin:/bin", "phase run 0");
    terminal.wait_for("Do it?");
    terminal.press("\r");
    terminal.wait_for("the notification command to end");
    // The workspace is free by then.
    assert_eq!(place.hactl(&["plan"]).status, 0);
    terminal.press("\u{3}");
    // The shell of the terminal dies of the Ctrl-C, and hactl does not: it says its error.
    let (_shells, seen) = terminal.end();
    assert!(seen.contains("the approval was refused"), "{seen}");
    let pid = std::fs::read_to_string(place.path().join("begun")).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while lives(pid.trim()) {
        assert!(Instant::now() < until, "it lives on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What was killed may still wait for somebody to take note of it.
fn lives(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn what_stands_in_hactl_toml_is_checked() {
    let place = with(unreachable(), LISTENER);
    assert_eq!(place.hactl(&["check"]).status, 0);
    let text = std::fs::read_to_string(place.path().join("hactl.toml")).unwrap();
    for (wrong, code) in [
        ("command = []", "file::bad_value"),
        ("command = [\"\"]", "file::bad_value"),
        ("command = \"mail me\"", "file::ill_typed"),
        ("comand = [\"x\"]", "file::missing_key"),
    ] {
        place.write("hactl.toml", &text.replace("command = [\"./tell\", \"a b\"]", wrong));
        let ran = place.hactl(&["check"]);
        assert!(ran.status == 2 && ran.stderr.contains(code), "{wrong}: {ran}");
    }
}
