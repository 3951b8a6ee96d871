//! What the records say: the state of the current run.
//!
//! Invariant: pure, and the only way to a [`RunState`]. The live engine applies each line it appended by the same
//! [`RunState::apply`] that replays the file, so the two cannot disagree. A history that never comes from hactl is
//! refused, and an intent without an outcome stays what it is: turning it into a doubt is a record of its own.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::checkpoint::Checkpoint;
use super::line::Line;
use super::record::{
    Approval, AttemptNumber, Epoch, EvidenceRef, How, Mode, Operator, Place, Proof, Record, Seq,
};
use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::engine::state::{Illegal, Move, State};
use crate::name::{FleetName, PhaseId, RunId, RunbookName, StepId};

/// How far the clock may be behind a record before it is refused: clocks are set right in small steps.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_secs(2);

/// The current run, as its records describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub run: RunId,
    /// Whose servers.
    pub fleet: FleetName,
    /// Who began it.
    pub operator: Operator,
    /// Which runbook.
    pub runbook: RunbookName,
    /// The runbook's bytes, which a resume carries out.
    pub runbook_bytes: EvidenceRef,
    /// The bytes of `hactl.toml`.
    pub workspace: EvidenceRef,
    /// The version of hactl that began it, or that it was rebased onto.
    pub hactl: String,
    /// Production or rehearsal.
    pub mode: Mode,
    /// When it began.
    pub started: Timestamp,
}

/// What the journal says.
#[derive(Clone, Debug, PartialEq)]
pub struct RunState {
    run: Option<Run>,
    epoch: Epoch,
    pub(super) places: BTreeMap<Place, Checkpoint>,
    pub(super) standing: Standing,
    /// The requests whose signatures were taken, whatever became of them: each lets one change through.
    signed: BTreeSet<Digest>,
    proofs: BTreeMap<(String, String), Proof>,
    phases: BTreeSet<PhaseId>,
    last: Option<(Seq, Timestamp)>,
    /// The record with the latest time; a clock that was set back makes later records with earlier times.
    latest: Option<(Seq, Timestamp)>,
}

impl Default for RunState {
    fn default() -> Self {
        Self {
            run: None,
            epoch: Epoch::FIRST,
            places: BTreeMap::new(),
            standing: Standing::default(),
            signed: BTreeSet::new(),
            proofs: BTreeMap::new(),
            phases: BTreeSet::new(),
            last: None,
            latest: None,
        }
    }
}

/// A history that never comes from hactl.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllegalHistory {
    /// The state table says no.
    #[error("{place}: {illegal}")]
    Move {
        /// Where.
        place: Place,
        /// What.
        illegal: Illegal,
    },
    /// Attempts are numbered one after the other, and an outcome belongs to the newest one.
    #[error("{place}: attempt {found} where {wanted} belongs")]
    Attempt {
        /// Where.
        place: Place,
        /// What stands there.
        found: AttemptNumber,
        /// What belongs there.
        wanted: AttemptNumber,
    },
    /// A failed step is tried again only where its change was made.
    #[error("{0}: a trial of a change that was never made")]
    NotMade(Place),
    /// Only what hactl began to change is taken back.
    #[error("{0}: a rollback of what was never begun")]
    NotOurs(Place),
    /// It needs a run.
    #[error("a record of a run before any run began")]
    NoRun,
    /// A new run would forget what is unknown or half undone.
    #[error("a new run begins while {0} places are in doubt, under way or half undone")]
    Unsettled(usize),
    /// An epoch must rise.
    #[error("epoch {found} does not come after epoch {current}")]
    Epoch {
        /// What stands there.
        found: Epoch,
        /// The epoch so far.
        current: Epoch,
    },
}

impl RunState {
    /// The current run; none before the first one began.
    #[must_use]
    pub fn run(&self) -> Option<&Run> {
        self.run.as_ref()
    }

    /// Which machine's hold on the fleet counts.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Where a place stands; none where nothing was recorded about it.
    #[must_use]
    pub fn checkpoint(&self, place: &Place) -> Option<&Checkpoint> {
        self.places.get(place)
    }

    /// Where the places of one step stand.
    pub fn checkpoints_of(&self, step: &StepId) -> impl Iterator<Item = (&Place, &Checkpoint)> {
        let first = Place { step: step.clone(), host: None };
        self.places.range(first..).take_while(move |(place, _)| place.step == *step)
    }

    /// Every place that something was recorded about, in the order of their names.
    pub fn checkpoints(&self) -> impl Iterator<Item = (&Place, &Checkpoint)> {
        self.places.iter()
    }

    /// The approval that binds this, if it was given, was not voided by a rebase, is not used up by a change that was verified or
    /// rolled back, and has not expired at `now`.
    ///
    /// # Errors
    /// The clock is behind the journal, so that no expiry can be judged.
    pub fn approval(&self, binding: &Digest, now: Timestamp) -> Result<Option<Approval>> {
        let Some(approval) = self.standing.approvals.get(binding) else { return Ok(None) };
        self.judge_clock(now).map_err(|e| e.at(&approval.place))?;
        Ok((approval.expires > now).then(|| approval.clone()))
    }

