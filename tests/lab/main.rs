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
mod balancing;
mod cell0;
mod cloud;
mod cloud_snapshot;
#[path = "../common/mod.rs"]
mod common;
mod faulty;
mod floating;
mod health;
mod init;
mod installs;
mod kills;
mod machines;
mod mirror;
mod names;
mod others;
mod outside;
mod phase0;
mod phase1;
mod phase1_kills;
mod proof;
mod proof_fails;
mod refusals;
mod seal;
mod secrets;
mod see;
mod servers;
mod sign;
mod slice;
mod ssh;
mod strings;

use std::process::ExitCode;
use std::sync::{PoisonError, RwLock};
use std::time::Instant;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// One test by its name.
type Test = (&'static str, fn());

/// The longest first, so that none of them is left alone with one processor at the end.
const TESTS: &[&[Test]] = &[
    phase0::TESTS,
    phase1::TESTS,
    phase1_kills::TESTS,
    faulty::TESTS,
    secrets::TESTS,
    proof::TESTS,
    proof_fails::TESTS,
    backup::TESTS,
    cloud::TESTS,
    cloud_snapshot::TESTS,
    balancing::TESTS,
    floating::TESTS,
    servers::TESTS,
    others::TESTS,
    health::TESTS,
    slice::TESTS,
    mirror::TESTS,
    see::TESTS,
    init::TESTS,
    sign::TESTS,
    ssh::TESTS,
    strings::TESTS,
    machines::TESTS,
    seal::TESTS,
    installs::TESTS,
    names::TESTS,
    refusals::TESTS,
];

/// Tests that measure what this computer can do, and so have it for themselves.
const ALONE: &[&str] = &["machines::up_is_quick_and_down_leaves_nothing"];

/// Held by all who share the computer, or by one who has it alone.
static COMPUTER: RwLock<()> = RwLock::new(());

/// Carries a test out, beside others or alone, and says how long it took.
fn carry_out(name: &str, test: fn()) {
    let began;
    if ALONE.contains(&name) {
        let _alone = COMPUTER.write().unwrap_or_else(PoisonError::into_inner);
        began = Instant::now();
        test();
    } else {
        let _shared = COMPUTER.read().unwrap_or_else(PoisonError::into_inner);
        began = Instant::now();
        test();
    }
    eprintln!("{name}: {:.0} s", began.elapsed().as_secs_f32());
}

fn main() -> ExitCode {
    if let Some(status) = faulty::as_hactl() {
        return status;
    }
    let mut arguments = Arguments::from_args();
    // Each test is about its own lab and nothing else, and waits for most of its time: two at a time, or `--test-threads`.
    arguments.test_threads = arguments.test_threads.or(Some(2));
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
                carry_out(name, test);
                Ok(Completion::Completed)
            }
            Some(why) if required => Err(Failed::from(why)),
            Some(why) => Ok(Completion::ignored_with(why)),
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
