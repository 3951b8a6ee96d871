use std::rc::Rc;

use futures_util::FutureExt as _;
use jiff::SignedDuration;

use super::super::token::Purpose;
use super::{
    AttemptNumber, Before, Bench, FakeDisk, Journal, Outputs, Record, approval, cleared, evidence, intended,
    noon, not_applied, observed, operator, place, proof, reread, run_started, story,
};
use crate::diagnostic::codes;
use crate::digest::Digest;
use crate::engine::seam::{Signers, Task};
use crate::engine::state::State;
use crate::event::{Collect, Event};
use crate::journal::record::{Approval, Epoch, How, Observed, Signed};
use crate::journal::{Holder, Lock};
use crate::name::{HostName, PhaseId};
use crate::runbook::Gate;

fn started(bench: &Bench, disk: &FakeDisk) -> Journal {
    let journal = bench.journal(disk);
    journal.append(run_started("run-1")).unwrap();
    journal
}

#[test]
fn the_story_yields_the_checkpoints_that_it_tells() {
    let disk = FakeDisk::default();
    let journal = Bench::new().tell(&disk);
    let state = journal.state();
    let wal = state.checkpoint(&place("wal-archive", Some("node-1"))).unwrap();
    assert_eq!((wal.state, wal.attempt), (State::Applied, AttemptNumber(2)));
    assert_eq!(wal.before, Some(Before(serde_json::json!({ "started": 2 }))));
    // The first attempt certainly did not begin, so what it saw is nothing that undoing would restore.
    assert_eq!(wal.original, Some(Before(serde_json::json!({ "started": 2 }))));
    let undone = state.checkpoint(&place("wal-archive", Some("node-2"))).unwrap();
    assert_eq!((undone.state, undone.rollback), (State::RolledBack, AttemptNumber(2)));
    assert!(!undone.is_ours());
    let bucket = state.checkpoint(&place("bucket", None)).unwrap();
    assert_eq!((bucket.state, bucket.outputs.len()), (State::Verified, 5));
    assert_eq!(state.checkpoint(&place("drill", None)).unwrap().why.as_deref(), Some("not tonight"));
    assert_eq!(state.epoch(), Epoch(2));
    assert_eq!(state.run().unwrap().runbook_bytes, evidence("runbook 2"));
    assert!(state.phase_done(&PhaseId::new("0").unwrap()));
    assert!(state.proof("cell-postgres", "restore").is_some());
    assert_eq!(reread(&disk.durable()).unwrap().state, *state);
}

#[test]
fn an_intent_without_an_outcome_stays_one_until_a_record_says_otherwise() {
    let (bench, disk) = (Bench::new(), FakeDisk::default());
    let journal = started(&bench, &disk);
    let here = place("wal-archive", Some("node-1"));
    journal.append(observed(&here, not_applied(1))).unwrap();
    let intent = journal
        .intend(cleared(&here, None), vec![HostName::new("node-1").unwrap()])
        .now_or_never()
        .unwrap()
        .unwrap();
    assert_eq!(intent.label().to_string(), "a1");
    assert_eq!((journal.hold().last().seq.0, intent.epoch()), (3, Epoch::FIRST));
    assert_eq!(intent.run().as_str(), "run-1");
    assert!(intent.covers(&HostName::new("node-1").unwrap()));
    assert!(!intent.covers(&HostName::new("node-2").unwrap()));
    assert!(disk.durable().ends_with(&disk.live()), "the token came after the fsync");
    drop(journal);
    let journal = bench.journal(&disk);
    assert_eq!(journal.state().checkpoint(&here).unwrap().state, State::Intended);
    assert!(
        journal.append(observed(&here, Observed::Applied(Outputs::new()))).is_err(),
        "not by looking alone"
    );
    let why = String::new();
    journal.append(Record::InDoubt { place: here.clone(), attempt: AttemptNumber(1), why }).unwrap();
    let decided = Record::Decided {
        place: here.clone(),
        attempt: AttemptNumber(1),
        observed: not_applied(1),
        by: None,
    };
    journal.append(decided).unwrap();
    assert_eq!(
        journal.intend(cleared(&here, None), vec![]).now_or_never().unwrap().unwrap().label().to_string(),
        "a2"
    );
}

