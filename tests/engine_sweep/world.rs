//! The model world: things that synthetic steps change, hosts that claim and void attempts, and what goes wrong.
//!
//! A command that the network swallowed is *flying*: it may still arrive, unless its claim was voided. That is the
//! adversary that the engine has to be right against.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use hactl::diagnostic::{Error, Result, codes};
use hactl::digest::Digest;
use hactl::engine::seam::{Resolved, Steps, Task};
use hactl::journal::fake::FakeDisk;
use hactl::journal::record::{Before, Change, Observed, OutputValue, Outputs, Place};
use hactl::journal::{AttemptLabel, IntentRecorded, RollbackRecorded, RunState, TrialRecorded};
use hactl::mirror::memory::MemoryBucket;
use hactl::name::{HostName, OutputName};
use hactl::step::{Effect, Evidence, Failure, Findings, WayBack};
use serde_json::json;
use tokio::sync::Notify;

use crate::sweep::mirror::{Objects, journal_in};

/// The synthetic kinds: each is a way of being recognised afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sets one value; seen by looking.
    Set,
    /// Sets two values, one after the other; can be caught between them.
    Halves,
    /// Counts up; seen only against what was there before.
    Restart,
    /// Counts up; seen by looking; cannot be taken back.
    Insert,
    /// Counts up; whether an attempt did it can never be told.
    Blind,
    /// Changes nothing: all that it does is verify.
    Look,
}

impl Kind {
    pub(crate) fn is_one_shot(self) -> bool {
        match self {
            Self::Set | Self::Halves | Self::Look => false,
            Self::Restart | Self::Insert | Self::Blind => true,
        }
    }
}

/// What goes wrong with the first attempt at the place it is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    /// Certainly not begun.
    Refuse,
    /// An error, without an effect.
    Fail,
    /// An error, between the halves.
    FailHalfway,
    /// The link breaks, and the command is still on its way.
    DropBefore,
    /// The link breaks after the effect.
    DropAfter,
    /// It hangs, and the command is still on its way.
    HangBefore,
    /// It hangs after the effect.
    HangAfter,
    /// The command arrives twice.
    Twice,
    /// The first verification fails.
    Unverified,
}

impl Fault {
    pub(crate) const ALL: [Self; 10] = [
        Self::Nothing,
        Self::Refuse,
        Self::Fail,
        Self::FailHalfway,
        Self::DropBefore,
        Self::DropAfter,
        Self::HangBefore,
        Self::HangAfter,
        Self::Twice,
        Self::Unverified,
    ];
}

/// When a flying command arrives, if nothing stops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lands {
    /// Just before somebody asks what became of it.
    Early,
    /// After the next change was made.
    Late,
}

/// A guard that a test takes away, to see the sweep fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Observing tells the truth about a change that is there.
    HonestObserve,
    /// Observing uses what was seen before.
    UsesBefore,
    /// A claim is taken once.
    Claims,
    /// Settling voids what has not begun.
    Voids,
    /// An fsync makes durable.
    Fsync,
    /// Undoing restores what was there before the *first* intent.
    FirstBefore,
    /// Nothing is begun that the mirror does not know of.
    Mirror,
}

/// Where in a call of the seam the process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    InFlight,
    After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Thing {
    pub(crate) a: u32,
    pub(crate) b: u32,
    pub(crate) count: u32,
}

impl Thing {
    /// Before anything was done. The count does not begin at 0: it happened before, to somebody else.
    pub(crate) const OLD: Self = Self { a: 1, b: 1, count: 5 };
}

#[derive(Clone, Debug)]
struct Command {
    place: Place,
    label: AttemptLabel,
    kind: Kind,
    restore: Option<(u32, u32)>,
}

