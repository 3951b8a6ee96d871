//! The file that a draft becomes: checked as `hactl check` would, and linked to its name in one step.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{Draft, Made};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::StateDir;
use crate::name::HostName;
use crate::runbook;
use crate::step::Table;
use crate::transport::ssh::host_key::{HostKey, pin};
use crate::workspace::FILE_NAME;

/// Writes a draft as `hactl.toml` into `folder`, pins the keys, and keeps what was made for it.
///
/// # Errors
/// There is one already, what was answered does not pass `hactl check`, or it cannot be written. Then there is none.
pub fn write(folder: &Path, draft: &Draft, keys: &[(HostName, HostKey)], made: Made) -> Result<PathBuf> {
    let file = folder.join(FILE_NAME);
    let failed = |what: &str, e| {
        Error::new(codes::IO, format!("cannot {what} {}", file.display()))
            .source(e)
            .state("nothing was written")
    };
    let part = Part::new(folder, &draft.text()).map_err(|e| failed("write", e))?;
    runbook::load::<Table>(&part.0).map_err(|e| {
        let problems = e.file_problems().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let why = if problems.is_empty() { e.one_line() } else { problems };
        Error::new(
            codes::INIT_ANSWER,
            format!("with these answers the file would not pass `hactl check`: {why}"),
        )
        .state("nothing was written")
        .next("hactl init    (with other answers)")
    })?;
    // A key that is pinned without a file that names its host does no harm; the other way round something would be missing.
    if !keys.is_empty() {
        let state = StateDir::of(folder);
        state.create()?;
        for (host, key) in keys {
            pin(&state.path().join("known_hosts"), host, key)?;
        }
    }
    match fs::hard_link(&part.0, &file) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return Err(there(&file)),
        Err(e) => return Err(failed("make", e)),
    }
    drop(part);
    made.keep();
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| failed("make sure of", e))?;
    Ok(file)
}

/// Refuses a folder that is a workspace already.
///
/// # Errors
/// It is.
pub fn is_free(folder: &Path) -> Result<()> {
    let file = folder.join(FILE_NAME);
    if file.symlink_metadata().is_ok() { Err(there(&file)) } else { Ok(()) }
}

fn there(file: &Path) -> Error {
    Error::new(codes::INIT_EXISTS, format!("{} is there already, and is not replaced", file.display()))
        .state("nothing was written")
        .next("hactl check    (looks at the one that is there)")
        .next("hactl --workspace ANOTHER-FOLDER init")
}

/// The file under a name of its own, removed when this is dropped.
struct Part(PathBuf);

impl Part {
    fn new(folder: &Path, text: &str) -> std::io::Result<Self> {
        let part = Self(folder.join(format!(".{FILE_NAME}.{}", std::process::id())));
        let mut file = File::create_new(&part.0)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(part)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Under this name it is nothing to anybody.
        let _ = fs::remove_file(&self.0);
    }
}
