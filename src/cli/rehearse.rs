//! `hactl rehearse`: a lab, a workspace for it, the phases, and where that leads.
//!
//! Invariant: it carries out nothing itself. Each phase is run by another hactl in the sealed workspace, by the same
//! command that an operator types in production.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Instant;

use clap::Args;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::Global;
use super::approver::ask_plainly;
use super::lab::show;
use super::runtime::block_on;
use crate::diagnostic::{Error, Exit, Result, codes};
use crate::engine::approver::Answer;
use crate::lab::{self, Lab, LabName, Need, Scene, WorkspaceFor};
use crate::name::{PhaseId, RunbookName};
use crate::render::{Format, Out, Progress};
use crate::runbook::{Origin, Runbook, bundled, parse};
use crate::session::phase_of;
use crate::step::Table;

/// Arguments of `hactl rehearse`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example: hactl rehearse cell0 --through 0

The workspace is made in ./rehearsal (or where --workspace says). The lab stays
up afterwards: look around with `hactl --workspace rehearsal status` and
`hactl lab ssh node-1`, go on after an interruption with
`hactl --workspace rehearsal resume`, take it away with `hactl lab down`.")]
pub struct Rehearse {
    /// The bundled runbook
    #[arg(default_value = "cell0")]
    runbook: RunbookName,
    /// The last phase to carry out [default: all]
    #[arg(long, value_name = "PHASE")]
    through: Option<PhaseId>,
    /// The lab's name; labs of different names live side by side
    #[arg(long, default_value = "default", value_name = "LAB")]
    lab: LabName,
    /// Take an earlier lab of this name away first, and begin anew
    #[arg(long)]
    fresh: bool,
}

impl Rehearse {
    /// Runs it.
    ///
    /// # Errors
    /// The lab could not be made. What a phase could not do is its own hactl's error; its exit status is ours.
    pub fn run(&self, global: &Global, out: &Out) -> Result<u8> {
        let text = bundled::show(self.runbook.as_str())?;
        let runbook = parse::<Table>(self.runbook.as_str(), text.as_bytes(), Origin::Bundled)?;
        let phases = self.phases(&runbook)?;

        lab::become_root()?;
        install_what_is_missing(global, out)?;
        let lab = Lab::named(self.lab.clone());
        let dir = global.workspace.clone().unwrap_or_else(|| PathBuf::from("rehearsal"));
        self.prepare(&lab, &dir, out)?;

        for phase in phases {
            let status = block_on(hactl(&dir, global, &["phase", "run", phase.as_str()]))?;
            lab::give_back(&dir)?;
            if !status.success() {
                note(&format!(
                    "\nThe lab is still up. Go on:  hactl --workspace {0} resume\n\
                     Look around:             hactl --workspace {0} status\n\
                     Take it away:            hactl lab down --name {1}",
                    dir.display(),
                    self.lab
                ))?;
                return Ok(status
                    .code()
                    .and_then(|code| u8::try_from(code).ok())
                    .unwrap_or(Exit::Failed as u8));
            }
        }
        let status = block_on(hactl(&dir, global, &["status"]))?;
        lab::give_back(&dir)?;
        note(&format!(
            "\nRehearsed. The lab is still up: hactl lab status --name {0}, hactl lab ssh node-1 --name {0}\n\
             Take it away: hactl lab down --name {0}",
            self.lab
        ))?;
        Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(Exit::Failed as u8))
    }

    /// The phases to carry out, in order.
    fn phases(&self, runbook: &Runbook) -> Result<Vec<PhaseId>> {
        let all = runbook.phases.iter().map(|phase| phase.id.clone());
        let Some(last) = &self.through else { return Ok(all.collect()) };
        phase_of(runbook, last)?;
        let mut wanted = Vec::new();
        for id in all {
            let done = id == *last;
            wanted.push(id);
            if done {
                break;
            }
        }
        Ok(wanted)
    }

    /// Brings the lab up and writes its workspace.
    fn prepare(&self, lab: &Lab, dir: &Path, out: &Out) -> Result<()> {
        let began = Instant::now();
        if self.fresh {
            lab.down()?;
        }
        let was_up = lab.is_up()?;
        let state = lab.up(&Scene::SingleServer, &|progress| show(&progress, began))?;
        if !was_up {
            set_aside(dir)?;
        }
        lab.write_workspace(
            dir,
            &WorkspaceFor { runbook: self.runbook.to_string(), inputs: BTreeMap::new() },
        )?;
        match out.format() {
            Format::Json => Ok(()),
            Format::Human => note(&format!(
                "lab {} is up after {:.1} s, with no route out; workspace: {}\n",
                state.name,
                began.elapsed().as_secs_f32(),
                dir.display()
            )),
        }
    }
}

