//! The sentences in which events and records are told, the same ones live and in `hactl journal show`.

use jiff::{SignedDuration, Timestamp};

use crate::event::Event;
use crate::journal::record::{
    Approval, AttemptNumber, Grade, How, Mode, Observed, Operator, Place, Proof, Record, Signed,
};
use crate::name::HostName;
use crate::proof::{Freshness, freshness};
use crate::redact::Redactor;
use crate::units::Size;
use crate::waiting::Wait;
use crate::workspace::Workspace;

/// `text` as it may be shown: without the secrets that this process knows, and nothing in it but text. Everything that is
/// shown passes here, before it is wrapped.
#[must_use]
pub fn clean(text: &str) -> String {
    Redactor::of_process().clean(text)
}

/// What a line is, for a renderer that shows some lines only while they last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It holds for a moment, and is not worth a line that stays.
    Moment,
    /// It holds while nothing newer is said of the place.
    Passing,
    /// It is to be kept.
    Lasting,
    /// It is to be kept, and it is bad news.
    Bad,
    /// It ends what the place was busy with.
    End,
    /// It ends what the place was busy with, badly.
    BadEnd,
}

/// One told event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which place it is about; none for the run as a whole.
    pub place: Option<Place>,
    /// What it is.
    pub kind: Kind,
    /// The sentence.
    pub text: String,
    /// More, one a line.
    pub details: Vec<String>,
}

impl Told {
    fn run(kind: Kind, text: impl Into<String>) -> Self {
        Self { place: None, kind, text: text.into(), details: Vec::new() }
    }

    fn at(place: &Place, kind: Kind, text: impl Into<String>) -> Self {
        Self { place: Some(place.clone()), kind, text: text.into(), details: Vec::new() }
    }

    fn with(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }

    /// Where, and the sentence.
    #[must_use]
    pub fn line(&self) -> String {
        match &self.place {
            Some(place) => format!("{place}: {}", self.text),
            None => self.text.clone(),
        }
    }

    /// The whole, what is about a place indented, without an end of line.
    #[must_use]
    pub fn block(&self) -> String {
        let indent = if self.place.is_some() { "  " } else { "" };
        let mut text = format!("{indent}{}", self.line());
        for detail in self.details.iter().flat_map(|d| d.lines()) {
            text.push_str("\n      ");
            text.push_str(detail);
        }
        text
    }
}

/// An event in words.
#[must_use]
pub fn of_event(event: &Event) -> Told {
    match event {
        Event::Recorded { record, .. } => of_record(record),
        Event::PhaseBegun { phase, title, .. } => Told::run(Kind::Lasting, format!("phase {phase}: {title}")),
        Event::StepBegun { place, title } => Told::at(place, Kind::Lasting, title.clone()),
        Event::Looking { place, doing } => Told::at(place, Kind::Moment, doing.clone()),
        Event::Busy { place, doing } => Told::at(place, Kind::Passing, doing.clone()),
        Event::Waiting { place, wait } => Told::at(place, Kind::Passing, waits(wait, place.host.as_ref())),
        Event::Waited { place } => Told::at(place, Kind::Moment, "goes on"),
        Event::AlreadyDone { place } => Told::at(place, Kind::End, "verified already"),
        Event::Found { place, weight, text } => match *weight {
            "warning" => Told::at(place, Kind::Bad, format!("WARNING: {text}")),
            "blocks" => Told::at(place, Kind::Bad, format!("BLOCKED: {text}")),
            _ => Told::at(place, Kind::Lasting, format!("note: {text}")),
        },
        Event::Stopping => Told::run(
            Kind::Bad,
            "stopping: the current action is being finished; Ctrl-C again stops now and leaves it in doubt",
        ),
        Event::NotifyFailed { why } => {
            let text = format!("WARNING: nobody could be notified, and this is said once: {why}");
            Told::run(Kind::Bad, text)
        }
        Event::FilesChanged(changes) => {
            Told::run(Kind::Bad, "CHANGED since the run began").with(changes.told())
        }
        Event::MirrorBehind { seq, why } => {
            let text = format!("WARNING: the mirror lacks record {seq}; the run goes on without it");
            Told::run(Kind::Bad, text).with([why.clone()])
        }
        Event::MirrorCaughtUp { seq } => {
            Told::run(Kind::Lasting, format!("the mirror holds every record again, up to {seq}"))
        }
    }
}

/// A wait in words; the host is left out where the place names it already.
#[must_use]
pub fn waits(wait: &Wait, here: Option<&HostName>) -> String {
    let on = awaited_on(wait, here);
    let since = clock_time(wait.since);
    match wait.until {
        Some(until) => {
            let left = minutes(until.duration_since(wait.at));
            format!(
                "waits for {}{on} since {since}, gives up at {} UTC (in {left})",
                wait.what,
                clock_time(until)
            )
        }
        None => format!("waits for {}{on} since {since} UTC", wait.what),
    }
}

