//! A placement group: its servers stand on different machines.

use hcloud::models::{CreatePlacementgroupRequest, create_placementgroup_request};
use serde::{Deserialize, Serialize};

use super::{Adopt, ObjectName};
use crate::access::{Hands, Trial, View};
use crate::diagnostic::Result;
use crate::journal::record::{Before, Change, Observed, Outputs};
use crate::step::common::unverified;
use crate::step::{Effect, Evidence, Failure, Findings, OutputType, Scope, StepKind, WayBack};
use crate::transport::hcloud::{PlacementGroup, Resource as _};

/// Makes a placement group of the type `spread`, the only one there is: no two of its servers stand on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HcloudPlacementGroup {
    /// Its name.
    pub name: ObjectName,
    /// Whether one that hactl did not make is used.
    #[serde(default)]
    pub adopt: Adopt,
}

impl StepKind for HcloudPlacementGroup {
    const NAME: &'static str = "hcloud_placement_group";
    const SUMMARY: &'static str =
        "makes a placement group in the cloud project, whose servers stand on different machines";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn way_back(&self) -> WayBack {
        WayBack::Undo
    }

    fn outputs(&self) -> Vec<(&str, OutputType)> {
        super::output_types()
    }

    fn objects(&self, view: &View<'_>) -> Vec<String> {
        super::objects::<PlacementGroup>(view, &self.name)
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        let cloud = view.hcloud().await?;
        let found =
            super::check_usable::<PlacementGroup>(&cloud, &self.name, self.adopt, &mut findings).await?;
        if let Some(other) = found.filter(|found| !spreads(found)) {
            findings.block(self.differs(&other));
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let cloud = view.hcloud().await?;
        match super::usable::<PlacementGroup>(&cloud, &self.name, self.adopt).await? {
            None => {
                let change = Change {
                    summary: format!("make the placement group {}, of the type spread", self.name),
                    details: vec![format!("at {}", cloud.endpoint())],
                };
                Ok(Observed::NotApplied { change, before: super::nothing_stood(&cloud)? })
            }
            Some(found) if spreads(&found) => Ok(Observed::Applied(super::outputs(found.head())?)),
            Some(found) => Ok(Observed::Indeterminate(self.differs(&found))),
        }
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let kind = create_placementgroup_request::Type::Spread;
        let request = CreatePlacementgroupRequest::new(self.name.to_string(), kind);
        let made: PlacementGroup = hands.hcloud().await?.make(self.name.as_str(), &request).await?;
        super::outputs(made.head()).map_err(Failure::Unclear)
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let cloud = trial.hcloud().await?;
        let found: PlacementGroup = super::there(&cloud, &self.name).await?;
        if !spreads(&found) {
            return Err(unverified(self.differs(&found)));
        }
        let mut evidence = Evidence::facts([
            format!("the placement group {} is there, as number {}", self.name, found.head().id),
            super::made_by(&cloud, found.head()),
        ]);
        evidence.outputs = super::outputs(found.head())?;
        Ok(evidence)
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        super::take_back::<PlacementGroup>(hands, &self.name).await
    }
}

impl HcloudPlacementGroup {
    fn differs(&self, found: &PlacementGroup) -> String {
        let (name, id, kind) = (&self.name, found.head().id, &found.kind);
        format!("the placement group {name} (number {id}) is of the type {kind}, not spread")
    }
}

fn spreads(found: &PlacementGroup) -> bool {
    found.kind == "spread"
}
