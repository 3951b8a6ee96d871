//! The mirror on a real server, and one suite for the bucket that it needs: held against the server and against the fake
//! that the other tests use.

use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hactl::clock::SystemClock;
use hactl::diagnostic::codes;
use hactl::event::{Collect, Event};
use hactl::evidence::EvidenceStore;
use hactl::journal::record::{Mode, Operator, Record};
use hactl::journal::{Holder, Journal, Lock, StateDir};
use hactl::mirror::bring::bring;
use hactl::mirror::memory::MemoryBucket;
use hactl::mirror::{Bucket, LateBucket, Mirror, Put, S3Bucket, Source, check, honours_conditions, prepare};
use hactl::name::{FleetName, RunId, RunbookName};
use hactl::redact::Redactor;
use hactl::secret::SecretRef;
use hactl::transport::faulty::{OnRequest, Waiting};
use hactl::transport::s3::{Addressing, Deadlines, S3Client};
use hactl::units::Size;
use hactl::workspace::{Demand, MirrorConfig, S3Config};
use rustix::process::Signal;

use crate::weed::{Weed, credential, secret_of};
use crate::{Case, on_one_thread};

pub(crate) const CASES: &[Case] = &[
    ("mirror::a_bucket_and_its_fake_keep_one_contract", |weed| on_one_thread(contract(weed))),
    ("mirror::every_request_may_be_cut_and_its_answer_lost", |weed| on_one_thread(cut(weed))),
    ("mirror::one_record_costs_one_request", |weed| on_one_thread(one_request(weed))),
    ("mirror::of_two_machines_one_holds_the_run", |weed| on_one_thread(two_machines(weed))),
    ("mirror::a_server_that_stands_still_stops_the_run", |_| on_one_thread(stands_still())),
    ("mirror::its_bucket_is_made_once_and_tried", |weed| on_one_thread(prepared(weed))),
    ("mirror::a_secret_that_comes_later_is_found_then", |weed| on_one_thread(late(weed))),
];

fn operator(machine: &str) -> Operator {
    Operator { user: "ada".into(), machine: machine.into() }
}

fn client(weed: &Weed, bucket: &str, faults: Option<&Waiting>) -> S3Client {
    S3Client::under(
        weed.settings(bucket),
        &credential("writer"),
        Deadlines::default(),
        faults.map(Waiting::faulty).as_ref(),
    )
    .unwrap()
}

async fn made(weed: &Weed, bucket: &str) -> S3Client {
    let client = client(weed, bucket, None);
    client.create_bucket().await.unwrap();
    client
}

async fn contract(weed: &Weed) {
    let real = S3Bucket::new(made(weed, "mirror-contract").await, "a/b/");
    let other = S3Bucket::new(client(weed, "mirror-contract", None), "a/");
    keeps_its_contract(&real).await;
    keeps_its_contract(&MemoryBucket::default()).await;
    // What is beside the prefix is another mirror.
    assert_eq!(other.list("journal/", None).await.unwrap(), [""; 0]);
    assert_eq!(other.list("b/journal/", None).await.unwrap().len(), 3);
}

async fn keeps_its_contract(bucket: &dyn Bucket) {
    assert_eq!(bucket.get("journal/3", Size(9)).await.unwrap(), None);
    assert_eq!(bucket.list("journal/", None).await.unwrap(), [""; 0]);
    for name in ["journal/3", "journal/1", "journal/2", "blob/x"] {
        assert_eq!(bucket.put_new(name, name.as_bytes()).await.unwrap(), Put::Written);
        assert_eq!(bucket.put_new(name, b"other").await.unwrap(), Put::NameTaken);
        let long = name.len() as u64;
        assert_eq!(bucket.get(name, Size(long)).await.unwrap().as_deref(), Some(name.as_bytes()));
        // What is larger than whoever asks expects is damage: a mirror that may be away must not pass over it.
        let error = bucket.get(name, Size(long - 1)).await.unwrap_err();
        assert_eq!(error.code(), codes::MIRROR_DAMAGED, "{error:?}");
        assert!(error.to_string().contains(&format!("larger than the {}B", long - 1)), "{error}");
    }
    assert_eq!(bucket.list("journal/", None).await.unwrap(), ["journal/1", "journal/2", "journal/3"]);
    assert_eq!(bucket.list("journal/", Some("journal/1")).await.unwrap(), ["journal/2", "journal/3"]);
    assert_eq!(bucket.list("journal/", Some("journal/3")).await.unwrap(), [""; 0]);
    honours_conditions(bucket).await.unwrap();
    honours_conditions(bucket).await.unwrap();
}

