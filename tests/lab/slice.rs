//! The engine over real SSH on real machines: a small runbook of commands whose effects can be counted.

use std::time::{Duration, Instant};

use crate::Test;
use crate::common::lab::{Lab, Scene, Workspace, eventually};
use crate::kills::{self, Kills};

pub(crate) const TESTS: &[Test] = &[
    ("slice::gates_locks_and_changed_files_stop_it", gates_locks_and_changed_files),
    ("slice::killed_at_every_record_each_line_is_there_once", killed_at_every_record),
    ("slice::a_lost_machine_leaves_a_doubt_that_resume_settles", lost_machine),
];

const NODES: [&str; 2] = ["node-1", "node-2"];

fn ledger(lab: &Lab, node: &str) -> String {
    lab.read(node, "sudo cat /srv/slice/ledger")
}

/// What a plan or a question may not change on a machine, as a digest.
fn fingerprint(lab: &Lab, node: &str) -> String {
    lab.read(
        node,
        "sudo sh -c 'find /etc /srv /var/lib/hactl /usr/local /home -xdev -printf \"%p %m %u %s %T@\\n\" 2>/dev/null \
         | sort; dpkg -l' | sha256sum",
    )
}

fn gates_locks_and_changed_files() {
    let lab = Lab::up("gates", Scene::Nodes(2));
    let workspace = lab.workspace("slice.toml");

    // Planning leaves nothing, here or there.
    let before: Vec<_> = NODES.iter().map(|node| fingerprint(&lab, node)).collect();
    let plan = workspace.must(&["plan", "--dry-run"]);
    assert!(plan.stdout.contains("appends a line"), "{plan}");
    assert!(workspace.journal().lines().is_empty());
    let left: Vec<_> = std::fs::read_dir(workspace.path().join(".hactl"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left, ["known_hosts"]);
    let after: Vec<_> = NODES.iter().map(|node| fingerprint(&lab, node)).collect();
    assert_eq!(before, after);

    // A second hactl is told who works here.
    let running = workspace.start(&["phase", "run", "0"]);
    eventually("the slow append begins", Duration::from_secs(20), || {
        workspace.journal().records().iter().any(|r| r.starts_with("intended second"))
    });
    let refused = workspace.hactl(&["phase", "run", "0"]);
    assert_eq!(refused.status, 4, "{refused}");
    assert!(refused.stderr.contains("phase run 0"), "the lock names what its holder does: {refused}");
    let ran = running.end();
    assert_eq!(ran.status, 0, "{ran}");
    for node in NODES {
        assert_eq!(ledger(&lab, node), "first\nsecond");
    }

    // Again: nothing happens.
    let before: Vec<_> = NODES.iter().map(|node| fingerprint(&lab, node)).collect();
    workspace.must(&["phase", "run", "0"]);
    assert_eq!(before, NODES.map(|node| fingerprint(&lab, node)));

    // Nobody is there to ask.
    let refused = workspace.hactl(&["phase", "run", "1"]);
    assert_eq!(refused.status, 3, "{refused}");
    assert!(refused.stderr.contains("hactl approve gated"), "{refused}");
    for node in NODES {
        assert_eq!(ledger(&lab, node), "first\nsecond");
    }

    // The files say something else than when the run began.
    workspace.edit("slice.toml", |text| text.replace("echo third", "echo other"));
    let refused = workspace.hactl(&["resume", "--yes"]);
    assert_eq!(refused.status, 5, "{refused}");
    assert!(refused.stderr.contains("--rebase"), "{refused}");
    workspace.edit("slice.toml", |text| text.replace("echo other", "echo third"));
    workspace.edit("hactl.toml", |text| format!("# a comment\n{text}"));
    let refused = workspace.hactl(&["resume", "--yes"]);
    assert_eq!(refused.status, 5, "{refused}");
    workspace.must(&["resume", "--yes", "--rebase"]);
    for node in NODES {
        assert_eq!(ledger(&lab, node), "first\nsecond\nthird");
    }

    // Another workspace does not know what this one did, and is refused by the machines.
    let other = lab.workspace("slice.toml");
    other.edit("slice.toml", |text| text.replace("/srv/slice", "/srv/other"));
    let refused = other.hactl(&["phase", "run", "0"]);
    assert_eq!(refused.status, 5, "{refused}");
    for node in NODES {
        assert_eq!(lab.read(node, "ls /srv"), "apt\nslice");
    }

    // Neither does an older copy of its journal, however much it has gone on since; before anything is begun.
    let older = lab.workspace("slice.toml");
    older.hold_copy_of(&workspace);
    workspace.must(&["phase", "rollback", "1", "--yes"]);
    workspace.must(&["phase", "run", "1", "--yes"]);
    let lines = older.journal().lines().len();
    let refused = older.hactl(&["phase", "verify", "0"]);
    assert_eq!(refused.status, 5, "{refused}");
    assert!(refused.stderr.contains("attempt::old_journal"), "{refused}");
    assert_eq!(older.journal().lines().len(), lines, "nothing was recorded");
    // Where the newer one is lost, the older one takes over, and the newer one is the stranger from then on.
    older.must(&["resume", "--take-over", "--yes"]);
    older.must(&["phase", "verify", "0"]);
    let refused = workspace.hactl(&["phase", "verify", "0"]);
    assert_eq!(refused.status, 5, "{refused}");
    assert!(refused.stderr.contains("attempt::old_epoch"), "{refused}");
    let workspace = older;

    // The run is over, and its attempts are gone from the machines.
    for node in NODES {
        assert_eq!(lab.read(node, "sudo ls /var/lib/hactl"), "lock\nowner");
    }

    // And back.
    workspace.must(&["phase", "rollback", "1", "--yes"]);
    workspace.must(&["phase", "rollback", "0", "--yes"]);
    for node in NODES {
        assert_eq!(lab.read(node, "ls /srv"), "apt");
    }
    workspace.must(&["journal", "verify"]);
}

fn at(record: &str) -> &'static [Duration] {
    const AT_ONCE: &[Duration] = &[Duration::ZERO];
    const DURING: &[Duration] = &[
        Duration::ZERO,
        Duration::from_millis(15),
        Duration::from_millis(60),
        Duration::from_millis(500),
        Duration::from_millis(1500),
    ];
    if record.starts_with("intended") { DURING } else { AT_ONCE }
}

