//! Proofs of databases that are not simple, where no slot is to be had, and when nobody comes back to one.

use std::thread::sleep;
use std::time::Duration;

use crate::Test;
use crate::common::lab::{Lab, Scene, Workspace, eventually};
use crate::outside::psql;
use crate::proof_fails::{LEFT, apart, assert_nothing_is_left, before_the_proofs, fails};

pub(crate) const TESTS: &[Test] = &[
    ("proof::of_databases_that_are_not_simple", not_simple),
    ("proof::without_a_slot_is_weaker_and_shown_as_such", without_a_slot),
    ("proof::leaves_nothing_behind_when_nobody_comes_back", nobody_comes_back),
];

const RESTORE: &[&str] = &["phase", "run", "1", "--yes"];
const DUMP: &[&str] = &["phase", "run", "2", "--yes"];

/// SQL of any length, on `node-1`, as PostgreSQL's own superuser.
fn sql(lab: &Lab, database: &str, statements: &str) -> String {
    assert!(!statements.contains("EOF"));
    lab.read(
        "node-1",
        &format!("sudo -u postgres psql -XAtq -v ON_ERROR_STOP=1 -d {database} <<'EOF'\n{statements}\nEOF"),
    )
}

/// An extension with a table of its own, and one that is its user's configuration; its files on a machine.
fn install_extension(lab: &Lab, node: &str) {
    lab.read(
        node,
        r#"cd /usr/share/postgresql/17/extension && sudo tee odd.control >/dev/null <<'EOF'
default_version = '1.0'
relocatable = true
EOF
sudo tee odd--1.0.sql >/dev/null <<'EOF'
CREATE TABLE odd_own (n int);
CREATE SEQUENCE odd_own_n;
CREATE TABLE odd_configuration (n int);
CREATE TABLE odd_filtered (n int);
SELECT pg_catalog.pg_extension_config_dump('odd_configuration', '');
SELECT pg_catalog.pg_extension_config_dump('odd_filtered', 'WHERE n > 1');
EOF"#,
    );
}

/// A locale that Debian does not bring along.
fn install_locale(lab: &Lab, node: &str) {
    lab.read(node, "sudo cp -r /usr/lib/locale/C.utf8 /usr/lib/locale/xx_XX.utf8");
}

const NOT_SIMPLE: &str = r#"
CREATE EXTENSION odd;
INSERT INTO odd_own VALUES (1);
SELECT nextval('odd_own_n');
INSERT INTO odd_configuration VALUES (1), (2);
INSERT INTO odd_filtered VALUES (1), (2);
CREATE TABLE plain (n int PRIMARY KEY, name text);
INSERT INTO plain SELECT n, 'größer ' || n FROM generate_series(1, 1000) AS n;
CREATE TABLE "Größe mit ""Zeichen""" (n int);
INSERT INTO "Größe mit ""Zeichen""" VALUES (1);
CREATE MATERIALIZED VIEW filled AS SELECT count(*) FROM plain;
CREATE MATERIALIZED VIEW never_filled AS SELECT count(*) FROM plain WITH NO DATA;
CREATE SEQUENCE round CYCLE MAXVALUE 3;
SELECT nextval('round') FROM generate_series(1, 5);
CREATE UNLOGGED TABLE scratch (n int);
CREATE UNLOGGED SEQUENCE scratch_n;
CREATE ROLE "Größe, odd" LOGIN PASSWORD 'not to be shown';
"#;

