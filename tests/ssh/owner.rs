//! The owner file: a host takes changes from the journal that it knows, and from nobody else.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use hactl::access::Command;
use hactl::clock::SystemClock;
use hactl::diagnostic::{Code, codes};
use hactl::digest::Digest;
use hactl::journal::record::{Epoch, Operator, Record};
use hactl::journal::{Holder, Journal, Lock, StateDir};
use hactl::name::{FleetName, RunId};
use hactl::transport::ssh::{AttemptId, AttemptState, Owner, Ssh, Standing};
use hactl::workspace::Host;

use crate::sshd::{Sshd, until};
use crate::{Test, attempt, not_started, sh};

pub(crate) const TESTS: &[Test] = tests![
    another_fleet_run_or_epoch_is_refused,
    an_older_copy_of_the_journal_is_refused_however_long_it_has_grown,
    a_former_process_is_refused_once_the_next_one_was_there,
    claims_that_overtake_each_other_are_all_taken,
    claims_of_a_new_process_that_arrive_together_are_all_taken,
    a_claim_that_waited_while_it_was_voided_never_starts,
    what_a_finished_run_left_is_removed_and_cannot_come_back,
    commands_that_lost_their_link_do_not_keep_each_other_from_asking,
    a_host_that_names_another_line_each_time_is_not_asked_for_ever,
];

/// A workspace's journal.
struct Copy {
    dir: StateDir,
    journal: Journal,
}

fn open(folder: &Path) -> Copy {
    let dir = StateDir::of(folder);
    let operator = Operator { user: "ada".to_owned(), machine: "desk".to_owned() };
    let holder = Holder::this_process(operator, jiff::Timestamp::now(), "test");
    let (journal, _) = Journal::open(Lock::take(&dir, holder).unwrap(), Rc::new(SystemClock)).unwrap();
    Copy { dir, journal }
}

impl Copy {
    fn grow(&self, lines: u64) {
        for bytes in 0..lines {
            self.journal.append(Record::TornTail { bytes }).unwrap();
        }
    }

    /// Another workspace with what this one's journal holds now.
    fn copy(&self, folder: &Path) -> Copy {
        let to = StateDir::of(folder);
        to.create().unwrap();
        std::fs::copy(self.dir.journal(), to.journal()).unwrap();
        open(folder)
    }
}

struct Scene {
    sshd: Sshd,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let sshd = Sshd::start();
        sshd.pin("node-1");
        Self { sshd, folder: tempfile::tempdir().unwrap() }
    }

    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn host(&self) -> Host {
        self.sshd.host("node-1")
    }

    /// A process that stands on a journal.
    fn process(&self, copy: &Copy) -> Ssh {
        let plain = self.sshd.ssh(vec![self.host()]);
        let ssh = Ssh::with(
            vec![self.host()],
            plain.known_hosts().to_owned(),
            plain.root(),
            hactl::transport::ssh::Timing {
                connect: Duration::from_secs(3),
                alive: Duration::from_secs(1),
                recover: Duration::from_secs(4),
            },
        );
        ssh.stand_on(copy.journal.hold());
        ssh
    }

    /// Somebody holds the host's lock, so that what arrives there waits.
    async fn hold_lock(&self) -> Held {
        let mark = self.folder.path().join("held");
        let holder = std::process::Command::new("flock")
            .arg(self.sshd.root().join("lock"))
            .args(["sh", "-c", "touch \"$1\"; while [ -e \"$1\" ]; do sleep 0.02; done", "name"])
            .arg(&mark)
            .spawn()
            .unwrap();
        until("the lock is held", || mark.exists()).await;
        Held { holder, mark }
    }

    fn owner(&self) -> Owner {
        Owner::parse(&std::fs::read_to_string(self.sshd.root().join("owner")).unwrap()).unwrap()
    }
}

/// Who holds a host's lock.
struct Held {
    holder: std::process::Child,
    mark: PathBuf,
}

