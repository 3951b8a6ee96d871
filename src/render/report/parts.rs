//! The sections of a report, in the order in which they are read.

use jiff::{SignedDuration, Timestamp};

use super::document::{Bar, Block, Line, Piece, code, strong, text};
use super::told;
use crate::engine::state::State;
use crate::journal::record::{AttemptNumber, Proof};
use crate::proof::{self, Freshness};
use crate::render::words;
use crate::report::{ApprovalReport, PlaceReport, ProofReport, ProofStanding, Report, Unproven};

pub(super) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

pub(super) fn counted(number: usize, thing: &str) -> String {
    match thing.strip_suffix("ty") {
        Some(stem) if number != 1 => format!("{number} {stem}ties"),
        Some(_) | None => words::count(number, thing),
    }
}

fn heading(text: &str) -> Block {
    Block::Heading(2, text.to_owned())
}

pub(super) fn proofs(report: &Report) -> Vec<Block> {
    let mut blocks = vec![heading("What is proven")];
    if report.proofs.is_empty() {
        blocks.push(Block::Paragraph(text("Nothing was proven.")));
    } else {
        let rows = report.proofs.iter().map(|proof| proof_row(proof, report.made)).collect();
        blocks.push(Block::Table { head: vec!["Proof", "Grade", "Taken", "Counts until", "Standing"], rows });
    }
    let mut missing: Vec<Line> = report.unproven.iter().map(unproven).collect();
    let skipped = report.places().filter(|place| place.state == State::Skipped);
    missing.extend(skipped.map(|place| {
        let by = place.skipped_by.as_deref().unwrap_or("somebody");
        let why = place.why.as_deref().unwrap_or("no reason given");
        text(format!("{} was skipped by {by}: {why}", place.place))
    }));
    if !missing.is_empty() {
        blocks.push(heading("What is not proven"));
        blocks.push(Block::List(missing));
    }
    blocks
}

/// What stands behind the proofs. Those of one restore share it.
pub(super) fn proofs_in_detail(report: &Report) -> Vec<Block> {
    let mut groups: Vec<(Vec<String>, &Proof)> = Vec::new();
    for ProofReport { proof, .. } in &report.proofs {
        let same = |other: &Proof| {
            (&other.facts, &other.measured, &other.evidence)
                == (&proof.facts, &proof.measured, &proof.evidence)
        };
        match groups.iter_mut().find(|(_, other)| same(other)) {
            Some((ids, _)) => ids.push(proof::id(proof)),
            None => groups.push((vec![proof::id(proof)], proof)),
        }
    }
    let mut blocks = Vec::new();
    if !groups.is_empty() {
        blocks.push(heading("The proofs in detail"));
    }
    for (ids, proof) in groups {
        blocks.push(Block::Heading(3, ids.join(", ")));
        blocks.push(Block::List(proof.facts.iter().map(|fact| text(fact.clone())).collect()));
        let measured = |(name, figure): (&String, &f64)| match figure.fract() == 0.0 {
            true => format!("{name} {figure:.0}"),
            false => format!("{name} {figure:.1}"),
        };
        let measured: Vec<_> = proof.measured.iter().map(measured).collect();
        let mut kept = Vec::new();
        for evidence in &proof.evidence {
            let before = if kept.is_empty() { "" } else { ", " };
            kept.push(Piece::Text(format!("{before}{} ", evidence.name)));
            kept.push(Piece::Code(evidence.digest.short()));
        }
        blocks.push(Block::Facts(vec![("Measured", text(measured.join(", "))), ("Evidence", kept)]));
    }
    blocks
}

fn proof_row(ProofReport { proof, freshness, standing }: &ProofReport, now: Timestamp) -> Vec<Line> {
    let age = words::span(now.duration_since(proof.at));
    let standing = match (standing, freshness) {
        (ProofStanding::Newest, Freshness::Fresh) => text("counts"),
        (ProofStanding::Newest, Freshness::Stale) => strong("STALE"),
        (ProofStanding::Superseded, _) => text("a newer one counts"),
        (ProofStanding::Withdrawn, _) => strong("WITHDRAWN: its step failed or was taken back"),
    };
    vec![
        text(proof::id(proof)),
        text(words::grade(proof.grade)),
        text(format!("{} ({age} old)", moment(proof.at))),
        text(words::day(proof.expires)),
        standing,
    ]
}

