//! The bucket, by what one may do with it: [`S3View`] reads, [`S3Trial`] also puts and removes objects under a prefix
//! that is marked as ours, [`S3Hands`] changes it.
//!
//! Invariant: an `S3Trial` touches nothing outside of `hactl-trial/<run>/`, and removes for good what it put there,
//! earlier versions included.

use std::ops::Deref;
use std::path::PathBuf;
use std::rc::Rc;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::AsyncWrite;
use tokio::sync::OnceCell;

use crate::diagnostic::{Error, Result, codes};
use crate::name::RunId;
use crate::redact::Redactor;
use crate::secret::SecretRef;
use crate::transport::faulty::Faulty;
use crate::transport::s3::{
    BucketState, Deadlines, Delete, EarlierVersions, Listing, Object, ObjectVersion, PutIf, S3Client,
    S3Credential, S3Settings, Versioning, Written,
};
use crate::units::Size;
use crate::workspace::{S3Config, Workspace};

/// What every object of a trial begins with.
pub const TRIAL_PREFIX: &str = "hactl-trial/";

/// Enough for years of nightly dumps; a listing beyond is reported as cut off, never as complete.
const LISTED_AT_MOST: usize = 100_000;

/// As whom the bucket is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum S3Identity {
    /// The credential that backups are written with.
    Writer,
    /// The credential that restores are read with, which must not be able to write.
    Restorer,
}

/// The way to a workspace's bucket. Secrets are resolved when a client is first wanted.
#[derive(Debug)]
pub struct S3Access {
    config: S3Config,
    root: PathBuf,
    redactor: Rc<Redactor>,
    deadlines: Deadlines,
    faulty: Option<Faulty>,
    writer: OnceCell<S3Client>,
    restorer: OnceCell<S3Client>,
}

impl S3Access {
    /// The way to the bucket of a workspace, if it has one. `redactor` learns its keys when they are resolved.
    #[must_use]
    pub fn new(workspace: &Workspace, redactor: Rc<Redactor>) -> Option<Self> {
        workspace.s3.clone().map(|config| Self::to(config, workspace.root.clone(), redactor))
    }

    /// The way to another bucket. Relative paths begin at `root`.
    #[must_use]
    pub fn to(config: S3Config, root: PathBuf, redactor: Rc<Redactor>) -> Self {
        Self {
            config,
            root,
            redactor,
            deadlines: Deadlines::default(),
            faulty: None,
            writer: OnceCell::new(),
            restorer: OnceCell::new(),
        }
    }

    /// The client behind the writer's view, for the journal's mirror: what it writes is no step's change.
    ///
    /// # Errors
    /// As [`Self::view`].
    pub(crate) async fn client(&self) -> Result<S3Client> {
        self.view(S3Identity::Writer).await.map(|view| view.0)
    }

    /// The same way with faults on it, for tests.
    #[must_use]
    pub fn under(self, faulty: Faulty) -> Self {
        Self { deadlines: faulty.deadlines(), faulty: Some(faulty), ..self }
    }

    /// What an approval of a change to the bucket binds.
    #[must_use]
    pub fn identity(&self) -> String {
        format!("s3://{} at {}", self.config.bucket, self.config.endpoint)
    }

    /// Reads, with either credential.
    ///
    /// # Errors
    /// A secret or the CA file could not be read, or there is no such credential.
    pub async fn view(&self, who: S3Identity) -> Result<S3View> {
        let cell = match who {
            S3Identity::Writer => &self.writer,
            S3Identity::Restorer => &self.restorer,
        };
        cell.get_or_try_init(|| self.connect(who)).await.cloned().map(S3View)
    }

    /// Objects that are marked as ours before there is a run, as the credential that writes: to see what a bucket can do.
    ///
    /// # Errors
    /// As [`Self::view`].
    pub(crate) async fn trial_before_any_run(&self, id: &RunId) -> Result<S3Trial> {
        Ok(S3Trial::new(self.view(S3Identity::Writer).await?, id))
    }

    async fn connect(&self, who: S3Identity) -> Result<S3Client> {
        let (access_key, secret_key) = match (who, &self.config.restore) {
            (S3Identity::Writer, _) => (&self.config.access_key, &self.config.secret_key),
            (S3Identity::Restorer, Some(key)) => (&key.access_key, &key.secret_key),
            (S3Identity::Restorer, None) => {
                return Err(Error::new(codes::S3_SETTINGS, "the workspace has no credential for restores")
                    .state("nothing was sent")
                    .next("make a key that can only read, and name it in [s3.restore]"));
            }
        };
        let credential = S3Credential {
            access_key: self.access_key(access_key).await?,
            secret_key: secret_key.resolve("S3 secret key", &self.root, &self.redactor).await?,
        };
        let ca_pem = match &self.config.ca {
            None => None,
            Some(path) => Some(std::fs::read(self.root.join(path)).map_err(|e| {
                let text = format!("cannot read the S3 server's certificate authority {}", path.display());
                Error::new(codes::IO, text).state("nothing was sent").source(e)
            })?),
        };
        let settings = S3Settings {
            endpoint: self.config.endpoint.clone(),
            region: self.config.region.clone(),
            bucket: self.config.bucket.clone(),
            addressing: self.config.addressing,
            ca_pem,
        };
        S3Client::under(settings, &credential, self.deadlines, self.faulty.as_ref())
    }

