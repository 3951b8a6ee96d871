//! `hactl schema`: what `--output json` promises, as a JSON schema.

use crate::diagnostic::{Exit, Result};
use crate::render::{Out, json};

/// Arguments of `hactl schema`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Each line that a command prints with --output json is one object of this schema
(JSON Schema 2020-12). What the command under [notify] in hactl.toml reads on
standard input is #/$defs/notification.

Example:
  hactl schema > events.schema.json")]
pub struct Schema {}

impl Schema {
    /// Prints it.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn run(&self, out: &Out) -> Result<Exit> {
        out.bytes(json::SCHEMA.as_bytes())?;
        Ok(Exit::Done)
    }
}
