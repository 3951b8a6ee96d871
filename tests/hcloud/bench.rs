//! The bench that kinds of the cloud are tried on: the engine, the lab's cloud, and a journal that can die.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use hactl::access::{Means, World};
use hactl::clock::SystemClock;
use hactl::diagnostic::{Error, Result, codes};
use hactl::digest::Digest;
use hactl::engine::approver::{Answer, Approver, Asked, Person, Question};
use hactl::engine::driver::Driver;
use hactl::engine::interrupt::Interrupt;
use hactl::event::Collect;
use hactl::evidence::EvidenceStore;
use hactl::journal::fake::FakeDisk;
use hactl::journal::record::{EvidenceRef, Mode, Operator, Record};
use hactl::journal::{Holder, Journal, Lock, StateDir};
use hactl::lab::cloud::backend::ObjectsOnly;
use hactl::lab::cloud::{Cloud, CloudSettings, Existing};
use hactl::name::{OutputName, RunId};
use hactl::plan::Plan;
use hactl::redact::Redactor;
use hactl::runbook::load;
use hactl::step::fleet::Fleet;
use hactl::step::table::Table;
use hactl::transport::hcloud::{
    Deadlines, Firewall, FloatingIp, HcloudClient, HcloudSettings, Head, LoadBalancer, Network,
    PlacementGroup, Resource, Server, SshKey,
};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use crate::client::short;

pub(crate) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0ue6ViJTZQ8UmCfoyQxd8NqGjRZbHHdPHXaNNMaxNg";

/// Where each runbook begins.
pub(crate) const HEAD: &str = r#"[runbook]
name = "objects"
title = "Objects in the cloud"
summary = "For tests."

[[phase]]
id = "0"
title = "Make them"
"#;

/// The steps that make an SSH key and a network.
pub(crate) const KEY_AND_NET: &str = r#"
[[phase.step]]
id = "key"
title = "The key"
[phase.step.action.hcloud_ssh_key]
name = "ops@desk"
public_key = "KEY ops@desk"

[[phase.step]]
id = "net"
title = "The network"
timeout = "30s"
[phase.step.action.hcloud_network]
name = "cell0-net"
ip_range = "10.0.0.0/16"
subnet = "10.0.1.0/24"
zone = "eu-central"
"#;

/// The step that makes a placement group.
pub(crate) const SPREAD: &str = r#"
[[phase.step]]
id = "spread"
title = "The placement group"
[phase.step.action.hcloud_placement_group]
name = "cell0-spread"
"#;

/// The step that makes a firewall with these rules.
pub(crate) fn wall(rules: &str) -> String {
    format!(
        "\n[[phase.step]]\nid = \"wall\"\ntitle = \"The firewall\"\n\
         [phase.step.action.hcloud_firewall]\nname = \"cell0-wall\"\nrules = [{rules}]\n"
    )
}

/// How often an operator types the next command before giving up.
const PATIENCE: usize = 12;

/// What a process is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    Run,
    RollBack,
}

/// A workspace, its cloud, and a journal that can die.
pub(crate) struct Bench {
    pub(crate) cloud: Cloud,
    pub(crate) folder: TempDir,
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) told: Rc<Collect>,
    deadlines: Cell<Deadlines>,
}

struct Nobody;

impl Person for Nobody {
    fn ask<'a>(&'a self, _: &'a str, _: &'a BTreeMap<OutputName, String>) -> Asked<'a> {
        panic!("nobody is asked here")
    }
}

impl Approver for Nobody {
    async fn ask(&self, _question: &Question<'_>) -> Result<Answer> {
        panic!("nobody is asked here")
    }
}

/// Where all ends by itself, it is waited for as long as a busy machine may take.
fn patient() -> Deadlines {
    let (request, action) = (Duration::from_secs(20), Duration::from_secs(20));
    Deadlines { request, action, ..short() }
}

impl Bench {
    pub(crate) fn new(runbook: &str) -> Self {
        Self::with(runbook, Vec::new())
    }