#[test]
fn tokens_have_no_other_way() {
    let (bench, disk) = (Bench::new(), FakeDisk::default());
    let journal = started(&bench, &disk);
    let here = place("bucket", None);
    journal.append(observed(&here, not_applied(1))).unwrap();
    for record in [
        intended(&here, 1),
        Record::Trial { place: here.clone(), attempt: AttemptNumber(1) },
        Record::RollingBack { place: here.clone(), attempt: AttemptNumber(1) },
    ] {
        assert_eq!(journal.append(record).unwrap_err().code(), codes::INTERNAL);
    }
    assert!(
        journal.begin_trial(here.clone(), vec![]).now_or_never().unwrap().is_err(),
        "nothing is there to be tried"
    );
    assert!(
        journal.begin_rollback(here.clone(), vec![]).now_or_never().unwrap().is_err(),
        "nothing is there to be undone"
    );
    let intent = journal.intend(cleared(&here, None), vec![]).now_or_never().unwrap().unwrap();
    let (attempt, outputs) = (intent.attempt(), Outputs::new());
    journal.append(Record::Applied { place: here.clone(), attempt, outputs }).unwrap();
    let trial = journal.begin_trial(here.clone(), vec![]).now_or_never().unwrap().unwrap();
    assert_eq!((trial.label().to_string(), trial.label().purpose), ("v1".to_owned(), Purpose::Trial));
    assert_eq!(
        journal.begin_rollback(here.clone(), vec![]).now_or_never().unwrap().unwrap().label().to_string(),
        "u1"
    );
    let again = journal.begin_rollback(here, vec![]).now_or_never().unwrap().unwrap();
    assert_eq!(again.label().to_string(), "u2");
    assert_eq!(again.before(), Some(&Before(serde_json::json!(7))));
}

#[test]
fn an_approval_counts_while_it_stands_in_the_journal() {
    let (bench, disk) = (Bench::new(), FakeDisk::default());
    let journal = started(&bench, &disk);
    let here = place("wal-archive", Some("node-1"));
    let refused = |journal: &Journal| {
        journal.intend(cleared(&here, Some("b")), vec![]).now_or_never().unwrap().unwrap_err().code()
    };
    journal.append(observed(&here, not_applied(1))).unwrap();
    assert_eq!(refused(&journal), codes::APPROVAL_UNKNOWN, "never recorded");
    journal.append(Record::Approved(approval(&here, "b"))).unwrap();
    let (runbook_bytes, workspace) = (evidence("runbook"), evidence("hactl.toml"));
    let hactl = "0.1.0".to_owned();
    journal.append(Record::Rebased { runbook_bytes, workspace, hactl, by: operator() }).unwrap();
    assert_eq!(refused(&journal), codes::APPROVAL_UNKNOWN, "voided by a rebase");
    journal.append(Record::Approved(approval(&here, "b"))).unwrap();
    bench.clock.advance(SignedDuration::from_hours(-1));
    assert_eq!(refused(&journal), codes::CLOCK_BEHIND);
    bench.clock.advance(SignedDuration::from_hours(26));
    assert_eq!(refused(&journal), codes::APPROVAL_UNKNOWN, "expired");
    bench.clock.advance(SignedDuration::from_hours(-25));
    let intent = journal.intend(cleared(&here, Some("b")), vec![]).now_or_never().unwrap().unwrap();
    let (attempt, outputs) = (intent.attempt(), Outputs::new());
    journal.append(Record::Applied { place: here.clone(), attempt, outputs: outputs.clone() }).unwrap();
    assert!(journal.state().approval(&Digest::of("b"), noon()).unwrap().is_some());
    let verified = Record::Verified { place: here.clone(), evidence: vec![], facts: vec![], outputs };
    journal.append(verified).unwrap();
    journal.append(observed(&here, not_applied(2))).unwrap();
    assert_eq!(refused(&journal), codes::APPROVAL_UNKNOWN, "used up");
}

