//! A host that means harm: whatever it answers, memory is bounded, nothing hangs, and nothing but text is kept or shown.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use hactl::diagnostic::Error;
use hactl::redact::is_plain;
use hactl::render::{Format, Out, error};
use hactl::transport::ssh::{AttemptState, Ssh, Timing};

use crate::peak::{Measured, measured};
use crate::sshd::{Sshd, hold, host};
use crate::{Test, attempt, place, sh, world};

pub(crate) const TESTS: &[Test] = tests![
    a_hostile_shell_fills_no_memory_and_controls_no_terminal,
    a_forged_report_is_refused_or_believed_as_a_whole,
    hactl_itself_survives_a_hostile_host,
];

/// What hactl may use at most, whatever a host sends: two streams of twice what is kept of a command, and copies.
const PEAK: u64 = 160 * 1024;

/// Each ends by then, whatever the host does.
const ENDS: Duration = Duration::from_secs(60);

/// Shells that answer every command in their own way. `$SSH_ORIGINAL_COMMAND` holds our marker.
const SHELLS: &[(&str, &str)] = &[
    ("ten gigabytes", "exec head -c 10737418240 /dev/zero"),
    ("ten gigabytes of complaints", "exec head -c 10737418240 /dev/zero >&2"),
    ("an endless line on both", "yes endless | tr -d '\\n' >&2 & exec yes | tr -d '\\n'"),
    (
        "controls, and no success",
        "printf '\\033]0;owned\\007\\033[2J\\302\\233\\377\\376\\r over\\200'; printf '\\033]52;c;AAAA\\007\\302\\2332Jbad\\n' >&2; exit 1",
    ),
    ("controls, and a success", "printf '\\033]0;owned\\007\\033[2J\\302\\233\\377\\376\\n'; exit 0"),
    ("invalid text without end", "exec yes $'\\377\\376\\033[31m'"),
    (
        "ten thousand lines",
        "i=0; while [ $i -lt 10000 ]; do echo \"line \\033]0;t\\007 $i\"; i=$((i+1)); done >&2; exit 255",
    ),
    (
        "the command itself",
        "printf '%s\\n' \"$SSH_ORIGINAL_COMMAND\" \"$SSH_ORIGINAL_COMMAND\" >&2; printf %s \"$SSH_ORIGINAL_COMMAND\"; exit 3",
    ),
];

/// An sshd that runs this script whatever is asked.
pub(crate) fn forced(script: &str) -> Sshd {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shell");
    std::fs::write(&path, format!("#!/bin/bash\n{script}\n")).unwrap();
    let sshd = Sshd::start_with(&format!("ForceCommand /bin/bash {}\n", path.display()));
    // It is read again for every command.
    let kept = sshd.dir.path().join("shell");
    std::fs::rename(&path, &kept).unwrap();
    std::os::unix::fs::symlink(&kept, &path).unwrap();
    std::mem::forget(dir);
    sshd.pin("node-1");
    sshd
}

/// Set in a process that talks to a hostile host: the port and the folder of its sshd.
pub(crate) const INNER: &str = "HACTL_TEST_INNER_HOSTILE";

/// Asks, changes, settles, and prints what became of each.
pub(crate) async fn inner(where_to: String) {
    let (port, dir) = where_to.split_once(' ').unwrap();
    let dir = Path::new(dir);
    let host = host("node-1", port.parse().unwrap(), dir);
    let timing = Timing {
        connect: Duration::from_secs(3),
        alive: Duration::from_secs(1),
        recover: Duration::from_secs(1),
    };
    let root = dir.join("root").display().to_string();
    let ssh = Ssh::with(vec![host.clone()], dir.join("known_hosts"), root, timing);
    ssh.stand_on(hold(dir));
    let out = Out::new(Format::Human);
    let say = |what: &str, error: &Error| {
        println!("{what}\n{}", error::text(error, error::Look::Plain, &out));
        Out::new(Format::Json).object(&error::ErrorEvent::new(error, &out)).unwrap();
    };
    match ssh.perform(&host, &attempt(1), 1, &sh("echo never")).await {
        Ok(finished) => println!("PERFORMED {finished:?}"),
        Err(failure) => say("perform", failure.error()),
    }
    match ssh.settle(&host, &attempt(1)).await {
        Ok(state) => println!("SETTLED {state:?}"),
        Err(error) => say("settle", &error),
    }
    let world = world(dir, ssh, vec![host]);
    let place = place();
    let here = world.view(&place).here().unwrap();
    match here.file("/etc/hostname").await {
        Ok(seen) => println!("READ {:?} bytes", seen.map(|seen| seen.bytes.len())),
        Err(error) => say("file", &error),
    }
    match here.memory().await {
        Ok(memory) => println!("MEMORY {memory:?}"),
        Err(error) => say("memory", &error),
    }
    world.close().await;
}

fn assert_plain(what: &str, said: &str) {
    let odd: Vec<char> = said.chars().filter(|c| !is_plain(*c) && !"\n\t".contains(*c)).collect();
    assert!(odd.is_empty(), "{what}: {odd:?} in {said:?}");
    for sign in ["\\u00", "owned", "52;c"] {
        assert!(!said.contains(sign), "{what}: {sign} in {said}");
    }
}

