//! The wall clock, as a seam: records and approvals carry times, and tests fix them.
//!
//! Waiting is tokio's business (its time can be paused); only reading the wall clock goes through here.

use std::cell::Cell;

use jiff::{SignedDuration, Timestamp};

/// Where the time of day comes from.
pub trait Clock {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that moves only when told, for tests and for reproducible transcripts.
#[derive(Debug)]
pub struct FixedClock(Cell<Timestamp>);

impl FixedClock {
    /// A clock that stands at `at`.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        Self(Cell::new(at))
    }

    /// Moves the clock, backwards too.
    pub fn advance(&self, by: SignedDuration) {
        self.0.set(self.0.get().saturating_add(by).unwrap_or(Timestamp::MAX));
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0.get()
    }
}
