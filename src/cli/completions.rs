//! `hactl completions`: what shells need to complete hactl's commands.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;
use crate::diagnostic::{Exit, Result};
use crate::render::Out;

/// Arguments of `hactl completions`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  hactl completions bash > ~/.local/share/bash-completion/completions/hactl")]
pub struct Completions {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Prints them.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn run(&self, out: &Out) -> Result<Exit> {
        out.bytes(&generate(self.shell))?;
        Ok(Exit::Done)
    }
}

/// The completions of one shell; `completions/` holds them.
#[must_use]
pub fn generate(shell: Shell) -> Vec<u8> {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "hactl", &mut bytes);
    bytes
}
