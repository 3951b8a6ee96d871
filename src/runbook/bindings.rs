//! What references in a runbook stand for at one place of a run.

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::Runbook;
use crate::journal::RunState;
use crate::journal::record::{Outputs, Place};
use crate::name::StepId;
use crate::workspace::{Host, Workspace};

/// What steps gave. It is asked once for every reference, so an implementer finds a step without going through all.
pub trait Given: Debug {
    /// What a step gave, at each of the places that it ran at.
    fn by(&self, step: &StepId) -> Vec<(&Place, &Outputs)>;
}

/// What steps gave, by the place they ran at.
pub type StepOutputs = BTreeMap<Place, Outputs>;

impl Given for StepOutputs {
    fn by(&self, step: &StepId) -> Vec<(&Place, &Outputs)> {
        let first = Place { step: step.clone(), host: None };
        self.range(first..).take_while(|(place, _)| place.step == *step).collect()
    }
}

impl Given for RunState {
    fn by(&self, step: &StepId) -> Vec<(&Place, &Outputs)> {
        self.checkpoints_of(step).map(|(place, checkpoint)| (place, &checkpoint.outputs)).collect()
    }
}

/// What references stand for at one place: a step on one host.
#[derive(Clone, Copy, Debug)]
pub struct Bindings<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// The runbook, for the defaults of inputs.
    pub runbook: &'a Runbook,
    /// The host that the step runs on.
    pub host: Option<&'a Host>,
    /// What earlier steps gave.
    pub outputs: &'a dyn Given,
}
