//! `hactl plan`: look, and show what would happen.

use serde::Serialize;

use super::{Global, work};
use crate::clock::SystemClock;
use crate::diagnostic::{Exit, Result};
use crate::digest::Digest;
use crate::journal::RunState;
use crate::journal::record::Record;
use crate::name::PhaseId;
use crate::plan::{Outlook, PhaseTasks, Plan, plan};
use crate::render::bars::Waiting;
use crate::render::{self, Format, Out};
use crate::runbook::Runbook;
use crate::session::{Drift, phase_of, readable};
use crate::step::fleet::Fleet;

/// Arguments of `hactl plan`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Planning only looks. For each step it shows what would change, the gate before it,
the way back, and marks a point of no return. What depends on an earlier step's
outcome is said to be known only later.

Examples:
  hactl plan --dry-run           look, and leave nothing on disk
  hactl plan --phase 0           look at one phase, and record the plan
  hactl plan --rebase            after an edit: accept it, and look")]
pub struct PlanArgs {
    /// Record nothing
    #[arg(long)]
    dry_run: bool,
    /// Accept what was changed since the run began, and record that; nothing is carried out
    #[arg(long, conflicts_with = "dry_run")]
    rebase: bool,
    /// Only this phase
    #[arg(long, value_name = "N")]
    phase: Option<PhaseId>,
}

#[derive(Serialize)]
struct Told<'a> {
    event: &'static str,
    digest: Digest,
    #[serde(flatten)]
    plan: &'a Plan,
}

impl PlanArgs {
    /// Plans.
    ///
    /// # Errors
    /// Every problem of the files; a host that cannot be looked at is part of the plan, and makes the exit status 1.
    pub fn run(&self, global: &Global, out: &Out) -> Result<Exit> {
        let plan = if self.dry_run { self.glance(global, out)? } else { self.record(global, out)? };
        let digest = plan.digest()?;
        match out.format() {
            Format::Human => {
                out.say(render::plan::text(&plan, out.width()))?;
                let what = if self.dry_run { "nothing was recorded" } else { "recorded" };
                out.say(format!("plan {} ({what})", digest.short()))?;
            }
            Format::Json => out.object(&Told { event: "plan", digest, plan: &plan })?,
        }
        let blind = plan.places().any(|planned| matches!(planned.outlook, Outlook::CannotLook(_)));
        // Of a phase that was not asked for by itself, it may be left for later.
        let lacks = self.phase.is_some() && plan.phases.iter().any(|phase| !phase.lacks.is_empty());
        Ok(if blind || lacks { Exit::Failed } else { Exit::Done })
    }

    fn glance(&self, global: &Global, out: &Out) -> Result<Plan> {
        readable(&global.file()?)?;
        work::looking(global, out, async |glance, fleet| {
            if out.format() == Format::Human {
                let changed = glance.files.changes.told();
                changed.iter().try_for_each(|what| out.wrapped(&format!("CHANGED: {what}"), 9))?;
            }
            self.look(fleet, &glance.runbook, &glance.state, out).await
        })
    }

    fn record(&self, global: &Global, out: &Out) -> Result<Plan> {
        work::on_fleet(global, out, Drift::rebase_if(self.rebase), async |session, work, _asker| {
            // What is planned is kept from here on: a file that is edited before it is carried out is a change.
            match session.journal.state().run() {
                Some(_) => session.rebase()?,
                None => session.begin()?,
            }
            let plan = self.look(work.steps, &session.runbook, &session.journal.state(), out).await?;
            session.journal.append(Record::Planned { plan: plan.digest()? })?;
            Ok(plan)
        })
    }

    async fn look(&self, fleet: &Fleet, runbook: &Runbook, state: &RunState, out: &Out) -> Result<Plan> {
        let phases: Vec<PhaseTasks> = match &self.phase {
            Some(id) => vec![fleet.phase(phase_of(runbook, id)?)],
            None => runbook.phases.iter().map(|phase| fleet.phase(phase)).collect(),
        };
        let work = plan(fleet, &phases, state);
        let what = "looking at the servers, nothing is changed";
        Ok(Waiting::during(out, what, &SystemClock, work).await)
    }
}
