//! Reads: they change nothing and may be tried again.

use std::time::Duration;

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{BucketVersioningStatus, ExpirationStatus, LifecycleRule};
use jiff::Timestamp;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::answer::{Doing, explain};
use super::{BucketState, EarlierVersions, Listing, Object, ObjectVersion, S3Client, Versioning};
use crate::diagnostic::{Code, Error, Result, codes};
use crate::units::Size;

impl S3Client {
    /// Is the bucket there?
    ///
    /// # Errors
    /// The server could not be asked, or does not let this credential look.
    pub async fn bucket(&self) -> Result<BucketState> {
        match self.0.reads.head_bucket().bucket(self.bucket_name()).send().await {
            Ok(_) => Ok(BucketState::Exists),
            Err(error) if status(&error) == Some(404) => Ok(BucketState::Missing),
            // The answer to a HEAD has no body, so it does not say whether the key is wrong, the clock, or the right to
            // look. The answer to a GET does.
            Err(error) if status(&error).is_some() => {
                let listed =
                    self.0.reads.list_objects_v2().bucket(self.bucket_name()).max_keys(1).send().await;
                let listed = listed.map_err(|e| explain(self, Doing::Read("look at the bucket"), None, e));
                listed.map(|_| BucketState::Exists)
            }
            Err(error) => Err(explain(self, Doing::Read("look at the bucket"), None, error)),
        }
    }

    /// Does the bucket keep earlier versions?
    ///
    /// # Errors
    /// The server could not be asked, or there is no bucket.
    pub async fn versioning(&self) -> Result<Versioning> {
        let asked = self.0.reads.get_bucket_versioning().bucket(self.bucket_name()).send().await;
        match asked {
            Ok(answer) => Ok(match answer.status() {
                Some(BucketVersioningStatus::Enabled) => Versioning::Enabled,
                Some(BucketVersioningStatus::Suspended) => Versioning::Suspended,
                // The SDK's enum is open; a value that nobody knows is not "enabled".
                Some(_) | None => Versioning::Off,
            }),
            Err(error) => {
                let error = explain(self, Doing::Read("read the versioning of"), None, error);
                if error.code() == codes::S3_UNSUPPORTED { Ok(Versioning::Unsupported) } else { Err(error) }
            }
        }
    }

    /// Does a lifecycle rule of the bucket remove earlier versions?
    ///
    /// # Errors
    /// The server could not be asked.
    pub async fn earlier_versions(&self) -> Result<EarlierVersions> {
        let asked = self.0.reads.get_bucket_lifecycle_configuration().bucket(self.bucket_name()).send().await;
        match asked {
            Ok(answer) => Ok(match answer.rules().iter().filter_map(removes_earlier_versions).min() {
                Some(days) => EarlierVersions::Expire { days },
                None => EarlierVersions::Kept,
            }),
            Err(error) if status(&error) == Some(404) => Ok(EarlierVersions::Kept),
            Err(error) => {
                let error = explain(self, Doing::Read("read the lifecycle of"), None, error);
                if [codes::S3_UNSUPPORTED, codes::S3_DENIED].contains(&error.code()) {
                    Ok(EarlierVersions::Unknown(error.one_line()))
                } else {
                    Err(error)
                }
            }
        }
    }

