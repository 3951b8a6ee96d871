//! `cargo bench`: how fast hactl is, as ratios against the same work done plainly on the same machine in the same run.
//!
//! Every figure is a median, and what is compared is measured in turns, so that a busy machine weighs on both. A name
//! after `--` picks the lines that hold it. As root on Linux it measures all that there is; what it cannot measure it
//! names under the table, and why.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a measurement that cannot go on says so by panicking"
)]

#[path = "../common/many.rs"]
mod many;
#[path = "../common/peak.rs"]
mod peak;
#[path = "../common/sshd.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod sshd;

mod fan_out;
mod fleet;
mod journal;
mod plan;
mod remote;
mod start;
mod table;
mod weight;

use table::Table;

fn main() {
    // Cargo passes `--bench`; what else there is picks lines.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let mut table = Table::new(wanted);
    start::measure(&mut table);
    journal::measure(&mut table);
    plan::measure(&mut table);
    remote::measure(&mut table);
    fan_out::measure(&mut table);
    fleet::measure(&mut table);
    weight::measure(&mut table);
    print!("{table}");
}
