//! Trying answers out, before they are written down.
//!
//! Invariant: hosts are only read, by a login to a host whose key somebody agreed to. In the bucket a small object under
//! [`TRIAL_PREFIX`](crate::access::s3::TRIAL_PREFIX) is written and removed, where the bucket is there. Nothing of it is
//! recorded: there is no run yet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::{Draft, Needs};
use crate::access::hcloud::HcloudAccess;
use crate::access::reads::PgCluster;
use crate::access::s3::S3Identity;
use crate::access::{Means, World};
use crate::clock::SystemClock;
use crate::diagnostic::{Error, Result, codes};
use crate::engine::approver::{Asked, Person};
use crate::evidence::EvidenceStore;
use crate::journal::StateDir;
use crate::journal::record::Place;
use crate::mirror::{Prepared, prepare};
use crate::name::{HostName, OutputName, RunId, StepId};
use crate::redact::Redactor;
use crate::sealed::opens;
use crate::secret::SecretRef;
use crate::step::conditional_writes;
use crate::transport::hcloud::Server;
use crate::transport::s3::BucketState;
use crate::transport::ssh::Ssh;
use crate::transport::ssh::host_key::{HostKey, pin};
use crate::workspace::{self, FILE_NAME, Host, Workspace};

/// How long one probe may take.
const LIMIT: Duration = Duration::from_secs(90);

/// Tries answers out. Host keys are pinned for this process alone.
#[derive(Debug)]
pub struct Prober {
    folder: PathBuf,
    scratch: TempDir,
    redactor: Rc<Redactor>,
}

/// Nobody does anything by hand while answers are tried out.
struct NoPerson;

impl Person for NoPerson {
    fn ask<'a>(&'a self, _: &'a str, _: &'a BTreeMap<OutputName, String>) -> Asked<'a> {
        Box::pin(async { Err(Error::new(codes::INTERNAL, "a probe asked for a person")) })
    }
}

/// A server in the cloud's project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenServer {
    /// Its name.
    pub name: String,
    /// Its public address.
    pub ipv4: Option<String>,
}

/// What was learnt of a host.
#[derive(Clone, Debug)]
pub struct Seen {
    /// One line.
    pub text: String,
    /// The clusters of PostgreSQL on it.
    pub clusters: Vec<PgCluster>,
}

impl Prober {
    /// For a workspace that will be in `folder`.
    ///
    /// # Errors
    /// There is no room for temporary files.
    pub fn new(folder: &Path) -> Result<Self> {
        let scratch = tempfile::tempdir()
            .map_err(|e| Error::new(codes::IO, "cannot make a temporary folder").source(e))?;
        Ok(Self { folder: folder.to_owned(), scratch, redactor: Rc::new(Redactor::of_process()) })
    }

    /// The workspace that the answers so far amount to. What is missing in it has placeholders.
    fn workspace(&self, draft: &Draft) -> Workspace {
        workspace::load::read(&self.folder.join(FILE_NAME), draft.text().as_bytes()).workspace
    }

    fn known_hosts(&self) -> PathBuf {
        self.scratch.path().join("known_hosts")
    }

