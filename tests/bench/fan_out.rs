//! One step on three and on fifty hosts at once, each a private sshd: connect, look, claim, run, verify, and the journal;
//! against ssh that only runs the command.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::many::Many;
use crate::peak::measured;
use crate::sshd;
use crate::table::{Table, in_turns, timed};

const LARGE: usize = 50;

const STEP: &str = "parallel = 50\n[phase.step.action.command]\nargv = [\"touch\", \"/var/lib/done\"]\n\
                    change = \"makes /var/lib/done\"\neffect = \"idempotent\"\nundo = [\"rm\", \"-f\", \"/var/lib/done\"]\n\
                    observe = { file = { path = \"/var/lib/done\" } }\n";

pub(crate) fn measure(table: &mut Table) {
    const FEW: &str = "one step on 3 hosts, nothing connected";
    const ALL: &str = "one step on 50 hosts, nothing connected";
    if !table.wants(FEW) && !table.wants(ALL) {
        return;
    }
    if let Some(why) = sshd::cannot() {
        table.note(format!("steps on many hosts were not measured: {why}"));
        return;
    }
    let many = Many::start(LARGE, STEP);
    let config = many.path().join("ssh_config");
    std::fs::write(&config, ssh_config(&many)).unwrap();
    for (what, hosts, rounds) in [(FEW, 3, 7), (ALL, LARGE, 3)] {
        if !table.wants(what) {
            continue;
        }
        let mut peak = 0;
        let ours = || {
            many.begin(hosts);
            let mut run = many.hactl(&["phase", "run", "0"]);
            let began = Instant::now();
            let ran = measured(&mut run, Duration::from_secs(120));
            let took = began.elapsed();
            assert!(ran.status.success(), "{}", ran.said);
            assert_done(&many, hosts);
            peak = peak.max(ran.peak);
            took
        };
        let theirs = || {
            many.begin(hosts);
            let took = timed(|| plain(&config, hosts));
            assert_done(&many, hosts);
            took
        };
        let (ours, theirs) = in_turns(rounds, ours, theirs);
        table.show(what, ours, "xargs -P 50 ssh", theirs);
        table.note(format!("hactl's peak memory with {hosts} hosts: {:.1} MB", peak as f64 * 1024.0 / 1e6));
    }
}

fn assert_done(many: &Many, hosts: usize) {
    for index in 0..hosts {
        assert!(many.lib(index).join("done").exists(), "host {index}");
    }
}

fn ssh_config(many: &Many) -> String {
    let mut text = String::new();
    for index in 0..LARGE {
        let name = Many::name(index);
        let _ = writeln!(text, "Host {name}\n  HostKeyAlias {name}\n  Port {}", many.port(index));
    }
    let known_hosts = many.path().join("all_known_hosts");
    std::fs::write(&known_hosts, many.known_hosts(LARGE)).unwrap();
    text.push_str("Host *\n  HostName 127.0.0.1\n  User root\n  BatchMode yes\n  LogLevel ERROR\n");
    text.push_str("  StrictHostKeyChecking yes\n  IdentitiesOnly yes\n  IdentityAgent none\n");
    let _ = writeln!(text, "  UserKnownHostsFile {}", known_hosts.display());
    let _ = writeln!(text, "  IdentityFile {}", many.identity().display());
    text
}

fn plain(config: &Path, hosts: usize) {
    use std::io::Write as _;
    let mut xargs = Command::new("xargs");
    xargs.args(["-P", "50", "-I{}", "ssh", "-n", "-F"]).arg(config).args(["{}", "touch", "/var/lib/done"]);
    let mut xargs = xargs.stdin(Stdio::piped()).spawn().unwrap();
    let names: String = (0..hosts).map(|index| Many::name(index) + "\n").collect();
    xargs.stdin.take().unwrap().write_all(names.as_bytes()).unwrap();
    assert!(xargs.wait().unwrap().success());
}
