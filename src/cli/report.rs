//! `hactl report`: one Markdown file and one HTML file that tell what a run was.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use atomic_write_file::AtomicWriteFile;
use serde::Serialize;

use super::Global;
use crate::clock::{Clock as _, SystemClock};
use crate::diagnostic::{Error, Exit, Result, codes};
use crate::name::RunId;
use crate::render::{Format, Out, report};
use crate::report::{Report, to_terraform};

/// Arguments of `hactl report`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
It is made from the journal and the evidence in .hactl alone: no server is asked,
and a copy of .hactl is enough. The page needs no network and no script; print it
from any browser. Both files can be read by you alone: they tell much of your
servers, but no secret.

Examples:
  hactl report
  hactl report --to /srv/audit
  hactl report --terraform > imports.tf")]
pub struct ReportArgs {
    /// Of this run [default: the last one]
    #[arg(long, value_name = "ID")]
    run: Option<RunId>,
    /// The folder for both files [default: reports, beside hactl.toml]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Write no file; print blocks by which Terraform imports what the run made or adopted in the cloud
    #[arg(long, conflicts_with = "to")]
    terraform: bool,
}

/// An object in the cloud, for Terraform.
#[derive(Serialize)]
struct Importable<'a> {
    event: &'static str,
    to: String,
    id: &'a str,
    step: &'a str,
}

#[derive(Serialize)]
struct NotImportable<'a> {
    event: &'static str,
    step: &'a str,
    why: &'a str,
}

#[derive(Serialize)]
struct Written<'a> {
    event: &'static str,
    run: &'a RunId,
    markdown: PathBuf,
    html: PathBuf,
}

impl ReportArgs {
    /// Writes both files.
    ///
    /// # Errors
    /// There is no such run, the journal is damaged, or a file cannot be written.
    pub fn run(&self, global: &Global, out: &Out) -> Result<Exit> {
        let file = global.file()?;
        let told = Report::read(&global.state_dir()?, self.run.as_ref(), SystemClock.now())?;
        if self.terraform {
            return tell_terraform(&told, out);
        }
        let beside = || file.parent().unwrap_or(Path::new(".")).join("reports");
        let folder = self.to.clone().unwrap_or_else(beside);
        let name = |ending: &str| folder.join(format!("{}.{ending}", told.run.run));
        let written = Written {
            event: "report_written",
            run: &told.run.run,
            markdown: write(name("md"), &report::to_markdown(&told))?,
            html: write(name("html"), &report::to_html(&told))?,
        };
        match out.format() {
            Format::Json => out.object(&written)?,
            Format::Human => {
                out.say(format!("wrote {}", written.markdown.display()))?;
                out.say(format!("wrote {}", written.html.display()))?;
            }
        }
        Ok(Exit::Done)
    }
}

fn tell_terraform(told: &Report, out: &Out) -> Result<Exit> {
    let imports = told.imports()?;
    match out.format() {
        Format::Human => out.say(to_terraform(told, &imports).trim_end())?,
        Format::Json => {
            for import in &imports.blocks {
                let to = format!("{}.{}", import.resource, import.label);
                out.object(&Importable { event: "importable", to, id: &import.id, step: &import.step })?;
            }
            for (step, why) in &imports.unknown {
                out.object(&NotImportable { event: "not_importable", step, why })?;
            }
        }
    }
    Ok(Exit::Done)
}

/// Writes a file that only its owner can read, whole or not at all.
fn write(path: PathBuf, text: &str) -> Result<PathBuf> {
    let write = || {
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        let mut file = AtomicWriteFile::open(&path)?;
        file.set_permissions(PermissionsExt::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.commit()
    };
    write().map_err(|e| {
        Error::new(codes::IO, format!("{} could not be written", path.display()))
            .source(e)
            .next("make room there, or name another folder: hactl report --to DIR")
    })?;
    Ok(path)
}
