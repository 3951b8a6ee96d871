//! Proofs that must fail, each for a reason of its own that the message has to name: whoever reads it at night acts on it.

use std::fs;
use std::process::Command;

use crate::Test;
use crate::cell0;
use crate::common::lab::{Lab, Scene, Workspace};
use crate::outside::{Bucket, psql};

pub(crate) const TESTS: &[Test] = &[
    ("proof_fails::on_a_corrupted_object_and_names_it", corrupted_object),
    ("proof_fails::on_a_missing_or_damaged_wal_segment_and_names_it", missing_segment),
    ("proof_fails::with_the_wrong_age_identity_and_says_so", wrong_identity),
    ("proof_fails::with_the_wrong_pass_phrase_and_says_so", wrong_pass),
    ("proof_fails::where_the_copy_differs_or_has_no_room", differs_or_no_room),
];

/// A workspace whose Phase 1 is the two proofs, so that they can be taken alone; all before them is done.
pub(crate) fn before_the_proofs(lab: &Lab) -> Workspace<'_> {
    let workspace = apart(lab);
    workspace.must(&["phase", "run", "0", "--yes"]);
    workspace
}

/// The bundled runbook with the two proofs as a phase of their own.
pub(crate) fn apart(lab: &Lab) -> Workspace<'_> {
    let apart = cell0::phase_0_apart(&[("1", "prove-restore"), ("2", "prove-dump")]);
    lab.workspace_of("apart.toml", &apart)
}

/// Runs or verifies a phase, which has to fail with this code and say each of these; and must not blame anything else.
pub(crate) fn fails(workspace: &Workspace<'_>, args: &[&str], code: &str, says: &[&str]) -> String {
    let ran = workspace.hactl(args);
    assert_eq!(ran.status, 1, "wanted {code}: {ran}");
    let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    eprintln!("{args:?}: {}", ran.stderr.trim());
    assert!(said.contains(code), "wanted {code}: {ran}");
    for word in says {
        assert!(said.contains(word), "wanted {word:?}: {ran}");
    }
    for other in
        ["prove::damaged", "prove::wal_missing", "prove::identity", "prove::cipher_pass", "prove::failed"]
    {
        assert!(other == code || !said.contains(other), "it is {code}, and {other} is said too: {ran}");
    }
    assert_nothing_is_left(workspace.lab);
    said
}

/// Neither the restored copy, nor what was made for it, nor what would have cleaned it up.
pub(crate) fn assert_nothing_is_left(lab: &Lab) {
    let left = lab.read("prover", LEFT);
    assert_eq!(left, "", "left on the prover");
    assert_eq!(psql(lab, "cell", "SELECT count(*) FROM pg_replication_slots"), "0");
    assert_eq!(
        psql(lab, "postgres", "SELECT count(*) FROM pg_namespace WHERE nspname = $$hactl_canary$$"),
        "0"
    );
}

/// Lists what a proof makes on the prover, and is still there.
pub(crate) const LEFT: &str = "sudo find /var/lib/hactl-scratch /etc/tmpfiles.d -mindepth 1 -name '*prove*'; \
    getent passwd hactl-prove; systemctl list-units --all --plain --no-legend 'hactl-*' 'hactlprove*' | grep -e prove; \
    sudo nft list tables | grep hactl; pgrep -ax postgres | grep hactl-scratch; true";

const RESTORE: &[&str] = &["phase", "run", "1", "--yes"];
const DUMP: &[&str] = &["phase", "run", "2", "--yes"];

/// Turns a byte over.
fn flip(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bad = bytes.to_vec();
    bad[at] ^= 0x55;
    bad
}

