//! The steps of Phase 0 up to the base backup, on a live PostgreSQL: what stands in the way, what is damaged, what a
//! power cut leaves, and the way back.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::Test;
use crate::cell0;
use crate::common::cli::Ran;
use crate::common::lab::{Lab, Scene, Workspace, eventually};

pub(crate) const TESTS: &[Test] = &[
    ("backup::what_stands_in_the_way_is_said_before_anything_is_changed", what_stands_in_the_way),
    ("backup::damage_in_the_bucket_is_named_although_pgbackrest_ends_well", damage_in_the_bucket),
    ("backup::a_power_cut_inside_a_step_is_no_second_restart_and_no_second_backup", power_cuts),
    ("backup::the_way_back_leaves_the_server_as_it_was", way_back),
];

pub(crate) const RUN: &[&str] = &["phase", "run", "0", "--yes"];

/// A workspace whose runbook is the bundled one up to the base backup: the rest has tests of its own.
pub(crate) fn workspace(lab: &Lab) -> Workspace<'_> {
    cut_before(lab, "dump-tools")
}

/// A workspace whose runbook is the bundled one, up to the step before this one.
pub(crate) fn cut_before<'a>(lab: &'a Lab, step: &str) -> Workspace<'a> {
    let workspace = lab.workspace("cell0");
    let whole = cell0::phase_0();
    let cut = &whole[..cell0::step(&whole, step)];
    fs::write(workspace.path().join("cut.toml"), cut).unwrap();
    workspace.edit("hactl.toml", |text| text.replace("\"cell0\"", "\"./cut.toml\""));
    workspace
}

/// How often PostgreSQL has started, by its own log.
pub(crate) fn starts(lab: &Lab) -> u32 {
    let count = "sudo grep -c 'LOG:  starting PostgreSQL' /var/log/postgresql/postgresql-17-main.log";
    lab.read("node-1", count).parse().unwrap()
}

pub(crate) fn full_backups(lab: &Lab) -> usize {
    let info = "sudo -u postgres pgbackrest --stanza=main info --output=json";
    let info: serde_json::Value = serde_json::from_str(&lab.read("node-1", info)).unwrap();
    info[0]["backup"].as_array().unwrap().len()
}

pub(crate) fn sql(lab: &Lab, sql: &str) -> String {
    lab.read("node-1", &format!("sudo -u postgres psql -XAtqc \"{sql}\""))
}

/// Runs the phase, which has to stop and say this.
pub(crate) fn stops(workspace: &Workspace<'_>, says: &str) {
    let ran = workspace.hactl(RUN);
    assert_eq!(ran.status, 1, "wanted: {says}\n{ran}");
    assert!(words(&ran).contains(says), "wanted: {says}\n{ran}");
}

