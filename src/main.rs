//! The `hactl` command.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "hactl", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The sealed lab of real machines
    #[cfg(all(feature = "lab", target_os = "linux"))]
    Lab(hactl::cli::lab::LabArgs),
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        #[cfg(all(feature = "lab", target_os = "linux"))]
        Command::Lab(args) => hactl::cli::lab::run(&args),
    };
    match done {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            let code = error.code().exit() as u8;
            let _ = writeln!(std::io::stderr(), "{:?}", miette::Report::new(error));
            ExitCode::from(code)
        }
    }
}
