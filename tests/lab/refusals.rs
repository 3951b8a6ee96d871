//! What stops a step, a database that cannot be worked with, and a lab that was disturbed: each is named by its code, with
//! how things stand and what to type next.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::Test;
use crate::common::cli::Ran;
use crate::common::lab::{Lab, Scene, Workspace, eventually};
use crate::machines::folder;
use crate::outside::psql;

pub(crate) const TESTS: &[Test] = &[
    ("refusals::what_stops_a_step", steps),
    ("refusals::what_stops_a_step_at_a_database", databases),
    ("refusals::a_lab_that_was_disturbed", disturbed_lab),
    ("refusals::a_computer_without_what_a_lab_needs", no_lab),
];

/// It ended with this code, says how things stand and what to type, and each of these; where it says so the reader joins
/// its lines.
fn assert_refused(ran: &Ran, status: i32, code: &str, says: &[&str]) {
    eprintln!("{}", ran.stderr.trim());
    let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(ran.status, status, "wanted {code}: {ran}");
    assert!(said.contains(&format!("error[{code}]")), "wanted {code}: {ran}");
    for word in [" now: ", " next: "].iter().chain(says) {
        assert!(said.contains(word), "wanted {word:?}: {ran}");
    }
}

fn refused(workspace: &Workspace<'_>, args: &[&str], status: i32, code: &str, says: &[&str]) {
    assert_refused(&workspace.hactl(args), status, code, says);
}

fn steps() {
    let lab = Lab::up("stops", Scene::Nodes(1));
    let workspace = lab.workspace("refusals.toml");
    let here = "step guarded on node-1";
    let run: &[&str] = &["phase", "run", "0"];

    let wants = [here, "/srv/allowed is not there", "nothing was changed", "hactl resume"];
    refused(&workspace, run, 1, "engine::requirement_not_met", &wants);
    lab.read("node-1", "sudo touch /srv/allowed");
    workspace.must(&["resume"]);
    let done = [here, "this step is done", "nothing was approved"];
    refused(&workspace, &["approve", "guarded"], 2, "engine::nothing_to_approve", &done);

    // Somebody takes it away. What the error says makes it again.
    lab.read("node-1", "sudo rm /srv/guarded");
    let gone = [here, "no longer there", "hactl resume"];
    refused(&workspace, &["phase", "verify", "0"], 1, "engine::drifted", &gone);
    workspace.must(&["resume"]);
    lab.read("node-1", "sudo rm /srv/guarded");
    let back: &[&str] = &["phase", "rollback", "0", "--yes"];
    let failed = [here, "[attempt::failed]", "half undone", "then: hactl phase rollback 0"];
    refused(&workspace, back, 1, "engine::rollback_failed", &failed);
    let unfinished = [here, "half undone", "hactl phase rollback 0"];
    refused(&workspace, run, 1, "engine::rollback_unfinished", &unfinished);
    let ran = workspace.hactl(&["resume"]);
    assert_refused(&ran, 1, "engine::rollback_unfinished", &["hactl phase rollback 0"]);
    assert!(!ran.stderr.contains("hactl phase run"), "which was just refused: {ran}");
    lab.read("node-1", "sudo touch /srv/guarded");
    workspace.must(back);
    workspace.must(run);

    let hollow = ["step hollow on node-1", "/srv/hollow is not there", "not verified", "hactl resume"];
    refused(&workspace, &["phase", "run", "1"], 1, "step::not_verified", &hollow);
    lab.read("node-1", "sudo touch /srv/hollow");
    workspace.must(&["resume"]);

    // Killed in the middle, and the step is another one when somebody goes on.
    let running = workspace.start(&["phase", "run", "2"]);
    eventually("the slow step begins", Duration::from_secs(20), || {
        workspace.journal().records().iter().any(|record| record == "intended slow node-1")
    });
    running.kill();
    workspace.edit("refusals.toml", |text| text.replace("sleep 3", "sleep 4"));
    let changed = ["step slow on node-1", "nothing was done", "put the step back as it was"];
    refused(&workspace, &["resume", "--rebase"], 5, "engine::action_changed", &changed);
    workspace.edit("refusals.toml", |text| text.replace("sleep 4", "sleep 3"));
    workspace.must(&["resume", "--rebase"]);

    let none = ["step database on node-1", "hactl.toml has no [postgres]", "hactl check"];
    refused(&workspace, &["phase", "run", "3"], 2, "postgres::none", &none);

    // From here on nobody becomes root there, and so nothing is started.
    lab.read("node-1", "sudo rm /etc/sudoers.d/ops");
    let sudo =
        ["[ssh::sudo]", "on node-1", "ops may not become root", "changed nothing", "without a password"];
    refused(&workspace, &["phase", "rollback", "2", "--yes"], 1, "engine::rollback_failed", &sudo);
}

