//! What a runbook holds, once loading has found nothing wrong.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use toml::de::ValueDeserializer;

use super::bindings::Bindings;
use super::names::Names;
use super::refs::replace;
use super::{InputType, Kinds, Value};
use crate::costs::Estimate;
use crate::diagnostic::{Error, Problem, Result, Source, codes};
use crate::digest::Digest;
use crate::document::{Found, Node, Syntax};
use crate::name::{ComponentName, PhaseId, RoleName, RunbookName, StepId};
use crate::units::HumanDuration;
use crate::workspace::Workspace;

/// A loaded runbook.
#[derive(Clone, Debug)]
pub struct Runbook {
    /// Its name.
    pub name: RunbookName,
    /// One line.
    pub title: String,
    /// What it is for.
    pub summary: String,
    /// The input that says what its author thought that everything costs a month, such as `45 USD`.
    pub cost_estimate: Option<CostEstimate>,
    /// Names by which users reach the system, and the output that each points at.
    pub public_names: Vec<PublicName>,
    /// What the operator must or may say in `[inputs]`, in the order of the file.
    pub inputs: Vec<Input>,
    /// The roles by which it names hosts.
    pub roles: Vec<Role>,
    /// The parts of the system whose availability it is about.
    pub components: Vec<Component>,
    /// The phases, in order.
    pub phases: Vec<Phase>,
    /// Where it came from.
    pub origin: Origin,
    /// Its bytes, kept as evidence when a run starts.
    pub bytes: Arc<[u8]>,
}

/// Which input says what everything costs a month, as the plan's author thought.
#[derive(Clone, Debug)]
pub struct CostEstimate {
    /// The input's name.
    pub input: String,
    /// Where that stands.
    pub(super) span: Range<usize>,
}

/// A name by which users reach the system.
#[derive(Clone, Debug)]
pub struct PublicName {
    /// The name, such as `${inputs.public_host}`.
    pub name: String,
    /// The address that its DNS record holds, such as `${steps.balancer.ipv4}`.
    pub points_at: String,
    /// Where that stands.
    pub(super) span: Range<usize>,
}

/// Where a runbook came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Embedded in this binary.
    Bundled,
    /// A file.
    File(PathBuf),
    /// Kept when a run started.
    Kept(Digest),
}

/// A declared input.
#[derive(Clone, Debug)]
pub struct Input {
    /// How `${inputs.<name>}` names it.
    pub name: String,
    /// Its type.
    pub value_type: InputType,
    /// What it is, for whoever fills it in.
    pub help: String,
    /// What it is where nothing is said.
    pub default: Option<Value>,
}

/// A declared role.
#[derive(Clone, Debug)]
pub struct Role {
    /// How steps name it.
    pub name: RoleName,
    /// What its hosts do.
    pub help: String,
    /// At least so many hosts.
    pub min: usize,
    /// At most so many hosts.
    pub max: Option<usize>,
    /// The cloud's servers whose hosts have it, by their names as the steps write them.
    pub servers: Vec<String>,
    /// Where those stand.
    pub(super) servers_span: Range<usize>,
}

/// A part of the system, with what is promised about it.
#[derive(Clone, Debug, Serialize)]
pub struct Component {
    /// Its name.
    pub name: ComponentName,
    /// How much it matters, in the runbook's own words.
    pub tier: String,
    /// How many of it there are.
    pub replicas: u32,
    /// What it is meant to survive.
    pub survives: Vec<String>,
    /// What is left where it is down.
    pub degraded: Option<String>,
    /// How much data may be lost: a target.
    pub rpo: Option<HumanDuration>,
    /// How long it may take to come back: a target.
    pub rto: Option<HumanDuration>,
    /// The proofs that count for it.
    pub proven_by: Vec<String>,
}

/// A part of the way, after which the system is in a state that can stay.
#[derive(Clone, Debug)]
pub struct Phase {
    /// Its id.
    pub id: PhaseId,
    /// One line.
    pub title: String,
    /// Why it comes when it comes.
    pub why: Option<String>,
    /// Its steps, in order.
    pub steps: Vec<Step>,
}

/// What stands between a step and its action. The order is that of strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Nothing.
    None,
    /// A yes.
    Confirm,
    /// The name of the host or database, typed.
    Type,
    /// A signature.
    Sign,
}

/// Whose signature a gate takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedBy {
    /// Anybody's whom the allowed signers name.
    Anyone,
    /// Not an operator's.
    AnotherPerson,
}

impl SignedBy {
    /// Every choice, as runbooks name them.
    pub const NAMES: &[(&str, Self)] = &[("anyone", Self::Anyone), ("another_person", Self::AnotherPerson)];
}

impl Gate {
    /// Every gate, as runbooks name them.
    pub const NAMES: &[(&str, Self)] =
        &[("none", Self::None), ("confirm", Self::Confirm), ("type", Self::Type), ("sign", Self::Sign)];
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(Self::NAMES.iter().find(|(_, g)| g == self).map_or("gate", |(name, _)| name))
    }
}

