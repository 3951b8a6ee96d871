//! A server behind a firewall.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ObjectName, Undoing};
use crate::access::{Hands, Trial, View};
use crate::diagnostic::Result;
use crate::journal::record::{Before, Change, Observed, Outputs};
use crate::step::common::unverified;
use crate::step::{Effect, Evidence, Failure, Findings, Scope, StepKind, WayBack};
use crate::transport::hcloud::{Firewall, Resource as _, Server};

/// Puts a server behind a firewall, while it runs: from then on only what the firewall lets through reaches its public
/// addresses. It is for one that was not made by `hcloud_server` with its firewalls: an adopted one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HcloudApplyFirewall {
    /// The server's name.
    pub server: ObjectName,
    /// The firewall's name.
    pub firewall: ObjectName,
}

impl StepKind for HcloudApplyFirewall {
    const NAME: &'static str = "hcloud_apply_firewall";
    const SUMMARY: &'static str = "puts a server in the cloud behind a firewall";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn way_back(&self) -> WayBack {
        WayBack::Undo
    }

    fn objects(&self, view: &View<'_>) -> Vec<String> {
        super::objects::<Server>(view, &self.server)
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        let cloud = view.hcloud().await?;
        super::seen_or_noted::<Server>(&cloud, &self.server, &mut findings).await?;
        super::seen_or_noted::<Firewall>(&cloud, &self.firewall, &mut findings).await?;
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let cloud = view.hcloud().await?;
        let server = super::seen::<Server>(&cloud, &self.server).await?;
        let firewall = super::seen::<Firewall>(&cloud, &self.firewall).await?;
        if let Some((server, firewall)) = server.as_ref().zip(firewall.as_ref()) {
            if let Some(running) = super::running(&cloud, firewall).await? {
                return Ok(Observed::Running(running));
            }
            if firewall.is_before(server.head.id) {
                return Ok(Observed::Applied(Outputs::new()));
            }
        }
        let mut details =
            vec!["what it does not let through no longer reaches the server from outside".to_owned()];
        let rules = firewall.as_ref().map(|wall| wall.rules.as_slice()).unwrap_or_default();
        details.extend(
            rules.iter().map(|rule| format!("it lets through: {}", super::firewall::seen_line(rule))),
        );
        details.push(format!("at {}", cloud.endpoint()));
        let summary = format!("put the server {} behind the firewall {}", self.server, self.firewall);
        let firewall = firewall.map(|firewall| firewall.head().id);
        let before = super::server_stood(&cloud, server.as_ref(), firewall)?;
        Ok(Observed::NotApplied { change: Change { summary, details }, before })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let cloud = hands.hcloud().await?;
        let server: Server = super::needed(&cloud, &self.server).await.map_err(Failure::NotStarted)?;
        let firewall: Firewall = super::needed(&cloud, &self.firewall).await.map_err(Failure::NotStarted)?;
        let id = server.head.id;
        let body = json!({ "apply_to": resources(id) });
        cloud.bring(&firewall, "apply_to_resources", &body, |now: &Firewall| now.is_before(id)).await?;
        Ok(Outputs::new())
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let cloud = trial.hcloud().await?;
        let server: Server = super::needed(&cloud, &self.server).await?;
        let firewall: Firewall = super::needed(&cloud, &self.firewall).await?;
        let (id, wall) = (server.head.id, firewall.head().id);
        if !firewall.is_before(id) {
            let text = format!("the server {} is not behind the firewall {}", self.server, self.firewall);
            return Err(unverified(text));
        }
        let on = server.public_net.firewalls.iter().find(|on| on.id == wall);
        let status = on.map_or("not shown by the server", |on| on.status.as_str());
        Ok(Evidence::facts([format!(
            "the server {} (number {id}) is behind the firewall {} (number {wall}), which is {status}",
            self.server, self.firewall
        )]))
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let undoing = super::to_undo::<Server, Option<i64>>(hands, &self.server).await?;
        let Some(Undoing { cloud, stood, object: server }) = undoing else { return Ok(()) };
        let firewall = match stood.was.flatten() {
            Some(id) => cloud.get::<Firewall>(id).await,
            None => super::seen::<Firewall>(&cloud, &self.firewall).await,
        };
        let Some(firewall) = firewall.map_err(Failure::NotStarted)? else { return Ok(()) };
        let id = server.head.id;
        let body = json!({ "remove_from": resources(id) });
        let gone = |now: &Firewall| !now.is_before(id);
        cloud.bring(&firewall, "remove_from_resources", &body, gone).await.map(drop)
    }
}

fn resources(server: i64) -> Value {
    json!([{ "type": "server", "server": { "id": server } }])
}
