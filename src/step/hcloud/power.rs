//! The power of a server.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ObjectName, Undoing};
use crate::access::hcloud::HcloudHands;
use crate::access::{Hands, Trial, View};
use crate::diagnostic::Result;
use crate::journal::record::{Before, Change, Observed, Outputs};
use crate::step::common::unverified;
use crate::step::{Effect, Evidence, Failure, Findings, Scope, StepKind, WayBack};
use crate::transport::hcloud::Server;
use crate::units::HumanDuration;

/// Switches a server on, or has its system shut down and waits until it is off. It never cuts the power: a system that
/// does not go down is left for a person to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HcloudPower {
    /// The server's name.
    pub server: ObjectName,
    /// `on` or `off`.
    pub power: Power,
    /// How long it may take; 3 minutes unless given.
    #[serde(default = "three_minutes")]
    pub within: HumanDuration,
}

/// Whether a server has power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// It runs.
    On,
    /// It does not.
    Off,
}

impl Power {
    /// What the API calls it.
    fn status(self) -> &'static str {
        match self {
            Self::On => "running",
            Self::Off => "off",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::On => Self::Off,
            Self::Off => Self::On,
        }
    }

    fn action(self) -> &'static str {
        match self {
            Self::On => "poweron",
            Self::Off => "shutdown",
        }
    }
}

fn three_minutes() -> HumanDuration {
    HumanDuration::from_secs(180)
}

impl StepKind for HcloudPower {
    const NAME: &'static str = "hcloud_power";
    const SUMMARY: &'static str = "switches a server in the cloud on, or has it shut down";

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
            if server.status == self.power.status() {
                return Ok(Observed::Applied(Outputs::new()));
            }
            if server.status != self.power.other().status() {
                return Ok(Observed::Running(format!("the server {} is {}", self.server, server.status)));
            }
        }
        let summary = match self.power {
            Power::On => format!("switch the server {} on", self.server),
            Power::Off => format!("shut the server {} down: whatever it runs ends", self.server),
        };
        let change = Change { summary, details: vec![format!("at {}", cloud.endpoint())] };
        Ok(Observed::NotApplied { change, before: super::server_stood(&cloud, server.as_ref(), ())? })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let cloud = hands.hcloud().await?;
        let server: Server = super::needed(&cloud, &self.server).await.map_err(Failure::NotStarted)?;
        self.bring(&cloud, &server, self.power).await.map(|()| Outputs::new())
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let server: Server = super::needed(&trial.hcloud().await?, &self.server).await?;
        let (name, id, status) = (&self.server, server.head.id, &server.status);
        if status != self.power.status() {
            return Err(unverified(format!("the server {name} (number {id}) is {status}")));
        }
        Ok(Evidence::facts([format!("the server {name} (number {id}) is {status}")]))
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let undoing = super::to_undo::<Server, ()>(hands, &self.server).await?;
        let Some(Undoing { cloud, object: server, .. }) = undoing else { return Ok(()) };
        self.bring(&cloud, &server, self.power.other()).await
    }
}

impl HcloudPower {
    async fn bring(&self, cloud: &HcloudHands, server: &Server, power: Power) -> Result<(), Failure> {
        let is = |now: &Server| now.status == power.status();
        cloud.bring_within(server, power.action(), &json!({}), self.within.into(), is).await.map(drop)
    }
}
