//! Measuring in turns, and the one table.

use std::fmt;
use std::time::{Duration, Instant};

/// One comparison.
struct Row {
    what: &'static str,
    ours: Duration,
    against: &'static str,
    theirs: Duration,
    ratio: f64,
    /// The most that it may be, where that was ever said.
    target: Option<f64>,
}

/// All that was measured.
pub(crate) struct Table {
    wanted: Vec<String>,
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Table {
    pub(crate) fn new(wanted: Vec<String>) -> Self {
        Self { wanted, rows: Vec::new(), notes: Vec::new() }
    }

    /// Is this line to be measured?
    pub(crate) fn wants(&self, what: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|part| what.contains(part.as_str()))
    }

    /// Adds a line: ours against theirs, with the most that the ratio may be.
    pub(crate) fn add(
        &mut self,
        what: &'static str,
        ours: Duration,
        against: &'static str,
        theirs: Duration,
        target: f64,
    ) {
        self.row(what, ours, against, theirs, Some(target));
    }

    /// Adds a line that has no target.
    pub(crate) fn show(
        &mut self,
        what: &'static str,
        ours: Duration,
        against: &'static str,
        theirs: Duration,
    ) {
        self.row(what, ours, against, theirs, None);
    }

    fn row(
        &mut self,
        what: &'static str,
        ours: Duration,
        against: &'static str,
        theirs: Duration,
        target: Option<f64>,
    ) {
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        eprintln!("{what}: {ours:.1?} against {theirs:.1?}");
        self.rows.push(Row { what, ours, against, theirs, ratio, target });
    }

    /// Adds a remark under the table.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, theirs) = ("hactl", "plain");
        writeln!(f, "{:<44} {ours:>10} {theirs:>10} {:>7} {:>7}   against", "", "ratio", "at most")?;
        for Row { what, ours, against, theirs, ratio, target } in &self.rows {
            let (ours, theirs) = (format!("{ours:.2?}"), format!("{theirs:.2?}"));
            let missed = if target.is_some_and(|target| *ratio > target) { "  MISSED" } else { "" };
            let target = target.map_or_else(String::new, |target| format!("{target:.1}"));
            writeln!(f, "{what:<44} {ours:>10} {theirs:>10} {ratio:>7.2} {target:>7}   {against}{missed}")?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

/// How long one call takes.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let began = Instant::now();
    std::hint::black_box(work());
    began.elapsed()
}

/// The medians of two works that are done in turns, so many times each.
pub(crate) fn in_turns(
    times: usize,
    mut ours: impl FnMut() -> Duration,
    mut theirs: impl FnMut() -> Duration,
) -> (Duration, Duration) {
    // Once for nothing: caches, lazy loading.
    ours();
    theirs();
    let (mut a, mut b) = (Vec::with_capacity(times), Vec::with_capacity(times));
    for _ in 0..times {
        a.push(ours());
        b.push(theirs());
    }
    (median(a), median(b))
}

pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
