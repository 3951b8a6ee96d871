//! What hactl says of itself: manual pages, error codes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use clap::CommandFactory as _;
use common::cli::{Place, unreachable};
use hactl::cli::Cli;
use hactl::diagnostic::codes;
use insta::assert_snapshot;

fn names(command: &clap::Command, name: &str, all: &mut BTreeSet<String>) {
    all.insert(format!("{name}.1"));
    for sub in command.get_subcommands() {
        names(sub, &format!("{name}-{}", sub.get_name()), all);
    }
}

#[test]
fn there_is_a_page_for_each_command() {
    let mut wanted = BTreeSet::new();
    names(&Cli::command(), "hactl", &mut wanted);
    let place = Place::new();
    let ran = place.hactl(&["man", "man1"]);
    assert_eq!(ran.stdout, format!("wrote {} pages to man1\n", wanted.len()), "{ran}");
    let folder = place.path().join("man1");
    let made: BTreeSet<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(made, wanted);
    for name in &made {
        let page = std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(
            page.contains(".TH ") && page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"),
            "{page}"
        );
    }
    let page = std::fs::read_to_string(folder.join("hactl-phase-run.1")).unwrap();
    assert!(page.contains("Carry out a phase, asking at each gate"), "{page}");
    // Where it cannot be written, that is said.
    place.write("taken", "a file");
    let ran = place.hactl(&["man", "taken"]);
    assert!(ran.status == 1 && ran.stderr.contains("error[io]"), "{ran}");
}

