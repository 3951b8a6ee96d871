//! What changed between plan, approval and resume is shown step by step, and nothing is done before it is accepted.

use std::rc::Rc;

use hactl::clock::SystemClock;
use hactl::evidence::EvidenceStore;
use hactl::journal::record::{Mode, Operator, Record};
use hactl::journal::{Holder, Journal, Lock, StateDir};
use hactl::name::{FleetName, RunId, RunbookName};
use hactl::redact::Redactor;
use insta::assert_snapshot;

use crate::cli::{Place, small, unreachable};

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

/// The command that puts back the one file which is not what the run keeps.
fn put_back(place: &Place, why: &str) -> String {
    let lines = place.path().join(".hactl/journal.jsonl");
    let before = std::fs::read(&lines).unwrap();
    let mut back = Vec::new();
    for command in [
        &["resume"] as &[&str],
        &["resume", "--rebase"],
        &["phase", "run", "0"],
        &["phase", "rollback", "0"],
        &["plan"],
        &["plan", "--dry-run"],
        &["approve", "jq"],
    ] {
        let ran = place.hactl(command);
        assert_eq!(ran.status, 2, "{command:?}: {ran}");
        assert!(ran.stderr.contains(why) && !ran.stderr.contains("unreachable"), "{command:?}: {ran}");
        let kept = "now:     nothing was done; the run keeps the files that it began with";
        assert!(ran.stderr.contains(kept), "{command:?}: {ran}");
        let next = ran.stderr.lines().filter_map(|line| line.strip_prefix("  next:    cp "));
        back = next.map(str::to_owned).collect();
        assert_eq!(back.len(), 1, "{command:?}: {ran}");
    }
    assert_eq!(std::fs::read(&lines).unwrap(), before, "nothing was recorded");
    assert!(place.hactl(&["status"]).stdout.contains("WARNING: the files cannot be read now"));
    format!("cp {}", back[0]).replace("[DIR]", place.path().to_str().unwrap())
}

/// It is put back by the very command that was shown, and the run goes on as far as the hosts.
fn goes_on_after(place: &Place, command: &str) {
    let done = std::process::Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(done.success(), "{command}");
    let ran = place.hactl(&["resume"]);
    assert!(ran.status == 1 && ran.stderr.contains("ssh::unreachable"), "{ran}");
}

#[test]
fn a_file_that_is_broken_or_gone_stops_a_run_and_is_put_back_as_the_error_says() {
    let place = begun();
    for (file, broken, why) in [
        ("small.toml", Some("this is not TOML"), "small.toml"),
        ("small.toml", None, "small.toml"),
        ("hactl.toml", Some("fleet = "), "hactl.toml"),
        ("hactl.toml", None, "hactl.toml"),
    ] {
        match broken {
            Some(text) => drop(place.write(file, text)),
            None => std::fs::remove_file(place.path().join(file)).unwrap(),
        }
        let command = put_back(&place, why);
        assert!(command.ends_with(file), "{command}");
        goes_on_after(&place, &command);
    }
    // Nothing that a run keeps: then the files must be read.
    let fresh = small();
    fresh.write("small.toml", "this is not TOML");
    assert_eq!(fresh.hactl(&["resume"]).status, 2);
    assert!(!fresh.path().join(".hactl").exists());
}
