//! The credential for restores: it reads, and is seen to be refused when it writes or deletes.

use serde::{Deserialize, Serialize};

/// Changes nothing. Verified by reading an object with the restore credential, and by seeing the server refuse it when
/// it writes, replaces and deletes: a backup that the database's host can delete is not a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3RestoreCredential {}
