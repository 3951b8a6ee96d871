//! Reading a journal line by line: the first line that hactl did not write there, as it stands, ends it.
//!
//! Invariant: lines are judged in their order, each by [`super::line`], and none is given out after a bad one. What
//! records mean is [`super::replay`].

use std::io::{self, Read};
use std::thread;

use super::batch::{Batch, Batches, Stop};
use super::line::{Bad, Day, LONGEST, Line, Sealed, Tail, holds_a_whole_line, open};
use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;

/// Reads lines, one after the other; memory holds two batches of them, each of a MiB, or one longer line, which is at
/// most 16 MiB.
#[derive(Debug)]
pub struct Lines<R> {
    batches: Batches<R>,
    batch: Batch,
    /// How many lines of the batch were given out.
    given: usize,
    chain: Chain,
}

/// What the lines so far say of the next one.
#[derive(Debug)]
struct Chain {
    tail: Tail,
    day: Day,
    length: u64,
    torn: Option<u64>,
}

impl<R: Read> Lines<R> {
    /// Reads a journal from its beginning.
    pub fn new(input: R) -> Self {
        Self::following(Tail::EMPTY, input)
    }

    /// Reads what follows `tail`.
    pub(crate) fn following(tail: Tail, input: R) -> Self {
        let chain = Chain { tail, day: Day::default(), length: 0, torn: None };
        Self { batches: Batches::new(input), batch: Batch::default(), given: 0, chain }
    }

    /// The next line; none at the end, where [`Self::torn`] says whether an incomplete one follows.
    ///
    /// # Errors
    /// The file cannot be read, or the line is not what hactl wrote there.
    pub fn next_line(&mut self) -> Result<Option<Line>> {
        if self.batch.line(self.given).is_none() {
            self.batches.fill(&mut self.batch);
            self.batch.sum();
            self.given = 0;
        }
        let Some((bytes, sum)) = self.batch.line(self.given) else {
            return self.chain.end(self.batches.stop.as_ref()).map(|()| None);
        };
        self.given += 1;
        self.chain.next(bytes, sum, |line| line.read().map_err(|bad| line.damaged(&bad))).map(Some)
    }

    /// Hands every line from here on to `each`, its record not looked at. Where there are many, their checksums are
    /// computed ahead, by another thread.
    pub(super) fn each_sealed(&mut self, mut each: impl FnMut(Sealed<'_>) -> Result<()>) -> Result<()> {
        let mut next = Batch::default();
        loop {
            // Reading ahead says nothing yet: what it comes upon is for after the lines of this batch.
            self.batches.fill(&mut next);
            let Self { batch, given, chain, .. } = self;
            thread::scope(|scope| {
                let summing = &mut next;
                let ahead = !batch.is_empty() && !summing.is_empty();
                let started =
                    ahead.then(|| thread::Builder::new().spawn_scoped(scope, move || summing.sum()));
                while let Some((bytes, sum)) = batch.line(*given) {
                    *given += 1;
                    chain.next(bytes, sum, &mut each)?;
                }
                Ok::<_, Error>(started.is_some_and(|started| started.is_ok()))
            })
            .map(|summed| {
                if !summed {
                    next.sum()
                }
            })?;
            if next.is_empty() {
                return self.chain.end(self.batches.stop.as_ref());
            }
            std::mem::swap(&mut self.batch, &mut next);
            self.given = 0;
        }
    }

    /// The bytes of the line that was given out last, without its newline.
    pub(crate) fn raw(&self) -> &[u8] {
        let last = self.given.checked_sub(1).and_then(|last| self.batch.line(last));
        last.map_or(&[], |(bytes, _)| bytes)
    }

    /// The length of an incomplete last line, known once the end was reached.
    #[must_use]
    pub fn torn(&self) -> Option<u64> {
        self.chain.torn
    }

    /// The end of the chain so far.
    #[must_use]
    pub fn tail(&self) -> Tail {
        self.chain.tail
    }

    /// The length of the whole lines so far, in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.chain.length
    }
}

impl Chain {
    /// Judges the next line, and lets `then` say the last word.
    fn next<T>(
        &mut self,
        bytes: &[u8],
        sum: Digest,
        then: impl FnOnce(Sealed<'_>) -> Result<T>,
    ) -> Result<T> {
        let length = bytes.len() + 1;
        let sealed = match length > LONGEST {
            true => Err(Bad::TooLong),
            false => open(&mut self.day, self.tail, bytes, sum),
        };
        let sealed = sealed.map_err(|bad| damaged(self.tail, &bad))?;
        let tail = sealed.tail();
        let done = then(sealed)?;
        self.tail = tail;
        self.length += length as u64;
        Ok(done)
    }

    /// There are no more lines.
    fn end(&mut self, stop: Option<&Stop>) -> Result<()> {
        match stop {
            None => {}
            Some(Stop::End(left)) if left.is_empty() => {}
            Some(Stop::End(left)) if left.len() > LONGEST => return Err(damaged(self.tail, &Bad::TooLong)),
            Some(Stop::End(left)) => {
                if holds_a_whole_line(left) {
                    return Err(damaged(self.tail, &Bad::Checksum));
                }
                self.torn = Some(left.len() as u64);
            }
            Some(Stop::TooLong) => return Err(damaged(self.tail, &Bad::TooLong)),
            Some(Stop::Unreadable(e)) => return Err(unreadable(io::Error::new(e.kind(), e.to_string()))),
        }
        Ok(())
    }
}

impl Sealed<'_> {
    /// Its record is not what hactl writes.
    pub(super) fn damaged(&self, bad: &Bad) -> Error {
        damaged(self.before(), bad)
    }
}

pub(super) fn unreadable(error: io::Error) -> Error {
    Error::new(codes::JOURNAL_READ, "failed to read the journal").source(error).state("nothing was changed")
}

pub(super) fn damaged(tail: Tail, bad: &Bad) -> Error {
    let line = tail.seq.0.saturating_add(1);
    let (code, next) = match bad {
        Bad::Newer(_) => (codes::JOURNAL_NEWER, "use the hactl that wrote it, or a newer one"),
        Bad::Envelope
        | Bad::TooLong
        | Bad::Checksum
        | Bad::OutOfOrder { .. }
        | Bad::Chain
        | Bad::Record(_)
        | Bad::Time(_) => (codes::JOURNAL_DAMAGED, "restore .hactl/journal.jsonl from a copy; never edit it"),
    };
    Error::new(code, format!("line {line} of the journal cannot be trusted: {bad}"))
        .state("nothing was changed; what the lines before it say still holds")
        .next(next)
}
