//! The bucket of a workspace's mirror, before its secrets are known.
//!
//! Invariant: they are resolved when it is first used, and again at each call for as long as they are not to be had. So
//! a mirror that the run may go on without is caught up with once they are.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use tokio::sync::OnceCell;

use super::bucket::{Bucket, Put, S3Bucket, connect};
use crate::diagnostic::Result;
use crate::redact::Redactor;
use crate::units::Size;
use crate::workspace::MirrorConfig;

/// The bucket of a mirror; it is connected to when it is used.
#[derive(Debug)]
pub struct LateBucket {
    config: MirrorConfig,
    root: PathBuf,
    redactor: Rc<Redactor>,
    bucket: OnceCell<S3Bucket>,
}

impl LateBucket {
    /// The bucket that this names; relative paths begin at `root`.
    #[must_use]
    pub fn new(config: MirrorConfig, root: &Path, redactor: Rc<Redactor>) -> Self {
        Self { config, root: root.to_owned(), redactor, bucket: OnceCell::new() }
    }

    /// The bucket, with its secrets.
    ///
    /// # Errors
    /// As [`connect`].
    pub async fn connected(&self) -> Result<&S3Bucket> {
        let connect = || connect(&self.config, &self.root, Rc::clone(&self.redactor), None);
        self.bucket.get_or_try_init(connect).await
    }
}

impl Bucket for LateBucket {
    fn url(&self) -> String {
        self.config.url().to_string()
    }

    fn server(&self) -> String {
        self.config.s3.endpoint.clone()
    }

    fn put_new<'a>(&'a self, name: &'a str, bytes: &'a [u8]) -> LocalBoxFuture<'a, Result<Put>> {
        Box::pin(async move { self.connected().await?.put_new(name, bytes).await })
    }

    fn get<'a>(&'a self, name: &'a str, at_most: Size) -> LocalBoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async move { self.connected().await?.get(name, at_most).await })
    }

    fn list<'a>(&'a self, under: &'a str, after: Option<&'a str>) -> LocalBoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move { self.connected().await?.list(under, after).await })
    }
}
