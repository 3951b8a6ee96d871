//! The workspace: the folder with `hactl.toml`, which says what a runbook is carried out on.
//!
//! Invariant: a [`Workspace`] that exists has been checked: its names are names, its addresses are addresses, its jump
//! hosts exist and end somewhere. It holds references to secrets, never secrets. What happened in the workspace is the
//! journal's business.

mod host;
pub(crate) mod load;
mod mirror;

pub(crate) use host::Found;
pub use host::{Address, AddressError, Host, StandsOn, UserName};
pub use mirror::{Demand, MirrorConfig, MirrorUrl, MirrorUrlError};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::name::{FleetName, HostName, RoleName, RunbookName};
use crate::runbook::Value;
use crate::secret::SecretRef;

/// The name of the workspace's file.
pub const FILE_NAME: &str = "hactl.toml";

/// What `hactl.toml` says.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// The folder; relative paths begin here.
    pub root: PathBuf,
    /// Which runbook.
    pub runbook: RunbookChoice,
    /// The fleet's name, which is written on each host.
    pub fleet: FleetName,
    /// The lab that wrote this workspace. It makes every run a rehearsal.
    pub lab: Option<String>,
    /// The inputs, as far as they are given; [`crate::runbook::Bindings`] adds the defaults.
    pub inputs: BTreeMap<String, Value>,
    /// The servers, in the order of the file, defaults of `[ssh]` filled in.
    pub hosts: Vec<Host>,
    /// The object storage.
    pub s3: Option<S3Config>,
    /// The project in the Hetzner Cloud.
    pub hcloud: Option<HcloudConfig>,
    /// Where the journal is kept a second time.
    pub mirror: Option<MirrorConfig>,
    /// The PostgreSQL instance.
    pub postgres: Option<PostgresConfig>,
    /// What pgBackRest needs.
    pub pgbackrest: Option<PgBackRestConfig>,
    /// Who can read what is encrypted.
    pub age: Option<AgeConfig>,
    /// Whose signatures count at gates.
    pub approvals: Option<ApprovalsConfig>,
    /// Who is told what happens, and how.
    pub notify: Option<NotifyConfig>,
    /// The digest of the file's bytes.
    pub digest: Digest,
}

/// Which runbook a workspace carries out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunbookChoice {
    /// One that is embedded in the binary.
    Bundled(RunbookName),
    /// A file, absolute.
    File(PathBuf),
}

/// An S3 server with one bucket.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// Where it answers, such as `https://s3.example:8443`.
    pub endpoint: String,
    /// Its region.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// How the bucket is addressed.
    pub addressing: Addressing,
    /// A certificate authority of its own, absolute.
    pub ca: Option<PathBuf>,
    /// The key that may write.
    pub access_key: SecretRef,
    /// Its secret.
    pub secret_key: SecretRef,
    /// The key that may only read, with its secret.
    pub restore: Option<RestoreKey>,
}

/// A project in the Hetzner Cloud: the one that the token belongs to.
#[derive(Clone, Debug)]
pub struct HcloudConfig {
    /// Where the API is, with its version.
    pub endpoint: String,
    /// A certificate authority of its own, absolute.
    pub ca: Option<PathBuf>,
    /// The token, which must be able to read and write.
    pub token: SecretRef,
}

/// A key that may read a bucket and nothing else.
#[derive(Clone, Debug)]
pub struct RestoreKey {
    /// The key.
    pub access_key: SecretRef,
    /// Its secret.
    pub secret_key: SecretRef,
}

/// How a bucket is addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// `https://endpoint/bucket/key`.
    Path,
    /// `https://bucket.endpoint/key`.
    VirtualHost,
}

/// The PostgreSQL instance.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// How it runs.
    pub instance: Instance,
    /// The role whose host it runs on.
    pub role: RoleName,
    /// Its major version, such as `17`.
    pub version: String,
    /// The name of Debian's cluster, such as `main`.
    pub cluster: String,
    /// Its port.
    pub port: u16,
    /// Its socket folder.
    pub socket_dir: PathBuf,
}

impl Workspace {
    /// The PostgreSQL instance, where a step needs one.
    ///
    /// # Errors
    /// There is no `[postgres]`.
    pub fn instance(&self) -> Result<&PostgresConfig> {
        self.postgres.as_ref().ok_or_else(|| {
            Error::new(codes::POSTGRES_NONE, "hactl.toml has no [postgres], and this step needs one")
                .state("nothing was asked and nothing changed")
                .next("write [postgres] with role, version and cluster into hactl.toml, then: hactl check")
        })
    }
}

impl PostgresConfig {
    /// The lowest major version that hactl can work with. Its checks read `pg_hba_file_rules.file_name` (16) and
    /// `archive_library` (15); its dumps and proofs begin their sessions with `transaction_timeout` (17). It is also the
    /// one that all of it is tried on.
    pub const LOWEST: i64 = 17;