fn killed_at_every_record() {
    let lab = Lab::up("kills", Scene::Nodes(2));
    let workspace = lab.workspace("slice.toml");
    let kills = Kills { at, may_stop: |_| false };
    let mut tally = kills::through(&workspace, "0", &kills);
    for node in NODES {
        assert_eq!(ledger(&lab, node), "first\nsecond");
    }
    let gated = kills::through(&workspace, "1", &kills);
    for node in NODES {
        assert_eq!(ledger(&lab, node), "first\nsecond\nthird");
    }
    tally.kills += gated.kills;
    tally.took += gated.took;
    workspace.must(&["journal", "verify"]);
    assert_each_intent_has_an_end(&workspace);
    assert!(tally.kills > 30, "{tally:?}");
    // The run over, nothing of it is left running.
    for node in NODES {
        assert_eq!(lab.read(node, "pgrep -fc '[h]actl|[s]leep 1' || true"), "0");
    }
    eprintln!("{} kills in {:.0} s", tally.kills, tally.took.as_secs_f32());
}

/// Every intent is followed by its outcome or by a decision, before the next intent of the same place.
fn assert_each_intent_has_an_end(workspace: &Workspace<'_>) {
    let mut open: Vec<String> = Vec::new();
    for record in workspace.journal().records() {
        let Some((kind, place)) = record.split_once(' ') else { continue };
        match kind {
            "intended" => {
                assert!(!open.iter().any(|o| o == place), "{place} was begun twice");
                open.push(place.to_owned());
            }
            "applied" | "not_started" | "decided" => open.retain(|o| o != place),
            _ => {}
        }
    }
    assert_eq!(open, Vec::<String>::new());
}

fn lost_machine() {
    let lab = Lab::up("lost", Scene::Nodes(2));
    let workspace = lab.workspace("slice.toml");
    let running = workspace.start(&["phase", "run", "0"]);
    eventually("the slow append begins", Duration::from_secs(20), || {
        workspace.journal().records().iter().any(|r| r == "intended second node-2")
    });
    lab.must(&["kill", "node-2"]);
    let began = Instant::now();
    let ran = running.end();
    assert!(began.elapsed() < Duration::from_secs(90), "it took {:?} to see that", began.elapsed());
    assert_eq!(ran.status, 6, "{ran}");
    assert!(ran.stderr.contains("node-2") && ran.stderr.contains("hactl resume"), "{ran}");
    // The other machine was carried to its end.
    assert_eq!(ledger(&lab, "node-1"), "first\nsecond");

    // It is still away: that is said within a bound, and nothing is tried.
    let began = Instant::now();
    let ran = workspace.hactl(&["resume"]);
    assert!(began.elapsed() < Duration::from_secs(60), "it took {:?}", began.elapsed());
    assert!(ran.status == 1 || ran.status == 6, "{ran}");
    assert!(ran.stderr.contains("node-2"), "{ran}");

    lab.must(&["start", "node-2"]);
    let ran = workspace.hactl(&["resume"]);
    let lines = ledger(&lab, "node-2");
    match ran.status {
        0 => assert_eq!(lines, "first\nsecond", "{ran}"),
        6 => assert!(lines == "first" || lines == "first\nsecond", "{lines}\n{ran}"),
        _ => panic!("{ran}"),
    }
    assert_eq!(ledger(&lab, "node-1"), "first\nsecond");
}
