//! Tests of the journal as a whole; what they share.

mod batches;
mod damage;
mod faults;
mod golden;
mod meaning;
mod property;
mod skimming;

use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};

use super::fake::FakeDisk;
use super::record::{
    Approval, AttemptNumber, Before, Change, Epoch, EvidenceRef, Grade, How, Mode, Observed, Operator,
    OutputValue, Outputs, Place, Proof, Record,
};
use super::{Holder, Journal, Lines, Lock, Replayed, Report, StateDir, reading};
use crate::clock::FixedClock;
use crate::diagnostic::Result;
use crate::digest::Digest;
use crate::engine::gate::Cleared;
use crate::engine::seam::{Signers, Task};
use crate::name::{FleetName, HostName, PhaseId, RunId, RunbookName, StepId};

fn noon() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn operator() -> Operator {
    Operator { user: "ada".to_owned(), machine: "desk".to_owned() }
}

fn place(step: &str, host: Option<&str>) -> Place {
    Place { step: StepId::new(step).unwrap(), host: host.map(|h| HostName::new(h).unwrap()) }
}

fn change(summary: &str) -> Change {
    Change { summary: summary.to_owned(), details: vec!["- off".to_owned(), "+ on".to_owned()] }
}

fn evidence(name: &str) -> EvidenceRef {
    EvidenceRef { name: name.to_owned(), digest: Digest::of(name), bytes: name.len() as u64 }
}

fn outputs() -> Outputs {
    let secret = OutputValue::Secret { name: "repo-key".to_owned(), digest: Digest::of("keyed") };
    [
        ("address", OutputValue::String("10.0.0.2\n\u{1b}[31m \"quoted\"".to_owned())),
        ("port", OutputValue::Integer(-5432)),
        ("enabled", OutputValue::Boolean(true)),
        ("members", OutputValue::List(vec!["node-1".to_owned(), "node-2".to_owned()])),
        ("key", secret),
    ]
    .into_iter()
    .map(|(name, value)| (crate::name::OutputName::new(name).unwrap(), value))
    .collect()
}

fn run_started(run: &str) -> Record {
    Record::RunStarted {
        run: RunId::new(run).unwrap(),
        fleet: FleetName::new("cell0").unwrap(),
        operator: operator(),
        runbook: RunbookName::new("cell0").unwrap(),
        runbook_bytes: evidence("runbook"),
        workspace: evidence("hactl.toml"),
        hactl: "0.1.0".to_owned(),
        mode: Mode::Rehearsal { lab: "lab".to_owned() },
    }
}

fn not_applied(value: u64) -> Observed {
    Observed::NotApplied {
        change: change("restart postgresql@17-main"),
        before: Before(serde_json::json!({ "started": value, "load": 0.1 })),
    }
}

fn observed(place: &Place, observed: Observed) -> Record {
    Record::Observed { place: place.clone(), observed }
}

fn intended(place: &Place, attempt: u32) -> Record {
    Record::Intended {
        place: place.clone(),
        attempt: AttemptNumber(attempt),
        action: Digest::of("action"),
        change: change("restart postgresql@17-main"),
        before: Before(serde_json::json!({ "started": attempt })),
    }
}

fn approval(place: &Place, binding: &str) -> Approval {
    Approval {
        place: place.clone(),
        binding: Digest::of(binding),
        by: operator(),
        how: How::Typed,
        shown: evidence("what the gate showed"),
        expires: noon().saturating_add(SignedDuration::from_hours(24)).unwrap(),
    }
}

/// The task of a step whose gate takes a name typed.
fn task(place: &Place) -> Task {
    Task {
        place: place.clone(),
        title: "Switch archiving on".to_owned(),
        why: None,
        gate: crate::runbook::Gate::Type,
        signers: Signers::Anyone,
        timeout: std::time::Duration::from_secs(1),
        retries: 0,
    }
}

fn cleared(place: &Place, binding: Option<&str>) -> Cleared {
    let (action, before) = (Digest::of("action"), Before(serde_json::json!(7)));
    let gate = crate::runbook::Gate::None;
    match binding {
        None => Cleared::without_gate(gate, place.clone(), action, change("c"), before),
        Some(b) => Cleared::by_approval(
            &task(place),
            action,
            change("c"),
            before,
            Digest::of(b),
            &approval(place, b),
            noon(),
        ),
    }
    .unwrap()
}

fn proof(at: Timestamp) -> Proof {
    Proof {
        place: None,
        property: "restore".to_owned(),
        component: "cell-postgres".to_owned(),
        grade: Grade::Full,
        facts: vec!["214 tables equal".to_owned()],
        measured: [("restore_seconds".to_owned(), 12.25), ("lost_rows".to_owned(), 0.0)].into(),
        at,
        expires: at.saturating_add(SignedDuration::from_hours(720)).unwrap(),
        evidence: vec![evidence("pgbackrest info")],
    }
}

