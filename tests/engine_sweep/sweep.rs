//! The sweep itself: starts processes over the model world, kills them, starts them again, and judges what is left.

mod disk;
pub(crate) mod mirror;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::rc::Rc;

use hactl::clock::FixedClock;
use hactl::diagnostic::{Error, Result, codes};
use hactl::digest::Digest;
use hactl::engine::approver::{Answer, Approver, Question};
use hactl::engine::doubt::{Met, Verdict};
use hactl::engine::driver::Driver;
use hactl::engine::interrupt::Interrupt;
use hactl::engine::seam::{Signers, StepTasks, Task};
use hactl::engine::state::State;
use hactl::event::Nobody;
use hactl::evidence::EvidenceStore;
use hactl::journal::disk::Disk;
use hactl::journal::fake::{Call, FakeDisk, Fault as DiskFault};
use hactl::journal::record::{EvidenceRef, How, Mode, Operator, Place, Record};
use hactl::journal::{Holder, Journal, Lines, Lock, RunState, StateDir};
use hactl::name::{FleetName, HostName, PhaseId, RunId, RunbookName, StepId};
use hactl::redact::Redactor;
use hactl::runbook::Gate;

use mirror::Deadly;

use crate::world::{Fault, Guard, Kind, Model, TIMEOUT, Thing, When, World};

/// How often an operator types the next command before giving up.
const PATIENCE: usize = 12;

/// What a process is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    Run,
    /// Verifies again what was run.
    Verify,
    RollBack,
    /// Rolls back a run that was killed before its end.
    GiveUp,
    /// Is killed in that rollback, and rolls back again.
    GivingUp,
    /// A person decides what observing could not.
    Decide,
}

/// Where a process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    Never,
    /// In a call to the disk, after that many bytes.
    Disk(usize, usize),
    /// In a call of the seam.
    Seam(usize, When),
    /// In a call to the mirror's bucket.
    Bucket(usize, When),
}

/// How a process ended.
enum End {
    Done,
    Killed,
    Stopped(Error),
}

struct Yes;

impl Approver for Yes {
    async fn ask(&self, _question: &Question<'_>) -> Result<Answer> {
        Ok(Answer::Yes(How::Confirmed))
    }
}

/// A disk whose fsync claims what is not so.
#[derive(Debug)]
struct Lying(FakeDisk);

impl Disk for Lying {
    fn read(&mut self) -> std::io::Result<Box<dyn Read + '_>> {
        self.0.read()
    }
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.append(bytes)
    }
    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }
    fn cut(&mut self, length: u64) -> std::io::Result<()> {
        self.0.cut(length)
    }
}

/// One synthetic runbook, and everything that its processes share.
pub(crate) struct Sweep {
    _folder: tempfile::TempDir,
    dir: StateDir,
    evidence: EvidenceStore,
    clock: Rc<FixedClock>,
    runtime: tokio::runtime::Runtime,
    steps: Vec<StepTasks>,
    pub(crate) kinds: BTreeMap<Place, Kind>,
    /// Histories that were carried to their end.
    pub(crate) histories: RefCell<usize>,
    pub(crate) wrong: RefCell<Vec<String>>,
}

fn operator() -> Operator {
    Operator { user: "ada".to_owned(), machine: "desk".to_owned() }
}

pub(crate) fn place(step: &str, host: Option<&str>) -> Place {
    Place { step: StepId::new(step).unwrap(), host: host.map(|h| HostName::new(h).unwrap()) }
}

impl Sweep {
    /// A runbook of steps: a name, a kind, the hosts that it fans out over (none: it happens once), its gate.
    pub(crate) fn new(steps: &[(&str, Kind, &[&str], Gate)]) -> Self {
        // In memory where that can be had: the fsyncs of these folders are not what is under test.
        let memory = std::path::Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let dir = StateDir::of(folder.path());
        dir.create().unwrap();
        let mut kinds = BTreeMap::new();
        let steps = steps
            .iter()
            .map(|(name, kind, hosts, gate)| {
                let hosts: Vec<_> =
                    if hosts.is_empty() { vec![None] } else { hosts.iter().map(|h| Some(*h)).collect() };
                let tasks = hosts.into_iter().map(|host| {
                    let place = place(name, host);
                    kinds.insert(place.clone(), *kind);
                    Task {
                        place,
                        title: (*name).to_owned(),
                        why: None,
                        gate: *gate,
                        signers: Signers::Anyone,
                        timeout: TIMEOUT,
                        retries: 1,
                    }
                });
                StepTasks { step: StepId::new(name).unwrap(), parallel: 2, tasks: tasks.collect() }
            })
            .collect();
        Self {
            evidence: EvidenceStore::new(dir.clone(), Rc::new(Redactor::new())),
            _folder: folder,
            dir,
            clock: Rc::new(FixedClock::new("2026-11-21T12:00:00Z".parse().unwrap())),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap(),
            steps,
            kinds,
            histories: RefCell::default(),
            wrong: RefCell::default(),
        }
    }

