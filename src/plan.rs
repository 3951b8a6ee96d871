//! What a run would do, as far as it can be seen without doing it.
//!
//! Invariant: making a plan only observes. Its digest covers what would be changed and where, and no measurement, so
//! that two plans of the same world and files are the same plan.

use serde::Serialize;

use crate::costs::{Book, Cost, Costs, Order};
use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::engine::approver::way_back_text;
use crate::engine::seam::{StepTasks, Steps, Task};
use crate::engine::state::State;
use crate::journal::RunState;
use crate::journal::record::{Change, Observed, Place};
use crate::lacks::Lack;
use crate::name::PhaseId;
use crate::runbook::Gate;
use crate::step::{Effect, Findings, WayBack, Weight};

/// A phase to be planned.
#[derive(Clone, Debug)]
pub struct PhaseTasks {
    /// Its id.
    pub id: PhaseId,
    /// Its title.
    pub title: String,
    /// What the workspace lacks to carry it to its end.
    pub lacks: Vec<Lack>,
    /// Its steps, in order.
    pub steps: Vec<StepTasks>,
}

/// What would happen, step by step.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The phases, in order.
    pub phases: Vec<PlannedPhase>,
    /// What it costs a month, where it costs anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub costs: Option<Costs>,
    /// Why that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub costs_unknown: Option<String>,
}

/// What would happen in a phase.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedPhase {
    /// Its id.
    pub id: PhaseId,
    /// Its title.
    pub title: String,
    /// What the workspace lacks to carry it to its end: before that it is not begun.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<Lack>,
    /// Its places, in order.
    pub places: Vec<Planned>,
}

/// What would happen on one place.
#[derive(Clone, Debug, Serialize)]
pub struct Planned {
    /// Where.
    pub place: Place,
    /// The step's title.
    pub title: String,
    /// What stands before its action.
    pub gate: Gate,
    /// What would happen.
    pub outlook: Outlook,
    /// How it could be taken back, in words; nothing where that is not known yet.
    pub way_back: Option<String>,
    /// Is this a point of no return?
    pub returns: Returns,
    /// What was measured while looking.
    pub notes: Vec<String>,
    /// What it would order that is paid by the month.
    #[serde(skip)]
    pub orders: Vec<Order>,
    /// What that costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

/// Whether there is a way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Returns {
    /// There is one.
    CanReturn,
    /// A point of no return.
    NoReturn,
    /// Its references have no value yet.
    NotKnownYet,
}

/// What would happen on a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outlook {
    /// Nothing: it was done and verified by this run.
    Done,
    /// Nothing would change; it would be verified.
    AlreadyThere,
    /// The change.
    WillChange(Change),
    /// It cannot go on, and why.
    Blocked(Vec<String>),
    /// It cannot be told before earlier steps are done, and why.
    AfterEarlier(String),
    /// It could not be looked at, and why.
    CannotLook(String),
    /// Something is in doubt here and is decided first.
    InDoubt,
    /// It was skipped.
    Skipped,
}

impl Plan {
    /// The digest over what would change and where.
    ///
    /// # Errors
    /// Never in practice: a plan always has a JSON form.
    pub fn digest(&self) -> Result<Digest> {
        let bound: Vec<_> = self.places().map(|p| (&p.place, &p.gate, &p.outlook)).collect();
        Digest::of_json(&bound)
            .map_err(|e| Error::new(codes::INTERNAL, "a plan without a JSON form").source(e))
    }

    /// Looks up what each place would order, and what all of it comes to.
    fn price(&mut self, book: &Book) {
        let all: Vec<Order> = self.places().flat_map(|planned| planned.orders.clone()).collect();
        for planned in self.phases.iter_mut().flat_map(|phase| &mut phase.places) {
            planned.cost = book.cost(&planned.orders);
        }
        self.costs = Some(book.total(&all));
    }

    /// Every place, in order.
    pub fn places(&self) -> impl Iterator<Item = &Planned> {
        self.phases.iter().flat_map(|phase| phase.places.iter())
    }
}

