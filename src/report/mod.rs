//! What a run was: the facts of a report, gathered from the journal and its evidence alone.
//!
//! Invariant: neither `hactl.toml` nor a server is looked at, so a report can be made years later from a copy of
//! `.hactl`. What is missing or damaged is said in the report, and never guessed. How it looks is
//! [`crate::render::report`].

mod builder;
mod joined;
mod outline;
mod terraform;

use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};

use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::engine::state::State;
use crate::evidence::EvidenceStore;
use crate::journal::record::{Approval, AttemptNumber, EvidenceRef, Place, Proof, Seq};
use crate::journal::{Journal, Line, Run, RunState, StateDir};
use crate::name::RunId;
use crate::proof::Freshness;
use crate::redact::Redactor;

pub use outline::{OutlinedComponent, OutlinedPhase, OutlinedStep};
pub use terraform::{Import, Imports, to_terraform};

use builder::Builder;
use outline::Outline;

/// A run, as its records tell it.
#[derive(Clone, Debug)]
pub struct Report {
    /// When the report was made.
    pub made: Timestamp,
    /// What the run was begun with.
    pub run: Run,
    /// The runbook's title, where its bytes are still there.
    pub title: Option<String>,
    /// The values of the runbook's inputs, where its bytes are still there.
    pub inputs: BTreeMap<String, toml::Value>,
    /// Why the runbook's titles are missing.
    pub no_outline: Option<String>,
    /// The other runs of this journal, oldest first.
    pub others: Vec<RunId>,
    /// The last record of the run.
    pub last: (Seq, Timestamp, Digest),
    /// The length of an incomplete last line of the journal.
    pub torn: Option<u64>,
    /// Every host that a record of the run names.
    pub hosts: Vec<String>,
    /// When the operator stopped it, where nobody went on.
    pub interrupted: Option<Timestamp>,
    /// The phases with their places. What was recorded and stands in no phase comes last.
    pub phases: Vec<PhaseReport>,
    /// The approvals, oldest first.
    pub approvals: Vec<ApprovalReport>,
    /// What was in doubt, oldest first.
    pub doubts: Vec<Doubt>,
    /// The proofs, oldest first; those of earlier runs that still stand included.
    pub proofs: Vec<ProofReport>,
    /// Properties that components want proven and that no proof shows.
    pub unproven: Vec<Unproven>,
    /// The evidence that records of the run name, in that order.
    pub evidence: Vec<EvidenceReport>,
    /// What happened to the run as a whole.
    pub history: Vec<Line>,
}

/// A phase.
#[derive(Clone, Debug)]
pub struct PhaseReport {
    /// Its id and title; none for places that stand in no phase of the runbook.
    pub named: Option<(String, String)>,
    /// When it was carried out to its end, last.
    pub done: Option<Timestamp>,
    /// Its steps.
    pub steps: Vec<StepReport>,
}

/// A step.
#[derive(Clone, Debug, Default)]
pub struct StepReport {
    /// Its id.
    pub id: String,
    /// Its title, where the runbook is there.
    pub title: Option<String>,
    /// The kind of its action, where the runbook is there.
    pub kind: Option<String>,
    /// The parameters of its action as the runbook writes them, where it is there.
    pub parameters: Option<toml::Value>,
    /// Where something was recorded of it.
    pub places: Vec<PlaceReport>,
}

/// What a place was busy with, for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// From the intent to its outcome.
    pub changing: SignedDuration,
    /// Verifying.
    pub verifying: SignedDuration,
    /// Waiting at the gate.
    pub waiting: SignedDuration,
    /// Taking back.
    pub undoing: SignedDuration,
}

/// A step on a place.
#[derive(Clone, Debug)]
pub struct PlaceReport {
    /// Where.
    pub place: Place,
    /// Its state at the end.
    pub state: State,
    /// Why, where it failed, is in doubt or was skipped.
    pub why: Option<String>,
    /// The first record of it.
    pub began: Timestamp,
    /// The last record of it.
    pub ended: Timestamp,
    /// How the time was spent, without the times in which no hactl was at work.
    pub spent: Spent,
    /// Attempts at its action.
    pub attempts: AttemptNumber,
    /// Attempts to take it back.
    pub rollbacks: AttemptNumber,
    /// The change, in a sentence and its particulars.
    pub change: Option<crate::journal::record::Change>,
    /// What verifying found.
    pub facts: Vec<String>,
    /// What it gave.
    pub outputs: crate::journal::record::Outputs,
    /// Who left it out.
    pub skipped_by: Option<String>,
}

