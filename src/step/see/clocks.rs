//! Clocks that agree.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::changes_nothing;
use crate::access::Trial;
use crate::access::reads::ClockOffset;
use crate::diagnostic::Result;
use crate::name::{HostName, RoleName};
use crate::step::common::unverified;
use crate::step::{Evidence, Scope, StepKind};
use crate::units::HumanDuration;

/// Changes nothing. Each host of the role is asked for its time over SSH, several times, and the quickest answer counts:
/// the host may be off by half the time that the answer took, and not by more. Any two clocks must be within the limit also
/// where both errors count against them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeeClocks {
    /// The hosts, by their role.
    hosts: RoleName,
    /// How far any two of them may be apart.
    #[serde(default = "half_a_second")]
    at_most: HumanDuration,
}

fn half_a_second() -> HumanDuration {
    HumanDuration(std::time::Duration::from_millis(500))
}

/// How often each clock is read; once more while the error is too large.
const READINGS: usize = 5;
const MORE_READINGS: usize = 20;

/// One host's clock.
struct Read {
    host: HostName,
    clock: ClockOffset,
}

impl Read {
    fn error(&self) -> SignedDuration {
        SignedDuration::try_from(self.clock.within).unwrap_or(SignedDuration::MAX)
    }

    fn shown(&self) -> String {
        let (offset, error) = (self.clock.offset.as_millis(), self.clock.within.as_micros().div_ceil(1000));
        format!("{}: {offset:+} ms from this machine, measured to ± {error} ms", self.host)
    }
}

impl StepKind for SeeClocks {
    const NAME: &'static str = "see_clocks";
    const SUMMARY: &'static str =
        "sees that the clocks of hosts agree, with the error of the measurement counted";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    changes_nothing!();

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let limit = SignedDuration::try_from(self.at_most.get()).unwrap_or(SignedDuration::MAX);
        let mut all = Vec::new();
        for host in trial.hosts(&self.hosts) {
            let mut best = host.clock_offset().await?;
            for reading in 1..MORE_READINGS {
                let error = SignedDuration::try_from(best.within).unwrap_or(SignedDuration::MAX);
                if reading >= READINGS && error.saturating_mul(4) < limit {
                    break;
                }
                let next = host.clock_offset().await?;
                if next.within < best.within {
                    best = next;
                }
            }
            all.push(Read { host: host.name().clone(), clock: best });
        }
        if all.len() < 2 {
            let text =
                format!("fewer than two hosts have the role {}, so nothing could be compared", self.hosts);
            return Err(unverified(text));
        }
        let mut facts: Vec<String> = all.iter().map(Read::shown).collect();
        for (n, one) in all.iter().enumerate() {
            for other in &all[n + 1..] {
                let apart = (one.clock.offset - other.clock.offset).abs();
                let error = one.error().saturating_add(other.error());
                if apart.saturating_add(error) <= limit {
                    continue;
                }
                let text = format!(
                    "the clocks of {} and {} are {} ms apart, measured to ± {} ms; at most {} are wanted",
                    one.host,
                    other.host,
                    apart.as_millis(),
                    error.as_millis(),
                    self.at_most
                );
                let error = unverified(text).state(facts.join("; "));
                return Err(if apart > limit {
                    error.next(format!(
                        "timedatectl    (on {} and {}: is the time synchronised?)",
                        one.host, other.host
                    ))
                } else {
                    error.next("hactl resume    (measures again; a slow connection makes the error large)")
                });
            }
        }
        facts.push(format!("any two of them are within {}, errors counted", self.at_most));
        Ok(Evidence::facts(facts))
    }
}