fn unproven(Unproven { component, property, stale_since }: &Unproven) -> Line {
    text(match (property, stale_since) {
        (None, _) => format!("{component}: the runbook names no proof for it"),
        (Some(property), None) => format!("{component}/{property}: never proven"),
        (Some(property), Some(since)) => {
            format!("{component}/{property}: its proof is stale since {}", words::day(*since))
        }
    })
}

pub(super) fn timeline(report: &Report) -> Vec<Block> {
    let mut blocks = vec![heading("Timeline")];
    let first = report.places().map(|place| place.began).min();
    let last = report.places().map(|place| place.ended).max();
    let (Some(first), Some(last)) = (first, last) else {
        blocks.push(Block::Paragraph(text("No step was begun.")));
        return blocks;
    };
    let mut places: Vec<_> = report.places().collect();
    places.sort_by_key(|place| place.began);
    let all = last.duration_since(first).as_millis().max(1);
    let thousandths =
        |at: Timestamp| u32::try_from(at.duration_since(first).as_millis() * 1000 / all).unwrap_or(1000);
    let bar = |place: &&PlaceReport| Bar {
        label: place.place.to_string(),
        from: thousandths(place.began),
        to: thousandths(place.ended),
        told: format!("{}, {}", from_to(place.began, place.ended), told(place.state)),
    };
    blocks.push(Block::Timeline(places.iter().map(bar).collect()));
    for phase in &report.phases {
        let title = match &phase.named {
            Some((id, title)) => format!("Phase {id}: {title}"),
            None => "Steps whose phase is not known".to_owned(),
        };
        blocks.push(Block::Heading(3, title));
        let mut rows = Vec::new();
        for step in &phase.steps {
            rows.extend(step.places.iter().map(place_row));
            if step.places.is_empty() {
                rows.push(vec![code(step.id.clone()), text("not begun"), vec![], vec![], vec![]]);
            }
        }
        blocks.push(Block::Table { head: vec!["Step", "State", "Began", "Time spent", "Attempts"], rows });
        if let Some(done) = phase.done {
            blocks.push(Block::Paragraph(text(format!("Carried out to its end at {}.", moment(done)))));
        }
    }
    blocks
}

fn from_to(began: Timestamp, ended: Timestamp) -> String {
    let format = if words::day(began) == words::day(ended) { "%H:%M:%S" } else { "%m-%d %H:%M:%S" };
    format!("{} to {}", began.strftime("%m-%d %H:%M:%S"), ended.strftime(format))
}

fn place_row(place: &PlaceReport) -> Vec<Line> {
    let state = told(place.state);
    let state = if state.chars().any(char::is_lowercase) { text(state) } else { strong(state) };
    let spent = [
        ("waiting at the gate", place.spent.waiting),
        ("changing", place.spent.changing),
        ("verifying", place.spent.verifying),
        ("taking back", place.spent.undoing),
    ];
    let busy = spent.iter().any(|(_, spent)| !spent.is_zero());
    let mut spent: Vec<_> = spent
        .into_iter()
        .filter(|(_, spent)| *spent >= SignedDuration::from_secs(1))
        .map(|(what, spent)| format!("{what} {}", words::span(spent)))
        .collect();
    if busy && spent.is_empty() {
        spent.push("less than a second".to_owned());
    }
    let attempts = match (place.attempts, place.rollbacks) {
        (AttemptNumber(0), AttemptNumber(0)) => "none".to_owned(),
        (attempts, AttemptNumber(0)) => attempts.to_string(),
        (attempts, rollbacks) => format!("{attempts}, and {rollbacks} to take back"),
    };
    let mut step = code(place.place.step.to_string());
    step.extend(place.place.host.iter().map(|host| Piece::Text(format!(" on {host}"))));
    vec![step, state, text(moment(place.began)), text(spent.join(", ")), text(attempts)]
}

pub(super) fn doubts(report: &Report) -> Vec<Block> {
    if report.doubts.is_empty() {
        return Vec::new();
    }
    let mut blocks = vec![heading("What was in doubt, and how it was decided")];
    for doubt in &report.doubts {
        let title = format!("{}, attempt {}, since {}", doubt.place, doubt.attempt, moment(doubt.at));
        blocks.push(Block::Heading(3, title));
        let mut lines = vec![text(doubt.why.clone())];
        lines.extend(
            doubt
                .decisions
                .iter()
                .map(|line| text(format!("{}: {}", moment(line.at), words::of_record(&line.record).text))),
        );
        if doubt.decisions.is_empty() {
            lines.push(strong("Nobody has decided it."));
        }
        blocks.push(Block::List(lines));
    }
    blocks
}

