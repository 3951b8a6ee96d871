//! `hactl init` against a real sshd and a real S3 server: by flags, and at a terminal.
//!
//! Where those cannot be had every test is reported as ignored, and why.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

#[path = "../common/cli.rs"]
mod cli;
#[path = "../common/sshd.rs"]
#[allow(dead_code, reason = "not every test binary uses all of it")]
mod sshd;
#[path = "../common/terminal.rs"]
mod terminal;
#[path = "../common/weed.rs"]
#[allow(dead_code, reason = "not every test binary uses all of it")]
mod weed;

mod at_terminal;
mod by_flags;
#[cfg(feature = "lab")]
mod cloud;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use cli::{Place, Ran};
use sshd::Sshd;
use weed::Weed;

/// A test: its name, and what it does with the servers.
type Case = (&'static str, fn(&Scene));

/// The servers that answers are tried out on.
struct Scene {
    sshd: Sshd,
    weed: Weed,
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let missing = sshd::cannot().or_else(|| weed::binary().err());
    // Started here and not in a test: the S3 server ends with the thread that started it.
    let wanted = missing.is_none() && !arguments.list;
    let scene = Arc::new(wanted.then(|| Scene { sshd: Sshd::start(), weed: Weed::start() }));
    #[cfg(feature = "lab")]
    let of_cloud = cloud::CASES;
    #[cfg(not(feature = "lab"))]
    let of_cloud: &[Case] = &[];
    let cases = [by_flags::CASES, at_terminal::CASES, of_cloud].concat();
    let tests = cases.into_iter().map(|(name, case)| {
        let scene = Arc::clone(&scene);
        let run = move || {
            case(scene.as_ref().as_ref().ok_or("no server")?);
            Ok(())
        };
        match &missing {
            None => Trial::test(name, run),
            Some(why) => Trial::test(name, run).with_kind(why.clone()).with_ignored_flag(true),
        }
    });
    libtest_mimic::run(&arguments, tests.collect()).exit_code()
}

/// A runbook of its own, that needs a host, a bucket, its restore key, and age.
const RUNBOOK: &str = r#"[runbook]
name = "mine"
title = "A bucket and a tool"
summary = "For tests."

[inputs.tool]
type = "string"
help = "The tool to install."

[roles.web]
help = "where the tool goes"

[[component]]
name = "tools"
tier = "none"
replicas = 1
survives = []
degraded = "nobody notices"

[[phase]]
id = "0"
title = "A bucket and a tool"

[[phase.step]]
id = "bucket"
title = "Make the bucket"
action.s3_bucket = {}

[[phase.step]]
id = "restore-credential"
title = "See that the key for restores only reads"
action.s3_restore_credential = {}

[[phase.step]]
id = "pass"
title = "Make a secret"
[phase.step.action.secret]
name = "pass"

[[phase.step]]
id = "tool"
title = "Install the tool"
on = "web"
[phase.step.action.apt_package]
packages = ["${inputs.tool}"]
"#;

/// A folder with the runbook, the keys and the certificate authority, and no `hactl.toml`.
fn place(scene: &Scene) -> Place {
    let place = Place::new();
    place.write("mine.toml", RUNBOOK);
    std::fs::copy(scene.sshd.dir.path().join("id"), place.path().join("id")).unwrap();
    std::fs::copy(scene.weed.ca(), place.path().join("ca.pem")).unwrap();
    for name in ["writer", "restorer"] {
        secret(&place, &format!("{name}.key"), name);
        secret(&place, &format!("{name}.secret"), &weed::secret_of(name));
    }
    place
}

fn secret(place: &Place, name: &str, text: &str) {
    let path = place.write(name, text);
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

/// The fingerprint of the sshd's key, by ssh's own tool.
fn fingerprint(scene: &Scene) -> String {
    let file = scene.sshd.dir.path().join("host_key.pub");
    let ran = std::process::Command::new("ssh-keygen").arg("-lf").arg(file).output().unwrap();
    String::from_utf8(ran.stdout).unwrap().split(' ').nth(1).unwrap().to_owned()
}

/// Where the S3 server answers.
fn endpoint(scene: &Scene) -> String {
    scene.weed.settings("x").endpoint
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Nothing was written, and nothing that was made is left.
fn assert_untouched(place: &Place) {
    let there =
        ["ca.pem", "id", "mine.toml", "restorer.key", "restorer.secret", "writer.key", "writer.secret"];
    assert_eq!(names(place.path()), there);
}

/// A workspace that passes `check`, whose file holds no secret, with the host's key pinned.
fn assert_good(place: &Place, scene: &Scene) -> String {
    let text = std::fs::read_to_string(place.path().join("hactl.toml")).unwrap();
    let ran = place.hactl(&["check"]);
    assert_eq!(ran.status, 0, "{ran}\n{text}");
    assert!(!text.contains("secret-key-of"), "{text}");
    let known = std::fs::read_to_string(place.path().join(".hactl/known_hosts")).unwrap();
    assert_eq!(known, format!("node-1 {}\n", scene.sshd.public_key()));
    let mode = std::fs::metadata(place.path().join("secrets/age-identity")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    text
}

fn run(place: &Place, args: &[String]) -> Ran {
    let args: Vec<_> = std::iter::once("init").chain(args.iter().map(String::as_str)).collect();
    place.hactl(&args)
}
