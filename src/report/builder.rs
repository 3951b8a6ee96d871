//! Takes in the journal line by line, and keeps what belongs to one run.
//!
//! Invariant: what state a place is in is [`RunState`]'s business, by the same code as a resume; here is only gathered
//! what that forgets: times, what was said at the time, and what came before the last word.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{ApprovalReport, Doubt, PlaceReport, Spent};
use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::evidence::EvidenceStore;
use crate::journal::record::{Approval, EvidenceRef, How, Place, Proof, Record, Seq};
use crate::journal::{Line, Run, RunState};
use crate::name::RunId;

/// What was gathered of a run.
pub(super) struct Gathered {
    pub(super) run: Run,
    pub(super) state: RunState,
    pub(super) last: (Seq, Timestamp, Digest),
    pub(super) interrupted: Option<Timestamp>,
    pub(super) hosts: BTreeSet<String>,
    pub(super) places: BTreeMap<String, Vec<PlaceReport>>,
    pub(super) phases_done: BTreeMap<String, Timestamp>,
    pub(super) approvals: Vec<Approved>,
    pub(super) doubts: Vec<Doubt>,
    pub(super) proofs: Vec<Proof>,
    pub(super) evidence: Vec<(EvidenceRef, Vec<String>)>,
    pub(super) history: Vec<Line>,
}

/// An approval as it was recorded.
#[derive(Clone)]
pub(super) struct Approved {
    seq: Seq,
    at: Timestamp,
    approval: Approval,
}

impl Approved {
    /// With what they were shown.
    pub(super) fn shown(self, store: &EvidenceStore) -> ApprovalReport {
        let Self { seq, at, approval } = self;
        let shown = store
            .get(&approval.shown)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|error| error.one_line());
        ApprovalReport { seq, at, approval, shown }
    }
}

/// What a place is busy with, since the last record of it.
#[derive(Clone, Copy)]
enum Busy {
    Changing,
    Verifying,
    Waiting,
    Undoing,
}

struct Track {
    began: Timestamp,
    ended: Timestamp,
    busy: Option<Busy>,
    spent: Spent,
    skipped_by: Option<String>,
}

struct Open {
    run: Run,
    last: (Seq, Timestamp, Digest),
    interrupted: Option<Timestamp>,
    tracks: BTreeMap<Place, Track>,
    phases_done: BTreeMap<String, Timestamp>,
    approvals: Vec<Approved>,
    doubts: Vec<Doubt>,
    proofs: Vec<Proof>,
    evidence: Vec<(EvidenceRef, Vec<String>)>,
    history: Vec<Line>,
}

/// Gathers one run.
pub(super) struct Builder {
    wanted: Option<RunId>,
    /// The runs so far.
    pub(super) runs: Vec<RunId>,
    state: RunState,
    /// Approvals that were given before any run.
    ahead: Vec<Approved>,
    open: Option<Open>,
    found: Option<Gathered>,
}

impl Builder {
    /// Gathers the last run, or the one that is wanted.
    pub(super) fn new(wanted: Option<RunId>) -> Self {
        let state = RunState::default();
        Self { wanted, runs: Vec::new(), state, ahead: Vec::new(), open: None, found: None }
    }

    /// Takes the next line in.
    ///
    /// # Errors
    /// It tells a history that never comes from hactl.
    pub(super) fn take(&mut self, line: &Line) -> Result<()> {
        if let Record::RunStarted { .. } = line.record {
            // Approvals that nothing used up hold for the run that begins.
            let approvals = self.open.as_mut().map_or(&mut self.ahead, |open| &mut open.approvals);
            let standing =
                |a: &Approved| matches!(self.state.approval(&a.approval.binding, line.at), Ok(Some(_)));
            let approvals: Vec<_> = approvals.iter().filter(|a| standing(a)).cloned().collect();
            let before = self.state.clone();
            self.apply(line)?;
            if let Some(open) = self.open.take() {
                self.keep(open, before);
            }
            let Some(run) = self.state.run().cloned() else { return Ok(()) };
            self.runs.push(run.run.clone());
            self.open = Some(Open::begin(run, line, approvals));
            return Ok(());
        }
        self.apply(line)?;
        match (&mut self.open, &line.record) {
            (Some(open), _) => open.take(line),
            (None, Record::Approved(approval)) => self.ahead.push(approved(line, approval)),
            (None, _) => {}
        }
        Ok(())
    }

