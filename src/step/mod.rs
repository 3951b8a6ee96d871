//! Step kinds: the trait, the table, and one file per kind.

pub mod kind;

pub use kind::{Effect, Evidence, Failure, Finding, Findings, OutputType, Scope, StepKind, WayBack, Weight};
