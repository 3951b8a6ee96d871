//! `hactl status`: where the run stands, what is proven, what to type next.

use std::time::Duration;

use serde::Serialize;

use super::{Global, doctor, work};
use crate::access::s3::S3Identity;
use crate::clock::{Clock as _, SystemClock};
use crate::diagnostic::{Error, Exit, Result, codes};
use crate::dumps;
use crate::render::bars::Waiting;
use crate::render::{self, Format, Out};
use crate::session::Glance;
use crate::status::{self, DumpStatus, Status};

/// Arguments of `hactl status`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
It reads the files and the journal, without the lock, so also while hactl works.
It says what hactl knows; what the servers say is looked up by `hactl plan` and
`hactl phase verify N`. Only for the age of the newest dump is the bucket asked,
once a runbook has set up nightly dumps.

Examples:
  hactl status
  hactl status --offline --output json | jq .next")]
pub struct StatusArgs {
    /// Do not ask the bucket how old the newest dump is
    #[arg(long)]
    offline: bool,
}

/// How long the bucket may take to answer.
const LIMIT: Duration = Duration::from_secs(20);

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
        let expects = status::expects_dumps(&glance.workspace, &glance.runbook, &glance.state);
        let dump = (expects && !self.offline).then(|| newest_dump(global, out, &glance));
        let now = SystemClock.now();
        let status = Status::of(&glance.workspace, &glance.runbook, &glance.state, &glance.files, now);
        let status = Status { dump, ..status };
        match out.format() {
            Format::Human => out.say(render::status::text(&status, now, out))?,
            Format::Json => out.object(&Told { event: "status", status: &status })?,
        }
        Ok(Exit::Done)
    }
}

/// Asks the bucket. That it does not answer is part of the status, not a failure of it.
fn newest_dump(global: &Global, out: &Out, glance: &Glance) -> DumpStatus {
    if !work::is_there(&glance.workspace) {
        return DumpStatus::Unknown("the lab is not up".to_owned());
    }
    let asked = work::looking(global, out, async |_glance, fleet| {
        let _waiting = out.is_watched().then(|| Waiting::new("asking the bucket for the newest dump"));
        let place = doctor::nowhere()?;
        let newest = async { dumps::newest(&fleet.world().view(&place).s3(S3Identity::Writer).await?).await };
        match tokio::time::timeout(LIMIT, newest).await {
            Ok(newest) => newest,
            Err(_elapsed) => Err(Error::new(codes::S3_UNREACHABLE, "the bucket does not answer")),
        }
    });
    match asked {
        Ok(Some(dump)) if dump.is_stale(SystemClock.now()) => DumpStatus::Stale(dump.taken),
        Ok(Some(dump)) => DumpStatus::Fresh(dump.taken),
        Ok(None) => DumpStatus::None,
        Err(error) => DumpStatus::Unknown(error.one_line()),
    }
}
