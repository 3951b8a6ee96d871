//! Live lines at a terminal: one for each running place, with what it waits for and since when; what ended stays above.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use dialoguer::console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::words::{self, Kind};
use crate::event::{Event, Listener};
use crate::journal::record::Place;

/// How often a live line moves.
const TICK: Duration = Duration::from_millis(120);

/// Where a line goes on that was too long for the terminal.
const CONTINUED: usize = 8;

/// Live lines on standard error.
#[derive(Debug)]
pub struct Bars {
    all: MultiProgress,
    running: RefCell<BTreeMap<Place, ProgressBar>>,
}

impl Default for Bars {
    fn default() -> Self {
        Self::new()
    }
}

impl Bars {
    /// No live line yet.
    #[must_use]
    pub fn new() -> Self {
        Self { all: MultiProgress::new(), running: RefCell::default() }
    }

    /// Runs `ask` while the live lines are taken away.
    pub fn suspend<T>(&self, ask: impl FnOnce() -> T) -> T {
        self.all.suspend(ask)
    }

    /// Takes the live lines away until [`Self::go_on`]; nothing may be told in between.
    pub fn hush(&self) {
        for bar in self.running.borrow().values() {
            bar.disable_steady_tick();
        }
        // A terminal that cannot be written must not stop the work.
        let _ = self.all.clear();
    }

    /// Shows them again.
    pub fn go_on(&self) {
        for bar in self.running.borrow().values() {
            bar.enable_steady_tick(TICK);
        }
    }

    fn live(&self, place: &Place, text: &str) {
        let mut running = self.running.borrow_mut();
        let bar = running.entry(place.clone()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new_spinner());
            bar.set_style(style());
            bar.set_prefix(place.to_string());
            bar.enable_steady_tick(TICK);
            bar
        });
        bar.set_message(words::clean(text).replace('\n', " "));
    }

    /// Takes the live line away; the answer is how long it was there.
    fn end(&self, place: &Place) -> Duration {
        self.running.borrow_mut().remove(place).map_or(Duration::ZERO, |bar| {
            bar.finish_and_clear();
            self.all.remove(&bar);
            bar.elapsed()
        })
    }

    fn keep(&self, block: &str) {
        // A terminal that cannot be written must not stop the work; the journal has it all.
        let width = usize::from(Term::stderr().size().1);
        let _ = self.all.println(words::wrap(&words::clean(block), width, CONTINUED));
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        for bar in self.running.borrow().values() {
            bar.finish_and_clear();
        }
    }
}

impl Listener for Bars {
    fn event(&self, event: Event) {
        let mut told = words::of_event(&event);
        match (&told.place.clone(), told.kind) {
            (Some(place), Kind::Moment | Kind::Passing) => self.live(place, &told.text),
            (Some(place), Kind::Lasting | Kind::Bad) => {
                self.keep(&told.block());
                self.live(place, &told.text);
            }
            (Some(place), Kind::End | Kind::BadEnd) => {
                let took = self.end(place).as_secs();
                if took > 0 {
                    told.text.push_str(&format!(" ({took} s)"));
                }
                self.keep(&told.block());
            }
            (None, Kind::Moment | Kind::Passing) => {}
            (None, Kind::Lasting | Kind::Bad | Kind::End | Kind::BadEnd) => self.keep(&told.block()),
        }
    }
}

/// One live line that goes away when it is dropped: something takes its time and shows nothing else.
#[derive(Debug)]
#[must_use]
pub struct Waiting(ProgressBar);

impl Waiting {
    /// Says what is waited for, where a person watches.
    pub fn new(what: impl Into<String>) -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_style(style());
        bar.set_prefix("waiting");
        bar.set_message(words::clean(&what.into()));
        bar.enable_steady_tick(TICK);
        Self(bar)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn style() -> ProgressStyle {
    // The template is constant, and a test reads it; a terminal without it would still show the message.
    ProgressStyle::with_template(TEMPLATE)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .tick_chars("-\\|/ ")
}

const TEMPLATE: &str = "{spinner} {prefix}: {wide_msg} {elapsed}";

#[cfg(test)]
mod tests {
    use indicatif::ProgressStyle;

    #[test]
    fn the_template_is_sound() {
        assert!(ProgressStyle::with_template(super::TEMPLATE).is_ok());
    }
}
