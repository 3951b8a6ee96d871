//! The approver at the terminal.
//!
//! Invariant: silence is never yes. Without a terminal nobody is there; what was typed before the question was shown
//! does not answer it; a plain Enter is a no. `--yes` exists in a rehearsal only.

use std::io::{self, IsTerminal as _, Write as _};

use dialoguer::console::Term;
use dialoguer::{Confirm, Input};
use rustix::termios::{QueueSelector, tcflush};

use crate::diagnostic::{Error, Result, codes};
use crate::engine::approver::{Answer, Approver, Question};
use crate::journal::record::How;
use crate::render::{Out, Progress, words};
use crate::runbook::Gate;
use crate::workspace::Workspace;

/// How often a name may be mistyped before that counts as no.
const TRIES: usize = 3;

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// The person at the terminal.
    Operator,
    /// `--yes`, in a rehearsal.
    Rehearsal,
}

impl Answers {
    /// Who answers in this workspace.
    ///
    /// # Errors
    /// [`codes::YES_IN_PRODUCTION`]: `--yes` was given outside a rehearsal.
    pub fn new(yes: bool, workspace: &Workspace) -> Result<Self> {
        match (yes, workspace.is_rehearsal()) {
            (false, _) => Ok(Self::Operator),
            (true, true) => Ok(Self::Rehearsal),
            (true, false) => Err(Error::new(
                codes::YES_IN_PRODUCTION,
                "--yes is only for rehearsals, and this workspace is a real fleet",
            )
            .state("nothing was done")
            .next("the same command without --yes asks you at each gate")
            .next("hactl rehearse tries the runbook out in a lab first")),
        }
    }
}

/// Asks the person at the terminal.
#[derive(Debug)]
pub struct TerminalApprover<'a> {
    answers: Answers,
    progress: &'a Progress,
    out: &'a Out,
}

impl<'a> TerminalApprover<'a> {
    /// An approver beside `progress`, whose live lines it takes away while it asks.
    #[must_use]
    pub fn new(answers: Answers, progress: &'a Progress, out: &'a Out) -> Self {
        Self { answers, progress, out }
    }
}

impl Approver for TerminalApprover<'_> {
    fn ask(&self, question: &Question<'_>) -> Result<Answer> {
        let text = words::wrap(&words::clean(&question.text()), self.out.width(), 13);
        match self.answers {
            Answers::Rehearsal => self.progress.suspend(|| {
                show(&format!("\n{text}\n  answered with yes by --yes, in a rehearsal\n"))?;
                Ok(Answer::Yes(How::Rehearsed))
            }),
            Answers::Operator if !somebody_there() => Ok(Answer::NobodyThere),
            Answers::Operator => self.progress.suspend(|| {
                show(&format!("\n{text}\n"))?;
                forget_what_was_typed();
                let answer = match question.gate {
                    Gate::None | Gate::Confirm => confirm("  Do it?"),
                    Gate::Type => typed(question.typed_name),
                    // Loading refuses this gate until there are signatures.
                    Gate::Sign => Ok(Answer::NobodyThere),
                };
                answer.map_err(|e| interrupted(e, question))
            }),
        }
    }
}

/// Asks a question of hactl's own, outside any gate. Without a terminal the answer is no.
///
/// # Errors
/// The terminal failed, or Ctrl-C was pressed.
pub fn ask_plainly(progress: &Progress, prompt: &str) -> Result<Answer> {
    if !somebody_there() {
        return Ok(Answer::NobodyThere);
    }
    forget_what_was_typed();
    progress.suspend(|| confirm(prompt)).map_err(|error| {
        Error::new(codes::INTERRUPTED, "stopped at the question").source(error).state("nothing was done")
    })
}

fn somebody_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Keys that were pressed while something else was on the screen must not answer a question.
fn forget_what_was_typed() {
    // Where it cannot be done the question still needs y and Enter, or a name.
    let _ = tcflush(io::stdin(), QueueSelector::IFlush);
}

fn show(text: &str) -> Result<()> {
    io::stderr()
        .write_all(text.as_bytes())
        .map_err(|e| Error::new(codes::IO, "cannot write to the terminal").source(e))
}

fn confirm(prompt: &str) -> dialoguer::Result<Answer> {
    let yes = Confirm::new()
        .with_prompt(prompt)
        .default(false)
        .wait_for_newline(true)
        .interact_on(&Term::stderr())?;
    Ok(if yes { Answer::Yes(How::Confirmed) } else { Answer::No })
}

fn typed(name: &str) -> dialoguer::Result<Answer> {
    let name = words::clean(name);
    for _ in 0..TRIES {
        let typed: String = Input::new()
            .with_prompt(format!("  Type {name} to do it, nothing to refuse"))
            .allow_empty(true)
            .interact_text_on(&Term::stderr())?;
        match typed.as_str() {
            "" => return Ok(Answer::No),
            same if same == name => return Ok(Answer::Yes(How::Typed)),
            other => {
                Term::stderr().write_line(&format!("  That was {:?}, not {name}.", words::clean(other)))?;
            }
        }
    }
    Ok(Answer::No)
}

fn interrupted(error: dialoguer::Error, question: &Question<'_>) -> Error {
    let dialoguer::Error::IO(error) = error;
    // The prompt hides the cursor, and an interrupted one does not bring it back.
    let _ = Term::stderr().show_cursor();
    match error.kind() {
        io::ErrorKind::Interrupted => Error::new(codes::INTERRUPTED, "stopped at the question")
            .at(question.place)
            .state("this step changed nothing, and nothing was approved")
            .next("hactl resume    (asks again)"),
        _ => Error::new(codes::IO, "the terminal failed while asking")
            .at(question.place)
            .source(error)
            .state("this step changed nothing, and nothing was approved")
            .next("hactl resume    (asks again)"),
    }
}
