//! What the driver needs of steps: the real ones act on a fleet, the synthetic ones of the tests on a model world.

use std::time::Duration;

use crate::costs::{Book, Order};
use crate::diagnostic::Result;
use crate::digest::Digest;
use crate::journal::record::{Before, Observed, Outputs, Place};
use crate::journal::{AttemptLabel, IntentRecorded, RollbackRecorded, RunState, TrialRecorded};
use crate::name::{HostName, StepId};
use crate::runbook::Gate;
use crate::step::{Effect, Evidence, Failure, Findings, WayBack};

/// A step with the places it is carried out on.
#[derive(Clone, Debug)]
pub struct StepTasks {
    /// The step.
    pub step: StepId,
    /// On how many places at a time.
    pub parallel: usize,
    /// One task a place, in the order of the fleet.
    pub tasks: Vec<Task>,
}

/// Whose signature a gate takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signers {
    /// That of everybody whom the allowed signers name.
    Anyone,
    /// Not that of these principals, who operate.
    AllBut(Vec<String>),
}

/// A step on one place, as the driver sees it.
#[derive(Clone, Debug)]
pub struct Task {
    /// Where.
    pub place: Place,
    /// One line.
    pub title: String,
    /// Why it is done.
    pub why: Option<String>,
    /// What stands before its action.
    pub gate: Gate,
    /// Whose signature its gate takes.
    pub signers: Signers,
    /// How long the action, its verification or its undoing may take.
    pub timeout: Duration,
    /// How often it is tried again after a failure that had no effect.
    pub retries: u32,
}

/// An action with every reference replaced, and what the engine must know of it.
#[derive(Clone, Debug)]
pub struct Resolved<A> {
    /// The action.
    pub action: A,
    /// Its canonical form, for whoever has to judge it.
    pub canonical: String,
    /// The digest of its canonical form.
    pub digest: Digest,
    /// What a second execution would do.
    pub effect: Effect,
    /// How it is taken back.
    pub way_back: WayBack,
    /// The hosts that it may change.
    pub hosts: Vec<HostName>,
    /// Who and what it touches, by identities that do not change by themselves: host key fingerprints, bucket names.
    pub identities: Vec<String>,
    /// What a `type` gate asks to be typed.
    pub typed_name: String,
}

/// The steps of a runbook, as the driver drives them.
///
/// Contract: everything but `apply`, `verify` and `undo` leaves the world as it is. `settle` returns once no command
/// of that attempt runs or can ever start.
#[expect(async_fn_in_trait, reason = "one thread drives everything, so no Send bound is wanted")]
pub trait Steps {
    /// A resolved action.
    type Action;

    /// Replaces references, by what the journal knows by now.
    ///
    /// # Errors
    /// A reference has no value yet.
    fn resolve(&self, task: &Task, state: &RunState) -> Result<Resolved<Self::Action>>;

    /// What the action would order that is paid by the month and is not there yet.
    ///
    /// # Errors
    /// The world could not be read.
    async fn orders(&self, _task: &Task, _action: &Self::Action) -> Result<Vec<Order>> {
        Ok(Vec::new())
    }

    /// What things cost, where they cost anything here.
    ///
    /// # Errors
    /// The prices, or what is there, could not be read.
    async fn book(&self) -> Result<Option<Book>> {
        Ok(None)
    }

    /// Looks at the preconditions.
    ///
    /// # Errors
    /// The world could not be read.
    async fn check(&self, task: &Task, action: &Self::Action) -> Result<Findings>;

    /// Is the change there?
    ///
    /// # Errors
    /// The world could not be read.
    async fn observe(&self, task: &Task, action: &Self::Action, before: Option<&Before>) -> Result<Observed>;

    /// Makes the change.
    ///
    /// # Errors
    /// By what is known of its effect.
    async fn apply(
        &self,
        task: &Task,
        action: &Self::Action,
        intent: &IntentRecorded,
    ) -> Result<Outputs, Failure>;

    /// Waits for what still runs of an attempt, and makes sure that nothing of it can start late.
    ///
    /// # Errors
    /// A host could not be asked.
    async fn settle(
        &self,
        task: &Task,
        label: AttemptLabel,
        hosts: &[HostName],
        state: &RunState,
    ) -> Result<()>;

    /// Measures that the change does what it is for.
    ///
    /// # Errors
    /// It does not.
    async fn verify(&self, task: &Task, action: &Self::Action, trial: &TrialRecorded) -> Result<Evidence>;

    /// Takes the change back.
    ///
    /// # Errors
    /// By what is known of its effect.
    async fn undo(
        &self,
        task: &Task,
        action: &Self::Action,
        rollback: &RollbackRecorded,
    ) -> Result<(), Failure>;
}
