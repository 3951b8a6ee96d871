//! Making a workspace: what a runbook needs, the answers so far, and the commented `hactl.toml` that they become.
//!
//! Invariant: a draft holds references to secrets, never secrets; the file appears whole and under a name that was free,
//! or not at all; what was made beside it goes again where it does not appear. Who asks is [`crate::cli::init`].

mod file;
mod made;
pub mod probe;
mod text;

pub use crate::needs::Needs;
pub use file::{is_free, write};
pub use made::Made;

use std::collections::BTreeMap;

use crate::name::HostName;
use crate::runbook::{Input, Value};
use crate::secret::SecretRef;
use crate::workspace::MirrorUrl;

/// The answers so far.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The runbook: a bundled one's name, or a path.
    pub runbook: String,
    /// What it is, in one line.
    pub title: String,
    /// The fleet's name.
    pub fleet: String,
    /// The lab, where the workspace is one's.
    pub lab: Option<String>,
    /// Who logs in.
    pub user: String,
    /// The key that logs in; without one ssh's own default.
    pub identity: Option<String>,
    /// The servers.
    pub hosts: Vec<HostDraft>,
    /// The object storage, where the runbook needs one.
    pub s3: Option<S3Draft>,
    /// What the runbook needs in the cloud, where it needs a project there.
    pub cloud: Option<CloudNeeds>,
    /// The project in the cloud, where the runbook needs one and there is one already.
    pub hcloud: Option<HcloudDraft>,
    /// Where the run is kept a second time.
    pub mirror: Option<MirrorUrl>,
    /// PostgreSQL, where the runbook needs it.
    pub postgres: Option<PostgresDraft>,
    /// The pass phrase of pgBackRest's repository.
    pub cipher_pass: Option<SecretRef>,
    /// Who reads what is encrypted with age.
    pub age: Option<AgeDraft>,
    /// Whose signatures count at gates.
    pub allowed_signers: Option<String>,
    /// What is said of each input of the runbook.
    pub inputs: Vec<(Input, Option<Value>)>,
    /// What could not be probed, or failed and is kept anyway, by the part of the file that it is about.
    pub notes: BTreeMap<Part, Vec<String>>,
}

/// A part of the file that a note can be about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A server.
    Host(String),
    /// `[s3]`.
    S3,
    /// `[hcloud]`.
    Hcloud,
    /// `[state]`.
    State,
    /// `[postgres]`.
    Postgres,
    /// `[pgbackrest]`.
    PgBackRest,
    /// `[age]`.
    Age,
}

/// A server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostDraft {
    /// Its name.
    pub name: String,
    /// Where it is reached; empty where a step makes its server.
    pub address: String,
    /// The server in the cloud that it is, where a step makes it.
    pub server: Option<String>,
    /// Who logs in, where it is another one than everywhere else.
    pub user: Option<String>,
    /// The port of its sshd.
    pub port: Option<u16>,
    /// The host through which it is reached.
    pub jump: Option<HostName>,
    /// What it does.
    pub roles: Vec<String>,
}

/// What the runbook needs in the cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudNeeds {
    /// The first phase that needs a project.
    pub phase: String,
    /// The hosts whose servers it makes.
    pub hosts: Vec<HostDraft>,
    /// Servers that it uses as they are, and the roles that their hosts have.
    pub adopted: Vec<(String, Vec<String>)>,
    /// The inputs that are the operator's public key.
    pub keys: Vec<String>,
}

/// The project in the cloud.
#[derive(Clone, Debug)]
pub struct HcloudDraft {
    /// Where the API is, if it is not the provider's.
    pub endpoint: Option<String>,
    /// A certificate authority of its own.
    pub ca: Option<String>,
    /// The token.
    pub token: SecretRef,
}

/// The object storage.
#[derive(Clone, Debug)]
pub struct S3Draft {
    /// Where it answers.
    pub endpoint: String,
    /// Its region.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// `https://endpoint/bucket`, not `https://bucket.endpoint`.
    pub path_style: bool,
    /// A certificate authority of its own.
    pub ca: Option<String>,
    /// The key that writes, and its secret.
    pub writer: (SecretRef, SecretRef),
    /// The key that only reads, and its secret.
    pub restorer: Option<(SecretRef, SecretRef)>,
}

/// PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresDraft {
    /// The role whose host it runs on.
    pub role: String,
    /// Its major version.
    pub version: String,
    /// Debian's name of the cluster.
    pub cluster: String,
    /// Its port.
    pub port: u16,
}

/// Who reads what is encrypted with age.
#[derive(Clone, Debug)]
pub struct AgeDraft {
    /// The public keys.
    pub recipients: Vec<String>,
    /// The identity that decrypts.
    pub identity: Option<SecretRef>,
}

impl Draft {
    /// The commented file.
    #[must_use]
    pub fn text(&self) -> String {
        text::of(self)
    }

    /// Notes what could not be probed.
    pub fn note(&mut self, part: Part, text: impl Into<String>) {
        self.notes.entry(part).or_default().push(text.into());
    }
}

#[cfg(test)]
mod tests;
