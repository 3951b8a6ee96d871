//! A server in a private network.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ObjectName, Undoing};
use crate::access::{Hands, Trial, View};
use crate::diagnostic::Result;
use crate::journal::record::{Before, Change, Observed, OutputValue, Outputs};
use crate::step::common::{output, unverified};
use crate::step::{Effect, Evidence, Failure, Findings, OutputType, Scope, StepKind, WayBack};
use crate::transport::hcloud::{Network, Resource as _, Server};

/// Attaches a server to a private network, while it runs. It is for one that was not made by `hcloud_server` with its
/// network: an adopted one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HcloudAttach {
    /// The server's name.
    pub server: ObjectName,
    /// The network's name.
    pub network: ObjectName,
    /// Its address there; without it the cloud chooses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
}

impl StepKind for HcloudAttach {
    const NAME: &'static str = "hcloud_attach";
    const SUMMARY: &'static str = "attaches a server in the cloud to a private network";

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
        vec![("private-address", OutputType::String)]
    }

    fn objects(&self, view: &View<'_>) -> Vec<String> {
        super::objects::<Server>(view, &self.server)
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        let cloud = view.hcloud().await?;
        let server = super::seen_or_noted::<Server>(&cloud, &self.server, &mut findings).await?;
        let network = super::seen_or_noted::<Network>(&cloud, &self.network, &mut findings).await?;
        if let Some(other) = server.zip(network).and_then(|(server, network)| self.differs(&server, &network))
        {
            findings.block(other);
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let cloud = view.hcloud().await?;
        let server = super::seen::<Server>(&cloud, &self.server).await?;
        let network = super::seen::<Network>(&cloud, &self.network).await?;
        if let Some((server, network)) = server.as_ref().zip(network.as_ref()) {
            if let Some(running) = super::running(&cloud, server).await? {
                return Ok(Observed::Running(running));
            }
            if let Some(other) = self.differs(server, network) {
                return Ok(Observed::Indeterminate(other));
            }
            if let Some(address) = server.address_in(network.head().id) {
                return Ok(Observed::Applied(outputs_of(address)?));
            }
        }
        let address = self.address.map(|address| format!(", as {address}")).unwrap_or_default();
        let change = Change {
            summary: format!("attach the server {} to the network {}{address}", self.server, self.network),
            details: vec!["it keeps running".to_owned(), format!("at {}", cloud.endpoint())],
        };
        let network = network.map(|network| network.head().id);
        Ok(Observed::NotApplied { change, before: super::server_stood(&cloud, server.as_ref(), network)? })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let cloud = hands.hcloud().await?;
        let server: Server = super::needed(&cloud, &self.server).await.map_err(Failure::NotStarted)?;
        let network: Network = super::needed(&cloud, &self.network).await.map_err(Failure::NotStarted)?;
        let id = network.head().id;
        let body = match self.address {
            Some(ip) => json!({ "network": id, "ip": ip.to_string() }),
            None => json!({ "network": id }),
        };
        let attached = |now: &Server| now.address_in(id).is_some();
        let server = cloud.bring(&server, "attach_to_network", &body, attached).await?;
        outputs_of(server.address_in(id).unwrap_or_default()).map_err(Failure::Unclear)
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let cloud = trial.hcloud().await?;
        let server: Server = super::needed(&cloud, &self.server).await?;
        let network: Network = super::needed(&cloud, &self.network).await?;
        if let Some(other) = self.differs(&server, &network) {
            return Err(unverified(other));
        }
        let Some(address) = server.address_in(network.head().id) else {
            return Err(unverified(format!(
                "the server {} is not in the network {}",
                self.server, self.network
            )));
        };
        let mut evidence = Evidence::facts([format!(
            "the server {} (number {}) has {address} in the network {}",
            self.server, server.head.id, self.network
        )]);
        evidence.outputs = outputs_of(address)?;
        Ok(evidence)
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let undoing = super::to_undo::<Server, Option<i64>>(hands, &self.server).await?;
        let Some(Undoing { cloud, stood, object: server }) = undoing else { return Ok(()) };
        let network = match stood.was.flatten() {
            Some(id) => id,
            None => match super::seen::<Network>(&cloud, &self.network).await.map_err(Failure::NotStarted)? {
                Some(network) => network.head().id,
                None => return Ok(()),
            },
        };
        let gone = |now: &Server| !now.is_in(network);
        cloud.bring(&server, "detach_from_network", &json!({ "network": network }), gone).await.map(drop)
    }
}

impl HcloudAttach {
    /// It is there with another address, which cannot be changed while it is there.
    fn differs(&self, server: &Server, network: &Network) -> Option<String> {
        let (is, wanted) = (server.address_in(network.head().id)?, self.address?);
        (is != wanted.to_string()).then(|| {
            format!("the server {} has {is} in the network {}, not {wanted}", self.server, self.network)
        })
    }
}

fn outputs_of(address: &str) -> Result<Outputs> {
    Ok(Outputs::from([(output("private-address")?, OutputValue::String(address.to_owned()))]))
}
