//! Two hactl at once in one workspace: never two at work, and the second is told who works.
//!
//! `HACTL_RACES` sets how many races of two processes are run; the default keeps the test short.

use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hactl::clock::SystemClock;
use hactl::diagnostic::codes;
use hactl::journal::record::{Operator, Record};
use hactl::journal::{Holder, Journal, Lock, StateDir};

use crate::cli::{Place, small};

fn holder(command: &str) -> Holder {
    let operator = Operator { user: "ada".to_owned(), machine: "desk".to_owned() };
    Holder::this_process(operator, jiff::Timestamp::now(), command)
}

#[test]
fn a_thousand_races_within_a_process_have_one_winner_each() {
    const RACES: u32 = 1000;
    let place = Place::new();
    let dir = StateDir::of(place.path());
    let (start, end) = (Barrier::new(2), Barrier::new(2));
    let (at_work, tried, won) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    let race = || {
        for number in 1.. {
            start.wait();
            let taken = Lock::take(&dir, holder("hactl resume"));
            tried.fetch_add(1, Ordering::SeqCst);
            match taken {
                Ok(lock) => {
                    assert_eq!(at_work.fetch_add(1, Ordering::SeqCst), 0, "two at work in race {number}");
                    let (journal, _) = Journal::open(lock, Rc::new(SystemClock)).unwrap();
                    journal.append(Record::TornTail { bytes: u64::from(number) }).unwrap();
                    won.fetch_add(1, Ordering::SeqCst);
                    // The other one has to try while this one works.
                    while tried.load(Ordering::SeqCst) < 2 * number {
                        std::thread::yield_now();
                    }
                    assert_eq!(at_work.fetch_sub(1, Ordering::SeqCst), 1);
                }
                Err(error) => assert_eq!(error.code(), codes::LOCK_HELD, "{error:?}"),
            }
            end.wait();
            // A process that another test starts at that very moment holds every open file until it executes its program,
            // so that a race may have no winner; it is run again.
            if won.load(Ordering::SeqCst) == RACES {
                break;
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(race);
        scope.spawn(race);
    });
    assert_eq!(won.load(Ordering::SeqCst), RACES);
    // Each wrote on what the one before had written: the chain of the journal is whole.
    assert_eq!(Journal::read(&dir).unwrap().lines, u64::from(RACES));
}

/// A workspace whose only step a person does, so that a run needs no host and stops for want of a terminal.
fn by_hand() -> Place {
    let place = small();
    let runbook = "[runbook]\nname = \"small\"\ntitle = \"By hand\"\n\n[[phase]]\nid = \"0\"\ntitle = \"By hand\"\n\n\
        [[phase.step]]\nid = \"call\"\ntitle = \"Call somebody\"\n\
        action.manual = { instructions = \"Call.\", way_back = \"Call again.\" }\n";
    place.write("small.toml", runbook);
    let text = "runbook = \"./small.toml\"\nfleet = \"pair\"\n\n[[host]]\nname = \"node-1\"\naddress = \"192.0.2.1\"\n\
        user = \"ops\"\n";
    place.write("hactl.toml", text);
    place
}

fn start(place: &Place, args: &[&str]) -> Child {
    place.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(child: Child) -> (u32, i32, String) {
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    (pid, output.status.code().unwrap_or(-1), said)
}

#[test]
fn processes_that_race_never_write_at_once_and_the_loser_names_the_winner() {
    let races: u32 = std::env::var("HACTL_RACES").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    let place = by_hand();
    let (mut worked, mut refused) = (0, 0);
    for race in 0..races {
        let (one, other) = (start(&place, &["phase", "run", "0"]), start(&place, &["phase", "run", "0"]));
        let both = [end(one), end(other)];
        for (at, (_, status, said)) in both.iter().enumerate() {
            let (rival, ..) = both[1 - at];
            match status {
                3 => worked += 1,
                4 => {
                    refused += 1;
                    assert!(said.contains("another hactl works here: tester@"), "{said}");
                    assert!(said.contains(&format!("(process {rival}), since 20")), "{said}");
                    assert!(said.contains("with: hactl phase run 0"), "{said}");
                }
                _ => panic!("race {race}: exit {status}: {said}"),
            }
        }
        assert!(both.iter().any(|(_, status, _)| *status == 3), "race {race}: nobody worked");
    }
    assert!(refused > 0 && worked >= races, "{worked} worked, {refused} were refused");
    // Every process that worked began its part, and nobody else wrote before it ended: each part is begun by a line of its
    // own, and the chain is whole.
    let mut begun = 0;
    Journal::read_each(&StateDir::of(place.path()), |line| {
        begun += u32::from(matches!(line.record, Record::RunStarted { .. } | Record::Resumed { .. }));
        Ok(())
    })
    .unwrap();
    assert_eq!(begun, worked);
    println!("{races} races: {worked} worked, {refused} were refused");
}

/// An ssh that neither connects nor fails before it is told to.
const HANGING_SSH: &str = "#!/bin/sh\nwhile [ ! -e DIR/go ]; do sleep 0.02; done\nexit 255\n";

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap().success());
}

#[test]
fn one_that_is_stopped_still_holds_the_workspace_and_goes_on_where_it_was() {
    let place = small();
    let ssh = place.write("bin/ssh", &HANGING_SSH.replace("DIR", place.path().to_str().unwrap()));
    std::fs::set_permissions(ssh, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", place.path().join("bin").display());
    let mut command = place.command(&["phase", "run", "0"]);
    let first = command.env("PATH", &path).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lock = place.path().join(".hactl/lock");
    let wanted = format!("\"pid\":{}", first.id());
    let until = Instant::now() + Duration::from_secs(20);
    while !std::fs::read_to_string(&lock).is_ok_and(|text| text.contains(&wanted)) {
        assert!(Instant::now() < until, "it never took the lock");
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(first.id(), "STOP");
    for args in [&["phase", "run", "0"] as &[&str], &["resume"], &["phase", "rollback", "0"], &["plan"]] {
        let (_, status, said) = end(start(&place, args));
        assert_eq!(status, 4, "{said}");
        assert!(said.contains(&format!("(process {}), since 20", first.id())), "{said}");
        assert!(said.contains("with: hactl phase run 0"), "{said}");
    }
    assert_eq!(place.hactl(&["status"]).status, 0, "looking is not working");
    signal(first.id(), "CONT");
    // It still has the workspace to itself, and comes to its own end.
    assert_eq!(end(start(&place, &["resume"])).1, 4);
    place.write("go", "");
    let (_, status, said) = end(first);
    assert_eq!(status, 1, "{said}");
    let ran = place.hactl(&["journal", "verify"]);
    assert_eq!(ran.status, 0, "{ran}");
    let (_, status, said) = end(place
        .command(&["phase", "run", "0"])
        .env("PATH", &path)
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap());
    assert_eq!(status, 1, "{said}");
}
