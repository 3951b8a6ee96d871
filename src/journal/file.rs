//! The append-only file: reading it line by line, and appending so that a line is durable or the journal is poisoned.
//!
//! Invariant: after a write or an fsync failed, nothing is ever appended again by this process: what is on the disk
//! is then unknown, and an fsync that is tried again would claim what nobody knows. What records mean is
//! [`super::replay`].

use std::io::{self, BufRead, BufReader, Read};

use jiff::Timestamp;

use super::disk::Disk;
use super::line::{Bad, LONGEST, Line, Tail, decode, encode, holds_a_whole_line};
use super::record::Record;
use crate::diagnostic::{Error, Result, codes};

/// How many bytes are read at a time.
const CHUNK: usize = 256 * 1024;
/// How many signals in a row may interrupt one write.
const INTERRUPTED_AT_MOST: u32 = 16;

/// Reads lines, one after the other; memory holds one line, which is at most [`LONGEST`] bytes.
#[derive(Debug)]
pub struct Lines<R> {
    input: BufReader<R>,
    buffer: Vec<u8>,
    tail: Tail,
    length: u64,
    torn: Option<u64>,
}

impl<R: Read> Lines<R> {
    /// Reads a journal from its beginning.
    pub fn new(input: R) -> Self {
        Self::following(Tail::EMPTY, input)
    }

    /// Reads what follows `tail`.
    pub(super) fn following(tail: Tail, input: R) -> Self {
        Self {
            input: BufReader::with_capacity(CHUNK, input),
            buffer: Vec::new(),
            tail,
            length: 0,
            torn: None,
        }
    }

    /// The next line; none at the end, where [`Self::torn`] says whether an incomplete one follows.
    ///
    /// # Errors
    /// The file cannot be read, or the line is not what hactl wrote there.
    pub fn next_line(&mut self) -> Result<Option<Line>> {
        self.buffer.clear();
        // One byte more than a line may have, so that one that is too long is seen as such.
        let mut bounded = (&mut self.input).take(LONGEST as u64 + 1);
        let read = bounded.read_until(b'\n', &mut self.buffer).map_err(unreadable)?;
        if read > LONGEST {
            return Err(damaged(self.tail, &Bad::TooLong));
        }
        let Some(line) = self.buffer.strip_suffix(b"\n") else {
            if read > 0 {
                if holds_a_whole_line(&self.buffer) {
                    return Err(damaged(self.tail, &Bad::Checksum));
                }
                self.torn = Some(read as u64);
            }
            return Ok(None);
        };
        let line = decode(self.tail, line).map_err(|bad| damaged(self.tail, &bad))?;
        self.tail = line.tail();
        self.length += read as u64;
        Ok(Some(line))
    }

    /// The length of an incomplete last line, known once the end was reached.
    #[must_use]
    pub fn torn(&self) -> Option<u64> {
        self.torn
    }

    /// The end of the chain so far.
    #[must_use]
    pub fn tail(&self) -> Tail {
        self.tail
    }

    /// The length of the whole lines so far, in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }
}

pub(super) fn unreadable(error: io::Error) -> Error {
    Error::new(codes::JOURNAL_READ, "failed to read the journal").source(error).state("nothing was changed")
}

fn damaged(tail: Tail, bad: &Bad) -> Error {
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

/// The file as its only writer has it.
#[derive(Debug)]
pub(super) struct Log {
    disk: Box<dyn Disk>,
    tail: Tail,
    poisoned: Option<String>,
}

impl Log {
    pub(super) fn new(disk: Box<dyn Disk>, tail: Tail) -> Self {
        Self { disk, tail, poisoned: None }
    }

    /// Cuts an incomplete last line off, so that the file is `length` bytes long, and makes that durable.
    pub(super) fn cut(&mut self, length: u64) -> Result<()> {
        self.disk
            .cut(length)
            .and_then(|()| self.disk.sync())
            .map_err(|e| self.poison("cutting off a torn line", e))
    }

    /// The next line for a record: exactly what reading it will yield. Nothing is written yet.
    pub(super) fn prepare(&self, at: Timestamp, record: &Record) -> Result<(Vec<u8>, Line)> {
        self.sound()?;
        let broken = |e: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(codes::INTERNAL, "a record cannot be written so that it can be read again").source(e)
        };
        let bytes = encode(self.tail, at, record).map_err(|e| broken(e.into()))?;
        if bytes.len() > LONGEST {
            return Err(broken(Bad::TooLong.into()));
        }
        let line =
            decode(self.tail, bytes.strip_suffix(b"\n").unwrap_or(&bytes)).map_err(|e| broken(e.into()))?;
        Ok((bytes, line))
    }

    /// Appends what [`Self::prepare`] made, durably.
    pub(super) fn append(&mut self, bytes: &[u8], line: &Line) -> Result<()> {
        self.sound()?;
        let mut taken = self.disk.append(bytes);
        // An interrupted write wrote nothing, so this is no retry of anything that may have happened.
        for _ in 0..INTERRUPTED_AT_MOST {
            match &taken {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => taken = self.disk.append(bytes),
                Ok(_) | Err(_) => break,
            }
        }
        match taken {
            Ok(taken) if taken == bytes.len() => {}
            Ok(taken) => {
                let short = io::Error::other(format!("only {taken} of {} bytes were written", bytes.len()));
                return Err(self.poison("appending", short));
            }
            Err(e) => return Err(self.poison("appending", e)),
        }
        self.disk.sync().map_err(|e| self.poison("fsync", e))?;
        self.tail = line.tail();
        Ok(())
    }

    fn sound(&self) -> Result<()> {
        match &self.poisoned {
            None => Ok(()),
            Some(why) => Err(Error::new(
                codes::JOURNAL_POISONED,
                format!("the journal takes no more records, because an earlier one failed: {why}"),
            )
            .state("nothing was begun after that record")
            .next("mend the disk, then: hactl resume")),
        }
    }

    pub(super) fn poison(&mut self, doing: &str, error: io::Error) -> Error {
        self.poisoned = Some(format!("{doing}: {error}"));
        Error::new(codes::JOURNAL_WRITE, format!("failed to make a record of the journal durable ({doing})"))
            .source(error)
            .state("hactl stopped at once; the step was not begun, or its outcome is in doubt and will be decided")
            .next("look after the disk (df, dmesg), then: hactl resume")
    }
}
