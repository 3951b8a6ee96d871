//! Loading and resolving, seen from outside.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::synthetic::{Action, RUNBOOK, Synthetic, WORKSPACE, changed, load_texts, render, write};
use super::{Bindings, Loaded, Origin, StepOutputs, load_kept, parse};
use crate::diagnostic::codes;
use crate::digest::Digest;
use crate::journal::record::{OutputValue, Outputs, Place};
use crate::name::{HostName, OutputName, StepId};
use crate::workspace::{self, Addressing};

fn step_of<'a>(loaded: &'a Loaded, id: &str) -> &'a super::Step {
    loaded.runbook.step(&StepId::new(id).unwrap()).unwrap().1
}

fn on<'a>(loaded: &'a Loaded, host: &str, outputs: &'a StepOutputs) -> Bindings<'a> {
    let host = loaded.workspace.host(&HostName::new(host).unwrap());
    Bindings { workspace: &loaded.workspace, runbook: &loaded.runbook, host, outputs }
}

fn gave(step: &str, host: &str, name: &str, value: OutputValue) -> (Place, Outputs) {
    let place = Place { step: StepId::new(step).unwrap(), host: HostName::new(host).ok() };
    (place, BTreeMap::from([(OutputName::new(name).unwrap(), value)]))
}

fn action(loaded: &Loaded, id: &str, host: &str, outputs: &StepOutputs) -> crate::diagnostic::Result<Action> {
    step_of(loaded, id).resolve::<Synthetic>(&on(loaded, host, outputs))
}

#[test]
fn a_good_workspace_is_read_with_its_defaults() {
    let loaded = load_texts(WORKSPACE, RUNBOOK).unwrap();
    let workspace = &loaded.workspace;
    let web = &workspace.hosts[2];
    assert_eq!((web.port, web.user.as_str()), (2222, "root"));
    assert_eq!((workspace.hosts[0].port, workspace.hosts[0].user.as_str()), (22, "ops"));
    assert!(web.identity.as_ref().unwrap().is_absolute());
    assert_eq!(workspace.hosts[1].jump.as_ref().map(HostName::as_str), Some("node-1"));
    assert_eq!(workspace.s3.as_ref().unwrap().addressing, Addressing::Path);
    let by_host = changed(WORKSPACE, "[s3]", "[s3]\npath_style = false");
    let by_host = load_texts(&by_host, RUNBOOK).unwrap().workspace;
    assert_eq!(by_host.s3.as_ref().unwrap().addressing, Addressing::VirtualHost);
    assert_eq!(workspace.postgres.as_ref().unwrap().cluster, "main");
    assert_eq!(workspace.digest, Digest::of(WORKSPACE));
    assert_eq!(loaded.runbook.digest(), Digest::of(RUNBOOK));
    assert!(!workspace.is_rehearsal());
    let lab = changed(WORKSPACE, "[ssh]", "[lab]\nname = \"default\"\n\n[ssh]");
    assert!(load_texts(&lab, RUNBOOK).unwrap().workspace.is_rehearsal());
    let order: Vec<&str> = loaded.runbook.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(order, ["public_host", "port"]);
}

#[test]
fn references_take_the_type_and_the_place_of_what_they_name() {
    let loaded = load_texts(WORKSPACE, RUNBOOK).unwrap();
    let Action::Write(write) = action(&loaded, "inspect", "node-1", &StepOutputs::new()).unwrap() else {
        panic!()
    };
    assert_eq!(write.path, "/tmp/node-1");
    assert_eq!(write.port, Some(443));
    assert_eq!(write.text.as_deref(), Some("backups of acme on 10.88.0.11"));
    let digest =
        || Digest::of_json(&action(&loaded, "inspect", "node-1", &StepOutputs::new()).unwrap()).unwrap();
    assert_eq!(digest(), digest());
}

