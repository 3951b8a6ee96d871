//! The README, as the tests read it: its commands and its examples.
#![allow(dead_code, reason = "not every test binary uses all of it")]

use std::fs;
use std::path::Path;

/// The commands that the README shows and that need machines: run in the lab, in this order.
pub(crate) const IN_THE_LAB: &[&str] = &[
    "cargo run -- rehearse cell0 --through 0",
    "hactl check",
    "hactl host trust node-1",
    "hactl doctor",
    "hactl plan --dry-run",
    "hactl phase run 0",
    "hactl status",
    "hactl resume",
    "hactl journal verify",
    "hactl report",
];

/// Those that need a mirror, with the addresses of the example: run in the lab, by `tests/lab/mirror.rs`.
pub(crate) const WITH_A_MIRROR: &[&str] = &[
    "hactl journal mirror --make-bucket",
    "hactl resume --from-mirror s3://acme-state/cell0 --mirror-endpoint https://objects.example",
];

/// Those that need nothing but hactl itself.
pub(crate) const ANYWHERE: &[&str] = &[
    "hactl kinds",
    "hactl runbook eject cell0",
    "hactl schema",
    "hactl explain",
    "hactl man man1",
    "hactl init --help",
];

/// What is asked at a terminal: run by `tests/init`.
pub(crate) const AT_A_TERMINAL: &[&str] = &["hactl init"];

/// The command with which this very test is run, and those that `.ci/run` runs beside it; the last one in a debug build, and
/// what is quick of it.
pub(crate) const BY_CI: &[&str] = &["cargo test", ".ci/supply-chain", "cargo bench"];

fn text() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The fenced blocks of a language.
pub(crate) fn blocks(language: &str) -> Vec<String> {
    let text = text();
    let mut parts = text.split("\n```");
    let mut found = Vec::new();
    // Outside and inside of a fence take turns.
    while let (Some(_), Some(inside)) = (parts.next(), parts.next()) {
        if let Some(block) = inside.strip_prefix(&format!("{language}\n")) {
            found.push(format!("{block}\n"));
        }
    }
    found
}

/// Every command that it shows: the lines of its console blocks, and what begins with `hactl ` between backticks.
pub(crate) fn commands() -> Vec<String> {
    let shown = blocks("console").join("");
    let mut commands: Vec<String> = shown.lines().map(str::to_owned).collect();
    let without_fences = text().replace("```", "");
    let code = without_fences.split('`').skip(1).step_by(2);
    commands.extend(code.filter(|code| code.starts_with("hactl ")).map(str::to_owned));
    commands.sort();
    commands.dedup();
    commands
}
