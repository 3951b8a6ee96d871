//! Reading a journal's bytes a batch of whole lines at a time.
//!
//! Invariant: the lines come out as they stand in the file, with the checksum of each computed and not judged: that can
//! be done ahead, on another core. What is wrong with a line is [`super::lines`]'s to say, in the order of the lines; so
//! what ends the reading is kept until the lines before it were taken.

use std::io::{self, BufRead as _, Read};

use super::line::{LONGEST, sum_of};
use crate::digest::Digest;

/// How many bytes are read at a time.
const CHUNK: usize = 1 << 20;

/// Why there is no further line.
#[derive(Debug)]
pub(super) enum Stop {
    /// The file ends, with these bytes after the last end of line.
    End(Vec<u8>),
    /// The next line has no end within what a line may have.
    TooLong,
    /// The file cannot be read.
    Unreadable(io::Error),
}

/// Whole lines.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// Behind the newline of each line.
    ends: Vec<usize>,
    sums: Vec<Digest>,
}

impl Batch {
    /// A line without its newline, and its checksum.
    pub(super) fn line(&self, index: usize) -> Option<(&[u8], Digest)> {
        let from = index.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        let bytes = self.bytes.get(from..self.ends.get(index)?.checked_sub(1)?)?;
        Some((bytes, *self.sums.get(index)?))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Computes the checksums.
    pub(super) fn sum(&mut self) {
        let mut from = 0;
        for end in &self.ends {
            self.sums.push(sum_of(&self.bytes[from..end - 1]));
            from = *end;
        }
    }

    /// Finds the ends of lines from `from` on.
    fn find(&mut self, mut from: usize) -> io::Result<()> {
        loop {
            from += (&self.bytes[from..]).skip_until(b'\n')?;
            if from == 0 || self.bytes[from - 1] != b'\n' || self.ends.last() == Some(&from) {
                return Ok(());
            }
            self.ends.push(from);
        }
    }
}

/// Fills batches.
#[derive(Debug)]
pub(super) struct Batches<R> {
    input: R,
    /// The beginning of the next line.
    begun: Vec<u8>,
    pub(super) stop: Option<Stop>,
}

impl<R: Read> Batches<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, begun: Vec::new(), stop: None }
    }

    /// Puts the next lines into `batch`; none come where [`Self::stop`] is set by then.
    pub(super) fn fill(&mut self, batch: &mut Batch) {
        batch.ends.clear();
        batch.sums.clear();
        batch.bytes.clear();
        batch.bytes.append(&mut self.begun);
        while self.stop.is_none() && batch.is_empty() {
            let had = batch.bytes.len();
            let read = (&mut self.input).take(CHUNK as u64).read_to_end(&mut batch.bytes);
            let found = batch.find(had);
            let left = batch.bytes.split_off(batch.ends.last().copied().unwrap_or(0));
            match read.and_then(|read| found.map(|()| read)) {
                Err(e) => self.stop = Some(Stop::Unreadable(e)),
                Ok(read) if read < CHUNK => self.stop = Some(Stop::End(left)),
                Ok(_) if left.len() > LONGEST => self.stop = Some(Stop::TooLong),
                Ok(_) if batch.is_empty() => batch.bytes = left,
                Ok(_) => self.begun = left,
            }
        }
    }
}