/// ` on HOST`, where the host is not known from the place.
pub(super) fn awaited_on(wait: &Wait, here: Option<&HostName>) -> String {
    wait.host
        .as_ref()
        .filter(|host| Some(*host) != here)
        .map(|host| format!(" on {host}"))
        .unwrap_or_default()
}

/// The time of the day, in UTC.
pub(super) fn clock_time(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

/// How long still, to the second below an hour.
pub(super) fn minutes(left: SignedDuration) -> String {
    let seconds = left.as_secs().max(0);
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes @ 1..60, seconds) => format!("{minutes} min {seconds} s"),
        _hours => span(left),
    }
}

/// A record in words.
#[must_use]
pub fn of_record(record: &Record) -> Told {
    match record {
        Record::RunStarted { run, fleet, operator, runbook, mode, .. } => {
            let mode = match mode {
                Mode::Production => "on the real fleet".to_owned(),
                Mode::Rehearsal { lab } => format!("a rehearsal in lab {lab}, fleet"),
            };
            Told::run(Kind::Lasting, format!("run {run} of {runbook}, {mode} {fleet}, begun by {operator}"))
        }
        Record::Resumed { operator, command } => {
            Told::run(Kind::Lasting, format!("{operator} goes on with: {command}"))
        }
        Record::TakenOver { by, epoch } => {
            Told::run(Kind::Bad, format!("{by} took the journal over from another machine (epoch {epoch})"))
        }
        Record::TornTail { bytes } => Told::run(
            Kind::Bad,
            format!("the journal's last line was incomplete ({bytes} bytes) and was cut off"),
        ),
        Record::Planned { plan } => Told::run(Kind::Passing, format!("plan {} recorded", plan.short())),
        Record::Observed { place, observed } => of_observed(place, observed),
        Record::AwaitingApproval { place, .. } => Told::at(place, Kind::Passing, "waits for approval"),
        Record::Approved(approval) => Told::at(&approval.place, Kind::Lasting, approved(approval)),
        Record::Intended { place, attempt: AttemptNumber(1), change, .. } => {
            Told::at(place, Kind::Lasting, format!("changing: {}", change.summary))
        }
        Record::Intended { place, attempt, change, .. } => {
            Told::at(place, Kind::Lasting, format!("changing, attempt {attempt}: {}", change.summary))
        }
        Record::Applied { place, .. } => Told::at(place, Kind::Moment, "changed"),
        Record::NotStarted { place, error, .. } => {
            Told::at(place, Kind::Bad, format!("did not begin, nothing was changed: {error}"))
        }
        Record::InDoubt { place, why, .. } => Told::at(place, Kind::BadEnd, format!("IN DOUBT: {why}")),
        Record::Decided { place, observed, by, .. } => of_decision(place, observed, by.as_ref()),
        Record::Trial { place, .. } => Told::at(place, Kind::Passing, "verifying"),
        Record::Verified { place, facts, .. } => {
            Told::at(place, Kind::End, "verified").with(facts.iter().cloned())
        }
        Record::Failed { place, error } => Told::at(place, Kind::BadEnd, format!("FAILED: {error}")),
        Record::Skipped { place, reason, by } => {
            Told::at(place, Kind::End, format!("skipped by {by}, stays unproven: {reason}"))
        }
        Record::RollingBack { place, .. } => Told::at(place, Kind::Passing, "taking back"),
        Record::RolledBack { place } => Told::at(place, Kind::End, "taken back"),
        Record::RollbackFailed { place, error } => {
            Told::at(place, Kind::BadEnd, format!("TAKING BACK FAILED: {error}"))
        }
        Record::Proven(proof) => Told::run(
            Kind::Lasting,
            format!(
                "proven: {} of {} ({}), counts until {}",
                proof.property,
                proof.component,
                grade(proof.grade),
                day(proof.expires)
            ),
        ),
        Record::PhaseDone { phase } => Told::run(Kind::Lasting, format!("phase {phase}: done")),
        Record::Interrupted => Told::run(Kind::Moment, "stopped as you asked"),
        Record::Rebased { by, .. } => {
            let text = format!("{by} accepted what has changed; approvals given before count no more");
            Told::run(Kind::Lasting, text)
        }
    }
}

fn of_observed(place: &Place, observed: &Observed) -> Told {
    match observed {
        Observed::Applied(_) => Told::at(place, Kind::Lasting, "nothing to change"),
        Observed::NotApplied { change, .. } => {
            Told::at(place, Kind::Moment, format!("will change: {}", change.summary))
        }
        Observed::Running(what) => Told::at(place, Kind::Passing, format!("under way: {what}")),
        Observed::Indeterminate(why) => Told::at(place, Kind::Bad, format!("cannot tell: {why}")),
    }
}