/// An approval.
#[derive(Clone, Debug)]
pub struct ApprovalReport {
    /// The record.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
    /// What was approved, by whom, how.
    pub approval: Approval,
    /// What they were shown, or why it cannot be shown.
    pub shown: Result<String, String>,
}

/// What was in doubt.
#[derive(Clone, Debug)]
pub struct Doubt {
    /// Where.
    pub place: Place,
    /// Which try.
    pub attempt: AttemptNumber,
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub why: String,
    /// What was found, and who said so, in order. The last one settled it, where it is settled.
    pub decisions: Vec<Line>,
}

/// A proof.
#[derive(Clone, Debug)]
pub struct ProofReport {
    /// The proof.
    pub proof: Proof,
    /// Whether its time is over.
    pub freshness: Freshness,
    /// What became of it.
    pub standing: ProofStanding,
}

/// What became of a proof by the end of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofStanding {
    /// It is the newest one of its property.
    Newest,
    /// A newer one took its place.
    Superseded,
    /// Its step failed or was taken back since.
    Withdrawn,
}

/// A property that nothing proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unproven {
    /// Of which component.
    pub component: String,
    /// Which; none where the runbook names no property for the component.
    pub property: Option<String>,
    /// When its last proof went stale.
    pub stale_since: Option<Timestamp>,
}

/// A piece of evidence.
#[derive(Clone, Debug)]
pub struct EvidenceReport {
    /// What it is.
    pub evidence: EvidenceRef,
    /// What it was kept for.
    pub of: Vec<String>,
    /// How it begins, or why it cannot be read.
    pub content: Result<String, String>,
}

impl EvidenceReport {
    /// True of the operator's own files, which were not captured from a server.
    #[must_use]
    pub fn is_a_file(&self) -> bool {
        self.of.iter().any(|of| of.starts_with("the runbook, ") || of.starts_with("the workspace, "))
    }
}

/// Evidence is shown up to this many bytes; the whole is in `.hactl/evidence`.
const EXCERPT: usize = 4000;

impl Report {
    /// Gathers the report of a run: the last one, or the one of that id.
    ///
    /// # Errors
    /// There is no such run, or the journal is damaged.
    pub fn read(dir: &StateDir, wanted: Option<&RunId>, now: Timestamp) -> Result<Self> {
        let mut builder = Builder::new(wanted.cloned());
        let replayed = Journal::read_each(dir, |line| builder.take(line))?;
        let store = EvidenceStore::new(dir.clone(), Rc::new(Redactor::new()));
        let seen = builder.runs.clone();
        let Some(gathered) = builder.finish() else {
            return Err(none(wanted, &seen));
        };
        let outline = store
            .get(&gathered.run.runbook_bytes)
            .map_err(|error| error.one_line())
            .and_then(|bytes| Outline::read(&bytes));
        let (outline, no_outline) = match outline {
            Ok(outline) => (outline, None),
            Err(why) => (Outline::default(), Some(why)),
        };
        let approvals = gathered.approvals.into_iter().map(|approved| approved.shown(&store)).collect();
        let unproven = unproven(&outline.component, &gathered.state, now);
        let evidence = gathered.evidence.into_iter().map(|(evidence, of)| read(&store, of, evidence));
        Ok(Self {
            made: now,
            title: outline.title(),
            inputs: outline.inputs(store.get(&gathered.run.workspace).ok().as_deref()),
            no_outline,
            others: seen.into_iter().filter(|id| *id != gathered.run.run).collect(),
            last: gathered.last,
            torn: replayed.torn,
            hosts: gathered.hosts.into_iter().collect(),
            interrupted: gathered.interrupted,
            phases: phases(&outline.phase, gathered.places, &gathered.phases_done),
            approvals,
            doubts: gathered.doubts,
            proofs: proofs(gathered.proofs, &gathered.state, now),
            unproven,
            evidence: evidence.collect(),
            history: gathered.history,
            run: gathered.run,
        })
    }

