//! The titles of a runbook, read from the bytes that a run kept.
//!
//! Invariant: it reads names and nothing else, so that a report can be made without the workspace's inputs and by a
//! hactl whose step kinds have changed since. What a runbook may say is [`crate::runbook`].

use std::collections::BTreeMap;

use serde::Deserialize;

/// What a report says of a runbook.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Outline {
    runbook: Option<Head>,
    #[serde(default)]
    inputs: BTreeMap<String, OutlinedInput>,
    #[serde(default)]
    pub(super) phase: Vec<OutlinedPhase>,
    #[serde(default)]
    pub(super) component: Vec<OutlinedComponent>,
}

#[derive(Clone, Debug, Deserialize)]
struct Head {
    title: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct OutlinedInput {
    default: Option<toml::Value>,
}

/// What a report reads of a workspace.
#[derive(Deserialize)]
struct OutlinedWorkspace {
    #[serde(default)]
    inputs: BTreeMap<String, toml::Value>,
}

/// A phase of a runbook.
#[derive(Clone, Debug, Deserialize)]
pub struct OutlinedPhase {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its steps.
    #[serde(default)]
    pub step: Vec<OutlinedStep>,
}

/// A step of a runbook.
#[derive(Clone, Debug, Deserialize)]
pub struct OutlinedStep {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its action, by its kind.
    #[serde(default)]
    pub action: BTreeMap<String, toml::Value>,
}

/// A component of a runbook.
#[derive(Clone, Debug, Deserialize)]
pub struct OutlinedComponent {
    /// Its name.
    pub name: String,
    /// The properties that it wants proven.
    #[serde(default)]
    pub proven_by: Vec<String>,
}

impl Outline {
    /// Reads a runbook's bytes.
    ///
    /// # Errors
    /// Why they cannot be read, as a sentence.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|e| format!("the runbook is not UTF-8: {e}"))?;
        toml::from_str(text).map_err(|e| format!("the runbook cannot be read: {}", e.message()))
    }

    /// The values of inputs: what the workspace's bytes say, else the defaults.
    pub(super) fn inputs(&self, workspace: Option<&[u8]>) -> BTreeMap<String, toml::Value> {
        let defaults =
            self.inputs.iter().filter_map(|(name, input)| Some((name.clone(), input.default.clone()?)));
        let said = workspace.and_then(|bytes| std::str::from_utf8(bytes).ok());
        let said = said.and_then(|text| toml::from_str::<OutlinedWorkspace>(text).ok());
        defaults.chain(said.map(|said| said.inputs).unwrap_or_default()).collect()
    }

    pub(super) fn title(&self) -> Option<String> {
        self.runbook.as_ref()?.title.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::Outline;
    use crate::runbook::bundled;

    #[test]
    fn every_bundled_runbook_has_an_outline() {
        for name in bundled::names() {
            let outline = Outline::read(bundled::show(name).unwrap().as_bytes()).unwrap();
            assert!(outline.title().is_some_and(|title| !title.is_empty()));
            assert!(outline.phase.iter().any(|phase| !phase.step.is_empty()));
        }
    }

    #[test]
    fn what_is_no_runbook_says_why() {
        assert!(Outline::read(b"\xff").unwrap_err().contains("UTF-8"));
        assert!(Outline::read(b"= 1").unwrap_err().starts_with("the runbook cannot be read"));
    }
}
