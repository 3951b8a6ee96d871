//! The whole of Phase 0 on a real PostgreSQL under load, judged from the outside.

use std::time::{Duration, Instant};

use crate::Test;
use crate::cell0;
use crate::common::lab::{Lab, Running, Scene, Workspace};
use crate::common::readme;
use crate::kills::{self, Kills};
use crate::outside::{Bucket, configuration, difference, psql};

pub(crate) const TESTS: &[Test] = &[
    ("phase0::rehearsed_repeated_and_taken_back", rehearsed_repeated_and_taken_back),
    ("phase0::the_restart_happens_once_from_a_snapshot_whenever_killed", the_restart_from_a_snapshot),
    ("phase0::killed_at_every_record_and_then_proofs_that_must_fail", killed_and_proofs_that_must_fail),
];

/// How often PostgreSQL was started, by its own log.
fn starts(lab: &Lab) -> usize {
    let log = "sudo cat /var/log/postgresql/postgresql-17-main.log | grep -c \"starting PostgreSQL\"";
    lab.read("node-1", log).parse().unwrap()
}

/// What Phase 0 promises, seen without hactl.
pub(crate) fn assert_the_data_is_backed_up(workspace: &Workspace<'_>) {
    let lab = workspace.lab;
    assert_eq!(psql(lab, "cell", "SHOW archive_mode"), "on");
    assert_eq!(psql(lab, "cell", "SHOW wal_level"), "logical");
    assert_eq!(psql(lab, "cell", "SELECT count(*) FROM pg_replication_slots"), "0");
    let failed = psql(lab, "cell", "SELECT failed_count FROM pg_stat_archiver");
    assert_eq!(failed, "0", "WAL that could not be archived");

    let bucket = Bucket::of(workspace);
    let keys = bucket.keys("");
    for part in ["/backup/main/backup.info", "/archive/main/", "pg_data/global/pg_control", "backup.manifest"]
    {
        assert!(keys.iter().any(|key| key.contains(part)), "{part} is not in the bucket: {keys:#?}");
    }
    // Nothing lies there in clear: not the dump, not the WAL, not the backup.
    let dump = keys.iter().find(|key| key.ends_with(".age")).expect("a dump encrypted with age");
    assert!(bucket.get(dump).starts_with(b"age-encryption.org/v1"));
    let wal =
        keys.iter().find(|key| key.contains("/archive/main/") && key.len() > 80).expect("a WAL segment");
    assert!(bucket.get(wal).starts_with(b"Salted__"), "{wal} is not encrypted");

    // A segment that is forced now arrives there without hactl.
    let segment = psql(lab, "cell", "SELECT pg_walfile_name(pg_switch_wal())");
    crate::common::lab::eventually("the switched segment is in the bucket", Duration::from_secs(60), || {
        bucket.keys("").iter().any(|key| key.contains(&segment))
    });

    let timers = lab.read("node-1", "systemctl list-timers --all --no-legend --no-pager");
    assert!(timers.contains("hactl-dump.timer") && timers.contains("hactl-base-backup.timer"), "{timers}");
    // The throwaways are gone; what runs there is the cluster that Debian's package makes.
    let others = "pgrep -ax postgres | grep -e ' -D ' | grep -vc /var/lib/postgresql/17/main || true";
    assert_eq!(lab.read("prover", others), "0");
}