    fn apply(&mut self, line: &Line) -> Result<()> {
        self.state.apply(line.clone()).map_err(|illegal| {
            Error::new(
                codes::JOURNAL_ILLEGAL,
                format!("line {} of the journal cannot be: {illegal}", line.seq),
            )
            .state("nothing was changed")
            .next("restore .hactl/journal.jsonl from a copy; never edit it")
        })
    }

    fn keep(&mut self, open: Open, state: RunState) {
        if self.wanted.as_ref().is_none_or(|wanted| *wanted == open.run.run) {
            self.found = Some(open.end(state));
        }
    }

    /// What was gathered of the run; none where there is no such run.
    pub(super) fn finish(mut self) -> Option<Gathered> {
        if let Some(open) = self.open.take() {
            let state = std::mem::take(&mut self.state);
            self.keep(open, state);
        }
        self.found
    }
}

fn approved(line: &Line, approval: &Approval) -> Approved {
    Approved { seq: line.seq, at: line.at, approval: approval.clone() }
}

impl Open {
    fn begin(run: Run, line: &Line, approvals: Vec<Approved>) -> Self {
        let evidence = vec![
            (run.runbook_bytes.clone(), vec!["the runbook, as the run began".to_owned()]),
            (run.workspace.clone(), vec!["the workspace, as the run began".to_owned()]),
        ];
        Self {
            run,
            last: (line.seq, line.at, line.sum),
            interrupted: None,
            tracks: BTreeMap::new(),
            phases_done: BTreeMap::new(),
            approvals,
            doubts: Vec::new(),
            proofs: Vec::new(),
            evidence,
            history: vec![line.clone()],
        }
    }

    fn take(&mut self, line: &Line) {
        self.last = (line.seq, line.at, line.sum);
        if let Some(place) = line.record.place() {
            self.track(place, line);
        }
        let at = line.at;
        match &line.record {
            Record::Resumed { .. } => {
                // From the last record up to here no hactl was at work.
                self.tracks.values_mut().for_each(|track| track.busy = None);
                self.interrupted = None;
                self.history.push(line.clone());
            }
            Record::Approved(approval) => {
                if let How::Signed(signed) = &approval.how {
                    let of = format!("the approval of {}, as signers allowed then", approval.place);
                    self.keep(&of, std::slice::from_ref(&signed.signers));
                }
                self.approvals.push(approved(line, approval));
            }
            Record::InDoubt { place, attempt, why } => {
                let (place, why) = (place.clone(), why.clone());
                self.doubts.push(Doubt { place, attempt: *attempt, at, why, decisions: Vec::new() });
            }
            Record::Decided { place, .. } => {
                if let Some(doubt) = self.doubts.iter_mut().rfind(|doubt| doubt.place == *place) {
                    doubt.decisions.push(line.clone());
                }
            }
            Record::Verified { place, evidence, .. } => self.keep(&place.to_string(), evidence),
            Record::Proven(proof) => {
                self.keep(&format!("the proof {}", crate::proof::id(proof)), &proof.evidence);
                self.proofs.push(proof.clone());
            }
            Record::PhaseDone { phase } => {
                self.phases_done.insert(phase.to_string(), at);
            }
            Record::Rebased { runbook_bytes, workspace, .. } => {
                let of = format!("the runbook, from record {} on", line.seq);
                self.keep(&of, std::slice::from_ref(runbook_bytes));
                let of = format!("the workspace, from record {} on", line.seq);
                self.keep(&of, std::slice::from_ref(workspace));
                self.history.push(line.clone());
            }
            Record::Interrupted => {
                self.interrupted = Some(at);
                self.history.push(line.clone());
            }
            Record::RunStarted { .. } | Record::TakenOver { .. } | Record::TornTail { .. } => {
                self.history.push(line.clone());
            }
            Record::Planned { .. }
            | Record::Observed { .. }
            | Record::AwaitingApproval { .. }
            | Record::Intended { .. }
            | Record::Applied { .. }
            | Record::NotStarted { .. }
            | Record::Trial { .. }
            | Record::Failed { .. }
            | Record::Skipped { .. }
            | Record::RollingBack { .. }
            | Record::RolledBack { .. }
            | Record::RollbackFailed { .. } => {}
        }
    }

