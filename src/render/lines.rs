//! Plain lines, for logs and for whoever has no terminal.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::words::Kind;
use super::{Out, words};
use crate::event::{Event, Listener};
use crate::journal::record::Place;

/// One line an event.
#[derive(Debug)]
pub struct Lines {
    out: Out,
    /// What was said last of each place: waiting is told once, not twice a second.
    last: RefCell<BTreeMap<Option<Place>, String>>,
}

impl Lines {
    /// Lines on standard output.
    #[must_use]
    pub fn new(out: Out) -> Self {
        Self { out, last: RefCell::default() }
    }
}

impl Listener for Lines {
    fn event(&self, event: Event) {
        let told = words::of_event(&event);
        if told.kind == Kind::Moment {
            return;
        }
        let block = told.block();
        let before = self.last.borrow_mut().insert(told.place, block.clone());
        if before.as_deref() != Some(block.as_str()) {
            // A log that cannot be written must not stop the work; the journal has it all.
            let _ = self.out.say(block);
        }
    }
}
