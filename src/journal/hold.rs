//! What this process holds of the journal: who it is, the last line, and which lines stand there.
//!
//! Invariant: it is what hosts are shown with every claim, and what they remember is checked against. A host that was
//! changed under a line which does not stand in this journal was changed by somebody who knows more, so nothing may
//! be claimed there.

use std::cell::Cell;
use std::fs::File;

use super::dir::StateDir;
use super::line::Tail;
use super::lines::{Lines, unreadable};
use crate::diagnostic::Result;

/// This process's hold on the journal.
#[derive(Debug)]
pub struct Hold {
    id: String,
    last: Cell<Tail>,
    dir: StateDir,
}

impl Hold {
    /// The hold of the process known as `id`, on the journal in `dir` whose last line is `last`.
    #[must_use]
    pub fn new(id: impl Into<String>, dir: StateDir, last: Tail) -> Self {
        Self { id: id.into(), last: Cell::new(last), dir }
    }

    /// Unlike any other process's. It is a word.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The last line now.
    #[must_use]
    pub fn last(&self) -> Tail {
        self.last.get()
    }

    /// A line was appended.
    pub fn advance(&self, to: Tail) {
        self.last.set(to);
    }

    /// Does exactly this line stand in the journal?
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn contains(&self, line: Tail) -> Result<bool> {
        if line.seq > self.last().seq {
            return Ok(false);
        }
        let mut lines = Lines::new(File::open(self.dir.journal()).map_err(unreadable)?);
        while lines.tail().seq < line.seq {
            if lines.next_line()?.is_none() {
                return Ok(false);
            }
        }
        Ok(lines.tail() == line)
    }
}
