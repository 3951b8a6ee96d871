//! The command line: one file per subcommand.
//!
//! Invariant: a command parses, calls the library, and hands what it got to `render`; nothing is decided here that a
//! library caller would want too. Only `main` exits.

pub mod approve;
pub mod approver;
pub mod check;
pub mod completions;
pub mod doctor;
pub mod explain;
pub mod from_mirror;
pub mod host;
pub mod init;
pub mod journal;
pub mod kinds;
#[cfg(all(feature = "lab", target_os = "linux"))]
pub mod lab;
pub mod man;
pub mod phase;
pub mod plan;
pub mod proof;
#[cfg(all(feature = "lab", target_os = "linux"))]
pub mod rehearse;
pub mod report;
pub mod resume;
pub mod runbook;
pub mod runtime;
pub mod schema;
pub mod status;
pub mod work;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use crate::diagnostic::{Error, Result, codes};
use crate::journal::StateDir;
use crate::render::{Format, Out};
use crate::transport::faulty::Faulty;
use crate::workspace;

/// Walks you from one server to a proven, highly available cluster, one typed step at a time
#[derive(Debug, Parser)]
#[command(
    name = "hactl",
    version,
    max_term_width = 80,
    disable_help_subcommand = true,
    after_long_help = "\
Exit status: 0 done, 1 failed, 2 usage or invalid files, 3 approval needed,
4 locked by someone else, 5 plan or approval out of date, 6 in doubt and needs a
decision, 130 interrupted."
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// Which command.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Clone, Debug, clap::Args)]
pub struct Global {
    /// The folder with hactl.toml [default: this one or the nearest parent]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub workspace: Option<PathBuf>,
    /// Who reads the output: human, or json (one object a line)
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help_heading = "Global options"
    )]
    pub output: Format,
    /// Answer every gate with yes; in a rehearsal only, refused elsewhere
    #[arg(long, global = true, help_heading = "Global options")]
    pub yes: bool,
    /// What makes effects go wrong: set by another program than hactl only, and only for a rehearsal.
    #[arg(skip)]
    pub faulty: Option<Faulty>,
}

impl Cli {
    /// Standard output, as this command line wants it.
    #[must_use]
    pub fn out(&self) -> Out {
        Out::new(self.global.output).in_workspace(self.global.workspace.clone())
    }
}

impl Global {
    /// The workspace's file.
    ///
    /// # Errors
    /// There is no workspace here.
    pub fn file(&self) -> Result<PathBuf> {
        let here = std::env::current_dir()
            .map_err(|e| Error::new(codes::IO, "cannot tell which folder this is").source(e))?;
        workspace::find(&here, self.workspace.as_deref())
    }

    /// The workspace's state folder.
    ///
    /// # Errors
    /// There is no workspace here.
    pub fn state_dir(&self) -> Result<StateDir> {
        let file = self.file()?;
        Ok(StateDir::of(file.parent().unwrap_or(Path::new("."))))
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a workspace: ask what it needs, try it out, write a commented hactl.toml
    Init(Box<init::Init>),
    /// Load and check the workspace and its runbook, offline; shows every problem at once
    Check(check::Check),
    /// Examine every host, the bucket, PostgreSQL and the secrets; changes nothing
    Doctor(doctor::Doctor),
    /// Look at the servers and show, step by step, what would happen
    Plan(plan::PlanArgs),
    /// Look at a phase, carry it out, verify it again, or take it back
    Phase(phase::PhaseArgs),
    /// Go on after an interruption, a failure or a refused gate
    Resume(resume::ResumeArgs),
    /// Answer a step's gate ahead of its run
    Approve(approve::ApproveArgs),
    /// Show where the run stands, what is proven, and what to type next
    Status(status::StatusArgs),
    /// Show what was proven, how strongly, and until when it counts
    Proof(proof::ProofArgs),
    /// Write down what a run was: one Markdown file, one HTML page
    Report(report::ReportArgs),
    /// Show what happened, or check that the journal is whole
    Journal(journal::JournalArgs),
    /// Pin the key of a host
    Host(host::HostArgs),
    /// List, print or eject the bundled runbooks
    Runbook(runbook::RunbookArgs),
    /// Make, look at, disturb and take away a sealed lab of real machines
    #[cfg(all(feature = "lab", target_os = "linux"))]
    Lab(lab::LabArgs),
    /// Rehearse a runbook on real machines in a sealed lab
    #[cfg(all(feature = "lab", target_os = "linux"))]
    Rehearse(rehearse::Rehearse),
    /// List the step kinds and probes that a runbook can be written with
    Kinds(kinds::Kinds),
    /// Tell what an error code means
    Explain(explain::Explain),
    /// Print the JSON schema of what `--output json` prints
    Schema(schema::Schema),
    /// Print the completions for a shell
    Completions(completions::Completions),
    /// Write the manual pages
    Man(man::ManArgs),
}

/// Carries out a command; the answer is the exit status, which for `lab ssh` is that of the remote command.
///
/// # Errors
/// What the command could not do.
pub fn run(cli: &Cli) -> Result<u8> {
    carry_out(cli).map_err(|error| {
        if error.code() == codes::FILES_INVALID {
            error.default_next("mend them, then: hactl check")
        } else {
            error
        }
    })
}

fn carry_out(cli: &Cli) -> Result<u8> {
    let out = cli.out();
    let exit = match &cli.command {
        Command::Init(command) => command.run(&cli.global, &out)?,
        Command::Check(command) => command.run(&cli.global, &out)?,
        Command::Doctor(command) => command.run(&cli.global, &out)?,
        Command::Plan(command) => command.run(&cli.global, &out)?,
        Command::Phase(command) => command.run(&cli.global, &out)?,
        Command::Resume(command) => command.run(&cli.global, &out)?,
        Command::Approve(command) => command.run(&cli.global, &out)?,
        Command::Status(command) => command.run(&cli.global, &out)?,
        Command::Proof(command) => command.run(&cli.global, &out)?,
        Command::Report(command) => command.run(&cli.global, &out)?,
        Command::Journal(command) => command.run(&cli.global, &out)?,
        Command::Host(command) => command.run(&cli.global, &out)?,
        Command::Runbook(command) => command.run(&out)?,
        Command::Kinds(command) => command.run(&out)?,
        #[cfg(all(feature = "lab", target_os = "linux"))]
        Command::Lab(command) => return lab::run(command, &cli.global),
        #[cfg(all(feature = "lab", target_os = "linux"))]
        Command::Rehearse(command) => return command.run(&cli.global, &out),
        Command::Explain(command) => command.run(&out)?,
        Command::Schema(command) => command.run(&out)?,
        Command::Completions(command) => command.run(&out)?,
        Command::Man(command) => command.run(&out)?,
    };
    Ok(exit as u8)
}
