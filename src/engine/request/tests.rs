use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use jiff::Timestamp;

use super::{Request, check_again};
use crate::digest::Digest;
use crate::engine::seam::{Resolved, Signers, Task};
use crate::evidence::EvidenceStore;
use crate::journal::record::{Approval, Change, EvidenceRef, How, Mode, Operator, Place, Signed};
use crate::journal::{Run, StateDir};
use crate::name::{FleetName, HostName, RunId, RunbookName, StepId};
use crate::redact::Redactor;
use crate::runbook::Gate;
use crate::signature::{NAMESPACE, sign, verify};
use crate::step::{Effect, WayBack};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn place() -> Place {
    Place { step: StepId::new("retire").unwrap(), host: Some(HostName::new("node-1").unwrap()) }
}

fn operator() -> Operator {
    Operator { user: "bob".to_owned(), machine: "laptop".to_owned() }
}

fn run() -> Run {
    Run {
        run: RunId::generate(),
        fleet: FleetName::new("acme").unwrap(),
        operator: operator(),
        runbook: RunbookName::new("cell0").unwrap(),
        runbook_bytes: EvidenceRef { name: "runbook".to_owned(), digest: Digest::of("bytes"), bytes: 5 },
        workspace: EvidenceRef { name: "workspace".to_owned(), digest: Digest::of("workspace"), bytes: 9 },
        hactl: "0.1.0".to_owned(),
        mode: Mode::Production,
        started: at("2026-06-01T12:00:00Z"),
    }
}

fn request(run: &Run) -> Request {
    let details = vec!["two\nlines".to_owned(), "'''\"\"\" # no comment\u{1b}[31m".to_owned()];
    let task = Task {
        place: place(),
        title: "Retire the old server".to_owned(),
        why: Some("it is\n  empty".to_owned()),
        gate: Gate::Sign,
        signers: Signers::Anyone,
        timeout: std::time::Duration::from_secs(1),
        retries: 0,
    };
    let canonical = r#"{"drop":{"database":"cell"}}"#.to_owned();
    let resolved = Resolved {
        action: (),
        digest: Digest::of(&canonical),
        canonical,
        effect: Effect::OneShot,
        way_back: WayBack::Irreversible { why: "it is gone".to_owned() },
        hosts: vec![HostName::new("node-1").unwrap()],
        identities: vec!["node-1 SHA256:x".to_owned()],
        typed_name: "node-1".to_owned(),
    };
    let change = Change { summary: "drops \"cell\"".to_owned(), details };
    Request::new(run, &task, &resolved, &change, &operator(), at("2026-06-02T12:00:00Z"))
}

#[test]
fn a_text_reads_back_and_no_other_spelling_of_it_does() {
    let request = request(&run());
    let text = request.text().unwrap();
    assert_eq!(Request::parse(&text).unwrap(), request);
    assert!(!text.contains('\u{1b}'), "the terminal's own characters are written as escapes");
    for other in [
        text.replace("# A request", "# a request"),
        format!("{text}# do it\n"),
        text.replace("fleet = ", "fleet  = "),
        text.replace("version = 1", "version = 2"),
        text.replace("version = 1", "version = 1\nmore = 1"),
        text.replace("[\"node-1 SHA256:x\"]", "['node-1 SHA256:x']"),
    ] {
        assert_ne!(other, text);
        assert!(Request::parse(&other).is_err(), "{other}");
    }
}

#[test]
fn who_signs_sees_every_character_and_no_field_can_play_another() {
    let mut request = request(&run());
    request.change = "reads\n  way back:  undo".to_owned();
    request.details = vec!["drop a\u{1b}], and b\u{7}".to_owned(), "two\n  expires:   never".to_owned()];
    request.identities = vec!["node-1\u{200b}".to_owned()];
    let shown = request.shown();
    assert!(shown.contains("reads\\n  way back:  undo"), "{shown}");
    assert!(shown.contains("drop a\\u{1b}], and b\\u{7}"), "{shown}");
    assert!(shown.contains("node-1\\u{200b}"), "{shown}");
    for label in ["  way back:", "  expires:", "  touches:"] {
        assert_eq!(shown.lines().filter(|line| line.starts_with(label)).count(), 1, "{label} in {shown}");
    }
    // Nothing is left for the terminal's own cleaning to take away.
    assert_eq!(crate::redact::sanitize_for_terminal(&shown), shown);
}

/// Makes a key, and says its line for allowed signers.
fn key(path: &Path, principal: &str) -> String {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path);
    assert!(keygen.status().unwrap().success());
    let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    format!("{principal} namespaces=\"{NAMESPACE}\" {public}")
}

#[test]
fn a_recorded_signature_is_checked_again_by_what_was_kept_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alice");
    let allowed = key(&path, "alice@acme");
    let dir = StateDir::of(folder.path());
    dir.create().unwrap();
    let evidence = EvidenceStore::new(dir, Rc::new(Redactor::new()));

    let (run, now) = (run(), at("2026-06-01T13:00:00Z"));
    let request = request(&run);
    let text = request.text().unwrap();
    let signature = sign(&text, &path).unwrap();
    let signer = verify(&text, &signature, allowed.as_bytes(), now).unwrap();
    let signers = evidence.put("allowed signers", allowed.as_bytes()).unwrap();
    let signed = Signed { principal: signer.principal, key: signer.key, signature, signers };
    let keep = |text: &str| evidence.put("what was signed", text.as_bytes()).unwrap();
    let approval = Approval {
        place: place(),
        binding: request.binding().unwrap(),
        by: operator(),
        how: How::Signed(Box::new(signed.clone())),
        shown: keep(&text),
        expires: request.expires,
    };
    let check = |approval: &Approval, signed: &Signed, now, run: &Run| {
        check_again(approval, signed, now, &run.run, &run.fleet, &evidence).map_err(|error| error.one_line())
    };
    assert_eq!(check(&approval, &signed, now, &run), Ok(()));

    let refused = |what: &str, result: Result<(), String>| {
        let error = result.expect_err(what);
        assert!(error.contains(what), "{error}");
    };
    let mut elsewhere = approval.clone();
    elsewhere.place.host = Some(HostName::new("node-2").unwrap());
    refused("place", check(&elsewhere, &signed, now, &run));
    let other = Approval { binding: Digest::of("other"), ..approval.clone() };
    refused("binding", check(&other, &signed, now, &run));
    let longer = Approval { expires: at("2027-01-01T00:00:00Z"), ..approval.clone() };
    refused("expiry", check(&longer, &signed, now, &run));
    refused("expiry", check(&approval, &signed, request.expires, &run));
    let bob = Signed { principal: "bob@acme".to_owned(), ..signed.clone() };
    refused("principal", check(&approval, &bob, now, &run));
    refused("run", check(&approval, &signed, now, &Run { run: RunId::generate(), ..run.clone() }));
    let fleet = FleetName::new("other").unwrap();
    refused("fleet", check(&approval, &signed, now, &Run { fleet, ..run.clone() }));
    let wider = Approval { shown: keep(&text.replace("drops", "drops all of")), ..approval };
    refused("signature", check(&wider, &signed, now, &run));
}
