//! Standard output: lines for people, JSON objects for programs.
//!
//! Invariant: one answer goes out in one format. A reader that went away (`hactl journal show | head`) is no failure.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::ValueEnum;
use dialoguer::console::Term;
use serde::Serialize;

use super::words;
use crate::diagnostic::{Error, Result, codes};
use crate::redact::Redactor;

/// Who reads what hactl prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A person
    #[default]
    Human,
    /// A program: one JSON object a line
    Json,
}

/// Lines are wrapped to this width where the terminal does not say how wide it is.
const WIDTH: usize = 80;

/// Standard output, and what is known of its reader.
#[derive(Clone, Debug)]
pub struct Out {
    format: Format,
    watched: bool,
    width: usize,
    workspace: Option<PathBuf>,
}

/// The commands that work in a workspace.
const IN_WORKSPACE: [&str; 12] = [
    "approve", "check", "doctor", "host", "init", "journal", "phase", "plan", "proof", "report", "resume",
    "status",
];

impl Out {
    /// Looks at where standard output and standard error go.
    #[must_use]
    pub fn new(format: Format) -> Self {
        let watched = io::stdout().is_terminal() && io::stderr().is_terminal();
        let width = Term::stdout().size_checked().map_or(WIDTH, |(_, columns)| usize::from(columns));
        Self { format, watched, width: width.clamp(40, 120), workspace: None }
    }

    /// The same for a command line that named its workspace.
    #[must_use]
    pub fn in_workspace(self, workspace: Option<PathBuf>) -> Self {
        Self { workspace, ..self }
    }

    /// A command to type next, as it must be typed here: where this command line named its workspace, so must the next.
    #[must_use]
    pub fn typed_here(&self, next: &str) -> String {
        let Some(workspace) = &self.workspace else { return next.to_owned() };
        let path = workspace.display().to_string();
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
        let path = if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', "'\\''")) };
        IN_WORKSPACE.iter().fold(next.to_owned(), |next, command| {
            next.replace(&format!("hactl {command}"), &format!("hactl --workspace {path} {command}"))
        })
    }

    /// The format that was asked for.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// True where a person watches: output and messages both go to a terminal.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watched
    }

    /// How many columns there are.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// A command to type next under a label. What explains the command goes to a line of its own where both do not fit:
    /// the command itself is never broken.
    #[must_use]
    pub fn next_move(&self, label: &str, next: &str) -> String {
        let line = format!("{label}{}", self.typed_here(next));
        match line.rsplit_once("    (") {
            Some((command, why)) if line.chars().count() > self.width => {
                let why = words::wrap(&format!("{:1$}({why}", "", label.len()), self.width, label.len() + 1);
                format!("{command}\n{why}")
            }
            Some(_) | None => line,
        }
    }

    /// Prints text for a person, cleaned, with a newline.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn say(&self, text: impl AsRef<str>) -> Result<()> {
        write(format!("{}\n", words::clean(text.as_ref())).as_bytes())
    }

    /// Prints a paragraph for a person, wrapped, later lines indented by `hang`.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn wrapped(&self, text: &str, hang: usize) -> Result<()> {
        self.say(words::wrap(text, self.width, hang))
    }

    /// Prints one JSON object on a line of its own, every text in it cleaned.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn object(&self, value: &impl Serialize) -> Result<()> {
        let broken = |e| Error::new(codes::INTERNAL, "an answer has no JSON form").source(e);
        let mut line = serde_json::to_vec(value).map_err(broken)?;
        let redactor = Redactor::of_process();
        if redactor.knows_any() || !is_harmless(&line) {
            let mut value = serde_json::to_value(value).map_err(broken)?;
            redactor.clean_json(&mut value);
            line = serde_json::to_vec(&value).map_err(broken)?;
        }
        line.push(b'\n');
        write(&line)
    }

    /// Passes bytes on as they are: a file of ours.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn bytes(&self, bytes: &[u8]) -> Result<()> {
        write(bytes)
    }
}

/// Is it JSON of plain ASCII without escapes? Most lines are, and need no second look.
fn is_harmless(json: &[u8]) -> bool {
    json.iter().all(|byte| byte.is_ascii() && *byte != 0x7f && *byte != b'\\')
}

fn write(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(codes::IO, "cannot write to standard output").source(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Format, Out};

    #[test]
    fn a_command_to_type_next_names_the_workspace_where_this_one_did() {
        let out = Out::new(Format::Human);
        let next = "mend it, then: hactl resume    (or hactl lab down)";
        assert_eq!(out.typed_here(next), next);
        let out = out.in_workspace(Some("my fleet".into()));
        let wanted = "mend it, then: hactl --workspace 'my fleet' resume    (or hactl lab down)";
        assert_eq!(out.typed_here(next), wanted);
    }

    #[test]
    fn a_command_is_never_broken_and_what_explains_it_may_be() {
        let out = Out::new(Format::Human).in_workspace(Some("rehearsal".into()));
        let next = "hactl resume    (looks at what became of base-backup on node-1, and goes on with it)";
        insta::assert_snapshot!(out.next_move("  next:    ", next), @"
        next:    hactl --workspace rehearsal resume
                 (looks at what became of base-backup on node-1, and goes on with it)
        ");
        assert_eq!(out.next_move("next: ", "hactl status"), "next: hactl --workspace rehearsal status");
    }
}