/// All that hactl could change: both machines, what PostgreSQL knows of itself, and the objects in the bucket.
pub(crate) fn world(workspace: &Workspace<'_>) -> Vec<String> {
    const POSTGRESQL: &str = "SELECT format($$role %s %s%s%s$$, rolname, rolcanlogin, rolsuper, rolreplication) FROM pg_roles \
        UNION ALL SELECT format($$database %s$$, datname) FROM pg_database \
        UNION ALL SELECT format($$schema %s$$, nspname) FROM pg_namespace WHERE nspname !~ $$^pg_(toast_)?temp$$ \
        UNION ALL SELECT format($$slot %s$$, slot_name) FROM pg_replication_slots \
        UNION ALL SELECT format($$setting %s = %s$$, name, setting) FROM pg_settings WHERE source = $$configuration file$$";
    let lab = workspace.lab;
    let of = |what: &str, lines: Vec<String>| {
        lines.into_iter().map(|l| format!("{what}: {l}")).collect::<Vec<_>>()
    };
    let mut world = of("node-1", configuration(lab, "node-1"));
    world.extend(of("prover", configuration(lab, "prover")));
    world.extend(of("PostgreSQL", psql(lab, "cell", POSTGRESQL).lines().map(str::to_owned).collect()));
    world.extend(of("bucket", Bucket::of(workspace).keys("")));
    world
}

fn rehearsed_repeated_and_taken_back() {
    let lab = Lab::up("phase0", Scene::SingleServer);
    let workspace = lab.workspace("cell0");
    let before = world(&workspace);
    let started = starts(&lab);

    // Planning changes nothing, here or there.
    let plan = workspace.hactl(&["plan", "--dry-run"]);
    assert!(plan.stdout.contains("Restart PostgreSQL once"), "{plan}");
    assert!(workspace.journal().lines().is_empty());
    assert_eq!(difference(&before, &world(&workspace)), Vec::<String>::new());
    // Nor does one that is recorded for approvals, or looking whether all is well.
    workspace.must(&["plan"]);
    workspace.hactl(&["doctor"]);
    assert_eq!(difference(&before, &world(&workspace)), Vec::<String>::new());
    assert_eq!(starts(&lab), started);

    let began = Instant::now();
    let folder = workspace.path().to_str().unwrap();
    let mut shown = readme::IN_THE_LAB.iter();
    let first: Vec<_> = shown.next().unwrap().strip_prefix("cargo run -- ").unwrap().split(' ').collect();
    let args = [&first[..], &["--yes", "--lab", lab.name(), "--workspace", folder]].concat();
    let ran = Running::start(workspace.path(), &args).end();
    assert_eq!(ran.status, 0, "{ran}");
    eprintln!("phase 0 in {:.0} s", began.elapsed().as_secs_f32());
    assert_eq!(starts(&lab) - started, 1, "PostgreSQL was restarted once");
    assert_the_data_is_backed_up(&workspace);
    let proofs = workspace.must(&["proof", "list"]);
    for property in ["restore", "dump"] {
        assert!(proofs.stdout.contains(property), "{proofs}");
    }

    // Again, and a plan: nothing changes. What arrives in the bucket by itself is the WAL of the writer.
    let without_wal = |mut world: Vec<String>| {
        world.retain(|line| !(line.starts_with("bucket: ") && line.contains("/archive/main/")));
        world
    };
    let between = without_wal(world(&workspace));
    let records = workspace.journal().lines().len();
    workspace.must(&["phase", "run", "0", "--yes"]);
    assert_eq!(workspace.journal().lines().len(), records + 1, "only that somebody went on");
    as_the_readme_shows_it(&workspace, shown);
    assert_eq!(difference(&between, &without_wal(world(&workspace))), Vec::<String>::new());
    assert_eq!(starts(&lab) - started, 1);

    // And back: what is left is what hactl remembers of its own commands, and the backups.
    workspace.must(&["phase", "rollback", "0", "--yes"]);
    assert_eq!(left_after_rollback(&before, &world(&workspace)), Vec::<String>::new());
    assert_eq!(starts(&lab) - started, 2, "taking the settings back restarts it once more, as was said");
    assert_eq!(psql(&lab, "cell", "SHOW archive_mode"), "off");
    assert_eq!(psql(&lab, "cell", "SHOW wal_level"), "replica");
    assert!(psql(&lab, "cell", "SELECT count(*) FROM slots").parse::<u64>().unwrap() > 0);
}

