//! Live lines at a terminal: one for each running place, with what it waits for and since when; what ended stays above.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dialoguer::console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use jiff::SignedDuration;

use super::Out;
use super::words::{self, Kind};
use crate::clock::Clock;
use crate::event::{Event, Listener};
use crate::journal::record::Place;
use crate::name::HostName;
use crate::waiting::{self, Wait};

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

    /// Shows under a live line what its place waits for, and counts down; without one the line stands alone again.
    fn waits(&self, place: &Place, wait: Option<&Wait>) {
        let running = self.running.borrow();
        let Some(bar) = running.get(place) else { return };
        bar.set_style(wait.map_or_else(style, |wait| waiting_style(wait, place.host.as_ref())));
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
        match &event {
            Event::Waiting { place, wait } => return self.waits(place, Some(wait)),
            Event::Waited { place } => return self.waits(place, None),
            _told_below => {}
        }
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

impl Waiting {
    /// Shows one while `work` goes on, where a person watches, and under it what `work` waits for.
    pub async fn during<T>(out: &Out, what: &str, clock: &dyn Clock, work: impl Future<Output = T>) -> T {
        if !out.is_watched() {
            return work.await;
        }
        let Self(bar) = &Self::new(what);
        let tell = |wait: Option<Wait>| {
            bar.set_style(wait.as_ref().map_or_else(style, |wait| waiting_style(wait, None)));
        };
        waiting::told(clock, tell, work).await
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

/// The same with a second line, on which the time that is left runs down.
fn waiting_style(wait: &Wait, here: Option<&HostName>) -> ProgressStyle {
    let what = words::clean(&format!("{}{}", wait.what, words::awaited_on(wait, here))).replace('\n', " ");
    let since = words::clock_time(wait.since);
    let left = wait.until.map(|until| {
        let left = Duration::try_from(until.duration_since(wait.at)).unwrap_or_default();
        (words::clock_time(until), Instant::now() + left)
    });
    let line = move |_: &ProgressState, to: &mut dyn std::fmt::Write| {
        let limit = match &left {
            Some((until, at)) => {
                let left = at.saturating_duration_since(Instant::now());
                let left = SignedDuration::try_from(left).unwrap_or(SignedDuration::MAX);
                format!(" since {since}, gives up {until} UTC (in {})", words::minutes(left))
            }
            None => format!(" since {since} UTC"),
        };
        let width = usize::from(Term::stderr().size().1);
        // Where both do not fit, it is the name of the thing that is cut, not the time.
        let room = width.saturating_sub(limit.chars().count() + INDENT.len() + WAITS.len() + 1).max(12);
        let long = what.chars().count() > room;
        let what: String =
            if long { what.chars().take(room - 1).chain(['…']).collect() } else { what.clone() };
        // A terminal that cannot be written must not stop the work.
        let _ = write!(to, "{INDENT}{WAITS}{what}{limit}");
    };
    ProgressStyle::with_template(WAITING)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key("awaited", line)
        .tick_chars("-\\|/ ")
}

const INDENT: &str = "    ";
const WAITS: &str = "waits for ";
const WAITING: &str = "{spinner} {prefix}: {wide_msg} {elapsed}\n{awaited}";

const TEMPLATE: &str = "{spinner} {prefix}: {wide_msg} {elapsed}";

#[cfg(test)]
mod tests {
    use indicatif::ProgressStyle;

    #[test]
    fn the_template_is_sound() {
        assert!(ProgressStyle::with_template(super::TEMPLATE).is_ok());
        assert!(ProgressStyle::with_template(super::WAITING).is_ok());
    }
}
