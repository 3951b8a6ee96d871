//! A backend without a world: objects only. A server that was started counts as running, a target of a load balancer as
//! healthy while its server runs. It is for tests of what speaks to the API, and says so.

use std::time::Duration;

use super::super::wire::{Health, Seen};
use super::{Backend, Effect, Outcome, Outcomes, Work, World};
use crate::lab::cloud::model::Phase;

/// No machines: every effect succeeds after a while.
#[derive(Debug, Clone, Copy, Default)]
pub struct ObjectsOnly {
    /// How long an action takes.
    pub pace: Duration,
}

impl Backend for ObjectsOnly {
    fn description(&self) -> &'static str {
        "objects only, without machines"
    }

    fn perform(&self, work: Work<'_>) -> Outcomes {
        if *work.effect != Effect::Nothing {
            std::thread::sleep(self.pace);
        }
        Outcomes(Outcome::Done)
    }

    fn look(&self, World(project): World<'_>) -> Seen {
        let mut seen = Seen::default();
        for balancer in project.balancers.values() {
            for (target, service) in
                balancer.targets.iter().flat_map(|t| balancer.services.iter().map(move |s| (t, s)))
            {
                for server in balancer.servers_of(project, target) {
                    let Some(server) = project.servers.get(&server) else { continue };
                    let Some(address) = balancer.address_of(server, target.private) else { continue };
                    let health =
                        if server.phase == Phase::Running { Health::Healthy } else { Health::Unhealthy };
                    seen.health.insert((balancer.meta.id, service.listen, address), health);
                }
            }
        }
        seen
    }
}
