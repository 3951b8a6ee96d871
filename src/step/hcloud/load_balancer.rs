//! A load balancer: what it is, where it stands and which network it is in. Its services and targets are steps of their
//! own.

use std::net::Ipv4Addr;

use hcloud::models::{CreateLoadBalancerRequest, LoadBalancerAlgorithm, load_balancer_algorithm};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Adopt, ObjectName, Undoing};
use crate::access::hcloud::HcloudView;
use crate::access::{Hands, Trial, View};
use crate::costs::{Item, Order};
use crate::diagnostic::Result;
use crate::journal::record::{Before, Change, Observed, OutputValue, Outputs};
use crate::step::common::{output, unverified};
use crate::step::{Effect, Evidence, Failure, Findings, OutputType, Scope, StepKind, WayBack};
use crate::transport::hcloud::{LoadBalancer, Network, Resource as _};

/// Makes a load balancer, in a private network where the step names one. One that exists in no network is put into it;
/// its type, its location and its algorithm are never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HcloudLoadBalancer {
    /// Its name.
    pub name: ObjectName,
    /// Its type, such as `lb11`: how many services, targets and connections it may have.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it stands, such as `hel1`.
    pub location: String,
    /// How it chooses a target.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// The private network that it is put into: targets are reached by their private addresses there.
    #[serde(default)]
    pub network: Option<ObjectName>,
    /// Its address there; without one the cloud chooses.
    #[serde(default)]
    pub private_address: Option<Ipv4Addr>,
    /// Whether one that hactl did not make is used.
    #[serde(default)]
    pub adopt: Adopt,
}

/// How a target is chosen for a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest connections.
    LeastConnections,
}

impl Algorithm {
    fn word(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::LeastConnections => "least_connections",
        }
    }
}

impl StepKind for HcloudLoadBalancer {
    const NAME: &'static str = "hcloud_load_balancer";
    const SUMMARY: &'static str = "makes a load balancer in the cloud project";

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
        types.push(("ipv4", OutputType::String));
        if self.network.is_some() {
            types.push(("private-address", OutputType::String));
        }
        types
    }

    fn objects(&self, view: &View<'_>) -> Vec<String> {
        super::objects::<LoadBalancer>(view, &self.name)
    }

    async fn orders(&self, view: &View<'_>) -> Result<Vec<Order>> {
        let there = view.hcloud().await?.find::<LoadBalancer>(self.name.as_str()).await?;
        let order = Order { item: Item::LoadBalancer(self.kind.clone()), location: self.location.clone() };
        Ok(if there.is_some() { Vec::new() } else { vec![order] })
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        if self.private_address.is_some() && self.network.is_none() {
            findings.block("a private address wants a network: name it in `network`");
        }
        let cloud = view.hcloud().await?;
        let found =
            super::check_usable::<LoadBalancer>(&cloud, &self.name, self.adopt, &mut findings).await?;
        if found.is_none() {
            let kinds = cloud.prices().await?.load_balancer_types;
            findings
                .0
                .extend(super::balancing::offered(&kinds, "load balancer", &self.kind, &self.location).0);
        }
        if let Some(found) = found
            && let Some(differs) = self.differs(&cloud, &found).await?
        {
            findings.block(differs);
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let cloud = view.hcloud().await?;
        let Some(found) = super::usable::<LoadBalancer>(&cloud, &self.name, self.adopt).await? else {
            let algorithm = self.algorithm.word();
            let mut details = vec![format!("{} in {}, {algorithm}", self.kind, self.location)];
            details.extend(self.network.as_ref().map(|name| self.network_words(name)));
            details.push(format!("at {}", cloud.endpoint()));
            let change = Change { summary: format!("make the load balancer {}", self.name), details };
            return Ok(Observed::NotApplied { change, before: super::nothing_stood(&cloud)? });
        };
        if let Some(differs) = self.differs(&cloud, &found).await? {
            return Ok(Observed::Indeterminate(differs));
        }
        if let Some(running) = super::running(&cloud, &found).await? {
            return Ok(Observed::Running(running));
        }
        match &self.network {
            Some(name) if found.private_net.is_empty() => {
                let (own, id) = (&self.name, found.head().id);
                let change = Change {
                    summary: format!("put the load balancer {own} (number {id}) into a network"),
                    details: vec![self.network_words(name)],
                };
                let before = super::stood::<()>(&cloud, found.head(), None)?;
                Ok(Observed::NotApplied { change, before })
            }
            Some(_) | None => Ok(Observed::Applied(self.outputs_of(&found)?)),
        }
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let cloud = hands.hcloud().await?;
        // Before anything is made: a network that is not there is a reason not to begin.
        let network = match &self.network {
            Some(name) => Some(super::there::<Network>(&cloud, name).await.map_err(Failure::NotStarted)?),
            None => None,
        };
        let usable = super::usable::<LoadBalancer>(&cloud, &self.name, self.adopt).await;
        let balancer = match usable.map_err(Failure::NotStarted)? {
            Some(balancer) => balancer,
            None => {
                let algorithm = match self.algorithm {
                    Algorithm::RoundRobin => load_balancer_algorithm::Type::RoundRobin,
                    Algorithm::LeastConnections => load_balancer_algorithm::Type::LeastConnections,
                };
                let request = CreateLoadBalancerRequest {
                    algorithm: Some(Box::new(LoadBalancerAlgorithm::new(algorithm))),
                    location: Some(self.location.clone()),
                    ..CreateLoadBalancerRequest::new(self.kind.clone(), self.name.to_string())
                };
                cloud.make(self.name.as_str(), &request).await?
            }
        };
        let balancer = match network {
            None => balancer,
            Some(network) => {
                let id = network.head().id;
                let mut body = json!({ "network": id });
                if let Some(address) = self.private_address {
                    body["ip"] = json!(address);
                }
                let in_it = |now: &LoadBalancer| now.private_net.iter().any(|net| net.network == id);
                cloud.bring(&balancer, "attach_to_network", &body, in_it).await?
            }
        };
        self.outputs_of(&balancer).map_err(Failure::Unclear)
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let cloud = trial.hcloud().await?;
        let found: LoadBalancer = super::there(&cloud, &self.name).await?;
        let outside = self.network.is_some() && found.private_net.is_empty();
        if let Some(differs) = self.differs(&cloud, &found).await? {
            return Err(unverified(differs));
        }
        if outside {
            return Err(unverified(format!("the load balancer {} is in no network", self.name)));
        }
        let place = format!("{} in {}", self.kind, self.location);
        let net = found.private_net.iter().filter_map(|net| net.ip.clone()).next();
        let inside = net.map(|ip| format!(" and {ip}")).unwrap_or_default();
        let mut evidence = Evidence::facts([
            format!(
                "the load balancer {} (number {}) is a {place}, at {}{inside}",
                self.name,
                found.head().id,
                found.public_net.ipv4().unwrap_or("no public address"),
            ),
            super::made_by(&cloud, found.head()),
        ]);
        evidence.outputs = self.outputs_of(&found)?;
        Ok(evidence)
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let restoring = super::to_restore::<LoadBalancer, ()>(hands, &self.name).await?;
        // The load balancer stays; it leaves the network that it was not in.
        let Some(Undoing { cloud, object: balancer, .. }) = restoring else { return Ok(()) };
        let Some(network) = balancer.private_net.first().map(|net| net.network) else { return Ok(()) };
        let body = json!({ "network": network });
        let out = |now: &LoadBalancer| now.private_net.is_empty();
        cloud.bring(&balancer, "detach_from_network", &body, out).await.map(drop)
    }
}

