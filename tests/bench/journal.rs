//! The journal: appending, replaying, and asking for the status of a long one.

use futures_util::FutureExt as _;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use hactl::clock::SystemClock;
use hactl::digest::Digest;
use hactl::engine::gate::Cleared;
use hactl::journal::line::{Tail, decode, encode};
use hactl::journal::record::{
    AttemptNumber, Before, Change, EvidenceRef, Mode, Observed, Operator, OutputValue, Outputs, Place, Record,
};
use hactl::journal::{Holder, Journal, Lock, StateDir};
use hactl::name::{FleetName, HostName, OutputName, RunId, RunbookName, StepId};
use hactl::runbook::Gate;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::table::{Table, in_turns, timed};

const RECORDS: u64 = 1_000_000;
/// On so many places they happened: a runbook that was carried out again and again.
const PLACES: u64 = 1_000;

pub(crate) fn measure(table: &mut Table) {
    const APPEND: &str = "journal append";
    const REPLAY: &str = "replay of a journal of 10^6 records";
    const STATUS: &str = "status with a journal of 10^6 records";
    if table.wants(APPEND) {
        let (ours, theirs) = append();
        table.add(APPEND, ours, "write and fdatasync of the same bytes", theirs, 1.2);
    }
    if !table.wants(REPLAY) && !table.wants(STATUS) {
        return;
    }
    let workspace = long();
    let dir = StateDir::of(workspace.path());
    let journal = dir.journal();
    let size = std::fs::metadata(&journal).unwrap().len();
    table.note(format!("the journal of 10^6 records has {} MB", size / 1_000_000));
    if table.wants(REPLAY) {
        let (ours, theirs) = in_turns(
            3,
            || timed(|| assert_eq!(Journal::read(&dir).unwrap().lines, RECORDS)),
            || timed(|| checksum(&journal)),
        );
        table.add(REPLAY, ours, "reading it and SHA-256 over it", theirs, 2.0);
    }
    if table.wants(STATUS) {
        let status = || {
            let mut hactl = Command::new(env!("CARGO_BIN_EXE_hactl"));
            hactl.args(["status", "--offline"]).current_dir(&workspace).stdout(Stdio::null());
            timed(|| assert!(hactl.status().unwrap().success()))
        };
        let (ours, theirs) = in_turns(3, status, || timed(|| checksum(&journal)));
        table.add(STATUS, ours, "reading it and SHA-256 over it", theirs, 2.0);
    }
}

fn checksum(path: &Path) -> [u8; 32] {
    let (mut file, mut sum, mut chunk) = (File::open(path).unwrap(), Sha256::new(), vec![0; 256 * 1024]);
    loop {
        match file.read(&mut chunk).unwrap() {
            0 => return sum.finalize().into(),
            read => sum.update(&chunk[..read]),
        }
    }
}

fn operator() -> Operator {
    Operator { user: "ada".to_owned(), machine: "desk".to_owned() }
}

pub(crate) fn started(workspace: &[u8], runbook: &[u8]) -> Record {
    let kept = |name: &str, bytes: &[u8]| EvidenceRef {
        name: name.to_owned(),
        digest: Digest::of(bytes),
        bytes: bytes.len() as u64,
    };
    Record::RunStarted {
        run: RunId::new("run-1").unwrap(),
        fleet: FleetName::new("pair").unwrap(),
        operator: operator(),
        runbook: RunbookName::new("small").unwrap(),
        runbook_bytes: kept("runbook", runbook),
        workspace: kept("workspace", workspace),
        hactl: "0.1.0".to_owned(),
        mode: Mode::Production,
    }
}

fn place(number: u64) -> Place {
    let (step, host) = (format!("step-{}", number / 3), format!("node-{}", number % 3));
    Place { step: StepId::new(&step).unwrap(), host: Some(HostName::new(&host).unwrap()) }
}

fn change() -> Change {
    Change {
        summary: "sets archive_mode = on and archive_command in postgresql.conf".to_owned(),
        details: vec!["- archive_mode = off".to_owned(), "+ archive_mode = on".to_owned()],
    }
}

