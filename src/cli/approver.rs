//! The approver at the terminal.
//!
//! Invariant: silence is never yes. Without a terminal nobody is there; what was typed before the question was shown
//! does not answer it; a plain Enter is a no. `--yes` exists in a rehearsal only.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::rc::Rc;

use dialoguer::console::Term;
use dialoguer::{Confirm, Input};
use rustix::termios::{OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcsetattr};
use tokio::sync::Mutex;

use crate::diagnostic::{Error, Result, codes};
use crate::engine::approver::{Answer, Approver, Asked, Person, Question};
use crate::engine::interrupt::Interrupt;
use crate::engine::request::{approve_command, export_command};
use crate::journal::record::How;
use crate::name::OutputName;
use crate::notify::{News, Notifier, Occasion};
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

/// Asks the person at the terminal, for gates and for what only a person can do.
///
/// A prompt waits on a thread of its own, so that the timeouts and heartbeats of other places go on; and there is one
/// prompt at a time.
#[derive(Clone, Debug)]
pub struct Asker {
    answers: Answers,
    progress: Rc<Progress>,
    out: Out,
    interrupt: Interrupt,
    turn: Rc<Mutex<()>>,
    notifier: Option<Rc<Notifier>>,
}

impl Asker {
    /// An asker beside `progress`, whose live lines it takes away while it asks.
    #[must_use]
    pub fn new(answers: Answers, progress: Rc<Progress>, out: Out, interrupt: Interrupt) -> Self {
        Self { answers, progress, out, interrupt, turn: Rc::default(), notifier: None }
    }

    /// The same, and somebody who is elsewhere is told that a gate waits.
    #[must_use]
    pub fn notifying(self, notifier: Rc<Notifier>) -> Self {
        Self { notifier: Some(notifier), ..self }
    }

    fn waits(&self, news: impl FnOnce() -> News) {
        if let (Answers::Operator, Some(notifier)) = (self.answers, &self.notifier) {
            notifier.tell(Occasion::GateWaits, news());
        }
    }

    /// Asks a yes-or-no question of hactl's own, outside any gate, after showing `text`.
    ///
    /// # Errors
    /// The terminal failed, or Ctrl-C was pressed.
    pub async fn confirm(&self, text: &str, prompt: &str) -> Result<Answer> {
        let text = words::wrap(&words::clean(text), self.out.width(), 10);
        match self.answers {
            Answers::Rehearsal => self.progress.suspend(|| {
                show(&format!("\n{text}\n  answered with yes by --yes, in a rehearsal\n"))?;
                Ok(Answer::Yes(How::Rehearsed))
            }),
            Answers::Operator if !somebody_there() => {
                self.progress.suspend(|| show(&format!("\n{text}\n")))?;
                Ok(Answer::NobodyThere)
            }
            Answers::Operator => {
                let prompt = prompt.to_owned();
                self.at_terminal(format!("\n{text}\n"), "nothing was done", move || confirm(&prompt)).await
            }
        }
    }

    /// Shows a text and puts a question, once no other question is on the terminal. `state` is how things stand where the
    /// question is not answered.
    pub(super) async fn at_terminal<T: Send + 'static>(
        &self,
        text: String,
        state: &'static str,
        question: impl FnOnce() -> dialoguer::Result<T> + Send + 'static,
    ) -> Result<T> {
        let _turn = self.turn.lock().await;
        if self.interrupt.wanted() {
            return Err(
                Error::new(codes::INTERRUPTED, "stopped as you asked, before the question").state(state)
            );
        }
        let _hushed = self.progress.hush();
        let _terminal = Terminal::as_it_is();
        show(&text)?;
        forget_what_was_typed();
        let answer = tokio::task::spawn_blocking(question).await;
        let answer = answer.map_err(|e| Error::new(codes::INTERNAL, "a prompt ended badly").source(e))?;
        answer.map_err(|e| stopped(e, state))
    }
}

/// The terminal's settings, put back when this is dropped: a prompt may be given up while it waits for keys.
struct Terminal(Option<Termios>);