/// What a rollback has left of a phase, but for what it is to leave.
pub(crate) fn left_after_rollback(before: &[String], after: &[String]) -> Vec<String> {
    // On the prover PostgreSQL came along, and Debian's packages keep their users when they go; `locales` takes a link.
    const KEPT: &[&str] = &[
        "/etc/passwd",
        "/etc/shadow",
        "/etc/group",
        "/etc/gshadow",
        ": postgres:x:",
        ": ssl-cert:x:",
        "/etc/default/locale",
    ];
    let mut left = difference(before, after);
    left.retain(|line| !line.contains(" /var/lib/hactl") && !line.starts_with("+ bucket: "));
    left.retain(|line| !(line[2..].starts_with("prover: ") && KEPT.iter().any(|kept| line.contains(kept))));
    left
}

/// The README's other commands, in its order, on keys that were never pinned.
fn as_the_readme_shows_it<'a>(workspace: &Workspace<'_>, commands: impl Iterator<Item = &'a &'a str>) {
    std::fs::remove_file(workspace.path().join(".hactl/known_hosts")).unwrap();
    let trust = |host: &str| {
        let read = "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub | cut -d\" \" -f2";
        let fingerprint = workspace.lab.read(host, read);
        workspace.must(&["host", "trust", host, "--fingerprint", &fingerprint]);
    };
    trust("prover");
    for command in commands {
        let args: Vec<_> = command.split(' ').skip(1).collect();
        match args[..] {
            ["host", "trust", host] => trust(host),
            ["phase", "run", ..] | ["resume"] => drop(workspace.must(&[&args[..], &["--yes"]].concat())),
            _ => drop(workspace.must(&args)),
        }
    }
}

/// The one step that interrupts, from a snapshot: killed at once, in its midst, and late. The snapshot is of before the
/// settings, for taking it starts the machines anew, which would be the restart that the settings wait for.
fn the_restart_from_a_snapshot() {
    let lab = Lab::up("restart", Scene::SingleServer);
    let apart = cell0::phase_0_apart(&[("1", "archive-settings"), ("2", "wal-archive")]);
    let workspace = lab.workspace_of("apart.toml", &apart);
    workspace.must(&["phase", "run", "0", "--yes"]);
    lab.must(&["snapshot", "before"]);
    let state = workspace.path().join(".hactl");
    let kept = workspace.path().join("kept");
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let _ = std::fs::remove_dir_all(to);
        assert!(std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    };
    copy(&state, &kept);
    for delay in [0, 150, 1000] {
        lab.must(&["restore", "before"]);
        copy(&kept, &state);
        let started = starts(&lab);
        let running = workspace.start(&["phase", "run", "1", "--yes"]);
        crate::common::lab::eventually("the intent to restart", Duration::from_secs(30), || {
            workspace.journal().records().iter().any(|record| record.starts_with("intended restart"))
        });
        std::thread::sleep(Duration::from_millis(delay));
        running.kill();
        workspace.must(&["resume", "--yes"]);
        assert!(workspace.journal().records().contains(&"phase_done 1".to_owned()));
        assert_eq!(starts(&lab) - started, 1, "killed {delay} ms after the intent");
        assert_eq!(psql(&lab, "cell", "SHOW archive_mode"), "on");
    }
}

/// Where hactl is killed on its way through the phase.
fn at(record: &str) -> &'static [Duration] {
    const AT_ONCE: &[Duration] = &[Duration::ZERO];
    const ALSO_SOON: &[Duration] = &[Duration::ZERO, Duration::from_millis(400)];
    const ALSO_LATER: &[Duration] = &[Duration::ZERO, Duration::from_millis(400), Duration::from_secs(4)];
    const IN_THE_MIDDLE: &[Duration] = &[Duration::from_secs(4)];
    let long = ["restart", "base-backup", "dump-now"].iter().any(|step| record.contains(step));
    let proof = record.starts_with("trial prove-");
    match record.split(' ').next() {
        Some("intended") if long => ALSO_LATER,
        Some("intended") => ALSO_SOON,
        Some("trial") if proof => IN_THE_MIDDLE,
        // Observing again and asking again change nothing; once for all steps is enough.
        Some("observed" | "approved" | "awaiting_approval" | "resumed") => &[],
        _ => AT_ONCE,
    }
}

