//! What changed between plan, approval and resume is shown step by step, and nothing is done before it is accepted.

use std::rc::Rc;

use hactl::clock::SystemClock;
use hactl::evidence::EvidenceStore;
use hactl::journal::record::{Mode, Operator, Record};
use hactl::journal::{Holder, Journal, Lock, StateDir};
use hactl::name::{FleetName, RunId, RunbookName};
use hactl::redact::Redactor;
use insta::assert_snapshot;

use crate::cli::{HACTL_TOML, Place, Ran, SMALL_TOML, small, unreachable};

/// A workspace whose run was begun, with hosts that cannot be reached.
fn begun() -> Place {
    let place = unreachable();
    let ran = place.hactl(&["phase", "run", "0"]);
    assert_eq!(ran.status, 1, "{ran}");
    assert!(kinds(&place).starts_with(&["run_started".to_owned()]), "{ran}");
    place
}

fn kinds(place: &Place) -> Vec<String> {
    let mut kinds = Vec::new();
    Journal::read_each(&StateDir::of(place.path()), |line| {
        kinds.push(line.record.kind().to_owned());
        Ok(())
    })
    .unwrap();
    kinds
}

fn edit(place: &Place, file: &str, pairs: &[(&str, &str)]) {
    let mut text = std::fs::read_to_string(place.path().join(file)).unwrap();
    for (from, to) in pairs {
        assert!(text.contains(from), "{file} does not hold {from}");
        text = text.replace(from, to);
    }
    place.write(file, &text);
}

fn edited() -> Place {
    let place = begun();
    let more = "\n[[phase.step]]\nid = \"yq\"\ntitle = \"Install yq\"\non = \"web\"\n\
                action.apt_package = { packages = [\"yq\"] }\n";
    edit(
        &place,
        "small.toml",
        &[
            ("packages = [\"jq\"]", "packages = [\"jq\", \"tree\"]"),
            ("gate = \"confirm\"", "gate = \"type\"\ntimeout = \"3m\""),
            ("id = \"zstd\"\n", "id = \"zst\"\n"),
            ("replicas = 2", "replicas = 3"),
        ],
    );
    let text = std::fs::read_to_string(place.path().join("small.toml")).unwrap();
    place.write("small.toml", &format!("{text}{more}"));
    edit(
        &place,
        "hactl.toml",
        &[("name = \"node-2\"", "name = \"node-3\""), ("user = \"ops\"", "user = \"root\"")],
    );
    place
}

#[test]
fn an_edit_is_shown_step_by_step_and_stops_every_command_that_would_act() {
    let place = edited();
    let before = kinds(&place);
    assert_snapshot!("edited_resume", place.hactl(&["resume"]));
    for command in [
        &["phase", "run", "0"] as &[&str],
        &["phase", "verify", "0"],
        &["phase", "rollback", "0"],
        &["approve", "jq"],
        &["plan"],
    ] {
        let ran = place.hactl(command);
        assert_eq!(ran.status, 5, "{ran}");
        assert!(ran.stdout.contains("step jq of phase 0 is changed"), "{ran}");
    }
    assert_eq!(kinds(&place), before, "nothing was recorded");
    let ran = place.hactl(&["resume", "--output", "json"]);
    let event: serde_json::Value = serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(event["event"], "files_changed", "{ran}");
    assert_eq!(event["steps"][0]["keys"][0]["key"], "action.apt_package.packages", "{ran}");
    let status = place.hactl(&["status"]).stdout;
    // What it says of the run itself differs each time.
    let (_, status) = status.split_once("last record").unwrap();
    assert_snapshot!("edited_status", status.split_once('\n').unwrap().1);
}

#[test]
fn accepting_is_recorded_by_itself_and_voids_nothing_but_what_was_there_before() {
    let place = edited();
    let ran = place.hactl(&["plan", "--rebase"]);
    // The hosts cannot be looked at, which is said in the plan; the rebase stands all the same.
    assert_eq!(ran.status, 1, "{ran}");
    assert!(ran.stdout.contains("step yq of phase 1 is added"), "{ran}");
    let kinds = kinds(&place);
    assert_eq!(kinds[kinds.len() - 2..], ["rebased", "planned"], "nothing was gone on with");
    assert!(!place.hactl(&["status"]).stdout.contains("CHANGED"));
    // From now on the run carries out the new files, and another edit is another change.
    let ran = place.hactl(&["phase", "run", "0"]);
    assert_eq!(ran.status, 1, "{ran}");
    edit(&place, "small.toml", &[("\"tree\"", "\"less\"")]);
    assert_eq!(place.hactl(&["phase", "run", "0"]).status, 5);
    let ran = place.hactl(&["phase", "run", "0", "--rebase"]);
    assert_eq!(ran.status, 1, "{ran}");
    assert!(ran.stdout.contains("[\"jq\",\"tree\"] -> [\"jq\",\"less\"]"), "{ran}");
}