impl Terminal {
    fn as_it_is() -> Self {
        Self(tcgetattr(io::stdin()).ok())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(settings) = &self.0 {
            // Where that fails, `reset` puts it right.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, settings);
            let _ = Term::stderr().show_cursor();
        }
    }
}

impl Approver for Asker {
    async fn ask(&self, question: &Question<'_>) -> Result<Answer> {
        let text = words::wrap(&words::clean(&question.text()), self.out.width(), 13);
        self.waits(|| waiting(question));
        match self.answers {
            Answers::Rehearsal => self.progress.suspend(|| {
                show(&format!("\n{text}\n  answered with yes by --yes, in a rehearsal\n"))?;
                Ok(Answer::Yes(How::Rehearsed))
            }),
            Answers::Operator if !somebody_there() => Ok(Answer::NobodyThere),
            Answers::Operator => {
                let (gate, name) = (question.gate, question.typed_name.to_owned());
                let put = move || match gate {
                    Gate::None | Gate::Confirm => confirm("  Do it?"),
                    Gate::Type => typed(&name),
                    // Who operates cannot answer it at the prompt.
                    Gate::Sign => Ok(Answer::NobodyThere),
                };
                let state = "this step changed nothing, and nothing was approved";
                let answer = self.at_terminal(format!("\n{text}\n"), state, put).await;
                answer.map_err(|e| e.at(question.place).next("hactl resume    (asks again)"))
            }
        }
    }
}

impl Person for Asker {
    fn ask<'a>(&'a self, instructions: &'a str, questions: &'a BTreeMap<OutputName, String>) -> Asked<'a> {
        Box::pin(self.have_done(instructions, questions))
    }
}

impl Asker {
    async fn have_done(
        &self,
        instructions: &str,
        questions: &BTreeMap<OutputName, String>,
    ) -> Result<BTreeMap<OutputName, String>> {
        let text = words::wrap(&words::clean(instructions.trim_end()), self.out.width(), 0);
        let text = format!("\nFor you to do by hand:\n{}\n", indented(&text));
        self.waits(|| {
            let lines: Vec<_> = instructions.split_whitespace().collect();
            News { text: format!("to be done by hand: {}", lines.join(" ")), ..News::default() }
        });
        match self.answers {
            Answers::Rehearsal => self.progress.suspend(|| {
                show(&format!("{text}  taken as done by --yes, in a rehearsal\n"))?;
                Ok(questions.keys().map(|name| (name.clone(), "rehearsed".to_owned())).collect())
            }),
            Answers::Operator if !somebody_there() => {
                self.progress.suspend(|| show(&text))?;
                Err(Error::new(
                    codes::APPROVAL_NEEDED,
                    "this step is done by a person, and there is no terminal to ask at",
                )
                .state("nothing was done")
                .next("at a terminal: hactl resume"))
            }
            Answers::Operator => {
                let questions = questions.clone();
                let state = "hactl does not know whether you did it";
                let answer = self.at_terminal(text, state, move || by_hand(&questions)).await;
                answer.map_err(|e| e.next("hactl resume    (asks again)"))?
            }
        }
    }
}

/// What somebody elsewhere is told of a gate, and how to answer it.
fn waiting(question: &Question<'_>) -> News {
    let Question { place, title, change, gate, .. } = question;
    let text = format!("{place} waits for approval: {title}: {}", change.summary);
    let next = match gate {
        Gate::None | Gate::Confirm | Gate::Type if somebody_there() => {
            vec!["answer at the terminal where hactl asks".to_owned()]
        }
        Gate::None | Gate::Confirm | Gate::Type => vec![approve_command(place), "hactl resume".to_owned()],
        Gate::Sign => vec![export_command(place).0],
    };
    News::of_gate(place, text, next)
}

type ByHand = Result<BTreeMap<OutputName, String>>;