/// A runbook whose phases have one step each, on the server.
fn runbook(actions: &[(&str, &str)]) -> String {
    let head = "[runbook]\nname = \"base\"\ntitle = \"A database\"\nsummary = \"For tests.\"\n\
                [roles.postgres]\nhelp = \"the server\"\n";
    let phases = actions.iter().enumerate().map(|(n, (id, action))| {
        format!(
            "[[phase]]\nid = \"{n}\"\ntitle = \"{id}\"\n[[phase.step]]\nid = \"{id}\"\ntitle = \"{id}\"\n\
             on = \"postgres\"\ntimeout = \"2m\"\naction.{action}\n"
        )
    });
    format!("{head}{}", phases.collect::<String>())
}

fn databases() {
    let lab = Lab::up("bases", Scene::SingleServer);
    let settings = "postgres_settings = { settings = { wal_level = \"logical\" } }";
    let early = lab.workspace_of("early.toml", &runbook(&[("settings", settings)]));
    let role = ["step settings on node-1", "does not let the role hactl_monitor in", "hactl plan --dry-run"];
    refused(&early, &["phase", "run", "0"], 1, "postgres::no_role", &role);
    drop(early);

    let all = [
        ("role", "postgres_monitor = {}"),
        ("access", "postgres_access = {}"),
        ("settings", settings),
        ("restart", "postgres_restart = {}"),
    ];
    let workspace = lab.workspace_of("base.toml", &runbook(&all));
    let phase = |what: &'static str, number: &'static str| ["phase", what, number, "--yes"];

    sessions_that_do_not_end(&workspace);
    workspace.must(&phase("run", "0"));

    let closed = ["on node-1", "does not let its superuser in", "pg_hba.conf", "hactl resume"];
    while_closed(&lab, || refused(&workspace, &phase("verify", "0"), 1, "postgres::closed", &closed));

    let hba = "/etc/postgresql/17/main/pg_hba.conf";
    lab.read("node-1", &format!("sudo mv {hba} {hba}.kept"));
    let odd = ["step access on node-1", "pg_hba.conf, which is not there", "hactl resume"];
    refused(&workspace, &phase("run", "1"), 1, "postgres::odd_answer", &odd);
    lab.read("node-1", &format!("sudo mv {hba}.kept {hba}"));
    workspace.must(&phase("run", "1"));
    workspace.must(&phase("run", "2"));

    lab.read("node-1", "sudo systemctl stop postgresql@17-main");
    let down = ["on node-1", "no PostgreSQL answers", "hactl doctor"];
    refused(&workspace, &phase("verify", "0"), 1, "postgres::down", &down);
    let cannot = ["step restart on node-1", "PostgreSQL does not run", "nothing was changed", "hactl resume"];
    refused(&workspace, &phase("run", "3"), 1, "engine::cannot_tell", &cannot);
    lab.read("node-1", "sudo systemctl start postgresql@17-main");
    workspace.must(&["resume", "--yes"]);

    // What stands in the way of a way back is said with it, and not lost under it.
    psql(&lab, "cell", "SELECT pg_create_logical_replication_slot($$kept$$, $$pgoutput$$)");
    let slots =
        ["step settings on node-1", "[postgres::slots]", "kept", "changed nothing", "drop these slots"];
    refused(&workspace, &phase("rollback", "2"), 1, "engine::rollback_failed", &slots);
    psql(&lab, "cell", "SELECT pg_drop_replication_slot($$kept$$)");
    workspace.must(&phase("rollback", "2"));
}

