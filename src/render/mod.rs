//! What the operator sees: lines, bars, JSON events, errors.
//!
//! Invariant: rendering decides nothing and loses no meaning without colour or without a terminal. Every text is cleaned
//! of secrets and control characters before it is shown ([`words::clean`], and [`Out::object`] for JSON). Prompts are the
//! approver's business.

pub mod bars;
pub mod error;
pub mod json;
pub mod lacks;
pub mod lines;
pub mod out;
pub mod panic;
pub mod plan;
pub mod report;
pub mod status;
pub mod words;

pub use out::{Format, Out};

use std::cell::RefCell;

use crate::event::{Event, Listener};

/// The renderer that fits where standard output goes.
#[derive(Debug)]
pub struct Progress {
    renderer: Renderer,
    /// What is told while a question is on the terminal; nothing where there is none.
    held: RefCell<Option<Vec<Event>>>,
}

#[derive(Debug)]
enum Renderer {
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
        let renderer = match out.format() {
            Format::Json => Renderer::Json(json::Json::new(out.clone())),
            Format::Human if out.is_watched() => Renderer::Bars(bars::Bars::new()),
            Format::Human => Renderer::Lines(lines::Lines::new(out.clone())),
        };
        Self { renderer, held: RefCell::default() }
    }

    /// Runs `show` while nothing else is drawn. It must not wait.
    pub fn suspend<T>(&self, show: impl FnOnce() -> T) -> T {
        match &self.renderer {
            Renderer::Bars(bars) => bars.suspend(show),
            Renderer::Lines(_) | Renderer::Json(_) => show(),
        }
    }

    /// Draws nothing until the answer is dropped: a question is on the terminal. What is told meanwhile is told then.
    pub fn hush(&self) -> Hush<'_> {
        match &self.renderer {
            Renderer::Bars(bars) => bars.hush(),
            Renderer::Lines(_) | Renderer::Json(_) => {}
        }
        self.held.borrow_mut().get_or_insert_with(Vec::new);
        Hush(self)
    }

    fn render(&self, event: Event) {
        match &self.renderer {
            Renderer::Bars(bars) => bars.event(event),
            Renderer::Lines(lines) => lines.event(event),
            Renderer::Json(json) => json.event(event),
        }
    }
}

/// Nothing is drawn while this lives.
#[derive(Debug)]
#[must_use = "what is told is drawn again as soon as this is dropped"]
pub struct Hush<'a>(&'a Progress);

impl Drop for Hush<'_> {
    fn drop(&mut self) {
        match &self.0.renderer {
            Renderer::Bars(bars) => bars.go_on(),
            Renderer::Lines(_) | Renderer::Json(_) => {}
        }
        let held = self.0.held.borrow_mut().take();
        held.into_iter().flatten().for_each(|event| self.0.render(event));
    }
}

impl Listener for Progress {
    fn event(&self, event: Event) {
        // A program that reads JSON is shown no questions.
        let held = match &self.renderer {
            Renderer::Json(_) => None,
            Renderer::Bars(_) | Renderer::Lines(_) => Some(self.held.borrow_mut()),
        };
        if let Some(mut held) = held
            && let Some(held) = held.as_mut()
        {
            held.push(event);
            return;
        }
        self.render(event);
    }
}