fn corrupted_object() {
    let lab = Lab::up("object", Scene::SingleServer);
    let workspace = before_the_proofs(&lab);
    let bucket = Bucket::of(&workspace);
    let keys = bucket.keys("");
    let one = |part: &str| {
        let found = keys.iter().rfind(|key| key.contains(part));
        found.unwrap_or_else(|| panic!("{part} is not in the bucket: {keys:#?}")).clone()
    };

    let object = one("/pg_data/base/");
    let good = bucket.get(&object);
    bucket.put(&object, &flip(&good, good.len() / 2));
    fails(&workspace, RESTORE, "prove::damaged", &["is damaged: it is not what was written"]);
    bucket.put(&object, &good);

    bucket.delete(&object);
    fails(&workspace, RESTORE, "prove::damaged", &["is missing in the bucket"]);
    bucket.put(&object, &good);

    let manifest = one("F/backup.manifest").trim_end_matches(".copy").to_owned();
    let good = bucket.get(&manifest);
    bucket.put(&manifest, &flip(&good, good.len() / 2));
    let copy = bucket.get(&format!("{manifest}.copy"));
    bucket.put(&format!("{manifest}.copy"), &flip(&copy, copy.len() / 2));
    fails(&workspace, RESTORE, "prove::damaged", &["backup.manifest"]);
    bucket.put(&manifest, &good);
    bucket.put(&format!("{manifest}.copy"), &copy);

    // What would also be said where the pass phrase is wrong: the index cannot be read.
    let index = one("/backup/main/backup.info");
    let (index, copied) =
        (index.trim_end_matches(".copy").to_owned(), format!("{}.copy", index.trim_end_matches(".copy")));
    let good = bucket.get(&index);
    for key in [&index, &copied] {
        bucket.put(key, &flip(&good, good.len() / 2));
    }
    fails(&workspace, RESTORE, "prove::damaged", &["index is damaged", "pass phrase is right"]);
    for key in [&index, &copied] {
        bucket.put(key, &good);
    }
    workspace.must(&["resume", "--yes"]);

    // Within a dump, and in its header: of that age says no more than that no identity matched.
    let dump = one(".dump.age");
    let good = bucket.get(&dump);
    let stanza = good.windows(10).position(|w| w == b"-> X25519 ").expect("an age header");
    let body = stanza + good[stanza..].iter().position(|b| *b == b'\n').unwrap() + 3;
    for at in [good.len() / 2, body] {
        let mut bad = good.clone();
        bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
        bucket.put(&dump, &bad);
        fails(&workspace, DUMP, "prove::damaged", &[&dump, "is damaged: it is not what was written"]);
    }
    bucket.put(&dump, &good);
    bucket.delete(&dump);
    fails(&workspace, DUMP, "prove::damaged", &[&dump, "is missing in the bucket"]);
    bucket.put(&dump, &good);
    workspace.must(&["resume", "--yes"]);
}

fn missing_segment() {
    let lab = Lab::up("segment", Scene::SingleServer);
    let workspace = before_the_proofs(&lab);
    let bucket = Bucket::of(&workspace);
    // One that lies between the backup and the point, with more behind it.
    let segment = psql(&lab, "cell", "SELECT pg_walfile_name(pg_switch_wal())");
    let mut there = Vec::new();
    crate::common::lab::eventually(
        "the segment is in the bucket",
        std::time::Duration::from_secs(60),
        || {
            there = bucket.keys("").into_iter().filter(|key| key.contains(&format!("/{segment}-"))).collect();
            !there.is_empty()
        },
    );
    let [object] = there.as_slice() else { panic!("{there:?}") };
    let good = bucket.get(object);

    bucket.delete(object);
    let missing = format!("the WAL segment {segment} is missing");
    fails(&workspace, RESTORE, "prove::wal_missing", &[&missing]);

    // In the midst, in the first block, which says how it is encrypted, and cut short.
    for bad in [flip(&good, good.len() / 2), flip(&good, 3), good[..good.len() / 2].to_vec()] {
        bucket.put(object, &bad);
        let damaged = format!("the WAL segment {segment} of the archive is damaged");
        fails(&workspace, RESTORE, "prove::damaged", &[&damaged]);
    }
    bucket.put(object, &good);
    workspace.must(&["resume", "--yes"]);
}