impl Held {
    fn let_go(mut self) {
        std::fs::remove_file(&self.mark).unwrap();
        self.holder.wait().unwrap();
    }
}

fn standing() -> Standing {
    let id = attempt(1);
    Standing { fleet: id.fleet, run: Some(id.run), epoch: id.epoch }
}

/// A claim, an answer to whether a claim may be sent, and a settlement are all refused with this code.
async fn refused(scene: &Scene, ssh: &Ssh, id: &AttemptId, standing: &Standing, code: Code, why: &str) {
    let host = scene.host();
    let proof = scene.folder.path().join("never");
    let command = Command::new("touch").arg(proof.to_str().unwrap());
    assert_eq!(not_started(ssh.perform(&host, id, 1, &command).await).code(), code, "{why}");
    assert_eq!(ssh.settle(&host, id).await.unwrap_err().code(), code, "{why}");
    assert_eq!(ssh.check_owner(&host, standing).await.unwrap_err().code(), code, "{why}");
    assert_eq!(ssh.prune(&host, standing).await.unwrap_err().code(), code, "{why}");
    assert!(!proof.exists(), "{why}");
}

async fn another_fleet_run_or_epoch_is_refused() {
    let scene = Scene::new();
    let ours = open(&scene.folder("ours"));
    ours.grow(3);
    let ssh = scene.process(&ours);
    let host = scene.host();
    assert_eq!(ssh.owner(&host).await.unwrap(), None);
    assert!(ssh.perform(&host, &attempt(1), 1, &sh("true")).await.unwrap().succeeded());
    let owner = scene.owner();
    assert_eq!((owner.fleet.as_str(), owner.run.as_str(), owner.epoch), ("cell0", "run1", Epoch(1)));
    assert_eq!((owner.line, owner.hold.as_str()), (ours.journal.hold().last(), ours.journal.hold().id()));
    assert_eq!(ssh.owner(&host).await.unwrap(), Some(owner));
    ssh.check_owner(&host, &standing()).await.unwrap();

    // The same process, so that nothing but what is named differs.
    let other = FleetName::new("other").unwrap();
    let id = AttemptId { fleet: other.clone(), ..attempt(2) };
    refused(&scene, &ssh, &id, &Standing { fleet: other, ..standing() }, codes::ATTEMPT_OTHER_FLEET, "fleet")
        .await;
    let other = RunId::new("run2").unwrap();
    let id = AttemptId { run: other.clone(), ..attempt(2) };
    refused(&scene, &ssh, &id, &Standing { run: Some(other), ..standing() }, codes::ATTEMPT_OTHER_RUN, "run")
        .await;
    let nobody = Standing { run: None, ..standing() };
    assert_eq!(ssh.check_owner(&host, &nobody).await.unwrap_err().code(), codes::ATTEMPT_OTHER_RUN);
    // A higher epoch takes over, whoever was there before, and the former one is refused from then on.
    let id = AttemptId { epoch: Epoch(2), run: RunId::new("run2").unwrap(), ..attempt(1) };
    assert!(ssh.perform(&host, &id, 1, &sh("true")).await.unwrap().succeeded());
    refused(&scene, &ssh, &attempt(2), &standing(), codes::ATTEMPT_OLD_EPOCH, "epoch").await;
    for text in ["", "fleet cell0\n", "fleet cell0\nrun run1\nepoch 1\nseq 1x\nsum 0\nhold h\n"] {
        std::fs::write(scene.sshd.root().join("owner"), text).unwrap();
        let id = attempt(3);
        assert_eq!(
            not_started(ssh.perform(&host, &id, 1, &sh("true")).await).code(),
            codes::ATTEMPT_OWNER_DAMAGED
        );
    }
}