    /// The folders right under a prefix that ends in `/`, by their names.
    ///
    /// # Errors
    /// The server could not be asked, or there is no bucket.
    pub async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        let mut folders = Vec::new();
        let mut after = None;
        loop {
            let listed =
                self.0.reads.list_objects_v2().bucket(self.bucket_name()).prefix(prefix).delimiter("/");
            let page = listed.set_continuation_token(after).send().await;
            let page = page.map_err(|e| explain(self, Doing::Read("list"), Some(prefix), e))?;
            let names =
                page.common_prefixes().iter().filter_map(|common| common.prefix()?.strip_prefix(prefix));
            folders.extend(names.map(|name| name.trim_end_matches('/').to_owned()));
            after = page.next_continuation_token().map(ToOwned::to_owned);
            if page.is_truncated() != Some(true) || after.is_none() {
                return Ok(folders);
            }
        }
    }

    /// The objects under a prefix, at most so many.
    ///
    /// # Errors
    /// The server could not be asked, or there is no bucket.
    pub async fn list(&self, prefix: &str, at_most: usize) -> Result<Listing> {
        let mut objects = Vec::new();
        let mut after = None;
        loop {
            let page = self
                .0
                .reads
                .list_objects_v2()
                .bucket(self.bucket_name())
                .prefix(prefix)
                .set_continuation_token(after)
                .send()
                .await
                .map_err(|e| explain(self, Doing::Read("list"), Some(prefix), e))?;
            for object in page.contents() {
                if objects.len() == at_most {
                    return Ok(Listing { objects, truncated: true });
                }
                objects.push(Object {
                    key: object.key().unwrap_or_default().to_owned(),
                    bytes: length(object.size()),
                    etag: object.e_tag().map(ToOwned::to_owned),
                    modified: object.last_modified().and_then(timestamp),
                });
            }
            after = page.next_continuation_token().map(ToOwned::to_owned);
            if page.is_truncated() != Some(true) || after.is_none() {
                return Ok(Listing { objects, truncated: false });
            }
        }
    }

    /// The keys under a prefix, in their order; with `after`, only those behind that key.
    ///
    /// # Errors
    /// The server could not be asked, or there is no bucket.
    pub async fn keys(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        let mut more = None;
        loop {
            let listed = self.0.reads.list_objects_v2().bucket(self.bucket_name()).prefix(prefix);
            let listed = listed.set_start_after(after.map(ToOwned::to_owned)).set_continuation_token(more);
            let page = listed.send().await;
            let page = page.map_err(|e| explain(self, Doing::Read("list"), Some(prefix), e))?;
            keys.extend(page.contents().iter().filter_map(|object| object.key().map(ToOwned::to_owned)));
            more = page.next_continuation_token().map(ToOwned::to_owned);
            if page.is_truncated() != Some(true) || more.is_none() {
                return Ok(keys);
            }
        }
    }

    /// All versions and deletion marks under a prefix, at most so many; where the server knows no versions, the objects.
    ///
    /// # Errors
    /// The server could not be asked, or there is no bucket.
    pub async fn versions(&self, prefix: &str, at_most: usize) -> Result<Vec<ObjectVersion>> {
        let mut found = Vec::new();
        let (mut key_marker, mut version_marker) = (None, None);
        loop {
            let page = self
                .0
                .reads
                .list_object_versions()
                .bucket(self.bucket_name())
                .prefix(prefix)
                .set_key_marker(key_marker)
                .set_version_id_marker(version_marker)
                .send()
                .await
                .map_err(|e| explain(self, Doing::Read("list the versions in"), Some(prefix), e));
            let page = match page {
                Err(error) if error.code() == codes::S3_UNSUPPORTED => {
                    let objects = self.list(prefix, at_most).await?.objects;
                    return Ok(objects
                        .into_iter()
                        .map(|o| ObjectVersion { key: o.key, version: None })
                        .collect());
                }
                page => page?,
            };
            let versions = page.versions().iter().map(|v| (v.key(), v.version_id()));
            let marks = page.delete_markers().iter().map(|m| (m.key(), m.version_id()));
            for (key, version) in versions.chain(marks) {
                if found.len() == at_most {
                    return Ok(found);
                }
                let key = key.unwrap_or_default().to_owned();
                found.push(ObjectVersion { key, version: version.map(ToOwned::to_owned) });
            }
            key_marker = page.next_key_marker().map(ToOwned::to_owned);
            version_marker = page.next_version_id_marker().map(ToOwned::to_owned);
            if page.is_truncated() != Some(true) || key_marker.is_none() {
                return Ok(found);
            }
        }
    }

    /// What is known of an object, if it exists.
    ///
    /// # Errors
    /// The server could not be asked, or does not let this credential look.
    pub async fn head(&self, key: &str) -> Result<Option<Object>> {
        match self.0.reads.head_object().bucket(self.bucket_name()).key(key).send().await {
            Ok(head) => Ok(Some(Object {
                key: key.to_owned(),
                bytes: length(head.content_length()),
                etag: head.e_tag().map(ToOwned::to_owned),
                modified: head.last_modified().and_then(timestamp),
            })),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(explain(self, Doing::Read("look at"), Some(key), error)),
        }
    }

    /// A whole object, if it is no larger than `at_most`.
    ///
    /// # Errors
    /// It does not exist, is larger, or could not be read to its end.
    pub async fn get(&self, key: &str, at_most: Size) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.copy(key, Some(at_most), &mut bytes).await?;
        Ok(bytes)
    }

    /// Copies an object to a writer, and says how many bytes it has.
    ///
    /// # Errors
    /// It does not exist, could not be read to its end, or the writer failed; then part of it may be written.
    pub async fn get_to(&self, key: &str, to: &mut (impl AsyncWrite + Unpin)) -> Result<u64> {
        self.copy(key, None, to).await
    }

    async fn copy(
        &self,
        key: &str,
        at_most: Option<Size>,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<u64> {
        let object = self.0.reads.get_object().bucket(self.bucket_name()).key(key).send().await;
        let object = object.map_err(|e| explain(self, Doing::Read("read"), Some(key), e))?;
        let expected = object.content_length().and_then(|l| u64::try_from(l).ok());
        let failed = |code: Code, why: String| Error::new(code, format!("{} {why}", self.at(Some(key))));
        let limit = at_most.map_or(u64::MAX, Size::bytes);
        let too_large = || failed(codes::S3_TOO_LARGE, format!("is larger than {}", Size(limit)));
        if expected.is_some_and(|expected| expected > limit) {
            return Err(too_large());
        }
        let mut body = object.body;
        let mut copied = 0;
        while let Some(chunk) = next_within(self.0.deadlines.silence, &mut body).await.map_err(|why| {
            failed(codes::S3_UNANSWERED, format!("could not be read beyond {copied} bytes: {why}"))
        })? {
            copied += chunk.len() as u64;
            if copied > limit {
                return Err(too_large());
            }
            let written = to.write_all(&chunk).await;
            written
                .map_err(|e| failed(codes::IO, "was read and could not be written here".into()).source(e))?;
        }
        match expected {
            Some(expected) if expected != copied => {
                Err(failed(codes::S3_UNANSWERED, format!("ended after {copied} of {expected} bytes")))
            }
            Some(_) | None => Ok(copied),
        }
    }
}

