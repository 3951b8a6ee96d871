//! Secrets that hactl makes and keeps: `.hactl/secrets/<name>.age`, encrypted to the workspace's age recipients.
//!
//! Invariant: a value is in memory or encrypted, nothing else reaches the disk; a file there is whole, and readable by
//! its owner alone. The keyed digest beside it (`<name>.digest`) is written before it, so whoever sees the secret's
//! file can also tell its digest, without the identity, which need not be at hand. A secret is never deleted here:
//! what was encrypted under it would be lost with it.

mod digest_key;

use std::fs;
use std::io::{self, Read, Write as _};
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use age::x25519;
use age::{DecryptError, Decryptor, Encryptor};
use atomic_write_file::AtomicWriteFile;
use atomic_write_file::unix::OpenOptionsExt as _;
use secrecy::{ExposeSecret as _, SecretString};

use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::name::SecretName;
use crate::redact::Redactor;

pub(crate) use digest_key::SEALED_KEY;

/// The file of the key under which digests are made.
const KEY_FILE: &str = ".key";

/// No secret is longer.
const MAX_BYTES: u64 = 64 * 1024;

/// The secrets of a workspace, to be read.
#[derive(Clone, Debug)]
pub struct Sealed {
    folder: PathBuf,
}

impl Sealed {
    /// The secrets in this folder: [`crate::journal::StateDir::secrets`].
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The digest of a secret that is kept, or nothing where none has that name.
    ///
    /// # Errors
    /// The folder could not be read, or the digest beside the secret is damaged.
    pub fn digest(&self, name: &SecretName) -> Result<Option<Digest>> {
        let file = self.file(name);
        if !file.try_exists().map_err(|e| failed("look for", &file, e))? {
            return Ok(None);
        }
        let beside = self.digest_file(name);
        let text = fs::read_to_string(&beside).map_err(|e| failed("read", &beside, e))?;
        let digest = text.trim().parse().map_err(|e| {
            Error::new(codes::SECRET_DAMAGED, format!("{} is damaged", beside.display())).source(e)
        })?;
        Ok(Some(digest))
    }

    /// Decrypts a secret. `identity` holds one or more age identities, one a line.
    ///
    /// # Errors
    /// There is no such secret, it is damaged, or it was encrypted to others.
    pub fn open(&self, name: &SecretName, identity: &SecretString) -> Result<SecretString> {
        let path = self.file(name);
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let text = format!("the secret {name} is not kept here: {} does not exist", path.display());
                return Err(Error::new(codes::SECRET_MISSING, text)
                    .next("restore .hactl from where this workspace is backed up"));
            }
            Err(e) => return Err(failed("read", &path, e)),
        };
        let what = path.display().to_string();
        let mut text = String::new();
        decrypt(&what, file, identity)?
            .take(MAX_BYTES)
            .read_to_string(&mut text)
            .map_err(|e| damaged(&what).source(e))?;
        Ok(text.into())
    }

    /// The digest of a text under this workspace's key, by which equal secrets are recognised.
    ///
    /// # Errors
    /// There is no key, for no secret was made here yet, or it could not be read.
    pub fn digest_of(&self, value: &SecretString) -> Result<Digest> {
        let Some(key) = self.read_key()? else {
            if self.key_is_closed() {
                return Err(self.closed_key());
            }
            let path = self.folder.join(KEY_FILE);
            return Err(Error::new(codes::SECRET_MISSING, format!("{} does not exist", path.display())));
        };
        Ok(Digest::keyed(&key, value.expose_secret()))
    }

    fn read_key(&self) -> Result<Option<[u8; 32]>> {
        let path = self.folder.join(KEY_FILE);
        let mut file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed("read", &path, e)),
        };
        let mode = file.metadata().map_err(|e| failed("read", &path, e))?.mode();
        if mode & 0o077 != 0 {
            let text = format!("{} can be read by others (mode {:04o})", path.display(), mode & 0o777);
            return Err(
                Error::new(codes::SECRET_READABLE, text).next(format!("chmod 600 {}", path.display()))
            );
        }
        let mut key = [0; 32];
        file.read_exact(&mut key).map_err(|e| failed("read", &path, e))?;
        Ok(Some(key))
    }

    fn file(&self, name: &SecretName) -> PathBuf {
        self.folder.join(format!("{name}.age"))
    }

    fn digest_file(&self, name: &SecretName) -> PathBuf {
        self.folder.join(format!("{name}.digest"))
    }
}