/// Everything that outlives a process.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) things: BTreeMap<Place, Thing>,
    /// Every attempt that had an effect, in order.
    pub(crate) effects: Vec<(Place, String)>,
    pub(crate) faulty: Option<Place>,
    pub(crate) fault: Fault,
    pub(crate) lands: Lands,
    pub(crate) without: Option<Guard>,
    pub(crate) wrong: Vec<String>,
    /// What the mirror's bucket holds, where there is one.
    pub(crate) mirror: Option<Objects>,
    /// What one call to the bucket meets.
    pub(crate) bucket_fault: Option<(usize, hactl::mirror::memory::Fault)>,
    /// How many calls to the bucket the last process made.
    pub(crate) bucket_calls: usize,
    /// What the newest intent saw.
    newest: BTreeMap<Place, (u32, u32)>,
    flying: Vec<Command>,
    claimed: BTreeSet<(Place, String)>,
    void: BTreeSet<(Place, String)>,
}

impl Model {
    pub(crate) fn new(fault: Fault, faulty: Option<Place>, lands: Lands, without: Option<Guard>) -> Self {
        Self {
            things: BTreeMap::new(),
            effects: Vec::new(),
            faulty,
            fault,
            lands,
            without,
            wrong: Vec::new(),
            mirror: None,
            bucket_fault: None,
            bucket_calls: 0,
            newest: BTreeMap::new(),
            flying: Vec::new(),
            claimed: BTreeSet::new(),
            void: BTreeSet::new(),
        }
    }

    /// The same world, with a mirror that is empty yet.
    pub(crate) fn mirrored(self) -> Self {
        Self { mirror: Some(Objects::new()), ..self }
    }

    pub(crate) fn thing(&self, place: &Place) -> Thing {
        self.things.get(place).copied().unwrap_or(Thing::OLD)
    }

    fn has(&self, guard: Guard) -> bool {
        self.without != Some(guard)
    }

    /// A command arrives at its host.
    fn run(&mut self, command: &Command) {
        self.run_part(command, true);
    }

    fn run_part(&mut self, command: &Command, whole: bool) {
        let claim = (command.place.clone(), command.label.to_string());
        if self.has(Guard::Claims) && (self.void.contains(&claim) || self.claimed.contains(&claim)) {
            return;
        }
        self.claimed.insert(claim.clone());
        self.effects.push(claim);
        let mut thing = self.thing(&command.place);
        match (command.restore, command.kind) {
            (Some((a, b)), _) => (thing.a, thing.b) = (a, b),
            (None, Kind::Set) => thing.a = 2,
            (None, Kind::Halves) => {
                thing.a = 2;
                if whole {
                    thing.b = 2;
                }
            }
            (None, Kind::Restart | Kind::Insert | Kind::Blind) => thing.count += 1,
            (None, Kind::Look) => {}
        }
        self.things.insert(command.place.clone(), thing);
    }

    /// What is on its way arrives.
    pub(crate) fn land(&mut self) {
        for command in std::mem::take(&mut self.flying) {
            self.run(&command);
        }
    }

    /// Another place of the same host whose command is on its way, and neither began nor was made void.
    fn at_work_beside(&self, place: &Place) -> Option<Place> {
        let beside = |command: &&Command| command.place.host.is_some() && command.place.host == place.host;
        let unsettled = |command: &&Command| {
            let claim = (command.place.clone(), command.label.to_string());
            command.place != *place && !self.void.contains(&claim) && !self.claimed.contains(&claim)
        };
        self.flying.iter().filter(beside).find(unsettled).map(|command| command.place.clone())
    }

    fn take_fault(&mut self, place: &Place, verifying: bool) -> Fault {
        let meant = self.faulty.as_ref() == Some(place) && (self.fault == Fault::Unverified) == verifying;
        if meant { std::mem::replace(&mut self.fault, Fault::Nothing) } else { Fault::Nothing }
    }
}

/// The steps over the model, in one process.
pub(crate) struct World {
    pub(crate) model: RefCell<Model>,
    pub(crate) kinds: BTreeMap<Place, Kind>,
    pub(crate) disk: FakeDisk,
    /// In which call of the seam this process is killed.
    pub(crate) kill: Option<(usize, When)>,
    pub(crate) calls: RefCell<usize>,
    pub(crate) killed: Rc<Notify>,
    pub(crate) was_killed: RefCell<bool>,
    pub(crate) bucket: Option<MemoryBucket>,
}

fn lost(why: &str) -> Error {
    Error::new(codes::IO, format!("synthetic: {why}"))
}

