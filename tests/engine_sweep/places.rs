//! Single histories: what one place does while another one waits for a person, and what becomes of a step left out.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use hactl::clock::FixedClock;
use hactl::diagnostic::{Result, codes};
use hactl::digest::Digest;
use hactl::engine::approver::{Answer, Approver, Question};
use hactl::engine::driver::Driver;
use hactl::engine::interrupt::Interrupt;
use hactl::engine::seam::{Signers, StepTasks, Task};
use hactl::engine::state::State;
use hactl::engine::unwind::Fate;
use hactl::event::Nobody;
use hactl::evidence::EvidenceStore;
use hactl::journal::fake::FakeDisk;
use hactl::journal::record::{EvidenceRef, How, Mode, Operator, Place, Record};
use hactl::journal::{Holder, Journal, Lines, Lock, StateDir};
use hactl::name::{FleetName, PhaseId, RunId, RunbookName, StepId};
use hactl::redact::Redactor;
use hactl::runbook::Gate;

use crate::sweep::place;
use crate::world::{Fault, Kind, Lands, Model, TIMEOUT, Thing, World};

/// A person who takes ten minutes on node-1, and answers elsewhere at once.
struct Slow(Cell<u32>);

impl Approver for Slow {
    async fn ask(&self, question: &Question<'_>) -> Result<Answer> {
        if question.place.host.as_ref().is_some_and(|host| host.as_str() == "node-1") {
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        self.0.set(self.0.get() + 1);
        Ok(Answer::Yes(How::Confirmed))
    }
}

struct Bench {
    _folder: tempfile::TempDir,
    journal: Journal,
    evidence: EvidenceStore,
    clock: Rc<FixedClock>,
    world: World,
    approver: Slow,
}

fn operator() -> Operator {
    Operator { user: "ada".to_owned(), machine: "desk".to_owned() }
}

impl Bench {
    fn new(kinds: &[(Place, Kind)], model: Model) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::of(folder.path());
        let clock = Rc::new(FixedClock::new("2026-11-21T12:00:00Z".parse().unwrap()));
        let disk = FakeDisk::default();
        let holder = Holder::this_process(operator(), "2026-11-21T12:00:00Z".parse().unwrap(), "test");
        let lock = Lock::take(&dir, holder).unwrap();
        let (journal, _) = Journal::open_on(Box::new(disk.clone()), lock, clock.clone()).unwrap();
        let kept = |name: &str| EvidenceRef { name: name.to_owned(), digest: Digest::of(""), bytes: 0 };
        journal
            .append(Record::RunStarted {
                run: RunId::new("run-1").unwrap(),
                fleet: FleetName::new("model").unwrap(),
                operator: operator(),
                runbook: RunbookName::new("model").unwrap(),
                runbook_bytes: kept("runbook"),
                workspace: kept("hactl.toml"),
                hactl: "0".to_owned(),
                mode: Mode::Production,
            })
            .unwrap();
        let world = World {
            model: RefCell::new(model),
            kinds: kinds.iter().cloned().collect::<BTreeMap<_, _>>(),
            disk,
            kill: None,
            calls: RefCell::new(0),
            killed: Rc::default(),
            was_killed: RefCell::new(false),
            bucket: None,
        };
        let evidence = EvidenceStore::new(dir, Rc::new(Redactor::new()));
        Self { _folder: folder, journal, evidence, clock, world, approver: Slow(Cell::new(0)) }
    }

