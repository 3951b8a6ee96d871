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
        let name = self.redactor.clean(&name.into());
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::rc::Rc;

    use secrecy::SecretString;

    use super::EvidenceStore;
    use crate::diagnostic::codes;
    use crate::digest::Digest;
    use crate::journal::StateDir;
    use crate::redact::Redactor;

    #[test]
    fn it_is_kept_once_redacted_private_and_checked_when_read() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, redactor) = (StateDir::of(folder.path()), Rc::new(Redactor::new()));
        dir.create().unwrap();
        redactor.learn("password", &SecretString::from("correct horse".to_owned()));
        let store = EvidenceStore::new(dir.clone(), redactor);
        let kept = store.put("output", b"login correct horse ok").unwrap();
        assert_eq!(store.put("again", b"login correct horse ok").unwrap().digest, kept.digest);
        let content = b"login [secret password] ok";
        assert_eq!((kept.digest, kept.bytes), (Digest::of(content), content.len() as u64));
        assert_eq!(store.get(&kept).unwrap(), content);
        let path = dir.evidence().join(kept.digest.to_string());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.evidence()).unwrap().count(), 1);

        std::fs::write(&path, "login as somebody else").unwrap();
        assert_eq!(store.get(&kept).unwrap_err().code(), codes::EVIDENCE_READ);
        // Keeping it once more mends it.
        store.put("output", b"login correct horse ok").unwrap();
        assert_eq!(store.get(&kept).unwrap(), content);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(store.get(&kept).unwrap_err().code(), codes::EVIDENCE_READ);
    }

    #[test]
    fn where_it_cannot_be_kept_there_is_no_reference() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::of(folder.path());
        dir.create().unwrap();
        std::fs::write(dir.evidence(), "a file where the folder belongs").unwrap();
        let store = EvidenceStore::new(dir, Rc::new(Redactor::new()));
        assert_eq!(store.put("output", b"x").unwrap_err().code(), codes::EVIDENCE_WRITE);
    }
}
