//! The append-only file: appending so that a line is durable or the journal is poisoned.
//!
//! Invariant: after a write or an fsync failed, nothing is ever appended again by this process: what is on the disk
//! is then unknown, and an fsync that is tried again would claim what nobody knows. Reading it is [`super::lines`].

use std::io;

use jiff::Timestamp;

use super::disk::Disk;
use super::line::{Bad, LONGEST, Line, Tail, decode, encode};
use super::record::Record;
use crate::diagnostic::{Error, Result, codes};

/// How many signals in a row may interrupt one write.
const INTERRUPTED_AT_MOST: u32 = 16;

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
