//! What goes wrong with archiving and backups after they were set up is told, with what to type next.

use std::fs;
use std::time::Duration;

use crate::Test;
use crate::backup::{RUN, cut_before, sql};
use crate::common::lab::{Lab, Scene, Workspace, eventually};

pub(crate) const TESTS: &[Test] =
    &[("health::status_and_doctor_tell_what_goes_wrong_and_what_to_type", what_goes_wrong)];

/// What a command says, without the line breaks of its layout; no line is wider than a terminal.
fn says(workspace: &Workspace<'_>, command: &str) -> String {
    let ran = workspace.hactl(&[command]);
    for line in ran.stdout.lines() {
        assert!(line.chars().count() <= 80, "wider than 80 columns: {line}");
    }
    ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn assert_says(workspace: &Workspace<'_>, command: &str, all: &[&str]) {
    let said = says(workspace, command);
    for part in all {
        assert!(said.contains(part), "{command} does not say {part:?}: {said}");
    }
}

/// Overwrites a file of the workspace for as long as `does` takes.
fn with_file(workspace: &Workspace<'_>, file: &str, wrong: &str, does: impl FnOnce()) {
    let path = workspace.path().join(file);
    let right = fs::read(&path).unwrap();
    fs::write(&path, wrong).unwrap();
    does();
    fs::write(&path, right).unwrap();
}

fn what_goes_wrong() {
    let lab = Lab::up("health", Scene::SingleServer);
    let workspace = cut_before(&lab, "prover-tools");
    assert_says(
        &workspace,
        "doctor",
        // How many warnings there are depends on how full this machine's disk is.
        &[
            "PostgreSQL: cluster 17/main is online",
            "disk for WAL: ",
            "WARN bucket ",
            "next: hactl plan --dry-run",
        ],
    );
    workspace.must(RUN);
    let well =
        ["archiving: newest segment archived", "none waiting, no failure; pg_wal has", "are free there"];
    assert_says(&workspace, "status", &well);
    // The nightly dump is set up and never ran yet.
    assert_says(
        &workspace,
        "status",
        &["newest good base backup: ", "WARNING: there is no good dump in the bucket"],
    );
    assert_says(
        &workspace,
        "doctor",
        &["ok node-1 archiving: newest segment", "credential for restores: reads the bucket"],
    );
    let json = workspace.must(&["status", "--output", "json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["archiving"][1]["known"]["mode"], "on");
    assert!(json["base_backup"]["fresh"].is_string() && json["dump"] == "none", "{json}");

    // pgBackRest fails: segments wait, and so does the base backup of the night.
    let breaks = "sudo mv /usr/bin/pgbackrest /usr/bin/kept; printf '#!/bin/sh\\nexit 1\\n' | sudo tee /usr/bin/pgbackrest; \
        sudo chmod 755 /usr/bin/pgbackrest; sudo systemctl start hactl-base-backup.service || true";
    lab.read("node-1", breaks);
    sql(&lab, "select pg_switch_wal()");
    eventually("status tells that archiving fails", Duration::from_secs(60), || {
        says(&workspace, "status").contains("WARNING: archiving FAILS at 0000000100000000")
    });
    let failed = "hactl-base-backup.service on node-1 failed last time, at ";
    let look = "next: sudo tail --lines=30 /var/log/postgresql/*.log (on node-1: what archiving says)";
    let journal = "sudo journalctl --unit=hactl-base-backup.service --lines=30 (on node-1)";
    assert_says(&workspace, "status", &[failed, look, journal]);
    assert_says(
        &workspace,
        "doctor",
        &["FAIL node-1 archiving: FAILS at ", look, "1 failure; mend what fails"],
    );
    lab.read(
        "node-1",
        "sudo mv /usr/bin/kept /usr/bin/pgbackrest; sudo systemctl start hactl-base-backup.service",
    );
    eventually("archiving goes on", Duration::from_secs(90), || {
        says(&workspace, "status").contains("archiving: newest segment archived")
    });

    // Old backups, a timer that nothing starts, and no server at all.
    lab.read("node-1", "sudo systemctl disable --now hactl-dump.timer");
    let timer =
        "hactl-dump.service on node-1 is started by nothing: hactl-dump.timer is disabled and inactive";
    assert_says(&workspace, "status", &[timer, "sudo systemctl enable --now hactl-dump.timer (on node-1)"]);
    lab.read("node-1", "sudo systemctl stop postgresql@17-main");
    let down = [
        "FAIL node-1 PostgreSQL: cluster 17/main is down",
        "sudo systemctl start postgresql@17-main.service",
    ];
    assert_says(&workspace, "doctor", &down);
    assert_says(
        &workspace,
        "status",
        &["WARNING: cannot ask node-1 how archiving does", "hactl doctor (what cannot"],
    );

    a_server_that_starts_is_waited_for(&lab, &workspace);

    // Wrong keys, and nobody there.
    with_file(&workspace, "secrets/s3-operator.secret", "wrong", || {
        let refused = "FAIL bucket cell0-backups: cannot look at the bucket";
        assert_says(
            &workspace,
            "doctor",
            &[refused, "SignatureDoesNotMatch", "next: compare the keys and the region"],
        );
    });
    with_file(&workspace, "secrets/s3-restore.secret", "wrong", || {
        assert_says(
            &workspace,
            "doctor",
            &["ok bucket cell0-backups", "FAIL credential for restores: cannot look"],
        );
    });
    let other = std::process::Command::new("age-keygen").output().unwrap().stdout;
    with_file(&workspace, "secrets/age-identity", &String::from_utf8(other).unwrap(), || {
        assert_says(
            &workspace,
            "doctor",
            &["FAIL age identity: belongs to none of the recipients", "age-keygen -y"],
        );
    });
    let other = workspace.path().join("other");
    let made = ["-q", "-t", "ed25519", "-N", "", "-f", other.to_str().unwrap()];
    assert!(std::process::Command::new("ssh-keygen").args(made).status().unwrap().success());
    with_file(&workspace, "secrets/id_ed25519", &fs::read_to_string(&other).unwrap(), || {
        assert_says(
            &workspace,
            "doctor",
            &["FAIL node-1: the login", "was refused", "authorized_keys of node-1"],
        );
    });
    lab.must(&["kill", "prover"]);
    assert_says(
        &workspace,
        "doctor",
        &["FAIL prover: cannot be reached", "next: is it up?", "ok node-1: answers"],
    );
}

/// After a crash PostgreSQL replays its WAL and lets nobody in meanwhile. A standby without `hot_standby` does the same,
/// and for as long as a test wants.
fn a_server_that_starts_is_waited_for(lab: &Lab, workspace: &Workspace<'_>) {
    lab.read(
        "node-1",
        "sudo systemctl stop cell-writer; sudo -u postgres touch /var/lib/postgresql/17/main/standby.signal; \
         echo 'hot_standby = off' | sudo -u postgres tee -a /etc/postgresql/17/main/postgresql.conf; \
         sudo systemctl start postgresql@17-main",
    );
    let yet =
        "FAIL node-1 PostgreSQL: cluster 17/main lets nobody in yet: the database system is not accepting";
    assert_says(workspace, "doctor", &[yet, "next: hactl doctor (again, when it is up)"]);
    let asked = || {
        let log = "sudo grep -c 'FATAL: *the database system is not' /var/log/postgresql/postgresql-17-main.log || true";
        lab.read("node-1", log).trim().parse::<u32>().unwrap()
    };
    let before = asked();
    let plan = workspace.start(&["plan", "--dry-run"]);
    eventually("hactl asks again and again", Duration::from_secs(60), || asked() >= before + 5);
    lab.read("node-1", "sudo pg_ctlcluster 17 main promote");
    let ended = plan.end();
    for step in ["inspect", "archive-settings", "restart"] {
        assert!(ended.stdout.contains(&format!("{step} on node-1: done and verified")), "{ended}");
    }
}
