//! What the operator sees: lines, bars, JSON events, errors.
//!
//! Invariant: rendering decides nothing and loses no meaning without colour or without a terminal. Every text is cleaned
//! of secrets and control characters before it is shown ([`words::clean`], and [`Out::object`] for JSON). Prompts are the
//! approver's business.

pub mod bars;
pub mod error;
pub mod json;
pub mod lines;
pub mod out;
pub mod panic;
pub mod plan;
pub mod report;
pub mod status;
pub mod words;

pub use out::{Format, Out};

use crate::event::{Event, Listener};

/// The renderer that fits where standard output goes.
#[derive(Debug)]
pub enum Progress {
    /// Live lines at a terminal.
    Bars(bars::Bars),
    /// One line an event.
    Lines(lines::Lines),
    /// One JSON object an event.
    Json(json::Json),
}

impl Progress {
    /// Bars where a person watches, else lines; JSON where it was asked for.
    #[must_use]
    pub fn new(out: &Out) -> Self {
        match out.format() {
            Format::Json => Self::Json(json::Json::new(out.clone())),
            Format::Human if out.is_watched() => Self::Bars(bars::Bars::new()),
            Format::Human => Self::Lines(lines::Lines::new(out.clone())),
        }
    }

    /// Runs `ask` while nothing else is drawn.
    pub fn suspend<T>(&self, ask: impl FnOnce() -> T) -> T {
        match self {
            Self::Bars(bars) => bars.suspend(ask),
            Self::Lines(_) | Self::Json(_) => ask(),
        }
    }
}

impl Listener for Progress {
    fn event(&self, event: Event) {
        match self {
            Self::Bars(bars) => bars.event(event),
            Self::Lines(lines) => lines.event(event),
            Self::Json(json) => json.event(event),
        }
    }
}
