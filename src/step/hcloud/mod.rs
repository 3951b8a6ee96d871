//! Objects in the Hetzner Cloud: one kind of step a kind of object.
//!
//! Invariant: a step finds its object by name, takes it only if this fleet made it or the step says `adopt`, and takes
//! back only what its own run made.

pub mod apply_firewall;
pub mod assign_floating_ip;
pub mod attach;
pub mod balancer_service;
pub mod balancer_target;
mod balancing;
pub mod firewall;
pub mod floating_ip;
mod host_key;
pub mod join_group;
mod known;
pub mod load_balancer;
pub mod network;
mod ordering;
pub mod placement_group;
pub mod power;
pub mod protection;
pub mod rotate_host_key;
pub mod server;
pub mod ssh_key;

pub use self::balancing::Health;

use std::fmt;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

pub(crate) use self::known::{known_project, made_server, rotated_key};

use super::common::{output, recall, remember};
use super::{Failure, Findings, OutputType};
use crate::access::hcloud::{HcloudHands, HcloudView, Owner, Wanted, not_ours};
use crate::access::{Hands, View};
use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::journal::record::{Before, OutputValue, Outputs};
use crate::transport::hcloud::{Head, Resource, Server};

/// The name of an object in the cloud, unique in a project among objects of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectName(String);

impl ObjectName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ObjectName {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        const LONGEST: usize = 255;
        if text.trim() != text || text.is_empty() || text.len() > LONGEST {
            return Err(format!("a name has 1 to {LONGEST} characters, none of them a space at an end"));
        }
        match text.chars().find(|c| c.is_control()) {
            Some(c) => Err(format!("a name cannot hold {c:?}")),
            None => Ok(Self(text)),
        }
    }
}

impl From<ObjectName> for String {
    fn from(name: ObjectName) -> String {
        name.0
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What becomes of an object that has the name and was not made by this fleet. In the TOML, `adopt = true` or `false`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "bool", into = "bool")]
pub enum Adopt {
    /// It is used as it is, and never deleted.
    Yes,
    /// The step is refused.
    #[default]
    No,
}

impl From<bool> for Adopt {
    fn from(adopt: bool) -> Self {
        if adopt { Self::Yes } else { Self::No }
    }
}

impl From<Adopt> for bool {
    fn from(adopt: Adopt) -> bool {
        match adopt {
            Adopt::Yes => true,
            Adopt::No => false,
        }
    }
}

/// What stood before, as it is journaled.
#[derive(Debug, Serialize, Deserialize)]
struct Stood<T> {
    existed: Existed,
    /// Its number, where it existed: undoing changes that one, whatever has its name by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<i64>,
    /// The token's digest: it tells the project that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<Digest>,
    /// What is restored, of an object that existed and was changed.
    #[serde(default = "nothing", skip_serializing_if = "Option::is_none")]
    was: Option<T>,
}

fn nothing<T>() -> Option<T> {
    None
}

/// Whether the object was there before the first intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Existed {
    Yes,
    No,
}

/// The object of a step, where it is there and may be used; as it is now, not as a list that is behind shows it.
async fn usable<R: Resource>(cloud: &HcloudView, name: &ObjectName, adopt: Adopt) -> Result<Option<R>> {
    let Some(listed) = cloud.find::<R>(name.as_str()).await? else { return Ok(None) };
    let Some(object) = cloud.get::<R>(listed.head().id).await? else { return Ok(None) };
    may_use(cloud, object, adopt).map(Some)
}

/// The object, if the step may use it: this fleet made it, or nobody did and the step adopts it.
fn may_use<R: Resource>(cloud: &HcloudView, object: R, adopt: Adopt) -> Result<R> {
    match (cloud.owner(object.head()), adopt) {
        (Owner::Fleet(_), _) | (Owner::Nobody, Adopt::Yes) => Ok(object),
        (owner @ Owner::OtherFleet(_), _) | (owner @ Owner::Nobody, Adopt::No) => {
            Err(not_ours::<R>(object.head(), &owner, Wanted::Used))
        }
    }
}