#[test]
fn an_output_has_its_journaled_value_and_none_before() {
    let loaded = load_texts(WORKSPACE, RUNBOOK).unwrap();
    let error = action(&loaded, "retire", "node-1", &StepOutputs::new()).unwrap_err();
    assert_eq!(error.code(), codes::RUNBOOK_UNRESOLVED);
    let outputs =
        [gave("inspect", "node-1", "digest", OutputValue::String("${inputs.port}'; x".into()))].into();
    let Action::Drop(dropped) = action(&loaded, "retire", "node-1", &outputs).unwrap() else { panic!() };
    // What an output holds is data: it is not looked at for references again.
    assert_eq!(dropped.database, "old-${inputs.port}'; x");
}

#[test]
fn an_output_of_many_hosts_is_the_own_one_or_the_named_one() {
    let runbook = changed(RUNBOOK, "on = \"postgres\"\n\n", "on = \"web\"\n\n");
    let runbook = changed(&runbook, "id = \"retire\"", "id = \"retire.all\"");
    let named = changed(&runbook, "${steps.inspect.digest}", "${steps.inspect.web-2.digest}");
    let loaded = load_texts(WORKSPACE, &named).unwrap();
    let outputs: StepOutputs = ["web-1", "web-2"]
        .map(|host| gave("inspect", host, "digest", OutputValue::String(format!("of-{host}"))))
        .into();
    let Action::Drop(dropped) = action(&loaded, "retire.all", "node-1", &outputs).unwrap() else { panic!() };
    assert_eq!(dropped.database, "old-of-web-2");

    let own = changed(&runbook, "on = \"postgres\"\ngate = \"type\"", "on = \"web\"");
    let own = changed(&own, "[phase.step.action.drop]\ndatabase", "[phase.step.action.write]\npath");
    let loaded = load_texts(WORKSPACE, &own).unwrap();
    let Action::Write(write) = action(&loaded, "retire.all", "web-1", &outputs).unwrap() else { panic!() };
    assert_eq!(write.path, "old-of-web-1");
    let only_other = [gave("inspect", "web-2", "digest", OutputValue::String("x".into()))].into();
    let error = action(&loaded, "retire.all", "web-1", &only_other).unwrap_err();
    assert_eq!(error.code(), codes::RUNBOOK_UNRESOLVED);
}

#[test]
fn an_output_that_does_not_fit_is_an_error_with_its_place() {
    let runbook = changed(
        RUNBOOK,
        "[phase.step.action.drop]\ndatabase = \"old-${steps.inspect.digest}\"",
        "[phase.step.action.write]\npath = \"/\"\nport = \"${steps.inspect.bytes}\"",
    );
    let loaded = load_texts(WORKSPACE, &runbook).unwrap();
    let outputs = [gave("inspect", "node-1", "bytes", OutputValue::Integer(70_000))].into();
    let error = action(&loaded, "retire", "node-1", &outputs).unwrap_err();
    assert_eq!(error.code(), codes::RUNBOOK_ILL_TYPED_REFERENCE);
    assert!(render(&error).contains("${steps.inspect.bytes}"), "{}", render(&error));
}

#[test]
fn a_kept_runbook_is_loaded_instead_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), WORKSPACE, "this is not even TOML");
    let file = folder.path().join("hactl.toml");
    let kept = std::fs::read(&file).unwrap();
    let loaded = load_kept::<Synthetic>(&file, &kept, RUNBOOK.as_bytes()).unwrap();
    assert_eq!(loaded.runbook.origin, Origin::Kept(Digest::of(RUNBOOK)));
}

#[test]
fn the_workspace_is_found_here_or_above_or_where_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), WORKSPACE, RUNBOOK);
    let deep = folder.path().join("a/b");
    std::fs::create_dir_all(&deep).unwrap();
    let file = folder.path().join("hactl.toml");
    assert_eq!(workspace::find(&deep, None).unwrap(), file);
    assert_eq!(workspace::find("/".as_ref(), Some(folder.path())).unwrap(), file);
    assert_eq!(workspace::find("/".as_ref(), Some(&file)).unwrap(), file);
    let error = workspace::find(&deep, Some(&deep)).unwrap_err();
    assert_eq!(error.code(), codes::WORKSPACE_NOT_FOUND);
}