fn outputs(count: u32) -> Outputs {
    [(OutputName::new("count").unwrap(), OutputValue::Integer(i64::from(count)))].into()
}

fn halves(before: &Before) -> (u32, u32) {
    let value = |name: &str| u32::try_from(before.0[name].as_u64().unwrap()).unwrap();
    (value("a"), value("b"))
}

impl World {
    fn kind(&self, place: &Place) -> Kind {
        self.kinds[place]
    }

    fn begin(&self) -> usize {
        let mut calls = self.calls.borrow_mut();
        *calls += 1;
        *calls - 1
    }

    async fn at(&self, call: usize, when: When) {
        if self.kill == Some((call, when)) {
            *self.was_killed.borrow_mut() = true;
            self.killed.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// The intent must be on the disk, not merely on its way to it, before anything is touched.
    fn must_be_durable(&self, kind: &str, place: &Place, number: u32) {
        let place = serde_json::to_string(place).unwrap();
        let wanted = format!("\"record\":{{\"{kind}\":{{\"place\":{place},\"attempt\":{number}");
        let durable = self.disk.durable();
        if !durable.windows(wanted.len()).any(|w| w == wanted.as_bytes()) {
            self.model.borrow_mut().wrong.push(format!("an effect before its record was durable: {wanted}"));
        }
        let Some(bucket) = &self.bucket else { return };
        let there = journal_in(&bucket.objects());
        if !there.windows(wanted.len()).any(|w| w == wanted.as_bytes()) {
            self.model
                .borrow_mut()
                .wrong
                .push(format!("an effect before its record was in the mirror: {wanted}"));
        }
    }

    async fn send(&self, call: usize, command: Command, fault: Fault) -> Result<(), Failure> {
        if self.kill == Some((call, When::InFlight)) {
            self.model.borrow_mut().flying.push(command.clone());
        }
        self.at(call, When::InFlight).await;
        {
            let mut model = self.model.borrow_mut();
            match fault {
                Fault::Nothing | Fault::Unverified | Fault::DropAfter | Fault::HangAfter => {
                    model.run(&command)
                }
                Fault::Twice => {
                    model.run(&command);
                    model.run(&command);
                }
                Fault::FailHalfway => model.run_part(&command, false),
                Fault::DropBefore | Fault::HangBefore => model.flying.push(command),
                Fault::Refuse | Fault::Fail => {}
            }
            if model.lands == Lands::Late && !matches!(fault, Fault::DropBefore | Fault::HangBefore) {
                model.land();
            }
        }
        self.at(call, When::After).await;
        match fault {
            Fault::Nothing | Fault::Unverified | Fault::Twice => Ok(()),
            Fault::Refuse => Err(Failure::NotStarted(lost("refused"))),
            Fault::Fail | Fault::FailHalfway => Err(Failure::Unclear(lost("failed"))),
            Fault::DropBefore | Fault::DropAfter => Err(Failure::Unclear(lost("the link broke"))),
            Fault::HangBefore | Fault::HangAfter => std::future::pending().await,
        }
    }
}

impl Steps for World {
    type Action = Kind;

    fn resolve(&self, task: &Task, _state: &RunState) -> Result<Resolved<Kind>> {
        let action = self.kind(&task.place);
        let way_back = match action {
            Kind::Set | Kind::Halves => WayBack::Undo,
            Kind::Restart | Kind::Blind | Kind::Look => WayBack::Nothing,
            Kind::Insert => WayBack::Irreversible { why: "rows are for ever".to_owned() },
        };
        Ok(Resolved {
            action,
            canonical: format!("{action:?}"),
            digest: Digest::of(format!("{action:?}")),
            effect: if action.is_one_shot() { Effect::OneShot } else { Effect::Idempotent },
            way_back,
            hosts: task.place.host.iter().cloned().collect(),
            identities: Vec::new(),
            typed_name: "model".to_owned(),
        })
    }

    async fn check(&self, _task: &Task, _action: &Kind) -> Result<Findings> {
        let call = self.begin();
        self.at(call, When::Before).await;
        Ok(Findings::default())
    }

    async fn observe(&self, task: &Task, action: &Kind, before: Option<&Before>) -> Result<Observed> {
        let call = self.begin();
        self.at(call, When::Before).await;
        let beside = self.model.borrow().at_work_beside(&task.place);
        if let Some(elsewhere) = beside {
            let what = format!("looked at {} while {elsewhere} may still be at work there", task.place);
            self.model.borrow_mut().wrong.push(what);
        }
        let model = self.model.borrow();
        let thing = model.thing(&task.place);
        let before = before.filter(|_| model.has(Guard::UsesBefore));
        let there = match action {
            Kind::Set => thing.a == 2,
            Kind::Halves => thing.a == 2 && thing.b == 2,
            Kind::Insert => thing.count > Thing::OLD.count,
            Kind::Restart => before.is_some_and(|b| u64::from(thing.count) > b.0["count"].as_u64().unwrap()),
            Kind::Blind if before.is_some() => {
                return Ok(Observed::Indeterminate("it leaves no trace".to_owned()));
            }
            Kind::Blind => false,
            Kind::Look => return Ok(Observed::Applied(Outputs::new())),
        };
        if there && model.has(Guard::HonestObserve) {
            return Ok(Observed::Applied(outputs(thing.count)));
        }
        let change = Change { summary: format!("{action:?}"), details: Vec::new() };
        let before = Before(json!({ "a": thing.a, "b": thing.b, "count": thing.count }));
        Ok(Observed::NotApplied { change, before })
    }

    async fn apply(&self, task: &Task, action: &Kind, intent: &IntentRecorded) -> Result<Outputs, Failure> {
        let call = self.begin();
        self.must_be_durable("intended", &task.place, intent.attempt().0);
        self.at(call, When::Before).await;
        let seen = halves(intent.before().expect("an intent holds what was seen"));
        self.model.borrow_mut().newest.insert(task.place.clone(), seen);
        let fault = self.model.borrow_mut().take_fault(&task.place, false);
        let command =
            Command { place: task.place.clone(), label: intent.label(), kind: *action, restore: None };
        self.send(call, command, fault).await?;
        Ok(outputs(self.model.borrow().thing(&task.place).count))
    }

    async fn settle(
        &self,
        task: &Task,
        label: AttemptLabel,
        _hosts: &[HostName],
        _state: &RunState,
    ) -> Result<()> {
        let call = self.begin();
        self.at(call, When::Before).await;
        {
            let mut model = self.model.borrow_mut();
            if model.lands == Lands::Early {
                model.land();
            }
            let claim = (task.place.clone(), label.to_string());
            if model.has(Guard::Voids) && !model.claimed.contains(&claim) {
                model.void.insert(claim);
            }
        }
        self.at(call, When::After).await;
        Ok(())
    }

    async fn verify(&self, task: &Task, action: &Kind, trial: &TrialRecorded) -> Result<Evidence> {
        let call = self.begin();
        self.must_be_durable("trial", &task.place, trial.attempt().0);
        self.at(call, When::Before).await;
        let fault = self.model.borrow_mut().take_fault(&task.place, true);
        self.at(call, When::After).await;
        if fault == Fault::Unverified {
            return Err(lost("not verified"));
        }
        Ok(Evidence::facts([format!("{action:?}")]))
    }

    async fn undo(&self, task: &Task, action: &Kind, rollback: &RollbackRecorded) -> Result<(), Failure> {
        let call = self.begin();
        self.must_be_durable("rolling_back", &task.place, rollback.attempt().0);
        self.at(call, When::Before).await;
        let fault = self.model.borrow_mut().take_fault(&task.place, false);
        let first = halves(rollback.before().expect("what is undone had an intent"));
        let newest = self.model.borrow().newest.get(&task.place).copied();
        let restore =
            if self.model.borrow().has(Guard::FirstBefore) { first } else { newest.unwrap_or(first) };
        match action {
            Kind::Set | Kind::Halves => {}
            Kind::Restart | Kind::Insert | Kind::Blind | Kind::Look => return Ok(()),
        }
        let command = Command {
            place: task.place.clone(),
            label: rollback.label(),
            kind: *action,
            restore: Some(restore),
        };
        self.send(call, command, fault).await
    }
}

/// How long an action of the model may take; the time is virtual.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