struct Machine {
    dir: StateDir,
    journal: Journal,
}

impl Machine {
    fn new(root: &Path, name: &str, client: S3Client) -> Self {
        let dir = StateDir::of(root);
        let holder = Holder::this_process(operator(name), "2026-11-21T12:00:00Z".parse().unwrap(), "test");
        let (journal, _) = Journal::open(Lock::take(&dir, holder).unwrap(), Rc::new(SystemClock)).unwrap();
        let bucket = Rc::new(S3Bucket::new(client, "run/"));
        let source = Source::of(&dir);
        journal.mirror_to(Mirror::bare(bucket, dir.clone(), source, operator(name), Demand::Required));
        Self { dir, journal }
    }

    fn begin(&self) {
        let evidence = EvidenceStore::new(self.dir.clone(), Rc::new(Redactor::new()));
        let started = Record::RunStarted {
            run: RunId::generate(),
            fleet: FleetName::new("cell0").unwrap(),
            operator: operator("desk"),
            runbook: RunbookName::new("cell0").unwrap(),
            runbook_bytes: evidence.put("runbook", b"the runbook").unwrap(),
            workspace: evidence.put("hactl.toml", b"runbook = \"cell0\"\n").unwrap(),
            hactl: "0.1.0".into(),
            mode: Mode::Production,
        };
        self.journal.append(started).unwrap();
    }

    /// On a machine that is busy, a server may be slow for a while.
    async fn is_mirrored_in_the_end(&self) {
        let until = Instant::now() + Duration::from_secs(120);
        while let Err(error) = self.journal.mirrored().await {
            assert!(error.code() == codes::MIRROR_BEHIND && Instant::now() < until, "{error:?}");
        }
    }

    fn go_on(&self) {
        let command = "hactl resume".to_owned();
        self.journal.append(Record::Resumed { operator: operator("desk"), command }).unwrap();
    }
}

/// What a new machine would have.
async fn brought(client: S3Client) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let brought = bring(&S3Bucket::new(client, "run/"), folder.path()).await.unwrap();
    std::fs::read(brought.dir().journal()).unwrap()
}

/// Each request in turn meets each fault. The write that was done and whose answer is lost is known again as our own.
async fn cut(weed: &Weed) {
    let mut requests = 0;
    for (index, fault) in [OnRequest::Refuse, OnRequest::DropBefore, OnRequest::DropAfter, OnRequest::Twice]
        .into_iter()
        .enumerate()
    {
        for method in ["PUT", "GET"] {
            for nth in 0..8 {
                let name = format!("mirror-cut-{index}-{}-{nth}", method.to_lowercase());
                let outside = made(weed, &name).await;
                let faults = Waiting::default();
                faults.on_nth(method, nth, fault);
                let folder = tempfile::tempdir().unwrap();
                let machine = Machine::new(folder.path(), "desk", client(weed, &name, Some(&faults)));
                machine.begin();
                // Tried again within the call, by the client for reads and by the mirror for writes on a condition.
                machine.journal.mirrored().await.unwrap();
                machine.go_on();
                machine.go_on();
                machine.journal.mirrored().await.unwrap();
                let there = std::fs::read(machine.dir.journal()).unwrap();
                assert_eq!(brought(outside).await, there, "{fault:?} in {method} {nth}");
                if faults.waiting() > 0 {
                    break;
                }
                requests += 1;
            }
        }
    }
    assert!(requests > 20, "only {requests} requests were cut");
}

