//! The key of the secrets' digests, as it goes to another machine: `.hactl/secrets/.key.age`.
//!
//! Invariant: where the key itself is here, what is encrypted is this key, for the recipients of now. Where only the
//! encrypted one is here, it is left as it came, and no other key is made beside it: what was made under the first one
//! would look damaged under the second.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::{KEY_FILE, Sealed, damaged, decrypt, encrypt, failed, write};
use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;

/// The key, encrypted.
pub(crate) const SEALED_KEY: &str = ".key.age";

/// For which key and which recipients that was made: a digest under the key itself, so that it tells nothing.
const SEALED_FOR: &str = ".key.for";

impl Sealed {
    /// The file of the encrypted key, which is made, or made anew, where the recipients are others than before. None
    /// where there is nothing to encrypt, or nobody to encrypt it to.
    ///
    /// # Errors
    /// The key could not be read, a recipient is none, or a file could not be written.
    pub(crate) fn sealed_key(&self, recipients: &[String]) -> Result<Option<PathBuf>> {
        let sealed = self.folder.join(SEALED_KEY);
        let Some(key) = self.read_key()? else { return Ok(sealed.exists().then_some(sealed)) };
        if recipients.is_empty() {
            return Ok(None);
        }
        let key = Zeroizing::new(key);
        let mut sorted: Vec<&str> = recipients.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        let wanted = Digest::keyed(&key, sorted.join("\n")).to_string();
        let mark = self.folder.join(SEALED_FOR);
        // Each encryption is another text, so it is made only where it must be.
        let same =
            sealed.exists() && fs::read_to_string(&mark).is_ok_and(|made_for| made_for.trim() == wanted);
        if !same {
            let text = Zeroizing::new(hex::encode(&key[..]));
            write(&sealed, &encrypt(recipients, text.as_bytes())?)?;
            // Last: whoever is killed before this makes it once more.
            write(&mark, wanted.as_bytes())?;
        }
        Ok(Some(sealed))
    }

    /// Is the key here encrypted, and not otherwise?
    #[must_use]
    pub fn key_is_closed(&self) -> bool {
        self.folder.join(SEALED_KEY).exists() && !self.folder.join(KEY_FILE).exists()
    }

    /// Decrypts the key where it is here encrypted, and not otherwise.
    ///
    /// # Errors
    /// It was encrypted to others, is damaged, or cannot be written here ([`codes::IO`]).
    pub fn open_key(&self, identity: &SecretString) -> Result<()> {
        if !self.key_is_closed() {
            return Ok(());
        }
        let path = self.folder.join(SEALED_KEY);
        let file = fs::File::open(&path).map_err(|e| failed("read", &path, e))?;
        let what = format!("the key of the secrets' digests, {},", path.display());
        let mut text = Zeroizing::new(String::new());
        let read = decrypt(&what, file, identity)?.take(super::MAX_BYTES).read_to_string(&mut text);
        read.map_err(|e| damaged(&what).source(e))?;
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.as_str(), &mut key[..]).map_err(|_| damaged(&what))?;
        write(&self.folder.join(KEY_FILE), &key[..])
    }

    /// The refusal of what needs the key where it is closed.
    pub(super) fn closed_key(&self) -> Error {
        let path = self.folder.join(SEALED_KEY);
        let text = format!("the key of the secrets' digests is here only encrypted: {}", path.display());
        Error::new(codes::SECRET_MISSING, text)
            .state("no secret was made; under another key those that are kept would look damaged")
            .next("set identity in [age] to that of one of its recipients, then: hactl resume --rebase")
            .next(format!(
                "where nobody has such an identity: mv {0} {0}.lost, and a new key is made; then secrets of before do \
                 not verify any more",
                path.display()
            ))
    }
}
