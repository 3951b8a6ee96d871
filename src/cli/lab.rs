//! `hactl lab …`: make, look at, disturb and take away a lab.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;

use crate::cli::Global;
use crate::clock::{Clock as _, SystemClock};
use crate::diagnostic::{Error, Exit, Result, codes};
use crate::lab::cloud::Access;
use crate::lab::{Lab, LabName, Link, Progress, Reality, Running, Scene, WorkspaceFor};
use crate::name::HostName;

/// Arguments of `hactl lab`.
#[derive(Debug, Args)]
pub struct LabArgs {
    /// The lab's name; labs of different names live side by side
    #[arg(long, global = true, default_value = "default", value_name = "LAB")]
    name: LabName,
    #[command(subcommand)]
    command: LabCommand,
}

/// What to do with a lab.
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Build the image where it is missing, and start the machines
    Up {
        /// So many plain machines, instead of the single server with its databases and the prover
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=8))]
        nodes: Option<u8>,
        /// The runbook of the workspace that is written where --workspace says
        #[arg(long, default_value = "cell0")]
        runbook: String,
    },
    /// Take the lab away: processes, namespaces, files (the image stays)
    Down,
    /// Show what is there, which parts are real, and the snapshots
    Status,
    /// Show where the lab's cloud API is, and a token for it
    Cloud,
    /// Be the lab's cloud; the lab starts it
    #[command(hide = true)]
    CloudServe,
    /// Shut all machines down, keep their disks under a name, start them again
    Snapshot {
        /// The snapshot's name
        snapshot: String,
    },
    /// Put all disks back to what a snapshot holds, and start the machines
    Restore {
        /// The snapshot's name
        snapshot: String,
    },
    /// Take a machine's power
    Kill {
        /// The machine
        node: HostName,
    },
    /// Give a machine its power back
    Start {
        /// The machine
        node: HostName,
    },
    /// Cut a machine off from the others; it goes on running
    Cut {
        /// The machine
        node: HostName,
    },
    /// Connect a machine again
    Heal {
        /// The machine
        node: HostName,
    },
    /// Take every machine's power at once
    PowerCut,
    /// Run a program of this computer inside the lab, sealed as a rehearsal is
    Enter {
        /// The program and its arguments
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Log in to a machine, or run a command on it
    Ssh {
        /// The machine
        node: HostName,
        /// What to run; a login shell where nothing is given
        #[arg(last = true)]
        command: Vec<OsString>,
    },
}

/// Runs `hactl lab`; the answer is hactl's exit status.
///
/// # Errors
/// What the lab could not do.
pub fn run(args: &LabArgs, global: &Global) -> Result<u8> {
    crate::lab::become_root()?;
    let lab = Lab::named(args.name.clone());
    match &args.command {
        LabCommand::Up { nodes, runbook } => {
            let began = Instant::now();
            let scene = nodes.map_or(Scene::SingleServer, |nodes| Scene::Empty { nodes });
            let state = lab.up(&scene, &|progress| show(&progress, began))?;
            if let Some(dir) = &global.workspace {
                let purpose = WorkspaceFor { runbook: runbook.clone(), inputs: BTreeMap::new() };
                lab.write_workspace(dir, &purpose)?;
            }
            for machine in &state.machines {
                say(&format!("  {:<10} {}", machine.name, machine.address))?;
            }
            say(&format!("lab {} is up after {:.1} s", state.name, began.elapsed().as_secs_f32()))?;
        }
        LabCommand::Down => lab.down()?,
        LabCommand::Status => status(&lab)?,
        LabCommand::Cloud => {
            let access = Access::of(&lab)?;
            say(&format!("endpoint  {}", access.endpoint))?;
            say(&format!("token     {}", access.token.expose_secret()))?;
            say(&format!("CA        {}", access.ca.display()))?;
        }
        LabCommand::CloudServe => crate::lab::cloud::serve(&lab)?,
        LabCommand::Snapshot { snapshot } => {
            let began = Instant::now();
            lab.snapshot(snapshot, SystemClock.now(), &|progress| show(&progress, began))?;
        }
        LabCommand::Restore { snapshot } => {
            let began = Instant::now();
            lab.restore(snapshot, &|progress| show(&progress, began))?;
        }
        LabCommand::Kill { node } => lab.kill(node)?,
        LabCommand::Start { node } => lab.start(node)?,
        LabCommand::Cut { node } => lab.cut(node)?,
        LabCommand::Heal { node } => lab.heal(node)?,
        LabCommand::PowerCut => lab.power_cut()?,
        LabCommand::Enter { command } => {
            let visible: Vec<PathBuf> = global.workspace.iter().cloned().collect();
            crate::lab::enter(&lab, &visible)?;
            let mut words = command.iter();
            let program = words.next().cloned().unwrap_or_default();
            let why = Command::new(&program).args(words).exec();
            return Err(Error::new(codes::USAGE, format!("cannot run {}", program.display())).source(why));
        }
        LabCommand::Ssh { node, command } => {
            let status = lab.ssh(node, command)?.status();
            let status =
                status.map_err(|e| Error::new(codes::LAB_TOOL, "cannot run ssh").host(node).source(e))?;
            return Ok(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(Exit::Failed as u8));
        }
    }
    Ok(Exit::Done as u8)
}

