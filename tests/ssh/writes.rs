//! A file write that is killed halfway: what it left beside the file goes when its attempt is settled.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use hactl::access::{FileMode, World};
use hactl::clock::SystemClock;
use hactl::digest::Digest;
use hactl::engine::gate::Cleared;
use hactl::journal::record::{Before, Change, EvidenceRef, Mode, Observed, Operator, Record};
use hactl::journal::{Holder, IntentRecorded, Journal, Lock, StateDir};
use hactl::name::{FleetName, HostName, RunId, RunbookName};
use hactl::runbook::Gate;
use hactl::step::Failure;
use hactl::transport::ssh::AttemptState;

use crate::sshd::{Sshd, until};
use crate::{Test, place, world};

pub(crate) const TESTS: &[Test] = tests![what_a_killed_write_left_goes_when_it_is_settled];

/// Long enough to be caught while it is written.
const LENGTH: usize = 48 * 1024 * 1024;

fn change() -> Change {
    Change { summary: "writes a file".to_owned(), details: Vec::new() }
}

/// A workspace whose one step writes a file.
struct Scene {
    // The server ends with this.
    _sshd: Sshd,
    folder: tempfile::TempDir,
    journal: Journal,
    world: World,
    host: HostName,
}

impl Scene {
    fn new() -> Self {
        let sshd = Sshd::start();
        sshd.pin("node-1");
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a folder")).unwrap();
        let host = sshd.host("node-1");
        let name = host.name.clone();
        let ssh = sshd.ssh(vec![host.clone()]);
        let operator = Operator { user: "ada".to_owned(), machine: "desk".to_owned() };
        let holder = Holder::this_process(operator.clone(), jiff::Timestamp::now(), "test");
        let lock = Lock::take(&StateDir::of(folder.path()), holder).unwrap();
        let (journal, _) = Journal::open(lock, Rc::new(SystemClock)).unwrap();
        let reference = |name: &str| EvidenceRef {
            name: name.to_owned(),
            digest: Digest::of(name),
            bytes: name.len() as u64,
        };
        journal
            .append(Record::RunStarted {
                run: RunId::generate(),
                fleet: FleetName::new("cell0").unwrap(),
                operator,
                runbook: RunbookName::new("cell0").unwrap(),
                runbook_bytes: reference("runbook"),
                workspace: reference("hactl.toml"),
                hactl: "0.1.0".to_owned(),
                mode: Mode::Production,
            })
            .unwrap();
        let world = world(folder.path(), ssh, vec![host]);
        world.stand_on(journal.hold());
        Self { _sshd: sshd, folder, journal, world, host: name }
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("a folder/target*")
    }

    /// What lies in the target's folder.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.target().parent().unwrap()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The files that writes have begun beside the target.
    fn beside(&self) -> Vec<String> {
        self.names()
            .into_iter()
            .filter(|name| name.starts_with(".hactl.") && !name.contains("other"))
            .collect()
    }

    async fn intend(&self) -> IntentRecorded {
        let change = change();
        let observed = Observed::NotApplied { change: change.clone(), before: Before::default() };
        self.journal.append(Record::Observed { place: place(), observed }).unwrap();
        let cleared =
            Cleared::without_gate(Gate::None, place(), Digest::of("action"), change, Before::default())
                .unwrap();
        self.journal.intend(cleared, vec![self.host.clone()]).await.unwrap()
    }

    async fn write(&self, intent: &IntentRecorded, content: Vec<u8>) -> Result<(), Failure> {
        let hands = self.world.hands(intent);
        let path = self.target();
        let mode = FileMode::new("root", "root", 0o600);
        hands.on(&self.host)?.write_file(path.to_str().unwrap(), content, &mode).await
    }

    async fn settle(&self, intent: &IntentRecorded) -> AttemptState {
        let attempt = self.world.hands(intent).attempt().clone();
        self.world.settle(&self.host, &attempt).await.unwrap()
    }
}

/// The shells that write this file: they are ours, for nobody else has its path.
fn writers(target: &Path) -> Vec<u32> {
    let target = target.to_str().unwrap().as_bytes();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let writes = |pid: &u32| {
        let Ok(words) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
        let mut words = words.split(|byte| *byte == 0);
        words.next() == Some(b"sh") && words.any(|word| word == target)
    };
    numbers.filter(writes).collect()
}

fn signal(pids: &[u32], signal: &str) {
    for pid in pids {
        let _ = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
    }
}

/// Kills the next write while the file lies beside its place; false where the write was quicker.
async fn kill_halfway(scene: &Scene, intent: &IntentRecorded) -> bool {
    let target = scene.target();
    let mut writing = Vec::new();
    until("the write is under way", || {
        if !scene.beside().is_empty() {
            writing = writers(&target);
            signal(&writing, "STOP");
        }
        target.exists() || !writing.is_empty()
    })
    .await;
    let caught = !target.exists() && scene.beside().len() == 1;
    if caught {
        // As long as it runs it keeps its file.
        assert_eq!(scene.settle(intent).await, AttemptState::Running { command: 1 });
        assert_eq!(scene.beside().len(), 1);
        signal(&writing, "KILL");
    } else {
        signal(&writing, "CONT");
    }
    caught
}

async fn what_a_killed_write_left_goes_when_it_is_settled() {
    let scene = Scene::new();
    let target = scene.target();
    let foreign = ".hactl.other.12345678";
    std::fs::write(target.with_file_name(foreign), "not of this attempt").unwrap();

    for round in 1.. {
        assert!(round <= 20, "no write was caught halfway");
        let intent = scene.intend().await;
        let killing = kill_halfway(&scene, &intent);
        let (outcome, caught) = tokio::join!(scene.write(&intent, vec![b'x'; LENGTH]), killing);
        if caught {
            let Err(Failure::Unclear(error)) = outcome else { panic!("{outcome:?}") };
            assert!(error.one_line().contains("exit status 137"), "{error:?}");
            assert!(!target.exists());
            assert_eq!(scene.beside().len(), 1, "nothing was left, so nothing is shown: {:?}", scene.names());
        }
        let attempt = intent.attempt();
        scene
            .journal
            .append(Record::InDoubt { place: place(), attempt, why: "for the test".to_owned() })
            .unwrap();
        assert!(matches!(scene.settle(&intent).await, AttemptState::Finished { command: 1, .. }));
        assert!(scene.beside().is_empty(), "{:?}", scene.names());
        let _ = std::fs::remove_file(&target);
        let observed = Observed::NotApplied { change: change(), before: Before::default() };
        scene.journal.append(Record::Decided { place: place(), attempt, observed, by: None }).unwrap();
        if caught {
            break;
        }
    }

    let again = scene.intend().await;
    scene.write(&again, b"whole".to_vec()).await.unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), b"whole");
    assert_eq!(scene.names(), [foreign, "target*"]);
    scene.world.close().await;
}