fn not_simple() {
    let lab = Lab::up("odd", Scene::SingleServer);
    let workspace = apart(&lab);
    install_extension(&lab, "node-1");
    install_locale(&lab, "node-1");
    psql(
        &lab,
        "postgres",
        "CREATE DATABASE odd TEMPLATE template0 LC_COLLATE $$xx_XX.UTF-8$$ LC_CTYPE $$xx_XX.UTF-8$$",
    );
    psql(&lab, "postgres", "CREATE DATABASE latin TEMPLATE template0 ENCODING LATIN1 LOCALE $$C$$");
    sql(&lab, "odd", NOT_SIMPLE);
    sql(
        &lab,
        "latin",
        "SET client_encoding = 'UTF8'; CREATE TABLE \"Größe\" AS SELECT 'größer' AS t, n FROM generate_series(1, 9) AS n;",
    );
    workspace.must(&["phase", "run", "0", "--yes"]);
    // Whoever dumps and proves is hurried and misunderstood.
    psql(&lab, "postgres", "ALTER ROLE postgres SET transaction_timeout = $$300ms$$");
    psql(&lab, "postgres", "ALTER ROLE postgres SET statement_timeout = $$300ms$$");
    psql(&lab, "postgres", "ALTER ROLE postgres SET client_encoding = $$LATIN1$$");
    lab.read("node-1", "sudo systemctl start hactl-dump.service");

    // Whatever the databases need is missed before anything is restored, all of it at once.
    let says = ["the locale xx_XX.UTF-8", "the extension odd", "nothing was restored", "locale-gen"];
    fails(&workspace, RESTORE, "prove::lacks", &says);
    install_locale(&lab, "prover");
    fails(&workspace, RESTORE, "prove::lacks", &["the extension odd"]);
    install_extension(&lab, "prover");

    // Told to stop on the server, pgBackRest archives nothing; on the prover the restored copy has a place of its own.
    lab.read("prover", "sudo -u postgres pgbackrest stop");
    lab.read("node-1", "sudo -u postgres pgbackrest stop");
    fails(
        &workspace,
        RESTORE,
        "prove::failed",
        &["told to stop, by the file /tmp/pgbackrest/all.stop", "pgbackrest start"],
    );
    lab.read("node-1", "sudo -u postgres pgbackrest start");

    // The server was given more than it had when the backup was taken.
    psql(&lab, "postgres", "ALTER SYSTEM SET max_connections = 250");
    psql(&lab, "postgres", "ALTER SYSTEM SET max_worker_processes = 20");
    lab.read("node-1", "sudo systemctl restart postgresql@17-main");
    // What an attempt that was killed left: its slot, which is no temporary one here.
    psql(&lab, "cell", "SELECT pg_create_logical_replication_slot($$hactl_prove$$, $$pgoutput$$)");
    workspace.must(RESTORE);
    lab.read("prover", "sudo mv /usr/lib/locale/xx_XX.utf8 /root");
    fails(&workspace, DUMP, "prove::lacks", &["the locale xx_XX.UTF-8", "nothing was restored"]);
    lab.read("prover", "sudo mv /root/xx_XX.utf8 /usr/lib/locale");
    workspace.must(&["resume", "--yes"]);

    let restore = workspace.must(&["proof", "show", "cell-postgres/restore"]).stdout;
    let restore = restore.split_whitespace().collect::<Vec<_>>().join(" ");
    for fact in ["WEAKER", "a dump makes anew"] {
        assert!(!restore.contains(fact), "{fact}: {restore}");
    }
    for fact in [
        "complete, on another host",
        "database odd: 6 tables",
        "1 × a materialized view that was never filled",
        "1 × a sequence that cycles",
        "1 × an unlogged sequence",
        "1 × an unlogged table",
        "database latin: 1 tables with 9 rows equal",
    ] {
        assert!(restore.contains(fact), "{fact}: {restore}");
    }
    let dump = workspace.must(&["proof", "show", "cell-postgres/dump"]).stdout;
    let dump = dump.split_whitespace().collect::<Vec<_>>().join(" ");
    for fact in [
        // Plain, its odd neighbour, the one of configuration, and the unlogged one.
        "database odd: 4 tables",
        "3 × a table or sequence of an extension, which a dump makes anew",
        "2 × a materialized view, which a dump computes anew",
        "database latin: 1 tables with 9 rows equal",
    ] {
        assert!(dump.contains(fact), "{fact}: {dump}");
    }
    // Nowhere among what hactl keeps, here and on the prover, is anything made of the role's password.
    let found = lab.read(
        "prover",
        "sudo grep -rlaE 'SCRAM-SHA-256|not to be shown' /var/lib/hactl /var/lib/hactl-scratch || true",
    );
    assert_eq!(found, "");
    let here = std::process::Command::new("grep")
        .args(["-rlaE", "SCRAM-SHA-256|not to be shown"])
        .arg(workspace.path().join(".hactl"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(here.stdout).unwrap(), "");
    assert_nothing_is_left(&lab);
    assert_no_cluster_was_made(&lab, &workspace);
}

/// Installing PostgreSQL on the prover is not making a cluster; and taking it back drops none.
fn assert_no_cluster_was_made(lab: &Lab, workspace: &Workspace<'_>) {
    assert_eq!(
        lab.read(
            "prover",
            "pg_lsclusters --no-header; ls -d /etc/postgresql-common/createcluster.d 2>/dev/null || true"
        ),
        ""
    );
    let theirs = "sudo pg_createcluster 17 theirs --start >/dev/null && sudo -u postgres psql -XAtqc 'CREATE TABLE kept ()' && echo made";
    assert_eq!(lab.read("prover", theirs), "made");
    workspace.must(&["phase", "rollback", "0", "--yes"]);
    let kept = "sudo sh -c 'cat /var/lib/postgresql/17/theirs/PG_VERSION /etc/postgresql/17/theirs/environment | head -1'; command -v pgbackrest || true";
    assert_eq!(lab.read("prover", kept), "17");
}

fn without_a_slot() {
    let lab = Lab::up("slots", Scene::SingleServer);
    let workspace = before_the_proofs(&lab);
    // The WAL may grow to more than the disk holds: no slot is made that would keep it.
    psql(&lab, "postgres", "ALTER SYSTEM SET max_wal_size = $$2000GB$$");
    psql(&lab, "postgres", "SELECT pg_reload_conf()");
    fails(
        &workspace,
        RESTORE,
        "attempt::failed",
        &[
            "are free where the server keeps its WAL",
            "a slot could fill the disk",
            "production was only read",
        ],
    );
    psql(&lab, "postgres", "ALTER SYSTEM RESET max_wal_size");
    psql(&lab, "postgres", "SELECT pg_reload_conf()");

    for slot in 0..10 {
        psql(
            &lab,
            "cell",
            &format!("SELECT pg_create_logical_replication_slot($$theirs_{slot}$$, $$pgoutput$$)"),
        );
    }
    workspace.must(RESTORE);
    let proofs = workspace.must(&["proof", "list"]).stdout;
    let proofs = proofs.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(proofs.contains("WEAKER: a canary row only"), "{proofs}");
    let shown = workspace.must(&["proof", "show", "cell-postgres/restore"]).stdout;
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        shown.contains("every replication slot is in use") && shown.contains("nothing else was compared"),
        "{shown}"
    );
    workspace.must(DUMP);
    let status = workspace.hactl(&["status"]).stdout;
    assert!(
        status.contains("cell-postgres: WEAKLY PROVEN") && !status.contains("cell-postgres: proven"),
        "{status}"
    );

    psql(&lab, "cell", "SELECT count(pg_drop_replication_slot(slot_name)) FROM pg_replication_slots");
    assert_nothing_is_left(&lab);
    workspace.must(&["phase", "verify", "1"]);
    let status = workspace.hactl(&["status"]).stdout;
    assert!(status.contains("cell-postgres: proven"), "{status}");
}