    /// An access key is a name. Where it is as short as a word (`admin`), taking it out of evidence would take the word
    /// out too, and protect nothing.
    async fn access_key(&self, reference: &SecretRef) -> Result<SecretString> {
        const NO_WORD: usize = 16;
        let name = "S3 access key";
        let key = reference.resolve(name, &self.root, &Redactor::new()).await?;
        if key.expose_secret().len() >= NO_WORD {
            self.redactor.learn(name, &key);
        }
        Ok(key)
    }
}

/// Reads of the bucket.
#[derive(Clone, Debug)]
pub struct S3View(S3Client);

impl S3View {
    /// True where both ask with the same access key.
    #[must_use]
    pub fn asks_as(&self, other: &Self) -> bool {
        self.0.asks_as(&other.0)
    }

    /// Where the bucket is.
    #[must_use]
    pub fn settings(&self) -> &S3Settings {
        self.0.settings()
    }

    /// Is the bucket there?
    ///
    /// # Errors
    /// The server could not be asked, or does not let this credential look.
    pub async fn bucket(&self) -> Result<BucketState> {
        self.0.bucket().await
    }

    /// Does the bucket keep earlier versions?
    ///
    /// # Errors
    /// The server could not be asked, or there is no bucket.
    pub async fn versioning(&self) -> Result<Versioning> {
        self.0.versioning().await
    }

    /// Does a lifecycle rule of the bucket remove earlier versions?
    ///
    /// # Errors
    /// The server could not be asked.
    pub async fn earlier_versions(&self) -> Result<EarlierVersions> {
        self.0.earlier_versions().await
    }

    /// The folders right under a prefix that ends in `/`, by their names.
    ///
    /// # Errors
    /// The server could not be asked, or there is no bucket.
    pub async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        self.0.folders(prefix).await
    }

    /// The objects under a prefix, at most so many.
    ///
    /// # Errors
    /// The server could not be asked, or there is no bucket.
    pub async fn list(&self, prefix: &str, at_most: usize) -> Result<Listing> {
        self.0.list(prefix, at_most).await
    }

    /// All versions and deletion marks under a prefix, at most so many.
    ///
    /// # Errors
    /// The server could not be asked, or there is no bucket.
    pub async fn versions(&self, prefix: &str, at_most: usize) -> Result<Vec<ObjectVersion>> {
        self.0.versions(prefix, at_most).await
    }

    /// The object that was written last under a prefix, by the server's clock.
    ///
    /// # Errors
    /// The server could not be asked, or the prefix holds too many objects to be sure.
    pub async fn newest(&self, prefix: &str) -> Result<Option<Object>> {
        let listing = self.list(prefix, LISTED_AT_MOST).await?;
        if listing.truncated {
            let at = format!("{}{prefix}", self.place());
            let text = format!("{at} holds more than {LISTED_AT_MOST} objects, so the newest is not known");
            return Err(Error::new(codes::S3_TOO_LARGE, text).state("nothing was changed"));
        }
        Ok(listing.objects.into_iter().max_by(|a, b| (a.modified, &a.key).cmp(&(b.modified, &b.key))))
    }

    /// What is known of an object, if it exists.
    ///
    /// # Errors
    /// The server could not be asked, or does not let this credential look.
    pub async fn head(&self, key: &str) -> Result<Option<Object>> {
        self.0.head(key).await
    }

    /// A whole object, if it is no larger than `at_most`.
    ///
    /// # Errors
    /// It does not exist, is larger, or could not be read to its end.
    pub async fn get(&self, key: &str, at_most: Size) -> Result<Vec<u8>> {
        self.0.get(key, at_most).await
    }

    /// Copies an object to a writer, and says how many bytes it has.
    ///
    /// # Errors
    /// It does not exist, could not be read to its end, or the writer failed; then part of it may be written.
    pub async fn get_to(&self, key: &str, to: &mut (impl AsyncWrite + Unpin)) -> Result<u64> {
        self.0.get_to(key, to).await
    }

    /// `s3://bucket/`.
    fn place(&self) -> String {
        format!("s3://{}/", self.settings().bucket)
    }
}

