//! Reading a journal to its end: every line is checked, and the state is what applying each of them yields.
//!
//! Invariant: [`replay`] refuses what [`replay_each`] refuses, with the same line and reason, and yields the same state;
//! it only builds fewer records. Most records of a long journal say what later ones replaced: of those, [`skim`] takes
//! how they move their place on, and their text is read whole only if nothing replaced it.

use std::collections::HashMap;
use std::io::Read;

use super::checkpoint::{Checkpoint, Parts, writes};
use super::line::{Bad, Line, Sealed, Tail};
use super::lines::{Lines, damaged};
use super::record::{Place, Record, Seq};
use super::replay::{IllegalHistory, RunState, judge};
use super::skim::{Skim, skim};
use crate::diagnostic::{Error, Result, codes};

/// What reading a journal yielded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replayed {
    /// The state that its records lead to.
    pub state: RunState,
    /// How many lines it has.
    pub lines: u64,
    /// The length of an incomplete last line.
    pub torn: Option<u64>,
}

impl Replayed {
    /// Reads a journal from its beginning.
    ///
    /// # Errors
    /// It cannot be read, or a line of it cannot be trusted.
    pub fn read(input: impl Read) -> Result<Self> {
        replay(&mut Lines::new(input))
    }

    fn new<R: Read>(state: RunState, lines: &Lines<R>) -> Self {
        Self { state, lines: lines.tail().seq.0, torn: lines.torn() }
    }
}

/// Reads all lines and applies each, handing it to `each` before.
pub(super) fn replay_each<R: Read>(
    lines: &mut Lines<R>,
    mut each: impl FnMut(&Line) -> Result<()>,
) -> Result<Replayed> {
    let mut state = RunState::default();
    while let Some(line) = lines.next_line()? {
        each(&line)?;
        let seq = line.seq;
        state.apply(line).map_err(|illegal| cannot_be(seq, &illegal))?;
    }
    Ok(Replayed::new(state, lines))
}

/// Reads all lines to the state that they lead to.
pub(super) fn replay<R: Read>(lines: &mut Lines<R>) -> Result<Replayed> {
    let mut skimmed = Skimmed::default();
    lines.each_sealed(|line| {
        if let Some(json) = line.json()
            && let Some(seen) = skim(json)
            && skimmed.apply(&line, json, seen).map_err(|illegal| cannot_be(line.seq, &illegal))?
        {
            return Ok(());
        }
        skimmed.apply_whole(&line)
    })?;
    Ok(Replayed::new(skimmed.all()?, lines))
}

fn cannot_be(seq: Seq, illegal: &IllegalHistory) -> Error {
    Error::new(codes::JOURNAL_ILLEGAL, format!("line {seq} of the journal cannot be: {illegal}"))
        .state("nothing was changed")
        .next("restore .hactl/journal.jsonl from a copy; never edit it")
}

/// A state, of which some places were taken out because what they hold was not read yet.
#[derive(Default)]
struct Skimmed {
    state: RunState,
    /// By the JSON of the place.
    out: HashMap<Box<str>, Behind>,
    /// Texts that are not needed any more.
    spare: Vec<String>,
}

/// A place that was moved on by all of its records, and has not taken in all that they hold.
struct Behind {
    place: Place,
    checkpoint: Checkpoint,
    owed: Vec<Owed>,
}

/// A record whose content has still to be read.
struct Owed {
    before: Tail,
    json: String,
    /// What of it was not replaced since.
    parts: Parts,
}

impl Skimmed {
    /// Applies a record without reading what it holds; false where its place is none, and nothing was done.
    fn apply(&mut self, line: &Sealed<'_>, json: &str, seen: Skim<'_>) -> Result<bool, IllegalHistory> {
        let Self { state, out, spare } = self;
        let Behind { place, checkpoint, owed } = match out.get_mut(seen.place) {
            Some(behind) => behind,
            None => {
                let Ok(place) = serde_json::from_str::<Place>(seen.place) else { return Ok(false) };
                let checkpoint = state.places.remove(&place).unwrap_or_default();
                let behind = Behind { place, checkpoint, owed: Vec::new() };
                out.entry(seen.place.into()).or_insert(behind)
            }
        };
        if state.run().is_none() {
            return Err(IllegalHistory::NoRun);
        }
        let to = judge(place, checkpoint, seen.made, seen.attempt)?;
        let parts = writes(checkpoint, seen.made);
        state.note(line.seq, line.at);
        state.standing.move_on(checkpoint, seen.made, to, line.at);
        if parts.is_empty() {
            return Ok(true);
        }
        owed.retain_mut(|owed| {
            owed.parts = owed.parts.without(parts);
            if owed.parts.is_empty() {
                spare.push(std::mem::take(&mut owed.json));
            }
            !owed.parts.is_empty()
        });
        let mut kept = spare.pop().unwrap_or_default();
        kept.clear();
        kept.push_str(json);
        owed.push(Owed { before: line.before(), json: kept, parts });
        Ok(true)
    }

    /// Applies a record that was not skimmed.
    fn apply_whole(&mut self, sealed: &Sealed<'_>) -> Result<()> {
        let line = sealed.read().map_err(|bad| sealed.damaged(&bad))?;
        match (&line.record, line.record.place()) {
            (_, Some(place)) => {
                let json = serde_json::to_string(place).map_err(|e| sealed.damaged(&Bad::Record(e)))?;
                if let Some(behind) = self.out.remove(json.as_str()) {
                    self.take_back(behind)?;
                }
            }
            // They say something about all places.
            (Record::RunStarted { .. } | Record::Rebased { .. }, None) => self.take_all_back()?,
            (_, None) => {}
        }
        self.state.apply(line).map_err(|illegal| cannot_be(sealed.seq, &illegal))
    }

    /// Reads what a place still owes.
    fn take_back(&mut self, behind: Behind) -> Result<()> {
        let Behind { place, mut checkpoint, owed } = behind;
        for Owed { before, json, .. } in owed {
            let record = serde_json::from_str(&json).map_err(|e| damaged(before, &Bad::Record(e)))?;
            checkpoint.keep(record);
        }
        self.state.places.insert(place, checkpoint);
        Ok(())
    }

    fn take_all_back(&mut self) -> Result<()> {
        std::mem::take(&mut self.out).into_values().try_for_each(|behind| self.take_back(behind))
    }

    fn all(mut self) -> Result<RunState> {
        self.take_all_back()?;
        Ok(self.state)
    }
}
