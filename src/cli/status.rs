//! `hactl status`: where the run stands, what is proven, what to type next.

use serde::Serialize;

use super::Global;
use crate::clock::{Clock as _, SystemClock};
use crate::diagnostic::{Exit, Result};
use crate::render::{self, Format, Out};
use crate::session::Glance;
use crate::status::Status;

/// Arguments of `hactl status`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
It reads the files and the journal, without the lock, so also while hactl works.
It says what hactl knows; what the servers say is looked up by `hactl plan` and
`hactl phase verify N`.

Example:
  hactl status --output json | jq .next")]
pub struct StatusArgs {}

#[derive(Serialize)]
struct Told<'a> {
    event: &'static str,
    #[serde(flatten)]
    status: &'a Status,
}

impl StatusArgs {
    /// Prints it.
    ///
    /// # Errors
    /// Every problem of the files, or a damaged journal.
    pub fn run(&self, global: &Global, out: &Out) -> Result<Exit> {
        let glance = Glance::at(&global.file()?)?;
        let now = SystemClock.now();
        let status = Status::of(&glance.workspace, &glance.runbook, &glance.state, glance.drift, now);
        match out.format() {
            Format::Human => out.say(render::status::text(&status, now, out))?,
            Format::Json => out.object(&Told { event: "status", status: &status })?,
        }
        Ok(Exit::Done)
    }
}