#[test]
fn a_clock_that_is_behind_any_record_opens_no_journal() {
    let (bench, disk) = (Bench::new(), FakeDisk::default());
    let here = place("wal-archive", Some("node-1"));
    {
        let journal = started(&bench, &disk);
        journal.append(Record::Approved(approval(&here, "b"))).unwrap();
        // Within a process that was begun in time, outcomes are still recorded: an effect without one is a doubt.
        bench.clock.advance(SignedDuration::from_hours(-3));
        journal.append(observed(&here, not_applied(1))).unwrap();
        let error = journal.intend(cleared(&here, Some("b")), vec![]).now_or_never().unwrap().unwrap_err();
        assert_eq!(
            error.code(),
            codes::CLOCK_BEHIND,
            "the last record is as late as the clock, an earlier one is not"
        );
    }
    let length = disk.live().len();
    let error = bench.open(&disk).unwrap_err();
    assert_eq!(
        (error.code(), error.code().exit()),
        (codes::CLOCK_BEHIND, crate::diagnostic::Exit::OutOfDate)
    );
    assert!(
        error.to_string().contains("but record 2 of the journal was made at 2026-11-21T12:00:00Z"),
        "{error}"
    );
    assert_eq!(disk.live().len(), length, "nothing was recorded by that clock");
    bench.clock.advance(SignedDuration::from_hours(3) - SignedDuration::from_secs(2));
    bench.open(&disk).unwrap();
}

#[test]
fn an_approval_is_for_one_action_until_it_expires() {
    let here = place("wal-archive", Some("node-1"));
    let given = approval(&here, "b");
    let clear = |at: &crate::journal::record::Place, binding: &str, now| {
        crate::engine::gate::Cleared::by_approval(
            &super::task(at),
            Digest::of("action"),
            super::change("c"),
            Before::default(),
            Digest::of(binding),
            &given,
            now,
        )
        .map(|_| ())
        .map_err(|e| e.code())
    };
    assert_eq!(clear(&here, "b", noon()), Ok(()));
    assert_eq!(clear(&here, "c", noon()), Err(codes::APPROVAL_OTHER));
    assert_eq!(clear(&place("wal-archive", Some("node-2")), "b", noon()), Err(codes::APPROVAL_OTHER));
    assert_eq!(clear(&here, "b", given.expires), Err(codes::APPROVAL_EXPIRED));
}

#[test]
fn a_gate_of_sign_takes_a_signature_and_where_it_says_so_another_persons() {
    let here = place("wal-archive", None);
    let signed = |principal: &str| {
        How::Signed(Box::new(Signed {
            principal: principal.to_owned(),
            key: "SHA256:x".to_owned(),
            signature: String::new(),
            signers: super::evidence("allowed signers"),
        }))
    };
    let not_bob = Signers::AllBut(vec!["bob@acme".to_owned()]);
    let takes = |gate, signers: &Signers, how: How| {
        let task = Task { gate, signers: signers.clone(), ..super::task(&here) };
        crate::engine::gate::Cleared::by_approval(
            &task,
            Digest::of("action"),
            super::change("c"),
            Before::default(),
            Digest::of("b"),
            &Approval { how, ..approval(&here, "b") },
            noon(),
        )
        .is_ok()
    };
    for signers in [&Signers::Anyone, &not_bob] {
        assert!(!takes(Gate::Sign, signers, How::Confirmed));
        assert!(!takes(Gate::Sign, signers, How::Typed));
        assert!(takes(Gate::Sign, signers, signed("alice@acme")));
        assert!(takes(Gate::Type, signers, signed("alice@acme")), "a signature is the stronger answer");
    }
    assert!(takes(Gate::Sign, &Signers::Anyone, signed("bob@acme")));
    assert!(!takes(Gate::Sign, &not_bob, signed("bob@acme")));
}

