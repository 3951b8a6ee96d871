//! `disk_free`: a file system has room.

use serde::{Deserialize, Serialize};

use super::{Measured, ProbeKind};
use crate::access::View;
use crate::diagnostic::Result;
use crate::units::Size;

/// The file system that a path of the step's host is on has at least so much free.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskFree {
    /// The path; it must exist.
    path: String,
    /// What must be free.
    at_least: Size,
}

impl ProbeKind for DiskFree {
    const NAME: &'static str = "disk_free";
    const SUMMARY: &'static str = "the file system of a path has at least so much free";

    async fn measure(&self, view: &View<'_>) -> Result<Measured> {
        let disk = view.here()?.disk(&self.path).await?;
        let free = Size(disk.free >> 20 << 20);
        let text = format!("{free} are free on {} ({} wanted)", disk.mount, self.at_least);
        Ok(if disk.free >= self.at_least.bytes() { Measured::holds(text) } else { Measured::fails(text) })
    }
}
