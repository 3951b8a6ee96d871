//! Approvals that another person signs, on a machine that has nothing but the request.

use std::path::Path;
use std::process::Command;

use crate::Test;
use crate::common::cli::Ran;
use crate::common::lab::{Lab, Running, Scene, Workspace};

pub(crate) const TESTS: &[Test] =
    &[("sign::only_what_another_person_signed_goes_through_the_gate", only_what_another_person_signed)];

/// The folder of somebody who has a key, and nothing of the workspace.
struct Person {
    dir: tempfile::TempDir,
}

impl Person {
    fn new() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.path().join("key"));
        assert!(keygen.status().unwrap().success());
        Self { dir }
    }

    /// Their line in `allowed_signers`.
    fn line(&self, principal: &str) -> String {
        let public = std::fs::read_to_string(self.dir.path().join("key.pub")).unwrap();
        format!("{principal} namespaces=\"hactl-approval\" {public}")
    }

    /// Signs the request that lies in the workspace, and puts the signature beside it.
    fn signs(&self, workspace: &Workspace<'_>, file: &str) -> Ran {
        let (there, here) = (workspace.path().join(file), self.dir.path().join(file));
        std::fs::copy(&there, &here).unwrap();
        let ran = Running::start(self.dir.path(), &["approve", "--sign", file, "--key", "key"]).end();
        if ran.status == 0 {
            let signature = format!("{file}.sig");
            let from = self.dir.path().join(&signature);
            std::fs::copy(&from, workspace.path().join(&signature)).unwrap();
            std::fs::remove_file(from).unwrap();
        }
        ran
    }
}

fn lines(lab: &Lab, node: &str) -> String {
    lab.read(node, "cat /srv/ledger 2>/dev/null | wc -l")
}

/// What it said, its lines joined.
fn said(ran: &Ran) -> String {
    ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn approvals(workspace: &Workspace<'_>) -> usize {
    workspace.journal().records().iter().filter(|record| record.starts_with("approved")).count()
}

fn write(path: &Path, name: &str, text: &str) {
    std::fs::write(path.join(name), text).unwrap();
}

fn only_what_another_person_signed() {
    let lab = Lab::up("sign", Scene::Nodes(2));
    let (alice, bob, mallory) = (Person::new(), Person::new(), Person::new());
    let allowed = alice.line("alice@acme") + &bob.line("bob@acme");
    let workspace = |lab| -> Workspace<'_> {
        let workspace = Lab::workspace(lab, "sign.toml");
        write(workspace.path(), "allowed_signers", &allowed);
        let config = "\n[approvals]\nallowed_signers = \"allowed_signers\"\noperators = [\"bob@acme\"]\n";
        workspace.edit("hactl.toml", |text| text + config);
        workspace
    };
    let here = workspace(&lab);

    // It stops, and says how a signature comes in.
    let stopped = here.hactl(&["phase", "run", "0"]);
    assert_eq!(stopped.status, 3, "{stopped}");
    let command = "hactl approve append --host node-1 --export append-node-1.approval";
    assert!(said(&stopped).contains(command), "{stopped}");

    let request = "append-node-1.approval";
    here.must(&["approve", "append", "--host", "node-1", "--export", request]);
    let ran = alice.signs(&here, request);
    assert_eq!(ran.status, 0, "{ran}");
    for shown in ["append on node-1", "appends a line to /srv/ledger", "SHA256:", "touches:"] {
        assert!(ran.stdout.contains(shown), "the signer is not shown {shown}: {ran}");
    }
    let good = std::fs::read_to_string(here.path().join("append-node-1.approval.sig")).unwrap();
    let refused = |what: &str, wanted: i32, words: &str| {
        let ran = here.hactl(&["approve", "--import", request]);
        assert_eq!(ran.status, wanted, "{what}: {ran}");
        assert!(said(&ran).contains(words), "{what}: {ran}");
        assert_eq!(approvals(&here), 0, "{what}");
    };

    // Nobody's, the operator's own, and one that is for another text.
    mallory.signs(&here, request);
    refused(
        "a stranger's",
        1,
        "error[engine::signature]: the key that signed is not among the allowed signers",
    );
    bob.signs(&here, request);
    refused("the operator's own", 5, "another person");
    let text = std::fs::read_to_string(here.path().join(request)).unwrap();
    write(here.path(), "append-node-1.approval.sig", &good);
    write(here.path(), request, &text.replace("appends a line", "reads a line"));
    refused("another change", 1, "error[engine::signature]: the signature is not one of this text");
    write(here.path(), request, &text.replace("host = \"node-1\"", "host = \"node-2\""));
    refused("another host", 1, "signature");
    write(here.path(), request, &format!("{text}# and more\n"));
    refused("another spelling", 2, "error[engine::approval_text]: this is not a request");
    assert_eq!((lines(&lab, "node-1"), lines(&lab, "node-2")), ("0".to_owned(), "0".to_owned()));

    // Without a terminal nobody was asked, so no key is taken that was not named.
    write(here.path(), request, &text);
    let asked = Running::start(here.path(), &["approve", "--sign", request]).end();
    assert_eq!(asked.status, 3, "{asked}");

    // Another run of the same fleet does not take it, and where none has begun, none begins.
    let other = workspace(&lab);
    for name in [request, "append-node-1.approval.sig"] {
        std::fs::copy(here.path().join(name), other.path().join(name)).unwrap();
    }
    let ran = other.hactl(&["approve", "--import", request]);
    assert_eq!(ran.status, 5, "{ran}");
    assert!(other.journal().lines().is_empty(), "a refused import begins no run: {ran}");
    assert_eq!(other.hactl(&["phase", "run", "0"]).status, 3);
    let ran = other.hactl(&["approve", "--import", request]);
    assert_eq!(ran.status, 5, "{ran}");
    assert!(said(&ran).contains("another run"), "{ran}");

    // Alice's lets this host through, and no other.
    here.must(&["approve", "--import", request]);
    let stopped = here.hactl(&["resume"]);
    assert_eq!(stopped.status, 3, "{stopped}");
    assert_eq!((lines(&lab, "node-1"), lines(&lab, "node-2")), ("1".to_owned(), "0".to_owned()));
    let again = here.hactl(&["approve", "--import", request]);
    assert_ne!(again.status, 0, "it is used up: {again}");

    let second = "append-node-2.approval";
    here.must(&["approve", "append", "--host", "node-2", "--export", second]);
    assert_eq!(alice.signs(&here, second).status, 0);
    here.must(&["approve", "--import", second]);
    here.must(&["resume"]);
    assert_eq!((lines(&lab, "node-1"), lines(&lab, "node-2")), ("1".to_owned(), "1".to_owned()));

    // A signature lets one change through: taken back, it takes another one.
    here.must(&["phase", "rollback", "0", "--yes"]);
    for name in [request, second] {
        let again = here.hactl(&["approve", "--import", name]);
        assert_eq!(again.status, 5, "{again}");
        assert!(said(&again).contains("taken before"), "{again}");
    }
    assert_eq!(here.hactl(&["phase", "run", "0"]).status, 3);
    assert_eq!((lines(&lab, "node-1"), lines(&lab, "node-2")), ("0".to_owned(), "0".to_owned()));

    // Years later, when nobody has these keys any more.
    write(here.path(), "allowed_signers", "");
    let verified = here.must(&["journal", "verify"]);
    assert!(verified.stdout.contains("2 signed approvals"), "{verified}");
}
