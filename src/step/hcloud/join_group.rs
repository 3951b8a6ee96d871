//! A server in a placement group.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ObjectName, Undoing};
use crate::access::{Hands, Trial, View};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::{Before, Change, Observed, Outputs};
use crate::step::common::unverified;
use crate::step::{Effect, Evidence, Failure, Findings, Scope, StepKind, WayBack};
use crate::transport::hcloud::{PlacementGroup, Server};
use crate::units::HumanDuration;

/// Puts a server that was made without it into a placement group. The cloud does that only while the server is powered
/// off: with `restart = true` its system is shut down for it and switched on again, else it must be off already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HcloudJoinGroup {
    /// The server's name.
    pub server: ObjectName,
    /// The placement group's name.
    pub placement_group: ObjectName,
    /// Whether the server is shut down for it, and switched on again.
    #[serde(default)]
    pub restart: bool,
    /// How long it may take to go down, and to come up; 3 minutes each unless given.
    #[serde(default = "three_minutes")]
    pub within: HumanDuration,
}

fn three_minutes() -> HumanDuration {
    HumanDuration::from_secs(180)
}

impl StepKind for HcloudJoinGroup {
    const NAME: &'static str = "hcloud_join_group";
    const SUMMARY: &'static str = "puts a server that is powered off into a placement group";

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
        let server = super::seen_or_noted::<Server>(&cloud, &self.server, &mut findings).await?;
        super::seen_or_noted::<PlacementGroup>(&cloud, &self.placement_group, &mut findings).await?;
        if let Some(server) = server.filter(|server| !self.is_in(server)) {
            if let Some(other) = self.differs(&server) {
                findings.block(other);
            } else if server.status != "off" && self.restart {
                findings
                    .warn(format!("the server {} is shut down for it: whatever it runs ends", self.server));
            } else if server.status != "off" {
                findings.block(self.must_be_off(&server));
            }
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let cloud = view.hcloud().await?;
        let server = super::seen::<Server>(&cloud, &self.server).await?;
        if let Some(server) = &server {
            if let Some(running) = super::running(&cloud, server).await? {
                return Ok(Observed::Running(running));
            }
            if self.is_done(server) {
                return Ok(Observed::Applied(Outputs::new()));
            }
            if let Some(other) = self.differs(server) {
                return Ok(Observed::Indeterminate(other));
            }
        }
        let how = match self.restart {
            true => "its system is shut down for it, and switched on again",
            false => "while it is powered off",
        };
        let change = Change {
            summary: format!(
                "put the server {} into the placement group {}",
                self.server, self.placement_group
            ),
            details: vec![how.to_owned(), format!("at {}", cloud.endpoint())],
        };
        Ok(Observed::NotApplied { change, before: super::server_stood(&cloud, server.as_ref(), ())? })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let cloud = hands.hcloud().await?;
        let server: Server = super::needed(&cloud, &self.server).await.map_err(Failure::NotStarted)?;
        let group = super::needed::<PlacementGroup>(&cloud, &self.placement_group).await;
        let group = group.map_err(Failure::NotStarted)?;
        let (off, on) = (|now: &Server| now.status == "off", |now: &Server| now.status == "running");
        let (mut server, within) = (server, self.within.into());
        if !self.is_in(&server) && !off(&server) {
            if !self.restart {
                let error = Error::new(codes::REQUIREMENT_NOT_MET, self.must_be_off(&server));
                return Err(Failure::NotStarted(error.state("nothing was changed")));
            }
            server = cloud.bring_within(&server, "shutdown", &json!({}), within, off).await?;
        }
        let body = json!({ "placement_group": group.head.id });
        let is_in = |now: &Server| self.is_in(now);
        server = cloud.bring(&server, "add_to_placement_group", &body, is_in).await?;
        if self.restart {
            cloud.bring_within(&server, "poweron", &json!({}), within, on).await?;
        }
        Ok(Outputs::new())
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let server: Server = super::needed(&trial.hcloud().await?, &self.server).await?;
        let (name, id, group) = (&self.server, server.head.id, &self.placement_group);
        if !self.is_done(&server) {
            return Err(unverified(format!(
                "the server {name} (number {id}) is {}, or not in the group {group}",
                server.status
            )));
        }
        let status = &server.status;
        let fact = format!("the server {name} (number {id}) is {status}, and spread by the group {group}");
        Ok(Evidence::facts([fact]))
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let undoing = super::to_undo::<Server, ()>(hands, &self.server).await?;
        let Some(Undoing { cloud, object: server, .. }) = undoing else { return Ok(()) };
        let out = |now: &Server| !self.is_in(now);
        cloud.bring(&server, "remove_from_placement_group", &json!({}), out).await.map(drop)
    }
}

impl HcloudJoinGroup {
    fn is_in(&self, server: &Server) -> bool {
        group_of(server) == Some(self.placement_group.as_str())
    }

    /// In the group, and running again where the step takes it down.
    fn is_done(&self, server: &Server) -> bool {
        self.is_in(server) && (!self.restart || server.status == "running")
    }

    fn differs(&self, server: &Server) -> Option<String> {
        let other = group_of(server).filter(|group| *group != self.placement_group.as_str())?;
        Some(format!("the server {} is in the placement group {other}", self.server))
    }

    fn must_be_off(&self, server: &Server) -> String {
        format!(
            "the server {} is {}, and the cloud puts it into a placement group only while it is off: shut it down, \
             or let the step do it by restart = true",
            self.server, server.status
        )
    }
}

fn group_of(server: &Server) -> Option<&str> {
    server.placement_group.as_ref().and_then(|group| group.name.as_deref())
}
