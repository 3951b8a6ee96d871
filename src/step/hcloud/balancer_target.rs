//! A target of a load balancer: one server, or one address.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::balancing::{self, Health};
use super::{Adopt, ObjectName, Undoing};
use crate::access::hcloud::HcloudView;
use crate::access::{Hands, Trial, View};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::{Before, Change, Observed, Outputs};
use crate::step::common::unverified;
use crate::step::{Effect, Evidence, Failure, Findings, Scope, StepKind, WayBack};
use crate::transport::hcloud::{LoadBalancer, Resource as _, Server, TargetSeen};

/// Makes a server, or an address outside the cloud, a target of a load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct HcloudBalancerTarget {
    balancer: ObjectName,
    target: Target,
    health: Health,
    adopt: Adopt,
}

/// What becomes a target.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Server { name: ObjectName, by: By },
    Ip(String),
}

/// By which address a server is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// By the one in the network that both are in.
    #[default]
    Private,
    /// By the public one.
    Public,
}

/// As it stands in the TOML.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The load balancer's name.
    balancer: ObjectName,
    /// The server's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<ObjectName>,
    /// By which address the server is reached: `private` (unless said otherwise) or `public`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<By>,
    /// The address, in place of a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    #[serde(default)]
    health: Health,
    #[serde(default)]
    adopt: Adopt,
}

impl TryFrom<Written> for HcloudBalancerTarget {
    type Error = String;
    fn try_from(written: Written) -> Result<Self, String> {
        let Written { balancer, server, by, ip, health, adopt } = written;
        let target = match (server, ip, by) {
            (Some(name), None, by) => Target::Server { name, by: by.unwrap_or_default() },
            (None, Some(ip), None) => Target::Ip(ip),
            (None, Some(_), Some(_)) => return Err("`by` says how a server is reached, not an ip".to_owned()),
            (Some(_), Some(_), _) | (None, None, _) => {
                return Err("a target is one of `server` and `ip`".to_owned());
            }
        };
        Ok(Self { balancer, target, health, adopt })
    }
}

impl From<HcloudBalancerTarget> for Written {
    fn from(kind: HcloudBalancerTarget) -> Self {
        let HcloudBalancerTarget { balancer, target, health, adopt } = kind;
        let (server, by, ip) = match target {
            Target::Server { name, by } => (Some(name), Some(by), None),
            Target::Ip(ip) => (None, None, Some(ip)),
        };
        Self { balancer, server, by, ip, health, adopt }
    }
}

/// A target as the API knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    Server(i64, By),
    Ip(String),
}

impl Known {
    fn is(&self, seen: &TargetSeen) -> bool {
        match self {
            Self::Server(id, by) => {
                seen.server.is_some_and(|server| server.id == *id)
                    && seen.use_private_ip == (*by == By::Private)
            }
            Self::Ip(ip) => seen.ip.as_ref().is_some_and(|seen| seen.ip.as_ref() == Some(ip)),
        }
    }

    /// What adding and removing have in common.
    fn body(&self) -> Value {
        match self {
            Self::Server(id, _) => json!({ "type": "server", "server": { "id": id } }),
            Self::Ip(ip) => json!({ "type": "ip", "ip": { "ip": ip } }),
        }
    }

    fn adding(&self) -> Value {
        let mut body = self.body();
        if let Self::Server(_, by) = self {
            body["use_private_ip"] = json!(*by == By::Private);
        }
        body
    }
}

