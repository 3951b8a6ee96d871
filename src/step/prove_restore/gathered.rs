//! What a proof gathers on its way, and what it says in the end.

use std::collections::BTreeMap;

use super::ProveRestore;
use super::source::{Server, Source};
use crate::access::Trial;
use crate::diagnostic::Result;
use crate::journal::record::{EvidenceRef, Grade, Proof};
use crate::name::ComponentName;
use crate::step::common::bytes;
use crate::step::kind::Evidence;
use crate::step::prover::{COUNTS_FOR, Prover, Said, rclone};

/// What a proof gathers on its way.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) facts: Vec<String>,
    pub(super) files: Vec<EvidenceRef>,
    pub(super) measured: BTreeMap<String, f64>,
    pub(super) differences: Vec<String>,
}

impl Gathered {
    pub(super) fn measure(&mut self, name: &str, figure: f64) {
        *self.measured.entry(name.to_owned()).or_default() += figure;
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) fn figure(number: u64) -> f64 {
    number as f64
}

pub(super) fn said_number(said: &Said, word: &str) -> f64 {
    said.get(word).and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

impl ProveRestore {
    /// The facts that are not about one database.
    #[expect(clippy::too_many_arguments, reason = "one place that says everything")]
    pub(super) fn state(
        &self,
        trial: &Trial<'_>,
        source: &Source<'_>,
        prover: &Prover<'_>,
        server: &Server,
        got: &mut Gathered,
        label: &str,
        segment: &str,
        checked: &Said,
    ) -> Result<()> {
        let s3 = rclone::s3(trial)?;
        let seconds = |name: &str| got.measured.get(name).copied().unwrap_or(0.0);
        let mut facts = vec![format!(
            "backup {label} of {} (PostgreSQL {}) from s3://{}{}, restored on {} and replayed to exact points under live writes",
            source.name(),
            server.version,
            s3.bucket,
            self.repo_path.as_str(),
            prover.name()
        )];
        facts.push(format!(
            "a full restore takes {:.1} s: from an empty folder to answering queries at the point ({})",
            seconds("restore_seconds"),
            bytes(server.bytes)
        ));
        let timeout = match server.archive_timeout {
            0 => "archive_timeout is off, so a quiet server may hold back a segment for ever".to_owned(),
            n => format!("archive_timeout is {n} s"),
        };
        let archive = seconds("archive_seconds");
        facts.push(match server.unarchived {
            Some(age) => format!(
                "how much could be lost, measured when the proof began: the newest archived segment was {age:.1} s old, and {} \
                 of WAL were written since; archiving a segment takes {archive:.1} s; {timeout}",
                bytes(server.unarchived_bytes)
            ),
            None => format!("how much could be lost: archiving a segment takes {archive:.1} s; {timeout}"),
        });
        facts.push(format!("the WAL up to {segment} was forced into the archive and used"));
        facts.append(&mut got.facts);
        let amcheck = checked.get("amcheck").map_or("said nothing", String::as_str);
        let checksums = match checked.get("checksums").map_or("said nothing", String::as_str) {
            "off" => {
                "the cluster has no page checksums, so pages could not be checked by themselves".to_owned()
            }
            said => format!("pg_checksums: {said}"),
        };
        facts.push(format!("pg_amcheck --heapallindexed over every database: {amcheck}; {checksums}"));
        if !server.left_out.is_empty() {
            facts.push(format!(
                "not compared, templates or closed to connections: {}",
                server.left_out.join(", ")
            ));
        }
        facts.push(
            "with the key for restores and the pass phrase of the workspace, and nothing from the server itself".to_owned(),
        );
        facts.push(prover.apart());
        got.facts = facts;
        Ok(())
    }

    pub(super) fn evidence(&self, trial: &Trial<'_>, got: Gathered, grade: Grade) -> Evidence {
        let at = trial.now();
        let proof = |component: &ComponentName| Proof {
            place: None,
            property: "restore".to_owned(),
            component: component.as_str().to_owned(),
            grade,
            facts: got.facts.clone(),
            measured: got.measured.clone(),
            at,
            expires: at + COUNTS_FOR,
            evidence: got.files.clone(),
        };
        let proofs = self.components.iter().map(proof).collect();
        Evidence { files: got.files.clone(), facts: got.facts.clone(), proofs, ..Evidence::default() }
    }
}