    fn keep(&mut self, of: &str, evidence: &[EvidenceRef]) {
        for evidence in evidence {
            match self.evidence.iter_mut().find(|(kept, _)| kept == evidence) {
                Some((_, known)) if known.iter().any(|known| known == of) => {}
                Some((_, known)) => known.push(of.to_owned()),
                None => self.evidence.push((evidence.clone(), vec![of.to_owned()])),
            }
        }
    }

    fn track(&mut self, place: &Place, line: &Line) {
        let at = line.at;
        let fresh = || Track { began: at, ended: at, busy: None, spent: Spent::default(), skipped_by: None };
        let track = self.tracks.entry(place.clone()).or_insert_with(fresh);
        let since = at.duration_since(track.ended).max(SignedDuration::ZERO);
        let sum = match track.busy {
            Some(Busy::Changing) => Some(&mut track.spent.changing),
            Some(Busy::Verifying) => Some(&mut track.spent.verifying),
            Some(Busy::Waiting) => Some(&mut track.spent.waiting),
            Some(Busy::Undoing) => Some(&mut track.spent.undoing),
            None => None,
        };
        if let Some(sum) = sum {
            *sum = sum.saturating_add(since);
        }
        track.ended = at;
        track.busy = busy(&line.record);
        if let Record::Skipped { by, .. } = &line.record {
            track.skipped_by = Some(by.to_string());
        }
    }

    fn end(self, state: RunState) -> Gathered {
        let hosts = self.tracks.keys().filter_map(|place| place.host.as_ref()).map(ToString::to_string);
        let hosts = hosts.collect();
        let mut places: BTreeMap<String, Vec<PlaceReport>> = BTreeMap::new();
        for (place, track) in self.tracks {
            let checkpoint = state.checkpoint(&place).cloned().unwrap_or_default();
            places.entry(place.step.to_string()).or_default().push(PlaceReport {
                place,
                state: checkpoint.state,
                why: checkpoint.why,
                began: track.began,
                ended: track.ended,
                spent: track.spent,
                attempts: checkpoint.attempt,
                rollbacks: checkpoint.rollback,
                change: checkpoint.change,
                facts: checkpoint.facts,
                outputs: checkpoint.outputs,
                skipped_by: track.skipped_by,
            });
        }
        // What is reported is what was carried out last: a rebase changes it.
        let run = state.run().cloned().unwrap_or(self.run);
        let Self { last, interrupted, phases_done, approvals, doubts, proofs, evidence, history, .. } = self;
        Gathered {
            run,
            state,
            last,
            interrupted,
            hosts,
            places,
            phases_done,
            approvals,
            doubts,
            proofs,
            evidence,
            history,
        }
    }
}

/// What a place is busy with after a record.
fn busy(record: &Record) -> Option<Busy> {
    match record {
        Record::AwaitingApproval { .. } => Some(Busy::Waiting),
        Record::Intended { .. } => Some(Busy::Changing),
        Record::Applied { .. } | Record::Trial { .. } => Some(Busy::Verifying),
        Record::RollingBack { .. } => Some(Busy::Undoing),
        Record::RunStarted { .. }
        | Record::Resumed { .. }
        | Record::TakenOver { .. }
        | Record::TornTail { .. }
        | Record::Planned { .. }
        | Record::Observed { .. }
        | Record::Approved(_)
        | Record::NotStarted { .. }
        | Record::InDoubt { .. }
        | Record::Decided { .. }
        | Record::Verified { .. }
        | Record::Failed { .. }
        | Record::Skipped { .. }
        | Record::RolledBack { .. }
        | Record::RollbackFailed { .. }
        | Record::Proven(_)
        | Record::PhaseDone { .. }
        | Record::Interrupted
        | Record::Rebased { .. } => None,
    }
}
