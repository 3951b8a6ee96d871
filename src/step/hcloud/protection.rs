//! A server that cannot be deleted.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ObjectName, Undoing};
use crate::access::{Hands, Trial, View};
use crate::diagnostic::Result;
use crate::journal::record::{Before, Change, Observed, Outputs};
use crate::step::common::unverified;
use crate::step::{Effect, Evidence, Failure, Findings, Scope, StepKind, WayBack};
use crate::transport::hcloud::{Protection, Server};

/// Protects a server against being deleted and against being set up anew, by anybody, until that is taken off again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HcloudProtection {
    /// The server's name.
    pub server: ObjectName,
}

impl StepKind for HcloudProtection {
    const NAME: &'static str = "hcloud_protection";
    const SUMMARY: &'static str = "protects a server in the cloud against being deleted";

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
        super::check_server(view, &self.server).await
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let cloud = view.hcloud().await?;
        let server = super::seen::<Server>(&cloud, &self.server).await?;
        if let Some(server) = &server {
            if let Some(running) = super::running(&cloud, server).await? {
                return Ok(Observed::Running(running));
            }
            if is_on(server) {
                return Ok(Observed::Applied(Outputs::new()));
            }
        }
        let change = Change {
            summary: format!("protect the server {} against being deleted or set up anew", self.server),
            details: vec![format!("at {}", cloud.endpoint())],
        };
        let was = server.as_ref().map(|server| server.protection.delete);
        Ok(Observed::NotApplied { change, before: super::server_stood(&cloud, server.as_ref(), was)? })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let cloud = hands.hcloud().await?;
        let server: Server = super::needed(&cloud, &self.server).await.map_err(Failure::NotStarted)?;
        let body = json!({ "delete": true, "rebuild": true });
        cloud.bring(&server, "change_protection", &body, is_on).await?;
        Ok(Outputs::new())
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let server: Server = super::needed(&trial.hcloud().await?, &self.server).await?;
        let (name, id) = (&self.server, server.head.id);
        if !is_on(&server) {
            return Err(unverified(format!("the server {name} (number {id}) is not protected")));
        }
        Ok(Evidence::facts([format!("the server {name} (number {id}) cannot be deleted or set up anew")]))
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let undoing = super::to_undo::<Server, Option<bool>>(hands, &self.server).await?;
        let Some(Undoing { cloud, stood, object: server }) = undoing else { return Ok(()) };
        if stood.was.flatten() == Some(true) {
            // It was protected against being deleted: the API takes off both or none.
            return Ok(());
        }
        let off = |now: &Server| now.protection == Protection::default();
        let body = json!({ "delete": false, "rebuild": false });
        cloud.bring(&server, "change_protection", &body, off).await.map(drop)
    }
}

fn is_on(server: &Server) -> bool {
    server.protection == Protection { delete: true, rebuild: true }
}
