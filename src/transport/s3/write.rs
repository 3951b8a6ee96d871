//! Writes: sent once. Where no usable answer comes, the error says that the outcome is unknown.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, VersioningConfiguration,
};

use super::answer::{Doing, explain};
use super::{Delete, PutIf, S3Client, Written};
use crate::diagnostic::Result;

/// The region that has no location constraint: S3's history, which other servers copy.
const NO_CONSTRAINT: &str = "us-east-1";

impl S3Client {
    /// Makes the bucket.
    ///
    /// # Errors
    /// It exists, or could not be made.
    pub async fn create_bucket(&self) -> Result<()> {
        let region = self.settings().region.as_str();
        let location = (region != NO_CONSTRAINT).then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(region))
                .build()
        });
        let made = self.0.writes.create_bucket().bucket(self.bucket_name());
        made.set_create_bucket_configuration(location)
            .send()
            .await
            .map(drop)
            .map_err(|e| explain(self, Doing::Write("make the bucket"), None, e))
    }

    /// Removes the bucket; servers refuse it where it holds anything.
    ///
    /// # Errors
    /// It holds something, or could not be removed.
    pub async fn delete_bucket(&self) -> Result<()> {
        let removed = self.0.writes.delete_bucket().bucket(self.bucket_name()).send().await;
        removed.map(drop).map_err(|e| explain(self, Doing::Write("remove the bucket"), None, e))
    }

    /// Lets the bucket keep earlier versions from now on.
    ///
    /// # Errors
    /// The server does not know versioning, or could not be told.
    pub async fn enable_versioning(&self) -> Result<()> {
        let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let told = self.0.writes.put_bucket_versioning().bucket(self.bucket_name());
        told.versioning_configuration(on)
            .send()
            .await
            .map(drop)
            .map_err(|e| explain(self, Doing::Write("turn on the versioning of"), None, e))
    }

    /// Writes a small object, in one request.
    ///
    /// # Errors
    /// The condition does not hold, or it could not be written.
    pub async fn put(&self, key: &str, bytes: &[u8], condition: PutIf) -> Result<Written> {
        let none_match = match condition {
            PutIf::Always => None,
            PutIf::Absent => Some("*".to_owned()),
        };
        let put = self.0.writes.put_object().bucket(self.bucket_name()).key(key);
        let answer = put
            .set_if_none_match(none_match)
            .body(ByteStream::from(bytes.to_vec()))
            .send()
            .await
            .map_err(|e| explain(self, Doing::Write("write"), Some(key), e))?;
        Ok(Written {
            etag: answer.e_tag().map(ToOwned::to_owned),
            version: answer.version_id().map(ToOwned::to_owned),
        })
    }

    /// Deletes an object; one that does not exist is deleted already.
    ///
    /// # Errors
    /// It could not be deleted.
    pub async fn delete(&self, key: &str, which: Delete<'_>) -> Result<()> {
        let version = match which {
            Delete::Newest => None,
            Delete::Version(version) => Some(version.to_owned()),
        };
        let deleted = self.0.writes.delete_object().bucket(self.bucket_name()).key(key);
        deleted
            .set_version_id(version)
            .send()
            .await
            .map(drop)
            .map_err(|e| explain(self, Doing::Write("delete"), Some(key), e))
    }
}
