//! Asking for one answer: a flag gives it, or the person at the terminal, or a default; else it is missing.

use std::cell::RefCell;
use std::rc::Rc;

use dialoguer::console::Term;
use dialoguer::{Input, Select};

use crate::cli::approver::{Answers, Asker, somebody_there};
use crate::diagnostic::{Error, Result, codes};
use crate::engine::approver::Answer;
use crate::engine::interrupt::Interrupt;
use crate::render::{Out, Progress, words};

/// How things stand until the end.
const STATE: &str = "nothing was written";

/// One question.
pub(super) struct Ask<'a> {
    /// The flag that answers it, as it is typed.
    pub(super) flag: &'a str,
    /// What is asked.
    pub(super) prompt: &'a str,
    /// What helps to answer it.
    pub(super) help: &'a str,
    /// What the flag says.
    pub(super) given: Option<String>,
    /// What Enter alone means, and no flag.
    pub(super) default: Option<String>,
    /// What is wrong with an answer.
    pub(super) check: fn(&str) -> Result<(), String>,
}

/// Who is asked.
pub(super) struct Asking {
    asker: Asker,
    there: bool,
    width: usize,
    missing: RefCell<Vec<String>>,
}

impl Asking {
    pub(super) fn new(out: &Out, interrupt: &Interrupt) -> Self {
        let progress = Rc::new(Progress::new(out));
        let asker = Asker::new(Answers::Operator, progress, out.clone(), interrupt.clone());
        Self { asker, there: somebody_there(), width: out.width(), missing: RefCell::default() }
    }

    /// Is there a person at a terminal?
    pub(super) fn somebody_there(&self) -> bool {
        self.there
    }

    /// Notes that an answer is missing.
    pub(super) fn lacks(&self, flag: &str, why: &str) {
        let line = format!("{flag}    ({why})");
        let mut missing = self.missing.borrow_mut();
        if !missing.contains(&line) {
            missing.push(line);
        }
    }

    /// Refuses where answers are missing, and names all of them.
    pub(super) fn complete(&self) -> Result<()> {
        let missing = self.missing.borrow();
        if missing.is_empty() {
            return Ok(());
        }
        let error = Error::new(
            codes::INIT_INCOMPLETE,
            format!("there is no terminal to ask at, and {} missing", words::count(missing.len(), "answer")),
        );
        let error = error.state(STATE).next("at a terminal: hactl init");
        Err(missing.iter().fold(error, |error, flag| error.next(format!("or add: {flag}"))))
    }

    /// One answer.
    pub(super) async fn text(&self, ask: Ask<'_>) -> Result<String> {
        let Ask { flag, prompt, help, given, default, check } = ask;
        if let Some(given) = given {
            return match check(&given) {
                Ok(()) => Ok(given),
                Err(why) => Err(wrong(flag, &why)),
            };
        }
        if !self.there {
            if default.is_none() {
                self.lacks(flag, prompt);
            }
            return Ok(default.unwrap_or_default());
        }
        let prompt = format!("  {}", words::clean(prompt));
        let put = move || {
            let term = Term::stderr();
            loop {
                let mut input = Input::<String>::new().with_prompt(&prompt).allow_empty(true);
                if let Some(default) = &default {
                    input = input.default(default.clone());
                }
                let answer = input.interact_text_on(&term)?.trim().to_owned();
                match check(&answer) {
                    Ok(()) => return Ok(answer),
                    Err(why) => term.write_line(&format!("  {}", words::clean(&why)))?,
                }
            }
        };
        self.asker.at_terminal(self.shown(help), STATE, put).await
    }

    /// One of several; `default` is the first that is offered.
    pub(super) async fn choose(
        &self,
        help: &str,
        prompt: &str,
        items: &[String],
        default: usize,
    ) -> Result<usize> {
        let prompt = format!("  {}", words::clean(prompt));
        let items: Vec<String> = items.iter().map(|item| words::clean(item)).collect();
        let put = move || {
            Select::new().with_prompt(prompt).items(&items).default(default).interact_on(&Term::stderr())
        };
        self.asker.at_terminal(self.shown(help), STATE, put).await
    }

    /// A yes or a no, after a text; a plain Enter is a no. Only where somebody is there.
    pub(super) async fn agree(&self, text: &str, prompt: &str) -> Result<bool> {
        let answer = self.asker.confirm(text, &format!("  {prompt}")).await;
        Ok(matches!(answer.map_err(|e| e.state(STATE))?, Answer::Yes(_)))
    }

    fn shown(&self, help: &str) -> String {
        if help.is_empty() {
            String::new()
        } else {
            format!("\n{}\n", words::wrap(&words::clean(help), self.width, 0))
        }
    }
}

/// An answer that does not fit.
pub(super) fn wrong(flag: &str, why: &str) -> Error {
    Error::new(codes::INIT_ANSWER, format!("{flag}: {why}")).state(STATE).next("hactl init --help")
}
