//! `hactl man`: the manual pages, made of the same definitions as `--help`.

use std::path::PathBuf;

use clap::CommandFactory as _;
use serde::Serialize;

use super::Cli;
use crate::diagnostic::{Error, Exit, Result, codes};
use crate::render::{Format, Out};

/// Arguments of `hactl man`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
One page for each command: hactl.1, hactl-phase-run.1, and so on.

Example:
  hactl man ~/.local/share/man/man1")]
pub struct ManArgs {
    /// The folder for the pages; made where it is missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

#[derive(Serialize)]
struct Written<'a> {
    event: &'static str,
    folder: &'a PathBuf,
    pages: usize,
}

impl ManArgs {
    /// Writes the pages.
    ///
    /// # Errors
    /// The folder or a page cannot be written.
    pub fn run(&self, out: &Out) -> Result<Exit> {
        let folder = &self.folder;
        let failed = |e| {
            Error::new(codes::IO, format!("the pages could not be written to {}", folder.display()))
                .source(e)
                .next("name a folder that you may write to: hactl man DIR")
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let pages = pages();
        for (name, page) in &pages {
            std::fs::write(folder.join(name), page).map_err(failed)?;
        }
        let pages = pages.len();
        match out.format() {
            Format::Human => out.say(format!("wrote {pages} pages to {}", folder.display()))?,
            Format::Json => out.object(&Written { event: "pages_written", folder, pages })?,
        }
        Ok(Exit::Done)
    }
}

/// Every page, by its file's name.
#[must_use]
pub fn pages() -> Vec<(String, Vec<u8>)> {
    let mut root = Cli::command();
    root.build();
    let mut pages = Vec::new();
    collect(&root, "hactl", &mut pages);
    pages
}

fn collect(command: &clap::Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) {
    let page = clap_mangen::Man::new(command.clone()).title(name.to_uppercase());
    let mut text = Vec::new();
    // Writing to memory does not fail.
    let _ = page.render(&mut text);
    pages.push((format!("{name}.1"), text));
    for sub in command.get_subcommands() {
        collect(sub, &format!("{name}-{}", sub.get_name()), pages);
    }
}
