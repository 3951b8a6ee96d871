//! The engine sweep: synthetic steps over a model world, killed after every record, inside every record, in every call
//! that touches the world, and again during the resume; with every fault that a change can meet.
//!
//! Asserted of every history: an effect comes only after its intent is durable, a one-shot effect happens at most
//! once, what cannot be known stops and asks, and in the end the world and the journal agree. The controls at the end
//! take one guard away each, and must see the sweep fail.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by panicking")]

mod places;
mod sweep;
mod world;

use hactl::journal::record::Place;
use hactl::runbook::Gate;

use sweep::{Job, Sweep, place};
use world::{Fault, Guard, Kind, Lands, Model};

fn here() -> Option<Place> {
    Some(place("step", Some("node-1")))
}

/// Sweeps one step of a kind under every fault.
fn every_fault(kind: Kind, job: Job, depth: usize) {
    let (mut wrong, mut histories) = (Vec::new(), 0);
    for fault in Fault::ALL {
        for lands in [Lands::Early, Lands::Late] {
            let sweep = Sweep::one(kind, Gate::None);
            wrong.extend(sweep.sweep(&Model::new(fault, here(), lands, None), job, depth));
            histories += *sweep.histories.borrow();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(histories > 300, "only {histories} histories");
}

macro_rules! sweeps {
    ($($name:ident = $kind:ident, $job:ident;)*) => {$(
        #[test]
        fn $name() {
            every_fault(Kind::$kind, Job::$job, 1);
        }
    )*};
}

sweeps! {
    a_value_is_set = Set, Run;
    a_value_is_set_and_taken_back = Set, RollBack;
    two_halves_are_set = Halves, Run;
    two_halves_are_set_and_taken_back = Halves, RollBack;
    a_restart_happens_once = Restart, Run;
    a_restart_is_verified_again = Restart, Verify;
    two_halves_are_verified_again = Halves, Verify;
    a_value_is_given_up = Set, GiveUp;
    two_halves_are_given_up = Halves, GiveUp;
    a_restart_is_given_up = Restart, GiveUp;
    an_insert_is_given_up = Insert, GiveUp;
    what_leaves_no_trace_is_given_up = Blind, GiveUp;
    an_insert_happens_once = Insert, Run;
    what_leaves_no_trace_happens_once_or_asks = Blind, Run;
}

/// Killed, resumed, killed again in the resume, and resumed.
fn killed_twice(kind: Kind, fault: Fault, job: Job) {
    let sweep = Sweep::one(kind, Gate::None);
    let wrong = sweep.sweep(&Model::new(fault, here(), Lands::Late, None), job, 2);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let histories = *sweep.histories.borrow();
    assert!(histories > 200, "only {histories} histories");
}

#[test]
fn a_restart_is_killed_again_during_the_resume() {
    killed_twice(Kind::Restart, Fault::Nothing, Job::Run);
}

#[test]
fn a_restart_whose_command_is_on_its_way_is_killed_again_during_the_resume() {
    killed_twice(Kind::Restart, Fault::DropBefore, Job::Run);
}

#[test]
fn a_half_made_change_is_killed_again_during_the_resume() {
    killed_twice(Kind::Halves, Fault::FailHalfway, Job::Run);
}

#[test]
fn what_leaves_no_trace_is_killed_again_during_the_resume() {
    killed_twice(Kind::Blind, Fault::Nothing, Job::Run);
}

#[test]
fn taking_back_is_killed_again_during_the_next_attempt() {
    killed_twice(Kind::Halves, Fault::Nothing, Job::RollBack);
}

#[test]
fn giving_up_is_killed_as_well() {
    for (kind, fault) in [
        (Kind::Set, Fault::DropBefore),
        (Kind::Halves, Fault::FailHalfway),
        (Kind::Insert, Fault::DropAfter),
        (Kind::Blind, Fault::DropBefore),
    ] {
        killed_twice(kind, fault, Job::GiveUp);
    }
}

#[test]
fn an_insert_that_hangs_is_killed_again_during_the_resume() {
    killed_twice(Kind::Insert, Fault::HangBefore, Job::Run);
}

#[test]
fn a_value_whose_command_arrives_twice_is_killed_again_during_the_resume() {
    killed_twice(Kind::Set, Fault::Twice, Job::Run);
}

/// A phase of all kinds, fanned out and gated, with a fault in each of its places.
fn runbook() -> Sweep {
    Sweep::new(&[
        ("set", Kind::Set, &["node-1", "node-2", "node-3"], Gate::None),
        ("halves", Kind::Halves, &["node-1", "node-2"], Gate::Confirm),
        ("restart", Kind::Restart, &["node-1"], Gate::Confirm),
        ("insert", Kind::Insert, &[], Gate::Type),
        ("blind", Kind::Blind, &["node-2"], Gate::Confirm),
        ("look", Kind::Look, &["node-1", "node-2"], Gate::None),
    ])
}

#[test]
fn a_whole_phase_is_killed_anywhere() {
    let sweep = runbook();
    for job in [Job::Run, Job::Verify, Job::RollBack, Job::GiveUp] {
        let wrong = sweep.sweep(&Model::new(Fault::Nothing, None, Lands::Late, None), job, 1);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[test]
fn a_whole_phase_meets_every_fault_in_every_place() {
    let sweep = runbook();
    for place in sweep.kinds.keys() {
        for fault in Fault::ALL {
            for lands in [Lands::Early, Lands::Late] {
                for job in [Job::Run, Job::Verify, Job::RollBack] {
                    let wrong = sweep.sweep(&Model::new(fault, Some(place.clone()), lands, None), job, 0);
                    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
                }
            }
        }
    }
}

/// EIO, a full disk, a short write and a signal in every write and every fsync of the journal.
fn every_fault_of_the_disk(kind: Kind) {
    let sweep = Sweep::one(kind, Gate::None);
    for job in [Job::Run, Job::Verify, Job::RollBack] {
        let wrong = sweep.sweep_disk(&Model::new(Fault::Nothing, None, Lands::Late, None), job);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
    let histories = *sweep.histories.borrow();
    assert!(histories > 120, "only {histories} histories");
}

#[test]
fn a_disk_that_fails_stops_every_kind_before_its_effect() {
    for kind in [Kind::Set, Kind::Halves, Kind::Restart, Kind::Insert, Kind::Blind] {
        every_fault_of_the_disk(kind);
    }
}

#[test]
fn a_disk_that_fails_stops_a_whole_phase() {
    let sweep = runbook();
    for job in [Job::Run, Job::RollBack] {
        let wrong = sweep.sweep_disk(&Model::new(Fault::Nothing, None, Lands::Late, None), job);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// With a mirror: killed anywhere, also in each call to the bucket, and each time gone on with twice, by the machine and
/// by another one that has only what the bucket holds.
fn mirrored(kind: Kind, fault: Fault, job: Job) {
    let sweep = Sweep::one(kind, Gate::Confirm);
    let wrong = sweep.sweep(&Model::new(fault, here(), Lands::Late, None).mirrored(), job, 1);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let histories = *sweep.histories.borrow();
    assert!(histories > 40, "only {histories} histories");
}

#[test]
fn a_machine_with_a_mirror_is_killed_or_lost_anywhere() {
    for kind in [Kind::Set, Kind::Halves, Kind::Restart, Kind::Insert, Kind::Blind] {
        for fault in [Fault::Nothing, Fault::DropBefore] {
            mirrored(kind, fault, Job::Run);
        }
    }
}

#[test]
fn a_machine_with_a_mirror_is_killed_or_lost_while_it_takes_back() {
    for kind in [Kind::Set, Kind::Halves] {
        mirrored(kind, Fault::Nothing, Job::RollBack);
    }
}

#[test]
fn a_whole_phase_with_a_mirror_is_killed_or_lost_anywhere() {
    let sweep = runbook();
    let wrong = sweep.sweep(&Model::new(Fault::Nothing, None, Lands::Late, None).mirrored(), Job::Run, 1);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_bucket_that_is_not_reached_stops_every_kind_before_its_effect() {
    for kind in [Kind::Set, Kind::Halves, Kind::Restart, Kind::Insert, Kind::Blind] {
        let sweep = Sweep::one(kind, Gate::Confirm);
        for job in [Job::Run, Job::RollBack] {
            let model = Model::new(Fault::Nothing, None, Lands::Late, None).mirrored();
            let wrong = sweep.sweep_bucket(&model, job);
            assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        }
        let histories = *sweep.histories.borrow();
        assert!(histories > 20, "only {histories} histories");
    }
}

#[test]
fn control_an_effect_that_the_mirror_does_not_know_of_is_noticed() {
    let sweep = Sweep::one(Kind::Set, Gate::None);
    let model = |without| Model::new(Fault::Nothing, here(), Lands::Late, without).mirrored();
    let wrong = sweep.sweep(&model(Some(Guard::Mirror)), Job::Run, 0);
    assert!(wrong.iter().any(|what| what.contains("before its record was in the mirror")), "{wrong:?}");
}

#[test]
fn control_a_disk_that_swallows_a_failed_fsync_is_noticed() {
    let sweep = Sweep::one(Kind::Set, Gate::None);
    let wrong =
        sweep.sweep_disk(&Model::new(Fault::Nothing, None, Lands::Late, Some(Guard::Fsync)), Job::Run);
    assert!(wrong.iter().any(|what| what.contains("before its record was durable")), "{wrong:?}");
}

/// The control of the sweep itself: with a guard taken away it must find something wrong.
fn without(guard: Guard, kind: Kind, fault: Fault, job: Job, expected: &str) {
    let sweep = Sweep::one(kind, Gate::None);
    let model = |without| Model::new(fault, here(), Lands::Late, without);
    assert_eq!(sweep.sweep(&model(None), job, 1), [""; 0], "with the guard nothing is wrong");
    let wrong = sweep.sweep(&model(Some(guard)), job, 1);
    assert!(wrong.iter().any(|what| what.contains(expected)), "without {guard:?}: {wrong:?}");
}

#[test]
fn control_observing_that_lies_is_noticed() {
    without(Guard::HonestObserve, Kind::Insert, Fault::Nothing, Job::Run, "happened 2 times");
}

#[test]
fn control_observing_without_what_was_seen_before_is_noticed() {
    without(Guard::UsesBefore, Kind::Restart, Fault::Nothing, Job::Run, "happened 2 times");
}

#[test]
fn control_a_claim_that_is_taken_twice_is_noticed() {
    without(Guard::Claims, Kind::Restart, Fault::Twice, Job::Run, "happened 2 times");
}

#[test]
fn control_a_claim_that_is_not_voided_is_noticed() {
    without(Guard::Voids, Kind::Restart, Fault::DropBefore, Job::Run, "happened 2 times");
}

#[test]
fn control_an_fsync_that_lies_is_noticed() {
    without(Guard::Fsync, Kind::Set, Fault::Nothing, Job::Run, "before its record was durable");
}

#[test]
fn control_restoring_what_the_newest_intent_saw_is_noticed() {
    let sweep = Sweep::one(Kind::Halves, Gate::None);
    let taken_back = |without| {
        let mut model = Model::new(Fault::FailHalfway, here(), Lands::Late, without);
        let bytes = sweep.carry_through(&mut model, &[], Job::Run, "run");
        sweep.carry_through(&mut model, &bytes, Job::RollBack, "roll back");
        sweep.wrong.take()
    };
    assert_eq!(taken_back(None), [""; 0], "with the guard nothing is wrong");
    let wrong = taken_back(Some(Guard::FirstBefore));
    assert!(wrong.iter().any(|what| what.contains("ends as")), "{wrong:?}");
}
