//! What the journal says of the project that a run works in.

use crate::access::hcloud::project::{KnownObject, KnownProject};
use crate::digest::Digest;
use crate::engine::state::State;
use crate::journal::record::{Before, OutputValue};
use crate::journal::{Checkpoint, RunState};
use crate::runbook::Runbook;
use crate::transport::hcloud::{
    Firewall, FloatingIp, LoadBalancer, Network, PlacementGroup, Resource, Server, SshKey,
};

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

fn tokens(checkpoint: &Checkpoint) -> impl Iterator<Item = Digest> {
    let digest = |before: &Before| before.0.get("token")?.as_str()?.parse().ok();
    checkpoint.before.iter().chain(&checkpoint.original).filter_map(digest)
}
