//! What hactl relies on in an S3 server, tried on a real one: SeaweedFS over TLS, on loopback.
//!
//! Where the server cannot be had these tests are listed as ignored, with the reason, and never as passed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../common/weed.rs"]
mod weed;

mod bench;
mod client;
mod faults;
mod kinds;
mod mirror;

use std::future::Future;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use weed::Weed;

/// A test: its name, and what it does with the server.
type Case = (&'static str, fn(&Weed));

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let cases = [client::CASES, faults::CASES, kinds::CASES, mirror::CASES].concat();
    let missing = weed::binary().err();
    // Started here and not in a test: it ends with the thread that started it.
    let weed = Arc::new((missing.is_none() && !arguments.list).then(Weed::start));
    let tests = cases
        .into_iter()
        .map(|(name, case)| {
            let weed = weed.clone();
            let run = move || {
                case(weed.as_ref().as_ref().ok_or("no server")?);
                Ok(())
            };
            match &missing {
                None => Trial::test(name, run),
                Some(why) => Trial::test(name, run).with_kind(why.clone()).with_ignored_flag(true),
            }
        })
        .collect();
    libtest_mimic::run(&arguments, tests).exit_code()
}

/// Runs a test as hactl runs: on one thread.
fn on_one_thread(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}
