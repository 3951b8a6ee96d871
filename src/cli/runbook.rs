//! `hactl runbook …`: the runbooks that are embedded in this binary.

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;

use crate::diagnostic::{Exit, Result};
use crate::render::{Format, Out, words};
use crate::runbook::bundled;

/// Arguments of `hactl runbook`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  hactl runbook list
  hactl runbook show cell0 | less
  hactl runbook eject cell0      (then: runbook = \"./cell0.toml\" in hactl.toml)")]
pub struct RunbookArgs {
    #[command(subcommand)]
    command: RunbookCommand,
}

#[derive(Debug, Subcommand)]
enum RunbookCommand {
    /// List the bundled runbooks
    List,
    /// Print a bundled runbook's TOML
    Show {
        /// Its name
        name: String,
    },
    /// Write a bundled runbook as a file of your own, to be changed
    ///
    /// A workspace that names the file carries out the file, whatever a newer hactl embeds. Nothing is overwritten.
    Eject {
        /// Its name
        name: String,
        /// Into which folder
        #[arg(long, value_name = "DIR", default_value = ".")]
        into: PathBuf,
    },
}

#[derive(Serialize)]
struct Listed {
    event: &'static str,
    #[serde(flatten)]
    summary: bundled::Summary,
}

#[derive(Serialize)]
struct Ejected {
    event: &'static str,
    path: PathBuf,
}

impl RunbookArgs {
    /// Runs it.
    ///
    /// # Errors
    /// There is no such runbook, or the file cannot be written.
    pub fn run(&self, out: &Out) -> Result<Exit> {
        match &self.command {
            RunbookCommand::List => list(out)?,
            RunbookCommand::Show { name } => out.bytes(bundled::show(name)?.as_bytes())?,
            RunbookCommand::Eject { name, into } => {
                let path = bundled::eject(name, into)?;
                match out.format() {
                    Format::Human => {
                        out.say(format!("wrote {}", path.display()))?;
                        out.say(format!(
                            "next: runbook = \"{}\" in hactl.toml, then: hactl check",
                            path.display()
                        ))?;
                    }
                    Format::Json => out.object(&Ejected { event: "ejected", path })?,
                }
            }
        }
        Ok(Exit::Done)
    }
}

fn list(out: &Out) -> Result<()> {
    for summary in bundled::list() {
        match out.format() {
            Format::Human => {
                out.say(format!("{}: {}", summary.name, summary.title))?;
                out.say(words::wrap(&format!("  {}", summary.summary), out.width(), 0))?;
            }
            Format::Json => out.object(&Listed { event: "runbook", summary })?,
        }
    }
    Ok(())
}