    fn driver(&self) -> Driver<'_, World, Slow, Nobody> {
        Driver {
            steps: &self.world,
            journal: &self.journal,
            evidence: &self.evidence,
            approver: &self.approver,
            listener: &Nobody,
            clock: &*self.clock,
            interrupt: Interrupt::default(),
            operator: operator(),
        }
    }

    fn step(&self, gate: Gate) -> StepTasks {
        let tasks = self.world.kinds.keys().map(|place| Task {
            place: place.clone(),
            title: "step".to_owned(),
            why: None,
            gate,
            signers: Signers::Anyone,
            timeout: TIMEOUT,
            retries: 0,
        });
        StepTasks { step: StepId::new("step").unwrap(), parallel: 2, tasks: tasks.collect() }
    }

    fn state(&self, place: &Place) -> State {
        self.journal.state().checkpoint(place).map_or(State::Pending, |c| c.state)
    }

    /// The kinds of the records about a place, with their line.
    fn line_of(&self, kind: &str, place: &Place) -> u64 {
        let bytes = self.world.disk.live();
        let mut lines = Lines::new(bytes.as_slice());
        while let Some(line) = lines.next_line().unwrap() {
            if line.record.kind() == kind && line.record.place() == Some(place) {
                return line.seq.0;
            }
        }
        panic!("no {kind} of {place}")
    }
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_question_on_one_host_stops_no_timer_of_another() {
    let (one, two) = (place("step", Some("node-1")), place("step", Some("node-2")));
    let model = Model::new(Fault::HangAfter, Some(two.clone()), Lands::Late, None);
    let bench = Bench::new(&[(one.clone(), Kind::Set), (two.clone(), Kind::Set)], model);
    bench.driver().run_step(&bench.step(Gate::Confirm)).await.unwrap();
    assert_eq!((bench.state(&one), bench.state(&two)), (State::Verified, State::Verified));
    // It hung after its effect and ran into its time, was looked at and verified, while the person still thought.
    let answered = bench.line_of("approved", &one);
    assert!(bench.line_of("in_doubt", &two) < answered && bench.line_of("verified", &two) < answered);
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_step_that_was_left_out_is_done_only_when_that_is_asked_for() {
    let here = place("step", Some("node-2"));
    let bench = Bench::new(&[(here.clone(), Kind::Set)], Model::new(Fault::Nothing, None, Lands::Late, None));
    let (driver, step) = (bench.driver(), bench.step(Gate::None));
    driver.skip(&step.tasks[0], "not tonight").unwrap();
    driver.run_phase(&PhaseId::new("0").unwrap(), "model", std::slice::from_ref(&step)).await.unwrap();
    assert_eq!(bench.state(&here), State::Skipped);
    assert_eq!(bench.world.model.borrow().thing(&here), Thing::OLD);
    driver.run_skipped_step(&step).await.unwrap();
    assert_eq!(bench.state(&here), State::Verified);
    assert_eq!(bench.world.model.borrow().thing(&here).a, 2);
    // What was done cannot be left out any more.
    assert_eq!(driver.skip(&step.tasks[0], "no").unwrap_err().code(), codes::CANNOT_SKIP);
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn what_was_seen_before_a_rollback_is_looked_at_anew() {
    let here = place("step", Some("node-2"));
    let model = Model::new(Fault::Nothing, None, Lands::Late, None);
    let bench = Bench::new(&[(here.clone(), Kind::Look)], model);
    let (driver, steps, phase) = (bench.driver(), [bench.step(Gate::None)], PhaseId::new("0").unwrap());
    let looks = || bench.journal.state().checkpoint(&here).map(|c| c.trial.0);
    driver.run_phase(&phase, "model", &steps).await.unwrap();
    // Nothing was taken back since: what was seen counts.
    driver.run_phase(&phase, "model", &steps).await.unwrap();
    assert_eq!((bench.state(&here), looks()), (State::Verified, Some(1)));

    let retreats = driver.retreat(&steps).unwrap();
    assert_eq!(retreats.iter().map(|retreat| retreat.fate).collect::<Vec<_>>(), [Fate::Forgotten]);
    driver.roll_back(&phase, &steps).await.unwrap();
    assert_eq!(bench.state(&here), State::Ready);
    assert_eq!(driver.retreat(&steps).unwrap()[0].fate, Fate::NotOurs);
    // It no longer holds, and that is noticed.
    {
        let mut model = bench.world.model.borrow_mut();
        (model.fault, model.faulty) = (Fault::Unverified, Some(here.clone()));
    }
    driver.run_phase(&phase, "model", &steps).await.unwrap_err();
    assert_eq!((bench.state(&here), looks()), (State::Failed, Some(2)));
    driver.run_phase(&phase, "model", &steps).await.unwrap();
    assert_eq!((bench.state(&here), looks()), (State::Verified, Some(3)));
}