fn wrong_identity() {
    let lab = Lab::up("identity", Scene::SingleServer);
    let workspace = before_the_proofs(&lab);
    workspace.must(RESTORE);
    let other = Command::new("age-keygen").output().expect("age-keygen").stdout;
    with_secret(&workspace, "age-identity", &other, || {
        fails(
            &workspace,
            DUMP,
            "prove::identity",
            &["the age identity of the workspace does not open", "not one of its recipients"],
        );
    });
    workspace.must(&["resume", "--yes"]);
}

fn wrong_pass() {
    let lab = Lab::up("pass", Scene::SingleServer);
    let workspace = before_the_proofs(&lab);
    // What is decrypted with a wrong key is noise, and what pgBackRest says of it differs from one to the next.
    for wrong in ["not the pass phrase", "another one", "a third one"] {
        with_secret(&workspace, "pgbackrest-cipher", wrong.as_bytes(), || {
            fails(
                &workspace,
                RESTORE,
                "prove::cipher_pass",
                &["[pgbackrest] cipher_pass does not open the repository"],
            );
        });
    }
    workspace.must(&["resume", "--yes"]);
}

fn differs_or_no_room() {
    let lab = Lab::up("differs", Scene::SingleServer);
    let workspace = before_the_proofs(&lab);

    let scratch = "/var/lib/hactl-scratch";
    lab.read("prover", &format!("sudo mkdir -p {scratch} && sudo mount -t tmpfs -o size=64m none {scratch}"));
    fails(&workspace, RESTORE, "prove::space", &["on prover", "a restore needs", "make room under"]);
    lab.read("prover", &format!("sudo umount {scratch}"));

    // A block of a table goes bad on the server's disk, where no checksum tells of it: no backup and no WAL does.
    psql(&lab, "cell", "CREATE TABLE rot AS SELECT repeat($$A$$, 100) AS t FROM generate_series(1, 10)");
    psql(&lab, "cell", "CHECKPOINT");
    let file = psql(&lab, "cell", "SELECT pg_relation_filepath($$rot$$)");
    let main = "/var/lib/postgresql/17/main";
    let at_rest = |run: &str| {
        let (stop, start) =
            ("sudo systemctl stop postgresql@17-main", "sudo systemctl start postgresql@17-main");
        lab.read("node-1", &format!("{stop} && sudo -u postgres {run} && {start}"));
    };
    let flip = |from: &str, to: &str| at_rest(&format!("env LC_ALL=C sed -i s/{from}/{to}/g {main}/{file}"));
    at_rest(&format!("/usr/lib/postgresql/17/bin/pg_checksums --disable -D {main}"));
    flip("AAAAA", "BBBBB");
    assert_eq!(psql(&lab, "cell", "SELECT DISTINCT left(t, 1) FROM rot"), "B");
    let says = ["the restored copy is not what was there", "cell: ", "rot", "keep every backup"];
    fails(&workspace, RESTORE, "prove::differs", &says);
    flip("BBBBB", "AAAAA");
    workspace.must(&["resume", "--yes"]);

    let bucket = Bucket::of(&workspace);
    let manifest = bucket.keys("").into_iter().filter(|key| key.ends_with("/manifest.json")).max().unwrap();
    let good = bucket.get(&manifest);
    bucket.put(&manifest, b"{}");
    fails(&workspace, DUMP, "dump::odd", &["the manifest of the dump", "hactl-dump.service"]);
    bucket.put(&manifest, &good);
    workspace.must(&["resume", "--yes"]);
}

/// Does something while a secret of the workspace is another one.
fn with_secret(workspace: &Workspace<'_>, name: &str, wrong: &[u8], does: impl FnOnce()) {
    let path = workspace.path().join("secrets").join(name);
    let right = fs::read(&path).unwrap();
    fs::write(&path, wrong).unwrap();
    does();
    fs::write(&path, right).unwrap();
}
