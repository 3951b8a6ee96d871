//! Hosts that answer and cannot be worked with, and what hactl says of them.

use std::process::Command;
use std::rc::Rc;

use hactl::clock::SystemClock;
use hactl::diagnostic::{Error, codes};
use hactl::digest::Digest;
use hactl::engine::gate::Cleared;
use hactl::journal::record::{Before, Change, EvidenceRef, Mode, Observed, Operator, Record};
use hactl::journal::{Holder, Journal, Lock, StateDir};
use hactl::name::{HostName, RunbookName};
use hactl::runbook::Gate;

use crate::sshd::Sshd;
use crate::{Test, attempt, not_started, one, place, sh, world};

pub(crate) const TESTS: &[Test] = tests![
    a_host_that_does_not_answer_in_time_is_named,
    a_login_shell_that_runs_nothing_is_told_from_a_lost_link,
    a_host_that_cannot_take_an_attempt_says_what_it_lacks,
    a_host_that_the_intent_does_not_name_is_not_changed,
];

/// Says where, how things stand, and what to type.
fn assert_helps(error: &Error, state: &str, next: &str) {
    assert_eq!(error.host_name(), Some("node-1"), "{error:?}");
    assert_eq!(error.state_now(), Some(state), "{error:?}");
    assert!(
        error.next_moves().iter().any(|move_| move_.contains(next)),
        "{error:?}: {:?}",
        error.next_moves()
    );
}

async fn a_host_that_does_not_answer_in_time_is_named() {
    let (sshd, ssh, host) = one();
    // Reading it waits for a writer, as reading from a disk that hangs does.
    let owner = sshd.root().join("owner");
    assert!(Command::new("mkfifo").arg(&owner).status().unwrap().success());
    let error = ssh.owner(&host).await.unwrap_err();
    assert_eq!(error.code(), codes::SSH_DEADLINE, "{error:?}");
    assert_helps(&error, "the host was only asked", "hactl doctor");
    // Who waits there ends.
    drop(std::fs::File::options().read(true).write(true).open(&owner).unwrap());
    std::fs::remove_file(&owner).unwrap();
    assert_eq!(ssh.owner(&host).await.unwrap(), None);
}

async fn a_login_shell_that_runs_nothing_is_told_from_a_lost_link() {
    let sshd = Sshd::start_with("ForceCommand /bin/false\n");
    sshd.pin("node-1");
    let host = sshd.host("node-1");
    let ssh = sshd.ssh(vec![host.clone()]);
    for error in [
        ssh.owner(&host).await.unwrap_err(),
        ssh.settle(&host, &attempt(1)).await.unwrap_err(),
        not_started(ssh.perform(&host, &attempt(1), 1, &sh("true")).await),
    ] {
        assert_eq!(error.code(), codes::SSH_ODD_ANSWER, "{error:?}");
        assert_helps(&error, "nothing was started", "POSIX shell");
    }
}

async fn a_host_that_cannot_take_an_attempt_says_what_it_lacks() {
    let (sshd, ssh, host) = one();
    std::fs::remove_dir(sshd.root()).unwrap();
    std::fs::write(sshd.root(), "no folder").unwrap();
    let error = not_started(ssh.perform(&host, &attempt(1), 1, &sh("true")).await);
    assert_eq!(error.code(), codes::ATTEMPT_SETUP, "{error:?}");
    assert!(error.to_string().contains(sshd.root().to_str().unwrap()), "{error}");
    assert_helps(&error, "nothing was started", "hactl resume");
    // Mended, the very same command is taken.
    std::fs::remove_file(sshd.root()).unwrap();
    assert!(ssh.perform(&host, &attempt(1), 1, &sh("true")).await.unwrap().succeeded());
}

async fn a_host_that_the_intent_does_not_name_is_not_changed() {
    let sshd = Sshd::start();
    sshd.pin("node-1");
    sshd.pin("node-2");
    let hosts = vec![sshd.host("node-1"), sshd.host("node-2")];
    let ssh = sshd.ssh(hosts.clone());
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), ssh, hosts);
    let operator = Operator { user: "ada".to_owned(), machine: "desk".to_owned() };
    let holder = Holder::this_process(operator.clone(), jiff::Timestamp::now(), "test");
    let lock = Lock::take(&StateDir::of(folder.path()), holder).unwrap();
    let (journal, _) = Journal::open(lock, Rc::new(SystemClock)).unwrap();
    let kept = |name: &str| EvidenceRef { name: name.to_owned(), digest: Digest::of(name), bytes: 0 };
    let id = attempt(1);
    journal
        .append(Record::RunStarted {
            run: id.run,
            fleet: id.fleet,
            operator,
            runbook: RunbookName::new("cell0").unwrap(),
            runbook_bytes: kept("runbook"),
            workspace: kept("hactl.toml"),
            hactl: "0".to_owned(),
            mode: Mode::Production,
        })
        .unwrap();
    let observed = Observed::NotApplied { change: Change::default(), before: Before::default() };
    journal.append(Record::Observed { place: place(), observed }).unwrap();
    let cleared =
        Cleared::without_gate(Gate::None, place(), Digest::ZERO, Change::default(), Before::default())
            .unwrap();
    let one = HostName::new("node-1").unwrap();
    let intent = journal.intend(cleared, vec![one.clone()]).await.unwrap();
    let hands = world.hands(&intent);
    let failure = hands.on(&HostName::new("node-2").unwrap()).unwrap_err();
    assert_eq!(failure.error().code(), codes::ATTEMPT_OTHER_HOST, "{failure:?}");
    assert_eq!(failure.error().state_now(), Some("nothing was done"));
    assert!(hands.on(&one).is_ok());
    world.close().await;
}
