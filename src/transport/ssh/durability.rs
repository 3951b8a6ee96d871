//! What a clerk makes durable of an attempt, and when: seen by a clerk that writes down each fsync instead of doing it.

#![cfg(target_os = "linux")]

use std::fs::read_to_string;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::clerk::{PROGRAM, Request};

const SPY: &str = "BEGIN { require IO::Handle; no warnings 'redefine'; *IO::Handle::sync = sub {
  open my $log, '>>', $ENV{SPY} or die; print {$log} readlink('/proc/self/fd/' . fileno $_[0]), \"\\n\"; close $log } }\n";

/// Claims a command and carries it out. What became durable, and where among it the command began, below `folder`.
fn claimed(folder: &Path, number: u32, script: &str) -> Vec<String> {
    let log = folder.join("log");
    let _ = std::fs::remove_file(&log);
    let (number, seq) = (number.to_string(), (number + 10).to_string());
    let script = format!("echo {}/BEGAN >>{}; {script}", folder.display(), log.display());
    let words = ["fleet", "run", "step", "a1", &number, "1", &seq, "sum", "hold", "-"];
    let more = ["60", "1000", "arriving", "root", "0", "sh", "-c", &script];
    let fields = words.into_iter().chain(more).map(str::to_owned).collect();
    let request = Request { kind: "claim", fields, input: &[] };
    let mut clerk = Command::new("perl")
        .args(["-e", &format!("{SPY}{PROGRAM}"), "hactl-clerk"])
        .args([&folder.join("lib/root").display().to_string(), "marker"])
        .env("SPY", &log)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    clerk.stdin.take().unwrap().write_all(&request.head()).unwrap();
    let said = String::from_utf8(clerk.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.ends_with("= finished 0 : 0 0\n"), "{said}");
    let below = format!("{}/", folder.display());
    read_to_string(&log).unwrap().lines().map(|line| line.strip_prefix(&below).unwrap().to_owned()).collect()
}

#[test]
fn nothing_begins_before_its_claim_is_durable_and_no_end_is_told_before_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    assert_eq!(
        claimed(&folder, 1, "echo out"),
        [
            "lib/root/owner.new",
            // Nobody owned the host, so our folder may be as new.
            "lib",
            "lib/root/run/step/a1/1/words",
            "lib/root/run/step/a1",
            "lib/root/run/step",
            "lib/root/run",
            // Here the owner file has its name too.
            "lib/root",
            "lib/root/run/step/a1/1",
            "BEGAN",
            "lib/root/run/step/a1/1/stdout",
            "lib/root/run/step/a1/1/status.new",
            "lib/root/run/step/a1/1",
        ]
    );
    // Another one, that prints nothing.
    assert_eq!(
        claimed(&folder, 2, "true"),
        [
            "lib/root/owner.new",
            "lib/root/run/step/a1/2/words",
            "lib/root/run/step/a1",
            "lib/root/run/step",
            "lib/root/run",
            "lib/root",
            "lib/root/run/step/a1/2",
            "BEGAN",
            "lib/root/run/step/a1/2/status.new",
            "lib/root/run/step/a1/2",
        ]
    );
}
