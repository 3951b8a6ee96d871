//! Proofs: what counts, what is stale, and what a component still lacks.
//!
//! Invariant: a component is proven only where every property that it names was proven, by a proof that compared
//! everything on another host, and none of the proofs has expired. A weaker proof makes it no more than weakly proven;
//! everything else is unproven, whatever was built for it.

use jiff::Timestamp;
use serde::Serialize;

use crate::journal::RunState;
use crate::journal::record::{Grade, Proof};
use crate::runbook::Component;

/// Whether a proof still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// It counts.
    Fresh,
    /// Its time is over: it must be taken again.
    Stale,
}

/// Whether what is promised of a component was shown to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Something was never proven.
    Unproven,
    /// All was proven once, and a proof is over its time.
    Stale,
    /// All is proven, something of it by a weaker proof: not everything was compared, or on the host that would be lost.
    WeaklyProven,
    /// All is proven.
    Proven,
}

/// How much a proof of this grade says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// Something that matters was not shown.
    Weaker,
    /// Everything was compared, on another host than the one that would be lost.
    Plain,
}

/// How much a proof of this grade says.
#[must_use]
pub fn strength(grade: Grade) -> Strength {
    match grade {
        Grade::CanaryOnly | Grade::SameHost => Strength::Weaker,
        Grade::Full => Strength::Plain,
    }
}

/// The id by which `hactl proof show` names a proof.
#[must_use]
pub fn id(proof: &Proof) -> String {
    format!("{}/{}", proof.component, proof.property)
}

/// Whether a proof counts at `now`.
#[must_use]
pub fn freshness(proof: &Proof, now: Timestamp) -> Freshness {
    if proof.expires > now { Freshness::Fresh } else { Freshness::Stale }
}

/// A property with its newest proof.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted<'a> {
    /// The property, such as `restore`.
    pub property: &'a str,
    /// Its newest proof.
    pub proof: Option<&'a Proof>,
}

/// What a component wants proven, with what there is.
#[must_use]
pub fn wanted<'a>(component: &'a Component, state: &'a RunState) -> Vec<Wanted<'a>> {
    let of =
        |property: &'a String| Wanted { property, proof: state.proof(component.name.as_str(), property) };
    component.proven_by.iter().map(of).collect()
}

/// Where a component stands at `now`. One that names no property can never be proven.
#[must_use]
pub fn standing(wanted: &[Wanted<'_>], now: Timestamp) -> Standing {
    let of = |wanted: &Wanted<'_>| match wanted
        .proof
        .map(|proof| (freshness(proof, now), strength(proof.grade)))
    {
        None => Standing::Unproven,
        Some((Freshness::Stale, Strength::Weaker | Strength::Plain)) => Standing::Stale,
        Some((Freshness::Fresh, Strength::Weaker)) => Standing::WeaklyProven,
        Some((Freshness::Fresh, Strength::Plain)) => Standing::Proven,
    };
    wanted.iter().map(of).min().unwrap_or(Standing::Unproven)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::{SignedDuration, Timestamp};

    use super::{Standing, Wanted, standing};
    use crate::journal::record::{Grade, Proof};

    fn proof(expires: Timestamp) -> Proof {
        Proof {
            place: None,
            property: "restore".into(),
            component: "postgres".into(),
            grade: Grade::Full,
            facts: Vec::new(),
            measured: BTreeMap::new(),
            at: Timestamp::UNIX_EPOCH,
            expires,
            evidence: Vec::new(),
        }
    }

    #[test]
    fn the_weakest_property_decides_and_none_is_unproven() {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24);
        let (fresh, stale) = (proof(now + SignedDuration::from_secs(1)), proof(now));
        let wanted = |proof| Wanted { property: "restore", proof };
        assert_eq!(standing(&[wanted(Some(&fresh))], now), Standing::Proven);
        assert_eq!(standing(&[wanted(Some(&fresh)), wanted(Some(&stale))], now), Standing::Stale);
        assert_eq!(standing(&[wanted(Some(&stale)), wanted(None)], now), Standing::Unproven);
        assert_eq!(standing(&[], now), Standing::Unproven);
    }

    #[test]
    fn a_weaker_proof_proves_nothing_plainly() {
        let now = Timestamp::UNIX_EPOCH;
        let full = proof(now + SignedDuration::from_secs(1));
        for grade in [Grade::CanaryOnly, Grade::SameHost] {
            let weak = Proof { grade, ..full.clone() };
            let wanted = |proof| Wanted { property: "restore", proof };
            assert_eq!(standing(&[wanted(Some(&weak))], now), Standing::WeaklyProven);
            assert_eq!(standing(&[wanted(Some(&full)), wanted(Some(&weak))], now), Standing::WeaklyProven);
            assert_eq!(standing(&[wanted(None), wanted(Some(&weak))], now), Standing::Unproven);
        }
    }
}
