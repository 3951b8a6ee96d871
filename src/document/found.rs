//! Problems of one file, collected; turned into shown text only once all secrets in clear are masked.

use std::ops::Range;
use std::sync::Arc;

use miette::NamedSource;

use super::{Node, Tree};
use crate::diagnostic::{Code, Problem, Problems, Source, codes};
use crate::redact::sanitize_for_terminal;

/// What was found wrong in one file.
#[derive(Debug, Clone)]
pub struct Found {
    name: String,
    text: String,
    remarks: Vec<Remark>,
    masked: Vec<Range<usize>>,
}

/// One problem, with its place as bytes of the file.
#[derive(Debug, Clone)]
pub struct Remark {
    code: Code,
    message: String,
    place: Option<(Range<usize>, String)>,
    help: Option<String>,
}

impl Remark {
    /// Underlines `span`, with a short label.
    pub fn at(&mut self, span: Range<usize>, label: impl Into<String>) -> &mut Self {
        self.place = Some((span, label.into()));
        self
    }

    /// What to write instead.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// What to write instead, where there is something to say.
    pub fn help_if(&mut self, help: Option<String>) -> &mut Self {
        if help.is_some() {
            self.help = help;
        }
        self
    }
}

/// Parts of a key's name that make what stands behind it look like a secret.
const SECRET_WORDS: &[&str] = &[
    "secret",
    "passw",
    "passphrase",
    "cipher_pass",
    "token",
    "access_key",
    "private_key",
    "cipher",
    "credential",
    "api_key",
    "apikey",
];

/// So many problems of one file are shown. More come only from a file that is something else; and each is drawn with
/// its lines, which takes the longer, the longer the file is.
const SHOWN: usize = 100;

impl Found {
    /// Nothing found yet in the file `name`.
    #[must_use]
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.to_owned(), remarks: Vec::new(), masked: Vec::new() }
    }

    /// Adds a problem; its place and help are given to what is returned.
    pub fn add(&mut self, code: Code, message: impl Into<String>) -> &mut Remark {
        let index = self.remarks.len();
        self.remarks.push(Remark { code, message: message.into(), place: None, help: None });
        &mut self.remarks[index]
    }

    /// The bytes of `span` are never shown.
    pub fn mask(&mut self, span: Range<usize>) {
        self.masked.push(span);
    }

    /// No value in `node` is ever shown: it may be, or hold, a secret in clear.
    pub fn mask_values(&mut self, node: &Node) {
        match &node.tree {
            Tree::String(_) | Tree::Literal(..) => self.mask(node.span.clone()),
            Tree::Boolean(_) => {}
            Tree::Array(nodes) => nodes.iter().for_each(|node| self.mask_values(node)),
            Tree::Table(entries) => entries.iter().for_each(|(_, node)| self.mask_values(node)),
        }
    }

    /// The part of `span` where `needle` stands, or else all of it.
    #[must_use]
    pub fn narrow(&self, span: &Range<usize>, needle: &str) -> Range<usize> {
        let at = self.text.get(span.clone()).and_then(|text| text.find(needle));
        at.map_or_else(|| span.clone(), |at| span.start + at..span.start + at + needle.len())
    }

    /// The file and how many problems it has; none where it has none.
    #[must_use]
    pub fn count(&self) -> Option<String> {
        match self.remarks.len() {
            0 => None,
            1 => Some(format!("1 problem in {}", self.name)),
            many => Some(format!("{many} problems in {}", self.name)),
        }
    }

    /// True where nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remarks.is_empty()
    }

    /// The file's text as it may be shown: same length, with `*` where a secret may stand, and `?` for what a terminal
    /// would obey.
    #[must_use]
    pub fn shown(&self) -> Source {
        let mut bytes = self.text.clone().into_bytes();
        for span in self.masked.iter().cloned().chain(secret_lines(&self.text)) {
            let end = span.end.min(bytes.len());
            let start = span.start.min(end);
            for byte in bytes[start..end].iter_mut().filter(|b| **b != b'\n') {
                *byte = b'*';
            }
        }
        let text = harmless(&String::from_utf8_lossy(&bytes));
        Arc::new(NamedSource::new(sanitize_for_terminal(&self.name), text))
    }

    /// All problems, each with the shown text of its file.
    pub fn into_problems(mut self, problems: &mut Problems) {
        let source = self.shown();
        // In the order of the file, however they were come upon.
        self.remarks.sort_by_key(|remark| remark.place.as_ref().map_or(0, |(span, _)| span.start));
        let hidden = self.remarks.len().saturating_sub(SHOWN);
        self.remarks.truncate(SHOWN);
        problems.extend(self.remarks.into_iter().map(|remark| {
            let mut problem = Problem::new(remark.code, remark.message);
            if let Some((span, label)) = remark.place {
                problem = problem.at(&source, clamp(source.inner(), &span), label);
            }
            match remark.help {
                Some(help) => problem.help(help),
                None => problem,
            }
        }));
        if hidden > 0 {
            problems.push(
                Problem::new(codes::FILES_INVALID, format!("{hidden} more problems in {}", self.name))
                    .help("is this the file that was meant?"),
            );
        }
    }
}

