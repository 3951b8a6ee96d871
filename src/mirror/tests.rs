//! The mirror over a bucket in memory: every call cut, two machines, damage, a server that overwrites.

mod beside;

use std::fs;
use std::path::Path;
use std::rc::Rc;

use proptest::prelude::*;
use secrecy::SecretString;

use super::bring::bring;
use super::memory::{Fault, MemoryBucket};
use super::object;
use super::{Mirror, Note, Source, check};
use crate::clock::FixedClock;
use crate::diagnostic::{Result, codes};
use crate::event::{Collect, Event};
use crate::evidence::EvidenceStore;
use crate::journal::record::{Mode, Operator, Record};
use crate::journal::{Holder, Journal, Lock, StateDir};
use crate::name::{FleetName, RunId, RunbookName, SecretName};
use crate::redact::Redactor;
use crate::sealed::{SEALED_KEY, Sealed, Sealing};
use crate::workspace::{AgeConfig, Demand, RunbookChoice, Workspace};

fn operator(machine: &str) -> Operator {
    Operator { user: "ada".to_owned(), machine: machine.to_owned() }
}

fn clock() -> Rc<FixedClock> {
    Rc::new(FixedClock::new("2026-11-21T12:00:00Z".parse().unwrap()))
}

/// A machine at work in a folder.
struct Machine {
    dir: StateDir,
    journal: Journal,
    name: &'static str,
}

impl Machine {
    fn at(root: &Path, name: &'static str) -> Self {
        let dir = StateDir::of(root);
        let holder = Holder::this_process(operator(name), "2026-11-21T12:00:00Z".parse().unwrap(), "test");
        let (journal, _) = Journal::open(Lock::take(&dir, holder).unwrap(), clock()).unwrap();
        Self { dir, journal, name }
    }

    fn mirrored_in(self, bucket: &MemoryBucket, demand: Demand) -> Self {
        let source = Source::of(&self.dir);
        let mirror =
            Mirror::bare(Rc::new(bucket.clone()), self.dir.clone(), source, operator(self.name), demand);
        self.journal.mirror_to(mirror);
        self
    }

    fn with_files_of(self, bucket: &MemoryBucket, workspace: &Workspace) -> Self {
        let mirror = Mirror::new(Rc::new(bucket.clone()), workspace, operator(self.name), Demand::Required);
        self.journal.mirror_to(mirror);
        self
    }

    fn begin(&self) {
        let evidence = EvidenceStore::new(self.dir.clone(), Rc::new(Redactor::new()));
        let started = Record::RunStarted {
            run: RunId::new("run-1").unwrap(),
            fleet: FleetName::new("cell0").unwrap(),
            operator: operator(self.name),
            runbook: RunbookName::new("cell0").unwrap(),
            runbook_bytes: evidence.put("runbook", b"the runbook").unwrap(),
            workspace: evidence.put("hactl.toml", b"runbook = \"book.toml\"\n").unwrap(),
            hactl: "0.1.0".to_owned(),
            mode: Mode::Production,
        };
        self.journal.append(started).unwrap();
    }

    fn go_on(&self) {
        let (operator, command) = (operator(self.name), "hactl resume".to_owned());
        self.journal.append(Record::Resumed { operator, command }).unwrap();
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.dir.journal()).unwrap()
    }
}

/// The journal that a bucket holds.
fn held(bucket: &MemoryBucket) -> Vec<u8> {
    let objects = bucket.objects();
    let journal = objects.iter().filter(|(name, _)| name.starts_with("journal/"));
    journal.flat_map(|(_, bytes)| bytes.split_inclusive(|b| *b == b'\n').skip(1).flatten().copied()).collect()
}

async fn takes_over(bucket: &MemoryBucket, root: &Path, machine: &str) -> Result<()> {
    let brought = bring(bucket, root).await?;
    brought.take_over(Rc::new(bucket.clone()), operator(machine), clock()).await
}

fn workspace(root: &Path, recipients: Vec<String>) -> Workspace {
    Workspace {
        root: root.to_owned(),
        runbook: RunbookChoice::File(root.join("book.toml")),
        fleet: FleetName::new("cell0").unwrap(),
        lab: None,
        inputs: std::collections::BTreeMap::new(),
        hosts: Vec::new(),
        s3: None,
        hcloud: None,
        mirror: None,
        postgres: None,
        pgbackrest: None,
        age: Some(AgeConfig { recipients, identity: None }),
        approvals: None,
        notify: None,
        digest: crate::digest::Digest::of("x"),
    }
}