/// The secrets of a workspace, to be read, made and taken out of use.
#[derive(Clone, Debug)]
pub struct Sealing {
    sealed: Sealed,
    recipients: Vec<String>,
    redactor: Redactor,
}

impl Sealing {
    /// What is made is encrypted to these age recipients, and `redactor` takes it out of what is kept and shown.
    #[must_use]
    pub(crate) fn new(sealed: Sealed, recipients: Vec<String>, redactor: Redactor) -> Self {
        Self { sealed, recipients, redactor }
    }

    /// Encrypts a secret into its file, durably, and gives its keyed digest. One that exists is replaced.
    ///
    /// # Errors
    /// There are no usable recipients, or a file could not be written; then the old secret is still there.
    pub fn seal(&self, name: &SecretName, value: &SecretString) -> Result<Digest> {
        self.redactor.learn(name.as_str(), value);
        let sealed = encrypt(&self.recipients, value.expose_secret().as_bytes())?;
        self.make_folder()?;
        let digest = Digest::keyed(&self.key()?, value.expose_secret());
        write(&self.digest_file(name), format!("{digest}\n").as_bytes())?;
        write(&self.file(name), &sealed)?;
        Ok(digest)
    }

    /// Takes a secret out of use. Its file stays, under a name that tells its digest.
    ///
    /// # Errors
    /// It could not be renamed.
    pub fn retire(&self, name: &SecretName) -> Result<()> {
        let Some(digest) = self.digest(name)? else { return Ok(()) };
        let file = self.file(name);
        let retired = self.folder.join(format!("{name}.retired-{}.age", digest.short()));
        fs::rename(&file, &retired).map_err(|e| failed("rename", &file, e))?;
        let folder = fs::File::open(&self.folder).and_then(|f| f.sync_all());
        folder.map_err(|e| failed("sync", &self.folder, e))
    }

    fn make_folder(&self) -> Result<()> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(|e| failed("make", &self.folder, e))
    }

    /// The key of the digests: made when first wanted.
    fn key(&self) -> Result<[u8; 32]> {
        if let Some(key) = self.read_key()? {
            return Ok(key);
        }
        if self.key_is_closed() {
            return Err(self.closed_key());
        }
        let mut key = [0; 32];
        random(&mut key)?;
        write(&self.folder.join(KEY_FILE), &key)?;
        Ok(key)
    }
}

impl Deref for Sealing {
    type Target = Sealed;
    fn deref(&self) -> &Sealed {
        &self.sealed
    }
}

/// Fills `bytes` from the machine's source of randomness.
///
/// # Errors
/// It has none.
pub fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes)
        .map_err(|e| Error::new(codes::IO, format!("this machine gives no randomness: {e}")))
}

/// Encrypts to age recipients (`age1…`).
///
/// # Errors
/// There are none, or one of them is no recipient.
pub fn encrypt(recipients: &[String], plain: &[u8]) -> Result<Vec<u8>> {
    let unusable = |why: String| {
        Error::new(codes::SECRET_RECIPIENTS, format!("cannot encrypt: {why}"))
            .state("nothing was written")
            .next("put the public keys of `age-keygen` into recipients = [\"age1…\"] of [age]")
    };
    let parsed = recipients
        .iter()
        .map(|r| r.parse::<x25519::Recipient>().map_err(|e| unusable(format!("{r:?} is no recipient: {e}"))))
        .collect::<Result<Vec<_>>>()?;
    let encryptor = Encryptor::with_recipients(parsed.iter().map(|r| r as &dyn age::Recipient))
        .map_err(|_| unusable("the workspace names no recipients".into()))?;
    let mut sealed = Vec::new();
    let written = encryptor.wrap_output(&mut sealed).and_then(|mut writer| {
        writer.write_all(plain)?;
        writer.finish()
    });
    written.map_err(|e| unusable(e.to_string()))?;
    Ok(sealed)
}

