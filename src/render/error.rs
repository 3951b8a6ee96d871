//! How an error looks: what failed, why, what state things are in now, what to type next.
//!
//! Problems in files are drawn by miette, with their place underlined: with lines and colours at a terminal, in
//! plain ASCII elsewhere. A command under `next:` is never wrapped, so that it can be copied.

use std::fmt::Write as _;

use miette::{GraphicalReportHandler, GraphicalTheme};
use serde::Serialize;

use super::{Out, words};
use crate::diagnostic::{Error, Problem};
use crate::redact::Redactor;

/// How much a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Not a terminal, or the operator wants no colours: ASCII.
    Plain,
    /// A terminal with colours.
    Coloured,
}

/// The error as the operator reads it, with a newline at its end.
#[must_use]
pub fn text(error: &Error, look: Look, out: &Out) -> String {
    let width = out.width();
    let mut text = String::new();
    for problem in error.file_problems() {
        draw(&mut text, problem, look, width);
    }
    // The places of problems are drawn with colours, so here only secrets can be taken out.
    text = Redactor::of_process().redact_text(&text);
    let code = error.code();
    let head = match look {
        Look::Plain => format!("error[{code}]: "),
        Look::Coloured => format!("\u{1b}[31;1merror\u{1b}[0m[{code}]: "),
    };
    // The escapes take no columns, so the head is wrapped as if it were plain.
    let plain = format!("error[{code}]: ");
    let message = words::wrap(&words::clean(&format!("{plain}{error}")), width, 2);
    text.push_str(&message.replacen(&plain, &head, 1));
    text.push('\n');
    for cause in error.causes() {
        let line = words::clean(&format!("  because: {cause}"));
        let _ = writeln!(text, "{}", words::wrap(&line, width, 11));
    }
    if let Some(state) = error.state_now() {
        let line = words::clean(&format!("  now:     {state}"));
        let _ = writeln!(text, "{}", words::wrap(&line, width, 11));
    }
    for next in error.next_moves() {
        let _ = writeln!(text, "{}", out.next_move("  next:    ", &words::clean(&next)));
    }
    text
}

fn draw(text: &mut String, problem: &Problem, look: Look, width: usize) {
    let theme = match look {
        Look::Plain => GraphicalTheme::none(),
        Look::Coloured => GraphicalTheme::unicode(),
    };
    let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(width);
    if handler.render_report(text, problem).is_err() {
        let _ = writeln!(text, "{problem}");
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text.push('\n');
}

/// An error in the stream of events.
#[derive(Debug, Serialize)]
pub struct ErrorEvent<'a> {
    event: &'static str,
    code: &'static str,
    exit: u8,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    causes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<&'a str>,
    next: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<ProblemEvent>,
}

#[derive(Debug, Serialize)]
struct ProblemEvent {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

impl<'a> ErrorEvent<'a> {
    /// The event of an error.
    #[must_use]
    pub fn new(error: &'a Error, out: &Out) -> Self {
        Self {
            event: "error",
            code: error.code().name(),
            exit: error.code().exit() as u8,
            message: error.message(),
            step: error.step_name(),
            host: error.host_name(),
            causes: error.causes().collect(),
            now: error.state_now(),
            next: error.next_moves().iter().map(|next| out.typed_here(next)).collect(),
            problems: error.file_problems().iter().map(ProblemEvent::from).collect(),
        }
    }
}

impl From<&Problem> for ProblemEvent {
    fn from(problem: &Problem) -> Self {
        let position = problem.position();
        Self {
            code: problem.code().name(),
            message: problem.to_string(),
            file: position.as_ref().map(|p| p.file.clone()),
            line: position.as_ref().map(|p| p.line),
            column: position.as_ref().map(|p| p.column),
            help: problem.help_text().map(ToOwned::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use insta::assert_snapshot;
    use miette::NamedSource;

    use super::{ErrorEvent, Look, text};
    use crate::diagnostic::{Error, Problem, codes};
    use crate::render::{Format, Out};

    fn out() -> Out {
        Out::new(Format::Human)
    }

    fn timed_out() -> Error {
        Error::new(codes::STEP_TIMEOUT, "the action took longer than 2m")
            .step("wal-archive")
            .host("node-1")
            .source(std::io::Error::other("the connection to node-1 ended while a command was running there"))
            .state("the change may or may not be there; the attempt may still be running on the host")
            .next("hactl resume")
    }

    #[test]
    fn an_error_says_what_why_now_and_next() {
        assert_snapshot!(text(&timed_out(), Look::Plain, &out()), @"
        error[engine::timeout]: step wal-archive on node-1: the action took longer than
          2m
          because: the connection to node-1 ended while a command was running there
          now:     the change may or may not be there; the attempt may still be running
                   on the host
          next:    hactl resume
        ");
    }

    #[test]
    fn a_program_gets_the_same_as_one_object() {
        let object = serde_json::to_string(&ErrorEvent::new(&timed_out(), &out())).unwrap();
        assert_snapshot!(object, @r#"{"event":"error","code":"engine::timeout","exit":1,"message":"the action took longer than 2m","step":"wal-archive","host":"node-1","causes":["the connection to node-1 ended while a command was running there"],"now":"the change may or may not be there; the attempt may still be running on the host","next":["hactl resume"]}"#);
    }

    #[test]
    fn problems_are_underlined_in_ascii() {
        let source = Arc::new(NamedSource::new("hactl.toml", "fleet = 3\n".to_owned()));
        let problem = Problem::new(codes::FILE_ILL_TYPED, "`fleet` is a text")
            .at(&source, 8..9, "this is a whole number")
            .help("write it in quotes");
        let error = Error::problems(codes::FILES_INVALID, "1 problem in hactl.toml", vec![problem])
            .next("mend it, then: hactl check");
        assert_snapshot!(text(&error, Look::Plain, &out()), @"
        file::ill_typed

          x `fleet` is a text
           ,-[hactl.toml:1:9]
         1 | fleet = 3
           :         |
           :         `-- this is a whole number
           `----
          help: write it in quotes

        error[file::invalid]: 1 problem in hactl.toml
          next:    mend it, then: hactl check
        ");
        assert_snapshot!(serde_json::to_string(&ErrorEvent::new(&error, &out())).unwrap(), @r#"{"event":"error","code":"file::invalid","exit":2,"message":"1 problem in hactl.toml","causes":[],"next":["mend it, then: hactl check"],"problems":[{"code":"file::ill_typed","message":"`fleet` is a text","file":"hactl.toml","line":1,"column":9,"help":"write it in quotes"}]}"#);
    }
}
