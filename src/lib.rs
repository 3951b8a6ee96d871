//! hactl walks an operator through a runbook of typed steps.
//!
//! **Flow.** The command line loads the workspace and the runbook ([`diagnostic`] collects every problem), makes a
//! plan from what it observes, and drives it. For each step: require, observe, gate, *append the intent and fsync*,
//! apply, append the outcome, verify, append. Every appended record becomes an event; renderers see only events.
//! Resuming is replay followed by the same code path.

#![forbid(unsafe_code)]

pub mod access;
pub mod backups;
pub mod changes;
pub mod cidr;
pub mod cli;
pub mod clock;
pub mod costs;
pub mod diagnostic;
pub mod digest;
pub mod document;
pub mod dumps;
pub mod engine;
pub mod event;
pub mod evidence;
pub mod init;
pub mod journal;
#[cfg(all(feature = "lab", target_os = "linux"))]
pub mod lab;
pub mod lacks;
pub mod mirror;
pub mod name;
pub mod needs;
pub mod notify;
pub mod plan;
pub mod probe;
pub mod proof;
pub mod redact;
pub mod render;
pub mod report;
pub mod runbook;
pub mod sealed;
pub mod secret;
pub mod session;
pub mod signature;
pub mod status;
pub mod step;
pub mod transport;
pub mod units;
pub mod waiting;
pub mod workspace;