fn by_hand(questions: &BTreeMap<OutputName, String>) -> dialoguer::Result<ByHand> {
    match confirm("  Is it done?")? {
        Answer::Yes(_) => {}
        Answer::No | Answer::NobodyThere => {
            return Ok(Err(Error::new(codes::APPROVAL_REFUSED, "you said that it is not done")
                .state("hactl changed nothing")
                .next("when it is done: hactl resume")));
        }
    }
    let mut answers = BTreeMap::new();
    for (name, question) in questions {
        let answer: String = Input::new()
            .with_prompt(format!("  {}", words::clean(question)))
            .interact_text_on(&Term::stderr())?;
        answers.insert(name.clone(), answer);
    }
    Ok(Ok(answers))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// Asks a yes-or-no question before there is a workspace. Without a terminal nobody is there.
///
/// # Errors
/// The terminal failed, or Ctrl-C was pressed.
pub fn ask_plainly(progress: &Progress, prompt: &str) -> Result<Answer> {
    if !somebody_there() {
        return Ok(Answer::NobodyThere);
    }
    forget_what_was_typed();
    progress.suspend(|| {
        show(&format!("{prompt} [y/N] "))?;
        // A plain line: Ctrl-C ends hactl here as it ends any program, and must find the terminal as it was.
        let mut line = String::new();
        let failed = |e| Error::new(codes::IO, "the terminal failed while asking").source(e);
        io::stdin().read_line(&mut line).map_err(failed)?;
        Ok(match line.trim() {
            "y" | "Y" | "yes" => Answer::Yes(How::Confirmed),
            _ => Answer::No,
        })
    })
}

pub(super) fn somebody_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Keys that were pressed while something else was on the screen must not answer a question.
fn forget_what_was_typed() {
    // Where it cannot be done the question still needs y and Enter, or a name.
    let _ = tcflush(io::stdin(), QueueSelector::IFlush);
}

pub(super) fn show(text: &str) -> Result<()> {
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

fn stopped(error: dialoguer::Error, state: &str) -> Error {
    let dialoguer::Error::IO(error) = error;
    // The prompt hides the cursor, and an interrupted one does not bring it back.
    let _ = Term::stderr().show_cursor();
    let _ = Term::stderr().write_line("");
    match error.kind() {
        io::ErrorKind::Interrupted => Error::new(codes::INTERRUPTED, "stopped at the question").state(state),
        _ => Error::new(codes::IO, "the terminal failed while asking").source(error).state(state),
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::{Answers, Asker};
    use crate::diagnostic::codes;
    use crate::engine::interrupt::Interrupt;
    use crate::event::{Event, Listener as _};
    use crate::render::{Format, Out, Progress};

    #[tokio::test(flavor = "current_thread")]
    async fn a_prompt_keeps_nothing_waiting_but_the_next_prompt() {
        let out = Out::new(Format::Human);
        let interrupt = Interrupt::default();
        let asker = Asker::new(Answers::Operator, Rc::new(Progress::new(&out)), out, interrupt.clone());
        let (answer, keys) = std::sync::mpsc::channel::<()>();
        let second = Arc::new(AtomicBool::new(false));
        let put = Arc::clone(&second);
        let first = asker.at_terminal(String::new(), "", move || {
            keys.recv_timeout(Duration::from_secs(20))
                .expect("the event loop did not go on while a prompt waited");
            Ok(())
        });
        let next = asker.at_terminal(String::new(), "", move || {
            put.store(true, Ordering::SeqCst);
            Ok(())
        });
        let elsewhere = async {
            // Another place's timers run, and the second prompt waits for its turn.
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(!second.load(Ordering::SeqCst), "two prompts at once");
            asker.progress.event(Event::Stopping);
            answer.send(()).unwrap();
        };
        let (first, next, ()) = tokio::join!(first, next, elsewhere);
        first.unwrap();
        next.unwrap();
        assert!(second.load(Ordering::SeqCst));
        interrupt.request();
        let error = asker.at_terminal(String::new(), "", || Ok(())).await.unwrap_err();
        assert_eq!(error.code(), codes::INTERRUPTED, "after Ctrl-C nothing more is asked");
    }
}