    /// Why a server of this major version is refused, where it is.
    #[must_use]
    pub fn too_old(major: i64) -> Option<String> {
        let lowest = Self::LOWEST;
        (major < lowest).then(|| {
            format!("PostgreSQL {major} is too old: hactl needs PostgreSQL {lowest} or newer; upgrade it first (pg_upgradecluster)")
        })
    }
}

/// How a PostgreSQL instance runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instance {
    /// As a systemd service of a host.
    Systemd,
    /// In Kubernetes.
    Pod,
}

/// What pgBackRest needs.
#[derive(Clone, Debug)]
pub struct PgBackRestConfig {
    /// The pass phrase of the repository.
    pub cipher_pass: SecretRef,
}

/// Who can read what is encrypted with age.
#[derive(Clone, Debug)]
pub struct AgeConfig {
    /// The public keys.
    pub recipients: Vec<String>,
    /// The identity that decrypts; it need not be at hand except to prove a restore.
    pub identity: Option<SecretRef>,
}

/// Whose signatures count at gates.
#[derive(Clone, Debug)]
pub struct ApprovalsConfig {
    /// An `allowed_signers` file as `ssh-keygen -Y verify` reads it, absolute.
    pub allowed_signers: PathBuf,
    /// The principals who operate this workspace: where a step wants another person, theirs does not count.
    pub operators: Vec<String>,
}

/// What is started when a gate waits or a run ends.
#[derive(Clone, Debug)]
pub struct NotifyConfig {
    /// The program and its arguments; a path begins at the workspace.
    pub command: Vec<String>,
}

impl Workspace {
    /// Every secret that the file refers to, each with the key that names it.
    #[must_use]
    pub fn secret_refs(&self) -> Vec<(&'static str, &SecretRef)> {
        let mut all = Vec::new();
        if let Some(s3) = &self.s3 {
            all.extend([("s3.access_key", &s3.access_key), ("s3.secret_key", &s3.secret_key)]);
            if let Some(RestoreKey { access_key, secret_key }) = &s3.restore {
                all.extend([("s3.restore_access_key", access_key), ("s3.restore_secret_key", secret_key)]);
            }
        }
        all.extend(self.pgbackrest.as_ref().map(|it| ("pgbackrest.cipher_pass", &it.cipher_pass)));
        let identity = self.age.as_ref().and_then(|age| age.identity.as_ref());
        all.extend(identity.map(|identity| ("age.identity", identity)));
        all.extend(self.hcloud.as_ref().map(|hcloud| ("hcloud.token", &hcloud.token)));
        if let Some(mirror) = &self.mirror {
            let S3Config { access_key, secret_key, .. } = &mirror.s3;
            all.extend([("state.access_key", access_key), ("state.secret_key", secret_key)]);
        }
        all
    }

    /// A host by name.
    #[must_use]
    pub fn host(&self, name: &HostName) -> Option<&Host> {
        self.hosts.iter().find(|host| host.name == *name)
    }

    /// The hosts of a role, in the order of the file.
    pub fn hosts_in(&self, role: &RoleName) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(move |host| host.roles.contains(role))
    }

    /// A path of the workspace: relative ones begin at its folder.
    #[must_use]
    pub fn path(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }

    /// The folder for what hactl itself keeps.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.root.join(".hactl")
    }

    /// True in a workspace that the lab wrote: every run is a rehearsal.
    #[must_use]
    pub fn is_rehearsal(&self) -> bool {
        self.lab.is_some()
    }
}

/// Finds `hactl.toml`: the one that was asked for (the file or its folder), or the nearest in `start` and its parents.
///
/// # Errors
/// There is none.
pub fn find(start: &Path, asked_for: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = asked_for {
        let file = if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() };
        return if file.is_file() || has_a_run(&file) {
            Ok(file)
        } else {
            Err(Error::new(codes::WORKSPACE_NOT_FOUND, format!("there is no {}", file.display()))
                .next("give --workspace the folder with hactl.toml, or the file itself"))
        };
    }
    let candidates = start.ancestors().map(|folder| folder.join(FILE_NAME));
    candidates.into_iter().find(|file| file.is_file() || has_a_run(file)).ok_or_else(|| {
        let message = format!("there is no {FILE_NAME} in {} or a folder above it", start.display());
        Error::new(codes::WORKSPACE_NOT_FOUND, message)
            .next("go to the folder with hactl.toml, or name it: hactl --workspace DIR …")
            .next("to try a runbook in a lab first: hactl rehearse")
    })
}

/// A run keeps what it began with, so that it can go on even where the file is gone.
fn has_a_run(file: &Path) -> bool {
    file.parent().is_some_and(|folder| folder.join(".hactl/journal.jsonl").is_file())
}

/// A path as it is shown: relative to the current folder where it lies under it.
pub(crate) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let short = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    short.unwrap_or_else(|| path.to_owned()).display().to_string()
}
