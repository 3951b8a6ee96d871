//! One step on fifty hosts: so many at a time as the step says, each by itself, and each once whatever is killed.
//!
//! As root it runs fifty private sshds on 127.0.0.1, so it is alone in its binary; elsewhere it is reported as ignored.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on panics, and one that measured says what"
)]

#[path = "common/many.rs"]
mod many;
#[path = "common/peak.rs"]
mod peak;
#[path = "common/sshd.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod sshd;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use hactl::engine::state::State;
use hactl::journal::record::Record;
use hactl::journal::{Journal, StateDir};

use libtest_mimic::{Arguments, Completion, Trial};
use many::Many;
use peak::measured;

const HOSTS: usize = 50;
const AT_ONCE: usize = 5;

/// What hactl may use for three hosts, in KiB, and what each host more may add to it: a debug build of the program.
const PEAK: u64 = 64 * 1024;
const EACH: u64 = 256;

fn main() -> ExitCode {
    let trial = |name: &str, test: fn()| {
        Trial::ignorable_test(name, move || match sshd::cannot() {
            Some(why) => Ok(Completion::ignored_with(why)),
            None => {
                test();
                Ok(Completion::Completed)
            }
        })
    };
    let trials = vec![
        trial("fifty_hosts_are_done_a_few_at_a_time_and_each_once_through_a_kill", a_few_at_a_time),
        trial("all_hosts_at_once_are_done_once_each_in_bounded_memory", all_at_once),
    ];
    let mut arguments = Arguments::from_args();
    // A hundred daemons at once say nothing more.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The marks that the hosts left, in their order: `+` where the action began, `-` where it ended.
fn marks(ledger: &Path) -> Vec<String> {
    std::fs::read_to_string(ledger).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// How many were at work at once, at most.
fn most(marks: &[String]) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for mark in marks {
        now = if mark.starts_with('+') { now + 1 } else { now - 1 };
        most = most.max(now);
    }
    most
}

/// The records of the step's places, by host.
fn recorded(many: &Many, wanted: fn(&Record) -> bool) -> BTreeMap<String, usize> {
    let mut hosts = BTreeMap::new();
    Journal::read_each(&StateDir::of(many.path()), |line| {
        if wanted(&line.record) {
            let host = line.record.place().and_then(|place| place.host.clone()).unwrap();
            *hosts.entry(host.to_string()).or_default() += 1;
        }
        Ok(())
    })
    .unwrap();
    hosts
}

/// How often each host left a mark.
fn counted(ledger: &Path, sign: &str) -> BTreeMap<String, usize> {
    let mut hosts = BTreeMap::new();
    for host in marks(ledger).iter().filter_map(|mark| mark.strip_prefix(sign)) {
        *hosts.entry(host.to_owned()).or_insert(0) += 1;
    }
    hosts
}

/// So many hosts, each once.
fn once(hosts: usize) -> BTreeMap<String, usize> {
    (0..hosts).map(|index| (Many::name(index), 1)).collect()
}

/// A step that marks where it begins and where it ends, and takes so long.
fn step(ledger: &Path, parallel: usize, seconds: &str) -> String {
    let mark = |sign: char| format!("echo \\\"{sign} $(cat /var/lib/name)\\\" >> {}", ledger.display());
    format!(
        "parallel = {parallel}\n[phase.step.action.command]\n\
         argv = [\"sh\", \"-c\", \"{}; sleep {seconds}; {}; touch /var/lib/done\"]\n\
         change = \"makes /var/lib/done\"\neffect = \"one_shot\"\nundo = [\"rm\", \"-f\", \"/var/lib/done\"]\n\
         observe = {{ file = {{ path = \"/var/lib/done\" }} }}\n",
        mark('+'),
        mark('-')
    )
}

/// Every host was marked once, was intended once, and is verified.
fn assert_each_once(many: &Many, ledger: &Path, hosts: usize) {
    let all = once(hosts);
    for sign in ["+ ", "- "] {
        assert_eq!(counted(ledger, sign), all, "{sign}: each host once");
    }
    assert_eq!(recorded(many, |record| matches!(record, Record::Intended { .. })), all);
    let state = Journal::read(&StateDir::of(many.path())).unwrap().state;
    let mut places = Vec::new();
    for (place, checkpoint) in state.checkpoints() {
        assert_eq!(checkpoint.state, State::Verified, "{place:?}");
        places.push(place.host.as_ref().unwrap().to_string());
    }
    places.sort();
    assert_eq!(places, all.into_keys().collect::<Vec<_>>(), "one checkpoint for each host");
}

fn all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let many = Many::start(HOSTS, &step(&ledger, HOSTS, "0.2"));
    let peaks = [3, HOSTS].map(|hosts| {
        many.begin(hosts);
        let _ = std::fs::remove_file(&ledger);
        let ran = measured(&mut many.hactl(&["phase", "run", "0"]), Duration::from_secs(240));
        assert!(ran.status.success(), "{}", ran.said);
        assert_each_once(&many, &ledger, hosts);
        ran.peak
    });
    let [few, all] = peaks;
    eprintln!("peak memory of hactl: {few} KiB with 3 hosts, {all} KiB with {HOSTS}");
    assert!((1024..PEAK).contains(&few), "{few} KiB with 3 hosts");
    assert!(all < few + EACH * (HOSTS as u64 - 3), "{all} KiB with {HOSTS} hosts, {few} with 3");
}

fn a_few_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let many = Many::start(HOSTS, &step(&ledger, AT_ONCE, "0.5"));

    // Killed in the midst: some are done, some are under way, some were not begun.
    let mut first =
        many.hactl(&["phase", "run", "0"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while marks(&ledger).iter().filter(|mark| mark.starts_with('+')).count() < HOSTS / 2 {
        assert!(first.try_wait().unwrap().is_none(), "it ended by itself: {:?}", marks(&ledger));
        assert!(began.elapsed() < Duration::from_secs(240), "waited in vain: {:?}", marks(&ledger));
        std::thread::sleep(Duration::from_millis(5));
    }
    let by_then = marks(&ledger);
    first.kill().unwrap();
    first.wait().unwrap();
    let most = most(&by_then);
    assert!((2..=AT_ONCE).contains(&most), "{most} at once: {by_then:?}");
    let verified = recorded(&many, |record| matches!(record, Record::Verified { .. }));
    let intended = recorded(&many, |record| matches!(record, Record::Intended { .. }));
    assert!(
        !verified.is_empty() && verified.len() < intended.len() && intended.len() < HOSTS,
        "{intended:?}"
    );

    let resumed = many.hactl(&["resume"]).output().unwrap();
    let told =
        String::from_utf8_lossy(&resumed.stdout).into_owned() + &String::from_utf8_lossy(&resumed.stderr);
    assert!(resumed.status.success(), "{told}");
    assert_each_once(&many, &ledger, HOSTS);
}