/// Decrypts while reading. `what` names the source in errors; `identity` holds one or more identities, one a line.
///
/// # Errors
/// It is not an age file, or was encrypted to others. What is damaged further on shows as an error while reading.
pub fn decrypt<R: Read>(what: &str, from: R, identity: &SecretString) -> Result<impl Read> {
    let identities = identities(identity)?;
    let decrypted =
        Decryptor::new(from).and_then(|d| d.decrypt(identities.iter().map(|i| i as &dyn age::Identity)));
    decrypted.map_err(|error| match error {
        DecryptError::NoMatchingKeys => Error::new(
            codes::SECRET_WRONG_IDENTITY,
            format!("{what} was encrypted to others than this identity"),
        )
        .state("nothing was decrypted")
        .next("set `identity` in [age] to the identity of one of its recipients"),
        DecryptError::Io(e) if e.kind() != io::ErrorKind::UnexpectedEof => {
            Error::new(codes::IO, format!("cannot read {what}")).source(e)
        }
        error => damaged(what).source(error),
    })
}

fn identities(text: &SecretString) -> Result<Vec<x25519::Identity>> {
    let found = text
        .expose_secret()
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        // The text is a secret, so the error does not show it.
        .map(|line| line.parse::<x25519::Identity>())
        .collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(Error::new(
            codes::SECRET_IDENTITY,
            "the age identity is no \"AGE-SECRET-KEY-1…\", as age-keygen makes it",
        )
        .state("nothing was decrypted")),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let written =
        AtomicWriteFile::options().preserve_mode(false).mode(0o600).open(path).and_then(|mut file| {
            file.write_all(bytes)?;
            file.commit()
        });
    written.map_err(|e| failed("write", path, e))
}

fn damaged(what: &str) -> Error {
    Error::new(codes::SECRET_DAMAGED, format!("{what} is damaged, cut off or not encrypted with age"))
        .state("nothing usable was decrypted")
}

fn failed(doing: &str, path: &Path, error: io::Error) -> Error {
    Error::new(codes::IO, format!("cannot {doing} {}", path.display())).source(error)
}