/// What it said, without the line breaks of its layout.
pub(crate) fn words(ran: &Ran) -> String {
    ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn what_stands_in_the_way() {
    let lab = Lab::up("ways", Scene::SingleServer);
    let workspace = workspace(&lab);
    let before = starts(&lab);

    sql(&lab, "create role hactl_monitor superuser login");
    stops(&workspace, "is superuser");
    sql(&lab, "drop role hactl_monitor");

    let hba = "/etc/postgresql/17/main/pg_hba.conf";
    lab.read("node-1", &format!("echo 'local all nobody trusted' | sudo tee -a {hba}"));
    stops(&workspace, "because of a mistake in them");
    lab.read("node-1", &format!("sudo sed -i /trusted/d {hba}"));

    let foreign = "/etc/pgbackrest/pgbackrest.conf";
    lab.read(
        "node-1",
        &format!(
            "sudo mkdir -p /etc/pgbackrest; printf '[global]\\nrepo1-path=/srv\\n' | sudo tee {foreign}"
        ),
    );
    stops(&workspace, "was written by somebody else");
    assert_eq!(lab.read("node-1", &format!("sudo cat {foreign}")), "[global]\nrepo1-path=/srv");
    lab.read("node-1", &format!("sudo rm {foreign}"));

    sql(&lab, "alter system set archive_library = 'basic_archive'");
    sql(&lab, "select pg_reload_conf()");
    stops(&workspace, "by the library basic_archive");
    sql(&lab, "alter system reset archive_library");
    sql(&lab, "select pg_reload_conf()");

    let settings = "/etc/postgresql/17/main/postgresql.conf";
    lab.read("node-1", &format!("echo 'max_connections = many' | sudo tee -a {settings}"));
    stops(&workspace, "would not start again");
    assert_eq!(starts(&lab), before);
    lab.read("node-1", &format!("sudo sed -i '/= many/d' {settings}"));

    workspace.must(RUN);
    assert_eq!((starts(&lab), full_backups(&lab)), (before + 1, 1));
    let secret = fs::read_to_string(workspace.path().join("secrets/pgbackrest-cipher")).unwrap();
    for file in walk(&workspace.path().join(".hactl")) {
        let content = fs::read(&file).unwrap();
        let found = content.windows(secret.trim().len()).any(|w| w == secret.trim().as_bytes());
        assert!(!found, "the pass phrase stands in {}", file.display());
    }
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

fn damage_in_the_bucket() {
    let lab = Lab::up("damage", Scene::SingleServer);
    let workspace = workspace(&lab);
    workspace.must(RUN);
    let label = lab.read("node-1", "sudo -u postgres pgbackrest repo-ls backup/main | grep F$");
    let raw = "sudo -u postgres pgbackrest --raw";

    let object = format!("backup/main/{label}/pg_data/global/pg_control.zst");
    lab.read(
        "node-1",
        &format!(
            "{raw} repo-get {object} > /tmp/kept && head -c 3000 /dev/urandom | {raw} repo-put {object}"
        ),
    );
    let ran = workspace.hactl(&["phase", "verify", "0"]);
    assert_eq!(ran.status, 1, "{ran}");
    assert!(words(&ran).contains("checksum invalid: 1") && words(&ran).contains(&label), "{ran}");
    assert!(words(&ran).contains("error[pgbackrest::verify]"), "{ran}");
    assert!(
        words(&ran).contains("pgbackrest --stanza=main --type=full backup"),
        "how another is taken: {ran}"
    );
    lab.read("node-1", &format!("{raw} repo-put {object} < /tmp/kept"));
    workspace.must(&["phase", "verify", "0"]);

    // pgBackRest itself is gone, or something else stands in its place.
    lab.read("node-1", "sudo mv /usr/bin/pgbackrest /usr/bin/kept");
    let ran = workspace.hactl(&["phase", "verify", "0"]);
    assert!(ran.status == 1 && words(&ran).contains("error[pgbackrest::missing]"), "{ran}");
    assert!(words(&ran).contains("on node-1") && words(&ran).contains("apt-get install pgbackrest"), "{ran}");
    let other = "printf '#!/bin/sh\\necho {}\\n' | sudo tee /usr/bin/pgbackrest && sudo chmod 755 /usr/bin/pgbackrest";
    lab.read("node-1", other);
    let ran = workspace.hactl(&["phase", "verify", "0"]);
    assert!(ran.status == 1 && words(&ran).contains("error[pgbackrest::odd_answer]"), "{ran}");
    assert!(words(&ran).contains("pgbackrest version"), "{ran}");
    lab.read("node-1", "sudo mv /usr/bin/kept /usr/bin/pgbackrest");
    workspace.must(&["phase", "verify", "0"]);

    // The segment at which the backup ends: pgbackrest verify does not miss it.
    let info = lab.read("node-1", "sudo -u postgres pgbackrest --stanza=main info --output=json");
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    let segment = info[0]["backup"][0]["archive"]["stop"].as_str().unwrap();
    let folder = format!("archive/main/17-1/{}", &segment[..16]);
    let repo = "sudo -u postgres pgbackrest";
    let name = lab.read("node-1", &format!("{repo} repo-ls {folder} | grep '^{segment}-'"));
    lab.read("node-1", &format!("{repo} repo-rm {folder}/{name}"));
    let ran = workspace.hactl(&["phase", "verify", "0"]);
    assert_eq!(ran.status, 1, "{ran}");
    assert!(words(&ran).contains(&format!("needs the WAL segment {segment}")), "{ran}");
    assert!(words(&ran).contains("error[pgbackrest::verify]"), "{ran}");
}

fn power_cuts() {
    let lab = Lab::up("power", Scene::SingleServer);
    let workspace = workspace(&lab);
    let cut = |step: &str, after: Duration, args: &[&str]| {
        let running = workspace.start(args);
        let intended = format!("intended {step} node-1");
        eventually(&intended, Duration::from_secs(120), || workspace.journal().records().contains(&intended));
        std::thread::sleep(after);
        lab.must(&["kill", "node-1"]);
        let ran = running.end();
        assert_ne!(ran.status, 0, "{ran}");
        lab.must(&["start", "node-1"]);
    };
    let resume: &[&str] = &["resume", "--yes"];
    cut("restart", Duration::from_millis(250), RUN);
    let after_restart = starts(&lab);
    cut("base-backup", Duration::from_millis(1500), resume);
    workspace.must(resume);
    // Power that comes back starts PostgreSQL: with the settings in force, nothing is left to restart for.
    assert_eq!(starts(&lab), after_restart + 1);
    assert_eq!(full_backups(&lab), 1);
    assert_eq!(sql(&lab, "select count(*) from pg_settings where pending_restart"), "0");
    workspace.must(&["phase", "verify", "0"]);
}

/// Everything about the server that the steps could change.
fn fingerprint(lab: &Lab) -> String {
    let files = "sudo sh -c 'cd / && find etc usr/bin usr/lib/systemd -xdev -type f -exec sha256sum {} + | sort -k2; \
        find etc -xdev -printf \"%p %y %m %u %g\\n\" | sort; cat /var/lib/postgresql/17/main/postgresql.auto.conf; \
        dpkg-query -W'";
    let roles = sql(lab, "select rolname from pg_roles order by 1");
    format!("{}\n{roles}", lab.read("node-1", files))
}

fn way_back() {
    let lab = Lab::up("back", Scene::SingleServer);
    let workspace = workspace(&lab);
    let before = fingerprint(&lab);
    workspace.must(RUN);
    assert_ne!(fingerprint(&lab), before);
    workspace.must(&["phase", "rollback", "0", "--yes"]);
    let after = fingerprint(&lab);
    let changed: Vec<_> = after.lines().filter(|line| !before.contains(line)).collect();
    assert!(changed.is_empty(), "{}", changed.join("\n"));
    assert_eq!(after.lines().count(), before.lines().count());
    let archiving = "select current_setting('archive_mode') || ' ' || current_setting('wal_level')";
    assert_eq!(sql(&lab, archiving), "off replica");
    // The backups are not taken back with the rest.
    workspace.must(RUN);
    assert_eq!(full_backups(&lab), 1);
}
