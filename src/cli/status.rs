//! `hactl status`: where the run stands, what is proven, what to type next.

use serde::Serialize;

use super::{Global, doctor, work};
use crate::clock::{Clock as _, SystemClock};
use crate::diagnostic::{Exit, Result};
use crate::render::bars::Waiting;
use crate::render::{self, Format, Out};
use crate::session::Glance;
use crate::status::{BackupStatus, MirrorStatus, Status};

/// Arguments of `hactl status`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
It reads the files and the journal, without the lock, so also while hactl works.
It says what hactl knows; what the servers say is looked up by `hactl plan` and
`hactl phase verify N`. Only how archiving and backups do right now is asked of
the server and the bucket, once a runbook has set them up.

Examples:
  hactl status
  hactl status --offline --output json | jq .next")]
pub struct StatusArgs {
    /// Do not ask the server and the bucket how archiving and backups do
    #[arg(long)]
    offline: bool,
}

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
        let wanted = BackupStatus::is_wanted(&glance.workspace, &glance.runbook, &glance.state);
        let backups = (wanted && !self.offline).then(|| backups(global, out, &glance));
        let now = SystemClock.now();
        let status = Status::of(&glance.workspace, &glance.runbook, &glance.state, &glance.files, now);
        let status = match backups {
            Some(backups) => status.with(backups, now),
            None => status,
        };
        let status = status.with_mirror(MirrorStatus::of(&glance.workspace, &glance.state));
        match out.format() {
            Format::Human => out.say(render::status::text(&status, now, out))?,
            Format::Json => out.object(&Told { event: "status", status: &status })?,
        }
        Ok(Exit::Done)
    }
}

/// Asks the server and the bucket. That they do not answer is part of the status, not a failure of it.
fn backups(global: &Global, out: &Out, glance: &Glance) -> BackupStatus {
    if !work::is_there(&glance.workspace) {
        return BackupStatus::unknown("the lab is not up");
    }
    let asked = work::looking(global, out, async |glance, fleet| {
        let place = doctor::nowhere()?;
        let look = BackupStatus::look(fleet, &glance.state, fleet.world().view(&place));
        Waiting::during(out, "asking how archiving and backups do", &SystemClock, look).await
    });
    asked.unwrap_or_else(|error| BackupStatus::unknown(&error.one_line()))
}
