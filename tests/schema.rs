//! Real streams of `--output json` against the schema that hactl prints.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use common::cli::{Place, small, unreachable};
use hactl::journal::record::Record;
use jsonschema::Validator;
use serde_json::{Value, json};

fn validator() -> Validator {
    let schema = Place::new().hactl(&["schema"]).stdout;
    jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap()
}

/// Every line that a command prints, each held against the schema.
fn stream(validator: &Validator, place: &Place, args: &[&str]) -> Vec<Value> {
    let ran = place.hactl(&[&["--output", "json"], args].concat());
    let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty(), "{ran}");
    for line in &lines {
        if let Err(error) = validator.validate(line) {
            panic!("{args:?} printed {line}\n{error}\nat {}", error.instance_path());
        }
    }
    lines
}

#[test]
fn every_kind_of_record_is_described() {
    let validator = validator();
    let place = small();
    place.write(".hactl/journal.jsonl", include_str!("golden/journal-v1.jsonl"));
    let lines = stream(&validator, &place, &["journal", "show"]);
    for kind in Record::KINDS {
        let is = |line: &&Value| line["record"] == kind || line["record"].get(kind).is_some();
        assert!(lines.iter().any(|line| is(&line)), "the golden journal has no {kind}");
    }
    stream(&validator, &place, &["proof", "list"]);
    stream(&validator, &place, &["report"]);
    stream(&validator, &place, &["journal", "verify"]);
}

#[test]
fn the_streams_of_commands_are_what_the_schema_says() {
    let validator = validator();
    let run = stream(&validator, &unreachable(), &["phase", "run", "0"]);
    assert!(run.len() > 2 && run.last().unwrap()["event"] == "error", "{run:?}");
    stream(&validator, &unreachable(), &["doctor"]);
    stream(&validator, &unreachable(), &["plan", "--dry-run"]);
    let place = small();
    for args in [
        &["check"][..],
        &["status"],
        &["phase", "list"],
        &["phase", "show", "0"],
        &["kinds"],
        &["runbook", "list"],
        &["runbook", "eject", "cell0"],
        &["explain"],
        &["man", "man1"],
    ] {
        stream(&validator, &place, args);
    }
    place.write("hactl.toml", "fleet = 1");
    let problems = stream(&validator, &place, &["check"]);
    assert!(problems[0]["problems"].as_array().unwrap().len() > 1, "{problems:?}");
}

/// A host that takes the connection and says nothing.
#[test]
fn a_long_wait_says_what_is_awaited_and_until_when() {
    let validator = validator();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let place = unreachable();
    let text = std::fs::read_to_string(place.path().join("hactl.toml")).unwrap();
    place.write("hactl.toml", &text.replace("port = 9\n", &format!("port = {port}\n")));
    let said = |args: &[&str], wanted: &str| {
        let mut child = place.command(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Connecting is given up after a while, so this ends, found or not.
        let line = lines.find_map(|line| line.ok().filter(|line| line.contains(wanted)));
        child.kill().unwrap();
        child.wait().unwrap();
        line.unwrap_or_else(|| panic!("nothing of {wanted:?} in {args:?}"))
    };
    let line = said(&["phase", "run", "0"], "waits for");
    assert!(line.contains("jq on node-") && line.contains("waits for a connection since "), "{line}");
    assert!(line.contains(", gives up at ") && line.contains(" UTC (in "), "{line}");
    let event: Value =
        serde_json::from_str(&said(&["--output", "json", "phase", "run", "0"], "\"waiting\"")).unwrap();
    validator.validate(&event).unwrap_or_else(|e| panic!("{event}\n{e}"));
    let time = |key: &str| event[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(time("since") < time("at") && time("at") < time("until"), "{event}");
    assert!(event["host"].as_str().unwrap().starts_with("node-"), "{event}");
}

/// A schema that takes anything would pass all of the above.
#[test]
fn what_is_no_event_is_refused() {
    let validator = validator();
    let place = json!({ "step": "jq", "host": "node-1" });
    let good = json!({ "event": "busy", "place": place, "doing": "waiting" });
    assert!(validator.is_valid(&good));
    for bad in [
        json!({}),
        json!({ "event": "unheard of" }),
        json!({ "event": "busy", "place": place }),
        json!({ "event": "busy", "place": place, "doing": 1 }),
        json!({ "event": "busy", "place": place, "doing": "x", "more": true }),
        json!({ "event": "recorded", "seq": 1, "at": "2026-11-21T12:00:00Z", "record": { "unheard": {} } }),
        json!({ "event": "recorded", "seq": 0, "at": "2026-11-21T12:00:00Z", "record": "interrupted" }),
        json!({ "event": "checked" }),
    ] {
        assert!(!validator.is_valid(&bad), "{bad}");
    }
}
