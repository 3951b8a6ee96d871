//! One server: made with its SSH host key given, or adopted as it is.

mod found;
mod making;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ordering::Ordering;
use super::{Adopt, ObjectName, host_key};
use crate::access::hcloud::{FLEET_LABEL, HcloudView, RUN_LABEL};
use crate::access::{Hands, Trial, View};
use crate::costs::{Item, Order};
use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::journal::record::{Before, Change, Observed, Outputs};
use crate::step::common::unverified;
use crate::step::{Effect, Evidence, Failure, Findings, OutputType, Scope, StepKind, WayBack};
use crate::transport::hcloud::{Network, Server};
use crate::transport::ssh::host_key::HostKey;

/// The label that says which host key a server was given.
const HOST_KEY_LABEL: &str = "hactl-host-key";

/// Makes one server. Its SSH host key is made here, kept encrypted as the secret `host-key.<name>`, and given to it by
/// cloud-init, so that the very first connection is checked. With `adopt = true` the server must be there already: it is
/// used as it is, and is never made, changed or deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HcloudServer {
    /// Its name, which becomes its host name.
    pub name: ObjectName,
    /// Its type, such as `cx33`. Wanted unless the server is adopted, as are `image` and `location`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub server_type: Option<ObjectName>,
    /// The types that are taken instead, in this order, where one is sold out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback_types: Vec<ObjectName>,
    /// The system that it begins with, such as `debian-13`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ObjectName>,
    /// Where it stands, such as `hel1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<ObjectName>,
    /// The private network that it is attached to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<ObjectName>,
    /// Its address there; without it the cloud chooses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_address: Option<Ipv4Addr>,
    /// The placement group that it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement_group: Option<ObjectName>,
    /// The firewalls before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub firewalls: Vec<ObjectName>,
    /// The SSH keys that may log in, by their names in the project.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh_keys: Vec<ObjectName>,
    /// Labels, beside those of hactl.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// A cloud-config, to which hactl adds the host key. No secret belongs in it: it is kept in the journal as the step is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
    /// Whether a server is used that is there already.
    #[serde(default)]
    pub adopt: Adopt,
    /// The number that the adopted server must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
}

impl StepKind for HcloudServer {
    const NAME: &'static str = "hcloud_server";
    const SUMMARY: &'static str =
        "makes a server in the cloud with its SSH host key given, or adopts one as it is";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn way_back(&self) -> WayBack {
        match self.adopt {
            Adopt::Yes => WayBack::Nothing,
            Adopt::No => WayBack::Undo,
        }
    }

    fn outputs(&self) -> Vec<(&str, OutputType)> {
        let mut types = super::output_types();
        types.extend([("ipv4", OutputType::String), ("type", OutputType::String)]);
        if self.adopt == Adopt::No {
            types.push(("host-key", OutputType::String));
            types.extend(self.network.as_ref().map(|_| ("private-address", OutputType::String)));
        }
        types
    }

    fn objects(&self, view: &View<'_>) -> Vec<String> {
        super::objects::<Server>(view, &self.name)
    }