/// A TOML basic string that means `text`.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[test]
fn every_string_arrives_as_data() {
    let long = "x".repeat(100 * 1024);
    let texts = [
        "it's \"quoted\"",
        "two\nlines\r\n",
        "$(rm -rf /) `id` $HOME",
        "-rf",
        "--",
        "tab\there",
        "\u{7f}\u{1b}[31m",
        "ünïcode ☃",
        "",
        " ",
        "a\\b",
        "'''",
        "\"\"\"",
        &long,
    ];
    for text in texts {
        let line = format!("text = {}", quoted(text));
        let runbook = changed(
            RUNBOOK,
            "text = \"${s3.bucket} of ${workspace.fleet} on ${host.private_address}\"",
            &line,
        );
        let loaded = load_texts(WORKSPACE, &runbook).unwrap();
        let Action::Write(write) = action(&loaded, "inspect", "node-1", &StepOutputs::new()).unwrap() else {
            panic!()
        };
        assert!(write.text.as_deref() == Some(text), "{:.60}", text);
    }
}

#[test]
fn deep_nesting_is_a_problem_and_no_crash() {
    let deep = 100_000;
    for text in [
        format!("a = {}", "[".repeat(deep)),
        format!("a = {}", "{a=".repeat(deep)),
        format!("{}a = 1", "a.".repeat(deep)),
        format!("[{}a]", "a.".repeat(deep)),
        format!("a = {{ {}a = 1 }}", "a.".repeat(deep)),
    ] {
        assert!(parse::<Synthetic>("deep", text.as_bytes(), Origin::Bundled).is_err());
    }
}

#[test]
fn a_runbook_is_checked_by_itself_too() {
    assert!(parse::<Synthetic>("good", RUNBOOK.as_bytes(), Origin::Bundled).is_ok());
    let bad = changed(RUNBOOK, "${steps.inspect.digest}", "${steps.inspect.digset} ${role.wbe}");
    let error = parse::<Synthetic>("bad", bad.as_bytes(), Origin::Bundled).unwrap_err();
    assert_eq!(error.file_problems().len(), 2, "{error:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn loading_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Err(error) = parse::<Synthetic>("any", &bytes, Origin::Bundled) {
            render(&error);
        }
    }

    /// A good file with a piece cut out and something else put in: deeper than random bytes reach.
    #[test]
    fn loading_a_damaged_file_never_panics(
        at in 0..RUNBOOK.len(), cut in 0_usize..60, put in "[a-z\\[\\]{}=.\"'$\n#0-9é]{0,12}", of_workspace in any::<bool>(),
    ) {
        let text = if of_workspace { WORKSPACE } else { RUNBOOK };
        let at = at % text.len();
        let damaged = format!("{}{put}{}", &text[..at], &text[(at + cut).min(text.len())..]);
        let (workspace, runbook) = if of_workspace { (damaged.as_str(), RUNBOOK) } else { (WORKSPACE, damaged.as_str()) };
        if let Err(error) = load_texts(workspace, runbook) {
            prop_assert!(!error.file_problems().is_empty(), "{error:?}");
            prop_assert!(error.code() != codes::INTERNAL);
            render(&error);
        }
    }

    #[test]
    fn any_string_arrives_as_data(text in "\\PC*") {
        let escaped = text.replace("${", "$${");
        prop_assume!(!text.contains("$$"));
        let line = format!("text = {}", quoted(&escaped));
        let runbook = changed(RUNBOOK, "text = \"${s3.bucket} of ${workspace.fleet} on ${host.private_address}\"", &line);
        let loaded = load_texts(WORKSPACE, &runbook).unwrap();
        let Action::Write(write) = action(&loaded, "inspect", "node-1", &StepOutputs::new()).unwrap() else { panic!() };
        prop_assert_eq!(write.text, Some(text));
    }
}
