//! Where a run stands: every place, every component, and what to type next.
//!
//! Invariant: it is read from the files and the journal alone, so it is true of what hactl knows, not of the world;
//! only `plan` and `phase verify` look at the world. What the world is asked for beside it is how backups do right now.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::engine::doubt::decision_name;
use crate::engine::state::State;
use crate::journal::record::{Grade, Operator, Place};
use crate::journal::{Checkpoint, RunState, StateDir};
use crate::mirror::Note;
use crate::name::{FleetName, PhaseId, RunId, RunbookName};
use crate::proof::{self, Freshness, Standing};
use crate::runbook::{Phase, Runbook, Step};
use crate::session::Files;
use crate::workspace::Workspace;

mod backups;

pub use backups::{ArchivingStatus, BackupStatus, JobStatus, Newest};

/// Where everything stands.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Which runbook.
    pub runbook: RunbookName,
    /// Whose servers.
    pub fleet: FleetName,
    /// The lab, where this is a rehearsal.
    pub rehearsal: Option<String>,
    /// The run; none before the first one began.
    pub run: Option<RunStatus>,
    /// What changed since the run began: in the files, or hactl itself.
    pub drift: Vec<String>,
    /// Why the files cannot be read now; then nothing goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// The phases, in order.
    pub phases: Vec<PhaseStatus>,
    /// The components, in order.
    pub components: Vec<ComponentStatus>,
    /// How archiving and backups do right now, where a runbook has set them up and somebody looked.
    #[serde(flatten)]
    pub backups: Option<BackupStatus>,
    /// How far the mirror is, where the workspace has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<MirrorStatus>,
    /// What to type next, the first one first.
    pub next: Vec<String>,
}

/// How far the mirror is, as far as this machine knows.
#[derive(Clone, Debug, Serialize)]
pub struct MirrorStatus {
    /// Its address.
    pub url: String,
    /// The last record that it holds; 0 where it was never written.
    pub seq: u64,
    /// How many records of the journal it lacks.
    pub behind: u64,
    /// When that was known.
    pub at: Option<Timestamp>,
    /// Why it could not be brought up to date.
    pub trouble: Option<String>,
}

impl MirrorStatus {
    /// What was noted when this machine last wrote there; none where the workspace has no mirror.
    #[must_use]
    pub fn of(workspace: &Workspace, state: &RunState) -> Option<Self> {
        let url = workspace.mirror.as_ref()?.url().to_string();
        let note = Note::of(&StateDir::of(&workspace.root)).filter(|note| note.address == url);
        let seq = note.as_ref().map_or(0, |note| note.seq.0);
        let last = state.last().map_or(0, |(seq, _)| seq.0);
        let (at, trouble) = note.map_or((None, None), |note| (Some(note.at), note.trouble));
        Some(Self { url, seq, behind: last.saturating_sub(seq), at, trouble })
    }
}

/// The run.
#[derive(Clone, Debug, Serialize)]
pub struct RunStatus {
    /// Its id.
    pub id: RunId,
    /// Who began it.
    pub operator: Operator,
    /// When.
    pub began: Timestamp,
    /// When something was recorded last.
    pub last_record: Timestamp,
}

/// A phase.
#[derive(Clone, Debug, Serialize)]
pub struct PhaseStatus {
    /// Its id.
    pub id: PhaseId,
    /// Its title.
    pub title: String,
    /// How far it is.
    pub reached: Reached,
    /// Its places, in order.
    pub places: Vec<PlaceStatus>,
}

/// How far a phase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reached {
    /// Nothing of it was begun, or all of it was taken back.
    NotBegun,
    /// Some of it was begun.
    Begun,
    /// A rollback of it was begun and not finished; nothing was run since.
    HalfTakenBack,
    /// Every place is verified or skipped.
    Done,
}

/// A place.
#[derive(Clone, Debug, Serialize)]
pub struct PlaceStatus {
    /// Where.
    pub place: Place,
    /// Its state.
    #[serde(serialize_with = "as_text")]
    pub state: State,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Why, where it failed, is in doubt or was skipped.
    pub why: Option<String>,
}

/// A component.
#[derive(Clone, Debug, Serialize)]
pub struct ComponentStatus {
    /// Its name.
    pub name: String,
    /// How much it matters.
    pub tier: String,
    /// How many of it there are meant to be.
    pub replicas: u32,
    /// Whether what is promised of it was shown to hold.
    pub standing: Standing,
    /// What it wants proven.
    pub wants: Vec<PropertyStatus>,
}

