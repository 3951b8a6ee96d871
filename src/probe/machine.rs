//! Probes of a machine: disk, clock, memory.

use serde::{Deserialize, Serialize};

use super::kind::{Measured, ProbeKind};
use crate::access::View;
use crate::diagnostic::Result;
use crate::units::{HumanDuration, Size};

/// Free space on the file system that a path is on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskFree {
    path: String,
    at_least: Size,
}

impl ProbeKind for DiskFree {
    const NAME: &'static str = "disk_free";
    const SUMMARY: &'static str = "free space on the file system of a path is at least so much";

    async fn measure(&self, view: &View<'_>) -> Result<Measured> {
        let here = view.here()?;
        let disk = here.disk(&self.path).await?;
        let text = format!("{} free on {} (at least {} wanted)", Size(disk.free), disk.mount, self.at_least);
        Ok(Measured::within(disk.free >= self.at_least.bytes(), text))
    }
}

/// How far the host's clock is from the operator's.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockOffset {
    at_most: HumanDuration,
}

impl ProbeKind for ClockOffset {
    const NAME: &'static str = "clock_offset";
    const SUMMARY: &'static str = "the host's clock differs from the operator's by at most so much";

    async fn measure(&self, view: &View<'_>) -> Result<Measured> {
        let seen = view.here()?.clock_offset().await?;
        let apart = seen.offset.unsigned_abs();
        let text = format!(
            "the clock is {} ms off, measured to ± {} ms (at most {} wanted)",
            seen.offset.as_millis(),
            seen.within.as_millis(),
            self.at_most
        );
        // What cannot be measured more exactly does not count against the host.
        Ok(Measured::within(apart <= self.at_most.get() + seen.within, text))
    }
}

/// Memory that programs could still get.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryAvailable {
    at_least: Size,
}

impl ProbeKind for MemoryAvailable {
    const NAME: &'static str = "memory_available";
    const SUMMARY: &'static str = "memory that programs could still get is at least so much";

    async fn measure(&self, view: &View<'_>) -> Result<Measured> {
        let memory = view.here()?.memory().await?;
        let text =
            format!("{} of memory available (at least {} wanted)", Size(memory.available), self.at_least);
        Ok(Measured::within(memory.available >= self.at_least.bytes(), text))
    }
}
