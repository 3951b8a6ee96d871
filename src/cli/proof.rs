//! `hactl proof …`: what was proven, how strongly, and until when it counts.

use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;

use super::Global;
use crate::clock::{Clock as _, SystemClock};
use crate::diagnostic::{Error, Exit, Result, codes};
use crate::journal::Journal;
use crate::journal::record::Proof;
use crate::proof::{self, Freshness};
use crate::render::{Format, Out, words};

/// Arguments of `hactl proof`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A proof's id is COMPONENT/PROPERTY. Only the newest proof of each counts; older
ones stand in the journal.

Examples:
  hactl proof list
  hactl proof show postgres/restore")]
pub struct ProofArgs {
    #[command(subcommand)]
    command: ProofCommand,
}

#[derive(Debug, Subcommand)]
enum ProofCommand {
    /// List the newest proof of each property of each component
    List,
    /// Show what was compared, where, what was measured, and the evidence
    Show {
        /// COMPONENT/PROPERTY, as `hactl proof list` shows it
        id: String,
    },
}

#[derive(Serialize)]
struct Listed<'a> {
    event: &'static str,
    id: String,
    freshness: Freshness,
    #[serde(flatten)]
    proof: &'a Proof,
}

impl ProofArgs {
    /// Runs it.
    ///
    /// # Errors
    /// There is no workspace or no such proof, or the journal is damaged.
    pub fn run(&self, global: &Global, out: &Out) -> Result<Exit> {
        let state = Journal::read(&global.state_dir()?)?.state;
        let now = SystemClock.now();
        match &self.command {
            ProofCommand::List => {
                for proof in state.proofs() {
                    tell(proof, now, out, summary(proof, now))?;
                }
                if state.proofs().next().is_none() && out.format() == Format::Human {
                    out.say("nothing was proven yet")?;
                }
            }
            ProofCommand::Show { id } => {
                let found = state.proofs().find(|proof| proof::id(proof) == *id);
                let proof = found.ok_or_else(|| {
                    Error::new(codes::NO_PROOF, format!("there is no proof {id}")).next("hactl proof list")
                })?;
                tell(proof, now, out, whole(proof, now))?;
            }
        }
        Ok(Exit::Done)
    }
}

fn tell(proof: &Proof, now: Timestamp, out: &Out, text: String) -> Result<()> {
    match out.format() {
        Format::Human => out.say(words::wrap(&text, out.width(), 4)),
        Format::Json => out.object(&Listed {
            event: "proof",
            id: proof::id(proof),
            freshness: proof::freshness(proof, now),
            proof,
        }),
    }
}

fn summary(proof: &Proof, now: Timestamp) -> String {
    let grade = words::grade(proof.grade);
    format!("{}: {}, {grade}", proof::id(proof), words::age_of(proof, now))
}

fn whole(proof: &Proof, now: Timestamp) -> String {
    let mut lines = vec![summary(proof, now)];
    lines.extend(proof.facts.iter().map(|fact| format!("  {fact}")));
    lines.extend(proof.measured.iter().map(|(name, figure)| format!("  {name}: {figure:.1}")));
    for evidence in &proof.evidence {
        lines.push(format!(
            "  evidence: {} ({} bytes), .hactl/evidence/{}",
            evidence.name, evidence.bytes, evidence.digest
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use insta::assert_snapshot;
    use jiff::Timestamp;

    use super::whole;
    use crate::digest::Digest;
    use crate::journal::record::{EvidenceRef, Grade, Proof};

    fn proof() -> Proof {
        Proof {
            place: None,
            property: "restore".into(),
            component: "postgres".into(),
            grade: Grade::SameHost,
            facts: vec!["41 of 41 tables equal in count and content".into()],
            measured: BTreeMap::from([("restore_seconds".to_owned(), 12.34)]),
            at: "2026-11-21T12:00:00Z".parse().unwrap(),
            expires: "2026-12-21T12:00:00Z".parse().unwrap(),
            evidence: vec![EvidenceRef { name: "comparison".into(), digest: Digest::ZERO, bytes: 812 }],
        }
    }

    #[test]
    fn a_proof_is_told_with_its_age_and_goes_stale() {
        let now: Timestamp = "2026-11-22T13:00:00Z".parse().unwrap();
        assert_snapshot!(whole(&proof(), now), @"
        postgres/restore: proven 1 d 1 h ago, counts until 2026-12-21, WEAKER: complete, but on the same host
          41 of 41 tables equal in count and content
          restore_seconds: 12.3
          evidence: comparison (812 bytes), .hactl/evidence/0000000000000000000000000000000000000000000000000000000000000000
        ");
        let later: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        assert_snapshot!(whole(&proof(), later).lines().next().unwrap_or_default(), @"postgres/restore: STALE: proven 40 d 12 h ago, counted until 2026-12-21, WEAKER: complete, but on the same host");
    }
}
