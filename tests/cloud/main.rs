//! The lab's cloud by itself: what it answers over HTTP, with objects only behind it, held against the API's description.
//!
//! The description is no part of this repository. Where it does not lie beside the checkout, the test that needs it is
//! listed as ignored, with that reason.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

#[cfg(target_os = "linux")]
mod behaviour;
#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod contract;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod schema;

use std::process::ExitCode;

use libtest_mimic::Arguments;
#[cfg(target_os = "linux")]
use libtest_mimic::{Completion, Trial};

/// One test by its name.
#[cfg(target_os = "linux")]
type Test = (&'static str, fn());

/// The lab is for Linux only.
#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), Vec::new()).exit_code()
}

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let plain = [behaviour::TESTS, faults::TESTS].concat();
    let mut trials: Vec<Trial> = plain
        .into_iter()
        .map(|(name, test)| {
            Trial::test(name, move || {
                test();
                Ok(())
            })
        })
        .collect();
    trials.push(Trial::ignorable_test("contract::every_answer_is_as_the_api_describes_it", || {
        match schema::Description::load() {
            Ok(description) => {
                contract::run(&description);
                Ok(Completion::Completed)
            }
            Err(why) => Ok(Completion::ignored_with(why)),
        }
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}
