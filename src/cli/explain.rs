//! `hactl explain`: what an error code means.

use serde::Serialize;

use crate::diagnostic::codes::{self, Code};
use crate::diagnostic::{Error, Exit, Result};
use crate::document::suggest;
use crate::render::{Format, Out, words};

/// Arguments of `hactl explain`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A code stands in brackets after `error`, and as `code` in JSON. Codes and exit
statuses are stable: scripts may rely on them.

Examples:
  hactl explain engine::in_doubt
  hactl explain --output json | jq 'select(.exit == 3)'")]
pub struct Explain {
    /// The code [default: all of them]
    code: Option<String>,
}

#[derive(Serialize)]
struct Told {
    event: &'static str,
    code: &'static str,
    exit: u8,
    meaning: &'static str,
}

impl Explain {
    /// Tells it.
    ///
    /// # Errors
    /// There is no such code.
    pub fn run(&self, out: &Out) -> Result<Exit> {
        match &self.code {
            None => codes::ALL.iter().try_for_each(|code| tell(*code, out))?,
            Some(name) => {
                let found = codes::ALL.iter().find(|code| code.name() == name);
                let known: Vec<_> = codes::ALL.iter().map(|code| code.name()).collect();
                let code = found.ok_or_else(|| {
                    let near = suggest(name, &known);
                    // All the known ones would be a page.
                    let near = near.split(" Known:").next().unwrap_or_default().to_owned();
                    let error = Error::new(codes::USAGE, format!("there is no error code {name:?}"));
                    let error = if near.starts_with("did") { error.next(near) } else { error };
                    error.next("hactl explain    (lists all of them)")
                })?;
                tell(*code, out)?;
            }
        }
        Ok(Exit::Done)
    }
}

fn tell(code: Code, out: &Out) -> Result<()> {
    let (name, exit, meaning) = (code.name(), code.exit(), code.meaning());
    match out.format() {
        Format::Human => {
            let text = format!("{name}: {meaning}\n  exit status {}: {}", exit as u8, exit.meaning());
            out.say(words::wrap(&text, out.width(), 4))
        }
        Format::Json => out.object(&Told { event: "code", code: name, exit: exit as u8, meaning }),
    }
}