/// One step: one effect, between what it requires and what verifies it.
#[derive(Clone, Debug)]
pub struct Step {
    /// Unique in the runbook.
    pub id: StepId,
    /// One line.
    pub title: String,
    /// Why it is done, for whoever is asked to approve it.
    pub why: Option<String>,
    /// The role whose hosts it acts on; without one it acts from the operator's machine, once.
    pub on: Option<RoleName>,
    /// What stands before its action.
    pub gate: Gate,
    /// Whose signature the gate takes.
    pub signed_by: SignedBy,
    /// How long one attempt of the action may take.
    pub timeout: HumanDuration,
    /// How often it is tried again after a failure that had no effect.
    pub retries: u32,
    /// On how many hosts it runs at the same time.
    pub parallel: usize,
    /// The change.
    pub action: Call,
    /// What must hold before.
    pub require: Vec<Call>,
    /// What must hold after.
    pub verify: Vec<Call>,
    /// Where the gate stands, or the step where it says none.
    pub(super) gate_span: Range<usize>,
    /// Where the role stands.
    pub(super) on_span: Range<usize>,
}

/// A runbook as read, with what was found wrong so far. Where something is missing, a placeholder stands.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) runbook: Runbook,
    pub(super) found: Found,
    pub(super) syntax: Syntax,
}

/// A kind with its parameters, references not replaced yet.
#[derive(Clone, Debug)]
pub struct Call {
    /// The kind.
    pub kind: String,
    /// Where the kind stands in the file.
    pub span: Range<usize>,
    /// The parameters as they were written.
    pub(super) parameters: Node,
    /// The text that spans point into.
    pub(super) source: Source,
}

impl Runbook {
    /// The digest of its bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// What its author thought that everything costs a month, as the workspace or the default says.
    #[must_use]
    pub fn estimate(&self, workspace: &Workspace) -> Option<Estimate> {
        let name = &self.cost_estimate.as_ref()?.input;
        let default = self.inputs.iter().find(|input| input.name == *name).and_then(|i| i.default.as_ref());
        match workspace.inputs.get(name).or(default)? {
            Value::Text(text) => Estimate::parse(text),
            _ => None,
        }
    }

    /// Every step with its phase, in order.
    pub fn steps(&self) -> impl Iterator<Item = (&Phase, &Step)> {
        self.phases.iter().flat_map(|phase| phase.steps.iter().map(move |step| (phase, step)))
    }

    /// A step and its phase.
    #[must_use]
    pub fn step(&self, id: &StepId) -> Option<(&Phase, &Step)> {
        self.steps().find(|(_, step)| step.id == *id)
    }

    /// A phase.
    #[must_use]
    pub fn phase(&self, id: &PhaseId) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.id == *id)
    }
}

impl Call {
    fn resolve<T>(
        &self,
        bindings: &Bindings<'_>,
        parse: impl Fn(&str, ValueDeserializer<'_>) -> Result<T, toml::de::Error>,
    ) -> Result<T> {
        let replaced = replace(&self.parameters, &Names::running(bindings));
        if let Some(((_, first), code)) = replaced.problems.first().map(|p| (p, p.1.code)) {
            let error = Error::new(code, first.message.clone()).state("the step has not begun");
            return Err(replaced
                .problems
                .iter()
                .filter_map(|(_, p)| p.help.as_ref())
                .fold(error, Error::next));
        }
        let parsed = replaced.node.deserializer().and_then(|parameters| parse(&self.kind, parameters));
        parsed.map_err(|e| {
            // Loading accepted the declared types, so what an earlier step gave does not fit.
            let span = e.span().unwrap_or_else(|| self.span.clone());
            let problem = Problem::new(codes::RUNBOOK_ILL_TYPED_REFERENCE, e.message().to_owned());
            let message = format!("what earlier steps gave does not fit {}", self.kind);
            let problem = problem.at(&self.source, span, "here");
            Error::problems(codes::RUNBOOK_ILL_TYPED_REFERENCE, message, vec![problem])
                .state("the step has not begun")
        })
    }
}

impl Step {
    /// The typed action, with every reference replaced.
    ///
    /// # Errors
    /// A reference has no value yet, or the parameters do not fit the kind.
    pub fn resolve<K: Kinds>(&self, bindings: &Bindings<'_>) -> Result<K::Action> {
        self.action.resolve(bindings, K::parse_action).map_err(|e| e.step(&self.id))
    }

    /// The probes that must hold before.
    ///
    /// # Errors
    /// As for [`Step::resolve`].
    pub fn resolve_require<K: Kinds>(&self, bindings: &Bindings<'_>) -> Result<Vec<K::Probe>> {
        self.probes::<K>(&self.require, bindings)
    }

    /// The probes that must hold after.
    ///
    /// # Errors
    /// As for [`Step::resolve`].
    pub fn resolve_verify<K: Kinds>(&self, bindings: &Bindings<'_>) -> Result<Vec<K::Probe>> {
        self.probes::<K>(&self.verify, bindings)
    }

    fn probes<K: Kinds>(&self, calls: &[Call], bindings: &Bindings<'_>) -> Result<Vec<K::Probe>> {
        let probe = |call: &Call| call.resolve(bindings, K::parse_probe).map_err(|e| e.step(&self.id));
        calls.iter().map(probe).collect()
    }
}
