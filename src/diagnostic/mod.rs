//! The one error type, and what an operator reads of it.
//!
//! Invariant: an error says what failed, on which step and host, what state things are in now, and the next
//! command to type. It has a stable code from [`codes`], and the code decides the exit status. Rendering is
//! miette's; nothing here writes to a terminal.

use std::error::Error as StdError;
use std::fmt;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

pub mod codes;
mod problem;

pub use codes::{Code, Exit};
pub use problem::{Position, Problem, Problems};

/// What every fallible function of hactl returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure as the operator meets it.
pub struct Error(Box<Inner>);

struct Inner {
    code: Code,
    message: String,
    step: Option<String>,
    host: Option<String>,
    state: Option<String>,
    next: Vec<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    problems: Vec<Problem>,
}

impl Error {
    /// An error with its stable code. `message` says what failed: lowercase, no full stop, it fits after "hactl: ".
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            step: None,
            host: None,
            state: None,
            next: Vec::new(),
            source: None,
            problems: Vec::new(),
        }))
    }

    /// One error that stands for every problem found in files.
    #[must_use]
    pub fn problems(code: Code, message: impl Into<String>, problems: Vec<Problem>) -> Self {
        let mut error = Self::new(code, message);
        error.0.problems = problems;
        error
    }

    /// The step on which it failed. The innermost name given stays.
    #[must_use]
    pub fn step(mut self, step: impl fmt::Display) -> Self {
        self.0.step.get_or_insert_with(|| step.to_string());
        self
    }

    /// The host on which it failed. The innermost name given stays.
    #[must_use]
    pub fn host(mut self, host: impl fmt::Display) -> Self {
        self.0.host.get_or_insert_with(|| host.to_string());
        self
    }

    /// The place on which it failed. The innermost one given stays.
    #[must_use]
    pub fn at(mut self, place: &crate::journal::record::Place) -> Self {
        self.0.step.get_or_insert_with(|| place.step.to_string());
        if let Some(host) = &place.host {
            self.0.host.get_or_insert_with(|| host.to_string());
        }
        self
    }

    /// What state things are in now, where nothing nearer to the cause has said it.
    #[must_use]
    pub fn default_state(mut self, state: impl Into<String>) -> Self {
        self.0.state.get_or_insert_with(|| state.into());
        self
    }

    /// Forgets what it says of states, where that was about a part that means nothing to the whole: whoever knows the whole
    /// says it.
    #[must_use]
    pub fn without_state(mut self) -> Self {
        self.0.state = None;
        self
    }

    /// What to do next, where nothing nearer to the cause has said it.
    #[must_use]
    pub fn default_next(mut self, next: impl Into<String>) -> Self {
        if self.0.next.is_empty() {
            self.0.next.push(next.into());
        }
        self
    }

    /// What state things are in now, as one sentence.
    #[must_use]
    pub fn state(mut self, state: impl Into<String>) -> Self {
        self.0.state = Some(state.into());
        self
    }

    /// A command to type next, or a sentence that says what to do. May be called more than once.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.0.next.push(next.into());
        self
    }

    /// The error underneath.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The error of hactl's own underneath. What it says of the state and of what to type next holds here as well, and so
    /// does where it happened, unless something nearer was said.
    #[must_use]
    pub fn caused_by(mut self, error: Self) -> Self {
        if self.0.state.is_none() {
            self.0.state.clone_from(&error.0.state);
        }
        if self.0.next.is_empty() {
            self.0.next.clone_from(&error.0.next);
        }
        if self.0.host.is_none() {
            self.0.host.clone_from(&error.0.host);
        }
        self.0.source = Some(Box::new(error));
        self
    }

    /// The errors underneath, in words; one of hactl's own with its code.
    pub fn causes(&self) -> impl Iterator<Item = String> {
        let mut under = StdError::source(self);
        std::iter::from_fn(move || {
            let cause = under?;
            under = cause.source();
            Some(match cause.downcast_ref::<Self>() {
                Some(error) => format!("[{}] {}", error.code(), error.message()),
                None => cause.to_string(),
            })
        })
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What failed, without where.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The step on which it failed.
    #[must_use]
    pub fn step_name(&self) -> Option<&str> {
        self.0.step.as_deref()
    }

    /// The host on which it failed.
    #[must_use]
    pub fn host_name(&self) -> Option<&str> {
        self.0.host.as_deref()
    }

    /// The message and everything under it on one line, for records and events.
    #[must_use]
    pub fn one_line(&self) -> String {
        let mut line = self.0.message.clone();
        let mut under: Option<&(dyn StdError + 'static)> = self.0.source.as_deref().map(|e| e as _);
        while let Some(error) = under {
            line.push_str(": ");
            line.push_str(&error.to_string());
            under = error.source();
        }
        for problem in &self.0.problems {
            line.push_str("; ");
            line.push_str(&problem.to_string());
        }
        line
    }

    /// The problems in files that this error stands for.
    #[must_use]
    pub fn file_problems(&self) -> &[Problem] {
        &self.0.problems
    }

    /// The commands or sentences that say what to do next: those that were given, else that of the code.
    #[must_use]
    pub fn next_moves(&self) -> Vec<String> {
        if self.0.next.is_empty() {
            return vec![self.0.code.next().to_owned()];
        }
        self.0.next.clone()
    }

    /// The state sentence, if there is one.
    #[must_use]
    pub fn state_now(&self) -> Option<&str> {
        self.0.state.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.step, &self.0.host) {
            (Some(step), Some(host)) => write!(f, "step {step} on {host}: ")?,
            (Some(step), None) => write!(f, "step {step}: ")?,
            (None, Some(host)) => write!(f, "{host}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error[{}]({self}; {})", self.0.code, self.one_line())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}

impl Diagnostic for Error {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.0.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let mut lines = Vec::new();
        if let Some(state) = &self.0.state {
            lines.push(format!("now:  {state}"));
        }
        for next in &self.0.next {
            lines.push(format!("next: {next}"));
        }
        if lines.is_empty() { None } else { Some(Box::new(lines.join("\n"))) }
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        if self.0.problems.is_empty() {
            None
        } else {
            Some(Box::new(self.0.problems.iter().map(|p| p as &dyn Diagnostic)))
        }
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        None
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        None
    }
}

/// A file's text with its name, shared by every problem found in it.
pub type Source = std::sync::Arc<NamedSource<String>>;
