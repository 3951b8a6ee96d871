//! A server that is not there yet: whether it can be ordered, and asking for it.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::super::host_key::{self, MadeKey};
use super::super::ordering::Ordering;
use super::{HOST_KEY_LABEL, HcloudServer, label_of};
use crate::access::View;
use crate::access::hcloud::{HcloudHands, HcloudView};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::Change;
use crate::step::hcloud::needed;
use crate::step::{Failure, Findings};
use crate::transport::hcloud::{Firewall, Network, PlacementGroup, Server, SshKey};

/// The longest user data that the API takes, our part included.
const LONGEST_USER_DATA: usize = 32 * 1024;

impl HcloudServer {
    /// What can be ordered, and what is not there yet.
    pub(super) async fn check_order(
        &self,
        view: &View<'_>,
        cloud: &HcloudView,
        findings: &mut Findings,
    ) -> Result<()> {
        match &view.workspace().age {
            Some(age) if !age.recipients.is_empty() && age.identity.is_some() => {}
            Some(_) | None => {
                findings.block(
                    "[age] must name recipients and an identity: the server's host key is kept encrypted",
                );
            }
        }
        Ordering::of(cloud, &self.types(), self.location()).await?.tell(findings);
        Ok(())
    }

    pub(super) async fn change(&self, cloud: &HcloudView) -> Result<Change> {
        let ordering = Ordering::of(cloud, &self.types(), self.location()).await?;
        let mut details = vec![ordering.said()];
        details.extend(self.image.as_ref().map(|image| format!("begins with {image}")));
        let private = self.private_address.map(|ip| format!(" as {ip}")).unwrap_or_default();
        details.extend(self.network.as_ref().map(|network| format!("in the network {network}{private}")));
        details.extend(self.placement_group.as_ref().map(|group| format!("in the placement group {group}")));
        details.extend(self.firewalls.iter().map(|wall| format!("behind the firewall {wall}")));
        details.extend(self.ssh_keys.iter().map(|key| format!("lets in the SSH key {key}")));
        details.push("with an SSH host key that is made here and given to it".to_owned());
        details.push(format!("at {}", cloud.endpoint()));
        Ok(Change { summary: format!("make the server {}", self.name), details })
    }

    /// Asks for the server, type by type until one is not sold out. It is not started before its address is its own.
    pub(super) async fn make(
        &self,
        cloud: &HcloudHands,
        network: Option<&Network>,
        key: &MadeKey,
    ) -> Result<Server, Failure> {
        let mut body = self.request(cloud, key).await.map_err(Failure::NotStarted)?;
        if self.private_address.is_some() {
            body["start_after_create"] = json!(false);
        } else if let Some(network) = network {
            body["networks"] = json!([network.head.id]);
        }
        let ordering =
            Ordering::of(cloud, &self.types(), self.location()).await.map_err(Failure::NotStarted)?;
        let mut sold_out = None;
        for kind in ordering.in_turn() {
            body["server_type"] = json!(kind);
            match cloud.make(self.name.as_str(), &body).await {
                Err(Failure::NotStarted(error)) if error.code() == codes::HCLOUD_UNAVAILABLE => {
                    sold_out = Some(error);
                }
                made => return made,
            }
        }
        let none = Error::new(codes::HCLOUD_UNAVAILABLE, ordering.said());
        Err(Failure::NotStarted(
            sold_out
                .unwrap_or(none)
                .state("no server was made")
                .next("give the step more fallback_types or another location, or wait; then: hactl resume"),
        ))
    }

    async fn request(&self, cloud: &HcloudView, key: &MadeKey) -> Result<Value> {
        let data = host_key::user_data(self.user_data.as_deref(), key);
        if data.expose_secret().len() > LONGEST_USER_DATA {
            let text = format!("user_data with the host key is longer than {LONGEST_USER_DATA} bytes");
            return Err(Error::new(codes::FILE_BAD_VALUE, text).state("nothing was made"));
        }
        let mut labels = self.labels.clone();
        labels.insert(HOST_KEY_LABEL.to_owned(), label_of(&key.public));
        let mut body = json!({
            "name": self.name, "image": self.image, "location": self.location, "labels": labels,
            "user_data": data.expose_secret(),
        });
        if let Some(group) = &self.placement_group {
            body["placement_group"] = json!(needed::<PlacementGroup>(cloud, group).await?.head.id);
        }
        let mut walls = Vec::new();
        for wall in &self.firewalls {
            walls.push(json!({ "firewall": needed::<Firewall>(cloud, wall).await?.head.id }));
        }
        body["firewalls"] = json!(walls);
        let mut keys = Vec::new();
        for key in &self.ssh_keys {
            keys.push(needed::<SshKey>(cloud, key).await?.head.id);
        }
        body["ssh_keys"] = json!(keys);
        Ok(body)
    }
}