    /// Refuses a clock that is behind a record: by it no age and no expiry can be judged.
    ///
    /// # Errors
    /// It is behind.
    pub fn judge_clock(&self, now: Timestamp) -> Result<()> {
        match self.latest {
            Some((seq, at)) if at.duration_since(now) > CLOCK_SLACK => Err(Error::new(
                codes::CLOCK_BEHIND,
                format!("the clock says {now}, but record {seq} of the journal was made at {at}"),
            )
            .state("nothing was changed; no approval and no proof can be judged by this clock")
            .next("set the clock right (timedatectl), then the same command")),
            Some(_) | None => Ok(()),
        }
    }

    /// Was a signature over the text of this digest taken before? A used or voided one does not come back.
    #[must_use]
    pub fn was_signed(&self, text: &Digest) -> bool {
        self.signed.contains(text)
    }

    /// The newest proof of each property of each component.
    pub fn proofs(&self) -> impl Iterator<Item = &Proof> {
        self.proofs.values()
    }

    /// The newest proof of a property.
    #[must_use]
    pub fn proof(&self, component: &str, property: &str) -> Option<&Proof> {
        self.proofs.get(&(component.to_owned(), property.to_owned()))
    }

    /// True once a phase was carried out to its end in this run. A rollback since then does not show here.
    #[must_use]
    pub fn phase_done(&self, phase: &PhaseId) -> bool {
        self.phases.contains(phase)
    }

    /// The number and the time of the last record.
    #[must_use]
    pub fn last(&self) -> Option<(Seq, Timestamp)> {
        self.last
    }

    /// Says whether a record may follow, without changing anything.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(&self, record: &Record) -> Result<(), IllegalHistory> {
        self.next_state(record).map(|_| ())
    }

    /// The state that the record's place comes into; none where it is about no place.
    fn next_state(&self, record: &Record) -> Result<Option<State>, IllegalHistory> {
        let needs_run = match record {
            Record::RunStarted { .. } => {
                return if self.standing.unsettled == 0 {
                    Ok(None)
                } else {
                    Err(IllegalHistory::Unsettled(self.standing.unsettled))
                };
            }
            Record::TakenOver { epoch, .. } => {
                return if *epoch > self.epoch {
                    Ok(None)
                } else {
                    Err(IllegalHistory::Epoch { found: *epoch, current: self.epoch })
                };
            }
            Record::TornTail { .. } | Record::Planned { .. } | Record::Approved(_) => false,
            Record::Resumed { .. }
            | Record::Observed { .. }
            | Record::AwaitingApproval { .. }
            | Record::Intended { .. }
            | Record::Applied { .. }
            | Record::NotStarted { .. }
            | Record::InDoubt { .. }
            | Record::Decided { .. }
            | Record::Trial { .. }
            | Record::Verified { .. }
            | Record::Failed { .. }
            | Record::Skipped { .. }
            | Record::RollingBack { .. }
            | Record::RolledBack { .. }
            | Record::RollbackFailed { .. }
            | Record::Proven(_)
            | Record::PhaseDone { .. }
            | Record::Interrupted
            | Record::Rebased { .. } => true,
        };
        if needs_run && self.run.is_none() {
            return Err(IllegalHistory::NoRun);
        }
        let (Some(place), Some(made)) = (record.place(), Move::of(record)) else { return Ok(None) };
        let pending = Checkpoint::default();
        let checkpoint = self.places.get(place).unwrap_or(&pending);
        judge(place, checkpoint, made, record.attempt()).map(Some)
    }

    /// Takes the next line in.
    ///
    /// # Errors
    /// It tells a history that never comes from hactl; then nothing is changed.
    pub fn apply(&mut self, line: Line) -> Result<(), IllegalHistory> {
        let next = self.next_state(&line.record)?;
        let at = line.at;
        self.note(line.seq, at);
        if let (Some(to), Some(place), Some(made)) = (next, line.record.place(), Move::of(&line.record)) {
            let checkpoint = match self.places.get_mut(place) {
                Some(checkpoint) => checkpoint,
                None => self.places.entry(place.clone()).or_default(),
            };
            self.standing.move_on(checkpoint, made, to, at);
            match line.record {
                Record::Approved(approval) => {
                    if let How::Signed(_) = approval.how {
                        self.signed.insert(approval.shown.digest);
                    }
                    checkpoint.approved.push(approval.binding);
                    self.standing.approvals.insert(approval.binding, approval);
                }
                record => {
                    // What failed since, or was taken back, is not proven by what once held.
                    if matches!(record, Record::Failed { .. } | Record::RolledBack { .. }) {
                        self.proofs.retain(|_, proof| proof.place.as_ref() != record.place());
                    }
                    checkpoint.keep(record);
                }
            }
            return Ok(());
        }
        self.take(line.record, at);
        Ok(())
    }

    /// A record was made then.
    pub(super) fn note(&mut self, seq: Seq, at: Timestamp) {
        self.last = Some((seq, at));
        if self.latest.is_none_or(|(_, latest)| latest <= at) {
            self.latest = self.last;
        }
    }

    fn take(&mut self, record: Record, at: Timestamp) {
        match record {
            Record::RunStarted { run, fleet, operator, runbook, runbook_bytes, workspace, hactl, mode } => {
                let same = self.run.as_ref().is_some_and(|r| r.fleet == fleet && r.runbook == runbook);
                for checkpoint in self.places.values_mut() {
                    let old = std::mem::take(checkpoint);
                    checkpoint.approved = old.approved;
                    if same {
                        checkpoint.original = old.original;
                        checkpoint.ours = old.ours;
                    }
                }
                self.places.retain(|_, c| c.ours || !c.approved.is_empty());
                self.phases.clear();
                self.run = Some(Run {
                    run,
                    fleet,
                    operator,
                    runbook,
                    runbook_bytes,
                    workspace,
                    hactl,
                    mode,
                    started: at,
                });
            }
            Record::TakenOver { epoch, .. } => self.epoch = epoch,
            Record::Proven(proof) => {
                let key = (proof.component.clone(), proof.property.clone());
                if self.proofs.get(&key).is_none_or(|old| old.at <= proof.at) {
                    self.proofs.insert(key, proof);
                }
            }
            Record::PhaseDone { phase } => {
                self.phases.insert(phase);
            }
            Record::Rebased { runbook_bytes, workspace, hactl, .. } => {
                self.standing.approvals.clear();
                self.places.values_mut().for_each(|checkpoint| checkpoint.approved.clear());
                if let Some(run) = &mut self.run {
                    run.runbook_bytes = runbook_bytes;
                    run.workspace = workspace;
                    run.hactl = hactl;
                }
            }
            Record::Resumed { .. }
            | Record::Planned { .. }
            | Record::Interrupted
            | Record::TornTail { .. }
            | Record::Observed { .. }
            | Record::AwaitingApproval { .. }
            | Record::Approved(_)
            | Record::Intended { .. }
            | Record::Applied { .. }
            | Record::NotStarted { .. }
            | Record::InDoubt { .. }
            | Record::Decided { .. }
            | Record::Trial { .. }
            | Record::Verified { .. }
            | Record::Failed { .. }
            | Record::Skipped { .. }
            | Record::RollingBack { .. }
            | Record::RolledBack { .. }
            | Record::RollbackFailed { .. } => {}
        }
    }
}

