//! A step that was left out stays unproven, is said to be, and can be done later.

use std::rc::Rc;

use hactl::clock::SystemClock;
use hactl::journal::record::{Operator, Place as At, Record};
use hactl::journal::{Holder, Journal, Lock, StateDir};
use hactl::name::{HostName, StepId};

use crate::cli::unreachable;

#[test]
fn what_was_left_out_is_named_with_the_command_that_does_it() {
    let place = unreachable();
    assert_eq!(place.hactl(&["phase", "run", "0"]).status, 1);
    let dir = StateDir::of(place.path());
    let by = Operator { user: "ada".to_owned(), machine: "desk".to_owned() };
    let holder = Holder::this_process(by.clone(), jiff::Timestamp::now(), "test");
    let (journal, _) = Journal::open(Lock::take(&dir, holder).unwrap(), Rc::new(SystemClock)).unwrap();
    for host in ["node-1", "node-2"] {
        let at = At { step: StepId::new("jq").unwrap(), host: Some(HostName::new(host).unwrap()) };
        journal
            .append(Record::Skipped { place: at, reason: "not tonight".to_owned(), by: by.clone() })
            .unwrap();
    }
    drop(journal);
    let status = place.hactl(&["status"]).stdout;
    assert!(status.contains("skipped, unproven  jq on node-1: not tonight"), "{status}");
    let command = "hactl phase run 0 --step jq    (does what was skipped)";
    assert_eq!(status.matches(command).count(), 1, "{status}");

    // A run of the phase leaves it out; asked for, it comes as far as the hosts, which cannot be reached.
    let ran = place.hactl(&["phase", "run", "0"]);
    assert!(ran.status == 0 && !ran.stdout.contains("Install jq"), "{ran}");
    let ran = place.hactl(&["phase", "run", "0", "--step", "jq"]);
    assert!(ran.status == 1 && ran.stderr.contains("ssh::unreachable"), "{ran}");
    assert!(ran.stdout.contains("jq on node-1: Install jq"), "{ran}");
    let ran = place.hactl(&["phase", "run", "0", "--step", "yq"]);
    assert!(ran.status == 2 && ran.stderr.contains("phase 0 has no step yq"), "{ran}");
}
