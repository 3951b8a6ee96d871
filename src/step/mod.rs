//! Step kinds: the trait, the table, and one file per kind.

pub mod apt_package;
pub mod command;
#[expect(dead_code, reason = "the kinds that land next use the rest of it")]
mod common;
pub mod fleet;
pub mod kind;
pub mod manual;
pub mod s3_bucket;
pub mod s3_restore_credential;
pub mod secret;
pub mod table;

pub use kind::{Effect, Evidence, Failure, Finding, Findings, OutputType, Scope, StepKind, WayBack, Weight};
pub use table::{Action, KindInfo, Table};