#[test]
fn a_new_run_begins_afresh_but_forgets_no_doubt_and_no_way_back() {
    let (bench, disk) = (Bench::new(), FakeDisk::default());
    let journal = started(&bench, &disk);
    let here = place("wal-archive", Some("node-1"));
    journal.append(observed(&here, not_applied(1))).unwrap();
    journal.append(Record::Approved(approval(&place("later", None), "ahead"))).unwrap();
    let attempt = journal.intend(cleared(&here, None), vec![]).now_or_never().unwrap().unwrap().attempt();
    assert!(journal.append(run_started("run-2")).unwrap_err().one_line().contains("1 places are in doubt"));
    journal.append(Record::Applied { place: here.clone(), attempt, outputs: Outputs::new() }).unwrap();
    journal.append(Record::Proven(proof(noon()))).unwrap();
    journal.append(run_started("run-2")).unwrap();
    let state = journal.state();
    let checkpoint = state.checkpoint(&here).unwrap();
    assert_eq!((checkpoint.state, checkpoint.attempt), (State::Pending, AttemptNumber(0)));
    assert!(checkpoint.is_ours());
    assert!(state.approval(&Digest::of("ahead"), noon()).unwrap().is_some());
    assert_eq!(state.proofs().count(), 1);
}

#[test]
fn illegal_histories_are_refused_with_the_line() {
    use super::super::line::{Tail, decode, encode};
    let write = |records: &[Record]| {
        let (mut bytes, mut tail) = (Vec::new(), Tail::EMPTY);
        for record in records {
            let line = encode(tail, noon(), record).unwrap();
            tail = decode(tail, line.trim_ascii_end()).unwrap().tail();
            bytes.extend(line);
        }
        reread(&bytes).map(|_| ()).map_err(|e| (e.code(), e.to_string()))
    };
    let here = place("bucket", None);
    let intent = |n| intended(&here, n);
    let ready = observed(&here, not_applied(1));
    let takeover = Record::TakenOver { by: operator(), epoch: Epoch::FIRST };
    for (history, wanted) in [
        (vec![ready.clone()], "line 1 of the journal cannot be: a record of a run before any run began"),
        (vec![run_started("r"), intent(1)], "line 2 of the journal cannot be: bucket: Intend cannot follow"),
        (
            vec![run_started("r"), ready.clone(), intent(2)],
            "line 3 of the journal cannot be: bucket: attempt 2 where 1",
        ),
        (
            vec![run_started("r"), Record::RollingBack { place: here.clone(), attempt: AttemptNumber(1) }],
            "line 2 of the journal cannot be: bucket: a rollback of what was never begun",
        ),
        (
            vec![
                run_started("r"),
                Record::Failed { place: here.clone(), error: String::new() },
                Record::Trial { place: here.clone(), attempt: AttemptNumber(1) },
            ],
            "line 3 of the journal cannot be: bucket: a trial of a change that was never made",
        ),
        (vec![takeover], "line 1 of the journal cannot be: epoch 1 does not come after epoch 1"),
    ] {
        let (code, text) = write(&history).unwrap_err();
        assert_eq!(code, codes::JOURNAL_ILLEGAL);
        assert!(text.starts_with(wanted), "{text}");
    }
}

