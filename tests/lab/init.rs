//! `hactl init` by flags, against the lab's single server.

use std::fs;

use crate::Test;
use crate::common::lab::{Lab, Running, Scene};

pub(crate) const TESTS: &[Test] = &[("init::by_flags_a_workspace_is_made_that_works", by_flags)];

fn by_flags() {
    let lab = Lab::up("init", Scene::SingleServer);
    // The lab's own workspace says what the answers are.
    let own = lab.workspace("cell0");
    let told = fs::read_to_string(own.path().join("hactl.toml")).unwrap();
    let told: toml::Table = toml::from_str(&told).unwrap();
    let host = |name: &str| {
        let hosts = told["host"].as_array().unwrap();
        let host = hosts.iter().find(|host| host["name"].as_str() == Some(name)).unwrap();
        format!("{name}={}", host["address"].as_str().unwrap())
    };
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let to = |name: &str| dir.path().join(name);
    fs::create_dir(to("keys")).unwrap();
    fs::copy(own.path().join("lab-ca.pem"), to("lab-ca.pem")).unwrap();
    let s3 = ["s3-operator.key", "s3-operator.secret", "s3-restore.key", "s3-restore.secret"];
    for name in ["id_ed25519", "hcloud-token"].into_iter().chain(s3) {
        // A copy keeps the mode.
        fs::copy(own.path().join("secrets").join(name), to("keys").join(name)).unwrap();
    }
    let (node, prover) = (host("node-1"), host("prover"));
    let endpoint = told["s3"]["endpoint"].as_str().unwrap();
    let api = told["hcloud"]["endpoint"].as_str().unwrap();
    let mut args = vec![
        "init",
        "--lab",
        lab.name(),
        "--runbook",
        "cell0",
        "--fleet",
        "tried-out",
        "--user",
        "ops",
        "--identity",
        "keys/id_ed25519",
        "--host",
        &node,
        "--host",
        &prover,
        "--role",
        "postgres=node-1",
        "--role",
        "prover=prover",
        "--s3-endpoint",
        endpoint,
        "--s3-region",
        "lab",
        "--s3-bucket",
        "init-backups",
        "--s3-ca",
        "lab-ca.pem",
        "--s3-access-key",
        "file:keys/s3-operator.key",
        "--s3-secret-key",
        "file:keys/s3-operator.secret",
        "--s3-restore-access-key",
        "file:keys/s3-restore.key",
        "--s3-restore-secret-key",
        "file:keys/s3-restore.secret",
        "--hcloud-token",
        "file:keys/hcloud-token",
        "--hcloud-endpoint",
        api,
        "--hcloud-ca",
        "lab-ca.pem",
        "--cipher-pass",
        "make",
        "--age-identity",
        "make",
    ];
    // The keys are shown, for somebody to compare; with them it goes on.
    let ran = Running::start(dir.path(), &args).end();
    assert_eq!(ran.status, 3, "{ran}");
    let shown: Vec<_> = ran.stderr.split_whitespace().filter(|word| word.contains("=SHA256:")).collect();
    assert_eq!(shown.len(), 2, "{ran}");
    assert!(!to("hactl.toml").exists() && !to("secrets").exists(), "{ran}");
    args.extend(shown.iter().flat_map(|key| ["--fingerprint", key]));
    let ran = Running::start(dir.path(), &args).end();
    assert_eq!(ran.status, 0, "{ran}");
    assert!(ran.stdout.contains("sudo works") && ran.stdout.contains("Debian"), "{ran}");
    assert!(ran.stdout.contains("PostgreSQL: 17/main on port 5432"), "{ran}");
    // What Phase 1 needs beside it: the first server is known by its address, the others have their hosts.
    assert!(ran.stdout.contains("the server cell0-node-1 is the host node-1"), "{ran}");
    let text = fs::read_to_string(to("hactl.toml")).unwrap();
    assert!(text.contains("server = \"cell0-node-3\"") && text.contains("operator_key = \"ssh-"), "{text}");
    assert_eq!(text.matches("NOT PROBED").count(), 2, "the bucket is not there yet: {text}");
    // The same keys as the lab's own workspace pins.
    let pinned = |dir: &std::path::Path| {
        let text = fs::read_to_string(dir.join(".hactl/known_hosts")).unwrap();
        // A line may also name the address, and end in a comment.
        let entry = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            let (hosts, kind, key) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            (hosts.split(',').next().unwrap().to_owned(), kind, key)
        };
        let mut lines: Vec<_> = text
            .lines()
            .map(entry)
            .filter(|(host, ..)| ["node-1", "prover"].contains(&host.as_str()))
            .collect();
        assert_eq!(lines.len(), 2, "{text}");
        lines.sort();
        lines
    };
    assert_eq!(pinned(dir.path()), pinned(own.path()));
    for command in [&["check"][..], &["doctor"], &["plan", "--dry-run"]] {
        let ran = Running::start(dir.path(), command).end();
        assert_eq!(ran.status, 0, "{command:?}: {ran}");
        assert!(!ran.stdout.contains("FAIL"), "{ran}");
    }
}