fn status(lab: &Lab) -> Result<()> {
    let status = lab.status()?;
    say(&format!("lab {}, no route out, entered by {}", lab.name(), lab.namespace_path().display()))?;
    for seen in &status.machines {
        let running = match (seen.running, seen.machine.link) {
            (Running::Yes, Link::Connected) => "running",
            (Running::Yes, Link::Cut) => "cut off",
            (Running::No, Link::Connected | Link::Cut) => "off",
        };
        let (word, what) = match seen.reality {
            Reality::Real(what) => ("real", what),
            Reality::StandIn(what) => ("stand-in", what),
        };
        let (name, address) = (&seen.machine.name, seen.machine.address);
        say(&format!("  {name:<10} {address:<15} {running:<8} {word}: {what}"))?;
    }
    if let Some(cloud) = &status.cloud {
        let word = |running| if running == Running::Yes { "running" } else { "off" };
        let what = match cloud.reality {
            Reality::Real(what) => format!("real: {what}"),
            Reality::StandIn(what) => format!("stand-in: {what}"),
        };
        say(&format!("  {:<10} {:<15} {:<8} {what}", "cloud", cloud.address, word(cloud.running)))?;
        for server in &cloud.servers {
            let address = server.address.map(|a| a.to_string()).unwrap_or_default();
            let what = "real: Debian 13 whatever its image, made through the cloud";
            say(&format!("  {:<10} {address:<15} {:<8} {what}", server.name, word(server.running)))?;
        }
    }
    for snapshot in &status.snapshots {
        say(&format!("  snapshot {} of {:.0}", snapshot.name, snapshot.at))?;
    }
    Ok(())
}

pub(super) fn show(progress: &Progress, began: Instant) {
    let at = began.elapsed().as_secs_f32();
    let line = match progress {
        Progress::Building { part, of, what } => format!("building the image, {part} of {of}: {what}"),
        Progress::WaitingForBuilder => "another hactl builds the image; waiting for it".to_owned(),
        Progress::Built(seconds) => format!("the image was built in {seconds} s"),
        Progress::Starting(machine) => format!("{machine} starts"),
        Progress::Ready(machine) => format!("{machine} answers"),
        Progress::Note(text) => text.clone(),
    };
    // Progress that cannot be shown must not stop the work.
    let _ = writeln!(std::io::stderr(), "{at:6.1} s  {}", crate::render::words::clean(&line));
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}")
        .map_err(|e| Error::new(codes::IO, "cannot write to the terminal").source(e))
}