impl StepKind for HcloudBalancerTarget {
    const NAME: &'static str = "hcloud_balancer_target";
    const SUMMARY: &'static str =
        "makes a server or an address a target of a load balancer in the cloud project";

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
        super::objects::<LoadBalancer>(view, &self.balancer)
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        let cloud = view.hcloud().await?;
        let found = super::check_usable::<LoadBalancer>(&cloud, &self.balancer, self.adopt, &mut findings);
        let found = found.await?;
        if let (Some(other), Some(known)) = (found, self.known(&cloud).await?)
            && let Some(differs) = self.differs(&other, &known)
        {
            findings.block(differs);
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let cloud = view.hcloud().await?;
        let change = Change {
            summary: format!("make {} a target of the load balancer {}", self.words(), self.balancer),
            details: vec![format!("at {}", cloud.endpoint())],
        };
        let Some(balancer) = super::usable::<LoadBalancer>(&cloud, &self.balancer, self.adopt).await? else {
            return Ok(Observed::NotApplied { change, before: super::nothing_stood(&cloud)? });
        };
        if let Some(running) = super::running(&cloud, &balancer).await? {
            return Ok(Observed::Running(running));
        }
        if let Some(known) = self.known(&cloud).await? {
            if balancer.targets.iter().any(|seen| known.is(seen)) {
                return Ok(Observed::Applied(Outputs::new()));
            }
            if let Some(differs) = self.differs(&balancer, &known) {
                return Ok(Observed::Indeterminate(differs));
            }
        }
        let before = super::stood::<()>(&cloud, balancer.head(), None)?;
        Ok(Observed::NotApplied { change, before })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let cloud = hands.hcloud().await?;
        let known = self.there(&cloud).await.map_err(Failure::NotStarted)?;
        let balancer: LoadBalancer = super::usable_by_now(&cloud, &self.balancer, self.adopt).await?;
        let is_one = |now: &LoadBalancer| now.targets.iter().any(|seen| known.is(seen));
        cloud.bring(&balancer, "add_target", &known.adding(), is_one).await?;
        Ok(Outputs::new())
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let cloud = trial.hcloud().await?;
        let known = self.there(&cloud).await?;
        let balancer: LoadBalancer = super::there(&cloud, &self.balancer).await?;
        if !balancer.targets.iter().any(|seen| known.is(seen)) {
            let text = format!("{} is no target of the load balancer {}", self.words(), self.balancer);
            return Err(unverified(text));
        }
        let mut facts = vec![format!("{} is a target of the load balancer {}", self.words(), self.balancer)];
        facts.extend(balancing::health(&cloud, &balancer, self.health, |target, _| known.is(target)).await?);
        Ok(Evidence::facts(facts))
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let undoing = super::to_undo::<LoadBalancer, ()>(hands, &self.balancer).await?;
        let Some(Undoing { cloud, object: balancer, .. }) = undoing else { return Ok(()) };
        // A server that is gone is no target any more.
        let Some(known) = self.known(&cloud).await? else { return Ok(()) };
        let gone = |now: &LoadBalancer| !now.targets.iter().any(|seen| known.is(seen));
        cloud.bring(&balancer, "remove_target", &known.body(), gone).await.map(drop)
    }
}

impl HcloudBalancerTarget {
    fn words(&self) -> String {
        match &self.target {
            Target::Server { name, by: By::Private } => format!("the server {name}, by its private address,"),
            Target::Server { name, by: By::Public } => format!("the server {name}, by its public address,"),
            Target::Ip(ip) => format!("the address {ip}"),
        }
    }

    /// The target by number, where its server is there.
    async fn known(&self, cloud: &HcloudView) -> Result<Option<Known>> {
        Ok(match &self.target {
            Target::Server { name, by } => {
                let server = cloud.find::<Server>(name.as_str()).await?;
                server.map(|server| Known::Server(server.head().id, *by))
            }
            Target::Ip(ip) => Some(Known::Ip(ip.clone())),
        })
    }

    /// The same, for a server that must be there by now.
    async fn there(&self, cloud: &HcloudView) -> Result<Known> {
        if let Target::Server { name, .. } = &self.target {
            cloud.wait_for::<Server>(name.as_str()).await?;
        }
        let missing = || {
            let text = format!("there is no target {} in the project", self.words());
            Error::new(codes::HCLOUD_NOT_FOUND, text).next("hactl plan    (shows what is there)")
        };
        self.known(cloud).await?.ok_or_else(missing)
    }

    /// Whether the server is a target already, and reached another way than the step says.
    fn differs(&self, balancer: &LoadBalancer, known: &Known) -> Option<String> {
        let Known::Server(id, by) = known else { return None };
        let other = match by {
            By::Private => By::Public,
            By::Public => By::Private,
        };
        let other = Known::Server(*id, other);
        balancer.targets.iter().any(|seen| other.is(seen)).then(|| {
            let word = match by {
                By::Private => "public",
                By::Public => "private",
            };
            format!(
                "the server number {id} is a target of the load balancer {} by its {word} address already",
                self.balancer
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::HcloudBalancerTarget;

    #[test]
    fn a_target_is_a_server_or_an_address() {
        let read = |text: &str| toml::from_str::<HcloudBalancerTarget>(&format!("balancer = \"lb\"\n{text}"));
        for fine in ["server = \"a\"", "server = \"a\"\nby = \"public\"", "ip = \"192.0.2.1\""] {
            let kind = read(fine).unwrap();
            let again = toml::from_str(&toml::to_string(&kind).unwrap()).unwrap();
            assert_eq!(kind, again);
        }
        for (wrong, why) in [
            ("", "a target is one of"),
            ("server = \"a\"\nip = \"192.0.2.1\"", "a target is one of"),
            ("ip = \"192.0.2.1\"\nby = \"private\"", "not an ip"),
            ("server = \"a\"\nprivate = true", "unknown field"),
        ] {
            let said = read(wrong).unwrap_err().to_string();
            assert!(said.contains(why), "{wrong}: {said}");
        }
    }
}
