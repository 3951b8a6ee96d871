//! A server that somebody set up before hactl came: what is theirs is found, named, and replaced only when told to; and
//! the way back to it, also where the server does not run.

use crate::Test;
use crate::backup::{RUN, cut_before, sql, starts, stops, words, workspace};
use crate::common::lab::{Lab, Scene, Workspace};

pub(crate) const TESTS: &[Test] = &[
    (
        "others::archiving_of_somebody_else_is_named_and_replaced_only_when_told_to",
        archiving_of_somebody_else,
    ),
    ("others::a_bucket_may_be_addressed_by_a_name_of_its_own", bucket_by_its_name),
];

const THEIRS: &str = "pgbackrest --stanza=theirs archive-push %p";

/// Puts this text into a file on the server, runs the phase, which has to stop and say this, and takes it away again.
fn stops_over(workspace: &Workspace<'_>, file: &str, text: &str, says: &str) {
    let lab = workspace.lab;
    let read = || lab.read("node-1", &format!("sudo cat {file}"));
    lab.read(
        "node-1",
        &format!(
            "sudo mkdir -p $(dirname {file}); if sudo test -e {file}; then sudo cp -a {file} /root/kept; fi; \
             printf '{text}' | sudo tee {file}"
        ),
    );
    let theirs = read();
    stops(workspace, says);
    assert_eq!(read(), theirs, "{file} was changed");
    let ours = lab.on("node-1", "sudo test -e /etc/pgbackrest/pgbackrest.conf");
    assert_ne!(ours.status, 0, "our configuration was written beside {file}");
    lab.read(
        "node-1",
        &format!("if sudo test -e /root/kept; then sudo mv /root/kept {file}; else sudo rm {file}; fi"),
    );
}

/// Changes the inputs, and goes on with them.
fn goes_on_with(workspace: &Workspace<'_>, inputs: &str) -> crate::common::cli::Ran {
    workspace.edit("hactl.toml", |text| {
        let (before, rest) = text.split_once("\n[inputs]\n").unwrap_or((&text, ""));
        let after = rest.find("\n[").map_or("", |at| &rest[at..]);
        format!("{before}{after}\n[inputs]\n{inputs}\n")
    });
    workspace.hactl(&["resume", "--rebase", "--yes"])
}

fn archiving_of_somebody_else() {
    let lab = Lab::up("others", Scene::SingleServer);
    let workspace = workspace(&lab);
    let before = starts(&lab);

    let included = "/etc/pgbackrest/conf.d/theirs.conf";
    stops_over(
        &workspace,
        included,
        "[global]\\nrepo1-path=/srv\\n",
        "pgBackRest adds /etc/pgbackrest/conf.d",
    );
    let old = "[global]\\nrepo1-path=/srv\\n[theirs]\\npg1-path=/var/lib/postgresql/17/main\\n";
    stops_over(&workspace, "/etc/pgbackrest.conf", old, "sets pgBackRest up already");
    let environment = "/etc/postgresql/17/main/environment";
    stops_over(&workspace, environment, "PGBACKREST_REPO1_PATH = /srv\\n", "sets PGBACKREST_REPO1_PATH");

    // Only asked for, not even read by the server: it is theirs all the same.
    sql(&lab, &format!("alter system set archive_command = '{THEIRS}'"));
    stops(&workspace, &format!("although archive_mode is off: {THEIRS}"));
    let auto = || lab.read("node-1", "sudo cat /var/lib/postgresql/17/main/postgresql.auto.conf");
    assert!(auto().contains(THEIRS) && !auto().contains("archive_mode"), "{}", auto());

    let told = format!("replace_archive_command = \"{THEIRS}\"");
    let ran = goes_on_with(&workspace, &format!("{told}\nwal_headroom = \"900TiB\""));
    assert_eq!(ran.status, 1, "{ran}");
    assert!(words(&ran).contains("(at least 900TiB wanted)"), "{ran}");
    assert!(!auto().contains("archive_mode") && starts(&lab) == before);
    let ran = goes_on_with(&workspace, &told);
    assert_eq!(ran.status, 0, "{ran}");
    assert_eq!(sql(&lab, "show archive_command"), "pgbackrest --stanza=main archive-push %p");

    // Done, and then replaced by another: a second run does not put ours back over it.
    sql(&lab, "alter system set archive_command = '/bin/true'");
    sql(&lab, "select pg_reload_conf()");
    stops(&workspace, "archive_command is set: /bin/true");
    assert_eq!(sql(&lab, "show archive_command"), "/bin/true");
    sql(&lab, "alter system set archive_command = 'pgbackrest --stanza=main archive-push %p'");
    sql(&lab, "select pg_reload_conf()");
    workspace.must(RUN);

    // The way back, where the server does not run: it ends with the server running as it was.
    lab.read("node-1", "sudo systemctl stop postgresql@17-main");
    workspace.must(&["phase", "rollback", "0", "--yes"]);
    assert!(auto().contains(THEIRS) && !auto().contains("archive_mode"), "{}", auto());
    let settings = "select current_setting('archive_mode') || ' ' || current_setting('wal_level')";
    assert_eq!(sql(&lab, settings), "off replica");
    let set = "select reset_val from pg_settings where name = 'archive_command'";
    assert_eq!(sql(&lab, set), THEIRS);
}

/// hactl, pgBackRest and rclone each address the bucket by themselves, up to the first use of each.
fn bucket_by_its_name() {
    let lab = Lab::up("byname", Scene::SingleServer);
    let workspace = cut_before(&lab, "nightly-dump-timer");
    workspace.edit("hactl.toml", |text| {
        text.replace("path_style = true", "path_style = false").replace("\"cell0-backups\"", "\"backups\"")
    });
    workspace.must(RUN);
    for (file, says) in [
        ("/etc/pgbackrest/pgbackrest.conf", "repo1-s3-uri-style=host"),
        ("/etc/hactl/dump/rclone.conf", "force_path_style = false"),
    ] {
        let text = lab.read("node-1", &format!("sudo cat {file}"));
        assert!(text.contains(says), "{file} does not say {says}");
    }
    let kept = lab.read("node-1", "sudo -u postgres pgbackrest --stanza=main info");
    assert!(kept.contains("full backup: "), "{kept}");
}
