//! Without a terminal: every answer is a flag.

use hactl::transport::s3::{Deadlines, S3Client};
use serde_json::Value;

use crate::{
    Case, Scene, assert_good, assert_untouched, endpoint, fingerprint, names, place, run, secret, weed,
};

pub(crate) const CASES: &[Case] = &[
    ("by_flags::everything_is_tried_out_and_what_is_written_passes_check", everything),
    ("by_flags::missing_answers_are_named_all_at_once", missing),
    ("by_flags::a_key_is_pinned_only_by_its_fingerprint", key),
    ("by_flags::what_fails_writes_nothing_unless_it_is_kept", fails),
    ("by_flags::nothing_is_tried_out_offline_and_the_file_says_so", offline),
];

/// All flags, for a bucket of this name.
pub(crate) fn flags(scene: &Scene, bucket: &str) -> Vec<String> {
    let host = format!("node-1=127.0.0.1:{}", scene.sshd.port);
    let key = format!("node-1={}", fingerprint(scene));
    let endpoint = endpoint(scene);
    let mirror = format!("s3://{bucket}-state/pair");
    let pairs: [(&str, &str); 17] = [
        ("--runbook", "mine.toml"),
        ("--fleet", "pair"),
        ("--user", "root"),
        ("--identity", "id"),
        ("--host", &host),
        ("--role", "web=node-1"),
        ("--fingerprint", &key),
        ("--input", "tool=jq"),
        ("--s3-endpoint", &endpoint),
        ("--s3-region", "us-east-1"),
        ("--s3-bucket", bucket),
        ("--s3-ca", "ca.pem"),
        ("--s3-access-key", "file:writer.key"),
        ("--s3-secret-key", "command:cat writer.secret"),
        ("--s3-restore-access-key", "file:restorer.key"),
        ("--s3-restore-secret-key", "file:restorer.secret"),
        ("--mirror", &mirror),
    ];
    let mut all: Vec<String> =
        pairs.iter().flat_map(|(flag, value)| [(*flag).to_owned(), (*value).to_owned()]).collect();
    all.extend(["--age-identity".to_owned(), "make".to_owned()]);
    all
}

/// The flags with another value for one of them; without it where there is none.
fn with(flags: &[String], flag: &str, value: Option<&str>) -> Vec<String> {
    let at = flags.iter().position(|word| word == flag).unwrap();
    let mut flags = flags.to_vec();
    match value {
        Some(value) => flags[at + 1] = value.to_owned(),
        None => drop(flags.drain(at..=at + 1)),
    }
    flags
}

