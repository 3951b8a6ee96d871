//! A secret that hactl makes: random text, kept encrypted in the workspace.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::common::output;
use super::{Effect, Evidence, Failure, Findings, OutputType, Scope, StepKind, WayBack};
use crate::access::{Hands, Trial, View};
use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::journal::record::{Before, Change, Observed, OutputValue, Outputs};
use crate::name::SecretName;
use crate::sealed;

/// The name of the one output.
const OUTPUT: &str = "value";

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

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
    /// One of 64 letters, digits, `-` and `_` a byte: shorter, with six random bits a byte.
    Alphabet64,
}

impl StepKind for Secret {
    const NAME: &'static str = "secret";
    const SUMMARY: &'static str = "makes a random secret and keeps it encrypted in the workspace";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn way_back(&self) -> WayBack {
        let text = "sets the secret's file aside under another name; it is never deleted, for what was encrypted \
                    under it could not be read without it";
        WayBack::Compensate(text.into())
    }

    fn outputs(&self) -> Vec<(&str, OutputType)> {
        vec![(OUTPUT, OutputType::Secret)]
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        match &view.workspace().age {
            Some(age) if !age.recipients.is_empty() => {
                if age.identity.is_none() {
                    findings.warn("[age] names no identity, so hactl cannot use the secret itself");
                }
            }
            Some(_) | None => findings.block("[age] names no recipients to encrypt the secret to"),
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        if let Some(digest) = view.sealed().digest(&self.name)? {
            return Ok(Observed::Applied(self.output(digest)?));
        }
        let age = view.workspace().age.as_ref();
        let recipients = age.map(|age| age.recipients.as_slice()).unwrap_or_default();
        let change = Change {
            summary: format!("make the secret {} of {} random bytes", self.name, self.bytes.0),
            details: std::iter::once(format!("kept in .hactl/secrets/{}.age", self.name))
                .chain(recipients.iter().map(|r| format!("encrypted to {r}")))
                .collect(),
        };
        Ok(Observed::NotApplied { change, before: Before::default() })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let sealing = hands.sealing();
        // Looked at again: a second secret under the same name would make the first one's work unreadable.
        let digest = match sealing.digest(&self.name).map_err(Failure::NotStarted)? {
            Some(digest) => digest,
            None => sealing.seal(&self.name, &self.generate().map_err(Failure::NotStarted)?)?,
        };
        self.output(digest).map_err(Failure::Unclear)
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let Some(digest) = trial.sealed().digest(&self.name)? else {
            let text = format!("the secret {} is not in .hactl/secrets", self.name);
            return Err(Error::new(codes::SECRET_MISSING, text));
        };
        let kept = format!(
            "the secret {} is kept in .hactl/secrets, encrypted; its keyed digest is {}",
            self.name,
            digest.short()
        );
        let identity = trial.workspace().age.as_ref().and_then(|age| age.identity.as_ref());
        if identity.is_none() {
            return Ok(Evidence::facts([kept, "it was not decrypted: [age] names no identity".into()]));
        }
        let value = trial.kept_secret(&self.name).await?;
        if trial.sealed().digest_of(&value)? != digest {
            let text = format!("the secret {} decrypts to another value than its digest says", self.name);
            return Err(Error::new(codes::SECRET_DAMAGED, text));
        }
        Ok(Evidence::facts([
            kept,
            "it decrypts with the workspace's identity to the value of that digest".into(),
        ]))
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        hands.sealing().retire(&self.name).map_err(Failure::Unclear)
    }
}

impl Secret {
    fn generate(&self) -> Result<SecretString> {
        let mut bytes = vec![0; usize::from(self.bytes.0)];
        sealed::random(&mut bytes)?;
        Ok(match self.encoding {
            Encoding::Hex => hex::encode(&bytes).into(),
            // The top two bits are dropped, so every character is as likely as any other.
            Encoding::Alphabet64 => {
                bytes.iter().map(|b| char::from(ALPHABET[usize::from(b & 0x3f)])).collect::<String>().into()
            }
        })
    }

    fn output(&self, digest: Digest) -> Result<Outputs> {
        Ok(Outputs::from([(output(OUTPUT)?, OutputValue::Secret { name: self.name.to_string(), digest })]))
    }
}