    /// The key that a host shows.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn key(&self, draft: &Draft, name: &HostName) -> Result<HostKey> {
        let workspace = self.workspace(draft);
        let host = host_of(&workspace, name)?;
        let ssh = Ssh::knowing(&workspace, self.known_hosts());
        within(name.as_str(), ssh.fetch_host_key(host)).await
    }

    /// Trusts a key from now on.
    ///
    /// # Errors
    /// Another one is trusted for this name.
    pub fn trust(&self, name: &HostName, key: &HostKey) -> Result<()> {
        pin(&self.known_hosts(), name, key).map(drop)
    }

    /// Forgets the key of a host whose address is another one now.
    pub fn forget(&self, name: &HostName) {
        let text = std::fs::read_to_string(self.known_hosts()).unwrap_or_default();
        let kept = text.lines().filter(|line| line.split(' ').next() != Some(name.as_str()));
        let kept: String = kept.map(|line| format!("{line}\n")).collect();
        // Where it cannot be written, connecting to another key is refused.
        let _ = std::fs::write(self.known_hosts(), kept);
    }

    /// Logs in to a host, becomes root, and looks which system and which PostgreSQL it has.
    ///
    /// # Errors
    /// One of these does not work.
    pub async fn host(&self, draft: &Draft, name: &HostName) -> Result<Seen> {
        let workspace = Rc::new(self.workspace(draft));
        let world = self.world(&workspace);
        let place = Place {
            step: StepId::new("init").map_err(|e| Error::new(codes::INTERNAL, e.to_string()))?,
            host: None,
        };
        let look = async {
            let host = world.view(&place).on(name)?;
            host.reach().await?;
            let system = host.system().await?;
            let clusters = host.postgres_clusters().await?;
            let login = &host.host().user;
            let sudo = if login.as_str() == "root" { "" } else { ", sudo works" };
            let names: Vec<_> =
                clusters.iter().map(|c| format!("{}/{} ({})", c.version, c.name, c.status)).collect();
            let postgres = if names.is_empty() {
                "no PostgreSQL".to_owned()
            } else {
                format!("PostgreSQL {}", names.join(", "))
            };
            Ok(Seen { text: format!("answers as {login}{sudo}; {system}; {postgres}"), clusters })
        };
        let seen = within(name.as_str(), look).await;
        world.close().await;
        seen
    }

    /// Asks the bucket, with each key; tries conditional writes where it is there. The answers are sentences; what could
    /// not be tried is among the second ones.
    ///
    /// # Errors
    /// The server cannot be reached, or a key does not work.
    pub async fn bucket(&self, draft: &Draft, needs: Needs) -> Result<(Vec<String>, Vec<String>)> {
        let workspace = Rc::new(self.workspace(draft));
        let Some(config) = &workspace.s3 else { return Ok((Vec::new(), Vec::new())) };
        let access = crate::access::s3::S3Access::new(&workspace, Rc::clone(&self.redactor));
        let Some(access) = access else { return Ok((Vec::new(), Vec::new())) };
        let what = format!("bucket {}", config.bucket);
        let look = async {
            let (mut seen, mut untried) = (Vec::new(), Vec::new());
            let state = access.view(S3Identity::Writer).await?.bucket().await?;
            match state {
                BucketState::Exists => {
                    seen.push(format!("is there, at {}, and the key is accepted", config.endpoint));
                    let run = RunId::generate();
                    let trial = access.trial_before_any_run(&run).await?;
                    let tried = conditional_writes(&trial).await;
                    let swept = trial.sweep().await;
                    seen.push(tried?.fact().to_owned());
                    swept?;
                }
                BucketState::Missing if needs.makes_bucket => {
                    seen.push(format!("{} answers and accepts the key", config.endpoint));
                    untried.push(
                        "the bucket does not exist yet; the runbook makes it, and tries it then".to_owned(),
                    );
                }
                BucketState::Missing => {
                    return Err(Error::new(
                        codes::S3_NO_BUCKET,
                        format!("there is no bucket {}", config.bucket),
                    )
                    .next("make it where the storage is administered"));
                }
            }
            if config.restore.is_some() {
                match access.view(S3Identity::Restorer).await?.bucket().await {
                    Ok(BucketState::Exists) => seen.push("the key for restores reads it".to_owned()),
                    Ok(BucketState::Missing) => {
                        untried.push("the key for restores: there is no bucket to try it on".to_owned())
                    }
                    // A key that may only read its bucket is told nothing of one that is not there.
                    Err(error) if state == BucketState::Missing && error.code() == codes::S3_DENIED => {
                        untried.push("the key for restores: there is no bucket to try it on".to_owned());
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok((seen, untried))
        };
        within(&what, look).await
    }

    /// Asks the project in the cloud which servers it has. Nothing is changed in it.
    ///
    /// # Errors
    /// The API cannot be reached, or the token does not work.
    pub async fn project(&self, draft: &Draft) -> Result<Vec<SeenServer>> {
        let workspace = self.workspace(draft);
        let access = HcloudAccess::new(&workspace, Rc::clone(&self.redactor))
            .ok_or_else(|| Error::new(codes::INTERNAL, "the draft has no project"))?;
        let look = async {
            let servers = access.view(&workspace.fleet).await?.list::<Server>(&[]).await?;
            let seen = servers.into_iter().map(|server| {
                let ipv4 = server.ipv4().map(ToOwned::to_owned);
                SeenServer { name: server.head.name, ipv4 }
            });
            Ok(seen.collect())
        };
        within("the project in the cloud", look).await
    }

    /// Makes the mirror's bucket where it is missing, and tries its conditional writes.
    ///
    /// # Errors
    /// The server cannot be reached, refuses, or overwrites what a mirror must be able to rely on.
    pub async fn mirror(&self, draft: &Draft) -> Result<Prepared> {
        let workspace = self.workspace(draft);
        let Some(config) = &workspace.mirror else {
            return Err(Error::new(codes::INTERNAL, "the draft has no mirror"));
        };
        let what = format!("mirror {}", config.url());
        within(&what, prepare(config, &self.folder, Rc::clone(&self.redactor))).await
    }

    /// Resolves a reference to a secret; with recipients, sees that the identity belongs to one of them.
    ///
    /// # Errors
    /// It gives no value, or the identity opens nothing.
    pub async fn secret(
        &self,
        name: &str,
        reference: &SecretRef,
        recipients: Option<&[String]>,
    ) -> Result<()> {
        let secret = reference.resolve(name, &self.folder, &self.redactor).await?;
        match recipients {
            Some(recipients) if !opens(&secret, recipients) => Err(Error::new(
                codes::SECRET_UNRESOLVED,
                format!("the secret {reference} belongs to none of the recipients"),
            )
            .next("age-keygen -y IDENTITY-FILE    (its recipient)")),
            Some(_) | None => Ok(()),
        }
    }

    fn world(&self, workspace: &Rc<Workspace>) -> World {
        let dir = StateDir::of(self.scratch.path());
        let means = Means {
            clock: Rc::new(SystemClock),
            evidence: Rc::new(EvidenceStore::new(dir, Rc::clone(&self.redactor))),
            redactor: Rc::clone(&self.redactor),
            person: Rc::new(NoPerson),
        };
        let ssh = Ssh::knowing(workspace, self.known_hosts());
        World::over(Rc::clone(workspace), means, ssh)
    }
}

fn host_of<'a>(workspace: &'a Workspace, name: &HostName) -> Result<&'a Host> {
    workspace.host(name).ok_or_else(|| Error::new(codes::INTERNAL, format!("the draft has no host {name}")))
}

async fn within<T>(what: &str, probe: impl Future<Output = Result<T>>) -> Result<T> {
    match timeout(LIMIT, probe).await {
        Ok(probed) => probed,
        Err(_elapsed) => {
            let limit = humantime::format_duration(LIMIT);
            Err(Error::new(codes::INIT_PROBE, format!("{what} could not be tried out within {limit}")))
        }
    }
}
