//! The README's commands and examples work. Those that need machines are run in the lab, by `tests/lab/phase0.rs`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::cli::{HACTL_TOML, Place};
use common::readme::{ANYWHERE, AT_A_TERMINAL, BY_CI, IN_THE_LAB, WITH_A_MIRROR, blocks, commands};

#[test]
fn every_command_it_shows_is_run_by_a_test() {
    let shown = commands();
    assert!(shown.len() > 5, "{shown:?}");
    for command in &shown {
        let run = IN_THE_LAB
            .iter()
            .chain(WITH_A_MIRROR)
            .chain(ANYWHERE)
            .chain(AT_A_TERMINAL)
            .chain(BY_CI)
            .any(|run| run == command);
        assert!(run, "no test runs the README's `{command}`");
    }
    for run in IN_THE_LAB.iter().chain(WITH_A_MIRROR).chain(ANYWHERE).chain(AT_A_TERMINAL).chain(BY_CI) {
        assert!(shown.iter().any(|command| command == run), "the README no longer shows `{run}`");
    }
    let place = Place::new();
    for command in ANYWHERE {
        let args: Vec<_> = command.split(' ').skip(1).collect();
        let ran = place.hactl(&args);
        assert_eq!(ran.status, 0, "{command}: {ran}");
        assert!(ran.stderr.is_empty(), "{command}: {ran}");
    }
}

#[test]
fn ci_runs_what_is_left_to_it() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = std::fs::read_to_string(root.join(".ci/run")).unwrap();
    let groups: Vec<_> = script.lines().filter(|line| line.starts_with("group ")).collect();
    assert!(groups.iter().any(|group| group.ends_with(" readme_test_command")), "{groups:?}");
    assert!(groups.iter().any(|group| group.ends_with(" .ci/supply-chain")), "{groups:?}");
    assert!(
        groups.iter().any(|group| group.contains(" cargo bench --locked --profile dev -- ")),
        "{groups:?}"
    );
}

#[test]
fn its_workspace_passes_check() {
    let toml = blocks("toml");
    let workspace = toml.iter().find(|block| block.starts_with("runbook = ")).unwrap();
    let recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let place = Place::new();
    place.write("hactl.toml", &workspace.replace("age1...", recipient));
    let ran = place.hactl(&["check"]);
    assert_eq!(ran.status, 0, "{ran}");
}

#[test]
fn its_step_belongs_in_a_runbook() {
    let toml = blocks("toml");
    let step = toml.iter().find(|block| block.starts_with("[[phase.step]]")).unwrap();
    let head = "[runbook]\nname = \"site\"\ntitle = \"A site\"\nsummary = \"For tests.\"\n\n[roles.web]\nhelp = \"serves it\"\n\n\
                [inputs.archive]\ntype = \"string\"\nhelp = \"the site\"\ndefault = \"/srv/site.tar.gz\"\n\n\
                [[phase]]\nid = \"0\"\ntitle = \"The site\"\n\n";
    let place = Place::new();
    place.write("hactl.toml", &HACTL_TOML.replace("./small.toml", "./site.toml"));
    place.write("site.toml", &format!("{head}{step}"));
    let ran = place.hactl(&["check"]);
    assert_eq!(ran.status, 0, "{ran}");
}
