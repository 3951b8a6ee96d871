use proptest::prelude::*;

use super::super::record::{AttemptNumber, Before, Epoch, OutputValue, Outputs, Place, Record};
use super::{
    Bench, FakeDisk, Observed, approval, change, evidence, intended, operator, place, proof, reread,
    run_started,
};
use crate::digest::Digest;
use crate::name::{OutputName, PhaseId};

/// What goes into a record beside its kind and its place.
#[derive(Clone, Debug)]
struct Stuff {
    text: String,
    figure: f64,
    number: i64,
    pick: u8,
}

fn stuff() -> impl Strategy<Value = Stuff> {
    (".{0,12}", proptest::num::f64::NORMAL, any::<i64>(), any::<u8>())
        .prop_map(|(text, figure, number, pick)| Stuff { text, figure, number, pick })
}

fn outputs(stuff: &Stuff) -> Outputs {
    [("text", OutputValue::String(stuff.text.clone())), ("number", OutputValue::Integer(stuff.number))]
        .map(|(name, value)| (OutputName::new(name).unwrap(), value))
        .into()
}

fn seen(stuff: &Stuff) -> Observed {
    match stuff.pick % 4 {
        0 => Observed::Applied(outputs(stuff)),
        1 => Observed::Running(stuff.text.clone()),
        2 => Observed::Indeterminate(stuff.text.clone()),
        _ => Observed::NotApplied {
            change: change(&stuff.text),
            before: Before(serde_json::json!({ "t": stuff.text, "f": stuff.figure, "n": stuff.number })),
        },
    }
}

fn record(kind: &str, place: &Place, attempts: [AttemptNumber; 3], stuff: &Stuff) -> Record {
    let (place, why) = (place.clone(), stuff.text.clone());
    let [attempt, trial, rollback] = attempts;
    match kind {
        "run_started" => run_started("run"),
        "resumed" => Record::Resumed { operator: operator(), command: why },
        "taken_over" => Record::TakenOver { by: operator(), epoch: Epoch(u32::from(stuff.pick)) },
        "torn_tail" => Record::TornTail { bytes: u64::from(stuff.pick) },
        "planned" => Record::Planned { plan: Digest::of(why) },
        "observed" => Record::Observed { place, observed: seen(stuff) },
        "awaiting_approval" => Record::AwaitingApproval { place, binding: Digest::of(why) },
        "approved" => Record::Approved(approval(&place, if stuff.pick < 128 { "a" } else { "b" })),
        "intended" => intended(&place, attempt.next().0),
        "applied" => Record::Applied { place, attempt, outputs: outputs(stuff) },
        "not_started" => Record::NotStarted { place, attempt, error: why },
        "in_doubt" => Record::InDoubt { place, attempt, why },
        "decided" => Record::Decided { place, attempt, observed: seen(stuff), by: Some(operator()) },
        "trial" => Record::Trial { place, attempt: trial.next() },
        "verified" => Record::Verified {
            place,
            evidence: vec![evidence(&why)],
            facts: vec![why],
            outputs: outputs(stuff),
        },
        "failed" => Record::Failed { place, error: why },
        "skipped" => Record::Skipped { place, reason: why, by: operator() },
        "rolling_back" => Record::RollingBack { place, attempt: rollback.next() },
        "rolled_back" => Record::RolledBack { place },
        "rollback_failed" => Record::RollbackFailed { place, error: why },
        "proven" => {
            let mut proof = proof(super::noon());
            proof.property = why;
            proof.measured.insert("figure".to_owned(), stuff.figure);
            Record::Proven(proof)
        }
        "phase_done" => Record::PhaseDone { phase: PhaseId::new("0").unwrap() },
        "interrupted" => Record::Interrupted,
        "rebased" => {
            let (runbook_bytes, workspace) = (evidence(&why), evidence("hactl.toml"));
            Record::Rebased { runbook_bytes, workspace, hactl: why, by: operator() }
        }
        other => panic!("no record of the kind {other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn replaying_any_accepted_sequence_gives_the_live_state(
        tries in proptest::collection::vec((0..Record::KINDS.len(), 0..3usize, stuff()), 1..120),
    ) {
        let (bench, disk) = (Bench::new(), FakeDisk::default());
        let journal = bench.journal(&disk);
        journal.append(run_started("first")).unwrap();
        let places = [place("a", None), place("b", Some("node-1")), place("b", Some("node-2"))];
        let mut accepted = 1;
        for (kind, at, stuff) in tries {
            let at = &places[at];
            let attempts = journal
                .state()
                .checkpoint(at)
                .map_or([AttemptNumber(0); 3], |c| [c.attempt, c.trial, c.rollback]);
            let next = record(Record::KINDS[kind], at, attempts, &stuff);
            let before = journal.state();
            match journal.commit(&next) {
                Ok(_) => accepted += 1,
                Err(_) => prop_assert_eq!(&before, &journal.state(), "a refused record changes nothing"),
            }
            bench.clock.advance(jiff::SignedDuration::from_millis(700));
        }
        let replayed = reread(&disk.durable()).unwrap();
        prop_assert_eq!(replayed.lines, accepted);
        prop_assert_eq!(&replayed.state, &*journal.state());
    }
}
