//! The files that a run needs beside its journal and its evidence: pinned keys of hosts, encrypted secrets, certificate
//! authorities, the signers whose approvals count.
//!
//! Invariant: nothing secret goes along that is not encrypted. The key of the secrets' digests goes encrypted to the
//! workspace's age recipients of now, or as it came from the mirror where it was never opened here.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use atomic_write_file::AtomicWriteFile;
use atomic_write_file::unix::OpenOptionsExt as _;

use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::journal::StateDir;
use crate::sealed::{SEALED_KEY, Sealed};
use crate::units::Size;
use crate::workspace::Workspace;

/// Which files go along.
#[derive(Clone, Debug)]
pub(super) struct Companions {
    root: PathBuf,
    named: Vec<PathBuf>,
    recipients: Vec<String>,
}

/// The files by their paths, which begin at the workspace.
pub(super) type FileList = BTreeMap<String, Digest>;

/// No file that goes along is larger; nothing says of a file how large it has to be.
pub(super) const FILE_AT_MOST: Size = Size(16 << 20);
/// Nor is their list.
pub(super) const LIST_AT_MOST: Size = Size(4 << 20);

impl Companions {
    pub(super) fn of(workspace: &Workspace) -> Self {
        let s3 = workspace.s3.iter().chain(workspace.mirror.iter().map(|mirror| &mirror.s3));
        let named = s3.filter_map(|s3| s3.ca.clone());
        let named =
            named.chain(workspace.approvals.iter().map(|approvals| approvals.allowed_signers.clone()));
        Self {
            root: workspace.root.clone(),
            named: named.collect(),
            recipients: workspace.age.as_ref().map(|age| age.recipients.clone()).unwrap_or_default(),
        }
    }

    /// What goes along now, with its bytes.
    ///
    /// # Errors
    /// A file is there and cannot be read.
    pub(super) fn gather(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let dir = StateDir::of(&self.root);
        let mut paths = vec![dir.known_hosts()];
        paths.extend(self.named.iter().cloned());
        paths.extend(self.secrets(&dir)?);
        paths.sort();
        paths.dedup();
        let mut files = Vec::new();
        for path in paths {
            // A file elsewhere on this machine has no place in a folder on another one.
            let Some(relative) = path.strip_prefix(&self.root).ok().and_then(portable) else { continue };
            match fs::read(&path) {
                Ok(bytes) => files.push((relative, fits(&path.display().to_string(), bytes, FILE_AT_MOST)?)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(unreadable(&path, e)),
            }
        }
        Ok(files)
    }

    fn secrets(&self, dir: &StateDir) -> Result<Vec<PathBuf>> {
        let folder = dir.secrets();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(unreadable(&folder, e)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| unreadable(&folder, e))?.path();
            let ending = path.extension().and_then(|ending| ending.to_str());
            if path.is_file() && matches!(ending, Some("age" | "digest")) && !path.ends_with(SEALED_KEY) {
                paths.push(path);
            }
        }
        paths.extend(Sealed::new(folder).sealed_key(&self.recipients)?);
        Ok(paths)
    }
}

/// What is sent can be brought again: nothing larger is sent than is read.
pub(super) fn fits(what: &str, bytes: Vec<u8>, at_most: Size) -> Result<Vec<u8>> {
    if bytes.len() as u64 <= at_most.bytes() {
        return Ok(bytes);
    }
    let text = format!("{what} is larger than the {at_most} that may go into the mirror");
    Err(Error::new(codes::S3_TOO_LARGE, text).state("nothing was begun"))
}

/// A path as text that means the same on every machine: relative, and never upwards.
pub(super) fn portable(path: &Path) -> Option<String> {
    let inward = path.components().all(|part| matches!(part, Component::Normal(_)));
    path.to_str().filter(|text| inward && !text.is_empty()).map(ToOwned::to_owned)
}

/// Writes a file that only its owner may read, durably and whole.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let written =
        AtomicWriteFile::options().preserve_mode(false).mode(0o600).open(path).and_then(|mut file| {
            file.write_all(bytes)?;
            file.commit()
        });
    written.map_err(|e| Error::new(codes::IO, format!("cannot write {}", path.display())).source(e))
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::new(codes::IO, format!("cannot read {}, which belongs into the mirror", path.display()))
        .source(error)
        .state("nothing was begun")
}
