//! Loading, checking and planning a runbook of many steps, over a world where looking costs nothing.

use std::fmt::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use hactl::access::{Means, World};
use hactl::clock::SystemClock;
use hactl::diagnostic::Result;
use hactl::engine::approver::{Asked, Person};
use hactl::engine::seam::{Resolved, Steps, Task};
use hactl::evidence::EvidenceStore;
use hactl::journal::line::{Tail, decode, encode};
use hactl::journal::record::{Before, Change, Observed, OutputValue, Outputs};
use hactl::journal::{AttemptLabel, IntentRecorded, RollbackRecorded, RunState, StateDir, TrialRecorded};
use hactl::name::{HostName, OutputName};
use hactl::plan::plan;
use hactl::redact::Redactor;
use hactl::runbook;
use hactl::step::fleet::Fleet;
use hactl::step::table::Table as Kinds;
use hactl::step::{Evidence, Failure, Findings};

use crate::journal::{started, told};
use crate::table::{Table, in_turns, timed};

pub(crate) fn measure(table: &mut Table) {
    const FRESH: &str = "load, check, plan: 10^4 steps, each";
    const AGAIN: &str = "the same after the run, each";
    for (what, after) in [(FRESH, After::Nothing), (AGAIN, After::TheRun)] {
        if !table.wants(what) {
            continue;
        }
        let (small, middle, large) =
            (Case::new(100, after), Case::new(1_000, after), Case::new(10_000, after));
        let (many, few) = in_turns(5, || large.run() / 10_000, || small.run() / 100);
        let (middle, _) = in_turns(5, || middle.run() / 1_000, Duration::default);
        // Room for what does not grow with the steps and for larger trees; twice would be a power of 1.15.
        table.add(what, many, "10^2 steps, each", few, 1.5);
        table.note(format!("{what}: {middle:.1?} with 10^3 steps"));
    }
}

/// What the journal says when the plan is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Nothing,
    /// Every step was carried out and verified.
    TheRun,
}

struct Case {
    folder: tempfile::TempDir,
    state: RunState,
    steps: usize,
    runtime: tokio::runtime::Runtime,
}

fn text(steps: usize) -> String {
    let mut text = String::from(
        "[runbook]\nname = \"small\"\ntitle = \"Many steps\"\nsummary = \"For measuring.\"\n\n\
         [inputs.folder]\ntype = \"string\"\nhelp = \"where\"\ndefault = \"/srv\"\n\n[roles.web]\nhelp = \"where\"\n",
    );
    for step in 0..steps {
        if step % 100 == 0 {
            let _ = write!(text, "\n[[phase]]\nid = \"p{}\"\ntitle = \"A hundred steps\"\n", step / 100);
        }
        let _ = write!(
            text,
            "\n[[phase.step]]\nid = \"step-{step}\"\ntitle = \"Make a file\"\non = \"web\"\n\
             [phase.step.action.command]\nargv = [\"touch\", \"${{inputs.folder}}/{step}\"]\n\
             change = \"makes ${{inputs.folder}}/{step}\"\neffect = \"idempotent\"\n\
             undo = [\"rm\", \"-f\", \"${{inputs.folder}}/{step}\"]\n\
             observe = {{ file = {{ path = \"${{inputs.folder}}/{step}\" }} }}\n\
             [[phase.step.require]]\ndisk_free = {{ path = \"${{inputs.folder}}\", at_least = \"1MiB\" }}\n"
        );
    }
    text
}