async fn an_older_copy_of_the_journal_is_refused_however_long_it_has_grown() {
    let scene = Scene::new();
    let host = scene.host();
    let ours = open(&scene.folder("ours"));
    ours.grow(3);
    let copy = ours.copy(&scene.folder("copy"));
    let ssh = scene.process(&ours);
    assert!(ssh.perform(&host, &attempt(1), 1, &sh("true")).await.unwrap().succeeded());
    // It holds the host's line: taken before anything was recorded here, it is the same journal.
    scene.process(&copy).check_owner(&host, &standing()).await.unwrap();

    ours.grow(2);
    assert!(ssh.perform(&host, &attempt(1), 2, &sh("true")).await.unwrap().succeeded());
    let late = scene.process(&copy);
    refused(&scene, &late, &attempt(2), &standing(), codes::ATTEMPT_OLD_JOURNAL, "it is shorter").await;
    copy.grow(20);
    let late = scene.process(&copy);
    refused(&scene, &late, &attempt(2), &standing(), codes::ATTEMPT_OLD_JOURNAL, "it is longer, and another")
        .await;

    // The next process of the workspace that changed the host knows the line, whether it asked before or not.
    let folder = scene.folder("ours");
    drop(ours);
    let next = open(&folder);
    next.grow(1);
    assert!(scene.process(&next).perform(&host, &attempt(2), 1, &sh("true")).await.unwrap().succeeded());
    drop(next);
    let next = open(&folder);
    next.grow(1);
    let asking = scene.process(&next);
    asking.check_owner(&host, &standing()).await.unwrap();
    assert!(asking.perform(&host, &attempt(3), 1, &sh("true")).await.unwrap().succeeded());
    assert_eq!(asking.settle(&host, &attempt(4)).await.unwrap(), AttemptState::Never);
}

async fn a_former_process_is_refused_once_the_next_one_was_there() {
    let scene = Scene::new();
    let host = scene.host();
    let folder = scene.folder("ours");
    let first = open(&folder);
    first.grow(2);
    let former = scene.process(&first);
    assert!(former.perform(&host, &attempt(1), 1, &sh("true")).await.unwrap().succeeded());
    drop(first);
    let second = open(&folder);
    second.grow(1);
    assert!(scene.process(&second).perform(&host, &attempt(2), 1, &sh("true")).await.unwrap().succeeded());
    // What the killed one sent arrives only now. Its journal is a file that went on without it.
    let proof = scene.folder.path().join("late");
    let late = Command::new("touch").arg(proof.to_str().unwrap());
    let error = not_started(former.perform(&host, &attempt(3), 1, &late).await);
    assert_eq!(error.code(), codes::ATTEMPT_OLD_JOURNAL);
    assert!(!proof.exists());
}

async fn claims_that_overtake_each_other_are_all_taken() {
    let scene = Scene::new();
    let host = scene.host();
    let ours = open(&scene.folder("ours"));
    ours.grow(1);
    let ssh = scene.process(&ours);
    // Places that share a further host: each claims there while the journal goes on.
    let claims = (1..=24).map(|number| {
        let (ssh, host, ours) = (&ssh, &host, &ours);
        async move {
            ours.grow(1);
            ssh.perform(host, &attempt(number), 1, &sh("sleep 0.05")).await.map(|f| f.succeeded())
        }
    });
    let outcomes = futures_util::future::join_all(claims).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(true))), "{outcomes:?}");
    // The host remembers the newest line of those it was shown.
    let seq = scene.owner().line.seq;
    ours.grow(1);
    assert!(ssh.perform(&host, &attempt(25), 1, &sh("true")).await.unwrap().succeeded());
    assert!(scene.owner().line.seq > seq);
}

