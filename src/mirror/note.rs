//! `.hactl/mirror.json`: how far the mirror was when this machine last wrote there.
//!
//! Invariant: it decides nothing. It says where to look first in the bucket, and tells `status` what it cannot ask.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::journal::StateDir;
use crate::journal::record::Seq;

/// How far the mirror is known to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The mirror's address.
    pub address: String,
    /// The first line of the object that was written last.
    pub object: Seq,
    /// The last line that is in the mirror.
    pub seq: Seq,
    /// When that was known.
    pub at: Timestamp,
    /// Why what follows is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Note {
    /// What was noted in a workspace; none where nothing was, or nobody can read it.
    #[must_use]
    pub fn of(dir: &StateDir) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(dir.mirror()).ok()?).ok()
    }

    /// Notes it. Where that fails, the next hactl asks the bucket for more than it would have to.
    pub(super) fn keep(&self, dir: &StateDir) {
        let part = dir.mirror().with_extension("part");
        if let Ok(text) = serde_json::to_vec(self) {
            let _ = std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, dir.mirror()));
        }
    }
}