#[test]
fn an_edit_between_plan_and_run_is_met_too() {
    let place = unreachable();
    place.hactl(&["plan"]);
    assert_eq!(kinds(&place), ["run_started", "planned"]);
    edit(&place, "small.toml", &[("\"jq\"]", "\"jq\", \"tree\"]")]);
    assert_eq!(place.hactl(&["phase", "run", "0"]).status, 5);
    assert_eq!(kinds(&place), ["run_started", "planned"]);
}

#[test]
fn comments_are_a_change_that_is_said_to_be_one_of_comments() {
    let place = begun();
    edit(&place, "hactl.toml", &[("fleet =", "# ours\nfleet =")]);
    edit(&place, "small.toml", &[("id = \"1\"", "id = \"1\" # more")]);
    let ran = place.hactl(&["resume"]);
    assert_eq!(ran.status, 5, "{ran}");
    assert!(ran.stdout.contains("hactl.toml: only comments or layout differ"), "{ran}");
    assert!(ran.stdout.contains("the runbook: only comments or layout differ"), "{ran}");
}

/// A run that another version of hactl began.
fn begun_by(version: &str) -> Place {
    let place = unreachable();
    let dir = StateDir::of(place.path());
    let operator = Operator { user: "ada".to_owned(), machine: "desk".to_owned() };
    let holder = Holder::this_process(operator.clone(), jiff::Timestamp::now(), "hactl phase run 0");
    let (journal, _) = Journal::open(Lock::take(&dir, holder).unwrap(), Rc::new(SystemClock)).unwrap();
    let evidence = EvidenceStore::new(dir, Rc::new(Redactor::new()));
    let keep = |name: &str| evidence.put(name, &std::fs::read(place.path().join(name)).unwrap()).unwrap();
    journal
        .append(Record::RunStarted {
            run: RunId::generate(),
            fleet: FleetName::new("pair").unwrap(),
            operator,
            runbook: RunbookName::new("small").unwrap(),
            runbook_bytes: keep("small.toml"),
            workspace: keep("hactl.toml"),
            hactl: version.to_owned(),
            mode: Mode::Production,
        })
        .unwrap();
    place
}

#[test]
fn another_hactl_asks_before_it_goes_on() {
    let place = begun_by("0.0.7");
    let ran = place.hactl(&["resume"]);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(ran.status, 5, "{ran}");
    let said = format!("this is hactl {version}, and the run was begun with hactl 0.0.7");
    assert!(ran.stdout.contains(&said), "{ran}");
    assert!(ran.stderr.contains("another version of"), "{ran}");
    assert_eq!(place.hactl(&["resume", "--rebase"]).status, 1);
    assert_eq!(kinds(&place)[..3], ["run_started", "rebased", "resumed"]);
    // Accepted once.
    assert_eq!(place.hactl(&["resume"]).status, 1);
    assert_eq!(begun_by(version).hactl(&["resume"]).status, 1);
}

fn goes_on(place: &Place, why: &str) -> Ran {
    let ran = place.hactl(&["resume"]);
    // It comes as far as the hosts, which cannot be reached.
    assert_eq!(ran.status, 1, "{ran}");
    assert!(ran.stderr.contains("ssh::unreachable"), "{ran}");
    assert!(ran.stdout.contains("the run goes on with those that it began with"), "{ran}");
    assert!(ran.stdout.contains(why), "{ran}");
    assert!(place.hactl(&["status"]).stdout.contains("WARNING: the files cannot be read now"));
    ran
}

#[test]
fn a_run_goes_on_with_what_it_keeps_where_a_file_is_broken_or_gone() {
    let place = begun();
    place.write("small.toml", "this is not TOML");
    goes_on(&place, "problem in small.toml");
    // Accepting needs something that can be accepted.
    let refused = place.hactl(&["resume", "--rebase"]);
    assert_eq!(refused.status, 2, "{refused}");
    assert!(!refused.stdout.contains("goes on"), "{refused}");
    std::fs::remove_file(place.path().join("small.toml")).unwrap();
    goes_on(&place, "No such file or directory");
    place.write("small.toml", SMALL_TOML);
    place.write("hactl.toml", "fleet = ");
    goes_on(&place, "hactl.toml");
    std::fs::remove_file(place.path().join("hactl.toml")).unwrap();
    goes_on(&place, "hactl.toml could not be read");
    // Put back, all is as it was.
    let unreachable = unreachable();
    std::fs::copy(unreachable.path().join("hactl.toml"), place.path().join("hactl.toml")).unwrap();
    let ran = place.hactl(&["resume"]);
    assert!(ran.status == 1 && !ran.stdout.contains("cannot be read now"), "{ran}");
    // Nothing that a run keeps: then the files must be read.
    let fresh = small();
    fresh.write("small.toml", "this is not TOML");
    assert_eq!(fresh.hactl(&["resume"]).status, 2);
    assert!(!fresh.path().join(".hactl").exists());
    assert!(HACTL_TOML.contains("pair"));
}