    async fn orders(&self, view: &View<'_>) -> Result<Vec<Order>> {
        let cloud = view.hcloud().await?;
        let there = cloud.find::<Server>(self.name.as_str()).await?;
        if self.adopt == Adopt::Yes || there.is_some() {
            return Ok(Vec::new());
        }
        let location = self.location().to_owned();
        let ordering = Ordering::of(&cloud, &self.types(), &location).await?;
        let kind = ordering.in_turn().first().map(|kind| (*kind).to_owned());
        let items = kind.map(Item::Server).into_iter().chain([Item::PrimaryIpv4]);
        Ok(items.map(|item| Order { item, location: location.clone() }).collect())
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        for why in self.wrong() {
            findings.block(why);
        }
        let cloud = view.hcloud().await?;
        let found = super::check_usable::<Server>(&cloud, &self.name, self.adopt, &mut findings).await?;
        match (self.adopt, found) {
            (Adopt::Yes, Some(found)) => {
                if let Some(why) = self.other_number(&found) {
                    findings.block(why);
                }
            }
            (Adopt::Yes, None) => findings.block(self.nothing_to_adopt()),
            (Adopt::No, Some(found)) => {
                if let Some(why) = self.differs(&found) {
                    findings.block(why);
                }
            }
            (Adopt::No, None) => self.check_order(view, &cloud, &mut findings).await?,
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let cloud = view.hcloud().await?;
        let found = super::usable::<Server>(&cloud, &self.name, self.adopt).await?;
        let found = match (found, self.adopt) {
            (Some(found), Adopt::Yes) => {
                return match self.other_number(&found) {
                    Some(other) => Ok(Observed::Indeterminate(other)),
                    None => Ok(Observed::Applied(self.outputs_of(&found, None, None)?)),
                };
            }
            (None, Adopt::Yes) => return Ok(Observed::Indeterminate(self.nothing_to_adopt())),
            (None, Adopt::No) => {
                let change = self.change(&cloud).await?;
                return Ok(Observed::NotApplied { change, before: super::nothing_stood(&cloud)? });
            }
            (Some(found), Adopt::No) => found,
        };
        if let Some(running) = super::running(&cloud, &found).await? {
            return Ok(Observed::Running(running));
        }
        if let Some(other) = self.differs(&found) {
            return Ok(Observed::Indeterminate(other));
        }
        let key = match self.key_of(view, &found).await? {
            Ok(key) => key,
            Err(unknown) => return Ok(Observed::Indeterminate(unknown)),
        };
        let network = self.network_of(&cloud).await?;
        let missing = self.missing(&found, network.as_ref());
        if missing.is_empty() {
            return Ok(Observed::Applied(self.outputs_of(&found, network.as_ref(), Some(&key))?));
        }
        let change = Change {
            summary: format!("finish the server {} (number {})", self.name, found.head.id),
            details: missing,
        };
        Ok(Observed::NotApplied { change, before: super::stood::<()>(&cloud, &found.head, None)? })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let cloud = hands.hcloud().await?;
        let usable = super::usable::<Server>(&cloud, &self.name, Adopt::No).await;
        if self.adopt == Adopt::Yes {
            // Observing never asks for a change of an adopted server; nobody makes one here either.
            let error = Error::new(codes::HCLOUD_NOT_FOUND, self.nothing_to_adopt());
            return Err(Failure::NotStarted(error.state("nothing was made")));
        }
        let network = self.network_of(&cloud).await.map_err(Failure::NotStarted)?;
        let key = host_key::kept_or_made(hands, &self.name).await?;
        let found = match usable.map_err(Failure::NotStarted)? {
            Some(found) => found,
            None => self.make(&cloud, network.as_ref(), &key).await?,
        };
        let mut server = match cloud.get::<Server>(found.head.id).await? {
            Some(server) => server,
            None => found,
        };
        if let Some(network) = &network {
            let body = match self.private_address {
                Some(ip) => json!({ "network": network.head.id, "ip": ip.to_string() }),
                None => json!({ "network": network.head.id }),
            };
            let attached = |now: &Server| now.address_in(network.head.id).is_some();
            server = cloud.bring(&server, "attach_to_network", &body, attached).await?;
        }
        let runs = |now: &Server| now.status == "running";
        let server = cloud.bring(&server, "poweron", &json!({}), runs).await?;
        self.outputs_of(&server, network.as_ref(), Some(&key.public)).map_err(Failure::Unclear)
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let cloud = trial.hcloud().await?;
        let found: Server = super::there(&cloud, &self.name).await?;
        let (name, id) = (&self.name, found.head.id);
        let mut facts = vec![format!(
            "the server {name} (number {id}) is {}: {}",
            found.status,
            self.described(&found).join(", ")
        )];
        let mut evidence = match self.adopt {
            Adopt::Yes => {
                facts.push(super::made_by(&cloud, &found.head));
                let mut evidence = Evidence::facts(facts);
                evidence.outputs = self.outputs_of(&found, None, None)?;
                return Ok(evidence);
            }
            Adopt::No => Evidence::default(),
        };
        let network = self.network_of(&cloud).await?;
        let wrong = self.differs(&found).into_iter().chain(self.missing(&found, network.as_ref()));
        if let Some(wrong) = wrong.reduce(|all, one| format!("{all}; {one}")) {
            return Err(unverified(wrong));
        }
        let key = self.key_of(trial, &found).await?.map_err(unverified)?;
        facts.push(format!("its SSH host key was made here: {}", key.fingerprint()));
        facts.push(super::made_by(&cloud, &found.head));
        facts.extend(self.shows_its_key(trial).await?);
        evidence.outputs = self.outputs_of(&found, network.as_ref(), Some(&key))?;
        evidence.facts = facts;
        Ok(evidence)
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        match self.adopt {
            Adopt::Yes => Ok(()),
            Adopt::No => {
                super::take_back::<Server>(hands, &self.name).await?;
                hands.forget_host_keys(self.name.as_str()).map_err(Failure::Unclear)?;
                // The next server of this name is another one, with another key.
                let name = host_key::secret_name(&self.name).map_err(Failure::NotStarted)?;
                hands.sealing().retire(&name).map_err(Failure::Unclear)
            }
        }
    }
}

impl HcloudServer {
    /// What of the step cannot be, by itself.
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if !is_host_name(self.name.as_str()) {
            wrong.push(format!("{} is no host name: letters, digits and dashes are wanted", self.name));
        }
        if self.private_address.is_some() && self.network.is_none() {
            wrong.push("private_address wants the network that it lies in".to_owned());
        }
        let wanted = [("type", &self.server_type), ("image", &self.image), ("location", &self.location)];
        if self.adopt == Adopt::No {
            for (key, _) in wanted.iter().filter(|(_, value)| value.is_none()) {
                wrong.push(format!("{key} is wanted for a server that is to be made"));
            }
            if self.id.is_some() {
                wrong.push("id is for a server that is adopted: adopt = true".to_owned());
            }
        }
        for label in [FLEET_LABEL, RUN_LABEL, HOST_KEY_LABEL] {
            if self.labels.contains_key(label) {
                wrong.push(format!("the label {label} is hactl's own"));
            }
        }
        let data = self.user_data.as_deref().and_then(host_key::wrong_user_data);
        wrong.extend(data.map(|why| format!("user_data: {why}")));
        wrong
    }

