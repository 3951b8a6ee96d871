//! What a step kind is: one effect on the world, observable by itself.
//!
//! Invariant: a kind never prints, asks, waits without a deadline or touches the journal; it reads through a
//! [`View`], tries through a [`Trial`] and changes through [`Hands`].

use serde::{Deserialize, Serialize};

use crate::access::{Hands, Trial, View};
use crate::costs::Order;
use crate::diagnostic::{Error, Result};
use crate::journal::record::{Before, EvidenceRef, Grade, Observed, Outputs, Proof};
use crate::name::HostName;

/// How often a step happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// On every host of the step's role.
    EachHost,
    /// Once: on an API, or on the role's only host.
    Once,
}

/// What a second execution would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Doing it twice is doing it once.
    Idempotent,
    /// Doing it twice is not; it is never blindly run again.
    OneShot,
}

/// How a step is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WayBack {
    /// There is nothing to take back.
    Nothing,
    /// `undo` restores what was there.
    Undo,
    /// `undo` does something else that makes up for it; what that is.
    Compensate(String),
    /// It cannot be taken back; why.
    Irreversible {
        /// Why.
        why: String,
    },
}

/// The type of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputType {
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// Yes or no.
    Boolean,
    /// A list of texts.
    List,
    /// A secret text.
    Secret,
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Does it stand in the way?
    pub weight: Weight,
    /// What was found, as one sentence.
    pub text: String,
}

/// Whether a finding stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// To be shown before the gate; a measurement, never bound by an approval.
    Note,
    /// To be shown loudly; the step may go on.
    Warning,
    /// The step must not go on.
    Blocks,
}

/// What checking the preconditions found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    /// Adds a note.
    pub fn note(&mut self, text: impl Into<String>) {
        self.0.push(Finding { weight: Weight::Note, text: text.into() });
    }

    /// Adds a warning.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.0.push(Finding { weight: Weight::Warning, text: text.into() });
    }

    /// Adds a reason why the step cannot go on.
    pub fn block(&mut self, text: impl Into<String>) {
        self.0.push(Finding { weight: Weight::Blocks, text: text.into() });
    }

    /// The reasons why the step cannot go on.
    pub fn blocking(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|f| f.weight == Weight::Blocks).map(|f| f.text.as_str())
    }
}

/// Why an action did not end well, by what is known of its effect.
#[derive(Debug)]
pub enum Failure {
    /// It certainly did not begin.
    NotStarted(Error),
    /// It may have had an effect: observing decides.
    Unclear(Error),
}

impl From<Error> for Failure {
    /// Without certainty an error may have come after an effect.
    fn from(error: Error) -> Self {
        Self::Unclear(error)
    }
}

impl Failure {
    /// The error itself.
    #[must_use]
    pub fn error(&self) -> &Error {
        match self {
            Self::NotStarted(error) | Self::Unclear(error) => error,
        }
    }

    /// The error itself, taken out.
    #[must_use]
    pub fn into_error(self) -> Error {
        match self {
            Self::NotStarted(error) | Self::Unclear(error) => error,
        }
    }
}

/// What verification yields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Files kept in `.hactl/evidence`.
    pub files: Vec<EvidenceRef>,
    /// One fact a line, for the operator.
    pub facts: Vec<String>,
    /// What was proven, if anything was.
    pub proofs: Vec<Proof>,
    /// Outputs that only measuring yields; they join those that the action gave.
    pub outputs: Outputs,
}

impl Evidence {
    /// Evidence that consists of facts only.
    #[must_use]
    pub fn facts<I: IntoIterator<Item = S>, S: Into<String>>(facts: I) -> Self {
        Self { facts: facts.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// The weakest grade among the proofs.
    #[must_use]
    pub fn weakest(&self) -> Option<Grade> {
        self.proofs.iter().map(|p| p.grade).min()
    }
}

/// A kind of step.
///
/// Contract: `observe` and `check` change nothing and may be called at any time, also after a crash; `observe`
/// tells Applied from NotApplied by looking at the world alone, with `before` where the change leaves no trace by
/// itself. `apply` makes one effect. `undo` may be called twice and after a half-finished `apply`.
#[expect(async_fn_in_trait, reason = "one thread drives everything, so no Send bound is wanted")]
pub trait StepKind: Sized + Clone + Serialize + for<'de> Deserialize<'de> {
    /// The key in the TOML.
    const NAME: &'static str;
    /// One line for `hactl kinds`.
    const SUMMARY: &'static str;

    /// How often it happens.
    fn scope(&self) -> Scope;
    /// What a second execution would do.
    fn effect(&self) -> Effect;
    /// How it is taken back.
    fn way_back(&self) -> WayBack;
    /// The declared outputs, name and type.
    fn outputs(&self) -> Vec<(&str, OutputType)> {
        Vec::new()
    }

    /// Hosts beside the place's own that it may change; the intent names them.
    fn further_hosts(&self, _view: &View<'_>) -> Vec<HostName> {
        Vec::new()
    }
    /// Objects beside hosts that it touches, such as `bucket cell0-backups`; approvals bind them.
    fn objects(&self, _view: &View<'_>) -> Vec<String> {
        Vec::new()
    }

    /// What it would order that is paid by the month and is not there yet.
    ///
    /// # Errors
    /// The world could not be read.
    async fn orders(&self, _view: &View<'_>) -> Result<Vec<Order>> {
        Ok(Vec::new())
    }

    /// Looks at preconditions beyond the step's `require` probes.
    ///
    /// # Errors
    /// The world could not be read.
    async fn check(&self, _view: &View<'_>) -> Result<Findings> {
        Ok(Findings::default())
    }

    /// Is the change there?
    ///
    /// # Errors
    /// The world could not be read.
    async fn observe(&self, view: &View<'_>, before: Option<&Before>) -> Result<Observed>;

    /// Makes the change.
    ///
    /// # Errors
    /// [`Failure::NotStarted`] where nothing can have happened, else [`Failure::Unclear`].
    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure>;

    /// Measures that the change does what it is for.
    ///
    /// # Errors
    /// It does not, or the world could not be read.
    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence>;

    /// Takes the change back. A kind whose way back is [`WayBack::Nothing`] has no more to say than this.
    ///
    /// # Errors
    /// It could not be taken back.
    async fn undo(&self, _hands: &Hands<'_>) -> Result<(), Failure> {
        Ok(())
    }
}
