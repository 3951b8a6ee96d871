//! Who answers at a gate, and what they are shown.
//!
//! Invariant: silence is never yes. Only an [`Approver`] may prompt, and what it shows is kept as evidence.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures_util::future::LocalBoxFuture;

use crate::diagnostic::Result;
use crate::journal::record::{Change, How, Place};
use crate::name::OutputName;
use crate::runbook::Gate;
use crate::step::{Findings, WayBack, Weight};

/// What a gate asks.
#[derive(Debug)]
pub struct Question<'a> {
    /// Where.
    pub place: &'a Place,
    /// The step's title.
    pub title: &'a str,
    /// Why the step is done.
    pub why: Option<&'a str>,
    /// How strong the gate is.
    pub gate: Gate,
    /// What would change.
    pub change: &'a Change,
    /// How it could be taken back.
    pub way_back: &'a WayBack,
    /// What was measured just now.
    pub findings: &'a Findings,
    /// What a `type` gate asks to be typed.
    pub typed_name: &'a str,
}

impl Question<'_> {
    /// The text that the operator reads before answering.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "{}: {}", self.place, self.title);
        if let Some(why) = self.why {
            let _ = writeln!(text, "  why:       {why}");
        }
        let _ = writeln!(text, "  change:    {}", self.change.summary);
        for detail in &self.change.details {
            let _ = writeln!(text, "             {detail}");
        }
        let _ = writeln!(text, "  way back:  {}", way_back_text(self.way_back));
        for finding in &self.findings.0 {
            let label = match finding.weight {
                Weight::Note => "note:     ",
                Weight::Warning => "WARNING:  ",
                Weight::Blocks => "BLOCKED:  ",
            };
            let _ = writeln!(text, "  {label} {}", finding.text);
        }
        text
    }
}

/// A way back in the operator's words.
#[must_use]
pub fn way_back_text(way_back: &WayBack) -> String {
    match way_back {
        WayBack::Nothing => "nothing to take back".to_owned(),
        WayBack::Undo => "hactl phase rollback restores what was there".to_owned(),
        WayBack::Compensate(how) => format!("hactl phase rollback: {how}"),
        WayBack::Irreversible { why } => format!("NONE, this is a point of no return: {why}"),
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes, and how it was given.
    Yes(How),
    /// No.
    No,
    /// There is nobody to ask.
    NobodyThere,
}

/// Answers gates.
pub trait Approver {
    /// Asks one question. Waiting for the answer must not keep other places from going on.
    ///
    /// # Errors
    /// The terminal failed, or the operator pressed Ctrl-C at the prompt.
    #[expect(async_fn_in_trait, reason = "one thread drives everything, so no Send bound is wanted")]
    async fn ask(&self, question: &Question<'_>) -> Result<Answer>;
}

/// What a person will have answered.
pub type Asked<'a> = LocalBoxFuture<'a, Result<BTreeMap<OutputName, String>>>;

/// Does by hand what only a person can do, and answers questions about it.
pub trait Person {
    /// Shows instructions, waits until the person says that it is done, and asks each question.
    ///
    /// # Errors
    /// There is no terminal ([`codes::APPROVAL_NEEDED`](crate::diagnostic::codes::APPROVAL_NEEDED)), the person said
    /// no, or pressed Ctrl-C.
    fn ask<'a>(&'a self, instructions: &'a str, questions: &'a BTreeMap<OutputName, String>) -> Asked<'a>;
}