/// What the places count for together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Standing {
    /// How many places are in a state that a new run must not forget.
    unsettled: usize,
    approvals: BTreeMap<Digest, Approval>,
}

impl Standing {
    /// Moves a place on by a move that was judged legal.
    pub(super) fn move_on(&mut self, checkpoint: &mut Checkpoint, made: Move, to: State, at: Timestamp) {
        self.unsettled += usize::from(unsettled(to));
        self.unsettled -= usize::from(unsettled(checkpoint.state));
        checkpoint.move_on(made, to, at);
        // An approval lets one change through; making it once more needs another one.
        if matches!(made, Move::Verify | Move::RolledBack) {
            for binding in checkpoint.approved.drain(..) {
                self.approvals.remove(&binding);
            }
        }
    }
}

/// The state that a move brings a place into, where it and the attempt that it names may follow.
pub(super) fn judge(
    place: &Place,
    checkpoint: &Checkpoint,
    made: Move,
    attempt: Option<AttemptNumber>,
) -> Result<State, IllegalHistory> {
    let state = checkpoint
        .state
        .after(made)
        .map_err(|illegal| IllegalHistory::Move { place: place.clone(), illegal })?;
    if made == Move::Try && checkpoint.state == State::Failed && checkpoint.made.is_none() {
        return Err(IllegalHistory::NotMade(place.clone()));
    }
    if made == Move::RollBack && !checkpoint.is_ours() {
        return Err(IllegalHistory::NotOurs(place.clone()));
    }
    if let (Some(found), Some(wanted)) = (attempt, checkpoint.wanted(made))
        && found != wanted
    {
        return Err(IllegalHistory::Attempt { place: place.clone(), found, wanted });
    }
    Ok(state)
}

/// A state that a new run must not forget.
fn unsettled(state: State) -> bool {
    match state {
        State::Intended | State::InDoubt | State::RollingBack => true,
        State::Pending
        | State::Ready
        | State::AwaitingApproval
        | State::Applied
        | State::Verified
        | State::Failed
        | State::RolledBack
        | State::RollbackFailed
        | State::Skipped => false,
    }
}
