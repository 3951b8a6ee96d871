//! The same fifty steps on three machines of a lab by hactl, ansible-core, pyinfra and plain ssh: what the script `fleet`,
//! beside this file, measures.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::table::Table;

const AGAINST: [(&str, &str, Option<f64>); 3] = [
    ("ansible", "ansible-core 2.19, pipelining, ControlPersist", Some(0.1)),
    ("pyinfra", "pyinfra 3.10", Some(1.0)),
    ("ssh", "ssh over warm masters", None),
];

pub(crate) fn measure(table: &mut Table) {
    const STEPS: &str = "50 steps on three machines";
    if !table.wants(STEPS) {
        return;
    }
    if let Some(why) = cannot() {
        table.note(format!("{STEPS} were not measured: {why}"));
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/fleet");
    let mut fleet = Command::new(script);
    fleet.env("HACTL", env!("CARGO_BIN_EXE_hactl")).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = fleet.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let seconds = |line: &str| {
        let (tool, seconds) = line.split_once(' ')?;
        Some((tool.to_owned(), Duration::from_secs_f64(seconds.parse().ok()?)))
    };
    let medians: BTreeMap<String, Duration> = text.lines().filter_map(seconds).collect();
    for (tool, name, target) in AGAINST {
        match target {
            Some(target) => table.add(STEPS, medians["hactl"], name, medians[tool], target),
            None => table.show(STEPS, medians["hactl"], name, medians[tool]),
        }
    }
}

/// Why the machines or the other tools cannot be had here.
fn cannot() -> Option<String> {
    if !cfg!(all(target_os = "linux", feature = "lab")) {
        return Some("hactl was built without the lab".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("needs root, for the lab".to_owned());
    }
    let python =
        Command::new("python3").args(["-c", "import venv, ensurepip"]).stderr(Stdio::null()).status();
    if !python.is_ok_and(|status| status.success()) {
        return Some("needs python3 with venv, for Ansible and pyinfra".to_owned());
    }
    None
}
