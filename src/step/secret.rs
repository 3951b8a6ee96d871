//! A secret that hactl makes: random text, kept encrypted in the workspace.

use serde::{Deserialize, Serialize};

use crate::name::SecretName;

/// Makes a random secret under a name, once, and keeps it in `.hactl/secrets/<name>.age`, encrypted to the workspace's
/// age recipients. Where one of that name exists, it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// Its name.
    pub name: SecretName,
    /// How many random bytes; 32 unless given, 16 at least.
    #[serde(default)]
    pub bytes: SecretBytes,
    /// How they are written as text.
    #[serde(default)]
    pub encoding: Encoding,
}

/// A number of random bytes, 16 to 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct SecretBytes(u16);

impl Default for SecretBytes {
    fn default() -> Self {
        Self(32)
    }
}

impl TryFrom<u16> for SecretBytes {
    type Error = String;
    fn try_from(bytes: u16) -> Result<Self, String> {
        if (16..=1024).contains(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(format!("a secret has 16 to 1024 random bytes, not {bytes}"))
        }
    }
}

impl From<SecretBytes> for u16 {
    fn from(bytes: SecretBytes) -> u16 {
        bytes.0
    }
}

/// How random bytes are written as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Two hexadecimal digits a byte: safe in every configuration file.
    #[default]
    Hex,
    /// Letters, digits, `-` and `_`: shorter.
    Base64Url,
}