/// Does one of these identities open what is encrypted to these recipients?
pub(crate) fn opens(identities: &SecretString, recipients: &[String]) -> bool {
    let parsed =
        identities.expose_secret().lines().filter_map(|line| line.trim().parse::<x25519::Identity>().ok());
    parsed.into_iter().any(|identity| recipients.contains(&identity.to_public().to_string()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use age::x25519::Identity;
    use secrecy::{ExposeSecret as _, SecretString};

    use super::{Sealed, Sealing, decrypt, encrypt};
    use crate::diagnostic::codes;
    use crate::name::SecretName;
    use crate::redact::Redactor;

    fn name() -> SecretName {
        SecretName::new("repo-pass").unwrap()
    }

    fn sealed() -> (tempfile::TempDir, Sealing, Identity) {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::generate();
        let sealed = Sealed::new(folder.path().join("secrets"));
        let sealed = Sealing::new(sealed, vec![identity.to_public().to_string()], Redactor::new());
        (folder, sealed, identity)
    }

    #[test]
    fn a_secret_comes_back_and_stands_nowhere_in_clear() {
        let (folder, sealed, identity) = sealed();
        assert_eq!(sealed.digest(&name()).unwrap(), None);
        let value = SecretString::from("correct horse");
        let digest = sealed.seal(&name(), &value).unwrap();
        assert_eq!(sealed.digest(&name()).unwrap(), Some(digest));
        assert_eq!(sealed.digest_of(&value).unwrap(), digest);
        let opened = sealed.open(&name(), &identity.to_string()).unwrap();
        assert_eq!(opened.expose_secret(), "correct horse");
        let mut files = 0;
        for entry in fs::read_dir(folder.path().join("secrets")).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "{path:?}");
            assert!(!String::from_utf8_lossy(&fs::read(&path).unwrap()).contains("horse"));
            files += 1;
        }
        assert_eq!(files, 3);
        assert_eq!(fs::metadata(folder.path().join("secrets")).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn the_digest_depends_on_the_workspaces_key() {
        let (_one, a, _) = sealed();
        let (_two, b, _) = sealed();
        let value = SecretString::from("same");
        assert_eq!(a.digest_of(&value).unwrap_err().code(), codes::SECRET_MISSING);
        assert_ne!(a.seal(&name(), &value).unwrap(), b.seal(&name(), &value).unwrap());
        assert_ne!(a.digest_of(&value).unwrap(), b.digest_of(&value).unwrap());
        assert_eq!(a.digest_of(&value).unwrap(), a.digest_of(&value).unwrap());
    }

    #[test]
    fn the_wrong_identity_is_told_from_damage() {
        let (folder, sealed, identity) = sealed();
        sealed.seal(&name(), &SecretString::from("x")).unwrap();
        let other = Identity::generate().to_string();
        assert_eq!(sealed.open(&name(), &other).unwrap_err().code(), codes::SECRET_WRONG_IDENTITY);
        let error = sealed.open(&name(), &SecretString::from("AGE-SECRET-KEY-1NONSENSE")).unwrap_err();
        assert_eq!(error.code(), codes::SECRET_IDENTITY);
        assert!(!error.one_line().contains("NONSENSE"));

        let path = folder.path().join("secrets/repo-pass.age");
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(sealed.open(&name(), &identity.to_string()).unwrap_err().code(), codes::SECRET_DAMAGED);
        fs::write(&path, &bytes[..30]).unwrap();
        assert_eq!(sealed.open(&name(), &identity.to_string()).unwrap_err().code(), codes::SECRET_DAMAGED);
        fs::remove_file(&path).unwrap();
        assert_eq!(sealed.open(&name(), &identity.to_string()).unwrap_err().code(), codes::SECRET_MISSING);
    }

    #[test]
    fn a_retired_secret_can_still_be_decrypted() {
        let (folder, sealed, identity) = sealed();
        let digest = sealed.seal(&name(), &SecretString::from("old")).unwrap();
        sealed.retire(&name()).unwrap();
        sealed.retire(&name()).unwrap();
        assert_eq!(sealed.digest(&name()).unwrap(), None);
        let kept = SecretName::new(&format!("repo-pass.retired-{}", digest.short())).unwrap();
        assert!(folder.path().join(format!("secrets/{kept}.age")).exists());
        assert_eq!(sealed.open(&kept, &identity.to_string()).unwrap().expose_secret(), "old");
    }

    #[test]
    fn recipients_are_wanted_and_named_when_wrong() {
        assert_eq!(encrypt(&[], b"x").unwrap_err().code(), codes::SECRET_RECIPIENTS);
        let error = encrypt(&["age1nonsense".into()], b"x").unwrap_err();
        assert!(error.to_string().contains("age1nonsense"), "{error}");
    }

    #[test]
    fn every_recipient_can_decrypt() {
        let (one, two) = (Identity::generate(), Identity::generate());
        let bytes = encrypt(&[one.to_public().to_string(), two.to_public().to_string()], b"x").unwrap();
        for identity in [one, two] {
            assert!(decrypt("it", bytes.as_slice(), &identity.to_string()).is_ok());
        }
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let (folder, sealed, _) = sealed();
        sealed.seal(&name(), &SecretString::from("x")).unwrap();
        let key = folder.path().join("secrets/.key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        let error = sealed.seal(&name(), &SecretString::from("y")).unwrap_err();
        assert_eq!(error.code(), codes::SECRET_READABLE);
    }
}
