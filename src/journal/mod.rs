//! The append-only state file: what is on disk, how it gets there, and what replaying it yields.
//!
//! Invariant: a record is durable before [`Journal::append`] returns, and the tokens that let anything touch a host
//! ([`IntentRecorded`], [`TrialRecorded`], [`RollbackRecorded`]) are made here only, after that. What may follow
//! what is [`crate::engine::state`]; who may approve is [`crate::engine::gate`].

use std::cell::{Cell, RefCell};
use std::fmt;
use std::fs::File;
use std::io;
use std::rc::Rc;

use crate::clock::Clock;
use crate::diagnostic::{Error, Result, codes};
use crate::engine::gate::Cleared;
use crate::event::{Event, Listener};
use crate::mirror::Mirror;
use crate::name::{HostName, RunId};
use crate::redact::Redactor;

mod batch;
pub mod checkpoint;
mod clean;
pub mod dir;
pub mod disk;
pub mod fake;
mod file;
mod hold;
pub mod line;
mod lines;
pub mod lock;
mod mirrored;
mod reading;
pub mod record;
pub mod replay;
mod skim;
mod token;

pub use checkpoint::Checkpoint;
pub use dir::StateDir;
pub use hold::Hold;
pub use line::{Line, Tail};
pub use lines::Lines;
pub use lock::{Holder, Lock};
pub use reading::Replayed;
pub use replay::{Run, RunState};
pub use token::{AttemptLabel, IntentRecorded, Purpose, RollbackRecorded, TrialRecorded, Warrant};

use disk::{Disk, RealFile};
use file::Log;
use record::{AttemptNumber, Place, Record, Seq};
use token::Ground;

/// The journal in the hands of its only writer.
///
/// Used through `&self` by everything that runs on the one thread; an append is one short synchronous call.
pub struct Journal {
    log: RefCell<Log>,
    state: RefCell<Rc<RunState>>,
    clock: Rc<dyn Clock>,
    listener: RefCell<Option<Rc<dyn Listener>>>,
    redactor: Redactor,
    lock: Lock,
    hold: Rc<Hold>,
    mirror: RefCell<Option<Rc<Mirror>>>,
    /// True once somebody was told that the mirror is behind.
    behind: Cell<bool>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("lock", &self.lock).field("log", &self.log).finish_non_exhaustive()
    }
}

/// What opening a journal found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many whole lines it had.
    pub lines: u64,
    /// The length of an incomplete last line that was cut off, in bytes.
    pub torn: Option<u64>,
}

impl Journal {
    /// Opens the workspace's journal for appending, and makes it where it is missing. An incomplete last line is cut
    /// off, and that is recorded.
    ///
    /// # Errors
    /// It is damaged, from a newer hactl, cannot be read or written, or the clock is behind it.
    pub fn open(lock: Lock, clock: Rc<dyn Clock>) -> Result<(Self, Report)> {
        let path = lock.dir().journal();
        let disk = RealFile::open(&path).map_err(|e| {
            Error::new(codes::JOURNAL_READ, format!("failed to open {}", path.display())).source(e)
        })?;
        Self::open_on(Box::new(disk), lock, clock)
    }

