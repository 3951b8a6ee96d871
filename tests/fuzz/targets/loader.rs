//! The loader of workspaces and runbooks, on any bytes.
//!
//! The input is a runbook for a good workspace; or, where it holds a NUL, a workspace and a runbook. Whatever they are,
//! loading ends, and what an operator or a program reads about the problems holds no control character.

#![no_main]

use std::path::Path;

use hactl::diagnostic::Error;
use hactl::render::error::{ErrorEvent, Look};
use hactl::render::{Format, Out, error};
use hactl::runbook::{self, Origin};
use hactl::step::table::Table;
use libfuzzer_sys::fuzz_target;

const WORKSPACE: &[u8] = include_bytes!("../workspace.toml");

/// What is shown of an error.
fn shown(found: &Error) {
    let out = Out::new(Format::Json);
    let text = error::text(found, Look::Plain, &out);
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    // Escaped by JSON, whatever it holds.
    let _ = ErrorEvent::new(found, &out);
}

fuzz_target!(|data: &[u8]| {
    let (file, book) = match data.iter().position(|b| *b == 0) {
        Some(nul) => (&data[..nul], &data[nul + 1..]),
        None => (WORKSPACE, data),
    };
    match runbook::load_kept::<Table>(Path::new("/w/hactl.toml"), file, book) {
        Ok(loaded) => assert_eq!(*loaded.runbook.bytes, *book),
        Err(problems) => shown(&problems),
    }
    match runbook::parse::<Table>("runbook.toml", book, Origin::Bundled) {
        Ok(runbook) => assert!(runbook.phases.iter().all(|phase| !phase.steps.is_empty())),
        Err(problems) => shown(&problems),
    }
});
