//! A damaged journal, a foreign one and a full disk, as the operator meets them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::process::Command;

use common::cli::{HACTL_TOML, Place, Ran, small, unreachable};
use hactl::digest::Digest;
use insta::{allow_duplicates, assert_snapshot};

const JOURNAL: &str = ".hactl/journal.jsonl";
const GOLDEN: &str = include_str!("golden/journal-v1.jsonl");

/// Every command that reads the journal, and one that would write it.
const READERS: [&[&str]; 7] = [
    &["status"],
    &["journal", "show"],
    &["journal", "verify"],
    &["proof", "list"],
    &["phase", "list"],
    &["resume"],
    &["phase", "run", "0"],
];

fn journal(place: &Place) -> Vec<u8> {
    std::fs::read(place.path().join(JOURNAL)).unwrap()
}

/// Every command refuses that journal, with the code and the line, and leaves it as it is.
fn refused_by_all(place: &Place, text: &str, code: &str, line: &str) {
    place.write(JOURNAL, text);
    for args in READERS {
        let ran = place.hactl(args);
        assert_eq!(ran.status, 1, "{args:?}: {ran}");
        assert!(ran.stderr.contains(&format!("error[{code}]: {line} ")), "{args:?}: {ran}");
        assert_eq!(journal(place), text.as_bytes(), "{args:?}");
    }
}

#[test]
fn damage_is_refused_by_every_command_with_its_line() {
    let lines: Vec<&str> = GOLDEN.split_inclusive('\n').collect();
    let place = unreachable();
    refused_by_all(
        &place,
        &GOLDEN.replacen("node-1", "node-2", 1),
        "journal::damaged",
        "line 6 of the journal",
    );
    let removed = [&lines[..4], &lines[5..]].concat().concat();
    refused_by_all(&place, &removed, "journal::damaged", "line 5 of the journal");
    let swapped = [&lines[..4], &[lines[5], lines[4]], &lines[6..]].concat().concat();
    refused_by_all(&place, &swapped, "journal::damaged", "line 5 of the journal");
    let repeated = [&lines[..4], &lines[3..]].concat().concat();
    refused_by_all(&place, &repeated, "journal::damaged", "line 5 of the journal");
}

