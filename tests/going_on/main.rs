//! Going on with a run at the command line: after an edit, an upgrade or the loss of a file, with two at once, and with
//! a step that was left out.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../common/cli.rs"]
mod cli;
mod drift;
mod races;
mod skipped;
