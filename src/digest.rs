//! SHA-256 digests: of records, runbooks, plans and evidence.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};

use crate::name::from_text;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A SHA-256 digest, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(bytes.as_ref()).into())
    }

    /// The digest of a value's JSON form; object keys keep the order of their declaration.
    ///
    /// # Errors
    /// The value has no JSON form.
    pub fn of_json(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::to_vec(value).map(Self::of)
    }

    /// The HMAC-SHA-256 of `bytes` under `key`: it tells equal secrets, and nothing to who lacks the key.
    #[must_use]
    pub fn keyed(key: &[u8; 32], bytes: impl AsRef<[u8]>) -> Self {
        // A key shorter than a block is padded with zeros; padded here, it cannot be of a wrong length.
        let mut block = [0; 64];
        block[..32].copy_from_slice(key);
        Self(Hmac::<Sha256>::new(&block.into()).chain_update(bytes).finalize().into_bytes().into())
    }

    /// What stands before the first record of a journal.
    pub const ZERO: Self = Self([0; 32]);

    /// Its bytes, as the key of other digests.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hexadecimal digits, without an allocation.
    #[must_use]
    pub fn hex(&self) -> [u8; 64] {
        let mut text = [b'0'; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        text
    }

    /// The first 12 digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(12);
        text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(&self.0[..6]))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// The text is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("not a SHA-256 digest: 64 hexadecimal digits are wanted")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;
    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotADigest)?;
        Ok(Self(bytes))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}