async fn claims_of_a_new_process_that_arrive_together_are_all_taken() {
    let scene = Scene::new();
    let host = scene.host();
    let folder = scene.folder("ours");
    let first = open(&folder);
    first.grow(2);
    assert!(scene.process(&first).perform(&host, &attempt(1), 1, &sh("true")).await.unwrap().succeeded());
    drop(first);
    // The next process has not asked this host whose it is, as with a host that several places share.
    let next = open(&folder);
    next.grow(1);
    let ssh = scene.process(&next);
    let held = scene.hold_lock().await;
    const TOGETHER: usize = 6;
    let command = sh("true");
    let ids: Vec<_> = (2..).map(attempt).take(TOGETHER).collect();
    let claims = futures_util::future::join_all(ids.iter().map(|id| ssh.perform(&host, id, 1, &command)));
    let inode = std::fs::metadata(scene.sshd.root().join("lock")).unwrap().ino();
    let arrived = || {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let waits = |line: &&str| line.contains(" -> FLOCK ") && line.contains(&format!(":{inode} "));
        locks.lines().filter(waits).count()
    };
    let let_go = async {
        until("all have arrived", || arrived() == TOGETHER).await;
        held.let_go();
    };
    let (outcomes, ()) = tokio::join!(claims, let_go);
    assert!(outcomes.iter().all(|o| o.as_ref().is_ok_and(|f| f.succeeded())), "{outcomes:?}");
    // Neither does a process that asks twice refuse itself.
    let asking = scene.process(&next);
    asking.check_owner(&host, &standing()).await.unwrap();
    asking.check_owner(&host, &standing()).await.unwrap();
}

async fn a_claim_that_waited_while_it_was_voided_never_starts() {
    let scene = Scene::new();
    let host = scene.host();
    let folder = scene.folder("ours");
    let first = open(&folder);
    first.grow(2);
    let former = scene.process(&first);
    assert!(former.perform(&host, &attempt(1), 1, &sh("true")).await.unwrap().succeeded());
    let proof = scene.folder.path().join("late");
    let held = scene.hold_lock().await;
    let command = Command::new("touch").arg(proof.to_str().unwrap()).stdin("waits in memory");
    let late_attempt = attempt(2);
    let late = former.perform(&host, &late_attempt, 1, &command);
    let name = Digest::of(format!("{}/run1/step/a2", scene.sshd.root().display())).short();
    let arrived = || {
        ["/run", "/dev/shm"].iter().flat_map(|place| std::fs::read_dir(place).unwrap().flatten()).any(
            |entry| {
                entry.file_name().to_string_lossy().starts_with(&format!("hactl-in.{name}-1."))
                    && entry.metadata().is_ok_and(|facts| facts.len() > 0)
            },
        )
    };
    let voided = async {
        until("the command has arrived", arrived).await;
        // What settling writes, written while the claim waits for the lock.
        let void = scene.sshd.root().join("run1/step/a2/1");
        std::fs::create_dir_all(&void).unwrap();
        std::fs::write(void.join("void"), "").unwrap();
        held.let_go();
    };
    let (outcome, ()) = tokio::join!(late, voided);
    assert_eq!(not_started(outcome).code(), codes::ATTEMPT_VOID);
    assert!(!proof.exists() && !arrived());
}

