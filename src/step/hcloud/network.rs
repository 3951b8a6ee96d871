//! A private network with one subnet.

use hcloud::models::{CreateNetworkRequest, Subnet as SubnetRequest, subnet};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Adopt, ObjectName, Undoing};
use crate::access::{Hands, Trial, View};
use crate::cidr::Cidr;
use crate::diagnostic::Result;
use crate::journal::record::{Before, Change, Observed, OutputValue, Outputs};
use crate::step::common::{output, unverified};
use crate::step::{Effect, Evidence, Failure, Findings, OutputType, Scope, StepKind, WayBack};
use crate::transport::hcloud::{Network, Resource as _};

/// Makes a private network with a subnet in it. In one that exists, a subnet that is missing is added; its range is never
/// changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HcloudNetwork {
    /// Its name.
    pub name: ObjectName,
    /// The range that its subnets lie in, such as `10.0.0.0/16`.
    pub ip_range: Cidr,
    /// The range of the subnet, such as `10.0.1.0/24`.
    pub subnet: Cidr,
    /// The subnet's zone, such as `eu-central`: servers of its locations can be attached.
    pub zone: String,
    /// Whether one that hactl did not make is used.
    #[serde(default)]
    pub adopt: Adopt,
}

impl StepKind for HcloudNetwork {
    const NAME: &'static str = "hcloud_network";
    const SUMMARY: &'static str = "makes a private network with a subnet in the cloud project";

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
        let mut types = super::output_types();
        types.push(("ip-range", OutputType::String));
        types
    }

    fn objects(&self, view: &View<'_>) -> Vec<String> {
        super::objects::<Network>(view, &self.name)
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        if !self.ip_range.holds(self.subnet) {
            findings.block(format!("the subnet {} does not lie in {}", self.subnet, self.ip_range));
        }
        let cloud = view.hcloud().await?;
        let found = super::check_usable::<Network>(&cloud, &self.name, self.adopt, &mut findings).await?;
        if let Some(other) = found.filter(|found| !self.fits(found)) {
            findings.block(self.differs(&other));
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let cloud = view.hcloud().await?;
        let subnet = format!("subnet {} in the zone {}", self.subnet, self.zone);
        let Some(found) = super::usable::<Network>(&cloud, &self.name, self.adopt).await? else {
            let change = Change {
                summary: format!("make the network {} with {}", self.name, self.ip_range),
                details: vec![subnet, format!("at {}", cloud.endpoint())],
            };
            return Ok(Observed::NotApplied { change, before: super::nothing_stood(&cloud)? });
        };
        if !self.fits(&found) {
            return Ok(Observed::Indeterminate(self.differs(&found)));
        }
        if let Some(running) = super::running(&cloud, &found).await? {
            return Ok(Observed::Running(running));
        }
        if self.has_subnet(&found) {
            return Ok(Observed::Applied(self.outputs_of(&found)?));
        }
        let change = Change {
            summary: format!("add a subnet to the network {} (number {})", self.name, found.head().id),
            details: vec![subnet],
        };
        Ok(Observed::NotApplied { change, before: super::stood::<()>(&cloud, found.head(), None)? })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let cloud = hands.hcloud().await?;
        let usable = super::usable::<Network>(&cloud, &self.name, self.adopt).await;
        let network = match usable.map_err(Failure::NotStarted)? {
            Some(network) => network,
            None => {
                let subnet = SubnetRequest {
                    ip_range: Some(self.subnet.to_string()),
                    ..SubnetRequest::new(self.zone.clone(), subnet::Type::Cloud)
                };
                let request = CreateNetworkRequest {
                    subnets: Some(vec![subnet]),
                    ..CreateNetworkRequest::new(self.ip_range.to_string(), self.name.to_string())
                };
                cloud.make(self.name.as_str(), &request).await?
            }
        };
        let body = json!({ "type": "cloud", "ip_range": self.subnet.to_string(), "network_zone": self.zone });
        let network = cloud.bring(&network, "add_subnet", &body, |now| self.has_subnet(now)).await?;
        self.outputs_of(&network).map_err(Failure::Unclear)
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let cloud = trial.hcloud().await?;
        let found: Network = super::there(&cloud, &self.name).await?;
        if !self.fits(&found) || !self.has_subnet(&found) {
            return Err(unverified(self.differs(&found)));
        }
        let mut evidence = Evidence::facts([
            format!(
                "the network {} (number {}) has {} and the subnet {} in the zone {}",
                self.name,
                found.head().id,
                self.ip_range,
                self.subnet,
                self.zone
            ),
            super::made_by(&cloud, found.head()),
        ]);
        evidence.outputs = self.outputs_of(&found)?;
        Ok(evidence)
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let restoring = super::to_restore::<Network, ()>(hands, &self.name).await?;
        // The network stays; the subnet that was not in it goes.
        let Some(Undoing { cloud, object: network, .. }) = restoring else { return Ok(()) };
        let body = json!({ "ip_range": self.subnet.to_string() });
        cloud.bring(&network, "delete_subnet", &body, |now| !self.has_subnet(now)).await.map(drop)
    }
}

impl HcloudNetwork {
    fn fits(&self, found: &Network) -> bool {
        found.ip_range == self.ip_range.to_string()
    }

    fn has_subnet(&self, found: &Network) -> bool {
        let range = self.subnet.to_string();
        found.subnets.iter().any(|subnet| {
            subnet.ip_range.as_deref() == Some(&range)
                && subnet.network_zone == self.zone
                && subnet.kind == "cloud"
        })
    }

    fn differs(&self, found: &Network) -> String {
        let subnets: Vec<_> = found.subnets.iter().filter_map(|subnet| subnet.ip_range.as_deref()).collect();
        format!(
            "the network {} (number {}) has {} with the subnets [{}], not {} with {} in the zone {}",
            self.name,
            found.head().id,
            found.ip_range,
            subnets.join(", "),
            self.ip_range,
            self.subnet,
            self.zone
        )
    }

    fn outputs_of(&self, found: &Network) -> Result<Outputs> {
        let mut outputs = super::outputs(found.head())?;
        outputs.insert(output("ip-range")?, OutputValue::String(found.ip_range.clone()));
        Ok(outputs)
    }
}