fn nobody_comes_back() {
    let lab = Lab::up("alone", Scene::SingleServer);
    let workspace = before_the_proofs(&lab);
    let restored = "sudo test -e /var/lib/hactl-scratch/prove/data/PG_VERSION";

    // hactl is killed while it restores, and nobody types anything any more.
    let running = workspace.start(RESTORE);
    eventually("something is restored", Duration::from_secs(60), || lab.on("prover", restored).status == 0);
    running.kill();
    assert_ne!(lab.read("prover", LEFT), "");
    // While a part runs, or ended just now, nothing is removed.
    lab.read("prover", "sudo systemctl start hactl-sweep-prove.service");
    assert_eq!(lab.on("prover", restored).status, 0);
    eventually("the last part has ended", Duration::from_secs(60), || {
        lab.on("prover", "sudo flock --nonblock --exclusive /var/lib/hactl-scratch/prove.alive true").status
            == 0
    });
    // A quarter of an hour later, as far as the timer can tell.
    lab.read("prover", "sudo touch -d '-16 minutes' /var/lib/hactl-scratch/prove.alive");
    eventually("the timer removed all of it", Duration::from_secs(90), || {
        sleep(Duration::from_secs(1));
        lab.read("prover", LEFT).is_empty()
    });

    // And by the start of the machine, where it lost its power meanwhile.
    let running = workspace.start(&["resume", "--yes"]);
    eventually("something is restored", Duration::from_secs(60), || lab.on("prover", restored).status == 0);
    lab.must(&["kill", "prover"]);
    running.kill();
    lab.must(&["start", "prover"]);
    eventually("the machine is up", Duration::from_secs(60), || {
        lab.on("prover", "systemctl is-system-running | grep -qE 'running|degraded'").status == 0
    });
    let data = "sudo find /var/lib/hactl-scratch /etc/tmpfiles.d -mindepth 1 -name '*prove*'";
    assert_eq!(lab.read("prover", data), "", "the data of production are gone");

    // And it can be gone on with.
    workspace.must(&["resume", "--yes"]);
    assert_nothing_is_left(&lab);
}
