//! The tests that need a lab: real machines, real SSH, real PostgreSQL.
//!
//! They run as root on Linux. Where they cannot run they are listed as ignored, with the reason, never as passed; with
//! `HACTL_TEST_LAB=required` that is a failure, so that CI cannot be green without them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that cannot go on panics"
)]

mod backup;
#[path = "../common/mod.rs"]
mod common;
mod health;
mod kills;
mod machines;
mod others;
mod outside;
mod phase0;
mod proof;
mod proof_fails;
mod seal;
mod secrets;
mod sign;
mod slice;
mod ssh;
mod strings;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// One test by its name.
type Test = (&'static str, fn());

const TESTS: &[&[Test]] = &[
    backup::TESTS,
    others::TESTS,
    health::TESTS,
    machines::TESTS,
    seal::TESTS,
    secrets::TESTS,
    sign::TESTS,
    ssh::TESTS,
    strings::TESTS,
    slice::TESTS,
    phase0::TESTS,
    proof::TESTS,
    proof_fails::TESTS,
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Machines share two cores with their neighbours: more labs at once are slower, not faster.
    arguments.test_threads = arguments.test_threads.or(Some(1));
    let why_not = common::lab::why_not();
    let required = std::env::var_os("HACTL_TEST_LAB").is_some_and(|v| v == "required");
    #[cfg(all(feature = "lab", target_os = "linux"))]
    if why_not.is_none() && !arguments.list {
        common::lab::take_down_orphans();
    }
    let trials = TESTS.iter().copied().flatten().map(|&(name, test)| {
        let why_not = why_not.clone();
        Trial::ignorable_test(name, move || match why_not {
            None => {
                test();
                Ok(Completion::Completed)
            }
            Some(why) if required => Err(Failed::from(why)),
            Some(why) => Ok(Completion::ignored_with(why)),
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
