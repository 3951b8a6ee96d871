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
    let nowhere = place.path().join("no-programs");
    let output = place.command(&["phase", "run", "0"]).env("PATH", nowhere).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for word in ["error[ssh::runtime]", "on node-1", "cannot run ssh", "nothing was sent", "openssh-client"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    if cfg!(all(feature = "lab", target_os = "linux")) {
        let ran = place.hactl(&["lab", "status", "--name", "none-of-that-name"]);
        assert!(ran.status == 1 && ran.stderr.contains("error[lab::not-up]"), "{ran}");
    }
}

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

/// Each code is used, and each is named by a test.
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
    tests.extend(files.into_iter().map(|(_, text)| text));

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
        match (used, tested) {
            (false, _) => wrong.push(format!("{name} is used nowhere")),
            (true, false) => wrong.push(format!("{name} is named by no test")),
            (true, true) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