#[test]
fn every_record_is_told_after_it_is_durable() {
    let (bench, disk) = (Bench::new(), FakeDisk::default());
    let journal = bench.journal(&disk);
    let heard = Rc::new(Collect::default());
    journal.listen(heard.clone());
    for record in story() {
        journal.commit(&record).unwrap();
    }
    let heard = heard.0.borrow();
    let records: Vec<_> = heard
        .iter()
        .filter_map(|event| match event {
            Event::Recorded { record, .. } => Some(record.clone()),
            Event::PhaseBegun { .. }
            | Event::StepBegun { .. }
            | Event::Looking { .. }
            | Event::Busy { .. }
            | Event::AlreadyDone { .. }
            | Event::Found { .. }
            | Event::Stopping
            | Event::Waiting { .. }
            | Event::Waited { .. }
            | Event::NotifyFailed { .. }
            | Event::FilesChanged(_)
            | Event::MirrorBehind { .. }
            | Event::MirrorCaughtUp { .. } => None,
        })
        .collect();
    assert_eq!(records, story());
}

#[test]
fn a_real_file_is_private_and_read_without_the_lock() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    assert_eq!(Journal::read(&bench.dir()).unwrap().lines, 0);
    let (journal, _) = Journal::open(bench.lock(), bench.clock.clone()).unwrap();
    for record in story() {
        journal.commit(&record).unwrap();
    }
    let mode = |path: std::path::PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(bench.dir().journal()), 0o600);
    assert_eq!(mode(bench.dir().path().to_owned()), 0o700);
    let mut seen = 0;
    let read = Journal::read_each(&bench.dir(), |_| {
        seen += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!((read.lines, seen), (story().len() as u64, story().len()));
    assert_eq!(read.state, *journal.state());
    drop(journal);
    let (journal, report) = Journal::open(bench.lock(), bench.clock.clone()).unwrap();
    assert_eq!((report.lines, report.torn), (read.lines, None));
    assert_eq!(*journal.state(), read.state);
}

#[test]
fn the_second_one_is_told_who_holds_the_lock() {
    let bench = Bench::new();
    let first = bench.lock();
    let second = Holder::this_process(operator(), noon(), "hactl resume");
    let error = Lock::take(&bench.dir(), second.clone()).unwrap_err();
    assert_eq!((error.code(), error.code().exit()), (codes::LOCK_HELD, crate::diagnostic::Exit::Locked));
    let text = error.to_string();
    let pid = std::process::id();
    assert_eq!(
        text,
        format!(
            "another hactl works here: ada@desk (process {pid}), since 2026-11-21T12:00:00Z, with: hactl phase run 0"
        )
    );
    drop(first);
    assert!(Lock::take(&bench.dir(), second).is_ok());
}

#[test]
fn a_name_that_a_killed_holder_left_is_not_taken_for_the_holder() {
    let bench = Bench::new();
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    let stale = Holder { pid: gone.id(), ..Holder::this_process(operator(), noon(), "hactl phase run 3") };
    gone.wait().unwrap();
    let held = bench.lock();
    std::fs::write(bench.dir().lock(), serde_json::to_vec(&stale).unwrap()).unwrap();
    let text = Lock::take(&bench.dir(), stale).unwrap_err().to_string();
    assert!(text.contains("it has not said who it is; the last one known was ada@desk"), "{text}");
    drop(held);
}

#[test]
fn a_proof_no_longer_counts_where_its_step_failed_since() {
    let (bench, disk) = (Bench::new(), FakeDisk::default());
    let journal = started(&bench, &disk);
    let here = place("prove-restore", Some("prover"));
    journal.append(observed(&here, Observed::Applied(Outputs::new()))).unwrap();
    let mut proven = super::proof(journal.state().last().unwrap().1);
    proven.place = Some(here.clone());
    let (component, property) = (proven.component.clone(), proven.property.clone());
    journal.append(Record::Proven(proven)).unwrap();
    assert!(journal.state().proof(&component, &property).is_some());
    journal.append(Record::Failed { place: here, error: "the backup is damaged".into() }).unwrap();
    assert!(journal.state().proof(&component, &property).is_none());
}
