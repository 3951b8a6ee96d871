//! A stable stream of events: one JSON object a line, each with the key `event`.

use super::Out;
use crate::event::{Event, Listener};

/// What each line is: JSON Schema 2020-12. A test holds real streams against it.
pub const SCHEMA: &str = include_str!("events.schema.json");

/// One JSON object an event.
#[derive(Debug)]
pub struct Json {
    out: Out,
}

impl Json {
    /// Objects on standard output.
    #[must_use]
    pub fn new(out: Out) -> Self {
        Self { out }
    }
}

impl Listener for Json {
    fn event(&self, event: Event) {
        // A stream that nobody reads must not stop the work; the journal has it all.
        let _ = self.out.object(&event);
    }
}