    fn types(&self) -> Vec<&ObjectName> {
        self.server_type.iter().chain(&self.fallback_types).collect()
    }

    fn location(&self) -> &str {
        self.location.as_ref().map_or("", ObjectName::as_str)
    }

    fn nothing_to_adopt(&self) -> String {
        format!("there is no server {} in the project to adopt; hactl makes none in its place", self.name)
    }

    fn other_number(&self, found: &Server) -> Option<String> {
        let wanted = self.id.filter(|id| *id != found.head.id)?;
        Some(format!("the server {} has the number {}, not {wanted}", self.name, found.head.id))
    }

    async fn network_of(&self, cloud: &HcloudView) -> Result<Option<Network>> {
        match &self.network {
            None => Ok(None),
            Some(name) => super::needed(cloud, name).await.map(Some),
        }
    }
}

/// A host key as a label, which holds at most 63 letters and digits.
fn label_of(key: &HostKey) -> String {
    let mut digest = Digest::of(key.to_string()).to_string();
    digest.truncate(40);
    digest
}

fn is_host_name(name: &str) -> bool {
    let part = |part: &str| {
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !part.is_empty() && !part.starts_with('-') && !part.ends_with('-') && part.chars().all(fine)
    };
    name.len() <= 63 && name.split('.').all(part)
}