/// Does this while the server runs and lets nobody in.
fn while_closed(lab: &Lab, meanwhile: impl FnOnce()) {
    let hba = "/etc/postgresql/17/main/pg_hba.conf";
    let lets_in = "sudo -u postgres psql -Xqc 'select 1' postgres >/dev/null 2>&1 && echo yes || echo no";
    let reload = "sudo systemctl reload postgresql@17-main";
    lab.read("node-1", &format!("sudo sed -i.kept '1i local all all reject' {hba} && {reload}"));
    eventually("nobody is let in", Duration::from_secs(20), || lab.read("node-1", lets_in) == "no");
    meanwhile();
    lab.read("node-1", &format!("sudo mv {hba}.kept {hba} && {reload}"));
    eventually("they are let in again", Duration::from_secs(20), || lab.read("node-1", lets_in) == "yes");
}

/// hactl and its psql are killed while the server works for them, and that session does not obey.
fn sessions_that_do_not_end(workspace: &Workspace<'_>) {
    let lab = workspace.lab;
    let lock = "begin; lock table pg_authid in share mode; select pg_sleep(600)";
    lab.read(
        "node-1",
        &format!("sudo systemd-run --quiet --unit=holder --uid=postgres psql -Xqc \"{lock}\" postgres"),
    );
    eventually("somebody holds the roles", Duration::from_secs(20), || {
        psql(lab, "postgres", "SELECT count(*) FROM pg_locks WHERE mode = $$ShareLock$$ AND relation = 1260")
            == "1"
    });
    let running = workspace.start(&["phase", "run", "0", "--yes"]);
    let waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = $$Lock$$";
    let mut pid = String::new();
    eventually("the statement waits", Duration::from_secs(60), || {
        pid = psql(lab, "postgres", waits);
        !pid.is_empty()
    });
    running.kill();
    let holder = "$(systemctl show -p MainPID --value holder)";
    let stop = format!("sudo kill -STOP {pid}; pgrep -x psql | grep -vx {holder} | xargs -r sudo kill -KILL");
    lab.read("node-1", &stop);
    let says =
        ["step role on node-1", "[attempt::sessions]", "do not end", "pg_stat_activity", "hactl resume"];
    refused(workspace, &["resume", "--yes"], 6, "engine::in_doubt", &says);

    // A server that lets nobody in is no server that is down: that session lives.
    while_closed(lab, || refused(workspace, &["resume", "--yes"], 6, "engine::in_doubt", &says[..2]));

    lab.read("node-1", &format!("sudo kill -CONT {pid}; sudo systemctl stop holder"));
    // Its server process would go on holding the roles.
    let holder = "pid <> pg_backend_pid() AND query LIKE $$%pg_sleep(600)%$$";
    psql(
        lab,
        "postgres",
        &format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {holder}"),
    );
    workspace.must(&["resume", "--yes"]);
}