impl Case {
    fn new(steps: usize, after: After) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let workspace = "runbook = \"./small.toml\"\nfleet = \"pair\"\n\n[ssh]\nuser = \"ops\"\n\n[[host]]\n\
                         name = \"node-0\"\naddress = \"192.0.2.1\"\nroles = [\"web\"]\n";
        std::fs::write(folder.path().join("hactl.toml"), workspace).unwrap();
        std::fs::write(folder.path().join("small.toml"), text(steps)).unwrap();
        let dir = StateDir::of(folder.path());
        dir.create().unwrap();
        std::fs::write(
            dir.path().join("known_hosts"),
            "node-0 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGoldenKeyForTheBenchOnlyXXXXXXXXXXXXXXXXXXXX\n",
        )
        .unwrap();
        let mut state = RunState::default();
        if after == After::TheRun {
            let mut tail = Tail::EMPTY;
            let mut apply = |record: &_| {
                let bytes = encode(tail, jiff::Timestamp::UNIX_EPOCH, record).unwrap();
                let line = decode(tail, &bytes[..bytes.len() - 1]).unwrap();
                tail = line.tail();
                state.apply(line).unwrap();
            };
            apply(&started(workspace.as_bytes(), text(steps).as_bytes()));
            for step in 0..steps {
                let place = hactl::journal::record::Place {
                    step: hactl::name::StepId::new(&format!("step-{step}")).unwrap(),
                    host: Some(HostName::new("node-0").unwrap()),
                };
                told(&place, 1).iter().for_each(&mut apply);
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { folder, state, steps, runtime }
    }

    fn run(&self) -> Duration {
        timed(|| self.runtime.block_on(load_and_plan(self.folder.path(), &self.state, self.steps)))
    }
}

async fn load_and_plan(folder: &Path, state: &RunState, steps: usize) {
    let loaded = runbook::load::<Kinds>(&folder.join("hactl.toml")).unwrap();
    let (workspace, runbook) = (Rc::new(loaded.workspace), Rc::new(loaded.runbook));
    let redactor = Rc::new(Redactor::new());
    let evidence = Rc::new(EvidenceStore::new(StateDir::of(folder), Rc::clone(&redactor)));
    let means = Means { clock: Rc::new(SystemClock), evidence, redactor, person: Rc::new(Nobody) };
    let world = World::new(Rc::clone(&workspace), means).unwrap();
    let fleet = Fleet::new(Rc::clone(&runbook), workspace, world);
    let phases: Vec<_> = runbook.phases.iter().map(|phase| fleet.phase(phase)).collect();
    let plan = plan(&Model(fleet), &phases, state).await;
    assert_eq!(plan.places().count(), steps);
    plan.digest().unwrap();
}

struct Nobody;

impl Person for Nobody {
    fn ask<'a>(&'a self, _: &'a str, _: &'a std::collections::BTreeMap<OutputName, String>) -> Asked<'a> {
        panic!("nobody is asked here")
    }
}

/// The steps of a real runbook, resolved as for a real fleet, in a world that answers at once.
struct Model(Fleet);

impl Steps for Model {
    type Action = <Fleet as Steps>::Action;

    fn resolve(&self, task: &Task, state: &RunState) -> Result<Resolved<Self::Action>> {
        self.0.resolve(task, state)
    }
    async fn check(&self, _task: &Task, _action: &Self::Action) -> Result<Findings> {
        Ok(Findings::default())
    }
    async fn observe(
        &self,
        task: &Task,
        _action: &Self::Action,
        _before: Option<&Before>,
    ) -> Result<Observed> {
        let change = Change { summary: task.title.clone(), details: Vec::new() };
        Ok(Observed::NotApplied { change, before: Before::default() })
    }
    async fn apply(&self, _: &Task, _: &Self::Action, _: &IntentRecorded) -> Result<Outputs, Failure> {
        Ok([(OutputName::new("made").unwrap(), OutputValue::Boolean(true))].into())
    }
    async fn settle(&self, _: &Task, _: AttemptLabel, _: &[HostName], _: &RunState) -> Result<()> {
        Ok(())
    }
    async fn verify(&self, _: &Task, _: &Self::Action, _: &TrialRecorded) -> Result<Evidence> {
        Ok(Evidence::default())
    }
    async fn undo(&self, _: &Task, _: &Self::Action, _: &RollbackRecorded) -> Result<(), Failure> {
        Ok(())
    }
}
