//! A report of a run for people: Markdown, and one HTML page that prints well.
//!
//! Invariant: both are written from one [`Document`], so they say the same; every text of the report goes through
//! their escaping. Nothing is said by colour alone.

mod document;
mod html;
mod markdown;
mod parts;

use document::{Block, Document, Piece, code, strong, text};
use parts::{
    approvals, counted, doubts, evidence, history, moment, proofs, proofs_in_detail, steps, timeline,
};

use crate::engine::state::State;
use crate::journal::record::Mode;
use crate::report::Report;

/// The report as Markdown.
#[must_use]
pub fn to_markdown(report: &Report) -> String {
    markdown::write(&of(report))
}

/// The report as one HTML page.
#[must_use]
pub fn to_html(report: &Report) -> String {
    html::write(&of(report))
}

fn of(report: &Report) -> Document {
    let run = &report.run;
    let title = format!("{} on {}: report of a run", run.runbook, run.fleet);
    let mut blocks = vec![Block::Paragraph(verdict(report))];
    if let Mode::Rehearsal { lab } = &run.mode {
        let what = format!("This was a rehearsal in the lab {lab}: no server of the real fleet was touched.");
        blocks.push(Block::Paragraph(text(what)));
    }
    blocks.push(head(report));
    blocks.extend(proofs(report));
    blocks.extend(timeline(report));
    blocks.extend(doubts(report));
    blocks.extend(approvals(report));
    blocks.extend(steps(report));
    blocks.extend(proofs_in_detail(report));
    blocks.extend(history(report));
    blocks.extend(evidence(report));
    Document { title, blocks }
}

/// What somebody who reads one sentence must know.
fn verdict(report: &Report) -> document::Line {
    let number = |state: State| report.places().filter(|place| place.state == state).count();
    let verified = number(State::Verified);
    let bad: Vec<String> = [
        (State::InDoubt, "in doubt"),
        (State::Intended, "begun, and nobody knows how it ended"),
        (State::Failed, "failed"),
        (State::RollbackFailed, "could not be taken back"),
        (State::RollingBack, "half taken back"),
        (State::AwaitingApproval, "waiting for approval"),
        (State::Ready, "not carried out yet"),
        (State::Applied, "changed and not verified"),
        (State::RolledBack, "taken back"),
        (State::Skipped, "skipped"),
    ]
    .into_iter()
    .filter_map(|(state, told)| Some(format!("{} {told}", nonzero(number(state))?)))
    .collect();
    let all = report.places().count();
    let not_begun = report.not_begun().count();
    let mut line = match (bad.is_empty(), not_begun) {
        (true, 0) => strong(format!("Every step was carried out and verified ({verified} of {all}).")),
        (true, steps) => {
            strong(format!("{} verified; {} not begun.", counted(verified, "place"), counted(steps, "step")))
        }
        (false, _) => {
            let not_begun = nonzero(not_begun).map(|n| format!(", {} not begun", counted(n, "step")));
            strong(format!(
                "{verified} of {all} verified; {}{}.",
                bad.join(", "),
                not_begun.unwrap_or_default()
            ))
        }
    };
    let unproven = match report.unproven.len() {
        0 if report.no_outline.is_some() => " What had to be proven is not known.".to_owned(),
        0 => " Everything that the runbook wants proven is proven.".to_owned(),
        number => format!(" {} not proven, see below.", counted(number, "property")),
    };
    line.push(Piece::Text(unproven));
    line
}

fn nonzero(number: usize) -> Option<usize> {
    (number > 0).then_some(number)
}

fn head(report: &Report) -> Block {
    let run = &report.run;
    let runbook = match &report.title {
        Some(title) => format!("{}, “{title}”, ", run.runbook),
        None => format!("{}, ", run.runbook),
    };
    let digest = |before: String, digest: &crate::digest::Digest| {
        vec![Piece::Text(before), Piece::Code(digest.to_string())]
    };
    let (seq, at, sum) = &report.last;
    let mut facts = vec![
        ("Fleet", text(format!("{} ({})", run.fleet, report.hosts.join(", ")))),
        ("Runbook", digest(format!("{runbook}SHA-256 "), &run.runbook_bytes.digest)),
        ("Workspace file", digest("hactl.toml, SHA-256 ".to_owned(), &run.workspace.digest)),
        ("Run", code(run.run.to_string())),
        ("Operator", text(run.operator.to_string())),
        ("Began", text(moment(run.started))),
        ("Last record", text(moment(*at))),
        ("Version", text(format!("begun by hactl {}", run.hactl))),
        ("Journal", digest(format!("up to record {seq}, whose checksum is "), sum)),
        ("This report", text(format!("made {} by hactl {}", moment(report.made), env!("CARGO_PKG_VERSION")))),
        ("Times", text("all in UTC, by the clock of the operator’s machine")),
    ];
    if let Some(why) = &report.no_outline {
        facts.push(("Missing", strong(format!("the runbook that was carried out: {why}"))));
    }
    if let Some(bytes) = report.torn {
        facts.push(("Torn", strong(format!("the journal’s last line is incomplete ({bytes} bytes)"))));
    }
    if let Some(at) = report.interrupted {
        facts.push(("Interrupted", strong(format!("{}, and nobody went on since", moment(at)))));
    }
    if !report.others.is_empty() {
        let ids: Vec<_> = report.others.iter().map(ToString::to_string).collect();
        facts.push(("Other runs", text(ids.join(", "))));
    }
    Block::Facts(facts)
}

/// A state as a report tells it.
fn told(state: State) -> String {
    match state {
        State::Failed => "FAILED".to_owned(),
        State::InDoubt | State::Intended => "IN DOUBT".to_owned(),
        State::RollbackFailed => "TAKING BACK FAILED".to_owned(),
        State::RollingBack => "HALF TAKEN BACK".to_owned(),
        State::RolledBack => "taken back".to_owned(),
        State::Skipped => "skipped, unproven".to_owned(),
        state @ (State::Pending
        | State::Ready
        | State::AwaitingApproval
        | State::Applied
        | State::Verified) => state.to_string(),
    }
}

#[cfg(test)]
mod tests;
