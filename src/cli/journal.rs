//! `hactl journal …`: what happened, and whether the file is whole.

mod mirror;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;

use super::Global;
use crate::diagnostic::{Error, Exit, Result, codes};
use crate::digest::Digest;
use crate::engine::request::check_again;
use crate::event::Event;
use crate::evidence::EvidenceStore;
use crate::journal::record::{Approval, EvidenceRef, How, Record};
use crate::journal::{Journal, Line, StateDir};
use crate::name::{FleetName, RunId};
use crate::redact::Redactor;
use crate::render::{Format, Out, words};

/// Arguments of `hactl journal`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The journal is .hactl/journal.jsonl beside hactl.toml, and is read here without
its lock, so also while hactl works.

Examples:
  hactl journal show --last 20
  hactl journal show --output json | jq 'select(.record.approved)'
  hactl journal verify
  hactl journal mirror")]
pub struct JournalArgs {
    #[command(subcommand)]
    command: JournalCommand,
}

#[derive(Debug, Subcommand)]
enum JournalCommand {
    /// Tell what was recorded, in order
    Show {
        /// Only the last so many records
        #[arg(long, value_name = "N")]
        last: Option<usize>,
    },
    /// Check every line, the chain between them, and the evidence that they name
    Verify,
    /// Bring the mirror of [state] up to date, and say how far it is
    Mirror {
        /// Make the mirror's bucket where it is missing
        #[arg(long)]
        make_bucket: bool,
    },
}

impl JournalArgs {
    /// Runs it.
    ///
    /// # Errors
    /// There is no workspace, or the journal is damaged.
    pub fn run(&self, global: &Global, out: &Out) -> Result<Exit> {
        let dir = global.state_dir()?;
        match self.command {
            JournalCommand::Show { last } => show(&dir, last, out)?,
            JournalCommand::Verify => verify(&dir, out)?,
            JournalCommand::Mirror { make_bucket } => mirror::run(make_bucket, global, out)?,
        }
        Ok(Exit::Done)
    }
}

fn show(dir: &StateDir, last: Option<usize>, out: &Out) -> Result<()> {
    let mut kept = VecDeque::new();
    let replayed = Journal::read_each(dir, |line| match last {
        None => tell(line, out),
        Some(last) => {
            kept.push_back(line.clone());
            if kept.len() > last {
                kept.pop_front();
            }
            Ok(())
        }
    });
    // Where a line is damaged, what stands before it is shown all the same.
    for line in &kept {
        tell(line, out)?;
    }
    match (replayed?.lines, out.format()) {
        (0, Format::Human) => out.say("nothing was recorded yet"),
        (_, Format::Human | Format::Json) => Ok(()),
    }
}

/// The width of a record's number and time.
const INDENT: usize = 28;

fn tell(line: &Line, out: &Out) -> Result<()> {
    match out.format() {
        Format::Human => {
            let told = words::of_record(&line.record);
            let at = line.at.strftime("%Y-%m-%d %H:%M:%S");
            out.wrapped(&format!("{:>5}  {at}  {}", line.seq.0, told.line()), INDENT)?;
            let mut details = told.details.iter().flat_map(|detail| detail.lines());
            details.try_for_each(|detail| out.say(format!("{:INDENT$}  {detail}", "")))
        }
        Format::Json => {
            out.object(&Event::Recorded { seq: line.seq.0, at: line.at, record: line.record.clone() })
        }
    }
}

#[derive(Serialize)]
struct Verified {
    event: &'static str,
    records: u64,
    evidence: usize,
    signatures: usize,
    torn_bytes: Option<u64>,
}

fn verify(dir: &StateDir, out: &Out) -> Result<()> {
    let mut named: BTreeMap<Digest, EvidenceRef> = BTreeMap::new();
    let mut approvals = Vec::new();
    let mut of_run = None;
    let replayed = Journal::read_each(dir, |line| {
        if let Record::RunStarted { run, fleet, .. } = &line.record {
            of_run = Some((run.clone(), fleet.clone()));
        }
        if let (Record::Approved(approval), Some(of_run)) = (&line.record, &of_run) {
            approvals.push((line.at, of_run.clone(), approval.clone()));
        }
        named.extend(evidence_of(&line.record).into_iter().map(|e| (e.digest, e.clone())));
        Ok(())
    })?;
    let store = EvidenceStore::new(dir.clone(), Rc::new(Redactor::new()));
    let bad: Vec<String> =
        named.values().filter_map(|e| store.get(e).err()).map(|error| error.one_line()).collect();
    if !bad.is_empty() {
        return Err(Error::new(codes::EVIDENCE_READ, bad.join("\n"))
            .state(format!(
                "the journal's {} records are whole; what they name as evidence is not",
                replayed.lines
            ))
            .next("restore .hactl/evidence from a copy"));
    }
    let signatures = check_signatures(&approvals, &store)?;
    match out.format() {
        Format::Human => {
            let (records, evidence) = (replayed.lines, named.len());
            out.say(format!("{records} records, each whole and following on the one before"))?;
            out.say(format!("{evidence} pieces of evidence, each as it was kept"))?;
            if signatures > 0 {
                out.say(format!(
                    "{signatures} signed approvals, each of which counted when it was recorded"
                ))?;
            }
            match replayed.torn {
                None => Ok(()),
                Some(bytes) => out.wrapped(
                    &format!(
                        "the last line is incomplete ({bytes} bytes): hactl was killed while writing it; the next \
                         command that works here cuts it off and goes on"
                    ),
                    2,
                ),
            }
        }
        Format::Json => out.object(&Verified {
            event: "journal_verified",
            records: replayed.lines,
            evidence: named.len(),
            signatures,
            torn_bytes: replayed.torn,
        }),
    }
}

/// Checks every signature again, by what was kept alone.
fn check_signatures(
    approvals: &[(Timestamp, (RunId, FleetName), Approval)],
    store: &EvidenceStore,
) -> Result<usize> {
    let mut signatures = 0;
    for (at, (run, fleet), approval) in approvals {
        let How::Signed(signed) = &approval.how else { continue };
        check_again(approval, signed, *at, run, fleet, store).map_err(|error| {
            error.state("the records are whole, but this approval should not have counted")
        })?;
        signatures += 1;
    }
    Ok(signatures)
}

/// The evidence that a record names.
fn evidence_of(record: &Record) -> Vec<&EvidenceRef> {
    match record {
        Record::RunStarted { runbook_bytes, workspace, .. }
        | Record::Rebased { runbook_bytes, workspace, .. } => {
            vec![runbook_bytes, workspace]
        }
        Record::Approved(approval) => match &approval.how {
            How::Signed(signed) => vec![&approval.shown, &signed.signers],
            How::Confirmed | How::Typed | How::Rehearsed => vec![&approval.shown],
        },
        Record::Verified { evidence, .. } => evidence.iter().collect(),
        Record::Proven(proof) => proof.evidence.iter().collect(),
        Record::Resumed { .. }
        | Record::TakenOver { .. }
        | Record::TornTail { .. }
        | Record::Planned { .. }
        | Record::Observed { .. }
        | Record::AwaitingApproval { .. }
        | Record::Intended { .. }
        | Record::Applied { .. }
        | Record::NotStarted { .. }
        | Record::InDoubt { .. }
        | Record::Decided { .. }
        | Record::Trial { .. }
        | Record::Failed { .. }
        | Record::Skipped { .. }
        | Record::RollingBack { .. }
        | Record::RolledBack { .. }
        | Record::RollbackFailed { .. }
        | Record::PhaseDone { .. }
        | Record::Interrupted => Vec::new(),
    }
}
