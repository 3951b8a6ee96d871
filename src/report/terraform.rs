//! The import blocks by which Terraform takes over what a run made or adopted in the cloud.
//!
//! Invariant: from the journal alone. Only objects that stand are named, each once, by the number that the API gave them.
//! What joins two objects (an attachment, a target, a service) is no object, and is Terraform's to write.

use std::collections::BTreeSet;

use super::Report;
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
    /// Its number in the project.
    pub id: i64,
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

impl Report {
    /// Every object in the cloud that the run made or adopted and did not take back, in the order of the runbook.
    ///
    /// # Errors
    /// The runbook that the run kept cannot be read, so nobody can tell what its steps made.
    pub fn imports(&self) -> Result<Vec<Import>> {
        if let Some(why) = &self.no_outline {
            let text = "cannot tell what the steps of the run made: its runbook cannot be read";
            return Err(Error::new(codes::EVIDENCE_READ, text)
                .state("nothing was printed")
                .next("restore .hactl/evidence from a copy, or from the mirror")
                .source(why.clone()));
        }
        let (mut all, mut labels, mut known) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for step in self.phases.iter().flat_map(|phase| &phase.steps) {
            let kind = step.kind.as_deref().unwrap_or_default();
            let Some((_, resource)) = RESOURCES.iter().find(|(known, _)| *known == kind) else { continue };
            for place in step.places.iter().filter(|place| stands(place.state)) {
                let output = |name: &str| {
                    place.outputs.iter().find(|(output, _)| output.as_str() == name).map(|(_, value)| value)
                };
                let Some(OutputValue::Integer(id)) = output("id") else { continue };
                if !known.insert((*resource, *id)) {
                    continue;
                }
                let name = match output("name") {
                    Some(OutputValue::String(name)) => identifier(name),
                    Some(_) | None => identifier(&step.id),
                };
                let label =
                    if labels.insert((*resource, name.clone())) { name } else { format!("{name}_{id}") };
                all.push(Import { resource, label, id: *id, step: step.id.clone() });
            }
        }
        Ok(all)
    }
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
pub fn to_terraform(report: &Report, imports: &[Import]) -> String {
    let mut text = format!(
        "# What the run {} of the fleet {} made or adopted in the cloud. Terraform 1.5 or newer takes it over by these:\n\
         # write them into your configuration, then: terraform plan -generate-config-out=cell.tf\n\
         # Attachments, targets, services and rules on other objects are not listed: they have no number of their own.\n",
        report.run.run, report.run.fleet
    );
    if imports.is_empty() {
        text.push_str(
            "# There is nothing: the run made and adopted no object there, or took all of it back.\n",
        );
    }
    for import in imports {
        text.push_str(&format!(
            "\n# step {}\nimport {{\n  to = {}.{}\n  id = \"{}\"\n}}\n",
            import.step, import.resource, import.label, import.id
        ));
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