#[test]
fn a_newer_journal_is_refused_by_every_command() {
    let body = format!("{{\"v\":2,\"seq\":1,\"anything\":{{}},\"prev\":\"{}\"", "0".repeat(64));
    let line = format!("{body},\"sum\":\"{}\"}}\n", Digest::of(&body));
    let place = unreachable();
    refused_by_all(&place, &line, "journal::newer", "line 1 of the journal");
    assert_snapshot!(place.hactl(&["status"]), @"
    exit 1
    --- stderr
    error[journal::newer]: line 1 of the journal cannot be trusted: it has format 2,
      this hactl reads 1: it was written by a newer hactl, or is damaged
      now:     nothing was changed; what the lines before it say still holds
      next:    use the hactl that wrote it, or a newer one
    ");
}

#[test]
fn the_journal_of_another_workspace_is_refused() {
    // Of another runbook; then of another fleet with the same runbook.
    let place = small();
    place.write(JOURNAL, GOLDEN);
    for args in [&["status"][..], &["phase", "run", "0"]] {
        allow_duplicates! { assert_snapshot!(place.hactl(args), @"
        exit 5
        --- stderr
        error[engine::files_changed]: the run began with the runbook cell0, hactl.toml
          now names small
          now:     nothing was done
          next:    name the runbook cell0 again, or make a workspace of its own for small
        ") }
        assert_eq!(journal(&place), GOLDEN.as_bytes());
    }
    let other = unreachable();
    other.hactl(&["phase", "run", "0"]);
    let place = unreachable();
    let text = String::from_utf8(journal(&other)).unwrap();
    place.write(JOURNAL, &text);
    place.write("hactl.toml", &HACTL_TOML.replace("fleet = \"pair\"", "fleet = \"another\""));
    for args in [&["status"][..], &["resume"], &["phase", "run", "0"]] {
        allow_duplicates! { assert_snapshot!(place.hactl(args), @"
        exit 5
        --- stderr
        error[engine::files_changed]: the run began with the fleet pair, hactl.toml now
          names another
          now:     nothing was done
          next:    name the fleet pair again, or make a workspace of its own for another
        ") }
        assert_eq!(journal(&place), text.as_bytes());
    }
}

#[test]
fn a_torn_last_line_alone_is_dropped_and_reported() {
    let place = unreachable();
    place.hactl(&["phase", "run", "0"]);
    let whole = journal(&place);
    place.hactl(&["phase", "run", "0"]);
    let more = journal(&place);
    for cut in [whole.len() + 1, whole.len() + 100, more.len() - 1] {
        std::fs::write(place.path().join(JOURNAL), &more[..cut]).unwrap();
        let torn = cut - whole.len();
        // Reading changes nothing; working cuts it off and says so.
        let ran = place.hactl(&["journal", "verify"]);
        assert!(ran.stdout.contains(&format!("the last line is incomplete ({torn} bytes)")), "{ran}");
        assert_eq!(journal(&place), &more[..cut]);
        let ran = place.hactl(&["phase", "run", "0"]);
        let told = format!("the journal's last line was incomplete ({torn} bytes) and was cut off");
        assert!(ran.stdout.contains(&told), "{ran}");
        assert_eq!(&journal(&place)[..whole.len()], whole);
        let ran = place.hactl(&["journal", "verify"]);
        assert!(ran.stdout.starts_with("3 records, each whole"), "{ran}");
        assert!(!ran.stdout.contains("incomplete"), "{ran}");
    }
}

/// hactl where no file may grow beyond `limit` bytes: the kernel cuts a write short there, and then refuses it.
fn limited(place: &Place, limit: usize, args: &[&str]) -> Ran {
    let script = format!("trap '' XFSZ; exec prlimit --fsize={limit} \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_hactl")]).args(args);
    place.run(command)
}

#[test]
fn where_the_disk_takes_no_more_hactl_stops_and_goes_on_later() {
    let place = unreachable();
    place.hactl(&["phase", "run", "0"]);
    let before = journal(&place);
    place.hactl(&["phase", "run", "0"]);
    let record = journal(&place).len() - before.len();
    // A time is written without the zeros at its end, so a record may be a few bytes shorter or longer.
    let (shortest, longest) = (record - 10, record + 10);
    for room in (0..shortest).step_by(23) {
        std::fs::write(place.path().join(JOURNAL), &before).unwrap();
        let ran = limited(&place, before.len() + room, &["phase", "run", "0"]);
        assert_eq!(ran.status, 1, "{room}: {ran}");
        assert!(ran.stderr.starts_with("error[journal::write]: failed to make a record"), "{room}: {ran}");
        assert!(!ran.stdout.contains("phase 0"), "nothing is begun: {ran}");
        let after = journal(&place);
        assert_eq!(after[..before.len()], before, "{room}");
        assert_eq!(after.len(), before.len() + room, "{room}: a short write is not tried again");
        assert!(place.hactl(&["journal", "verify"]).stdout.starts_with("1 records, each whole"), "{room}");
        // With room again it goes on.
        let ran = place.hactl(&["phase", "run", "0"]);
        assert!(ran.stderr.starts_with("error[ssh::unreachable]"), "{room}: {ran}");
        assert_eq!(place.hactl(&["journal", "verify"]).status, 0);
    }
    // The control: with just enough room nothing is wrong with the journal.
    std::fs::write(place.path().join(JOURNAL), &before).unwrap();
    let ran = limited(&place, before.len() + longest, &["phase", "run", "0"]);
    assert!(ran.stderr.starts_with("error[ssh::unreachable]"), "{ran}");
}

#[test]
fn a_journal_that_never_ends_is_refused_and_not_read_whole() {
    let place = unreachable();
    std::fs::create_dir(place.path().join(".hactl")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", place.path().join(JOURNAL)).unwrap();
    assert_snapshot!(place.hactl(&["status"]), @"
    exit 1
    --- stderr
    error[journal::damaged]: line 1 of the journal cannot be trusted: it is longer
      than 16 MiB, which hactl never writes
      now:     nothing was changed; what the lines before it say still holds
      next:    restore .hactl/journal.jsonl from a copy; never edit it
    ");
}