/// A property that a component wants proven.
#[derive(Clone, Debug, Serialize)]
pub struct PropertyStatus {
    /// Which.
    pub property: String,
    /// Its newest proof.
    pub proof: Option<ProofStatus>,
}

/// What `status` says of a proof.
#[derive(Clone, Debug, Serialize)]
pub struct ProofStatus {
    /// Whether it still counts.
    pub freshness: Freshness,
    /// How strong it is.
    pub grade: Grade,
    /// When it was taken.
    pub at: Timestamp,
    /// Until when it counts.
    pub expires: Timestamp,
}

/// A proof that expires sooner than this is said to do so soon.
const SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

fn as_text<S: serde::Serializer>(state: &State, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(state)
}

/// The places of a step: every host of its role, or none.
#[must_use]
pub fn places(workspace: &Workspace, step: &Step) -> Vec<Place> {
    let place = |host| Place { step: step.id.clone(), host };
    match &step.on {
        None => vec![place(None)],
        Some(role) => workspace.hosts_in(role).map(|host| place(Some(host.name.clone()))).collect(),
    }
}

impl Status {
    /// The same, with what looking at the backups found; their troubles come first in what to do next.
    #[must_use]
    pub fn with(mut self, backups: BackupStatus, now: Timestamp) -> Self {
        let troubles = backups.next(now);
        if !troubles.is_empty() {
            self.next.retain(|next| !next.starts_with("nothing"));
            self.next.splice(0..0, troubles);
        }
        Self { backups: Some(backups), ..self }
    }

    /// The same, with how far the mirror is; one that is behind comes first in what to do next.
    #[must_use]
    pub fn with_mirror(mut self, mirror: Option<MirrorStatus>) -> Self {
        if mirror.as_ref().is_some_and(|mirror| mirror.behind > 0) {
            self.next.insert(0, "hactl journal mirror    (brings the mirror up to date)".to_owned());
        }
        Self { mirror, ..self }
    }

    /// Reads it off.
    #[must_use]
    pub fn of(
        workspace: &Workspace,
        runbook: &Runbook,
        state: &RunState,
        files: &Files,
        now: Timestamp,
    ) -> Self {
        let drift = files.changes.told();
        let phases: Vec<_> =
            runbook.phases.iter().map(|phase| phase_status(workspace, phase, state)).collect();
        let components: Vec<_> = runbook.components.iter().map(|c| component_status(c, state, now)).collect();
        let run = state.run().map(|run| RunStatus {
            id: run.run.clone(),
            operator: run.operator.clone(),
            began: run.started,
            last_record: state.last().map_or(run.started, |(_, at)| at),
        });
        let mut next = next(&run, &drift, &phases, &components, now);
        if drift.is_empty() {
            next.extend(left_out(&phases));
        }
        Self {
            runbook: runbook.name.clone(),
            fleet: workspace.fleet.clone(),
            rehearsal: workspace.lab.clone(),
            run,
            drift,
            unreadable: files.unreadable.clone(),
            phases,
            components,
            backups: None,
            mirror: None,
            next,
        }
    }
}

fn phase_status(workspace: &Workspace, phase: &Phase, state: &RunState) -> PhaseStatus {
    let places: Vec<_> = phase
        .steps
        .iter()
        .flat_map(|step| places(workspace, step))
        .map(|place| {
            let checkpoint = state.checkpoint(&place);
            PlaceStatus {
                state: checkpoint.map_or(State::Pending, |c| c.state),
                since: checkpoint.and_then(|c| c.since),
                why: checkpoint.and_then(|c| c.why.clone()),
                place,
            }
        })
        .collect();
    let ended = places.iter().all(|p| matches!(p.state, State::Verified | State::Skipped));
    let untouched = places.iter().all(|p| matches!(p.state, State::Pending | State::RolledBack));
    let newest = places.iter().max_by_key(|place| place.since);
    let retreating = newest.is_some_and(|place| {
        matches!(place.state, State::RollingBack | State::RolledBack | State::RollbackFailed)
    });
    // What this run did not make stays as it is in a rollback, and does not make it unfinished.
    let standing = places
        .iter()
        .any(|p| p.state != State::RolledBack && state.checkpoint(&p.place).is_some_and(Checkpoint::is_ours));
    let untouched = untouched || (retreating && !standing);
    let reached = match (untouched, ended) {
        // A phase without places is done once it was run.
        (true, _) if !state.phase_done(&phase.id) || !places.is_empty() => Reached::NotBegun,
        (_, true) => Reached::Done,
        (_, false) if retreating => Reached::HalfTakenBack,
        (_, false) => Reached::Begun,
    };
    PhaseStatus { id: phase.id.clone(), title: phase.title.clone(), reached, places }
}

