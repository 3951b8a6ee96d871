//! A workspace with a real journal, on which kinds are carried out as the engine does it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::rc::Rc;

use age::x25519::Identity;
use hactl::access::{Means, World};
use hactl::clock::{Clock as _, SystemClock};
use hactl::diagnostic::Result;
use hactl::digest::Digest;
use hactl::engine::approver::{Asked, Person};
use hactl::engine::gate::Cleared;
use hactl::evidence::EvidenceStore;
use hactl::journal::record::{EvidenceRef, Mode, Observed, Operator, Outputs, Place, Record};
use hactl::journal::{Holder, Journal, Lock, StateDir};
use hactl::name::{FleetName, OutputName, RunId, RunbookName, StepId};
use hactl::redact::Redactor;
use hactl::runbook::Gate;
use hactl::secret::SecretRef;
use hactl::step::{Evidence, Failure, StepKind};
use hactl::transport::faulty::Waiting;
use hactl::transport::s3::{Addressing, Deadlines, S3Client};
use hactl::workspace::{AgeConfig, RestoreKey, RunbookChoice, S3Config, Workspace};
use secrecy::ExposeSecret as _;

use crate::weed::{Weed, credential, secret_of};

pub(crate) struct Bench {
    folder: tempfile::TempDir,
    world: World,
    journal: Journal,
    place: Place,
    pub(crate) redactor: Rc<Redactor>,
    pub(crate) faults: Waiting,
    /// Looks at the bucket from outside.
    pub(crate) outside: S3Client,
}

struct Nobody;

impl Person for Nobody {
    fn ask<'a>(&'a self, _: &'a str, _: &'a BTreeMap<OutputName, String>) -> Asked<'a> {
        unreachable!("no kind of these asks a person")
    }
}

impl Bench {
    /// A workspace for a bucket; restores are read by `restorer`.
    pub(crate) fn new(weed: &Weed, bucket: &str, restorer: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kept = |name: &str, value: &str| {
            let path = folder.path().join(name);
            fs::write(&path, value).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            SecretRef::File(name.into())
        };
        let identity = Identity::generate();
        let settings = weed.settings(bucket);
        let workspace = Workspace {
            approvals: None,
            notify: None,
            root: folder.path().to_owned(),
            runbook: RunbookChoice::Bundled(RunbookName::new("cell0").unwrap()),
            fleet: FleetName::new("test").unwrap(),
            // Faults are refused elsewhere.
            lab: Some("bench".into()),
            inputs: BTreeMap::new(),
            hosts: Vec::new(),
            s3: Some(S3Config {
                endpoint: settings.endpoint.clone(),
                region: settings.region.clone(),
                bucket: bucket.into(),
                addressing: Addressing::Path,
                ca: Some(weed.ca()),
                access_key: kept("access", "writer"),
                secret_key: kept("secret", &secret_of("writer")),
                restore: Some(RestoreKey {
                    access_key: kept("restore-access", restorer),
                    secret_key: kept("restore-secret", &secret_of(restorer)),
                }),
            }),
            postgres: None,
            hcloud: None,
            mirror: None,
            pgbackrest: None,
            age: Some(AgeConfig {
                recipients: vec![identity.to_public().to_string()],
                identity: Some(kept("identity", identity.to_string().expose_secret())),
            }),
            digest: Digest::of("workspace"),
        };
        let clock = Rc::new(SystemClock);
        let dir = StateDir::of(folder.path());
        dir.create().unwrap();
        let operator = Operator { user: "ada".into(), machine: "desk".into() };
        let holder = Holder::this_process(operator.clone(), clock.now(), "test");
        let (journal, _) = Journal::open(Lock::take(&dir, holder).unwrap(), clock.clone()).unwrap();
        let started = Record::RunStarted {
            run: RunId::generate(),
            fleet: workspace.fleet.clone(),
            operator,
            runbook: RunbookName::new("cell0").unwrap(),
            runbook_bytes: EvidenceRef { name: "runbook".into(), digest: Digest::of("runbook"), bytes: 7 },
            workspace: EvidenceRef { name: "hactl.toml".to_owned(), digest: workspace.digest, bytes: 0 },
            hactl: "0.1.0".into(),
            mode: Mode::Production,
        };
        journal.append(started).unwrap();
        let redactor = Rc::new(Redactor::new());
        let evidence = Rc::new(EvidenceStore::new(dir, redactor.clone()));
        let means = Means { clock, evidence, redactor: redactor.clone(), person: Rc::new(Nobody) };
        let faults = Waiting::default();
        let world = World::new(Rc::new(workspace), means).unwrap();
        let world = world.under(faults.faulty()).unwrap();
        let outside = S3Client::new(settings, &credential("writer"), Deadlines::default()).unwrap();
        let place = Place { step: StepId::new("step").unwrap(), host: None };
        Self { folder, world, journal, place, redactor, faults, outside }
    }