impl HcloudLoadBalancer {
    fn network_words(&self, name: &ObjectName) -> String {
        let address = self.private_address.map(|ip| format!(", as {ip}")).unwrap_or_default();
        format!("in the network {name}{address}")
    }

    /// What cannot be changed and is not as the step says.
    async fn differs(&self, cloud: &HcloudView, found: &LoadBalancer) -> Result<Option<String>> {
        let is = |kind: &str, place: &str, algorithm: &str| format!("{kind} in {place}, {algorithm}");
        let now = is(found.load_balancer_type.word(), found.location.word(), &found.algorithm.kind);
        let wanted = is(&self.kind, &self.location, self.algorithm.word());
        let head = found.head();
        let but = |is: &str, not: &str| {
            Some(format!("the load balancer {} (number {}) is {is}, not {not}", head.name, head.id))
        };
        if now != wanted {
            return Ok(but(&now, &wanted));
        }
        let (Some(name), Some(inside)) = (&self.network, found.private_net.first()) else { return Ok(None) };
        let is_it = cloud.find::<Network>(name.as_str()).await?.map(|network| network.head().id);
        if is_it != Some(inside.network) {
            return Ok(but(&format!("in the network number {}", inside.network), &format!("in {name}")));
        }
        let address = inside.ip.as_deref().unwrap_or_default();
        Ok(match self.private_address {
            Some(wanted) if address != wanted.to_string() => {
                but(&format!("{address} in the network {name}"), &wanted.to_string())
            }
            Some(_) | None => None,
        })
    }

    fn outputs_of(&self, found: &LoadBalancer) -> Result<Outputs> {
        let mut outputs = super::outputs(found.head())?;
        let public = found.public_net.ipv4().unwrap_or_default();
        outputs.insert(output("ipv4")?, OutputValue::String(public.to_owned()));
        if self.network.is_some() {
            let inside = found.private_net.first().and_then(|net| net.ip.clone()).unwrap_or_default();
            outputs.insert(output("private-address")?, OutputValue::String(inside));
        }
        Ok(outputs)
    }
}
