//! The folder `.hactl` beside `hactl.toml`, and the paths in it.
//!
//! Invariant: it is 0700, and making it or a file in it is durable before anything is recorded.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::diagnostic::{Error, Result, codes};

/// The state folder of a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// The state folder of the workspace in `workspace`. Nothing is made yet.
    #[must_use]
    pub fn of(workspace: &Path) -> Self {
        Self(workspace.join(".hactl"))
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The journal's file.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal.jsonl")
    }

    /// The lock's file. It is never removed: removing it would let two hold it.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Where evidence is kept.
    #[must_use]
    pub fn evidence(&self) -> PathBuf {
        self.0.join("evidence")
    }

    /// Where encrypted secret outputs are kept.
    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.0.join("secrets")
    }

    /// Where it is noted how far the mirror is.
    #[must_use]
    pub fn mirror(&self) -> PathBuf {
        self.0.join("mirror.json")
    }

    /// Where the pinned keys of hosts are.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.0.join("known_hosts")
    }

    /// Makes the folder where it is missing, durably, and makes sure that only its owner can look into it.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn create(&self) -> Result<()> {
        private_folder(&self.0)
            .map_err(|e| Error::new(codes::IO, format!("failed to make {}", self.0.display())).source(e))
    }
}

/// Makes `path` as a 0700 folder, and fsyncs the folder that it is in.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
            let mode = std::fs::metadata(path)?.permissions().mode();
            if mode & 0o077 != 0 {
                std::fs::set_permissions(path, PermissionsExt::from_mode(0o700))?;
            }
        }
        Err(e) => return Err(e),
    }
    // Also where it was there already: whoever made it may have been killed before the fsync.
    sync_folder(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
