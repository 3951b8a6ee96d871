//! What happened, for display only.
//!
//! Invariant: nothing decides anything by an event, and an event holds no secret. Durable events carry the journal's
//! line; the others (progress, waiting, findings) are lost with the terminal, and may be.

use std::cell::RefCell;

use jiff::Timestamp;
use serde::Serialize;

use crate::changes::Changes;
use crate::journal::record::{Place, Record};
use crate::waiting::Wait;

/// Something to show.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// A record reached the disk.
    Recorded {
        /// Its sequence number.
        seq: u64,
        /// When.
        at: Timestamp,
        /// What.
        record: Record,
    },
    /// A phase begins.
    PhaseBegun {
        /// Its id.
        phase: String,
        /// Its title.
        title: String,
        /// How many places it has in all.
        places: usize,
    },
    /// A step begins on a place.
    StepBegun {
        /// Where.
        place: Place,
        /// The step's title.
        title: String,
    },
    /// A moment's look at the world; worth showing only where it can be taken away again.
    Looking {
        /// Where.
        place: Place,
        /// At what.
        doing: String,
    },
    /// What a place is busy with: "waiting for the segment to reach the bucket".
    Busy {
        /// Where.
        place: Place,
        /// With what.
        doing: String,
    },
    /// A place has been waiting for something for a while.
    Waiting {
        /// Where.
        place: Place,
        /// For what, since when, and until when.
        #[serde(flatten)]
        wait: Wait,
    },
    /// What a place was said to wait for has come, or was given up.
    Waited {
        /// Where.
        place: Place,
    },
    /// A place needs nothing: it is verified already.
    AlreadyDone {
        /// Where.
        place: Place,
    },
    /// A fact that was found, to be shown with its weight.
    Found {
        /// Where.
        place: Place,
        /// `note`, `warning` or `blocks`.
        weight: &'static str,
        /// What.
        text: String,
    },
    /// The first Ctrl-C: the current action is finished, then hactl stops.
    Stopping,
    /// The notification command went wrong, for the first time; the run goes on.
    NotifyFailed {
        /// Why.
        why: String,
    },
    /// The files, or hactl, say something else than when the run began.
    FilesChanged(Changes),
    /// The mirror cannot be written, and the run goes on without it.
    MirrorBehind {
        /// The last record of the journal, which the mirror lacks.
        seq: u64,
        /// Why.
        why: String,
    },
    /// The mirror holds every record again.
    MirrorCaughtUp {
        /// The last one.
        seq: u64,
    },
}

/// Who is told.
pub trait Listener {
    /// Takes one event. It must not fail and must not wait.
    fn event(&self, event: Event);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Listener for Nobody {
    fn event(&self, _event: Event) {}
}

/// Keeps every event, for tests.
#[derive(Debug, Default)]
pub struct Collect(pub RefCell<Vec<Event>>);

impl Listener for Collect {
    fn event(&self, event: Event) {
        self.0.borrow_mut().push(event);
    }
}