async fn what_a_finished_run_left_is_removed_and_cannot_come_back() {
    let scene = Scene::new();
    let host = scene.host();
    let folder = scene.folder("ours");
    let ours = open(&folder);
    ours.grow(2);
    let ssh = scene.process(&ours);
    // Before anything was ever done there, nothing is made.
    ssh.prune(&host, &standing()).await.unwrap();
    assert_eq!(std::fs::read_dir(scene.sshd.root()).unwrap().count(), 0);

    assert!(ssh.perform(&host, &attempt(1), 1, &sh("true")).await.unwrap().succeeded());
    assert_eq!(ssh.settle(&host, &attempt(2)).await.unwrap(), AttemptState::Never);
    let root = scene.sshd.root();
    let other = root.join("another-run/step/a1/1");
    let (stale, young) = (root.join("hactl-in.stale"), root.join("hactl-in.young"));
    for folder in [&other, &stale, &young] {
        std::fs::create_dir_all(folder).unwrap();
    }
    let old = std::process::Command::new("touch").args(["-d", "2 days ago"]).arg(&stale).status().unwrap();
    assert!(old.success());
    ours.grow(1);
    ssh.prune(&host, &standing()).await.unwrap();
    assert!(!root.join("run1").exists() && !stale.exists(), "what is ours and finished is gone");
    assert!(other.exists() && young.exists(), "what is somebody else's, or may live, is not");

    // The marks that made it void are gone too, and all the same nothing that was sent before starts now: neither of
    // this process, which has to look at its journal first, nor of a former one, which cannot.
    assert_eq!(scene.owner().hold, "-");
    let former = scene.process(&ours.copy(&scene.folder("former")));
    ours.grow(1);
    assert!(ssh.perform(&host, &attempt(3), 1, &sh("true")).await.unwrap().succeeded());
    assert_eq!(scene.owner().hold, ours.journal.hold().id());
    ours.grow(1);
    ssh.prune(&host, &standing()).await.unwrap();
    let proof = scene.folder.path().join("late");
    let late = Command::new("touch").arg(proof.to_str().unwrap());
    let error = not_started(former.perform(&host, &attempt(2), 1, &late).await);
    assert_eq!(error.code(), codes::ATTEMPT_OLD_JOURNAL);
    assert!(!proof.exists());
}

async fn commands_that_lost_their_link_do_not_keep_each_other_from_asking() {
    let scene = Scene::new();
    let host = scene.host();
    let ours = open(&scene.folder("ours"));
    ours.grow(1);
    let ssh = scene.process(&ours);
    let go = scene.folder.path().join("go");
    let begun = |number: u32| scene.folder.path().join(format!("begun-{number}"));
    // As many as a connection takes at once: each loses it, and each has to ask what became of its command.
    let commands = (1..=8).map(|number| {
        let command = sh("touch \"$1\"; while [ ! -e \"$2\" ]; do sleep 0.05; done; exit 7")
            .arg("name")
            .args([begun(number).to_str().unwrap(), go.to_str().unwrap()]);
        let (ssh, host) = (&ssh, &host);
        async move { ssh.perform(host, &attempt(number), 1, &command).await }
    });
    let cutting = async {
        until("all began", || (1..=8).all(|number| begun(number).exists())).await;
        scene.sshd.cut();
        std::fs::write(&go, "").unwrap();
    };
    let began = std::time::Instant::now();
    let (outcomes, ()) = tokio::join!(futures_util::future::join_all(commands), cutting);
    for outcome in outcomes {
        assert_eq!(outcome.unwrap().status, hactl::access::Status::Exited(7));
    }
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

async fn a_host_that_names_another_line_each_time_is_not_asked_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let ours = open(folder.path());
    let lines: Vec<String> = (0..2)
        .map(|_| {
            ours.grow(1);
            let last = ours.journal.hold().last();
            format!("{} {}", last.seq, last.sum)
        })
        .collect();
    // Both stand in our journal, and it names the other one whenever it is told one.
    let script = format!(
        "m=$(printf %s \"$SSH_ORIGINAL_COMMAND\" | grep -oE \"'[0-9a-f]{{32}}'\" | head -1 | tr -d \"'\"); cat >/dev/null\n\
         echo >>{count}; case $(($(wc -l <{count}) % 2)) in 0) line='{}' ;; *) line='{}' ;; esac\n\
         echo \"$m refused old_journal $line\"",
        lines[0],
        lines[1],
        count = folder.path().join("count").display(),
    );
    let sshd = crate::hostile::forced(&script);
    let scene = Scene { sshd, folder };
    let ssh = scene.process(&ours);
    let raised = tokio::time::timeout(Duration::from_secs(60), ssh.raise(&scene.host(), &standing())).await;
    let error = raised.unwrap().unwrap_err();
    assert_eq!(error.code(), codes::ATTEMPT_OLD_JOURNAL, "{error:?}");
    let count = std::fs::read_to_string(scene.folder.path().join("count")).unwrap().lines().count();
    assert!((2..100).contains(&count), "asked {count} times");
}
