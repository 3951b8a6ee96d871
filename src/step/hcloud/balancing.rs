//! What the parts of a load balancer have in common: whether they can be ordered, and the health that the API reports.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::access::hcloud::HcloudView;
use crate::diagnostic::Result;
use crate::step::Findings;
use crate::step::common::{unverified, wait_for};
use crate::transport::hcloud::{HealthSeen, LoadBalancer, Priced, Resource as _, Server, TargetSeen};

/// Between two looks at the health of targets.
const LOOK: Duration = Duration::from_secs(2);

/// More than a health check takes to be carried out and reported.
const SLACK: Duration = Duration::from_secs(30);

/// What verification wants of the health of targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// That the API reports each as healthy, within the time that its health check takes.
    Healthy,
    /// That it is said as the API reports it: for targets where nothing listens yet.
    #[default]
    Reported,
}

/// Whether the price list has something in a place; what has no price there cannot be ordered there.
pub(super) fn offered(kinds: &[Priced], what: &str, kind: &str, location: &str) -> Findings {
    let has = |priced: &&Priced| priced.prices.iter().any(|at| at.location == location);
    let mut findings = Findings::default();
    if !kinds.iter().filter(has).any(|priced| priced.name == kind) {
        let there: Vec<&str> = kinds.iter().filter(has).map(|priced| priced.name.as_str()).collect();
        let instead = if there.is_empty() {
            let places = kinds.iter().flat_map(|priced| &priced.prices).map(|at| at.location.as_str());
            let places: BTreeSet<&str> = places.collect();
            format!("it has some in {}", places.into_iter().collect::<Vec<_>>().join(", "))
        } else {
            format!("it has {}", there.join(", "))
        };
        findings.block(format!("the cloud's price list has no {what} {kind} in {location}; {instead}"));
    }
    findings
}

/// What the API reports of the chosen targets and services, one fact each.
///
/// # Errors
/// They are not healthy in time, where that is wanted.
pub(super) async fn health(
    cloud: &HcloudView,
    balancer: &LoadBalancer,
    wanted: Health,
    chosen: impl Fn(&TargetSeen, &HealthSeen) -> bool,
) -> Result<Vec<String>> {
    let servers = cloud.list::<Server>(&[]).await?;
    let names: BTreeMap<i64, &str> = servers.iter().map(|s| (s.head().id, s.head().name.as_str())).collect();
    let seen = |now: &LoadBalancer| -> Vec<(String, bool)> {
        let pairs = now.targets.iter().flat_map(|t| t.health_status.iter().map(move |h| (t, h)));
        pairs.filter(|(target, health)| chosen(target, health)).map(|pair| fact(pair, &names)).collect()
    };
    let all = |seen: &[(String, bool)]| !seen.is_empty() && seen.iter().all(|(_, healthy)| *healthy);
    let mut last = seen(balancer);
    match wanted {
        Health::Reported => {}
        Health::Healthy if last.is_empty() => {
            return Err(unverified(format!(
                "the load balancer {} reports no health yet: it has {} services and {} targets",
                balancer.head().name,
                balancer.services.len(),
                balancer.targets.len()
            ))
            .next("put this step behind those of its services and targets, or say health = \"reported\""));
        }
        Health::Healthy => {
            let what = format!("the targets of the load balancer {} to be healthy", balancer.head().name);
            let id = balancer.head().id;
            let well = wait_for(&what, patience(balancer), LOOK, async || {
                if let Some(now) = cloud.get::<LoadBalancer>(id).await? {
                    last = seen(&now);
                }
                Ok(all(&last).then_some(()))
            });
            if well.await?.is_none() {
                let ill: Vec<_> =
                    last.iter().filter(|(_, healthy)| !healthy).map(|(f, _)| f.as_str()).collect();
                return Err(unverified(ill.join("; ")));
            }
        }
    }
    if last.is_empty() {
        let name = &balancer.head().name;
        return Ok(vec![format!("the load balancer {name} reports no health for it yet")]);
    }
    Ok(last.into_iter().map(|(fact, _)| fact).collect())
}

fn fact((target, health): (&TargetSeen, &HealthSeen), names: &BTreeMap<i64, &str>) -> (String, bool) {
    let name = target.server.and_then(|server| names.get(&server.id));
    let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
    let (port, status) = (health.listen_port, &health.status);
    (format!("the API reports {target}{name} as {status} for port {port}"), status == "healthy")
}

/// As long as the slowest health check may take to change its mind.
fn patience(balancer: &LoadBalancer) -> Duration {
    const LONGEST: u64 = 600;
    let checks = balancer.services.iter().map(|service| &service.health_check);
    let slowest = checks.map(|check| check.interval.saturating_mul(check.retries) + check.timeout).max();
    Duration::from_secs(slowest.unwrap_or_default().min(LONGEST)) + SLACK
}