/// A history that hactl could write, with every kind of record in it.
pub(super) fn story() -> Vec<Record> {
    let (wal, host) = (place("wal-archive", Some("node-1")), place("wal-archive", Some("node-2")));
    let (bucket, drill) = (place("bucket", None), place("drill", None));
    let first = AttemptNumber(1);
    vec![
        Record::TornTail { bytes: 17 },
        Record::Planned { plan: Digest::of("plan") },
        run_started("run-1"),
        Record::TakenOver { by: operator(), epoch: Epoch(2) },
        observed(&bucket, Observed::Indeterminate("no answer".to_owned())),
        observed(&bucket, Observed::Applied(outputs())),
        Record::Trial { place: bucket.clone(), attempt: first },
        Record::Verified {
            place: bucket.clone(),
            evidence: vec![evidence("head")],
            facts: vec!["versioning is on".to_owned()],
            outputs: outputs(),
        },
        observed(&wal, not_applied(3)),
        Record::AwaitingApproval { place: wal.clone(), binding: Digest::of("old") },
        Record::Approved(approval(&wal, "old")),
        Record::Approved(Approval { how: How::Rehearsed, ..approval(&wal, "new") }),
        intended(&wal, 1),
        Record::NotStarted { place: wal.clone(), attempt: first, error: "claim refused".to_owned() },
        observed(&wal, Observed::Running("a restart".to_owned())),
        observed(&wal, not_applied(4)),
        intended(&wal, 2),
        Record::Interrupted,
        Record::Resumed { operator: operator(), command: "hactl resume".to_owned() },
        Record::InDoubt {
            place: wal.clone(),
            attempt: AttemptNumber(2),
            why: "hactl was interrupted".to_owned(),
        },
        Record::Decided {
            place: wal.clone(),
            attempt: AttemptNumber(2),
            observed: Observed::Applied(Outputs::new()),
            by: Some(operator()),
        },
        observed(&host, not_applied(5)),
        intended(&host, 1),
        Record::Applied { place: host.clone(), attempt: first, outputs: outputs() },
        Record::Failed { place: host.clone(), error: "no segment in the bucket".to_owned() },
        Record::Rebased {
            runbook_bytes: evidence("runbook 2"),
            workspace: evidence("hactl.toml 2"),
            hactl: "0.2.0".to_owned(),
            by: operator(),
        },
        Record::RollingBack { place: host.clone(), attempt: first },
        Record::RollbackFailed { place: host.clone(), error: "unit is masked".to_owned() },
        Record::RollingBack { place: host.clone(), attempt: AttemptNumber(2) },
        Record::RolledBack { place: host },
        Record::Skipped { place: drill, reason: "not tonight".to_owned(), by: operator() },
        Record::Proven(proof(noon())),
        Record::PhaseDone { phase: PhaseId::new("0").unwrap() },
    ]
}

/// A workspace in a temporary folder, with its journal on a fake disk.
struct Bench {
    folder: tempfile::TempDir,
    clock: Rc<FixedClock>,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), clock: Rc::new(FixedClock::new(noon())) }
    }

    /// One that is opened after a story was told elsewhere.
    fn later() -> Self {
        let bench = Self::new();
        bench.clock.advance(SignedDuration::from_hours(1));
        bench
    }

    fn dir(&self) -> StateDir {
        StateDir::of(self.folder.path())
    }

    fn lock(&self) -> Lock {
        Lock::take(&self.dir(), Holder::this_process(operator(), noon(), "hactl phase run 0")).unwrap()
    }

    fn open(&self, disk: &FakeDisk) -> Result<(Journal, Report)> {
        Journal::open_on(Box::new(disk.clone()), self.lock(), self.clock.clone())
    }

    fn journal(&self, disk: &FakeDisk) -> Journal {
        self.open(disk).unwrap().0
    }

    /// Writes the story.
    fn tell(&self, disk: &FakeDisk) -> Journal {
        let journal = self.journal(disk);
        for record in story() {
            journal.commit(&record).unwrap();
            self.clock.advance(SignedDuration::from_millis(1500));
        }
        journal
    }
}

/// Reads a journal in both ways, which must agree in all that they say.
fn reread(bytes: &[u8]) -> Result<Replayed> {
    let whole = reading::replay_each(&mut Lines::new(bytes), |_| Ok(()));
    let skimmed = Replayed::read(bytes);
    match (&whole, &skimmed) {
        (Err(a), Err(b)) => assert_eq!((a.code(), a.to_string()), (b.code(), b.to_string())),
        (Ok(_), Ok(_)) | (Ok(_), Err(_)) | (Err(_), Ok(_)) => {
            assert_eq!(whole.as_ref().ok(), skimmed.as_ref().ok())
        }
    }
    skimmed
}
