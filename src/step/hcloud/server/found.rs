//! A server that is there: how it compares with the step, and what it gives.

use std::time::Duration;

use super::super::{ObjectName, host_key};
use super::{HOST_KEY_LABEL, HcloudServer, label_of};
use crate::access::{Trial, View};
use crate::diagnostic::Result;
use crate::journal::record::{OutputValue, Outputs};
use crate::step::common::{output, unverified, wait_for};
use crate::transport::hcloud::{Named, Network, Server};
use crate::transport::ssh::host_key::HostKey;
use crate::workspace::Host;

/// How long a server may take from its start until sshd answers.
const BOOTS_WITHIN: Duration = Duration::from_secs(180);

impl HcloudServer {
    /// The host key that the server was given, if it is the one that is kept; else why it is not known.
    pub(super) async fn key_of(&self, view: &View<'_>, found: &Server) -> Result<Result<HostKey, String>> {
        let (name, id) = (&self.name, found.head.id);
        Ok(match host_key::kept(view, name).await? {
            None => {
                Err(format!("the host key of the server {name} (number {id}) is not kept in .hactl/secrets"))
            }
            Some(key) if found.head.labels.get(HOST_KEY_LABEL) == Some(&label_of(&key.public)) => {
                Ok(key.public)
            }
            Some(_) => {
                Err(format!("the server {name} (number {id}) was given another host key than the kept one"))
            }
        })
    }

    /// Waits until the host that stands on the server shows a pinned key: the one that it was given, or a newer one.
    pub(super) async fn shows_its_key(&self, trial: &Trial<'_>) -> Result<Vec<String>> {
        let on_it = |host: &&Host| host.server.as_ref().is_some_and(|it| it.name == self.name.as_str());
        let mut facts = Vec::new();
        for Host { name, .. } in trial.workspace().hosts.iter().filter(on_it) {
            let what = format!("sshd of {name} to show its key");
            let shown = wait_for(&what, BOOTS_WITHIN, Duration::from_secs(1), async || {
                Ok(trial.shown_key(name).await.ok())
            });
            let Some(shown) = shown.await? else {
                let limit = humantime::format_duration(BOOTS_WITHIN);
                return Err(unverified(format!("sshd of {name} does not answer within {limit}")));
            };
            if !trial.pinned_keys(name)?.contains(&shown) {
                let text = format!("{name} shows the key {}, which is not pinned", shown.fingerprint());
                return Err(unverified(text));
            }
            facts.push(format!("{name} shows the pinned key {}", shown.fingerprint()));
        }
        Ok(facts)
    }

    /// What cannot be changed and is not as it was asked for.
    pub(super) fn differs(&self, found: &Server) -> Option<String> {
        let named = |named: &Option<Named>| named.as_ref().map_or("none", Named::word).to_owned();
        let kind = found.server_type.word();
        let (image, location) = (named(&found.image), named(&found.location));
        let group = named(&found.placement_group);
        let is =
            |wanted: &Option<ObjectName>, is: &str| wanted.as_ref().is_none_or(|name| name.as_str() == is);
        let mut wrong = Vec::new();
        if !self.types().iter().any(|one| one.as_str() == kind) {
            wrong.push(format!("the type {kind}"));
        }
        if !is(&self.image, &image) {
            wrong.push(format!("the image {image}"));
        }
        if !is(&self.location, &location) {
            wrong.push(format!("the location {location}"));
        }
        if !is(&self.placement_group, &group) {
            wrong.push(format!("the placement group {group}"));
        }
        let (name, id) = (&self.name, found.head.id);
        (!wrong.is_empty()).then(|| {
            format!("the server {name} (number {id}) has {}, which is not the step's", wrong.join(", "))
        })
    }

    /// What is still to be done for a server that was made.
    pub(super) fn missing(&self, found: &Server, network: Option<&Network>) -> Vec<String> {
        let mut missing = Vec::new();
        if let Some(network) = network {
            match (found.address_in(network.head.id), self.private_address) {
                (None, _) => missing.push(format!("attach it to the network {}", network.head.name)),
                (Some(is), Some(wanted)) if is != wanted.to_string() => {
                    missing.push(format!("its private address is {is}, not {wanted}"));
                }
                (Some(_), _) => {}
            }
        }
        if found.status != "running" {
            missing.push(format!("switch it on: it is {}", found.status));
        }
        missing
    }

    pub(super) fn described(&self, found: &Server) -> Vec<String> {
        let mut all = vec![found.server_type.name.clone().unwrap_or_default()];
        all.extend(found.location.as_ref().and_then(|it| it.name.clone()).map(|name| format!("in {name}")));
        all.extend(found.ipv4().map(|ip| format!("public address {ip}")));
        let private = found.private_net.iter().filter_map(|net| net.ip.as_deref());
        all.extend(private.map(|ip| format!("private address {ip}")));
        all.extend(
            found.placement_group.as_ref().and_then(|it| it.name.clone()).map(|it| format!("spread by {it}")),
        );
        all
    }

    pub(super) fn outputs_of(
        &self,
        found: &Server,
        network: Option<&Network>,
        key: Option<&HostKey>,
    ) -> Result<Outputs> {
        let text = |text: &str| OutputValue::String(text.to_owned());
        let mut outputs = super::super::outputs(&found.head)?;
        outputs.insert(output("ipv4")?, text(found.ipv4().unwrap_or_default()));
        outputs.insert(output("type")?, text(found.server_type.name.as_deref().unwrap_or_default()));
        if let Some(key) = key {
            outputs.insert(output("host-key")?, text(&key.to_string()));
        }
        if let Some(address) = network.and_then(|network| found.address_in(network.head.id)) {
            outputs.insert(output("private-address")?, text(address));
        }
        Ok(outputs)
    }
}