    /// Every place of the run.
    pub fn places(&self) -> impl Iterator<Item = &PlaceReport> {
        self.phases.iter().flat_map(|phase| &phase.steps).flat_map(|step| &step.places)
    }

    /// The steps of which nothing was recorded.
    pub fn not_begun(&self) -> impl Iterator<Item = &StepReport> {
        self.phases.iter().flat_map(|phase| &phase.steps).filter(|step| step.places.is_empty())
    }
}

fn none(wanted: Option<&RunId>, seen: &[RunId]) -> Error {
    match wanted {
        Some(id) if !seen.is_empty() => {
            let there: Vec<_> = seen.iter().map(RunId::to_string).collect();
            Error::new(codes::USAGE, format!("the journal has no run {id}"))
                .state(format!("its runs are: {}", there.join(", ")))
                .next("hactl report    (of the last one)")
        }
        Some(_) | None => Error::new(codes::NO_RUN, "there is no run to report").next("hactl phase run 0"),
    }
}

fn read(store: &EvidenceStore, of: Vec<String>, evidence: EvidenceRef) -> EvidenceReport {
    let content = store.get(&evidence).map_err(|error| error.one_line()).map(|bytes| excerpt(&bytes));
    EvidenceReport { evidence, of, content }
}

fn excerpt(bytes: &[u8]) -> String {
    let (begin, rest) = bytes.split_at(bytes.len().min(EXCERPT));
    let mut text = String::from_utf8_lossy(begin).into_owned();
    if !rest.is_empty() {
        text.push_str(&format!("\n[{} more bytes]", rest.len()));
    }
    text
}

fn unproven(components: &[OutlinedComponent], state: &RunState, now: Timestamp) -> Vec<Unproven> {
    let mut missing = Vec::new();
    for component in components {
        let lacks = |property: Option<&String>, stale_since| Unproven {
            component: component.name.clone(),
            property: property.cloned(),
            stale_since,
        };
        if component.proven_by.is_empty() {
            missing.push(lacks(None, None));
        }
        for property in &component.proven_by {
            match state.proof(&component.name, property) {
                None => missing.push(lacks(Some(property), None)),
                Some(proof) => match crate::proof::freshness(proof, now) {
                    Freshness::Stale => missing.push(lacks(Some(property), Some(proof.expires))),
                    Freshness::Fresh => {}
                },
            }
        }
    }
    missing
}

/// The proofs of the run, and those of earlier runs that still stand.
fn proofs(of_run: Vec<Proof>, state: &RunState, now: Timestamp) -> Vec<ProofReport> {
    let mut all: Vec<Proof> = state.proofs().filter(|proof| !of_run.contains(proof)).cloned().collect();
    all.extend(of_run);
    all.sort_by_key(|proof| proof.at);
    let told = |proof: Proof| {
        let standing = match state.proof(&proof.component, &proof.property) {
            Some(newest) if *newest == proof => ProofStanding::Newest,
            Some(_) => ProofStanding::Superseded,
            None => ProofStanding::Withdrawn,
        };
        ProofReport { freshness: crate::proof::freshness(&proof, now), standing, proof }
    };
    all.into_iter().map(told).collect()
}

/// Puts the places into the order of the runbook.
fn phases(
    outline: &[OutlinedPhase],
    mut places: BTreeMap<String, Vec<PlaceReport>>,
    done: &BTreeMap<String, Timestamp>,
) -> Vec<PhaseReport> {
    let mut phases: Vec<PhaseReport> = outline
        .iter()
        .map(|phase| PhaseReport {
            named: Some((phase.id.clone(), phase.title.clone())),
            done: done.get(&phase.id).copied(),
            steps: phase
                .step
                .iter()
                .map(|step| StepReport {
                    id: step.id.clone(),
                    title: Some(step.title.clone()),
                    kind: step.action.keys().next().cloned(),
                    parameters: step.action.values().next().cloned(),
                    places: places.remove(&step.id).unwrap_or_default(),
                })
                .collect(),
        })
        .collect();
    let mut left: Vec<StepReport> =
        places.into_iter().map(|(id, places)| StepReport { id, places, ..StepReport::default() }).collect();
    left.sort_by_key(|step| step.places.iter().map(|place| place.began).min());
    if !left.is_empty() {
        phases.push(PhaseReport { named: None, done: None, steps: left });
    }
    phases
}
