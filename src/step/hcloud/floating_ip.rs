//! A floating IP: made and protected. Which server it leads to is a step of its own.

use hcloud::models::{CreateFloatingIpRequest, IpType};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Adopt, Existed, ObjectName, Undoing};
use crate::access::{Hands, Trial, View};
use crate::costs::{Item, Order};
use crate::diagnostic::Result;
use crate::journal::record::{Before, Change, Observed, OutputValue, Outputs};
use crate::step::common::{output, unverified};
use crate::step::{Effect, Evidence, Failure, Findings, OutputType, Scope, StepKind, WayBack};
use crate::transport::hcloud::{FloatingIp, Resource as _};

/// Makes an IPv4 address that leads to one server at a time: `hcloud_assign_floating_ip` says which one. It never leads to
/// a load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HcloudFloatingIp {
    /// Its name.
    pub name: ObjectName,
    /// Where its traffic enters, such as `hel1`.
    pub location: String,
    /// Whether it is protected against being deleted. A rollback of what this run made takes the protection off first.
    #[serde(default)]
    pub protected: Protected,
    /// Whether one that hactl did not make is used.
    #[serde(default)]
    pub adopt: Adopt,
}

/// Whether an object can be deleted. In the TOML, `protected = true` or `false`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "bool", into = "bool")]
pub enum Protected {
    /// The API refuses to delete it.
    #[default]
    Yes,
    /// It is as the API makes it, or as it was.
    No,
}

impl From<bool> for Protected {
    fn from(protected: bool) -> Self {
        if protected { Self::Yes } else { Self::No }
    }
}

impl From<Protected> for bool {
    fn from(protected: Protected) -> bool {
        match protected {
            Protected::Yes => true,
            Protected::No => false,
        }
    }
}

impl StepKind for HcloudFloatingIp {
    const NAME: &'static str = "hcloud_floating_ip";
    const SUMMARY: &'static str = "makes a floating IP in the cloud project, protected against being deleted";

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
        types.push(("ip", OutputType::String));
        types
    }

    fn objects(&self, view: &View<'_>) -> Vec<String> {
        super::objects::<FloatingIp>(view, &self.name)
    }

    async fn orders(&self, view: &View<'_>) -> Result<Vec<Order>> {
        let there = view.hcloud().await?.find::<FloatingIp>(self.name.as_str()).await?;
        let order = Order { item: Item::FloatingIpv4, location: self.location.clone() };
        Ok(if there.is_some() { Vec::new() } else { vec![order] })
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        let cloud = view.hcloud().await?;
        let found = super::check_usable::<FloatingIp>(&cloud, &self.name, self.adopt, &mut findings).await?;
        match found {
            Some(other) if !self.fits(&other) => findings.block(self.differs(&other)),
            Some(_) => {}
            None => {
                let kinds = cloud.prices().await?.floating_ips;
                findings.0.extend(super::balancing::offered(&kinds, "floating IP", "ipv4", &self.location).0);
            }
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let cloud = view.hcloud().await?;
        let protected = "protected against being deleted".to_owned();
        let Some(found) = super::usable::<FloatingIp>(&cloud, &self.name, self.adopt).await? else {
            let mut details = vec![format!("ipv4 in {}", self.location)];
            details.extend((self.protected == Protected::Yes).then_some(protected));
            details.push(format!("at {}", cloud.endpoint()));
            let change = Change { summary: format!("make the floating IP {}", self.name), details };
            return Ok(Observed::NotApplied { change, before: super::nothing_stood(&cloud)? });
        };
        if !self.fits(&found) {
            return Ok(Observed::Indeterminate(self.differs(&found)));
        }
        if let Some(running) = super::running(&cloud, &found).await? {
            return Ok(Observed::Running(running));
        }
        if self.is(&found) {
            return Ok(Observed::Applied(outputs_of(&found)?));
        }
        let change = Change {
            summary: format!("protect the floating IP {} (number {})", self.name, found.head().id),
            details: vec![protected],
        };
        let before = super::stood::<()>(&cloud, found.head(), None)?;
        Ok(Observed::NotApplied { change, before })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let cloud = hands.hcloud().await?;
        let usable = super::usable::<FloatingIp>(&cloud, &self.name, self.adopt).await;
        let ip = match usable.map_err(Failure::NotStarted)? {
            Some(ip) => ip,
            None => {
                let request = CreateFloatingIpRequest {
                    name: Some(self.name.to_string()),
                    home_location: Some(self.location.clone()),
                    ..CreateFloatingIpRequest::new(IpType::Ipv4)
                };
                cloud.make(self.name.as_str(), &request).await?
            }
        };
        let ip =
            cloud.bring(&ip, "change_protection", &json!({ "delete": true }), |now| self.is(now)).await?;
        outputs_of(&ip).map_err(Failure::Unclear)
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let cloud = trial.hcloud().await?;
        let found: FloatingIp = super::there(&cloud, &self.name).await?;
        if !self.fits(&found) {
            return Err(unverified(self.differs(&found)));
        }
        let (name, id) = (&self.name, found.head().id);
        if !self.is(&found) {
            return Err(unverified(format!("the floating IP {name} (number {id}) is not protected")));
        }
        let protected = if found.protection.delete { ", protected against being deleted" } else { "" };
        let mut evidence = Evidence::facts([
            format!(
                "the floating IP {name} (number {id}) is {} in {}{protected}",
                found.ip,
                found.home_location.word()
            ),
            super::made_by(&cloud, found.head()),
        ]);
        evidence.outputs = outputs_of(&found)?;
        Ok(evidence)
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let undoing = super::to_undo::<FloatingIp, ()>(hands, &self.name).await?;
        let Some(Undoing { cloud, stood, object: ip }) = undoing else { return Ok(()) };
        // Only where it will be deleted, or was not protected before.
        let ours = cloud.may_unmake(&ip);
        if matches!(stood.existed, Existed::Yes) || ours {
            let free = |now: &FloatingIp| !now.protection.delete;
            cloud.bring(&ip, "change_protection", &json!({ "delete": false }), free).await?;
        }
        match stood.existed {
            Existed::No => super::take_back::<FloatingIp>(hands, &self.name).await,
            Existed::Yes => Ok(()),
        }
    }
}

impl HcloudFloatingIp {
    fn fits(&self, found: &FloatingIp) -> bool {
        found.kind == "ipv4" && found.home_location.word() == self.location
    }

    fn is(&self, found: &FloatingIp) -> bool {
        match self.protected {
            Protected::Yes => found.protection.delete,
            Protected::No => true,
        }
    }

    fn differs(&self, found: &FloatingIp) -> String {
        format!(
            "the floating IP {} (number {}) is {} in {}, not ipv4 in {}",
            self.name,
            found.head().id,
            found.kind,
            found.home_location.word(),
            self.location
        )
    }
}

fn outputs_of(found: &FloatingIp) -> Result<Outputs> {
    let mut outputs = super::outputs(found.head())?;
    outputs.insert(output("ip")?, OutputValue::String(found.ip.clone()));
    Ok(outputs)
}