#[tokio::test(start_paused = true)]
async fn every_call_may_be_cut_and_the_bucket_ends_as_the_journal() {
    let mut cut = 0;
    for fault in [Fault::DropBefore, Fault::DropAfter] {
        for call in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let bucket = MemoryBucket::default();
            bucket.fail_at(call, fault);
            let machine = Machine::at(folder.path(), "desk").mirrored_in(&bucket, Demand::Required);
            let mut stopped = 0;
            machine.begin();
            for round in 0..3 {
                for _ in 0..round {
                    machine.go_on();
                }
                while let Err(error) = machine.journal.mirrored().await {
                    assert_eq!(error.code(), codes::MIRROR_BEHIND, "{error:?}");
                    stopped += 1;
                }
                assert_eq!(held(&bucket), machine.bytes(), "{fault:?} in call {call}");
            }
            if bucket.calls() <= call {
                break;
            }
            assert_eq!(stopped, 1, "{fault:?} in call {call}");
            assert_eq!(check(&bucket, folder.path()).await.unwrap().seq.0, 4);
            cut += 1;
        }
    }
    assert!(cut > 12, "only {cut} calls were cut");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_taken_over_is_refused_to_the_former_machine() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bucket = MemoryBucket::default();
    let former = Machine::at(one.path(), "desk").mirrored_in(&bucket, Demand::Wanted);
    former.begin();
    former.journal.mirrored().await.unwrap();
    takes_over(&bucket, two.path(), "laptop").await.unwrap();
    let now = Machine::at(two.path(), "laptop").mirrored_in(&bucket, Demand::Required);
    assert_eq!(now.journal.state().epoch().0, 2);

    // Whatever the workspace demands: what somebody else wrote is no matter of reaching.
    former.go_on();
    let error = former.journal.mirrored().await.unwrap_err();
    assert_eq!(error.code(), codes::MIRROR_AHEAD, "{error:?}");
    assert!(error.to_string().contains("ada@laptop took the run over (epoch 2)"), "{error}");
    assert!(
        error.next_moves().iter().any(|next| next.contains("--from-mirror s3://memory/run")),
        "{error:?}"
    );
    // Also once it is started again.
    drop(former);
    let former = Machine::at(one.path(), "desk").mirrored_in(&bucket, Demand::Required);
    assert_eq!(former.journal.mirrored().await.unwrap_err().code(), codes::MIRROR_AHEAD);
    assert_eq!(check(&bucket, one.path()).await.unwrap_err().code(), codes::MIRROR_AHEAD);

    now.go_on();
    now.journal.mirrored().await.unwrap();
    assert_eq!(held(&bucket), now.bytes());
}

