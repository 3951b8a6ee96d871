//! Runbooks: from TOML to typed steps, with every problem found at once.
//!
//! Invariant: a runbook is loaded without touching the world, and the model keeps each action as its *unresolved*
//! tree. [`Step::resolve`] replaces references and only then makes the typed action: at load time with exemplars of
//! the declared types, at run time with journaled values. What an action does belongs to its kind, not here.

mod bindings;
pub mod bundled;
mod check;
mod flaws;
mod load;
mod model;
mod names;
mod params;
mod refs;
mod servers;
mod value;

#[cfg(test)]
mod problems;
#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod tests;

pub use bindings::{Bindings, Given, StepOutputs};
pub use load::{Loaded, load, load_kept, parse};
pub use model::{
    Call, Component, CostEstimate, Gate, Input, Origin, Phase, PublicName, Role, Runbook, SignedBy, Step,
};
pub(crate) use refs::with_inputs;
pub use servers::ServerStep;
pub use value::{InputType, Value};

use std::fmt::Debug;

use serde::Serialize;

use crate::step::{OutputType, Scope, WayBack};
use toml::de::ValueDeserializer;

/// The table of step kinds and probe kinds, as loading needs it.
///
/// The duty of an implementer: `parse_*` gives only what `*_names` lists, refuses unknown fields, and looks at nothing
/// but its input; `outputs` names every output that `apply` may return.
pub trait Kinds: 'static {
    /// A typed action. Its JSON form is what approvals bind, so the order of its fields is part of the contract.
    type Action: Clone + Debug + Serialize + 'static;
    /// A typed probe.
    type Probe: Clone + Debug + Serialize + 'static;

    /// The step kinds there are.
    fn action_names() -> Vec<&'static str>;
    /// The probe kinds there are.
    fn probe_names() -> Vec<&'static str>;
    /// An action of the kind `kind` from the table of its parameters.
    ///
    /// # Errors
    /// The parameters do not fit; the error carries the span that the deserialiser gave it.
    fn parse_action(kind: &str, parameters: ValueDeserializer<'_>) -> Result<Self::Action, toml::de::Error>;
    /// A probe of the kind `kind` from its parameters.
    ///
    /// # Errors
    /// The parameters do not fit; the error carries the span that the deserialiser gave it.
    fn parse_probe(kind: &str, parameters: ValueDeserializer<'_>) -> Result<Self::Probe, toml::de::Error>;
    /// The outputs that later steps may refer to.
    fn outputs(action: &Self::Action) -> Vec<(&str, OutputType)>;
    /// How the action is taken back.
    fn way_back(action: &Self::Action) -> WayBack;
    /// How often the action happens among the hosts of its role.
    fn scope(action: &Self::Action) -> Scope;
}