async fn one_request(weed: &Weed) {
    made(weed, "mirror-cost").await;
    let faults = Waiting::default();
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::new(folder.path(), "desk", client(weed, "mirror-cost", Some(&faults)));
    machine.begin();
    machine.journal.mirrored().await.unwrap();
    let before = faults.seen().len();
    for _ in 0..3 {
        machine.go_on();
        machine.journal.mirrored().await.unwrap();
        // Nothing is new, so nothing is asked.
        machine.journal.mirrored().await.unwrap();
    }
    assert_eq!(faults.seen().len(), before + 3, "{:?}", faults.seen());
    // A process that starts: the mark, a listing from the last object on, and that object.
    drop(machine);
    let faults = Waiting::default();
    let machine = Machine::new(folder.path(), "desk", client(weed, "mirror-cost", Some(&faults)));
    machine.journal.mirrored().await.unwrap();
    assert_eq!(faults.seen().len(), 3, "{:?}", faults.seen());
}

async fn two_machines(weed: &Weed) {
    let outside = made(weed, "mirror-two").await;
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let former = Machine::new(one.path(), "desk", outside.clone());
    former.begin();
    former.journal.mirrored().await.unwrap();
    let bucket = Rc::new(S3Bucket::new(outside.clone(), "run/"));
    let taken = bring(bucket.as_ref(), two.path()).await.unwrap();
    // It writes once more while it is taken over: then it is not.
    former.go_on();
    former.journal.mirrored().await.unwrap();
    let error = taken.take_over(bucket.clone(), operator("laptop"), Rc::new(SystemClock)).await.unwrap_err();
    assert_eq!(error.code(), codes::MIRROR_AHEAD, "{error:?}");
    let taken = bring(bucket.as_ref(), two.path()).await.unwrap();
    taken.take_over(bucket.clone(), operator("laptop"), Rc::new(SystemClock)).await.unwrap();
    former.go_on();
    let error = former.journal.mirrored().await.unwrap_err();
    assert_eq!(error.code(), codes::MIRROR_AHEAD, "{error:?}");
    let now = Machine::new(two.path(), "laptop", outside);
    now.go_on();
    now.journal.mirrored().await.unwrap();
    let checked = check(bucket.as_ref(), two.path()).await.unwrap();
    assert_eq!(Some(checked.seq), now.journal.state().last().map(|(seq, _)| seq));
}

async fn stands_still() {
    // A server of its own, for the others need theirs.
    let weed = Weed::start();
    made(&weed, "still").await;
    let deadlines = Deadlines {
        connect: Duration::from_secs(2),
        attempt: Duration::from_secs(2),
        call: Duration::from_secs(4),
        silence: Duration::from_secs(2),
    };
    let impatient = S3Client::new(weed.settings("still"), &credential("writer"), deadlines).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::new(folder.path(), "desk", impatient);
    machine.begin();
    machine.is_mirrored_in_the_end().await;
    weed.signal(Signal::STOP);
    machine.go_on();
    let error = machine.journal.mirrored().await.unwrap_err();
    assert_eq!(error.code(), codes::MIRROR_BEHIND, "{error:?}");
    weed.signal(Signal::CONT);
    // Whatever became of what was sent meanwhile: it is found, or written now.
    machine.is_mirrored_in_the_end().await;
    let there = std::fs::read(machine.dir.journal()).unwrap();
    assert_eq!(brought(client(&weed, "still", None)).await, there);
}

/// A secret in a file that nobody else can read.
fn kept(folder: &Path, name: &str, value: &str) -> SecretRef {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join(name);
    std::fs::write(&path, value).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    SecretRef::File(name.into())
}

/// A mirror in a bucket, as a workspace names it.
fn config(weed: &Weed, bucket: &str, keys: [SecretRef; 2], demand: Demand) -> MirrorConfig {
    let settings = weed.settings(bucket);
    let [access_key, secret_key] = keys;
    MirrorConfig {
        s3: S3Config {
            endpoint: settings.endpoint,
            region: settings.region,
            bucket: bucket.into(),
            addressing: Addressing::Path,
            ca: Some(weed.ca()),
            access_key,
            secret_key,
            restore: None,
        },
        prefix: "run/".into(),
        demand,
    }
}

