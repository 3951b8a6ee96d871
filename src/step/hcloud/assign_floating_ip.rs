//! Which server a floating IP leads to.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Adopt, ObjectName, Undoing};
use crate::access::hcloud::HcloudView;
use crate::access::{Hands, Trial, View};
use crate::diagnostic::Result;
use crate::journal::record::{Before, Change, Observed, OutputValue, Outputs};
use crate::step::common::{output, unverified};
use crate::step::{Effect, Evidence, Failure, Findings, OutputType, Scope, StepKind, WayBack};
use crate::transport::hcloud::{FloatingIp, Resource as _, Server};

/// Lets a floating IP lead to a server. The server answers to it only once its system has the address:
/// `floating_ip_address` does that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HcloudAssignFloatingIp {
    /// The floating IP's name.
    pub floating_ip: ObjectName,
    /// The server's name.
    pub server: ObjectName,
    /// Whether a floating IP that hactl did not make is used.
    #[serde(default)]
    pub adopt: Adopt,
}

impl StepKind for HcloudAssignFloatingIp {
    const NAME: &'static str = "hcloud_assign_floating_ip";
    const SUMMARY: &'static str = "lets a floating IP in the cloud project lead to a server";

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
        vec![("ip", OutputType::String)]
    }

    fn objects(&self, view: &View<'_>) -> Vec<String> {
        super::objects::<FloatingIp>(view, &self.floating_ip)
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        let cloud = view.hcloud().await?;
        super::check_usable::<FloatingIp>(&cloud, &self.floating_ip, self.adopt, &mut findings).await?;
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let cloud = view.hcloud().await?;
        let Some(found) = super::usable::<FloatingIp>(&cloud, &self.floating_ip, self.adopt).await? else {
            return Ok(Observed::NotApplied {
                change: self.change("is not there yet", &cloud),
                before: super::nothing_stood(&cloud)?,
            });
        };
        if let Some(running) = super::running(&cloud, &found).await? {
            return Ok(Observed::Running(running));
        }
        let server = cloud.find::<Server>(self.server.as_str()).await?.map(|server| server.head().id);
        let change = match (found.server, server) {
            (Some(now), Some(wanted)) if now == wanted => return Ok(Observed::Applied(outputs_of(&found)?)),
            (Some(now), _) => self.change(&format!("leads to the server number {now} now"), &cloud),
            (None, _) => self.change("leads nowhere now", &cloud),
        };
        let before = super::stood(&cloud, found.head(), found.server)?;
        Ok(Observed::NotApplied { change, before })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let cloud = hands.hcloud().await?;
        let server: Server = super::there(&cloud, &self.server).await.map_err(Failure::NotStarted)?;
        let ip: FloatingIp = super::there(&cloud, &self.floating_ip).await.map_err(Failure::NotStarted)?;
        let id = server.head().id;
        let ip = cloud.bring(&ip, "assign", &json!({ "server": id }), |now| now.server == Some(id)).await?;
        outputs_of(&ip).map_err(Failure::Unclear)
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let cloud = trial.hcloud().await?;
        let server: Server = super::there(&cloud, &self.server).await?;
        let found: FloatingIp = super::there(&cloud, &self.floating_ip).await?;
        let (name, ip) = (&self.floating_ip, &found.ip);
        if found.server != Some(server.head().id) {
            return Err(unverified(format!("the floating IP {name} does not lead to {}", self.server)));
        }
        let fact = format!("the floating IP {name} ({ip}) leads to the server {}", self.server);
        let mut evidence = Evidence::facts([fact]);
        evidence.outputs = outputs_of(&found)?;
        Ok(evidence)
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let undoing = super::to_undo::<FloatingIp, i64>(hands, &self.floating_ip).await?;
        let Some(Undoing { cloud, stood, object: ip }) = undoing else { return Ok(()) };
        let server = cloud.wait_for::<Server>(self.server.as_str()).await?.map(|server| server.head().id);
        // Somebody has moved it on since: that is not ours to undo.
        if ip.server != server {
            return Ok(());
        }
        let was = match stood.was {
            Some(id) => cloud.get::<Server>(id).await?,
            None => None,
        };
        match was.map(|server| server.head().id) {
            Some(id) => {
                let body = json!({ "server": id });
                cloud.bring(&ip, "assign", &body, |now| now.server == Some(id)).await.map(drop)
            }
            None => cloud.bring(&ip, "unassign", &json!({}), |now| now.server.is_none()).await.map(drop),
        }
    }
}

impl HcloudAssignFloatingIp {
    fn change(&self, now: &str, cloud: &HcloudView) -> Change {
        Change {
            summary: format!("let the floating IP {} lead to the server {}", self.floating_ip, self.server),
            details: vec![format!("it {now}"), format!("at {}", cloud.endpoint())],
        }
    }
}

fn outputs_of(found: &FloatingIp) -> Result<Outputs> {
    Ok(Outputs::from([(output("ip")?, OutputValue::String(found.ip.clone()))]))
}
