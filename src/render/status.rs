//! `hactl status` as text.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::Out;
use super::words::{self, count, day, size, span};
use crate::backups::{Archiving, Trouble};
use crate::engine::state::State;
use crate::proof::{Freshness, Standing};
use crate::status::{
    ArchivingStatus, BackupStatus, ComponentStatus, JobStatus, MirrorStatus, Newest, PhaseStatus,
    PlaceStatus, PropertyStatus, Reached, Status,
};

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
            "WARNING: the files cannot be read now, and nothing goes on before they can (hactl check)"
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
    if let Some(backups) = &status.backups {
        text.push('\n');
        describe_backups(&mut text, backups, now);
    }
    if let Some(mirror) = &status.mirror {
        text.push('\n');
        describe_mirror(&mut text, mirror, now);
    }
    let mut text = words::wrap(&words::clean(&text), width, 6);
    // Commands are not wrapped, so that they can be copied.
    for (index, next) in status.next.iter().enumerate() {
        text.push_str(if index == 0 { "\n\n" } else { "\n" });
        text.push_str(&out.next_move(if index == 0 { "next:  " } else { "       " }, next));
    }
    text
}

fn describe_mirror(text: &mut String, mirror: &MirrorStatus, now: Timestamp) {
    let MirrorStatus { url, seq, behind, at, trouble } = mirror;
    let ago = at.map(|at| format!(", {} ago", span(now.duration_since(at)))).unwrap_or_default();
    let _ = match (behind, seq) {
        (0, seq) => writeln!(text, "mirror {url}: holds every record, up to {seq}{ago}"),
        (behind, _) => writeln!(text, "mirror {url}: LACKS {behind} of the records{ago}"),
    };
    if let Some(trouble) = trouble {
        let _ = writeln!(text, "  {trouble}");
    }
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

fn describe_backups(text: &mut String, backups: &BackupStatus, now: Timestamp) {
    let BackupStatus { archiving, base_backup, dump, jobs } = backups;
    if let Some((host, archiving)) = archiving {
        let _ = match archiving {
            ArchivingStatus::Known(archiving) => writeln!(text, "{}", self::archiving(archiving, now)),
            ArchivingStatus::Unknown(why) => {
                writeln!(text, "WARNING: cannot ask {host} how archiving does: {why}")
            }
        };
    }
    for (what, newest) in [("base backup", base_backup), ("dump", dump)] {
        let age = |taken: &Timestamp| span(now.duration_since(*taken));
        let _ = match newest {
            None => Ok(()),
            Some(Newest::Fresh(taken)) => writeln!(text, "newest good {what}: {} old", age(taken)),
            Some(Newest::Stale(taken)) => {
                writeln!(text, "WARNING: the newest good {what} is {} old, a night was missed", age(taken))
            }
            Some(Newest::None) => writeln!(text, "WARNING: there is no good {what} in the bucket"),
            Some(Newest::Unknown(why)) => {
                writeln!(text, "WARNING: cannot look for the newest {what}: {why}")
            }
        };
    }
    for JobStatus { host, unit, trouble, next: _ } in jobs {
        let _ = writeln!(text, "WARNING: {unit} on {host} {trouble}");
    }
}

/// How archiving does, in one sentence; a warning where something is wrong.
fn archiving(archiving: &Archiving, now: Timestamp) -> String {
    let seen = seen_of_archiving(archiving, now);
    match trouble_with_archiving(archiving, now) {
        None => format!("archiving: {seen}"),
        Some(trouble) => format!("WARNING: archiving {trouble}: {seen}"),
    }
}

/// What is wrong with archiving, as it follows the word.
#[must_use]
pub fn trouble_with_archiving(archiving: &Archiving, now: Timestamp) -> Option<String> {
    const FULL: &str = "PostgreSQL stops when its disk is full";
    archiving.trouble(now).map(|trouble| match trouble {
        Trouble::Off => "is OFF, so nothing is archived".to_owned(),
        Trouble::Failing { segment } => format!("FAILS at {segment} ({FULL})"),
        Trouble::Stuck => format!("stands still ({FULL})"),
        Trouble::LittleSpace => format!("has little space left ({FULL})"),
    })
}

/// What is seen of archiving.
#[must_use]
pub fn seen_of_archiving(archiving: &Archiving, now: Timestamp) -> String {
    let ago = |at: Timestamp| format!("{} ago", span(now.duration_since(at)));
    let newest = archiving
        .last_archived
        .map_or("no segment archived yet".to_owned(), |at| format!("newest segment archived {}", ago(at)));
    let waiting = match archiving.waiting {
        0 => "none waiting".to_owned(),
        waiting => format!("{waiting} waiting"),
    };
    let failed = match (&archiving.last_failed, usize::try_from(archiving.failed)) {
        (Some((at, _)), Ok(failures @ 1..)) => {
            format!("{}, the last {}", count(failures, "failure"), ago(*at))
        }
        (Some(_) | None, _) => "no failure".to_owned(),
    };
    let (wal, free) = (size(archiving.wal_bytes), size(archiving.free));
    format!("{newest}, {waiting}, {failed}; pg_wal has {wal}, {free} are free there")
}
