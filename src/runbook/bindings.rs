//! What references in a runbook stand for at one place of a run.

use std::collections::BTreeMap;

use super::Runbook;
use crate::journal::record::{Outputs, Place};
use crate::workspace::{Host, Workspace};

/// What steps gave, by the place they ran at.
pub type StepOutputs = BTreeMap<Place, Outputs>;

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
    pub outputs: &'a StepOutputs,
}
