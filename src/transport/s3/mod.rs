//! The S3 protocol, for one bucket of one server.
//!
//! Invariant: every call ends within its [`Deadlines`], checks the server's certificate, and fails with an error that
//! names the endpoint, the bucket and the key, and says whether something may have changed. Reads are tried again;
//! writes never are, because a second write can hide what became of the first. Who may call what is
//! [`crate::access`]'s business.

mod answer;
mod connect;
mod read;
mod write;

use std::rc::Rc;
use std::time::Duration;

use aws_sdk_s3::Client;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

pub use crate::workspace::Addressing;

use super::faulty::Faulty;
use crate::diagnostic::Result;

/// Where a bucket is.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// Where the server answers, such as `https://s3.example:8443`.
    pub endpoint: String,
    /// Its region.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// How the bucket is addressed.
    pub addressing: Addressing,
    /// The only certificate authorities to trust, as PEM; without them those of this machine.
    pub ca_pem: Option<Vec<u8>>,
}

/// Who asks. Neither half is ever shown.
#[derive(Clone, Debug)]
pub struct S3Credential {
    /// The access key.
    pub access_key: SecretString,
    /// Its secret key.
    pub secret_key: SecretString,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// To connect, TLS included.
    pub connect: Duration,
    /// One request up to the head of its answer.
    pub attempt: Duration,
    /// A whole call, with its retries.
    pub call: Duration,
    /// Silence within the body of an answer.
    pub silence: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            attempt: Duration::from_secs(20),
            call: Duration::from_secs(45),
            silence: Duration::from_secs(20),
        }
    }
}

/// A client for one bucket, as one credential. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct S3Client(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: S3Settings,
    access_key: SecretString,
    deadlines: Deadlines,
    /// Tries again.
    reads: Client,
    /// Does not.
    writes: Client,
}

impl S3Client {
    /// A client; nothing is connected to yet.
    ///
    /// # Errors
    /// The endpoint is not `https`, or the certificate authority cannot be used.
    pub fn new(settings: S3Settings, credential: &S3Credential, deadlines: Deadlines) -> Result<Self> {
        Self::under(settings, credential, deadlines, None)
    }

    /// A client whose requests meet the given faults, for tests of what becomes of a change.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn under(
        settings: S3Settings,
        credential: &S3Credential,
        deadlines: Deadlines,
        faulty: Option<&Faulty>,
    ) -> Result<Self> {
        let (reads, writes) = connect::clients(&settings, credential, deadlines, faulty)?;
        let access_key = credential.access_key.clone();
        Ok(Self(Rc::new(Inner { settings, access_key, deadlines, reads, writes })))
    }

    /// Where the bucket is.
    #[must_use]
    pub fn settings(&self) -> &S3Settings {
        &self.0.settings
    }

    /// True where both ask with the same access key.
    #[must_use]
    pub fn asks_as(&self, other: &Self) -> bool {
        self.0.access_key.expose_secret() == other.0.access_key.expose_secret()
    }

    fn bucket_name(&self) -> &str {
        &self.0.settings.bucket
    }
}

/// Whether the bucket is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketState {
    /// It is there and this credential may look at it.
    Exists,
    /// It is not there.
    Missing,
}

/// Whether the bucket keeps earlier versions of its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versioning {
    /// It does.
    Enabled,
    /// It did, and no longer does.
    Suspended,
    /// It never did.
    Off,
    /// The server does not know versioning.
    Unsupported,
}

impl Versioning {
    /// As it stands in outputs and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Suspended => "suspended",
            Self::Off => "off",
            Self::Unsupported => "unsupported",
        }
    }
}

/// What becomes of earlier versions, and of what was deleted, in a bucket that keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EarlierVersions {
    /// A lifecycle rule for the whole bucket removes them after so many days.
    Expire {
        /// The days.
        days: i32,
    },
    /// No such rule removes them.
    Kept,
    /// The server does not say; why.
    Unknown(String),
}

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// Its entity tag.
    pub etag: Option<String>,
    /// When it was written, by the server's clock.
    pub modified: Option<Timestamp>,
}

/// The objects under a prefix, in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The objects.
    pub objects: Vec<Object>,
    /// True where there are more than were asked for.
    pub truncated: bool,
}

/// One version of an object, or a mark that it was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectVersion {
    /// Its key.
    pub key: String,
    /// Its version, where the bucket keeps versions.
    pub version: Option<String>,
}

/// On what condition an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutIf {
    /// On none: what is there is replaced.
    Always,
    /// Only where nothing has that key.
    Absent,
}

/// What the server says of an object that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its entity tag.
    pub etag: Option<String>,
    /// Its version, where the bucket keeps versions.
    pub version: Option<String>,
}

/// Which version is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delete<'a> {
    /// The newest: in a bucket with versioning, a mark that it is deleted is put on top.
    Newest,
    /// Exactly this one, for good.
    Version(&'a str),
}
