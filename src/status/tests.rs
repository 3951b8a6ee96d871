//! How far phases are, and what comes next, from histories.

use jiff::{SignedDuration, Timestamp};

use super::{Reached, Status};
use crate::digest::Digest;
use crate::journal::record::{
    AttemptNumber, Before, Change, EvidenceRef, Mode, Observed, Operator, Outputs, Place, Record, Seq,
};
use crate::journal::{Line, RunState};
use crate::name::StepId;
use crate::runbook::{Origin, Runbook, parse};
use crate::session::Files;
use crate::step::Table;
use crate::workspace::{RunbookChoice, Workspace};

const RUNBOOK: &str = r#"
[runbook]
name = "two"
title = "Two steps"
summary = "For tests."
[[phase]]
id = "0"
title = "First"
[[phase.step]]
id = "one"
title = "One"
gate = "confirm"
action.manual = { instructions = "Do it.", way_back = "Undo it." }
[[phase.step]]
id = "two"
title = "Two"
gate = "confirm"
action.manual = { instructions = "Do it too.", way_back = "Undo it." }
"#;

struct History {
    runbook: Runbook,
    workspace: Workspace,
    state: RunState,
    seq: u64,
}

impl History {
    fn begun() -> Self {
        let runbook = parse::<Table>("two.toml", RUNBOOK.as_bytes(), Origin::Bundled).unwrap();
        let workspace = Workspace {
            approvals: None,
            notify: None,
            root: "/nowhere".into(),
            runbook: RunbookChoice::Bundled(runbook.name.clone()),
            fleet: "pair".parse().unwrap(),
            lab: None,
            inputs: Default::default(),
            hosts: Vec::new(),
            s3: None,
            postgres: None,
            hcloud: None,
            mirror: None,
            pgbackrest: None,
            age: None,
            digest: Digest::ZERO,
        };
        let mut history = Self { runbook, workspace, state: RunState::default(), seq: 0 };
        history.add(Record::RunStarted {
            run: "run-1".parse().unwrap(),
            fleet: "pair".parse().unwrap(),
            operator: Operator { user: "ada".into(), machine: "desk".into() },
            runbook: "two".parse().unwrap(),
            runbook_bytes: EvidenceRef { name: "runbook".into(), digest: Digest::ZERO, bytes: 0 },
            workspace: EvidenceRef { name: "hactl.toml".to_owned(), digest: Digest::ZERO, bytes: 0 },
            hactl: "0".into(),
            mode: Mode::Production,
        });
        history
    }

    fn add(&mut self, record: Record) {
        self.seq += 1;
        let at = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(i64::try_from(self.seq).unwrap());
        let (prev, sum) = (Digest::ZERO, Digest::ZERO);
        self.state.apply(Line { seq: Seq(self.seq), at, prev, sum, record }).unwrap();
    }

    fn apply(&mut self, step: &str, attempt: u32) {
        let (place, attempt) = (place(step), AttemptNumber(attempt));
        let (change, before) = (Change::default(), Before::default());
        let observed = Observed::NotApplied { change: change.clone(), before: before.clone() };
        self.add(Record::Observed { place: place.clone(), observed });
        self.add(Record::Intended { place: place.clone(), attempt, action: Digest::ZERO, change, before });
        self.add(Record::Applied { place: place.clone(), attempt, outputs: Outputs::new() });
        self.add(Record::Verified {
            place,
            evidence: Vec::new(),
            facts: Vec::new(),
            outputs: Outputs::new(),
        });
    }

    fn roll_back(&mut self, step: &str, attempt: u32) {
        let (place, attempt) = (place(step), AttemptNumber(attempt));
        self.add(Record::RollingBack { place: place.clone(), attempt });
        self.add(Record::RolledBack { place });
    }

    fn reached(&self) -> (Reached, String) {
        let now = Timestamp::UNIX_EPOCH;
        let status = Status::of(&self.workspace, &self.runbook, &self.state, &Files::default(), now);
        (status.phases[0].reached, status.next[0].clone())
    }
}

fn place(step: &str) -> Place {
    Place { step: StepId::new(step).unwrap(), host: None }
}

#[test]
fn how_far_a_phase_is_and_what_comes_next() {
    let mut history = History::begun();
    assert_eq!(history.reached().0, Reached::NotBegun);
    history.apply("one", 1);
    let (reached, next) = history.reached();
    assert_eq!((reached, next.starts_with("hactl resume")), (Reached::Begun, true));
    history.apply("two", 1);
    assert_eq!(history.reached().0, Reached::Done);
}

#[test]
fn a_rollback_that_stopped_is_told_apart_from_a_phase_that_is_built_again() {
    let mut history = History::begun();
    history.apply("one", 1);
    history.apply("two", 1);
    history.roll_back("two", 1);
    let (reached, next) = history.reached();
    assert_eq!((reached, next.starts_with("hactl phase rollback 0")), (Reached::HalfTakenBack, true));
    history.roll_back("one", 1);
    assert_eq!(history.reached().0, Reached::NotBegun);
    let observed = Observed::Applied(Outputs::new());
    history.add(Record::Observed { place: place("one"), observed });
    assert_eq!(history.reached().0, Reached::Begun);
    history.apply("one", 2);
    assert_eq!(history.reached().0, Reached::Begun);
}

#[test]
fn what_the_run_did_not_make_does_not_keep_a_rollback_from_being_finished() {
    let mut history = History::begun();
    history.add(Record::Observed { place: place("one"), observed: Observed::Applied(Outputs::new()) });
    history.apply("two", 1);
    history.roll_back("two", 1);
    assert_eq!(history.reached().0, Reached::NotBegun);
}

#[test]
fn a_doubt_comes_before_everything_else() {
    let mut history = History::begun();
    history.apply("one", 1);
    let (place, attempt) = (place("two"), AttemptNumber(1));
    let (change, before) = (Change::default(), Before::default());
    let observed = Observed::NotApplied { change: change.clone(), before: before.clone() };
    history.add(Record::Observed { place: place.clone(), observed });
    history.add(Record::Intended { place, attempt, action: Digest::ZERO, change, before });
    assert_eq!(history.reached().1, "hactl resume    (looks at what became of two)");
}