#[test]
fn a_code_is_explained() {
    let place = Place::new();
    assert_snapshot!(place.hactl(&["explain", "engine::in_doubt"]), @"
    exit 0
    --- stdout
    engine::in_doubt: an attempt may or may not have had its effect, and observing
        cannot decide it
      exit status 6: a step is in doubt and needs a decision
    ");
    assert_snapshot!(place.hactl(&["explain", "engine::in_dobt"]), @r#"
    exit 2
    --- stderr
    error[usage]: there is no error code "engine::in_dobt"
      next:    did you mean "engine::in_doubt"?
      next:    hactl explain    (lists all of them)
    "#);
    let all = place.hactl(&["explain", "--output", "json"]).stdout;
    assert_eq!(all.lines().count(), codes::ALL.len());
}

/// Codes that no other test meets.
#[test]
fn what_is_in_the_way_of_a_file_and_what_is_not_there_have_codes_of_their_own() {
    let place = unreachable();
    let blocked = |name: &str, args: &[&str], code: &str| {
        let path = place.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        let ran = place.hactl(args);
        std::fs::remove_dir(&path).unwrap();
        assert!(ran.status == 1 && ran.stderr.contains(&format!("error[{code}]")), "{ran}");
    };
    blocked(".hactl/journal.jsonl", &["journal", "show"], "journal::read");
    blocked(".hactl/lock", &["phase", "run", "0"], "lock::io");
    assert_eq!(place.hactl(&["phase", "run", "0"]).status, 1);
    let ran = place.hactl(&["resume", "--decide", "jq@node-1=applied"]);
    assert!(ran.status == 2 && ran.stderr.contains("error[engine::not_in_doubt]"), "{ran}");
    if cfg!(all(feature = "lab", target_os = "linux")) {
        let ran = place.hactl(&["lab", "status", "--name", "none-of-that-name"]);
        assert!(ran.status == 1 && ran.stderr.contains("error[lab::not-up]"), "{ran}");
    }
}

const ENGINE: &str = "the engine's sweep and its tests look at states and records, not at the code";
const FENCE: &str = "a second fence: a check before it refuses the same";
const HOST: &str = "needs a host in a state that only the lab can make";
const SERVER: &str = "needs a database or an object storage in a state that only the lab can make";
const LAB: &str = "needs a lab that was disturbed from outside";

/// Codes that no test names, and why. A code can leave this list with the first test that names it; none is
/// added without a reason.
const UNNAMED: &[(&str, &str)] = &[
    ("engine::requirement_not_met", ENGINE),
    ("engine::cannot_tell", ENGINE),
    ("engine::action_changed", ENGINE),
    ("engine::drifted", ENGINE),
    ("engine::approval_refused", ENGINE),
    ("engine::nothing_to_approve", ENGINE),
    ("engine::rollback_unfinished", ENGINE),
    ("engine::rollback_failed", ENGINE),
    ("engine::approval_text", ENGINE),
    ("engine::signature", ENGINE),
    ("step::not_verified", ENGINE),
    ("journal::no_run", FENCE),
    ("attempt::other_host", FENCE),
    ("step::parameters", FENCE),
    ("ssh::runtime", HOST),
    ("ssh::sudo", HOST),
    ("ssh::deadline", HOST),
    ("ssh::odd_answer", HOST),
    ("ssh::control", HOST),
    ("attempt::setup", HOST),
    ("attempt::sessions", HOST),
    ("postgres::none", SERVER),
    ("postgres::down", SERVER),
    ("postgres::no_role", SERVER),
    ("postgres::odd_answer", SERVER),
    ("postgres::slots", SERVER),
    ("pgbackrest::missing", SERVER),
    ("pgbackrest::odd_answer", SERVER),
    ("pgbackrest::verify", SERVER),
    ("s3::clock", SERVER),
    ("s3::bucket_taken", SERVER),
    ("s3::bucket_kept", SERVER),
    ("s3::unsupported", SERVER),
    ("s3::answered", SERVER),
    ("s3::round_trip", SERVER),
    ("prove::differs", SERVER),
    ("prove::space", SERVER),
    ("dump::odd", SERVER),
    ("lab::unsupported", LAB),
    ("lab::missing", LAB),
    ("lab::tool", LAB),
    ("lab::build", LAB),
    ("lab::state", LAB),
    ("lab::busy", LAB),
    ("lab::no-machine", LAB),
    ("lab::no-snapshot", LAB),
    ("lab::boot", LAB),
    ("lab::workspace", LAB),
    ("lab::leftovers", LAB),
];

/// The text of every file below `folder`, with whether all of it is a test's.
fn texts(folder: &Path, all: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() {
            texts(&path, all);
        } else if ["rs", "snap"].contains(&ending.as_str()) {
            all.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Each code is used, and each is named by a test or stands on the list with a reason.
#[test]
fn every_code_is_used_and_named_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut code, mut tests) = (String::new(), String::new());
    let mut files = Vec::new();
    texts(&root.join("src"), &mut files);
    for (path, text) in files {
        if path.ends_with("codes.rs") {
            continue;
        }
        let whole = path.contains("/tests") || path.ends_with(".snap");
        // Tests stand at the end of a file.
        let (own, test) =
            if whole { ("", &*text) } else { text.split_once("#[cfg(test)]").unwrap_or((&text, "")) };
        code.push_str(own);
        tests.push_str(test);
    }
    let mut files = Vec::new();
    texts(&root.join("tests"), &mut files);
    for (path, text) in files {
        // Of this file, what comes before the list.
        let own =
            path.ends_with("reference.rs").then(|| text.split("const ENGINE").next().unwrap_or_default());
        tests.push_str(own.unwrap_or(&text));
    }

    let table = std::fs::read_to_string(root.join("src/diagnostic/codes.rs")).unwrap();
    let ids: Vec<(&str, &str)> = table
        .lines()
        .filter_map(|line| {
            let (id, rest) = line.strip_prefix("    ")?.split_once(" = \"")?;
            let name = rest.split_once('"')?.0;
            id.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit()).then_some((id, name))
        })
        .collect();
    assert_eq!(ids.len(), codes::ALL.len());
    let holds = |text: &str, word: &str| {
        text.match_indices(word).any(|(at, _)| {
            let after = text[at + word.len()..].chars().next();
            !after.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    };
    let mut wrong = Vec::new();
    for (id, name) in ids {
        let used = holds(&code, &format!("codes::{id}"));
        let named = [format!("codes::{id}"), format!("[{name}]"), format!("\"{name}\""), format!("{name}\n")];
        let tested = named.iter().any(|word| holds(&tests, word));
        let listed = UNNAMED.iter().any(|(known, reason)| *known == name && !reason.is_empty());
        match (used, tested, listed) {
            (false, _, _) => wrong.push(format!("{name} is used nowhere")),
            (true, false, false) => wrong.push(format!("{name} is named by no test")),
            (true, true, _) | (true, false, true) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
