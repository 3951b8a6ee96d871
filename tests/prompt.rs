//! What happens at a terminal: the same binary under `script`, which gives it a pseudo-terminal. An ssh of the test's
//! own shows a host key, so that there is something to be asked.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;
#[path = "common/terminal.rs"]
mod terminal;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use common::cli::{Place, small};
use hactl::engine::request::Request;
use terminal::Terminal;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
const FINGERPRINT: &str = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU";

/// Writes the key into the file that hactl names, as ssh does with a key that it has not seen before.
const SSH: &str = r#"#!/bin/sh
for word; do
  case "$word" in
    UserKnownHostsFile=*) echo "node-1 KEY" > "${word#UserKnownHostsFile=}";;
  esac
done
exit 255
"#;

fn place() -> Place {
    let place = small();
    let ssh = place.write("bin/ssh", &SSH.replace("KEY", KEY));
    std::fs::set_permissions(ssh, PermissionsExt::from_mode(0o755)).unwrap();
    place
}

fn path(place: &Place) -> String {
    format!("{}:/usr/bin:/bin", place.path().join("bin").display())
}

fn known_hosts(place: &Place) -> String {
    std::fs::read_to_string(place.path().join(".hactl/known_hosts")).unwrap_or_default()
}

#[test]
fn a_yes_and_enter_pin_the_key_that_was_shown() {
    let place = place();
    let mut terminal = Terminal::start(place.path(), &path(&place), "host trust node-1");
    terminal.wait_for("[y/N]");
    assert!(terminal.seen.contains(FINGERPRINT), "{}", terminal.seen);
    terminal.press("y\r");
    let (status, seen) = terminal.end();
    assert_eq!(status, 0, "{seen}");
    assert_eq!(known_hosts(&place), format!("node-1 {KEY}\n"));
}

#[test]
fn enter_alone_is_a_no() {
    let place = place();
    let mut terminal = Terminal::start(place.path(), &path(&place), "host trust node-1");
    terminal.wait_for("[y/N]");
    terminal.press("\r");
    let (status, seen) = terminal.end();
    assert_eq!((status, known_hosts(&place)), (3, String::new()), "{seen}");
    assert!(seen.contains("[engine::approval_refused]") && seen.contains("nothing was pinned"), "{seen}");
}

/// A request for an approval, as hactl spells it.
fn request() -> String {
    let digest = "ab".repeat(32);
    let text = format!(
        "version = 1\nfleet = \"acme\"\nrun = \"run-1\"\nrunbook = \"cell0\"\nrunbook_digest = \"{digest}\"\n\
         workspace_digest = \"{digest}\"\nstep = \"retire\"\nhost = \"node-1\"\ntitle = \"Retire the old server\"\n\
         change = \"drops the database cell\"\ndetails = [\"of 3 GiB\"]\nway_back = \"none\"\n\
         identities = [\"SHA256:of-node-1\"]\naction = \"{{}}\"\nrequested_by = \"bob@desk\"\n\
         expires = \"2999-01-01T00:00:00Z\"\n"
    );
    toml::from_str::<Request>(&text).unwrap().text().unwrap()
}

#[test]
fn who_signs_reads_the_request_first_whoever_reads_the_output() {
    let place = place();
    place.write("a.approval", &request());
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(place.path().join("key"));
    assert!(keygen.status().unwrap().success());
    let signature = place.path().join("a.approval.sig");
    for (format, keys, status) in
        [("json", "\r", 3), ("human", "\r", 3), ("json", "y\r", 0), ("human", "y\r", 0)]
    {
        let command = format!("approve --sign a.approval --key key --output {format}");
        let mut terminal = Terminal::start(place.path(), &path(&place), &command);
        terminal.wait_for("[y/N]");
        for shown in ["drops the database cell", "of 3 GiB", "SHA256:of-node-1", "bob@desk"] {
            assert!(terminal.seen.contains(shown), "{format}: {shown} in {}", terminal.seen);
        }
        terminal.press(keys);
        let (ended, seen) = terminal.end();
        assert_eq!((ended, signature.exists()), (status, status == 0), "{format}: {seen}");
        assert_eq!(seen.contains("engine::approval_refused"), status == 3, "{format}: {seen}");
        let _ = std::fs::remove_file(&signature);
    }
}

#[test]
fn what_was_typed_before_the_question_does_not_answer_it() {
    let place = place();
    // The key comes only after the keys below have reached the terminal.
    let ssh =
        SSH.replace("KEY", KEY).replace("for word", "while [ ! -e typed ]; do sleep 0.02; done\nfor word");
    place.write("bin/ssh", &ssh);
    let mut terminal = Terminal::start(place.path(), &path(&place), "host trust node-1");
    terminal.press("y\r");
    // The terminal echoes what it has taken in.
    terminal.wait_for("y\r\n");
    place.write("typed", "");
    terminal.wait_for("[y/N]");
    terminal.press("\r");
    let (status, seen) = terminal.end();
    assert_eq!((status, known_hosts(&place)), (3, String::new()), "{seen}");
}

#[test]
fn ctrl_c_at_the_question_changes_nothing() {
    let place = place();
    let mut terminal = Terminal::start(place.path(), &path(&place), "host trust node-1");
    terminal.wait_for("[y/N]");
    terminal.press("\u{3}");
    let (status, seen) = terminal.end();
    assert_eq!((status, known_hosts(&place)), (130, String::new()), "{seen}");
    // hactl ended by itself and gave the cursor back.
    assert!(seen.contains("error") && seen.contains("stopped at the question"), "{seen}");
    assert!(seen.rfind("\u{1b}[?25h") > seen.rfind("\u{1b}[?25l"), "{seen:?}");
}

#[test]
fn without_a_terminal_only_the_right_fingerprint_pins() {
    let place = place();
    let run = |more: &[&str]| {
        let args: Vec<_> = ["host", "trust", "node-1"].iter().chain(more).copied().collect();
        let output = place.command(&args).env("PATH", path(&place)).output().unwrap();
        (output.status.code().unwrap_or(-1), String::from_utf8(output.stderr).unwrap())
    };
    let (status, said) = run(&[]);
    assert_eq!(status, 3, "{said}");
    assert!(said.contains(&format!("hactl host trust node-1 --fingerprint {FINGERPRINT}")), "{said}");
    let (status, said) = run(&["--fingerprint", "SHA256:other"]);
    assert_eq!((status, known_hosts(&place)), (1, String::new()), "{said}");
    let (status, said) = run(&["--fingerprint", FINGERPRINT]);
    assert_eq!((status, known_hosts(&place)), (0, format!("node-1 {KEY}\n")), "{said}");
}
