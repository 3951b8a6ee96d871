//! References in runbooks: `${inputs.x}`, `${steps.id.output}`, `${host.name}` and the like.
//!
//! Invariant: a reference is replaced inside string values of the tree and nowhere else, and what it is replaced with
//! is never looked at for references again. A string that is only one reference takes the referenced type; among
//! other text a reference becomes text. `$${` stands for `${`.

use std::collections::BTreeMap;

use crate::journal::record::{Outputs, Place};
use crate::runbook::Runbook;
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