    pub(crate) async fn observe<K: StepKind>(&self, kind: &K) -> Result<Observed> {
        kind.observe(&self.world.view(&self.place), None).await
    }

    pub(crate) async fn blocking<K: StepKind>(&self, kind: &K) -> Vec<String> {
        let findings = kind.check(&self.world.view(&self.place)).await.unwrap();
        findings.blocking().map(ToOwned::to_owned).collect()
    }

    /// Observes, records the intent, acts. A failure is recorded as the engine does it.
    pub(crate) async fn apply<K: StepKind>(&self, kind: &K) -> Result<Outputs, Failure> {
        let observed = self.observe(kind).await.unwrap();
        let Observed::NotApplied { change, before } = observed.clone() else {
            panic!("there is nothing to do: {observed:?}")
        };
        self.journal.append(Record::Observed { place: self.place.clone(), observed }).unwrap();
        let action = Digest::of_json(kind).unwrap();
        let cleared = Cleared::without_gate(Gate::None, self.place.clone(), action, change, before).unwrap();
        let intent = self.journal.intend(cleared, Vec::new()).await.unwrap();
        let attempt = intent.attempt();
        let place = self.place.clone();
        let outcome = kind.apply(&self.world.hands(&intent)).await;
        let record = match &outcome {
            Ok(outputs) => Record::Applied { place, attempt, outputs: outputs.clone() },
            Err(Failure::NotStarted(error)) => Record::NotStarted { place, attempt, error: error.one_line() },
            Err(Failure::Unclear(error)) => Record::InDoubt { place, attempt, why: error.one_line() },
        };
        self.journal.append(record).unwrap();
        outcome
    }

    /// Settles a doubt by looking.
    pub(crate) async fn decide<K: StepKind>(&self, kind: &K) -> Observed {
        let observed = self.observe(kind).await.unwrap();
        let attempt = self.journal.state().checkpoint(&self.place).unwrap().attempt;
        let decided =
            Record::Decided { place: self.place.clone(), attempt, observed: observed.clone(), by: None };
        self.journal.append(decided).unwrap();
        observed
    }

    /// Takes what is observed as done, as the engine does with a step that has nothing to change.
    pub(crate) async fn accept<K: StepKind>(&self, kind: &K) {
        let observed = self.observe(kind).await.unwrap();
        assert!(matches!(observed, Observed::Applied(_)), "{observed:?}");
        self.journal.append(Record::Observed { place: self.place.clone(), observed }).unwrap();
    }

    pub(crate) async fn verify<K: StepKind>(&self, kind: &K) -> Result<Evidence> {
        let trial = self.journal.begin_trial(self.place.clone(), Vec::new()).await.unwrap();
        kind.verify(&self.world.trial(&trial)).await
    }

    pub(crate) async fn undo<K: StepKind>(&self, kind: &K) -> Result<(), Failure> {
        let rollback = self.journal.begin_rollback(self.place.clone(), Vec::new()).await.unwrap();
        kind.undo(&self.world.undoing(&rollback)).await
    }

    /// Everything that the workspace's own folder holds, as text.
    pub(crate) fn kept(&self) -> String {
        let mut text = String::new();
        let mut folders = vec![StateDir::of(self.folder.path()).path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    text.push_str(&String::from_utf8_lossy(&fs::read(&path).unwrap()));
                }
            }
        }
        text
    }

    /// A secret that hactl keeps, decrypted as a later step would.
    pub(crate) async fn kept_secret(&self, name: &str) -> String {
        let name = hactl::name::SecretName::new(name).unwrap();
        let secret = self.world.view(&self.place).kept_secret(&name).await.unwrap();
        secret.expose_secret().to_owned()
    }
}
