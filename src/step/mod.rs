//! Step kinds: the trait, the table, and one file per kind.

pub mod kind;
pub mod s3_bucket;
pub mod s3_restore_credential;
pub mod secret;

pub use kind::{Effect, Evidence, Failure, Finding, Findings, OutputType, Scope, StepKind, WayBack, Weight};