fn disturbed_lab() {
    let lab = Lab::up("disturb", Scene::Nodes(1));
    let name = lab.name();
    let refused = |args: &[&str], status: i32, code: &str, says: &[&str]| {
        assert_refused(&lab.lab(args), status, code, says);
    };
    refused(&["cut", "node-9"], 2, "lab::no-machine", &["node-9", "its machines are", "hactl lab status"]);
    refused(
        &["restore", "early"],
        2,
        "lab::no-snapshot",
        &["early", "its snapshots: none", "hactl lab status"],
    );

    let foreign = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::write(foreign.path().join("hactl.toml"), "fleet = \"production\"\n").unwrap();
    let path = foreign.path().to_str().unwrap();
    let up = ["up", "--nodes", "1", "--workspace", path];
    refused(&up, 2, "lab::workspace", &[name, "nothing in it was changed", "--workspace"]);
    assert_eq!(fs::read_to_string(foreign.path().join("hactl.toml")).unwrap(), "fleet = \"production\"\n");

    let own = env!("CARGO_BIN_EXE_hactl");
    let inside = ["enter", "--", own, "lab", "--name", name, "down"];
    refused(
        &inside,
        1,
        "lab::leftovers",
        &["this hactl runs inside a lab", "nothing of it was touched", name],
    );
    assert_eq!(lab.read("node-1", "hostname"), "node-1");

    // Its disk is damaged: it ends instead of starting, which is seen before its time is over.
    lab.must(&["kill", "node-1"]);
    let init = format!("{}/machines/node-1/upper/usr/lib/systemd", folder(&lab));
    fs::create_dir_all(&init).unwrap();
    fs::write(format!("{init}/systemd"), "no program").unwrap();
    refused(&["start", "node-1"], 1, "lab::boot", &["node-1", "ended instead of starting", "hactl lab down"]);
    fs::remove_file(format!("{init}/systemd")).unwrap();
    lab.must(&["start", "node-1"]);

    // Its port is gone from the bridge.
    let address = lab.read("node-1", "hostname -I | tr -d ' '");
    let port = format!("p{}", address.rsplit('.').next().unwrap());
    let gone =
        Command::new("ip").args(["-n", &format!("hactl-{name}"), "link", "del", &port]).status().unwrap();
    assert!(gone.success());
    refused(&["cut", "node-1"], 1, "lab::tool", &["ip", "hactl lab status"]);
}

/// A computer where something is not as a lab needs it. Nothing is built here, in whatever folder.
fn no_lab() {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let run = |before: &[&str], path: &str| {
        let mut words =
            before.iter().copied().chain([env!("CARGO_BIN_EXE_hactl"), "lab", "up", "--name", "none"]);
        let output = Command::new(words.next().unwrap())
            .args(words)
            .env_clear()
            .env("PATH", path)
            .env("HACTL_LAB_DIR", home.path())
            .env("HOME", home.path())
            .output()
            .unwrap();
        Ran {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    };
    const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
    let weak = run(&["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"], PATH);
    assert_refused(&weak, 1, "lab::unsupported", &["CAP_SYS_ADMIN", "nothing was created"]);

    let without = "for tool in /usr/sbin/debootstrap /sbin/debootstrap /usr/bin/debootstrap; do \
                   [ ! -e $tool ] || mount --bind /dev/null $tool || exit 99; done; exec \"$@\"";
    let lacks = run(&["unshare", "--mount", "sh", "-c", without, "sh"], PATH);
    assert_refused(&lacks, 1, "lab::missing", &["lacks debootstrap", "apt-get install debootstrap"]);

    let tools = home.path().join("tools");
    fs::create_dir(&tools).unwrap();
    let broken = tools.join("debootstrap");
    fs::write(&broken, "#!/bin/sh\necho 'E: the mirror is gone' >&2\nexit 7\n").unwrap();
    fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let unbuilt = run(&[], &format!("{}:{PATH}", tools.display()));
    let says =
        ["Debian's base system", "[lab::tool] debootstrap", "E: the mirror is gone", "begins from the start"];
    assert_refused(&unbuilt, 1, "lab::build", &says);

    let lab = home.path().join("labs/none");
    fs::create_dir_all(&lab).unwrap();
    fs::write(lab.join("state.json"), "no JSON").unwrap();
    let mut status = Command::new(env!("CARGO_BIN_EXE_hactl"));
    status.args(["lab", "status", "--name", "none"]).env("HACTL_LAB_DIR", home.path());
    let output = status.output().unwrap();
    let ran = Ran {
        status: output.status.code().unwrap_or(-1),
        stdout: String::new(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    assert_refused(&ran, 1, "lab::state", &["state.json", "was left as it is", "down"]);
}