fn of_decision(place: &Place, observed: &Observed, by: Option<&Operator>) -> Told {
    let who = by.map_or_else(|| "by looking".to_owned(), |by| format!("by {by}"));
    match observed {
        Observed::Applied(_) => Told::at(place, Kind::Lasting, format!("decided {who}: it had its effect")),
        Observed::NotApplied { .. } => {
            Told::at(place, Kind::Lasting, format!("decided {who}: it had no effect"))
        }
        Observed::Running(what) => Told::at(place, Kind::Bad, format!("still in doubt, it runs: {what}")),
        Observed::Indeterminate(why) => Told::at(place, Kind::BadEnd, format!("still IN DOUBT: {why}")),
    }
}

/// By whom and how a gate was answered, in words.
#[must_use]
pub fn approved(approval: &Approval) -> String {
    let by = &approval.by;
    match &approval.how {
        How::Confirmed => format!("approved by {by} (confirmed at the prompt)"),
        How::Typed => format!("approved by {by} (name typed at the prompt)"),
        How::Rehearsed => format!("approved by {by} (answered by --yes in a rehearsal)"),
        How::Signed(signed) => {
            let Signed { principal, key, .. } = signed.as_ref();
            format!("approved by {principal} (signed with {key}, brought in by {by})")
        }
    }
}

/// A grade in words.
#[must_use]
pub fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::CanaryOnly => "WEAKER: a canary row only",
        Grade::SameHost => "WEAKER: complete, but on the same host",
        Grade::Full => "complete, on another host",
    }
}

/// How old a proof is, and whether it still counts.
#[must_use]
pub fn age_of(proof: &Proof, now: Timestamp) -> String {
    let age = span(now.duration_since(proof.at));
    match freshness(proof, now) {
        Freshness::Fresh => format!("proven {age} ago, counts until {}", day(proof.expires)),
        Freshness::Stale => format!("STALE: proven {age} ago, counted until {}", day(proof.expires)),
    }
}

/// Whether a workspace is the real thing.
#[must_use]
pub fn where_it_acts(workspace: &Workspace) -> String {
    match &workspace.lab {
        Some(lab) => format!("a rehearsal in lab {lab}"),
        None => "the real servers".to_owned(),
    }
}

/// A number of things, with the plural that English wants.
#[must_use]
pub fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// The day of a time, in UTC.
#[must_use]
pub fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// A size with one decimal in the largest unit that fits: exact bytes help nobody.
#[must_use]
pub fn size(bytes: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB")];
    match units.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            let tenths = bytes / (unit / 10);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => Size(bytes).to_string(),
    }
}

/// How long ago or how long still, in its two largest units.
#[must_use]
pub fn span(duration: SignedDuration) -> String {
    let seconds = duration.unsigned_abs().as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// Breaks lines between words at `width`; what follows a break begins at column `hang`, or where the line began.
#[must_use]
pub fn wrap(text: &str, width: usize, hang: usize) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let mut current = String::new();
        let mut columns = 0;
        for piece in line.split_inclusive(' ') {
            let word = piece.trim_end_matches(' ').chars().count();
            if word > 0 && columns > indent && columns + word > width {
                lines.push(current.trim_end().to_owned());
                columns = hang.max(indent);
                current = " ".repeat(columns);
            }
            current.push_str(piece);
            columns += piece.chars().count();
        }
        lines.push(current.trim_end().to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{span, waits, wrap};
    use crate::waiting::Wait;

    #[test]
    fn a_wait_says_what_since_when_and_until_when() {
        let at = |text: &str| text.parse().unwrap();
        let mut wait = Wait {
            what: "psql to end".into(),
            host: crate::name::HostName::new("node-1").ok(),
            since: at("2026-11-21T02:00:10Z"),
            at: at("2026-11-21T02:00:13Z"),
            until: Some(at("2026-11-21T02:05:10Z")),
        };
        let long = "waits for psql to end on node-1 since 02:00:10, gives up at 02:05:10 UTC (in 4 min 57 s)";
        assert_eq!(waits(&wait, None), long);
        assert_eq!(waits(&wait, wait.host.as_ref()), long.replace(" on node-1", ""));
        wait.until = None;
        assert_eq!(waits(&wait, None), "waits for psql to end on node-1 since 02:00:10 UTC");
    }

    #[test]
    fn lines_break_between_words_and_hang() {
        assert_eq!(wrap("  one two three four", 11, 4), "  one two\n    three\n    four");
        assert_eq!(wrap("averyveryverylongword x", 8, 0), "averyveryverylongword\nx");
        assert_eq!(wrap("a\n\nb", 8, 0), "a\n\nb");
        assert_eq!(wrap("  now:   it is done", 14, 9), "  now:   it is\n         done");
    }

    #[test]
    fn spans_are_short() {
        let secs = jiff::SignedDuration::from_secs;
        assert_eq!(span(secs(42)), "42 s");
        assert_eq!(span(secs(-3720)), "1 h 2 min");
        assert_eq!(span(secs(90_000)), "1 d 1 h");
    }
}
