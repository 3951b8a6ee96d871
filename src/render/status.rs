//! `hactl status` as text.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::Out;
use super::words::{self, count, day, span};
use crate::engine::state::State;
use crate::proof::{Freshness, Standing};
use crate::status::{ComponentStatus, DumpStatus, PhaseStatus, PlaceStatus, PropertyStatus, Reached, Status};

/// The text, wrapped to `width`, without an end of line.
#[must_use]
pub fn text(status: &Status, now: Timestamp, out: &Out) -> String {
    let width = out.width();
    let mut text = String::new();
    let fleet = match &status.rehearsal {
        Some(lab) => format!("{}, a rehearsal in lab {lab}", status.fleet),
        None => format!("{}, the real servers", status.fleet),
    };
    let _ = writeln!(text, "{} on {fleet}", status.runbook);
    match &status.run {
        Some(run) => {
            let ago = span(now.duration_since(run.last_record));
            let _ = writeln!(
                text,
                "run {}\n  begun {} by {}, last record {ago} ago",
                run.id,
                run.began.strftime("%Y-%m-%d %H:%M"),
                run.operator
            );
        }
        None => text.push_str("no run was begun\n"),
    }
    for sentence in &status.drift {
        let _ = writeln!(text, "CHANGED: {sentence}");
    }
    if let Some(why) = &status.unreadable {
        let _ = writeln!(
            text,
            "WARNING: the files cannot be read now; the run goes on with those that it began with"
        );
        let _ = writeln!(text, "  {why}");
    }
    text.push('\n');
    for phase in &status.phases {
        describe_phase(&mut text, phase, width);
    }
    if !status.components.is_empty() {
        text.push_str("\ncomponents\n");
        for component in &status.components {
            describe_component(&mut text, component, now);
        }
    }
    if let Some(dump) = &status.dump {
        let age = |taken: &Timestamp| span(now.duration_since(*taken));
        let _ = match dump {
            DumpStatus::Fresh(taken) => writeln!(text, "\nnewest good dump: {} old", age(taken)),
            DumpStatus::Stale(taken) => {
                writeln!(text, "\nWARNING: the newest good dump is {} old, a night was missed", age(taken))
            }
            DumpStatus::None => writeln!(text, "\nWARNING: there is no good dump in the bucket"),
            DumpStatus::Unknown(why) => writeln!(text, "\nWARNING: cannot look for the newest dump: {why}"),
        };
    }
    let mut text = words::wrap(&words::clean(&text), width, 6);
    // Commands are not wrapped, so that they can be copied.
    for (index, next) in status.next.iter().enumerate() {
        text.push_str(if index == 0 { "\n\n" } else { "\n" });
        text.push_str(&out.next_move(if index == 0 { "next:  " } else { "       " }, next));
    }
    text
}

fn describe_phase(text: &mut String, phase: &PhaseStatus, width: usize) {
    let PhaseStatus { id, title, reached, places } = phase;
    let verified = places.iter().filter(|p| p.state == State::Verified).count();
    let reached = match reached {
        Reached::NotBegun => "not begun".to_owned(),
        Reached::Begun => format!("begun, {verified} of {} verified", places.len()),
        Reached::HalfTakenBack => "HALF TAKEN BACK".to_owned(),
        Reached::Done => format!("done, {verified} of {} verified", places.len()),
    };
    let _ = writeln!(text, "phase {id}: {title}: {reached}");
    if phase.reached == Reached::NotBegun && places.iter().all(|p| p.state == State::Pending) {
        return;
    }
    for PlaceStatus { place, state, why, .. } in places {
        let told = match state {
            State::InDoubt | State::Intended => "IN DOUBT".to_owned(),
            State::Failed => "FAILED".to_owned(),
            State::RollbackFailed => "ROLLBACK FAILED".to_owned(),
            State::Skipped => "skipped, unproven".to_owned(),
            state @ (State::Pending
            | State::Ready
            | State::AwaitingApproval
            | State::Applied
            | State::Verified
            | State::RollingBack
            | State::RolledBack) => state.to_string(),
        };
        let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let line = format!("  {told:<17}  {place}{why}");
        let _ = writeln!(text, "{}", words::wrap(&line, width, 21));
    }
}

fn describe_component(text: &mut String, component: &ComponentStatus, now: Timestamp) {
    let ComponentStatus { name, tier, replicas, standing, wants } = component;
    let standing = match (standing, replicas) {
        (Standing::Proven, _) => "proven",
        (Standing::WeaklyProven, _) => "WEAKLY PROVEN",
        (Standing::Stale, _) => "STALE",
        (Standing::Unproven, 0 | 1) => "UNPROVEN",
        (Standing::Unproven, _) => "redundant, UNPROVEN",
    };
    let _ = writeln!(text, "  {name}: {standing} ({}; {tier})", count(*replicas as usize, "replica"));
    for PropertyStatus { property, proof } in wants {
        let _ = match proof {
            None => writeln!(text, "    {property}: never proven"),
            Some(proof) => {
                let ago = span(now.duration_since(proof.at));
                let grade = words::grade(proof.grade);
                let (until, day) = match proof.freshness {
                    Freshness::Fresh => ("counts until", day(proof.expires)),
                    Freshness::Stale => ("STALE since", day(proof.expires)),
                };
                writeln!(text, "    {property}: proven {ago} ago ({grade}), {until} {day}")
            }
        };
    }
    if wants.is_empty() {
        text.push_str("    the runbook names no proof for it\n");
    }
}
