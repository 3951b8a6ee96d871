//! The `hactl` command.
fn main() {}
