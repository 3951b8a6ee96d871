//! What the journal says of the project that a run works in.

use super::rotate_host_key::HcloudRotateHostKey;
use super::server::HcloudServer;
use crate::access::hcloud::project::{KnownObject, KnownProject};
use crate::digest::Digest;
use crate::engine::state::State;
use crate::journal::record::{Before, OutputValue, Place};
use crate::journal::{Checkpoint, RunState};
use crate::name::HostName;
use crate::runbook::Runbook;
use crate::step::StepKind as _;
use crate::transport::hcloud::{
    Firewall, FloatingIp, LoadBalancer, Network, PlacementGroup, Resource, Server, SshKey,
};
use crate::transport::ssh::host_key::HostKey;
use crate::workspace::Found;

/// The collection whose number a kind of step gives out as `id`, and what one of it is called.
fn object_of(kind: &str) -> Option<(&'static str, &'static str)> {
    fn of<R: Resource>() -> Option<(&'static str, &'static str)> {
        Some((R::MANY, R::WORDS))
    }
    match kind {
        "hcloud_firewall" => of::<Firewall>(),
        "hcloud_floating_ip" => of::<FloatingIp>(),
        "hcloud_load_balancer" => of::<LoadBalancer>(),
        "hcloud_network" => of::<Network>(),
        "hcloud_placement_group" => of::<PlacementGroup>(),
        "hcloud_server" => of::<Server>(),
        "hcloud_ssh_key" => of::<SshKey>(),
        _ => None,
    }
}

/// What the steps of this run found or made in their project, and with which tokens.
pub(crate) fn known_project(runbook: &Runbook, state: &RunState) -> KnownProject {
    let mut known = KnownProject { run: state.run().map(|run| run.run.clone()), ..KnownProject::default() };
    for (_, step) in runbook.steps() {
        if !step.action.kind.starts_with("hcloud_") {
            continue;
        }
        for (_, checkpoint) in state.checkpoints_of(&step.id) {
            let done = matches!(checkpoint.state, State::Applied | State::Verified);
            if !done && !checkpoint.is_ours() {
                continue;
            }
            known.tokens.extend(tokens(checkpoint));
            let number = checkpoint.outputs.iter().find_map(|(name, value)| match value {
                OutputValue::Integer(id) if done && name.as_str() == "id" => Some(*id),
                _ => None,
            });
            if let (Some(id), Some((many, words))) = (number, object_of(&step.action.kind)) {
                known.objects.push(KnownObject { many, words, id });
            }
        }
    }
    known
}

/// Where a server is reached that a step of this run made or adopted, and the host key that it was given.
pub(crate) fn made_server(
    runbook: &Runbook,
    state: &RunState,
    name: &str,
) -> Option<(Found, Option<HostKey>)> {
    let steps = runbook.steps().filter(|(_, step)| step.action.kind == HcloudServer::NAME);
    let mut made =
        steps.flat_map(|(_, step)| state.checkpoints_of(&step.id)).filter_map(|(_, checkpoint)| {
            let text = |wanted: &str| {
                checkpoint.outputs.iter().find_map(|(name, value)| match value {
                    OutputValue::String(text) if name.as_str() == wanted => Some(text.as_str()),
                    _ => None,
                })
            };
            let done = matches!(checkpoint.state, State::Applied | State::Verified);
            if !done || text("name") != Some(name) {
                return None;
            }
            let private_address = text("private-address").and_then(|text| text.parse().ok());
            let found = Found { address: text("ipv4")?.parse().ok()?, private_address };
            Some((found, text("host-key").and_then(|text| text.parse().ok())))
        });
    made.next()
}

/// The key that a step of this run gave a host in its first one's place.
pub(crate) fn rotated_key(runbook: &Runbook, state: &RunState, host: &HostName) -> Option<HostKey> {
    let steps = runbook.steps().filter(|(_, step)| step.action.kind == HcloudRotateHostKey::NAME);
    let mut keys = steps.filter_map(|(_, step)| {
        let place = Place { step: step.id.clone(), host: Some(host.clone()) };
        let checkpoint = state.checkpoint(&place)?;
        let done = matches!(checkpoint.state, State::Applied | State::Verified);
        checkpoint.outputs.values().find_map(|value| match value {
            OutputValue::String(text) if done => text.parse().ok(),
            _ => None,
        })
    });
    keys.next()
}

fn tokens(checkpoint: &Checkpoint) -> impl Iterator<Item = Digest> {
    let digest = |before: &Before| before.0.get("token")?.as_str()?.parse().ok();
    checkpoint.before.iter().chain(&checkpoint.original).filter_map(digest)
}
