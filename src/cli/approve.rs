//! `hactl approve`: answer a step's gate ahead of its run.

use super::Global;
use super::work::on_fleet;
use crate::diagnostic::{Error, Exit, Result, codes};
use crate::engine::seam::Task;
use crate::name::{HostName, StepId};
use crate::render::{Format, Out};
use crate::session::Drift;

/// Arguments of `hactl approve`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
It looks, shows what the step would change, and asks the gate's own question at
this terminal. The approval binds exactly that change on exactly those hosts, and
counts for 24 hours. A run without a terminal then goes through the gate.

Example:
  hactl approve wal-archive --host node-1")]
pub struct ApproveArgs {
    /// The step
    step: StepId,
    /// Only on this host
    #[arg(long, value_name = "HOST")]
    host: Option<HostName>,
}

impl ApproveArgs {
    /// Asks, and records the answer.
    ///
    /// # Errors
    /// There is nothing to approve, nobody to ask, or the answer was no.
    pub fn run(&self, global: &Global, out: &Out) -> Result<Exit> {
        on_fleet(global, out, Drift::Refuse, async |session, work, _asker| {
            let all = session.fleet.tasks(session.step(&self.step)?).tasks;
            let tasks: Vec<Task> =
                all.into_iter().filter(|task| self.host.is_none() || task.place.host == self.host).collect();
            if tasks.is_empty() {
                return Err(Error::new(codes::USAGE, "the step does not run there")
                    .step(&self.step)
                    .state("nothing was approved")
                    .next("hactl phase list; hactl phase show N says where steps run"));
            }
            session.begin()?;
            let mut approved = 0_usize;
            let mut nothing = None;
            for task in &tasks {
                match work.approve_ahead(task).await {
                    Ok(()) => approved += 1,
                    // One host that needs nothing must not keep the others from being approved.
                    Err(error) if error.code() == codes::NOTHING_TO_APPROVE => nothing = Some(error),
                    Err(error) => return Err(error),
                }
            }
            match (approved, nothing) {
                (0, Some(error)) => Err(error),
                (_, _) if out.format() == Format::Human => out.say(out.typed_here("next: hactl resume")),
                (_, _) => Ok(()),
            }
        })?;
        Ok(Exit::Done)
    }
}