/// After how many days a rule removes earlier versions of every object, if it does.
fn removes_earlier_versions(rule: &LifecycleRule) -> Option<i32> {
    let of_all = rule.filter().is_none_or(|filter| {
        filter.prefix().unwrap_or_default().is_empty() && filter.tag().is_none() && filter.and().is_none()
    });
    let enabled = *rule.status() == ExpirationStatus::Enabled;
    let days = rule.noncurrent_version_expiration().and_then(|expiration| expiration.noncurrent_days());
    days.filter(|_| enabled && of_all)
}

/// The next piece of a body. The error is a text, for nothing else is known of it.
async fn next_within(
    silence: Duration,
    body: &mut ByteStream,
) -> Result<Option<impl std::ops::Deref<Target = [u8]>>, String> {
    match tokio::time::timeout(silence, body.next()).await {
        Err(_) => Err(format!("nothing came for {} s", silence.as_secs())),
        Ok(None) => Ok(None),
        Ok(Some(Ok(chunk))) => Ok(Some(chunk)),
        Ok(Some(Err(error))) => Err(error.to_string()),
    }
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|r| r.status().as_u16())
}

fn length(bytes: Option<i64>) -> u64 {
    bytes.and_then(|b| u64::try_from(b).ok()).unwrap_or(0)
}

fn timestamp(at: &DateTime) -> Option<Timestamp> {
    Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()
}