/// A text without the line breaks of its layout.
fn flowing(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn everything(scene: &Scene) {
    let place = place(scene);
    let flags = flags(scene, "init-not-there-yet");
    let ran = run(&place, &flags);
    assert_eq!(ran.status, 0, "{ran}");
    let text = assert_good(&place, scene);
    assert!(ran.stdout.contains("ok    node-1: answers as root; "), "{ran}");
    assert!(flowing(&ran.stdout).contains("the bucket does not exist yet; the runbook makes it"), "{ran}");
    assert!(
        ran.stdout.ends_with("next: hactl check\nnext: hactl doctor\nnext: hactl plan --dry-run\n"),
        "{ran}"
    );
    assert!(text.contains("secret_key = { command = [\"cat\", \"writer.secret\"] }"), "{text}");
    // The mirror's bucket is made, for nothing else makes it.
    assert!(text.contains("mirror = \"s3://init-not-there-yet-state/pair\""), "{text}");
    assert!(ran.stdout.contains("ok    the mirror: its bucket was made"), "{ran}");
    let settings = scene.weed.settings("init-not-there-yet-state");
    let client = S3Client::new(settings, &weed::credential("writer"), Deadlines::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let there = runtime.block_on(client.list("pair/", 10)).unwrap();
    assert_eq!(there.objects.len(), 1, "the object that conditional writes are tried on");
    // A second one replaces nothing.
    let again = run(&place, &flags);
    assert!(again.status == 2 && again.stderr.contains("error[init::exists]"), "{again}");
    assert_eq!(std::fs::read_to_string(place.path().join("hactl.toml")).unwrap(), text);

    // Where the bucket is there it is tried out, and nothing is left in it. What is said is an event, too.
    let settings = scene.weed.settings("init-there");
    let client = S3Client::new(settings, &weed::credential("writer"), Deadlines::default()).unwrap();
    runtime.block_on(client.create_bucket()).unwrap();
    let place = crate::place(scene);
    let flags = [vec!["--output".to_owned(), "json".to_owned()], self::flags(scene, "init-there")].concat();
    let ran = run(&place, &flags);
    assert_eq!(ran.status, 0, "{ran}");
    let schema: Value = serde_json::from_str(&place.hactl(&["schema"]).stdout).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for line in ran.stdout.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        validator.validate(&line).unwrap_or_else(|e| panic!("{line}\n{e}"));
    }
    assert!(ran.stdout.contains("conditional writes are honoured"), "{ran}");
    assert!(runtime.block_on(client.list("", 10)).unwrap().objects.is_empty());
    assert!(!assert_good(&place, scene).contains("NOT PROBED"));
}

fn missing(scene: &Scene) {
    let place = place(scene);
    let ran = run(&place, &[]);
    assert!(ran.status == 2 && ran.stderr.contains("error[init::incomplete]"), "{ran}");
    let mine = ["--runbook".to_owned(), "mine.toml".to_owned()];
    let ran = run(&place, &mine);
    assert!(ran.status == 2 && ran.stderr.contains("error[init::incomplete]"), "{ran}");
    for flag in [
        "--fleet",
        "--user",
        "--host",
        "--role web=HOST",
        "--input tool=VALUE",
        "--s3-endpoint",
        "--s3-region",
        "--s3-bucket",
        "--s3-access-key",
        "--s3-secret-key",
        "--s3-restore-access-key",
        "--s3-restore-secret-key",
        "--age-identity",
    ] {
        assert!(ran.stderr.contains(&format!("or add: {flag}")), "{flag}: {ran}");
    }
    assert_untouched(&place);
}

fn key(scene: &Scene) {
    let place = place(scene);
    let flags = flags(scene, "init-not-there-yet");
    let ran = run(&place, &with(&flags, "--fingerprint", None));
    assert_eq!(ran.status, 3, "{ran}");
    assert!(ran.stderr.contains(&format!("--fingerprint node-1={}", fingerprint(scene))), "{ran}");
    assert_untouched(&place);
    let ran = run(&place, &with(&flags, "--fingerprint", Some("node-1=SHA256:other")));
    assert!(ran.status == 1 && ran.stderr.contains("error[init::probe]"), "{ran}");
    assert!(flowing(&ran.stderr).contains("you expect SHA256:other"), "{ran}");
    assert_untouched(&place);
}

fn fails(scene: &Scene) {
    let place = place(scene);
    let flags = flags(scene, "init-not-there-yet");
    secret(&place, "wrong", "not the secret");
    let wrong = with(&flags, "--s3-secret-key", Some("file:wrong"));
    let ran = run(&place, &wrong);
    assert!(ran.status == 1 && ran.stderr.contains("error[init::probe]"), "{ran}");
    assert!(!names(place.path()).iter().any(|name| name == "secrets" || name == "hactl.toml"), "{ran}");
    let ran = run(&place, &with(&flags, "--age-identity", Some("env:NOT_SET")));
    assert!(ran.status == 2 && ran.stderr.contains("--age-recipient"), "{ran}");
    for (flag, value) in
        [("--host", "node-1=not an address"), ("--age-identity", "AGE-SECRET-KEY-1"), ("--host", "node-1")]
    {
        let ran = run(&place, &with(&flags, flag, Some(value)));
        assert_eq!(ran.status, 2, "{ran}");
        assert!(ran.stderr.contains(flag) && !ran.stderr.contains("AGE-SECRET"), "{ran}");
    }
    for (flag, value) in [
        ("--fleet", "Not A Name"),
        ("--role", "db=node-1"),
        ("--input", "tol=jq"),
        ("--s3-endpoint", "http://x"),
    ] {
        let ran = run(&place, &with(&flags, flag, Some(value)));
        assert!(ran.status == 2 && ran.stderr.contains(&format!("error[init::answer]: {flag}")), "{ran}");
    }
    let ran = run(&place, &[wrong, vec!["--keep".to_owned()]].concat());
    assert_eq!(ran.status, 0, "{ran}");
    let text = assert_good(&place, scene);
    assert!(text.contains("# NOT PROBED: the object storage: "), "{text}");
}

fn offline(scene: &Scene) {
    let place = place(scene);
    let flags = with(&flags(scene, "b"), "--fingerprint", None);
    let ran = run(&place, &[flags, vec!["--offline".to_owned()]].concat());
    assert_eq!(ran.status, 0, "{ran}");
    assert!(ran.stdout.contains("next: hactl host trust node-1\n"), "{ran}");
    assert!(ran.stdout.contains("next: hactl journal mirror --make-bucket\n"), "{ran}");
    let text = std::fs::read_to_string(place.path().join("hactl.toml")).unwrap();
    assert_eq!(text.matches("# NOT PROBED: ").count(), 4, "{text}");
    assert_eq!(place.hactl(&["check"]).status, 0);
}