    /// The same on another [`Disk`], for tests that fail it or lose what was not durable.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(mut disk: Box<dyn Disk>, lock: Lock, clock: Rc<dyn Clock>) -> Result<(Self, Report)> {
        let mut lines = Lines::new(disk.read().map_err(lines::unreadable)?);
        let Replayed { state, lines: count, torn } = reading::replay(&mut lines)?;
        // Before anything is recorded: a record made by this clock would hide that it is behind.
        state.judge_clock(clock.now())?;
        let (tail, length) = (lines.tail(), lines.length());
        drop(lines);
        let mut log = Log::new(disk, tail);
        if torn.is_some() {
            log.cut(length)?;
        }
        let hold = Rc::new(Hold::new(RunId::generate().as_str(), lock.dir().clone(), tail));
        let journal = Self {
            hold,
            log: RefCell::new(log),
            state: RefCell::new(Rc::new(state)),
            clock,
            listener: RefCell::new(None),
            redactor: Redactor::of_process(),
            lock,
            mirror: RefCell::default(),
            behind: Cell::default(),
        };
        if let Some(bytes) = torn {
            journal.append(Record::TornTail { bytes })?;
        }
        Ok((journal, Report { lines: count, torn }))
    }

    /// Reads the journal without the lock, changing nothing. One that does not exist yet is empty.
    ///
    /// # Errors
    /// It is damaged, from a newer hactl, or cannot be read.
    pub fn read(dir: &StateDir) -> Result<Replayed> {
        Self::read_file(dir, Replayed::read)
    }

    /// The same, handing each line to `each` on the way.
    ///
    /// # Errors
    /// As [`Self::read`], or what `each` returned.
    pub fn read_each(dir: &StateDir, each: impl FnMut(&Line) -> Result<()>) -> Result<Replayed> {
        Self::read_file(dir, |file| reading::replay_each(&mut Lines::new(file), each))
    }

    fn read_file(dir: &StateDir, how: impl FnOnce(File) -> Result<Replayed>) -> Result<Replayed> {
        match File::open(dir.journal()) {
            Ok(file) => how(file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Replayed::default()),
            Err(e) => Err(lines::unreadable(e)),
        }
    }

    /// Sends every record from now on to `listener`, after it became durable.
    pub fn listen(&self, listener: Rc<dyn Listener>) {
        *self.listener.borrow_mut() = Some(listener);
    }

    /// What the journal says now. A later append does not change what was handed out.
    #[must_use]
    pub fn state(&self) -> Rc<RunState> {
        Rc::clone(&self.state.borrow())
    }

    /// What hosts are shown of this journal with every claim.
    #[must_use]
    pub fn hold(&self) -> Rc<Hold> {
        Rc::clone(&self.hold)
    }

    /// The lock that makes this the only writer.
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Appends a record, durably. What lets something touch a host has methods of its own: [`Self::intend`],
    /// [`Self::begin_trial`] and [`Self::begin_rollback`].
    ///
    /// # Errors
    /// The record may not follow (then nothing was written), or it could not be made durable (then the journal takes
    /// no more records).
    pub fn append(&self, record: Record) -> Result<Seq> {
        match &record {
            Record::Intended { place, .. }
            | Record::Trial { place, .. }
            | Record::RollingBack { place, .. } => {
                Err(Error::new(codes::INTERNAL, "an intent was to be recorded without its token").at(place))
            }
            Record::RunStarted { .. }
            | Record::Resumed { .. }
            | Record::TakenOver { .. }
            | Record::TornTail { .. }
            | Record::Planned { .. }
            | Record::Observed { .. }
            | Record::AwaitingApproval { .. }
            | Record::Approved(_)
            | Record::Applied { .. }
            | Record::NotStarted { .. }
            | Record::InDoubt { .. }
            | Record::Decided { .. }
            | Record::Verified { .. }
            | Record::Failed { .. }
            | Record::Skipped { .. }
            | Record::RolledBack { .. }
            | Record::RollbackFailed { .. }
            | Record::Proven(_)
            | Record::PhaseDone { .. }
            | Record::Interrupted
            | Record::Rebased { .. } => self.commit(&record),
        }
    }

    /// Records the intent of an action that its gate let through, here and in the mirror.
    ///
    /// # Errors
    /// As [`Self::append`] and [`Self::mirrored`]; or the approval behind it does not stand in the journal any more.
    pub async fn intend(&self, cleared: Cleared, hosts: Vec<HostName>) -> Result<IntentRecorded> {
        let state = self.state();
        if let Some(binding) = cleared.binding()
            && state.approval(&binding, self.clock.now())?.is_none()
        {
            let place = cleared.place();
            return Err(Error::new(
                codes::APPROVAL_UNKNOWN,
                "the approval does not stand in the journal, or was voided, used up or has expired",
            )
            .at(place)
            .state("nothing was changed")
            .next(format!("hactl approve {}", place.step)));
        }
        drop(state);
        let (place, action, change, before) = cleared.into_parts();
        let number = self.last_attempt(&place, |c| c.attempt).next();
        let record = Record::Intended { place: place.clone(), attempt: number, action, change, before };
        let label = AttemptLabel { purpose: Purpose::Action, number };
        let ground = self.commit_for(&record, place, label, hosts)?;
        self.mirrored().await?;
        Ok(IntentRecorded::new(ground))
    }

    /// Records that verification begins, which may create and remove objects marked as ours.
    ///
    /// # Errors
    /// As [`Self::append`] and [`Self::mirrored`].
    pub async fn begin_trial(&self, place: Place, hosts: Vec<HostName>) -> Result<TrialRecorded> {
        let number = self.last_attempt(&place, |c| c.trial).next();
        let record = Record::Trial { place: place.clone(), attempt: number };
        let label = AttemptLabel { purpose: Purpose::Trial, number };
        let ground = self.commit_for(&record, place, label, hosts)?;
        self.mirrored().await?;
        Ok(TrialRecorded::new(ground))
    }

    /// Records that undoing begins.
    ///
    /// # Errors
    /// As [`Self::append`] and [`Self::mirrored`].
    pub async fn begin_rollback(&self, place: Place, hosts: Vec<HostName>) -> Result<RollbackRecorded> {
        let number = self.last_attempt(&place, |c| c.rollback).next();
        let record = Record::RollingBack { place: place.clone(), attempt: number };
        let label = AttemptLabel { purpose: Purpose::Undo, number };
        let ground = self.commit_for(&record, place, label, hosts)?;
        self.mirrored().await?;
        Ok(RollbackRecorded::new(ground))
    }

    fn last_attempt(&self, place: &Place, of: impl Fn(&Checkpoint) -> AttemptNumber) -> AttemptNumber {
        self.state().checkpoint(place).map_or(AttemptNumber(0), of)
    }

    /// Makes a record durable, and says what its token stands on.
    fn commit_for(
        &self,
        record: &Record,
        place: Place,
        label: AttemptLabel,
        hosts: Vec<HostName>,
    ) -> Result<Ground> {
        self.commit(record)?;
        let state = self.state();
        let run = state
            .run()
            .ok_or_else(|| Error::new(codes::INTERNAL, "an attempt was recorded before any run had begun"))?;
        // As a resume will read it, not as it was handed in.
        let before = state.checkpoint(&place).and_then(|c| match label.purpose {
            Purpose::Action | Purpose::Trial => c.before.clone(),
            Purpose::Undo => c.original.clone(),
        });
        let outputs = state.checkpoint(&place).map(|c| c.outputs.clone()).unwrap_or_default();
        Ok(Ground {
            fleet: run.fleet.clone(),
            run: run.run.clone(),
            epoch: state.epoch(),
            place,
            label,
            hosts,
            before,
            outputs,
        })
    }

    /// Cleans, checks, writes, fsyncs, applies, tells: in this order.
    fn commit(&self, record: &Record) -> Result<Seq> {
        let record = clean::clean(record.clone(), &self.redactor)?;
        let line = {
            let mut log = self.log.borrow_mut();
            // The state takes in what was read back from the very bytes, so a replay yields the same.
            let (bytes, line) = log.prepare(self.clock.now(), &record)?;
            let mut state = self.state.borrow_mut();
            state.check(&line.record).map_err(contradiction)?;
            log.append(&bytes, &line)?;
            self.hold.advance(line.tail());
            Rc::make_mut(&mut state).apply(line.clone()).map_err(contradiction)?;
            line
        };
        let listener = self.listener.borrow().clone();
        if let Some(listener) = listener {
            listener.event(Event::Recorded { seq: line.seq.0, at: line.at, record: line.record });
        }
        Ok(line.seq)
    }
}

fn contradiction(illegal: replay::IllegalHistory) -> Error {
    Error::new(codes::INTERNAL, "a record was to be made that cannot follow the ones before it")
        .source(illegal)
        .state("nothing was recorded and nothing was done on the strength of it")
}

#[cfg(test)]
mod tests;
