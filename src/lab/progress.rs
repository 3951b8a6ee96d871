//! What the lab is doing, for whoever shows it.

use crate::name::HostName;

/// Something the lab has begun or finished.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Progress {
    /// One part of building the image begins.
    Building {
        /// Which part, counted from 1.
        part: usize,
        /// Of how many.
        of: usize,
        /// What it makes, for people.
        what: &'static str,
    },
    /// Another hactl builds the image; this one waits for it.
    WaitingForBuilder,
    /// The image is complete, after so many seconds.
    Built(u64),
    /// A machine was started.
    Starting(HostName),
    /// A machine answers.
    Ready(HostName),
    /// Anything else worth a line.
    Note(String),
}