/// A journal tells the history of one lab's machines. Where those machines are new, an earlier workspace is kept under
/// another name, and a new one begins.
fn set_aside(dir: &Path) -> Result<()> {
    if !dir.join(".hactl/journal.jsonl").exists() {
        return Ok(());
    }
    let Some(name) = dir.file_name().map(|name| name.to_string_lossy().into_owned()) else { return Ok(()) };
    let free = (1_u32..).map(|n| dir.with_file_name(format!("{name}.{n}"))).find(|path| !path.exists());
    if let Some(free) = free {
        std::fs::rename(dir, &free).map_err(|e| {
            Error::new(codes::IO, format!("cannot move {} to {}", dir.display(), free.display())).source(e)
        })?;
        note(&format!("the workspace of an earlier lab is now {}", free.display()))?;
    }
    Ok(())
}

/// Installs the host packages that a lab needs. A person at the terminal is asked first; `--yes` has said yes.
fn install_what_is_missing(global: &Global, out: &Out) -> Result<()> {
    let missing = lab::missing_packages(Need::Image);
    if missing.is_empty() || !Path::new("/usr/bin/apt-get").exists() {
        // Where there is no apt-get, making the lab names what is missing.
        return Ok(());
    }
    let mut packages: Vec<_> = missing.iter().map(|m| m.package).collect();
    packages.sort_unstable();
    packages.dedup();
    let packages = packages.join(" ");
    if !global.yes {
        note(&format!("The lab needs programs that this computer lacks.\n  apt-get install {packages}"))?;
        match ask_plainly(&Progress::new(out), "Install them now?")? {
            Answer::Yes(_) => {}
            Answer::No | Answer::NobodyThere => {
                return Err(Error::new(codes::LAB_MISSING, format!("this computer lacks {packages}"))
                    .state("nothing was installed, nothing was created")
                    .next(format!("apt-get install {packages}")));
            }
        }
    }
    note(&format!("installing {packages}"))?;
    lab::install_packages(&missing)
}

/// Runs another hactl in the workspace, at the same terminal. Ctrl-C is for it, and it decides what that means.
async fn hactl(dir: &Path, global: &Global, words: &[&str]) -> Result<ExitStatus> {
    let failed = |e| Error::new(codes::IO, "cannot start hactl again").source(e);
    let own = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(own);
    command.arg("--workspace").arg(dir);
    if global.yes {
        command.arg("--yes");
    }
    match global.output {
        Format::Json => command.args(["--output", "json"]),
        Format::Human => &mut command,
    };
    // Listened to before the other one starts, so that no Ctrl-C ends this one alone.
    let mut ctrl_c = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut child = command.args(words).spawn().map_err(failed)?;
    loop {
        tokio::select! {
            status = child.wait() => return status.map_err(failed),
            _ = ctrl_c.recv() => {}
            // A terminal sends Ctrl-C to both; a plain TERM reaches this one only, and is passed on.
            _ = terminate.recv() => pass_on(&child),
        }
    }
}

fn pass_on(child: &tokio::process::Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // Where it has ended already, waiting for it says so.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

fn note(text: &str) -> Result<()> {
    writeln!(std::io::stderr(), "{}", crate::render::words::clean(text))
        .map_err(|e| Error::new(codes::IO, "cannot write to the terminal").source(e))
}