/// A mirror that the run may go on without, and whose secret is not to be had at first.
async fn late(weed: &Weed) {
    let outside = made(weed, "mirror-late").await;
    let folder = tempfile::tempdir().unwrap();
    let keys = [SecretRef::File("access".into()), SecretRef::File("secret".into())];
    let config = config(weed, "mirror-late", keys, Demand::Wanted);
    let late = || Rc::new(LateBucket::new(config.clone(), folder.path(), Rc::new(Redactor::new())));
    let bucket = late();
    let machine = Machine::new(folder.path(), "desk", outside.clone());
    let mirrored = |bucket: &Rc<LateBucket>| {
        let (bucket, source) = (bucket.clone(), Source::of(&machine.dir));
        let mirror = Mirror::bare(bucket, machine.dir.clone(), source, operator("desk"), Demand::Wanted);
        machine.journal.mirror_to(mirror);
    };
    let told = Rc::new(Collect::default());
    machine.journal.listen(told.clone());
    mirrored(&bucket);
    machine.begin();
    machine.journal.mirrored().await.unwrap();
    let behind =
        |event: &Event| matches!(event, Event::MirrorBehind { why, .. } if why.contains("cannot be had"));
    assert!(told.0.borrow().iter().any(behind), "{:?}", told.0.borrow());
    assert_eq!(bucket.list("journal/", None).await.unwrap_err().code(), codes::SECRET_UNRESOLVED);
    // The same bucket finds it once it is there.
    kept(folder.path(), "access", "writer");
    kept(folder.path(), "secret", &secret_of("writer"));
    assert_eq!(bucket.list("journal/", None).await.unwrap(), [""; 0]);
    assert_eq!(bucket.url(), S3Bucket::new(outside.clone(), "run/").url());
    // A mirror that was away is left alone for a while; this one has not asked yet.
    mirrored(&bucket);
    machine.journal.mirrored().await.unwrap();
    assert_eq!(brought(outside.clone()).await, std::fs::read(machine.dir.journal()).unwrap());

    // What somebody else wrote is refused once the secret is there, whatever was gone on with before.
    let two = tempfile::tempdir().unwrap();
    let taken = bring(bucket.as_ref(), two.path()).await.unwrap();
    taken.take_over(bucket.clone(), operator("laptop"), Rc::new(SystemClock)).await.unwrap();
    std::fs::rename(folder.path().join("secret"), folder.path().join("away")).unwrap();
    let again = late();
    mirrored(&again);
    machine.go_on();
    machine.journal.mirrored().await.unwrap();
    std::fs::rename(folder.path().join("away"), folder.path().join("secret")).unwrap();
    mirrored(&again);
    assert_eq!(machine.journal.mirrored().await.unwrap_err().code(), codes::MIRROR_AHEAD);
}

async fn prepared(weed: &Weed) {
    let folder = tempfile::tempdir().unwrap();
    let kept = |name: &str, value: &str| kept(folder.path(), name, value);
    let keys = [kept("access", "writer"), kept("secret", &secret_of("writer"))];
    let config = config(weed, "mirror-made", keys, Demand::Required);
    let redactor = Rc::new(Redactor::new());
    assert!(prepare(&config, folder.path(), redactor.clone()).await.unwrap().made);
    assert!(!prepare(&config, folder.path(), redactor.clone()).await.unwrap().made);
    // A key that may not write is no key for a mirror.
    let reader = MirrorConfig {
        s3: S3Config {
            access_key: kept("reader", "restorer"),
            secret_key: kept("reader-secret", &secret_of("restorer")),
            ..config.s3.clone()
        },
        prefix: "other/".into(),
        ..config
    };
    let error = prepare(&reader, folder.path(), redactor).await.unwrap_err();
    assert_eq!(error.code(), codes::S3_DENIED, "{error:?}");
}
