//! A public key in the project, for new servers to let in.

use std::fmt;

use hcloud::models::CreateSshKeyRequest;
use serde::{Deserialize, Serialize};

use super::{Adopt, ObjectName};
use crate::access::hcloud::HcloudView;
use crate::access::{Hands, Trial, View};
use crate::diagnostic::Result;
use crate::journal::record::{Before, Change, Observed, Outputs};
use crate::step::common::unverified;
use crate::step::{Effect, Evidence, Failure, Findings, OutputType, Scope, StepKind, WayBack};
use crate::transport::hcloud::{Resource as _, SshKey};

/// Makes a public key known in the project under a name. A key cannot be changed there: another one under the same name
/// is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HcloudSshKey {
    /// Its name.
    pub name: ObjectName,
    /// The public key, as it stands in `authorized_keys`.
    pub public_key: PublicKey,
    /// Whether one that hactl did not make is used.
    #[serde(default)]
    pub adopt: Adopt,
}

/// A public key of OpenSSH, in one line. An empty text is one that nobody has given yet: the step is blocked for it, and
/// the runbook's other phases are not.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey {
    kind: String,
    key: String,
    comment: String,
}

impl PartialEq for PublicKey {
    /// The comment is no part of a key.
    fn eq(&self, other: &Self) -> bool {
        (&self.kind, &self.key) == (&other.kind, &other.key)
    }
}

impl Eq for PublicKey {}

impl TryFrom<String> for PublicKey {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        const KINDS: [&str; 4] = ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"];
        let line = text.trim();
        if line.is_empty() {
            return Ok(Self { kind: String::new(), key: String::new(), comment: String::new() });
        }
        // What is no public key is not repeated: it may be the private one.
        let wrong = "not a public key of OpenSSH: one line is wanted, such as ssh-ed25519 AAAA… name";
        let mut words = line.splitn(3, ' ');
        let (kind, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let known = KINDS.iter().any(|prefix| kind.starts_with(prefix));
        let encoded = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
        if line.contains(char::is_control) || !known || !key.starts_with("AAAA") || !key.chars().all(encoded)
        {
            return Err(wrong.to_owned());
        }
        let comment = words.next().unwrap_or_default().trim().to_owned();
        Ok(Self { kind: kind.to_owned(), key: key.to_owned(), comment })
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> String {
        key.to_string()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            return Ok(());
        }
        write!(f, "{} {}", self.kind, self.key)?;
        if self.comment.is_empty() { Ok(()) } else { write!(f, " {}", self.comment) }
    }
}

impl StepKind for HcloudSshKey {
    const NAME: &'static str = "hcloud_ssh_key";
    const SUMMARY: &'static str = "makes a public key known in the cloud project, for new servers to let in";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn way_back(&self) -> WayBack {
        WayBack::Undo
    }

    fn outputs(&self) -> Vec<(&str, OutputType)> {
        super::output_types()
    }

    fn objects(&self, view: &View<'_>) -> Vec<String> {
        super::objects::<SshKey>(view, &self.name)
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        if self.public_key.key.is_empty() {
            findings.block(
                "no public key is given: it belongs into public_key, or into the input that stands there",
            );
            return Ok(findings);
        }
        let cloud = view.hcloud().await?;
        let found = super::check_usable::<SshKey>(&cloud, &self.name, self.adopt, &mut findings).await?;
        match found {
            Some(found) if self.is(&found) => {}
            Some(other) => findings.block(self.differs(&other)),
            None => {
                if let Some(other) = self.under_another_name(&cloud).await? {
                    findings.block(other);
                }
            }
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let cloud = view.hcloud().await?;
        match super::usable::<SshKey>(&cloud, &self.name, self.adopt).await? {
            None => {
                if let Some(other) = self.under_another_name(&cloud).await? {
                    return Ok(Observed::Indeterminate(other));
                }
                let change = Change {
                    summary: format!("make the SSH key {} known in the cloud project", self.name),
                    details: vec![self.public_key.to_string(), format!("at {}", cloud.endpoint())],
                };
                Ok(Observed::NotApplied { change, before: super::nothing_stood(&cloud)? })
            }
            Some(found) if self.is(&found) => Ok(Observed::Applied(super::outputs(found.head())?)),
            Some(found) => Ok(Observed::Indeterminate(self.differs(&found))),
        }
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let request = CreateSshKeyRequest::new(self.name.to_string(), self.public_key.to_string());
        let made: SshKey = hands.hcloud().await?.make(self.name.as_str(), &request).await?;
        super::outputs(made.head()).map_err(Failure::Unclear)
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let cloud = trial.hcloud().await?;
        let found: SshKey = super::there(&cloud, &self.name).await?;
        if !self.is(&found) {
            return Err(unverified(self.differs(&found)));
        }
        let mut evidence = Evidence::facts([
            format!("the SSH key {} is known in the project, as number {}", self.name, found.head().id),
            super::made_by(&cloud, found.head()),
        ]);
        evidence.outputs = super::outputs(found.head())?;
        Ok(evidence)
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        super::take_back::<SshKey>(hands, &self.name).await
    }
}

impl HcloudSshKey {
    /// What to do where the project has this very key under another name: it refuses to have it twice.
    async fn under_another_name(&self, cloud: &HcloudView) -> Result<Option<String>> {
        let keys = cloud.list::<SshKey>(&[]).await?;
        let other = keys.iter().find(|found| found.head().name != self.name.as_str() && self.is(found));
        Ok(other.map(|found| {
            let (id, name) = (found.head().id, &found.head().name);
            format!(
                "the project has this very key under the name {name} (number {id}), and a key only once: \
                 name = \"{name}\" and adopt = true in the step"
            )
        }))
    }

    fn is(&self, found: &SshKey) -> bool {
        PublicKey::try_from(found.public_key.clone()).is_ok_and(|key| key == self.public_key)
    }

    fn differs(&self, found: &SshKey) -> String {
        format!(
            "the SSH key {} (number {}) in the project is another key than the step's; it cannot be changed there",
            self.name,
            found.head().id
        )
    }
}

#[cfg(test)]
mod tests {
    use super::PublicKey;

    #[test]
    fn a_public_key_is_one_line_and_never_a_private_one() {
        let parse = |text: &str| PublicKey::try_from(text.to_owned());
        let key = parse("ssh-ed25519 AAAAC3Nza+/= ada at her desk\n").unwrap();
        assert_eq!(key.to_string(), "ssh-ed25519 AAAAC3Nza+/= ada at her desk");
        assert_eq!(key, parse("ssh-ed25519 AAAAC3Nza+/=").unwrap());
        assert_ne!(key, parse("ssh-rsa AAAAC3Nza+/=").unwrap());
        let private =
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----";
        // None is given yet: that is for the step's check to say, when the step's turn comes.
        assert_eq!(parse(" \n").unwrap().to_string(), "");
        for wrong in ["ssh-ed25519", "AAAAC3", "ssh-ed25519 b3Bl", "ssh-rsa AAAA\nssh-rsa AAAA", private] {
            let error = parse(wrong).unwrap_err();
            assert!(!error.contains("b3Bl"), "{error}");
        }
    }
}
