//! The command line, in an empty environment and without a terminal.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::fmt::Write as _;

use clap::CommandFactory as _;
use clap_complete::Shell;
use common::cli::Place;
use hactl::cli::{Cli, completions};
use insta::assert_snapshot;

/// Every command with its help, as the binary prints it: what is shown here is what people and scripts rely on.
#[test]
#[cfg_attr(not(feature = "lab"), ignore = "the tree is that of the default features")]
fn the_whole_help() {
    let place = Place::new();
    let mut text = String::new();
    let mut command = Cli::command();
    command.build();
    collect(&place, &command, &mut Vec::new(), &mut text);
    assert_snapshot!("help", text);
}

fn collect(place: &Place, command: &clap::Command, path: &mut Vec<String>, text: &mut String) {
    let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
    args.push("--help");
    let ran = place.hactl(&args);
    assert_eq!(ran.status, 0, "{ran}");
    let _ = writeln!(text, "$ hactl {}\n{}", args.join(" "), ran.stdout);
    for sub in command.get_subcommands() {
        path.push(sub.get_name().to_owned());
        collect(place, sub, path, text);
        path.pop();
    }
}

/// `completions/` is generated. Where it drifted: `UPDATE_COMPLETIONS=1 cargo test --test cli completions`.
#[test]
#[cfg_attr(not(feature = "lab"), ignore = "the completions are those of the default features")]
fn the_completions_are_those_of_the_commands() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("completions");
    for (shell, name) in [(Shell::Bash, "hactl.bash"), (Shell::Zsh, "_hactl"), (Shell::Fish, "hactl.fish")] {
        let path = folder.join(name);
        let now = completions::generate(shell);
        if std::env::var_os("UPDATE_COMPLETIONS").is_some() {
            std::fs::write(&path, &now).unwrap();
        }
        let kept = std::fs::read(&path).unwrap_or_default();
        assert!(kept == now, "completions/{name} is not what `hactl completions` prints now");
    }
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    assert_snapshot!(Place::new().hactl(&["statsu"]), @"
    exit 2
    --- stderr
    error: unrecognized subcommand 'statsu'

    Usage: hactl [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
}
