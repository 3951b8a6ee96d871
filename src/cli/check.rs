//! `hactl check`: load and check everything, offline.

use serde::Serialize;

use super::Global;
use crate::diagnostic::{Exit, Result};
use crate::lacks::{Lack, lacks};
use crate::name::PhaseId;
use crate::render::{self, Format, Out, words};
use crate::runbook::{self, Gate, Loaded, Origin, Runbook};
use crate::step::table::Table;
use crate::workspace::{Workspace, shown};

/// Arguments of `hactl check`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Nothing is connected to and nothing is changed. Each problem has a stable code
and shows its place in the file. What only a later phase needs is no problem:
the lines to add are shown, and that phase is not begun before.

Example:
  hactl check && hactl plan --dry-run")]
pub struct Check {}

#[derive(Serialize)]
struct Checked<'a> {
    event: &'static str,
    runbook: &'a str,
    fleet: &'a str,
    rehearsal: Option<&'a str>,
    phases: usize,
    steps: usize,
    hosts: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lacks: Vec<Later<'a>>,
}

/// A phase that cannot be run before `hactl.toml` holds more.
#[derive(Serialize)]
struct Later<'a> {
    phase: &'a PhaseId,
    lacks: Vec<Lack>,
}

fn later<'a>(workspace: &Workspace, runbook: &'a Runbook) -> Vec<Later<'a>> {
    let phases = runbook.phases.iter();
    let later = phases.map(|phase| Later { phase: &phase.id, lacks: lacks(workspace, runbook, phase) });
    later.filter(|later| !later.lacks.is_empty()).collect()
}

impl Check {
    /// Checks, and says in short what there is.
    ///
    /// # Errors
    /// Every problem of both files.
    pub fn run(&self, global: &Global, out: &Out) -> Result<Exit> {
        let Loaded { workspace, runbook, .. } = runbook::load::<Table>(&global.file()?)?;
        let later = later(&workspace, &runbook);
        match out.format() {
            Format::Human => {
                let origin = match &runbook.origin {
                    Origin::Bundled => "bundled".to_owned(),
                    Origin::File(path) => shown(path),
                    Origin::Kept(digest) => format!("kept, {}", digest.short()),
                };
                out.say(format!("runbook  {} ({origin}): {}", runbook.name, runbook.title))?;
                out.say(format!("fleet    {}, {}", workspace.fleet, words::where_it_acts(&workspace)))?;
                for role in &runbook.roles {
                    let hosts: Vec<_> =
                        workspace.hosts_in(&role.name).map(|host| host.name.as_str()).collect();
                    let hosts = if hosts.is_empty() { "no host".to_owned() } else { hosts.join(", ") };
                    out.wrapped(&format!("role     {}: {hosts}", role.name), 9)?;
                }
                for phase in &runbook.phases {
                    let gates = phase.steps.iter().filter(|step| step.gate != Gate::None).count();
                    let (steps, gates) =
                        (words::count(phase.steps.len(), "step"), words::count(gates, "gate"));
                    out.wrapped(&format!("phase    {}: {} ({steps}, {gates})", phase.id, phase.title), 9)?;
                }
                for Later { phase, lacks } in &later {
                    out.say(format!("\nphase {phase} is not begun before hactl.toml holds more:"))?;
                    for lack in lacks {
                        out.say(render::lacks::text(lack, out.width()))?;
                    }
                    out.say("")?;
                }
                out.say("no problems found")?;
            }
            Format::Json => out.object(&Checked {
                event: "checked",
                runbook: runbook.name.as_str(),
                fleet: workspace.fleet.as_str(),
                rehearsal: workspace.lab.as_deref(),
                phases: runbook.phases.len(),
                steps: runbook.steps().count(),
                hosts: workspace.hosts.iter().map(|host| host.name.as_str()).collect(),
                lacks: later,
            })?,
        }
        Ok(Exit::Done)
    }
}