/// What stands in the way of using the object of this name, where something does; the object, where it is there.
async fn check_usable<R: Resource>(
    cloud: &HcloudView,
    name: &ObjectName,
    adopt: Adopt,
    findings: &mut Findings,
) -> Result<Option<R>> {
    match usable::<R>(cloud, name, adopt).await {
        Ok(object) => {
            if let Some(object) = &object
                && cloud.owner(object.head()) == Owner::Nobody
            {
                let (words, id) = (R::WORDS, object.head().id);
                findings.note(format!("the {words} {name} (number {id}) is adopted: it is never deleted"));
            }
            Ok(object)
        }
        Err(error) if error.code() == codes::HCLOUD_NOT_OURS => {
            findings.block(error.message());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The object, which must be there by now: in the list, or in one that is some seconds newer.
pub(super) async fn there<R: Resource>(cloud: &HcloudView, name: &ObjectName) -> Result<R> {
    let missing = || {
        Error::new(codes::HCLOUD_NOT_FOUND, format!("there is no {} {name} in the project", R::WORDS))
            .state("it was there, or was just made")
            .next("hactl plan    (shows what is there)")
    };
    let listed = cloud.wait_for::<R>(name.as_str()).await?.ok_or_else(missing)?;
    // A list may be some seconds old; an object asked for by its number is not.
    cloud.get::<R>(listed.head().id).await?.ok_or_else(missing)
}

/// The same, of one that is changed. That it may be used was seen before the intent; who it belongs to may have changed
/// since.
async fn usable_by_now<R: Resource>(
    cloud: &HcloudView,
    name: &ObjectName,
    adopt: Adopt,
) -> Result<R, Failure> {
    let found = there::<R>(cloud, name).await;
    found.and_then(|found| may_use(cloud, found, adopt)).map_err(Failure::NotStarted)
}

/// Deletes the object if there was none before the first intent and this very run made it.
async fn take_back<R: Resource>(hands: &Hands<'_>, name: &ObjectName) -> Result<(), Failure> {
    match stood_before::<IgnoredAny>(hands)?.map(|stood| stood.existed) {
        Some(Existed::No) => {
            let id = match hands.outputs().get(&output("id").map_err(Failure::NotStarted)?) {
                Some(OutputValue::Integer(id)) => Some(*id),
                Some(_) | None => None,
            };
            hands.hcloud().await?.unmake::<R>(id, name.as_str()).await
        }
        // Without what stood before, nobody can tell who made it.
        Some(Existed::Yes) | None => Ok(()),
    }
}

/// Before the intent there was none.
fn nothing_stood(cloud: &HcloudView) -> Result<Before> {
    remember(&Stood::<()> { existed: Existed::No, id: None, token: Some(cloud.token()), was: None })
}

/// Before the intent there was this one, of which `was` is restored.
fn stood<T: Serialize>(cloud: &HcloudView, head: &Head, was: Option<T>) -> Result<Before> {
    remember(&Stood { existed: Existed::Yes, id: Some(head.id), token: Some(cloud.token()), was })
}

/// What an undo begins with: the cloud, how it stood before the first intent, and the object itself.
struct Undoing<R, T> {
    cloud: HcloudHands,
    stood: Stood<T>,
    object: R,
}

/// What is undone with the object of a step, where it is still there: the one that stood before the first intent; the one
/// of this name, where none stood. Read by its number: a list may be some seconds old.
async fn to_undo<R: Resource, T: DeserializeOwned>(
    hands: &Hands<'_>,
    name: &ObjectName,
) -> Result<Option<Undoing<R, T>>, Failure> {
    let Some(stood) = stood_before::<T>(hands)? else { return Ok(None) };
    let cloud = hands.hcloud().await?;
    let find = async {
        let id = match stood.id {
            Some(id) => Some(id),
            None => cloud.wait_for::<R>(name.as_str()).await?.map(|listed| listed.head().id),
        };
        match id {
            Some(id) => cloud.get::<R>(id).await,
            None => Ok(None),
        }
    };
    let found = find.await.map_err(Failure::NotStarted)?;
    Ok(found.map(|object| Undoing { cloud, stood, object }))
}

/// The same, of an object that the step may have made: then it is deleted, and nothing is left to undo.
async fn to_restore<R: Resource, T: DeserializeOwned>(
    hands: &Hands<'_>,
    name: &ObjectName,
) -> Result<Option<Undoing<R, T>>, Failure> {
    match stood_before::<IgnoredAny>(hands)?.map(|stood| stood.existed) {
        Some(Existed::No) => take_back::<R>(hands, name).await.map(|()| None),
        Some(Existed::Yes) => to_undo(hands, name).await,
        None => Ok(None),
    }
}

/// An object that a step changes without having made it: whoever made it, but no other fleet. As it is now.
async fn seen<R: Resource>(cloud: &HcloudView, name: &ObjectName) -> Result<Option<R>> {
    let Some(listed) = cloud.find::<R>(name.as_str()).await? else { return Ok(None) };
    let Some(object) = cloud.get::<R>(listed.head().id).await? else { return Ok(None) };
    match cloud.owner(object.head()) {
        Owner::Fleet(_) | Owner::Nobody => Ok(Some(object)),
        owner @ Owner::OtherFleet(_) => Err(not_ours::<R>(object.head(), &owner, Wanted::Used)),
    }
}

/// The same, where the step cannot do without it.
async fn needed<R: Resource>(cloud: &HcloudView, name: &ObjectName) -> Result<R> {
    seen::<R>(cloud, name).await?.ok_or_else(|| {
        Error::new(codes::HCLOUD_NOT_FOUND, format!("there is no {} {name} in the project", R::WORDS))
            .state("nothing was changed")
            .next("put the step that makes it before this one, or name one that is there")
    })
}

/// An object that a step changes without having made it, for its check: where it is not there yet, that is said.
async fn seen_or_noted<R: Resource>(
    cloud: &HcloudView,
    name: &ObjectName,
    findings: &mut Findings,
) -> Result<Option<R>> {
    let found = seen::<R>(cloud, name).await?;
    if found.is_none() {
        findings.note(format!("the {} {name} is not there yet", R::WORDS));
    }
    Ok(found)
}

/// What a check of a step finds that changes a server and wants nothing else.
async fn check_server(view: &View<'_>, name: &ObjectName) -> Result<Findings> {
    let mut findings = Findings::default();
    seen_or_noted::<Server>(&view.hcloud().await?, name, &mut findings).await?;
    Ok(findings)
}

/// Before the intent, a server that is changed was as `was` says.
fn server_stood<T: Serialize>(cloud: &HcloudView, server: Option<&Server>, was: T) -> Result<Before> {
    let id = server.map(|server| server.head.id);
    remember(&Stood { existed: Existed::Yes, id, token: Some(cloud.token()), was: Some(was) })
}

/// What stood before, as an undo finds it; nothing where no intent was ever recorded.
fn stood_before<T: DeserializeOwned>(hands: &Hands<'_>) -> Result<Option<Stood<T>>, Failure> {
    recall(hands.before()).map_err(Failure::NotStarted)
}

/// What the cloud is doing with an object now, where it does something.
async fn running<R: Resource>(cloud: &HcloudView, object: &R) -> Result<Option<String>> {
    let actions = cloud.under_way(object).await?;
    let words: Vec<_> =
        actions.iter().map(|action| format!("{} {} %", action.command, action.progress)).collect();
    Ok((!words.is_empty()).then(|| format!("the cloud is at work: {}", words.join(", "))))
}

/// What approvals of a step on an object bind.
pub(super) fn objects<R: Resource>(view: &View<'_>, name: &ObjectName) -> Vec<String> {
    let project = view.hcloud_identity();
    std::iter::once(format!("{} {name}", R::WORDS)).chain(project).collect()
}

/// The outputs that each object has.
fn outputs(head: &Head) -> Result<Outputs> {
    Ok(Outputs::from([
        (output("id")?, OutputValue::Integer(head.id)),
        (output("name")?, OutputValue::String(head.name.clone())),
    ]))
}

/// Their types.
fn output_types() -> Vec<(&'static str, OutputType)> {
    vec![("id", OutputType::Integer), ("name", OutputType::String)]
}

/// Who made an object, as a fact.
fn made_by(cloud: &HcloudView, head: &Head) -> String {
    match cloud.owner(head) {
        Owner::Fleet(run) => format!("it carries the labels of this fleet and of the run {run}"),
        Owner::OtherFleet(fleet) => format!("it carries the label of the fleet {fleet}"),
        Owner::Nobody => "it was not made by hactl, and is never deleted by it".to_owned(),
    }
}
