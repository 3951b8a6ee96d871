//! An installation that is killed leaves nothing behind that a later one would trip over.

use std::time::Duration;

use crate::Test;
use crate::common::lab::{Lab, Scene, Workspace, eventually};

pub(crate) const TESTS: &[Test] =
    &[("installs::of_postgresql_that_are_killed_leave_debian_as_it_was", killed_installation)];

const RUNBOOK: &str = r#"[runbook]
name = "installs"
title = "PostgreSQL's packages"
summary = "For tests."
[roles.node]
help = "where"
[[phase]]
id = "0"
title = "Packages"
[[phase.step]]
id = "postgresql"
title = "Install PostgreSQL, and no cluster"
on = "node"
[phase.step.action.apt_package]
packages = ["postgresql-17"]
"#;

/// A configuration of one's own, which looks into no folder.
const OWN: &str = "/etc/postgresql-common/createcluster.conf";
/// Whether anything of ours is there.
const OURS: &str = "ls /etc/postgresql-common/createcluster.d/hactl.conf 2>/dev/null; \
    grep 'hactl, while installing' /etc/postgresql-common/createcluster.conf 2>/dev/null; true";

fn ours(lab: &Lab) -> String {
    lab.read("node-1", OURS)
}

/// Kills the installation on the machine as soon as it has told PostgreSQL to make no cluster.
fn killed(workspace: &Workspace<'_>, args: &[&str], signal: &str) {
    let running = workspace.start(args);
    eventually("PostgreSQL is told to make no cluster", Duration::from_secs(60), || {
        !ours(workspace.lab).is_empty()
    });
    // A group of its own, with all that it started.
    let kill = format!(
        "for _ in $(seq 200); do group=$(ps -o pgid= -C apt-get | head -n 1 | tr -d ' '); \
         [ -z \"$group\" ] || break; sleep 0.05; done; sudo kill -{signal} -- \"-$group\""
    );
    workspace.lab.read("node-1", &kill);
    let ran = running.end();
    assert_ne!(ran.status, 0, "it was not killed in time: {ran}");
}

fn killed_installation() {
    let lab = Lab::up("installs", Scene::Nodes(1));
    let workspace = lab.workspace_of("installs.toml", RUNBOOK);
    let own = format!("sudo mkdir -p /etc/postgresql-common && echo 'ssl = on' | sudo tee {OWN}");
    lab.read("node-1", &own);

    // Asked to end, the installation takes it back itself.
    killed(&workspace, &["phase", "run", "0"], "TERM");
    assert_eq!(ours(&lab), "");
    assert_eq!(lab.read("node-1", &format!("cat {OWN}")), "ssl = on");

    // Killed, it cannot; the next one does.
    killed(&workspace, &["resume"], "KILL");
    assert_ne!(ours(&lab), "", "else this tests nothing");
    workspace.must(&["resume"]);
    assert_eq!(ours(&lab), "");
    assert_eq!(lab.read("node-1", &format!("cat {OWN}; pg_lsclusters --no-header")), "ssl = on");

    // What one leaves that is killed after its last package is seen by looking at the step again, and taken away.
    let line = "create_main_cluster = false # hactl, while installing";
    lab.read("node-1", &format!("echo '{line}' | sudo tee -a {OWN}"));
    let ran = workspace.hactl(&["phase", "verify", "0"]);
    assert!(ran.status == 1 && ran.stderr.contains("error[engine::drifted]"), "{ran}");
    workspace.must(&["resume"]);
    assert_eq!(ours(&lab), "");

    // Taking the step back takes it away as well.
    lab.read("node-1", &format!("echo '{line}' | sudo tee -a {OWN}"));
    workspace.must(&["phase", "rollback", "0", "--yes"]);
    assert_eq!(ours(&lab), "");
    assert_eq!(lab.read("node-1", "command -v pg_lsclusters || true"), "");
}