/// An object that a trial put.
#[derive(Debug)]
#[must_use = "what a trial put, it removes"]
pub struct TrialObject {
    key: String,
    version: Option<String>,
}

impl TrialObject {
    /// Its whole key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its version, where the bucket keeps versions.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }
}

/// Reads, and objects that are marked as ours.
#[derive(Clone, Debug)]
pub struct S3Trial {
    view: S3View,
    prefix: String,
}

impl S3Trial {
    /// Trials of this run through this view.
    #[must_use]
    pub(super) fn new(view: S3View, run: &RunId) -> Self {
        Self { view, prefix: trial_prefix(run) }
    }

    /// The key that a name has in this trial.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Puts an object.
    ///
    /// # Errors
    /// The condition does not hold, or it could not be written.
    pub async fn put(&self, name: &str, bytes: &[u8], condition: PutIf) -> Result<TrialObject> {
        let key = self.key(name);
        let Written { version, .. } =
            self.view.0.put(&key, bytes, condition).await.map_err(Error::without_state)?;
        Ok(TrialObject { key, version })
    }

    /// Deletes an object as its newest version, as any program would.
    ///
    /// # Errors
    /// It could not be deleted.
    pub async fn delete(&self, object: &TrialObject) -> Result<()> {
        self.view.0.delete(&object.key, Delete::Newest).await.map_err(Error::without_state)
    }

    /// Deletes an object for good: exactly the version that was put.
    ///
    /// # Errors
    /// It could not be deleted.
    pub async fn erase(&self, object: &TrialObject) -> Result<()> {
        let which = object.version.as_deref().map_or(Delete::Newest, Delete::Version);
        self.view.0.delete(&object.key, which).await.map_err(Error::without_state)
    }

    /// Removes for good whatever this run's trials left, also what an earlier, interrupted one did; says how many.
    ///
    /// # Errors
    /// The bucket could not be listed, or something could not be deleted.
    pub async fn sweep(&self) -> Result<usize> {
        sweep(&self.view, &self.prefix).await.map_err(Error::without_state)
    }
}

/// Removes every version of everything under a prefix of trials.
async fn sweep(view: &S3View, prefix: &str) -> Result<usize> {
    let left = view.versions(prefix, LISTED_AT_MOST).await?;
    for found in &left {
        let which = found.version.as_deref().map_or(Delete::Newest, Delete::Version);
        view.0.delete(&found.key, which).await?;
    }
    Ok(left.len())
}

fn trial_prefix(run: &RunId) -> String {
    format!("{TRIAL_PREFIX}{run}/")
}

impl Deref for S3Trial {
    type Target = S3View;
    fn deref(&self) -> &S3View {
        &self.view
    }
}

/// Reads and changes.
#[derive(Clone, Debug)]
pub struct S3Hands(S3View);

impl S3Hands {
    /// Changes through this view's client.
    #[must_use]
    pub(super) fn new(view: S3View) -> Self {
        Self(view)
    }

    /// Makes the bucket.
    ///
    /// # Errors
    /// It exists, or could not be made.
    pub async fn create_bucket(&self) -> Result<()> {
        self.0.0.create_bucket().await
    }

    /// Removes the bucket; servers refuse it where it holds anything.
    ///
    /// # Errors
    /// It holds something, or could not be removed.
    pub async fn delete_bucket(&self) -> Result<()> {
        self.0.0.delete_bucket().await
    }

    /// Lets the bucket keep earlier versions from now on.
    ///
    /// # Errors
    /// The server does not know versioning, or could not be told.
    pub async fn enable_versioning(&self) -> Result<()> {
        self.0.0.enable_versioning().await
    }

    /// Removes for good what trials of a run left; says how many.
    ///
    /// # Errors
    /// The bucket could not be listed, or something could not be deleted.
    pub async fn sweep_trials_of(&self, run: &RunId) -> Result<usize> {
        sweep(&self.0, &trial_prefix(run)).await
    }

    /// Writes a small object.
    ///
    /// # Errors
    /// The condition does not hold, or it could not be written.
    pub async fn put(&self, key: &str, bytes: &[u8], condition: PutIf) -> Result<Written> {
        self.0.0.put(key, bytes, condition).await
    }

    /// Deletes an object; one that does not exist is deleted already.
    ///
    /// # Errors
    /// It could not be deleted.
    pub async fn delete(&self, key: &str, which: Delete<'_>) -> Result<()> {
        self.0.0.delete(key, which).await
    }
}

impl Deref for S3Hands {
    type Target = S3View;
    fn deref(&self) -> &S3View {
        &self.0
    }
}
