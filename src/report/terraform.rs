//! The import blocks by which Terraform takes over what a run made or adopted in the cloud.
//!
//! Invariant: from the journal alone. Only what stands is named, each once: objects by the number that the API gave them,
//! and what joins them by theirs.

use std::collections::BTreeSet;

use super::joined::{self, Numbers, Parameters};
use super::{PlaceReport, Report};
use crate::diagnostic::{Error, Result, codes};
use crate::engine::state::State;
use crate::journal::record::OutputValue;

/// An object that Terraform can import.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// Terraform's type of resource.
    pub resource: &'static str,
    /// What it is called there.
    pub label: String,
    /// Its id there: its number, or what is made of the numbers that it joins.
    pub id: String,
    /// The step that made or adopted it.
    pub step: String,
}

/// Kinds of step, and what Terraform calls what they make.
const RESOURCES: &[(&str, &str)] = &[
    ("hcloud_firewall", "hcloud_firewall"),
    ("hcloud_floating_ip", "hcloud_floating_ip"),
    ("hcloud_load_balancer", "hcloud_load_balancer"),
    ("hcloud_network", "hcloud_network"),
    ("hcloud_placement_group", "hcloud_placement_group"),
    ("hcloud_server", "hcloud_server"),
    ("hcloud_ssh_key", "hcloud_ssh_key"),
];

/// What Terraform can take over, and what it cannot from the journal alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imports {
    /// The blocks, in the order of the runbook.
    pub blocks: Vec<Import>,
    /// Steps whose doing cannot be named, and why.
    pub unknown: Vec<(String, String)>,
}

impl Report {
    /// Every object in the cloud that the run made or adopted and did not take back, and every attachment, target and
    /// service that joins them, in the order of the runbook.
    ///
    /// # Errors
    /// The runbook that the run kept cannot be read, so nobody can tell what its steps made.
    pub fn imports(&self) -> Result<Imports> {
        if let Some(why) = &self.no_outline {
            let text = "cannot tell what the steps of the run made: its runbook cannot be read";
            return Err(Error::new(codes::EVIDENCE_READ, text)
                .state("nothing was printed")
                .next("restore .hactl/evidence from a copy, or from the mirror")
                .source(why.clone()));
        }
        let numbers = self.numbers();
        let (mut all, mut labels, mut known) = (Imports::default(), BTreeSet::new(), BTreeSet::new());
        let mut add = |all: &mut Imports, resource: &'static str, name: String, id: String, step: &str| {
            if !known.insert((resource, id.clone())) {
                return;
            }
            let label = if labels.insert((resource, name.clone())) {
                name
            } else {
                identifier(&format!("{name}_{id}"))
            };
            all.blocks.push(Import { resource, label, id, step: step.to_owned() });
        };
        for step in self.phases.iter().flat_map(|phase| &phase.steps) {
            let kind = step.kind.as_deref().unwrap_or_default();
            for place in step.places.iter().filter(|place| stands(place.state)) {
                if let Some((resource, id, name)) = object(kind, place) {
                    let name = identifier(name.unwrap_or(&step.id));
                    add(&mut all, resource, name, id.to_string(), &step.id);
                }
                let Some(table) = &step.parameters else { continue };
                for join in joined::of(kind, &Parameters { table, inputs: &self.inputs }, &numbers) {
                    match join.id {
                        Ok(id) => {
                            add(&mut all, join.resource, identifier(&join.label.join("_")), id, &step.id)
                        }
                        Err(why) => all.unknown.push((step.id.clone(), format!("{}: {why}", join.resource))),
                    }
                }
            }
        }
        Ok(all)
    }

    /// The numbers of the objects that the run made or adopted.
    fn numbers(&self) -> Numbers {
        let steps = self.phases.iter().flat_map(|phase| &phase.steps);
        let places = steps.flat_map(|step| step.places.iter().map(move |place| (step, place)));
        let standing = places.filter(|(_, place)| stands(place.state));
        let found = standing.filter_map(|(step, place)| {
            let (resource, id, name) = object(step.kind.as_deref()?, place)?;
            Some(((resource, name?.to_owned()), id))
        });
        found.collect()
    }
}

/// The object that a place made or adopted: Terraform's type, its number and its name.
fn object<'a>(kind: &str, place: &'a PlaceReport) -> Option<(&'static str, i64, Option<&'a str>)> {
    let (_, resource) = RESOURCES.iter().find(|(known, _)| *known == kind)?;
    let output =
        |name: &str| place.outputs.iter().find(|(output, _)| output.as_str() == name).map(|(_, value)| value);
    let Some(OutputValue::Integer(id)) = output("id") else { return None };
    let name = match output("name") {
        Some(OutputValue::String(name)) => Some(name.as_str()),
        Some(_) | None => None,
    };
    Some((resource, *id, name))
}

/// Whether what a step made is there, as far as the journal knows.
fn stands(state: State) -> bool {
    match state {
        State::Applied | State::Verified | State::Failed | State::InDoubt | State::RollbackFailed => true,
        State::Pending
        | State::Ready
        | State::AwaitingApproval
        | State::Intended
        | State::RollingBack
        | State::RolledBack
        | State::Skipped => false,
    }
}

/// A name as Terraform lets one be: letters, digits, `_` and `-`, with no digit at its beginning.
fn identifier(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "_-".contains(c) { c } else { '_' }).collect();
    if plain.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') { plain } else { format!("_{plain}") }
}

/// The blocks, for Terraform 1.5 or newer.
#[must_use]
pub fn to_terraform(report: &Report, imports: &Imports) -> String {
    let mut text = format!(
        "# What the run {} of the fleet {} made or adopted in the cloud. Terraform 1.5 or newer takes it over by these:\n\
         # write them into your configuration, then: terraform plan -generate-config-out=cell.tf\n\
         # Where a server or a load balancer is attached by a block of its own, leave the network out of its resource.\n",
        report.run.run, report.run.fleet
    );
    if imports.blocks.is_empty() {
        text.push_str(
            "# There is nothing: the run made and adopted no object there, or took all of it back.\n",
        );
    }
    for import in &imports.blocks {
        text.push_str(&format!(
            "\n# step {}\nimport {{\n  to = {}.{}\n  id = \"{}\"\n}}\n",
            import.step, import.resource, import.label, import.id
        ));
    }
    for (step, why) in &imports.unknown {
        text.push_str(&format!("\n# step {step}: to be imported by hand. {why}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::identifier;

    #[test]
    fn a_name_becomes_an_identifier_and_nothing_else() {
        assert_eq!(identifier("cell0-node-2"), "cell0-node-2");
        assert_eq!(identifier("2nd \"key\"\n}"), "_2nd__key___");
        assert_eq!(identifier(""), "_");
    }
}
