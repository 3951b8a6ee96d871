//! Asking and changing a host, over a private sshd on this machine.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::rc::Rc;

use hactl::access::{Command, Means, World};
use hactl::clock::SystemClock;
use hactl::digest::Digest;
use hactl::engine::approver::{Asked, Person};
use hactl::evidence::EvidenceStore;
use hactl::journal::record::{AttemptNumber, Epoch, Place};
use hactl::journal::{AttemptLabel, Purpose, StateDir};
use hactl::name::{FleetName, HostName, OutputName, RunId, RunbookName, StepId};
use hactl::redact::Redactor;
use hactl::transport::ssh::AttemptId;
use hactl::workspace::{RunbookChoice, Workspace};

use crate::sshd::{self, Sshd};
use crate::table::{Table, median, timed};

const TIMES: usize = 100;

pub(crate) fn measure(table: &mut Table) {
    const QUERIES: &str = "a trivial query, median of 100";
    const ATTEMPTS: &str = "a trivial attempt, median of 100";
    if !table.wants(QUERIES) && !table.wants(ATTEMPTS) {
        return;
    }
    if let Some(why) = sshd::cannot() {
        table.note(format!("queries and attempts were not measured: {why}"));
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // As if it were no login: Debian's bash would read root's .bashrc, whatever that does, before every command.
    let sshd = Sshd::start_with("SetEnv SHLVL=2\n");
    sshd.pin("node-1");
    let plain = Warm::open(&sshd);
    let host = sshd.host("node-1");
    let world = world(&sshd);
    let place = Place { step: StepId::new("step").unwrap(), host: Some(host.name.clone()) };
    runtime.block_on(world.view(&place).here().unwrap().reach()).unwrap();
    if table.wants(QUERIES) {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            ours.push(timed(|| runtime.block_on(world.view(&place).here().unwrap().reach()).unwrap()));
            theirs.push(timed(|| plain.run("timeout -k 5 60 true")));
        }
        table.add(QUERIES, median(ours), "ssh over a warm ControlMaster", median(theirs), 1.2);
    }
    if table.wants(ATTEMPTS) {
        let ssh = sshd.ssh(vec![host.clone()]);
        let command = Command::new("true");
        let (mut ours, mut theirs, mut fsyncs) = (Vec::new(), Vec::new(), Vec::new());
        for number in 1..=TIMES + 1 {
            let attempt = attempt(u32::try_from(number).unwrap());
            ours.push(timed(|| {
                runtime.block_on(ssh.perform(&host, &attempt, 1, &command)).unwrap().ok("failed").unwrap()
            }));
            theirs.push(timed(|| plain.run("timeout -k 5 60 true")));
            fsyncs.push(timed(|| like_an_attempt(&sshd.dir.path().join(format!("fsyncs-{number}")))));
        }
        let (theirs, fsyncs) = (median(theirs), median(fsyncs));
        // So that 2 is the target: half of the fsyncs goes into what is doubled.
        table.add(ATTEMPTS, median(ours), "the same, and half of its fsyncs", theirs + fsyncs / 2, 2.0);
        table.note(format!("the fsyncs of an attempt, on the host and in the journal: {fsyncs:.2?}"));
        runtime.block_on(ssh.close());
    }
    runtime.block_on(world.close());
}

/// The fsyncs of an attempt: its intent and its outcome here; on the host its claim, its begin and its end.
fn like_an_attempt(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    let sync = |name: &str| {
        let mut file = File::create(folder.join(name)).unwrap();
        file.write_all(&[7; 300]).unwrap();
        file.sync_all().unwrap();
    };
    for name in ["intent", "owner.new", "words", "status.new", "outcome"] {
        sync(name);
    }
    // The folders of the number, the attempt, the step, the run and all of them; the first one again, twice.
    let above = folder.parent().unwrap();
    for path in [above, above, above, above, folder, folder] {
        File::open(path).unwrap().sync_all().unwrap();
    }
}

/// Plain ssh with a master that is there.
struct Warm<'a> {
    sshd: &'a Sshd,
}

impl<'a> Warm<'a> {
    fn open(sshd: &'a Sshd) -> Self {
        let warm = Self { sshd };
        let opened = warm.ssh().args(["-fN", "-oControlMaster=yes", "node-1"]).status().unwrap();
        assert!(opened.success());
        warm
    }

    fn ssh(&self) -> Process {
        let dir = self.sshd.dir.path();
        let mut ssh = Process::new("ssh");
        ssh.args(["-F", "none", "-oBatchMode=yes", "-oStrictHostKeyChecking=yes", "-oLogLevel=ERROR"])
            .arg(format!("-oUserKnownHostsFile={}", self.sshd.known_hosts().display()))
            .arg("-oHostKeyAlias=node-1")
            .arg("-oHostName=127.0.0.1")
            .arg(format!("-oPort={}", self.sshd.port))
            .arg(format!("-oIdentityFile={}", dir.join("id").display()))
            .arg(format!("-oControlPath={}", dir.join("warm").display()))
            .args(["-l", "root"])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        ssh
    }

    fn run(&self, command: &str) {
        assert!(self.ssh().args(["node-1", command]).status().unwrap().success());
    }
}

impl Drop for Warm<'_> {
    fn drop(&mut self) {
        let _ = self.ssh().args(["-O", "exit", "node-1"]).stderr(Stdio::null()).status();
    }
}

fn attempt(number: u32) -> AttemptId {
    AttemptId {
        fleet: FleetName::new("bench").unwrap(),
        run: RunId::new("run1").unwrap(),
        epoch: Epoch(1),
        step: StepId::new("step").unwrap(),
        place_host: Some(HostName::new("node-1").unwrap()),
        label: AttemptLabel { purpose: Purpose::Action, number: AttemptNumber(number) },
    }
}

fn world(sshd: &Sshd) -> World {
    let host = sshd.host("node-1");
    let root = sshd.dir.path().to_owned();
    let workspace = Workspace {
        approvals: None,
        notify: None,
        root: root.clone(),
        runbook: RunbookChoice::Bundled(RunbookName::new("cell0").unwrap()),
        fleet: FleetName::new("bench").unwrap(),
        lab: None,
        inputs: BTreeMap::new(),
        hosts: vec![host.clone()],
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
    let means = Means { clock: Rc::new(SystemClock), evidence, redactor, person: Rc::new(Nobody) };
    World::over(Rc::new(workspace), means, sshd.ssh(vec![host]))
}

struct Nobody;

impl Person for Nobody {
    fn ask<'a>(&'a self, _: &'a str, _: &'a BTreeMap<OutputName, String>) -> Asked<'a> {
        panic!("nobody is asked here")
    }
}
