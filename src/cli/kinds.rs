//! `hactl kinds`: what a runbook can be written with.

use serde::Serialize;

use crate::diagnostic::{Exit, Result};
use crate::probe::Probe;
use crate::render::{Format, Out, words};
use crate::step::KindInfo;
use crate::step::table::Action;

/// Arguments of `hactl kinds`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A step's action is one step kind, such as [phase.step.action.command]; `require`,
`verify` and the observing of a command are made of probes.

Example:
  hactl kinds --output json")]
pub struct Kinds {}

#[derive(Serialize)]
struct Listed {
    event: &'static str,
    name: &'static str,
    summary: &'static str,
}

impl Kinds {
    /// Prints the tables.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn run(&self, out: &Out) -> Result<Exit> {
        table(out, "step_kind", "step kinds", Action::KINDS)?;
        table(out, "probe_kind", "probes", Probe::KINDS)?;
        Ok(Exit::Done)
    }
}

fn table(out: &Out, event: &'static str, title: &str, kinds: &[KindInfo]) -> Result<()> {
    let widest = kinds.iter().map(|kind| kind.name.len()).max().unwrap_or(0);
    match out.format() {
        Format::Human => {
            out.say(title)?;
            for KindInfo { name, summary } in kinds {
                out.say(words::wrap(&format!("  {name:widest$}  {summary}"), out.width(), widest + 4))?;
            }
        }
        Format::Json => {
            for KindInfo { name, summary } in kinds {
                out.object(&Listed { event, name, summary })?;
            }
        }
    }
    Ok(())
}
