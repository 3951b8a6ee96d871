//! The `hactl` command: parse, run, print the error, exit.

#![forbid(unsafe_code)]

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use hactl::cli::{self, Cli};
use hactl::diagnostic::Error;
use hactl::render::error::{ErrorEvent, Look};
use hactl::render::{Format, Out, error, panic};

fn main() -> ExitCode {
    panic::install();
    // The one TLS stack is chosen here, before anybody may open a connection. It fails where it was chosen before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            let _ = usage.print();
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2));
        }
    };
    match cli::run(&cli) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            print(&error, &cli.out());
            ExitCode::from(error.code().exit() as u8)
        }
    }
}

fn print(error: &Error, out: &Out) {
    let coloured = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let look = if coloured { Look::Coloured } else { Look::Plain };
    // Where the terminal is gone, the exit status still tells.
    let _ = write!(io::stderr(), "{}", error::text(error, look, out));
    match out.format() {
        Format::Json => {
            let _ = out.object(&ErrorEvent::new(error, out));
        }
        Format::Human => {}
    }
}
