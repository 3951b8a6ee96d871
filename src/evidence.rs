//! Captured output and measurements, kept under their digest in `.hactl/evidence`.
//!
//! Invariant: a file is durable before its [`EvidenceRef`] exists, so no record names evidence that may be lost; and
//! nothing is kept that still holds a known secret. Files are never changed or removed here.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;

use atomic_write_file::AtomicWriteFile;

use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::journal::StateDir;
use crate::journal::dir::{private_folder, sync_folder};
use crate::journal::record::EvidenceRef;
use crate::redact::Redactor;

/// The evidence of a workspace.
#[derive(Clone, Debug)]
pub struct EvidenceStore {
    dir: StateDir,
    redactor: Rc<Redactor>,
}

impl EvidenceStore {
    /// The evidence beside a journal. Every content passes `redactor` first.
    #[must_use]
    pub fn new(dir: StateDir, redactor: Rc<Redactor>) -> Self {
        Self { dir, redactor }
    }

    /// Keeps `content`, redacted, and durable when this returns. `name` is for people.
    ///
    /// # Errors
    /// It could not be kept.
    pub fn put(&self, name: impl Into<String>, content: &[u8]) -> Result<EvidenceRef> {
        let content = self.redactor.redact(content);
        let digest = Digest::of(&content);
        let name = name.into();
        self.keep(digest, &content).map_err(|e| {
            Error::new(codes::EVIDENCE_WRITE, format!("failed to keep the evidence {name:?}"))
                .source(e)
                .next("look after the disk (df, dmesg), then: hactl resume")
        })?;
        Ok(EvidenceRef { name, digest, bytes: content.len() as u64 })
    }

    fn keep(&self, digest: Digest, content: &[u8]) -> std::io::Result<()> {
        let folder = self.dir.evidence();
        let path = folder.join(digest.to_string());
        if std::fs::read(&path).is_ok_and(|there| there == content) {
            // Whoever wrote it may have been killed before the folder was synced.
            return sync_folder(&folder);
        }
        private_folder(&folder)?;
        let mut file = AtomicWriteFile::open(&path)?;
        file.set_permissions(PermissionsExt::from_mode(0o600))?;
        file.write_all(content)?;
        file.sync_all()?;
        file.commit()?;
        sync_folder(&folder)
    }

    /// What was kept, checked against its digest.
    ///
    /// # Errors
    /// It is missing, or is not what was kept.
    pub fn get(&self, reference: &EvidenceRef) -> Result<Vec<u8>> {
        let path = self.dir.evidence().join(reference.digest.to_string());
        let error = |what: &str| {
            Error::new(codes::EVIDENCE_READ, format!("{what}: {}", path.display()))
                .state("nothing was changed")
                .next("restore .hactl from a copy")
        };
        let content = std::fs::read(&path)
            .map_err(|e| error(&format!("failed to read the evidence {:?}", reference.name)).source(e))?;
        if Digest::of(&content) == reference.digest {
            Ok(content)
        } else {
            Err(error(&format!("the evidence {:?} is not what was kept", reference.name)))
        }
    }
}