async fn a_hostile_shell_fills_no_memory_and_controls_no_terminal() {
    let mut most = 0;
    for (what, script) in SHELLS {
        let sshd = forced(script);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(INNER, format!("{} {}", sshd.port, sshd.dir.path().display()));
        let began = Instant::now();
        let Measured { status, said, peak } = measured(&mut command, ENDS);
        assert!(status.success(), "{what}: {status}: {said}");
        assert_plain(what, &said);
        for word in ["PERFORMED", "SETTLED", "READ", "MEMORY"] {
            assert!(!said.contains(word), "{what}: {said}");
        }
        assert!(said.contains("node-1") && said.len() < 20_000, "{what}: {said}");
        assert!(peak < PEAK, "{what}: {peak} KiB");
        assert!(began.elapsed() < Duration::from_secs(30), "{what}: {:?}", began.elapsed());
        most = most.max(peak);
    }
    assert!(most > 16 * 1024, "the measure measures: {most} KiB");
    eprintln!("at most {} MiB", most / 1024);
}

/// A host that is root's can say what it wants of itself. But a report is taken whole or not at all.
async fn a_forged_report_is_refused_or_believed_as_a_whole() {
    // It finds the marker in the command that was sent.
    let find = "m=$(printf %s \"$SSH_ORIGINAL_COMMAND\" | grep -oE \"'[0-9a-f]{32}'\" | head -1 | tr -d \"'\"); cat >/dev/null;";
    for (answer, believed) in [
        ("echo \"$m finished 0 : 0 0 0 0\"", false),
        ("echo \"$m finished 0 : 99999999999999999999 0 0 0\"; echo \"$m end\"", false),
        ("echo \"$m finished 0 : 18446744073709551615 0 1 0\"; echo \"$m end\"", false),
        ("echo \"$m finished 0 : -1 0 0 0\"; echo \"$m end\"", false),
        ("echo \"$m finished 256 : 0 0 0 0\"; echo \"$m end\"", false),
        ("echo \"$m finished 0 : 3 0 0 0\"; printf ab; echo \"$m end\"", false),
        ("printf \"$m finished 0 : 0 0 0 0\"", false),
        ("echo \"$m running\"; echo \"$m finished 0 : 0 0 0 0\"; echo \"$m end\"", false),
        ("echo \"$m command 1\"; echo \"$m finished 0 : 2 0 0 0\"; printf ok; echo \"$m end\"", true),
    ] {
        let sshd = forced(&format!("{find} {answer}"));
        let host = sshd.host("node-1");
        let timing = Timing {
            connect: Duration::from_secs(3),
            alive: Duration::from_secs(1),
            recover: Duration::from_millis(200),
        };
        let root = sshd.root().display().to_string();
        let ssh = Ssh::with(vec![host.clone()], sshd.known_hosts(), root, timing);
        ssh.stand_on(hold(sshd.dir.path()));
        let settled = ssh.settle(&host, &attempt(1)).await;
        let answered = matches!(settled, Ok(AttemptState::Finished { command: 1, .. }));
        assert_eq!(answered, believed, "{answer}: {settled:?}");
    }
}

/// One command behind a probe.
pub(crate) const RUNBOOK: &str = r#"[runbook]
name = "small"
title = "One command"
summary = "For tests."
[roles.web]
help = "where"
[[phase]]
id = "0"
title = "One"
[[phase.step]]
id = "touch"
title = "Touch a file"
on = "web"
[phase.step.action.command]
argv = ["touch", "/tmp/hactl-was-here"]
change = "a file"
effect = "idempotent"
undo = ["true"]
[phase.step.action.command.observe.file]
path = "/tmp/hactl-was-here"
"#;

/// The program as a whole, whose journal and terminal a host would like to reach.
async fn hactl_itself_survives_a_hostile_host() {
    let mut most = 0;
    for (what, script) in SHELLS {
        let sshd = forced(script);
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        std::fs::write(at("small.toml"), RUNBOOK).unwrap();
        let toml = format!(
            "runbook = \"./small.toml\"\nfleet = \"cell0\"\n[ssh]\nuser = \"root\"\nport = {}\nidentity = {:?}\n\
             [[host]]\nname = \"node-1\"\naddress = \"127.0.0.1\"\nroles = [\"web\"]\n",
            sshd.port,
            sshd.dir.path().join("id")
        );
        std::fs::write(at("hactl.toml"), toml).unwrap();
        std::fs::create_dir(at(".hactl")).unwrap();
        std::fs::copy(sshd.known_hosts(), at(".hactl/known_hosts")).unwrap();
        for words in [
            &["doctor"][..],
            &["plan", "--dry-run"],
            &["phase", "run", "0"],
            &["--output", "json", "resume"],
            &["journal", "show"],
            &["status"],
        ] {
            let mut hactl = Command::new(env!("CARGO_BIN_EXE_hactl"));
            hactl.args(words).current_dir(place.path()).env("HOME", place.path()).env("NO_COLOR", "1");
            let Measured { status, said, peak } = measured(&mut hactl, ENDS);
            assert!(status.code().is_some(), "{what}: {words:?}: {status}");
            assert_plain(&format!("{what}: {words:?}"), &said);
            assert!(!said.contains("made a mistake"), "{what}: {words:?}: {said}");
            assert!(peak < PEAK, "{what}: {words:?}: {peak} KiB");
            most = most.max(peak);
        }
        let journal = std::fs::read_to_string(at(".hactl/journal.jsonl")).unwrap();
        assert_plain(what, &journal);
        assert!(!journal.contains("intended"), "{what}: nothing is changed on such a host: {journal}");
    }
    eprintln!("at most {} MiB", most / 1024);
}