#[tokio::test(start_paused = true)]
async fn of_two_that_take_over_at_once_one_gets_it() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let bucket = MemoryBucket::default();
    let former = Machine::at(folders[0].path(), "desk").mirrored_in(&bucket, Demand::Required);
    former.begin();
    former.journal.mirrored().await.unwrap();
    let one = bring(&bucket, folders[1].path()).await.unwrap();
    let two = bring(&bucket, folders[2].path()).await.unwrap();
    one.take_over(Rc::new(bucket.clone()), operator("one"), clock()).await.unwrap();
    let error = two.take_over(Rc::new(bucket.clone()), operator("two"), clock()).await.unwrap_err();
    assert_eq!(error.code(), codes::MIRROR_AHEAD, "{error:?}");
    assert!(!StateDir::of(folders[2].path()).path().exists(), "the loser has no run");
    // It may be taken over again, by whoever reads what became of it first.
    takes_over(&bucket, folders[2].path(), "two").await.unwrap();
    assert_eq!(Machine::at(folders[2].path(), "two").journal.state().epoch().0, 3);
    // A folder that holds a run is no place for another one.
    let error = bring(&bucket, folders[2].path()).await.unwrap_err();
    assert_eq!(error.code(), codes::MIRROR_FOLDER, "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_taking_over_that_is_cut_anywhere_is_done_once_more() {
    for fault in [Fault::DropBefore, Fault::DropAfter] {
        for call in 0.. {
            let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
            let bucket = MemoryBucket::default();
            let former = Machine::at(folders[0].path(), "desk").mirrored_in(&bucket, Demand::Required);
            former.begin();
            former.journal.mirrored().await.unwrap();
            let before = bucket.calls();
            bucket.fail_at(before + call, fault);
            let first = takes_over(&bucket, folders[1].path(), "laptop").await;
            if bucket.calls() <= before + call {
                first.unwrap();
                break;
            }
            first.unwrap_err();
            takes_over(&bucket, folders[1].path(), "laptop").await.unwrap();
            let now = Machine::at(folders[1].path(), "laptop");
            assert!(now.journal.state().epoch().0 >= 2, "{fault:?} in call {call}");
            assert_eq!(held(&bucket), now.bytes(), "{fault:?} in call {call}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_mirror_that_is_away_stops_the_run_or_is_caught_up_as_the_workspace_says() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = MemoryBucket::default();
    bucket.away(true);
    let machine = Machine::at(folder.path(), "desk").mirrored_in(&bucket, Demand::Required);
    machine.begin();
    let error = machine.journal.mirrored().await.unwrap_err();
    assert_eq!(error.code(), codes::MIRROR_BEHIND, "{error:?}");
    assert!(error.next_moves().iter().any(|next| next.contains("mirror_required = false")), "{error:?}");

    let machine = machine.mirrored_in(&bucket, Demand::Wanted);
    let told = Rc::new(Collect::default());
    machine.journal.listen(told.clone());
    let calls = bucket.calls();
    for _ in 0..5 {
        machine.go_on();
        machine.journal.mirrored().await.unwrap();
    }
    // It is not asked again for each record.
    assert_eq!(bucket.calls(), calls + 1);
    let note = Note::of(&machine.dir).unwrap();
    assert!(note.seq.0 == 0 && note.trouble.unwrap().contains("nobody answers"));
    bucket.away(false);
    tokio::time::advance(std::time::Duration::from_secs(31)).await;
    machine.journal.mirrored().await.unwrap();
    assert_eq!(held(&bucket), machine.bytes());
    assert_eq!((Note::of(&machine.dir).unwrap().seq.0, Note::of(&machine.dir).unwrap().trouble), (6, None));
    let told: Vec<_> =
        told.0.borrow().iter().filter(|event| !matches!(event, Event::Recorded { .. })).cloned().collect();
    assert!(matches!(told[..], [Event::MirrorBehind { .. }, Event::MirrorCaughtUp { seq: 6 }]), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_overwrites_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = MemoryBucket::default();
    bucket.overwrite();
    let machine = Machine::at(folder.path(), "desk").mirrored_in(&bucket, Demand::Wanted);
    machine.begin();
    let error = machine.journal.mirrored().await.unwrap_err();
    assert_eq!(error.code(), codes::MIRROR_OVERWRITES, "{error:?}");
    assert!(held(&bucket).is_empty());
    assert_eq!(check(&bucket, folder.path()).await.unwrap_err().code(), codes::MIRROR_OVERWRITES);
}

#[tokio::test(start_paused = true)]
async fn what_is_damaged_or_missing_is_refused_before_anything_counts() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bucket = MemoryBucket::default();
    let error = bring(&bucket, two.path()).await.unwrap_err();
    assert_eq!(error.code(), codes::MIRROR_EMPTY, "{error:?}");
    let machine = Machine::at(one.path(), "desk").mirrored_in(&bucket, Demand::Required);
    machine.begin();
    for _ in 0..3 {
        machine.go_on();
        machine.journal.mirrored().await.unwrap();
    }
    let whole = bucket.objects();
    let last = whole.keys().rfind(|name| name.starts_with("journal/")).unwrap().clone();
    let mut tried = 0;
    for (name, bytes) in &whole {
        // The mark says nothing, and a journal that ends sooner is a shorter one.
        if !name.contains('/') {
            continue;
        }
        let body = bytes
            .iter()
            .position(|b| *b == b'\n')
            .filter(|_| name.starts_with("journal/"))
            .map_or(0, |at| at + 1);
        let mut flipped = bytes.clone();
        if let Some(byte) = flipped.get_mut(body + (bytes.len() - body) / 2) {
            *byte ^= 1;
        } else {
            flipped.push(b'x');
        }
        let cut = bytes.get(..bytes.len().saturating_sub(1)).filter(|cut| cut != bytes).map(<[u8]>::to_vec);
        let gone = (*name != last).then_some(None);
        for damage in [Some(Some(flipped)), cut.map(Some), gone].into_iter().flatten() {
            bucket.set(name, damage.clone());
            let error = bring(&bucket, two.path()).await.unwrap_err();
            assert_eq!(error.code(), codes::MIRROR_DAMAGED, "{name} as {damage:?}: {error:?}");
            assert!(!StateDir::of(two.path()).path().exists());
            bucket.set(name, Some(bytes.clone()));
            tried += 1;
        }
    }
    assert!(tried > 10, "only {tried}");
    bring(&bucket, two.path()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_whole_workspace_comes_along_and_no_secret_in_clear() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let identity = age::x25519::Identity::generate();
    let recipients = vec![identity.to_public().to_string()];
    let bucket = MemoryBucket::default();
    let machine =
        Machine::at(one.path(), "desk").with_files_of(&bucket, &workspace(one.path(), recipients.clone()));
    fs::write(machine.dir.known_hosts(), "node-1 ssh-ed25519 AAAA\n").unwrap();
    let sealing = Sealing::new(Sealed::new(machine.dir.secrets()), recipients, Redactor::new());
    let name = SecretName::new("repo-pass").unwrap();
    let value = SecretString::from("correct horse battery");
    let digest = sealing.seal(&name, &value).unwrap();
    machine.begin();
    machine.journal.mirrored().await.unwrap();
    // What changes later goes with the next record.
    fs::write(machine.dir.known_hosts(), "node-1 ssh-ed25519 BBBB\n").unwrap();
    machine.go_on();
    machine.journal.mirrored().await.unwrap();
    let key = fs::read(machine.dir.secrets().join(".key")).unwrap();
    for (name, bytes) in bucket.objects() {
        for secret in [key.as_slice(), hex::encode(&key).as_bytes(), b"correct horse battery"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{name} holds a secret");
        }
    }

    let brought = bring(&bucket, two.path()).await.unwrap();
    assert_eq!(brought.open_digest_key(Some(&identity.to_string())).unwrap(), None);
    brought.take_over(Rc::new(bucket.clone()), operator("laptop"), clock()).await.unwrap();
    let dir = StateDir::of(two.path());
    assert_eq!(fs::read_to_string(dir.known_hosts()).unwrap(), "node-1 ssh-ed25519 BBBB\n");
    assert_eq!(fs::read(two.path().join("hactl.toml")).unwrap(), b"runbook = \"book.toml\"\n");
    assert_eq!(fs::read(two.path().join("book.toml")).unwrap(), b"the runbook");
    let sealed = Sealed::new(dir.secrets());
    assert_eq!(sealed.digest(&name).unwrap(), Some(digest));
    assert_eq!(sealed.digest_of(&value).unwrap(), digest, "equal secrets are still recognised");
    assert!(dir.secrets().join(SEALED_KEY).exists());
    // The list of files is not lost by taking over, so the next one finds them too.
    let three = tempfile::tempdir().unwrap();
    takes_over(&bucket, three.path(), "third").await.unwrap();
    assert!(StateDir::of(three.path()).known_hosts().exists());
    // Another file of that name is left alone.
    let four = tempfile::tempdir().unwrap();
    fs::write(four.path().join("hactl.toml"), "fleet = \"other\"\n").unwrap();
    assert_eq!(bring(&bucket, four.path()).await.unwrap_err().code(), codes::MIRROR_FOLDER);
    assert_eq!(fs::read(four.path().join("hactl.toml")).unwrap(), b"fleet = \"other\"\n");
}

#[tokio::test(start_paused = true)]
async fn many_records_go_in_few_objects() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = MemoryBucket::default();
    let machine = Machine::at(folder.path(), "desk");
    machine.begin();
    for _ in 0..1500 {
        machine.go_on();
    }
    let machine = machine.mirrored_in(&bucket, Demand::Required);
    machine.journal.mirrored().await.unwrap();
    assert_eq!(held(&bucket), machine.bytes());
    let objects = bucket.objects().keys().filter(|name| name.starts_with("journal/")).count();
    assert_eq!(objects, 3);
    // One record, one request.
    let calls = bucket.calls();
    machine.go_on();
    machine.journal.mirrored().await.unwrap();
    assert_eq!(bucket.calls(), calls + 1);
}

proptest! {
    #[test]
    fn an_object_of_any_bytes_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = object::decode("journal/000000000001", &bytes);
    }
}