pub(super) fn approvals(report: &Report) -> Vec<Block> {
    let mut blocks = vec![heading("Approvals")];
    if report.approvals.is_empty() {
        blocks.push(Block::Paragraph(text("No gate was answered.")));
    }
    for ApprovalReport { seq, at, approval, shown } in &report.approvals {
        blocks.push(Block::Heading(3, approval.place.to_string()));
        let mut facts = vec![
            ("When", text(format!("{}, record {seq}", moment(*at)))),
            ("Answer", text(words::approved(approval))),
            ("Counted until", text(moment(approval.expires))),
            ("Binds", code(approval.binding.to_string())),
        ];
        match shown {
            Ok(shown) => {
                let digest = Piece::Code(approval.shown.digest.to_string());
                facts.push(("Shown", vec![Piece::Text("what stands below, SHA-256 ".to_owned()), digest]));
                blocks.push(Block::Facts(facts));
                blocks.push(Block::Verbatim(shown.clone()));
            }
            Err(why) => {
                facts.push(("Shown", strong(format!("cannot be told: {why}"))));
                blocks.push(Block::Facts(facts));
            }
        }
    }
    blocks
}

pub(super) fn steps(report: &Report) -> Vec<Block> {
    let mut blocks = vec![heading("The steps in detail")];
    for step in report.phases.iter().flat_map(|phase| &phase.steps) {
        for place in &step.places {
            let title = step.title.as_ref().map(|title| format!(": {title}")).unwrap_or_default();
            blocks.push(Block::Heading(3, format!("{}{title}", place.place)));
            let mut facts = vec![("State", text(told(place.state)))];
            if let Some(why) = &place.why {
                facts.push(("Why", strong(why.clone())));
            }
            if let Some(change) = &place.change {
                facts.push(("Change", text(change.summary.clone())));
            }
            blocks.push(Block::Facts(facts));
            if let Some(change) = place.change.as_ref().filter(|change| !change.details.is_empty()) {
                blocks.push(Block::Verbatim(change.details.join("\n")));
            }
            if !place.facts.is_empty() {
                blocks.push(Block::Paragraph(text("Verifying found:")));
                blocks.push(Block::List(place.facts.iter().map(|fact| text(fact.clone())).collect()));
            }
        }
    }
    blocks
}

pub(super) fn history(report: &Report) -> Vec<Block> {
    let row = |line: &crate::journal::Line| {
        let told = words::of_record(&line.record);
        vec![text(line.seq.to_string()), text(moment(line.at)), text(told.line())]
    };
    let rows = report.history.iter().map(row).collect();
    vec![heading("The run as a whole"), Block::Table { head: vec!["Record", "When", "What"], rows }]
}

pub(super) fn evidence(report: &Report) -> Vec<Block> {
    let note = "Evidence is kept in .hactl/evidence, each piece in a file that is named by its SHA-256. It was read and \
                compared with that digest when this report was made.";
    let mut blocks = vec![heading("Evidence"), Block::Paragraph(text(note))];
    let rows = report.evidence.iter().map(|kept| {
        let found = match &kept.content {
            Ok(_) => text("as it was kept"),
            Err(_) => strong("MISSING OR DAMAGED"),
        };
        let evidence = &kept.evidence;
        let size = text(format!("{} bytes", evidence.bytes));
        vec![
            text(evidence.name.clone()),
            text(kept.of.join("; ")),
            size,
            code(evidence.digest.to_string()),
            found,
        ]
    });
    let head = vec!["What", "Of", "Size", "SHA-256", "Found"];
    blocks.push(Block::Table { head, rows: rows.collect() });
    // The runbook is a file of ours and long; what was captured is what somebody will look for.
    for kept in report.evidence.iter().filter(|kept| kept.evidence.digest != report.run.runbook_bytes.digest)
    {
        blocks.push(Block::Heading(3, format!("{}: {}", kept.evidence.name, kept.of.join("; "))));
        match &kept.content {
            Ok(content) => blocks.push(Block::Verbatim(content.clone())),
            Err(why) => blocks.push(Block::Paragraph(strong(why.clone()))),
        }
    }
    blocks
}
