//! Step kinds: the trait, the table, and one file per kind.

pub mod apt_package;
pub mod command;
mod common;
pub mod dump_now;
pub mod fleet;
pub mod floating_ip_address;
pub mod hcloud;
pub mod kind;
pub mod manual;
pub mod nightly_dump;
pub mod nightly_timer;
mod pgbackrest;
pub mod pgbackrest_backup;
pub mod pgbackrest_config;
pub mod pgbackrest_stanza;
pub mod postgres_access;
pub mod postgres_inspect;
pub mod postgres_monitor;
pub mod postgres_restart;
pub mod postgres_settings;
pub mod postgres_wal_archive;
pub mod prove_dump;
pub mod prove_restore;
mod prover;
pub mod reboot;
pub mod s3_bucket;
pub mod s3_restore_credential;
pub mod secret;
pub mod see;
pub mod table;

pub(crate) use common::unit as postgres_unit;
pub use kind::{Effect, Evidence, Failure, Finding, Findings, OutputType, Scope, StepKind, WayBack, Weight};
pub(crate) use s3_bucket::conditional_writes;
pub use table::{Action, KindInfo, Table};
