//! One thing wrong in one place of one file.
//!
//! Problems are collected, never returned at the first one: the operator mends a file once, not once per error.

use std::fmt;
use std::ops::Range;

use miette::{Diagnostic, LabeledSpan, SourceCode};

use super::{Code, Error, Result, Source};
use crate::redact::sanitize_for_terminal;

/// Something wrong at a place in a file.
#[derive(Clone)]
pub struct Problem {
    code: Code,
    message: String,
    place: Option<(Source, Range<usize>, String)>,
    help: Option<String>,
}

/// What is said of a file may quote it.
fn clean(text: impl Into<String>) -> String {
    sanitize_for_terminal(&text.into())
}

impl Problem {
    /// A problem without a place yet.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: clean(message), place: None, help: None }
    }

    /// Underlines `span` (bytes) of `source`, with a short label beside it.
    #[must_use]
    pub fn at(mut self, source: &Source, span: Range<usize>, label: impl Into<String>) -> Self {
        self.place = Some((source.clone(), span, clean(label)));
        self
    }

    /// What to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(clean(help));
        self
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// What to write instead.
    #[must_use]
    pub fn help_text(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Where it is, for programs.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        let (source, span, _) = self.place.as_ref()?;
        let before = source.inner().get(..span.start)?;
        let line_begin = before.rfind('\n').map_or(0, |at| at + 1);
        Some(Position {
            file: source.name().to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_begin..].chars().count() + 1,
        })
    }
}

/// A place in a file as editors count: lines and columns from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The file's name.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Problem[{}]({})", self.code, self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.place.as_ref().map(|(source, ..)| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.place.as_ref().map(|(_, span, label)| {
            let label = LabeledSpan::new_with_span(Some(label.clone()), span.clone());
            Box::new(std::iter::once(label)) as Box<dyn Iterator<Item = LabeledSpan>>
        })
    }
}

/// A growing list of problems; turned into one error at the end.
#[derive(Debug, Default)]
#[must_use]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// True where nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `value` where nothing was found, else one error that carries all of them.
    ///
    /// # Errors
    /// All the problems, as one error with `code`.
    pub fn into_result<T>(self, code: Code, message: impl Into<String>, value: T) -> Result<T> {
        if self.0.is_empty() { Ok(value) } else { Err(Error::problems(code, message, self.0)) }
    }
}

impl Extend<Problem> for Problems {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, problems: I) {
        self.0.extend(problems);
    }
}
