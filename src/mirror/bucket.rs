//! The bucket as the mirror needs it: three calls, so that a fake of it is small and can be held against a real one.
//!
//! Contract: `put_new` writes only where nothing has that name, and says so where something has, which may be what
//! an earlier try of the same call wrote. `get` and `list` see every write that has ended, and `get` reads no more than
//! its caller expects: what is larger is damage, and no matter of reaching. Names are relative to the mirror's address.

use std::fmt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use tokio::time::sleep;

use super::object::too_large;
use crate::access::s3::S3Access;
use crate::diagnostic::{Result, codes};
use crate::redact::Redactor;
use crate::transport::faulty::Faulty;
use crate::transport::s3::{PutIf, S3Client};
use crate::units::Size;
use crate::workspace::MirrorConfig;

/// Whether an object was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an object that was not written is somebody else's, or was written before"]
pub enum Put {
    /// It was, now.
    Written,
    /// Something has that name.
    NameTaken,
}

/// Where a mirror is.
pub trait Bucket: fmt::Debug {
    /// Its address, as it is typed: `s3://bucket/prefix`.
    fn url(&self) -> String;

    /// The server, for people.
    fn server(&self) -> String;

    /// Writes an object where nothing has that name.
    ///
    /// # Errors
    /// It may or may not have been written.
    fn put_new<'a>(&'a self, name: &'a str, bytes: &'a [u8]) -> LocalBoxFuture<'a, Result<Put>>;

    /// An object of so many bytes at most; none where nothing has that name.
    ///
    /// # Errors
    /// It could not be read, or is larger, which is damage.
    fn get<'a>(&'a self, name: &'a str, at_most: Size) -> LocalBoxFuture<'a, Result<Option<Vec<u8>>>>;

    /// The names that begin so, in their order; with `after`, only those behind it.
    ///
    /// # Errors
    /// They could not be read.
    fn list<'a>(&'a self, under: &'a str, after: Option<&'a str>) -> LocalBoxFuture<'a, Result<Vec<String>>>;
}

/// A prefix of a bucket of a server.
#[derive(Clone, Debug)]
pub struct S3Bucket {
    client: S3Client,
    prefix: String,
}

/// How long to wait before a write is tried again. It is on a condition, so a second one cannot hide what the first did.
const AGAIN: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1500)];

impl S3Bucket {
    /// The objects whose keys begin with `prefix`.
    #[must_use]
    pub fn new(client: S3Client, prefix: impl Into<String>) -> Self {
        Self { client, prefix: prefix.into() }
    }

    /// The client, for what concerns the bucket as a whole.
    #[must_use]
    pub fn client(&self) -> &S3Client {
        &self.client
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<Put> {
        let key = self.key(name);
        let mut waits = AGAIN.iter();
        loop {
            let error = match self.client.put(&key, bytes, PutIf::Absent).await {
                Ok(_) => return Ok(Put::Written),
                Err(error) if error.code() == codes::S3_PRECONDITION => return Ok(Put::NameTaken),
                Err(error) => error,
            };
            let passing = [codes::S3_UNREACHABLE, codes::S3_UNKNOWN].contains(&error.code());
            match waits.next() {
                Some(wait) if passing => sleep(*wait).await,
                Some(_) | None => return Err(error),
            }
        }
    }
}

impl Bucket for S3Bucket {
    fn url(&self) -> String {
        format!("s3://{}/{}", self.client.settings().bucket, self.prefix.trim_end_matches('/'))
    }

    fn server(&self) -> String {
        self.client.settings().endpoint.clone()
    }

    fn put_new<'a>(&'a self, name: &'a str, bytes: &'a [u8]) -> LocalBoxFuture<'a, Result<Put>> {
        Box::pin(self.put(name, bytes))
    }

    fn get<'a>(&'a self, name: &'a str, at_most: Size) -> LocalBoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async move {
            match self.client.get(&self.key(name), at_most).await {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.code() == codes::S3_NO_OBJECT => Ok(None),
                Err(error) if error.code() == codes::S3_TOO_LARGE => Err(too_large(name, at_most)),
                Err(error) => Err(error),
            }
        })
    }

    fn list<'a>(&'a self, under: &'a str, after: Option<&'a str>) -> LocalBoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let after = after.map(|after| self.key(after));
            let keys = self.client.keys(&self.key(under), after.as_deref()).await?;
            Ok(keys.iter().filter_map(|key| key.strip_prefix(&self.prefix)).map(ToOwned::to_owned).collect())
        })
    }
}

/// The bucket of a workspace's mirror. Its secrets are resolved now; relative paths begin at `root`.
///
/// # Errors
/// A secret or the CA file could not be read, or the settings cannot be used.
pub async fn connect(
    config: &MirrorConfig,
    root: &Path,
    redactor: Rc<Redactor>,
    faulty: Option<Faulty>,
) -> Result<S3Bucket> {
    let mut access = S3Access::to(config.s3.clone(), root.to_owned(), redactor);
    if let Some(faulty) = faulty {
        access = access.under(faulty);
    }
    Ok(S3Bucket::new(access.client().await?, config.prefix.clone()))
}
