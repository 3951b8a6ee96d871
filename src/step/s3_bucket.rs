//! The bucket for backups: it exists, keeps earlier versions where the server can, and gives back what is put in.

use serde::{Deserialize, Serialize};

/// Makes the workspace's bucket where it is missing, and turns its versioning on.
///
/// Verified by writing, reading and deleting an object under `hactl-trial/<run>/`, and by writing another twice on the
/// condition that it is absent: a server that lets the second one through does not honour conditional writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3Bucket {
    /// Whether the bucket shall keep earlier versions of its objects: `"on"` (the default) or `"as-it-is"`.
    pub versioning: WantedVersioning,
}

/// What shall become of a bucket's versioning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WantedVersioning {
    /// Turned on, where the server knows it.
    #[default]
    On,
    /// Left as it is.
    AsItIs,
}
