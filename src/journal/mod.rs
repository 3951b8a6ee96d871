//! The append-only state file: what is on disk, how it gets there, and what replaying it yields.

pub mod record;
