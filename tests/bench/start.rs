//! Starting the program.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::table::{Table, in_turns, timed};

pub(crate) fn measure(table: &mut Table) {
    const HELP: &str = "hactl --help";
    if !table.wants(HELP) {
        return;
    }
    let start = |program: &str, args: &[&str]| -> Duration {
        let mut command = Command::new(program);
        command.args(args).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        timed(|| assert!(command.status().unwrap().success()))
    };
    let (ours, theirs) =
        in_turns(300, || start(env!("CARGO_BIN_EXE_hactl"), &["--help"]), || start("/bin/true", &[]));
    table.add(HELP, ours, "/bin/true", theirs, 3.0);
}