fn before() -> Before {
    Before(serde_json::json!({ "archive_mode": "off", "started": "2026-11-20T08:00:00Z" }))
}

fn outputs() -> Outputs {
    [(OutputName::new("address").unwrap(), OutputValue::String("10.0.0.2".to_owned()))].into()
}

/// What is recorded of one place, from looking to verified; the `round`-th time.
pub(crate) fn told(place: &Place, round: u32) -> [Record; 5] {
    let (place, attempt) = (place.clone(), AttemptNumber(round));
    [
        Record::Observed {
            place: place.clone(),
            observed: Observed::NotApplied { change: change(), before: before() },
        },
        Record::Intended {
            place: place.clone(),
            attempt,
            action: Digest::of("action"),
            change: change(),
            before: before(),
        },
        Record::Applied { place: place.clone(), attempt, outputs: outputs() },
        Record::Trial { place: place.clone(), attempt },
        Record::Verified {
            place,
            evidence: vec![EvidenceRef {
                name: "pg_settings".to_owned(),
                digest: Digest::of("x"),
                bytes: 812,
            }],
            facts: vec!["archive_mode = on".to_owned()],
            outputs: outputs(),
        },
    ]
}

fn append() -> (Duration, Duration) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let dir = StateDir::of(folder.path());
    let lock = Lock::take(&dir, Holder::this_process(operator(), Timestamp::now(), "bench")).unwrap();
    let (journal, _) = Journal::open(lock, Rc::new(SystemClock)).unwrap();
    journal.append(started(b"", b"")).unwrap();
    let mut written = File::open(dir.journal()).unwrap();
    let mut plain = OpenOptions::new().append(true).create(true).open(folder.path().join("plain")).unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for number in 0..300 {
        let place = place(number);
        for record in told(&place, 1) {
            let from = written.metadata().unwrap().len();
            ours.push(match record {
                Record::Intended { action, change, before, .. } => {
                    let cleared =
                        Cleared::without_gate(Gate::None, place.clone(), action, change, before).unwrap();
                    let hosts = place.host.iter().cloned().collect();
                    timed(|| journal.intend(cleared, hosts).now_or_never().unwrap().unwrap())
                }
                Record::Trial { .. } => {
                    let hosts = place.host.iter().cloned().collect();
                    timed(|| journal.begin_trial(place.clone(), hosts).now_or_never().unwrap().unwrap())
                }
                other => timed(|| journal.append(other).unwrap()),
            });
            let mut bytes = Vec::new();
            written.seek(SeekFrom::Start(from)).unwrap();
            written.read_to_end(&mut bytes).unwrap();
            theirs.push(timed(|| {
                plain.write_all(&bytes).unwrap();
                plain.sync_data().unwrap();
            }));
        }
    }
    (crate::table::median(ours), crate::table::median(theirs))
}

/// A workspace whose journal has 10^6 records.
fn long() -> TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let runbook = include_bytes!("small.toml");
    let workspace = include_bytes!("workspace.toml");
    std::fs::write(folder.path().join("hactl.toml"), workspace).unwrap();
    std::fs::write(folder.path().join("small.toml"), runbook).unwrap();
    let dir = StateDir::of(folder.path());
    dir.create().unwrap();
    let mut file = BufWriter::new(File::create(dir.journal()).unwrap());
    let mut tail = Tail::EMPTY;
    let at: Timestamp = "2026-11-21T12:00:00.123456789Z".parse().unwrap();
    let mut write = |record: &Record| {
        let bytes = encode(tail, at, record).unwrap();
        tail = decode(tail, &bytes[..bytes.len() - 1]).unwrap().tail();
        file.write_all(&bytes).unwrap();
        tail.seq.0
    };
    write(&started(workspace, runbook));
    let mut round = 0;
    'all: loop {
        round += 1;
        for number in 0..PLACES {
            for record in told(&place(number), round) {
                if write(&record) == RECORDS {
                    break 'all;
                }
            }
        }
    }
    file.flush().unwrap();
    folder
}