/// Makes a plan of phases by observing.
///
/// Where a host cannot be looked at, the plan says so at its places and goes on.
pub async fn plan<S: Steps>(steps: &S, phases: &[PhaseTasks], state: &RunState) -> Plan {
    let mut planned = Vec::new();
    let mut earlier = Earlier::NothingChanges;
    for phase in phases {
        let mut places = Vec::new();
        // What is not begun is not looked at: without what it lacks, there is no way to.
        let steps_of = if phase.lacks.is_empty() { phase.steps.as_slice() } else { &[] };
        for task in steps_of.iter().flat_map(|step| step.tasks.iter()) {
            let place = plan_place(steps, task, state, earlier).await;
            match place.outlook {
                Outlook::WillChange(_) | Outlook::AfterEarlier(_) | Outlook::InDoubt => {
                    earlier = Earlier::SomethingChanges
                }
                Outlook::Done
                | Outlook::AlreadyThere
                | Outlook::Blocked(_)
                | Outlook::CannotLook(_)
                | Outlook::Skipped => {}
            }
            places.push(place);
        }
        let (id, title, lacks) = (phase.id.clone(), phase.title.clone(), phase.lacks.clone());
        planned.push(PlannedPhase { id, title, lacks, places });
    }
    let mut plan = Plan { phases: planned, costs: None, costs_unknown: None };
    match steps.book().await {
        Ok(None) => {}
        Ok(Some(book)) => plan.price(&book),
        Err(error) => plan.costs_unknown = Some(error.one_line()),
    }
    plan
}

/// Whether an earlier step of the same plan would change something that this one may build on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Earlier {
    NothingChanges,
    SomethingChanges,
}

async fn plan_place<S: Steps>(steps: &S, task: &Task, state: &RunState, earlier: Earlier) -> Planned {
    let mut planned = Planned {
        place: task.place.clone(),
        title: task.title.clone(),
        gate: task.gate,
        outlook: Outlook::Done,
        way_back: None,
        returns: Returns::NotKnownYet,
        notes: Vec::new(),
        orders: Vec::new(),
        cost: None,
    };
    let resolved = match steps.resolve(task, state) {
        Ok(resolved) => resolved,
        Err(error) => {
            planned.outlook = Outlook::AfterEarlier(error.one_line());
            return planned;
        }
    };
    planned.way_back = Some(way_back_text(&resolved.way_back));
    planned.returns = match resolved.way_back {
        WayBack::Irreversible { .. } => Returns::NoReturn,
        WayBack::Nothing | WayBack::Undo | WayBack::Compensate(_) => Returns::CanReturn,
    };
    let stands = state.checkpoint(&task.place).map_or(State::Pending, |c| c.state);
    let settled = match stands {
        // What happens once cannot be seen again by looking; the rest is looked at, and may have drifted.
        State::Verified if resolved.effect == Effect::OneShot => Some(Outlook::Done),
        State::Skipped => Some(Outlook::Skipped),
        State::Intended | State::InDoubt | State::RollingBack | State::RollbackFailed => {
            Some(Outlook::InDoubt)
        }
        State::Pending
        | State::Ready
        | State::AwaitingApproval
        | State::Applied
        | State::Verified
        | State::Failed
        | State::RolledBack => None,
    };
    if let Some(outlook) = settled {
        planned.outlook = outlook;
        return planned;
    }
    planned.outlook = match look(steps, task, &resolved.action, &mut planned.notes).await {
        Ok(Seen::Change(change)) => Outlook::WillChange(change),
        Ok(Seen::There) if stands == State::Verified => Outlook::Done,
        Ok(Seen::There) => Outlook::AlreadyThere,
        Ok(Seen::Stopped(reasons)) => match earlier {
            Earlier::NothingChanges => Outlook::Blocked(reasons),
            Earlier::SomethingChanges => Outlook::AfterEarlier(reasons.join("; ")),
        },
        // The reads of PostgreSQL go by a role that an earlier step makes.
        // So are servers.
        Err(error)
            if [codes::POSTGRES_NO_ROLE, codes::SSH_NO_SERVER].contains(&error.code())
                && earlier == Earlier::SomethingChanges =>
        {
            Outlook::AfterEarlier(error.one_line())
        }
        Err(error) => Outlook::CannotLook(error.one_line()),
    };
    if let Outlook::WillChange(_) | Outlook::AfterEarlier(_) = planned.outlook {
        match steps.orders(task, &resolved.action).await {
            Ok(orders) => planned.orders = orders,
            Err(error) => planned.notes.push(format!("what it costs is not known: {}", error.one_line())),
        }
    }
    planned
}

enum Seen {
    Change(Change),
    There,
    Stopped(Vec<String>),
}

async fn look<S: Steps>(steps: &S, task: &Task, action: &S::Action, notes: &mut Vec<String>) -> Result<Seen> {
    let findings: Findings = steps.check(task, action).await?;
    notes.extend(findings.0.iter().filter(|f| f.weight != Weight::Blocks).map(|f| f.text.clone()));
    let blocking: Vec<String> = findings.blocking().map(str::to_owned).collect();
    if !blocking.is_empty() {
        return Ok(Seen::Stopped(blocking));
    }
    Ok(match steps.observe(task, action, None).await? {
        Observed::Applied(_) => Seen::There,
        Observed::NotApplied { change, .. } => Seen::Change(change),
        Observed::Running(what) | Observed::Indeterminate(what) => Seen::Stopped(vec![what]),
    })
}
