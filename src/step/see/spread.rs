//! Servers on distinct hosts of the provider, as far as its API tells.

use serde::{Deserialize, Serialize};

use super::changes_nothing;
use crate::access::{Trial, View};
use crate::diagnostic::Result;
use crate::step::common::unverified;
use crate::step::hcloud::{ObjectName, objects, there};
use crate::step::{Evidence, Findings, Scope, StepKind};
use crate::transport::hcloud::{PlacementGroup, Server};

/// Changes nothing. The placement group must spread its servers, and hold every one of these. On which machine a server
/// runs is nowhere told: that no two of a spreading group share one is the provider's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeeSpread {
    /// The placement group.
    group: ObjectName,
    /// The servers.
    servers: Vec<ObjectName>,
}

impl StepKind for SeeSpread {
    const NAME: &'static str = "see_spread";
    const SUMMARY: &'static str =
        "sees that servers are in a placement group that keeps them on distinct hosts";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    changes_nothing!();

    fn objects(&self, view: &View<'_>) -> Vec<String> {
        objects::<PlacementGroup>(view, &self.group)
    }

    async fn check(&self, _view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        if self.servers.len() < 2 {
            findings.block("fewer than two servers are named, so there is nothing to spread");
        }
        Ok(findings)
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let cloud = trial.hcloud().await?;
        let group = there::<PlacementGroup>(&cloud, &self.group).await?;
        if group.kind != "spread" {
            let text = format!("the placement group {} is {:?}, and does not spread", self.group, group.kind);
            return Err(unverified(text));
        }
        let mut numbers = Vec::new();
        for name in &self.servers {
            let server = there::<Server>(&cloud, name).await?;
            if !group.servers.contains(&server.head.id) {
                let text = format!(
                    "the server {name} is not in the placement group {}: it may share a machine with another",
                    self.group
                );
                return Err(unverified(text).next("hactl plan    (is the step done that lets it join?)"));
            }
            numbers.push(server.head.id);
        }
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.len() != self.servers.len() {
            return Err(unverified("a server is named twice, so they are fewer than they seem"));
        }
        Ok(Evidence::facts([format!(
            "{} servers are in the spreading placement group {} (number {}); on which machines they run, the API does \
             not tell",
            numbers.len(),
            self.group,
            group.head.id
        )]))
    }
}
