//! SSH as it is promised, against a real sshd: strict host keys, arguments as data, deadlines, attempts.
//!
//! As root it runs a private sshd on 127.0.0.1; elsewhere every test is reported as ignored, and why.

// What a driver carries out is deep, and a test wraps it once more.
#![recursion_limit = "256"]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on panics"
)]

#[path = "../common/peak.rs"]
mod peak;
#[path = "../common/sshd.rs"]
mod sshd;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Trial};

use hactl::access::{Command, Means, World};
use hactl::clock::SystemClock;
use hactl::digest::Digest;
use hactl::engine::approver::{Asked, Person};
use hactl::evidence::EvidenceStore;
use hactl::journal::record::{AttemptNumber, Epoch, Place};
use hactl::journal::{AttemptLabel, Purpose, StateDir};
use hactl::name::{FleetName, HostName, OutputName, RunId, RunbookName, StepId};
use hactl::redact::Redactor;
use hactl::step::Failure;
use hactl::transport::ssh::{AttemptId, Finished, Ssh};
use hactl::workspace::{Host, RunbookChoice, Workspace};
use sshd::Sshd;

/// A test: its name and its body.
type Test = (&'static str, fn() -> Pin<Box<dyn Future<Output = ()>>>);

/// Makes a list of tests of async functions.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), || Box::pin($name()))),*]
    };
}

mod attempts;
mod cut;
mod gates;
mod hostile;
mod keys;
mod owner;
mod quiet;
mod reads;
mod refusals;
mod writes;

fn main() -> ExitCode {
    if let Ok(where_to) = std::env::var(keys::INNER_LOGIN) {
        on_one_thread(keys::inner_login(where_to));
        return ExitCode::SUCCESS;
    }
    if let Ok(where_to) = std::env::var(hostile::INNER) {
        on_one_thread(hostile::inner(where_to));
        return ExitCode::SUCCESS;
    }
    if let Ok(what) = std::env::var(quiet::INNER) {
        quiet::inner(&what);
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let cannot = sshd::cannot();
    let tests = [
        keys::TESTS,
        reads::TESTS,
        attempts::TESTS,
        quiet::TESTS,
        hostile::TESTS,
        owner::TESTS,
        gates::TESTS,
        cut::TESTS,
        refusals::TESTS,
        writes::TESTS,
    ]
    .into_iter()
    .flatten()
    .map(|&(name, body)| {
        let cannot = cannot.clone();
        Trial::ignorable_test(name, move || match cannot {
            Some(why) => Ok(Completion::ignored_with(why)),
            None => {
                on_one_thread(body());
                Ok(Completion::Completed)
            }
        })
    });
    libtest_mimic::run(&arguments, tests.collect()).exit_code()
}

/// Runs a test as hactl runs: on one thread, and not for ever. How long it takes is the machine's; a minute, where that is idle.
fn on_one_thread(body: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(300), body).await.unwrap() });
}

fn attempt(label: u32) -> AttemptId {
    AttemptId {
        fleet: FleetName::new("cell0").unwrap(),
        run: RunId::new("run1").unwrap(),
        epoch: Epoch(1),
        step: StepId::new("step").unwrap(),
        place_host: Some(HostName::new("node-1").unwrap()),
        label: AttemptLabel { purpose: Purpose::Action, number: AttemptNumber(label) },
    }
}

fn sh(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

/// A pinned host that answers.
fn one() -> (Sshd, Ssh, Host) {
    let sshd = Sshd::start();
    sshd.pin("node-1");
    let host = sshd.host("node-1");
    let ssh = sshd.ssh(vec![host.clone()]);
    (sshd, ssh, host)
}

fn world(dir: &Path, ssh: Ssh, hosts: Vec<Host>) -> World {
    let root = dir.to_owned();
    let workspace = Workspace {
        approvals: None,
        notify: None,
        root: root.clone(),
        runbook: RunbookChoice::Bundled(RunbookName::new("cell0").unwrap()),
        fleet: FleetName::new("cell0").unwrap(),
        lab: None,
        inputs: BTreeMap::new(),
        hosts,
        s3: None,
        postgres: None,
        hcloud: None,
        mirror: None,
        pgbackrest: None,
        age: None,
        digest: Digest::ZERO,
    };
    let redactor = Rc::new(Redactor::new());
    let evidence = Rc::new(EvidenceStore::new(StateDir::of(&root), Rc::clone(&redactor)));
    World::over(
        Rc::new(workspace),
        Means { clock: Rc::new(SystemClock), evidence, redactor, person: Rc::new(Nobody) },
        ssh,
    )
}

struct Nobody;

impl Person for Nobody {
    fn ask<'a>(&'a self, _: &'a str, _: &'a BTreeMap<OutputName, String>) -> Asked<'a> {
        panic!("nobody is asked here")
    }
}

fn place() -> Place {
    Place { step: StepId::new("step").unwrap(), host: Some(HostName::new("node-1").unwrap()) }
}

fn unclear(outcome: Result<Finished, Failure>) -> hactl::diagnostic::Error {
    match outcome {
        Err(Failure::Unclear(error)) => error,
        other => panic!("wanted unclear, got {other:?}"),
    }
}

fn not_started(outcome: Result<Finished, Failure>) -> hactl::diagnostic::Error {
    match outcome {
        Err(Failure::NotStarted(error)) => error,
        other => panic!("wanted not started, got {other:?}"),
    }
}

fn torture() -> Vec<String> {
    let mut words: Vec<String> = [
        "",
        " ",
        "-rf",
        "--",
        "$(touch /tmp/hactl-was-here)",
        "`id`",
        "'",
        "''",
        "\"",
        "\\",
        "a\\",
        "a\nb",
        "\n",
        "\t",
        "*",
        "?",
        "~",
        "!!",
        "#",
        ";",
        "&",
        "|",
        "$HOME",
        "${PATH}",
        "%s",
        "a=b",
        "\u{1b}[31m",
        "äöü €",
        "\r\n",
        "'\\''",
        "\u{7f}",
        "<",
        ">",
        "(",
        "{a,b}",
        "\u{81}\u{88}",
    ]
    .map(str::to_owned)
    .to_vec();
    words.push("x".repeat(100 * 1024));
    words
}