    /// The same, with servers that were there before.
    pub(crate) fn with(runbook: &str, existing: Vec<Existing>) -> Self {
        use std::os::unix::fs::PermissionsExt as _;

        let settings = CloudSettings::local(ObjectsOnly::default());
        let cloud = Cloud::start(CloudSettings { existing, ..settings }).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let identity = age::x25519::Identity::generate();
        std::fs::write(folder.path().join("recipient"), identity.to_public().to_string()).unwrap();
        let file = folder.path().join("identity");
        std::fs::write(&file, identity.to_string().expose_secret()).unwrap();
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, cloud.token()).unwrap();
        std::fs::set_permissions(token, std::fs::Permissions::from_mode(0o600)).unwrap();
        let bench = Self {
            folder,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            told: Rc::default(),
            deadlines: Cell::new(patient()),
            cloud,
        };
        bench.write(runbook);
        bench
    }

    pub(crate) fn write(&self, runbook: &str) {
        let workspace = format!(
            "runbook = \"./objects.toml\"\nfleet = \"cell0\"\n[ssh]\nuser = \"ops\"\n\
             [[host]]\nname = \"node-1\"\naddress = \"192.0.2.1\"\nroles = []\n\
             [age]\nrecipients = [\"{}\"]\nidentity = {{ file = \"identity\" }}\n\
             [hcloud]\ntoken = {{ file = \"token\" }}\nendpoint = \"{}\"\n",
            std::fs::read_to_string(self.folder.path().join("recipient")).unwrap(),
            self.cloud.endpoint()
        );
        std::fs::write(self.file(), workspace).unwrap();
        std::fs::write(self.folder.path().join("objects.toml"), runbook.replace("KEY", KEY)).unwrap();
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("hactl.toml")
    }

    /// From now on hactl gives up soon: for answers and actions that never end.
    pub(crate) fn hurry(&self) {
        self.deadlines.set(short());
    }

    /// One process, from its start to its end.
    pub(crate) fn process(&self, disk: &FakeDisk, job: Job) -> Result<()> {
        self.runtime.block_on(async { self.work(disk, job).await })
    }

    pub(crate) fn fleet(&self, dir: StateDir) -> Fleet {
        let loaded = load::<Table>(&self.file()).unwrap();
        let redactor = Rc::new(Redactor::new());
        let evidence = Rc::new(EvidenceStore::new(dir, redactor.clone()));
        let means = Means { clock: Rc::new(SystemClock), evidence, redactor, person: Rc::new(Nobody) };
        let workspace = Rc::new(loaded.workspace);
        let world = World::new(workspace.clone(), means).unwrap().with_hcloud_deadlines(self.deadlines.get());
        world.listen(self.told.clone());
        Fleet::new(Rc::new(loaded.runbook), workspace, world)
    }

    /// The plan of the whole runbook for a run that has not begun.
    pub(crate) fn plan(&self) -> Plan {
        let fleet = self.fleet(StateDir::of(self.folder.path()));
        let phase = fleet.phase(&load::<Table>(&self.file()).unwrap().runbook.phases[0]);
        self.runtime.block_on(hactl::plan::plan(&fleet, &[phase], &Default::default()))
    }

    async fn work(&self, disk: &FakeDisk, job: Job) -> Result<()> {
        let dir = StateDir::of(self.folder.path());
        dir.create().unwrap();
        let clock = Rc::new(SystemClock);
        let operator = Operator { user: "ada".into(), machine: "desk".into() };
        let since = "2026-11-21T12:00:00Z".parse().unwrap();
        let lock = Lock::take(&dir, Holder::this_process(operator.clone(), since, "test")).unwrap();
        let (journal, _) = Journal::open_on(Box::new(disk.clone()), lock, clock.clone())?;
        let fleet = self.fleet(dir.clone());
        let phase = fleet.phase(&load::<Table>(&self.file()).unwrap().runbook.phases[0]);
        if journal.state().run().is_none() {
            let kept = |name: &str| EvidenceRef { name: name.to_owned(), digest: Digest::of(name), bytes: 0 };
            journal.append(Record::RunStarted {
                run: RunId::new("run-1").unwrap(),
                fleet: "cell0".parse().unwrap(),
                operator: operator.clone(),
                runbook: "objects".parse().unwrap(),
                runbook_bytes: kept("runbook"),
                workspace: kept("hactl.toml"),
                hactl: "0".to_owned(),
                mode: Mode::Production,
            })?;
        }
        let evidence = EvidenceStore::new(dir, Rc::new(Redactor::new()));
        let driver = Driver {
            steps: &fleet,
            journal: &journal,
            evidence: &evidence,
            approver: &Nobody,
            listener: &*self.told,
            clock: &*clock,
            interrupt: Interrupt::default(),
            operator,
        };
        match job {
            Job::Run => driver.run_phase(&phase.id, &phase.title, &phase.steps).await,
            Job::RollBack => {
                driver.settle_doubts(&phase.steps, &phase.id).await?;
                driver.roll_back(&phase.id, &phase.steps).await
            }
        }
    }

    /// An operator types the command again until it is done.
    pub(crate) fn carry_through(&self, disk: &FakeDisk, job: Job, story: &str) {
        let mut last = String::new();
        for _ in 0..PATIENCE {
            match self.process(disk, job) {
                Ok(()) => return,
                Err(error) => {
                    // What the cloud left running ends one day.
                    let undecided = [codes::IN_DOUBT, codes::CANNOT_TELL, codes::ROLLBACK_FAILED];
                    if undecided.contains(&error.code()) {
                        self.cloud.release_actions().unwrap();
                    }
                    last = told(&error);
                }
            }
        }
        panic!("{story}: it never ends: {last}");
    }

    pub(crate) fn client(&self) -> HcloudClient {
        let settings = HcloudSettings { endpoint: self.cloud.endpoint().to_owned(), ca_pem: None };
        HcloudClient::new(settings, &self.cloud.token().into(), patient()).unwrap()
    }

    /// Every object there is, with its labels.
    pub(crate) fn objects(&self) -> Vec<(String, Head)> {
        self.cloud.clear_faults();
        self.runtime.block_on(async {
            let client = self.client();
            let mut all = of_kind::<SshKey>(&client).await;
            all.extend(of_kind::<Network>(&client).await);
            all.extend(of_kind::<PlacementGroup>(&client).await);
            all.extend(of_kind::<Firewall>(&client).await);
            all.extend(of_kind::<FloatingIp>(&client).await);
            all.extend(of_kind::<LoadBalancer>(&client).await);
            all.extend(of_kind::<Server>(&client).await);
            all.sort_by(|a, b| a.0.cmp(&b.0));
            all
        })
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.objects().into_iter().map(|(name, _)| name).collect()
    }

    /// Something that somebody else made.
    pub(crate) fn foreign<R: Resource>(&self, name: &str, body: serde_json::Value) -> R {
        self.runtime.block_on(async {
            let client = self.client();
            let (made, actions) = client.create::<R>(name, body).await.unwrap();
            client.wait(actions, |_: &str| {}).await.unwrap();
            client.get(made.head().id).await.unwrap().unwrap()
        })
    }

    /// Gives an object another name, as its owner would in the console.
    pub(crate) fn rename<R: Resource>(&self, from: &str, to: &str) {
        use std::io::{Read as _, Write as _};

        let found = self.runtime.block_on(self.client().find::<R>(from)).unwrap().unwrap();
        let body = serde_json::json!({ "name": to }).to_string();
        let mut stream = std::net::TcpStream::connect(self.cloud.address()).unwrap();
        write!(
            stream,
            "PUT /v1/{}/{} HTTP/1.1\r\nHost: lab\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            R::MANY,
            found.head().id,
            self.cloud.token(),
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    pub(crate) fn changes(&self) -> Vec<String> {
        self.cloud.requests().into_iter().filter(|request| !request.starts_with("GET ")).collect()
    }
}

pub(crate) fn told(error: &Error) -> String {
    format!("{}: {}", error.code(), error.one_line())
}

async fn of_kind<R: Resource>(client: &HcloudClient) -> Vec<(String, Head)> {
    let objects = client.list::<R>(&[]).await.unwrap();
    objects.iter().map(|o| (format!("{} {}", R::WORDS, o.head().name), o.head().clone())).collect()
}