/// The text without what moves, hides or reorders on a terminal. It keeps its length, so that spans stay right.
fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let mut one = [0; 4];
        match c {
            // The end of a line as Windows writes it.
            '\r' => shown.push(' '),
            c if sanitize_for_terminal(c.encode_utf8(&mut one)).is_empty() => {
                shown.extend(std::iter::repeat_n('?', c.len_utf8()));
            }
            c => shown.push(c),
        }
    }
    shown
}

/// A span inside the text, on its first line only: an underlined table of forty lines helps nobody.
fn clamp(text: &str, span: &Range<usize>) -> Range<usize> {
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start);
    let end = floor(span.end).max(start);
    let line = text[start..end].find('\n').map_or(end, |at| start + at);
    start..line
}

/// Text after `=` on lines whose key looks like a secret's and whose value is no table: also found where the file is
/// no valid TOML.
fn secret_lines(text: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if let Some(equals) = line.find('=') {
            let key = line[..equals].to_ascii_lowercase();
            let value = line[equals + 1..].trim_start();
            let plain = !value.starts_with('{') && !value.starts_with('[');
            if plain && SECRET_WORDS.iter().any(|word| key.contains(word)) {
                let at = start + line.len() - value.len();
                spans.push(at..start + line.trim_end().len());
            }
        }
        start += line.len();
    }
    // A private key is a secret wherever it stands.
    for (marker, stop) in [("AGE-SECRET-KEY-", "\"'\n"), ("PRIVATE KEY-----", "\"'")] {
        for (at, _) in text.match_indices(marker) {
            let from = at + marker.len();
            let length = text[from..].find(|c| stop.contains(c)).unwrap_or(text.len() - from);
            spans.push(from..from + length);
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::{Found, SHOWN, clamp};
    use crate::diagnostic::{Problems, codes};
    use crate::document::Document;
    use crate::render::error::{Look, text as text_of};
    use crate::render::{Format, Out};

    #[test]
    fn what_looks_like_a_secret_is_masked_even_in_broken_files() {
        let text =
            "a = 1\ns3.secret_key = \"hunter2\nb = \"AGE-SECRET-KEY-1ABC\"\naccess_key = { file = \"x\" }\n";
        let shown = Found::new("x.toml", text).shown();
        assert_eq!(
            shown.inner(),
            "a = 1\ns3.secret_key = ********\nb = \"AGE-SECRET-KEY-****\"\naccess_key = { file = \"x\" }\n"
        );
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_as_question_marks() {
        let text = "a = \"\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\"\r\nb = 1\t\n";
        let mut found = Found::new("\u{1b}[2Jx.toml", text);
        found.add(codes::FILE_SYNTAX, "no \u{1b}[31mred").at(5..6, "\u{1b}[8mhidden").help("\u{7}bell");
        assert_eq!(found.shown().inner(), "a = \"?]0;owned???2J???\" \nb = 1\t\n");
        assert_eq!(found.shown().inner().len(), text.len());
        let mut problems = Problems::default();
        found.into_problems(&mut problems);
        let error = problems.into_result(codes::FILES_INVALID, "1 problem", ()).unwrap_err();
        let shown = text_of(&error, Look::Plain, &Out::new(Format::Human));
        assert!(shown.contains("no red") && shown.contains("hidden") && shown.contains("x.toml"), "{shown}");
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    }

    #[test]
    fn of_very_many_problems_the_first_are_shown() {
        let text = "a b\n".repeat(50_000);
        let document = Document::parse("notes.txt", text.as_bytes());
        assert_eq!(document.found.count().unwrap(), "50000 problems in notes.txt");
        let mut problems = Problems::default();
        document.found.into_problems(&mut problems);
        let error = problems.into_result(codes::FILES_INVALID, "50000 problems", ()).unwrap_err();
        assert_eq!(error.file_problems().len(), SHOWN + 1);
        let shown = text_of(&error, Look::Plain, &Out::new(Format::Human));
        assert!(shown.contains("notes.txt:100:3") && !shown.contains("notes.txt:101:"), "{shown}");
        assert!(shown.contains("49900 more problems in notes.txt"), "{shown}");
    }

    #[test]
    fn a_span_stays_inside_the_text_and_on_one_line() {
        assert_eq!(clamp("aé\nb", &(1..99)), 1..3);
        assert_eq!(clamp("aé", &(2..2)), 1..1);
    }
}