fn killed_and_proofs_that_must_fail() {
    let lab = Lab::up("plugs", Scene::SingleServer);
    // The proofs as a phase of their own, so that they can be taken again without the rest.
    let apart = cell0::phase_0_apart(&[("1", "prove-restore")]);
    let workspace = lab.workspace_of("apart.toml", &apart);
    let started = starts(&lab);

    let kills = Kills { at, may_stop: |_| false };
    for phase in ["0", "1"] {
        let tally = kills::through(&workspace, phase, &kills);
        eprintln!("phase {phase}: {} kills in {:.0} s", tally.kills, tally.took.as_secs_f32());
    }
    assert_eq!(starts(&lab) - started, 1, "PostgreSQL was restarted once, whatever was killed");
    workspace.must(&["journal", "verify"]);
    assert_the_data_is_backed_up(&workspace);
    workspace.must(&["phase", "verify", "1"]);

    // Each of these must make the proof fail, and say why.
    let bucket = Bucket::of(&workspace);
    let keys = bucket.keys("");
    let fails = |what: &str, words: &[&str]| {
        let ran = workspace.hactl(&["phase", "verify", "1"]);
        assert_ne!(ran.status, 0, "{what} was not noticed: {ran}");
        let said = ran.stderr.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.iter().any(|word| said.contains(word)), "{what} is not named as the cause: {ran}");
        eprintln!("{what}: {}", ran.stderr.trim());
    };

    let object = keys
        .iter()
        .rfind(|key| key.contains("/backup/main/") && key.contains("/bundle/"))
        .or_else(|| keys.iter().rfind(|key| key.contains("/backup/main/") && key.contains("pg_data/base/")));
    let object = object.expect("a file of the backup");
    let good = bucket.get(object);
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 0x55;
    bucket.put(object, &bad);
    fails("a corrupted object", &["checksum", "corrupt", "damaged", "does not match"]);
    bucket.put(object, &good);

    with_secret(&workspace, "pgbackrest-cipher", "not the pass phrase", || {
        fails("the wrong cipher pass", &["cipher", "pass phrase", "passphrase"]);
    });
    let other = std::process::Command::new("age-keygen").output().unwrap().stdout;
    let other = String::from_utf8(other).unwrap();
    with_secret(&workspace, "age-identity", &other, || {
        fails("the wrong age identity", &["identity"]);
    });

    // The segment in which the backup ends is needed by every restore of it.
    let first = keys.iter().find(|key| key.contains("/archive/main/") && key.contains(".backup"));
    let first =
        first.expect("the backup's own label among the WAL").rsplit('/').next().unwrap()[..24].to_owned();
    let needed: Vec<_> =
        keys.iter().filter(|key| key.contains(&format!("/{first}-"))).map(String::as_str).collect();
    assert_eq!(needed.len(), 1, "{first} among {keys:#?}");
    let good = bucket.get(needed[0]);
    bucket.delete(needed[0]);
    fails("a missing WAL segment", &["wal", "segment"]);
    bucket.put(needed[0], &good);

    // All put right again, the same proof passes.
    workspace.must(&["phase", "verify", "1"]);
}

/// Does something while a secret of the workspace is another one.
fn with_secret(workspace: &Workspace<'_>, name: &str, wrong: &str, does: impl FnOnce()) {
    let path = workspace.path().join("secrets").join(name);
    let right = std::fs::read(&path).unwrap();
    std::fs::write(&path, wrong).unwrap();
    does();
    std::fs::write(&path, right).unwrap();
}