fn component_status(
    component: &crate::runbook::Component,
    state: &RunState,
    now: Timestamp,
) -> ComponentStatus {
    let wanted = proof::wanted(component, state);
    ComponentStatus {
        name: component.name.to_string(),
        tier: component.tier.clone(),
        replicas: component.replicas,
        standing: proof::standing(&wanted, now),
        wants: wanted
            .into_iter()
            .map(|wanted| PropertyStatus {
                property: wanted.property.to_owned(),
                proof: wanted.proof.map(|proof| ProofStatus {
                    freshness: proof::freshness(proof, now),
                    grade: proof.grade,
                    at: proof.at,
                    expires: proof.expires,
                }),
            })
            .collect(),
    }
}

/// How to do later what was left out; once for each step.
fn left_out(phases: &[PhaseStatus]) -> Vec<String> {
    let mut commands = Vec::new();
    for phase in phases {
        for place in phase.places.iter().filter(|place| place.state == State::Skipped) {
            let step = &place.place.step;
            let command = format!("hactl phase run {} --step {step}    (does what was skipped)", phase.id);
            if !commands.contains(&command) {
                commands.push(command);
            }
        }
    }
    commands
}

/// What to type next: what is unsettled first, then what was begun, then what comes after it.
fn next(
    run: &Option<RunStatus>,
    drift: &[String],
    phases: &[PhaseStatus],
    components: &[ComponentStatus],
    now: Timestamp,
) -> Vec<String> {
    let mut next = Vec::new();
    if !drift.is_empty() {
        next.push("hactl plan --dry-run    (what the changed files would do)".to_owned());
        next.push("hactl plan --rebase    (accepts the changes, records that, and only looks)".to_owned());
        next.push("or: hactl resume --rebase    (accepts them and goes on)".to_owned());
        return next;
    }
    let resume = "hactl resume";
    for phase in phases {
        for PlaceStatus { place, state, .. } in &phase.places {
            match state {
                State::Intended | State::InDoubt => {
                    next.push(format!("{resume}    (looks at what became of {place})"));
                    next.push(format!(
                        "where it cannot tell: {resume} --decide {}=applied, or =not-applied",
                        decision_name(place)
                    ));
                    return next;
                }
                State::RollingBack | State::RollbackFailed => {
                    next.push(format!("hactl phase rollback {}    (finishes taking back {place})", phase.id));
                    return next;
                }
                State::AwaitingApproval => {
                    next.push(format!("{resume}    (asks for the approval of {place})"));
                    return next;
                }
                State::Failed => {
                    next.push(format!("mend what made {place} fail, then: {resume}"));
                    return next;
                }
                State::Pending
                | State::Ready
                | State::Applied
                | State::Verified
                | State::RolledBack
                | State::Skipped => {}
            }
        }
    }
    match phases.iter().find(|phase| phase.reached != Reached::Done) {
        Some(phase) if phase.reached == Reached::Begun => {
            next.push(format!("{resume}    (goes on with phase {})", phase.id));
        }
        Some(phase) if phase.reached == Reached::HalfTakenBack => {
            next.push(format!("hactl phase rollback {}    (finishes taking it back)", phase.id));
            next.push(format!("or: hactl phase run {}    (builds it again)", phase.id));
        }
        Some(phase) => {
            next.push(format!("hactl plan --phase {}    (looks, changes nothing)", phase.id));
            next.push(format!("hactl phase run {}", phase.id));
        }
        None if run.is_some() => {
            let ends_soon = components.iter().flat_map(|c| &c.wants).filter_map(|w| w.proof.as_ref());
            let mut ends: Vec<_> = ends_soon.map(|proof| proof.expires).collect();
            ends.sort_unstable();
            let last = phases.last().map_or("0", |phase| phase.id.as_str());
            match ends.first() {
                Some(first) if first.duration_since(now) < SOON => {
                    next.push(format!("hactl phase verify {last}    (takes the proofs again)"));
                }
                Some(_) | None => next.push("nothing: every phase is done".to_owned()),
            }
        }
        None => {}
    }
    next
}

#[cfg(test)]
mod tests;