    pub(crate) fn one(kind: Kind, gate: Gate) -> Self {
        Self::new(&[("step", kind, &["node-1"], gate)])
    }

    /// One process, from its start to its end. Gives what is live and what is durable after it.
    fn process(&self, model: &mut Model, bytes: &[u8], job: Job, crash: Crash) -> (End, FakeDisk) {
        let disk = FakeDisk::holding(bytes);
        self.process_on(disk, model, job, crash)
    }

    /// The same on a disk that may have a fault.
    fn process_on(&self, disk: FakeDisk, model: &mut Model, job: Job, crash: Crash) -> (End, FakeDisk) {
        let mut kill = None;
        match crash {
            Crash::Never | Crash::Bucket(..) => {}
            Crash::Disk(call, after) => disk.fail_at(call, DiskFault::Killed(after)),
            Crash::Seam(call, when) => kill = Some((call, when)),
        }
        let killed = Rc::<tokio::sync::Notify>::default();
        let bucket = model.mirror.clone().map(|objects| Deadly::new(objects, crash, Rc::clone(&killed)));
        if let (Some(bucket), Some((call, fault))) = (&bucket, model.bucket_fault) {
            bucket.inner.fail_at(call, fault);
        }
        let world = World {
            model: RefCell::new(model.clone()),
            kinds: self.kinds.clone(),
            disk: disk.clone(),
            kill,
            calls: RefCell::new(0),
            killed,
            was_killed: RefCell::new(false),
            bucket: bucket.as_ref().map(|bucket| bucket.inner.clone()),
        };
        let result = self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = world.killed.notified() => Ok(()),
                result = self.work(&world, job, bucket.as_ref()) => result,
            }
        });
        let in_bucket = bucket.as_ref().is_some_and(|bucket| *bucket.was_killed.borrow());
        let end = if disk.is_dead() || *world.was_killed.borrow() || in_bucket {
            End::Killed
        } else {
            match result {
                Ok(()) => End::Done,
                Err(error) => End::Stopped(error),
            }
        };
        *model = world.model.into_inner();
        if let Some(bucket) = bucket {
            model.bucket_calls = bucket.inner.calls();
            model.mirror = Some(bucket.inner.objects());
        }
        (end, disk)
    }

    async fn work(&self, world: &World, job: Job, bucket: Option<&Deadly>) -> Result<()> {
        let disk: Box<dyn Disk> = match world.model.borrow().without {
            Some(Guard::Fsync) => Box::new(Lying(world.disk.clone())),
            Some(_) | None => Box::new(world.disk.clone()),
        };
        let holder = Holder::this_process(operator(), "2026-11-21T12:00:00Z".parse().unwrap(), "sweep");
        let (journal, _) = Journal::open_on(disk, Lock::take(&self.dir, holder)?, self.clock.clone())?;
        if let Some(bucket) = bucket {
            self.mirror(&journal, &world.disk, bucket, world.model.borrow().without);
            journal.mirrored().await?;
        }
        if journal.state().run().is_none() {
            self.evidence.put("runbook", b"")?;
            journal.append(Record::RunStarted {
                run: RunId::new("run-1").unwrap(),
                fleet: FleetName::new("model").unwrap(),
                operator: operator(),
                runbook: RunbookName::new("model").unwrap(),
                runbook_bytes: EvidenceRef { name: "runbook".to_owned(), digest: Digest::of(""), bytes: 0 },
                workspace: EvidenceRef { name: "hactl.toml".to_owned(), digest: Digest::of(""), bytes: 0 },
                hactl: "0".to_owned(),
                mode: Mode::Production,
            })?;
        }
        let driver = Driver {
            steps: world,
            journal: &journal,
            evidence: &self.evidence,
            approver: &Yes,
            listener: &Nobody,
            clock: &*self.clock,
            interrupt: Interrupt::default(),
            operator: operator(),
        };
        self.do_job(&driver, world, job).await?;
        journal.mirrored().await
    }

    async fn do_job(&self, driver: &Driver<'_, World, Yes, Nobody>, world: &World, job: Job) -> Result<()> {
        let journal = driver.journal;
        match job {
            Job::Run => driver.run_phase(&PhaseId::new("0").unwrap(), "model", &self.steps).await,
            Job::Verify => {
                for step in &self.steps {
                    driver.verify_step(step).await?;
                }
                Ok(())
            }
            Job::RollBack | Job::GiveUp | Job::GivingUp => {
                driver.settle_doubts(&self.steps, &PhaseId::new("0").unwrap()).await?;
                driver.roll_back(&PhaseId::new("0").unwrap(), &self.steps).await
            }
            Job::Decide => {
                for task in self.steps.iter().flat_map(|step| &step.tasks) {
                    if state_of(&journal.state(), &task.place) == State::InDoubt {
                        // The person looks for themselves, and is right.
                        let there = world.model.borrow().thing(&task.place).count > Thing::OLD.count;
                        let verdict = if there { Verdict::Applied } else { Verdict::NotApplied };
                        driver.decide_by_person(task, verdict, Met::GoingOn).await?;
                    }
                }
                Ok(())
            }
        }
    }

    /// An operator goes on until it is done, deciding by the truth where hactl stops and asks.
    pub(crate) fn carry_through(&self, model: &mut Model, bytes: &[u8], job: Job, story: &str) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        let begun = read(&bytes).1;
        for _ in 0..PATIENCE {
            let (end, disk) = self.process(model, &bytes, job, Crash::Never);
            bytes = disk.live();
            match end {
                End::Done => {
                    model.land();
                    self.check(model, &bytes, job, story);
                    self.check_mirror(model, &bytes, story);
                    if matches!(job, Job::GiveUp | Job::GivingUp | Job::RollBack) {
                        self.check_nothing_was_begun(&begun, &bytes, story);
                    }
                    *self.histories.borrow_mut() += 1;
                    return bytes;
                }
                End::Killed => unreachable!("nobody killed it"),
                End::Stopped(error) if error.code() == codes::IN_DOUBT => {
                    bytes = self.decide(model, &bytes, story);
                }
                End::Stopped(_) => {}
            }
        }
        self.blame(story, "it never ends".to_owned());
        bytes
    }

    /// What is given up, or taken back, is not carried out for that.
    fn check_nothing_was_begun(&self, before: &[(Place, String)], bytes: &[u8], story: &str) {
        for (place, label) in read(bytes).1 {
            if label.starts_with('a') && !before.contains(&(place.clone(), label.clone())) {
                self.blame(story, format!("{label} of {place} was begun to be taken back"));
            }
        }
    }

    /// A person decides. Only what leaves no trace may need one.
    fn decide(&self, model: &mut Model, bytes: &[u8], story: &str) -> Vec<u8> {
        for (place, checkpoint) in read(bytes).0.checkpoints() {
            if checkpoint.state == State::InDoubt && self.kinds[place] != Kind::Blind {
                self.blame(story, format!("{place} asks, though looking can tell"));
            }
        }
        match self.process(model, bytes, Job::Decide, Crash::Never) {
            (End::Done | End::Killed, disk) => disk.live(),
            (End::Stopped(error), disk) => {
                self.blame(story, format!("a person cannot decide: {error:?}"));
                disk.live()
            }
        }
    }

    fn blame(&self, story: &str, what: String) {
        let mut wrong = self.wrong.borrow_mut();
        if wrong.len() < 20 {
            wrong.push(format!("{story}: {what}"));
        }
    }

    /// What must hold after every process, finished or killed.
    fn check_always(&self, model: &mut Model, story: &str) {
        for what in std::mem::take(&mut model.wrong) {
            self.blame(story, what);
        }
        for (place, kind) in &self.kinds {
            let times = model.thing(place).count - Thing::OLD.count;
            if kind.is_one_shot() && times > 1 {
                self.blame(story, format!("{place} happened {times} times"));
            }
        }
    }

    /// What must hold in the end.
    fn check(&self, model: &mut Model, bytes: &[u8], job: Job, story: &str) {
        self.check_always(model, story);
        let (state, intents) = read(bytes);
        for (place, label) in &model.effects {
            if !intents.contains(&(place.clone(), label.clone())) {
                self.blame(story, format!("{label} of {place} had an effect and stands in no record"));
            }
        }
        for (place, kind) in &self.kinds {
            let thing = model.thing(place);
            let counted = Thing { count: Thing::OLD.count + 1, ..Thing::OLD };
            let made = match kind {
                Kind::Set => Thing { a: 2, ..Thing::OLD },
                Kind::Halves => Thing { a: 2, b: 2, ..Thing::OLD },
                Kind::Restart | Kind::Insert | Kind::Blind => counted,
                Kind::Look => Thing::OLD,
            };
            let undone = match kind {
                Kind::Set | Kind::Halves => (Thing::OLD, State::RolledBack),
                // It is to be looked at anew.
                Kind::Look => (Thing::OLD, State::Ready),
                Kind::Restart | Kind::Blind => (counted, State::RolledBack),
                Kind::Insert => (counted, State::Verified),
            };
            let wanted = match job {
                Job::Run | Job::Verify => (made, State::Verified),
                Job::RollBack => undone,
                Job::Decide => continue,
                // It may have been given up before this place was begun, or after.
                Job::GiveUp | Job::GivingUp => {
                    (Thing { count: thing.count, ..Thing::OLD }, state_of(&state, place))
                }
            };
            let found = (thing, state_of(&state, place));
            if found != wanted {
                self.blame(story, format!("{place} ends as {found:?}, not {wanted:?}"));
            }
        }
    }

    /// Every way to kill the next process, `depth` times one after the other; each history is carried to its end.
    fn explore(&self, model: &Model, bytes: &[u8], job: Job, depth: usize, story: &str) {
        if job != Job::GiveUp {
            self.carry_through(&mut model.clone(), bytes, job, story);
        }
        if depth == 0 {
            return;
        }
        let disk_cuts: &[usize] = if depth > 1 { &[0, 100, usize::MAX] } else { &[100, usize::MAX] };
        for cut in disk_cuts {
            for call in 0.. {
                let Some((after, disk)) = self.kill(model, bytes, job, Crash::Disk(call, *cut)) else {
                    break;
                };
                if *cut != disk_cuts[0] && disk.calls().get(call) != Some(&Call::Append) {
                    continue;
                }
                let story = format!("{story}, killed in disk call {call} after {cut} bytes");
                self.go_on(after, &disk, job, depth, &story);
            }
        }
        self.explore_bucket(model, bytes, job, depth, story);
        for when in [When::Before, When::InFlight, When::After] {
            // A call that has no such moment is passed over; the end is where no call has that number any more.
            let mut missed = 0;
            for call in 0.. {
                match self.kill(model, bytes, job, Crash::Seam(call, when)) {
                    Some((after, disk)) => {
                        missed = 0;
                        let story = format!("{story}, killed {when:?} call {call}");
                        self.go_on(after, &disk, job, depth, &story);
                    }
                    None => missed += 1,
                }
                if missed > 12 {
                    break;
                }
            }
        }
    }

    fn go_on(&self, mut model: Model, disk: &FakeDisk, job: Job, depth: usize, story: &str) {
        self.check_always(&mut model, story);
        if job == Job::GiveUp {
            self.carry_through(&mut model.clone(), &disk.live(), job, story);
            if depth > 1 {
                self.explore(&model, &disk.live(), Job::GivingUp, depth - 1, story);
            }
            return;
        }
        self.explore(&model, &disk.live(), job, depth - 1, story);
        self.lose_machine(&model, job, story);
        if disk.durable() != disk.live() {
            self.explore(&model, &disk.durable(), job, 0, &format!("{story} and the power cut"));
        }
    }

    /// A process that is killed there; none where it never came there.
    fn kill(&self, model: &Model, bytes: &[u8], job: Job, crash: Crash) -> Option<(Model, FakeDisk)> {
        let mut model = model.clone();
        let job = if job == Job::GiveUp { Job::Run } else { job };
        match self.process(&mut model, bytes, job, crash) {
            (End::Killed, disk) => Some((model, disk)),
            (End::Done | End::Stopped(_), _) => None,
        }
    }

    /// Runs a whole sweep, and gives what was wrong.
    pub(crate) fn sweep(&self, model: &Model, job: Job, depth: usize) -> Vec<String> {
        let story = format!("{:?} {:?} {:?} {job:?}", self.kinds.values().next(), model.fault, model.lands);
        match job {
            Job::Run | Job::GiveUp | Job::GivingUp | Job::Decide => {
                self.explore(model, &[], job, depth, &story)
            }
            Job::Verify | Job::RollBack => {
                // The fault is meant for what comes after the run.
                let mut done = model.clone();
                done.fault = Fault::Nothing;
                let bytes = self.carry_through(&mut done, &[], Job::Run, &story);
                done.fault = model.fault;
                self.explore(&done, &bytes, job, depth, &story);
            }
        }
        self.wrong.take()
    }
}

fn state_of(state: &RunState, place: &Place) -> State {
    state.checkpoint(place).map_or(State::Pending, |c| c.state)
}

/// The state that a journal leads to, and every attempt that it has an intent for.
fn read(bytes: &[u8]) -> (RunState, Vec<(Place, String)>) {
    let mut state = RunState::default();
    let mut intents = Vec::new();
    let mut lines = Lines::new(bytes);
    while let Some(line) = lines.next_line().unwrap() {
        match &line.record {
            Record::Intended { place, attempt, .. } => intents.push((place.clone(), format!("a{attempt}"))),
            Record::RollingBack { place, attempt } => intents.push((place.clone(), format!("u{attempt}"))),
            _ => {}
        }
        state.apply(line).unwrap();
    }
    (state, intents)
}
