#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use super::{AgeDraft, Draft, HostDraft, Made, Needs, Part, PostgresDraft, S3Draft, write};
use crate::diagnostic::codes;
use crate::needs::KINDS;
use crate::runbook::{Kinds as _, Origin, bundled, parse};
use crate::secret::SecretRef;
use crate::step::Table;

fn cell0() -> crate::runbook::Runbook {
    parse::<Table>("cell0", bundled::show("cell0").unwrap().as_bytes(), Origin::Bundled).unwrap()
}

fn draft() -> Draft {
    let file = |name: &str| SecretRef::File(name.into());
    let host = |name: &str, address: &str, role: &str| HostDraft {
        name: name.into(),
        address: address.into(),
        roles: vec![role.into()],
        ..HostDraft::default()
    };
    let mut draft = Draft {
        runbook: "cell0".into(),
        title: "one\nto three\u{1b}[2J".into(),
        fleet: "acme".into(),
        user: "ops".into(),
        identity: Some("secrets/id".into()),
        hosts: vec![host("node-1", "192.0.2.1", "postgres"), host("prover", "192.0.2.2", "prover")],
        s3: Some(S3Draft {
            endpoint: "https://objects.example".into(),
            region: "eu".into(),
            bucket: "acme".into(),
            path_style: true,
            ca: None,
            writer: (
                SecretRef::Env("KEY".into()),
                SecretRef::Command(vec!["pass".into(), "it's \"s3\"".into()]),
            ),
            restorer: Some((file("a"), SecretRef::Sops("s.yaml#a.b".into()))),
        }),
        postgres: Some(PostgresDraft {
            role: "postgres".into(),
            version: "17".into(),
            cluster: "main".into(),
            port: 5433,
        }),
        cipher_pass: Some(file("secrets/cipher")),
        age: Some(AgeDraft {
            recipients: vec!["age1e0x8r5e2d8kjwlfgxzdgnqy3dmdz9hdtuxjmjhjk67av0q3a2u2svpn9qn".into()],
            identity: Some(file("secrets/age")),
        }),
        inputs: cell0().inputs.into_iter().map(|input| (input, None)).collect(),
        ..Draft::default()
    };
    draft.note(Part::Host("prover".into()), "it did not answer\nfleet = \"another\"");
    draft
}

#[test]
fn every_kind_says_what_it_looks_into() {
    let listed: Vec<_> = KINDS.iter().map(|(kind, _)| *kind).collect();
    let mut there = Table::action_names();
    there.sort_unstable();
    assert_eq!(listed, there, "a new kind says in src/needs.rs what of hactl.toml it needs");
    let needs = Needs::of(&cell0());
    assert!(needs.s3 && needs.restore_key && needs.makes_bucket && needs.postgres, "{needs:?}");
    assert!(needs.pgbackrest && needs.age && needs.identity && !needs.signers, "{needs:?}");
}

#[test]
fn a_draft_becomes_a_file_that_passes_check_and_every_line_is_explained() {
    let mut draft = draft();
    let made = age::x25519::Identity::generate().to_public().to_string();
    draft.age.as_mut().unwrap().recipients = vec![made.clone()];
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), &draft, &[], Made::in_folder(folder.path())).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    insta::assert_snapshot!(text.replace(&made, "age1…"));
    // A second one finds the name taken, and leaves nothing beside it.
    let error = write(folder.path(), &draft, &[], Made::in_folder(folder.path())).unwrap_err();
    assert_eq!(error.code(), codes::INIT_EXISTS);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["hactl.toml"]);
}

#[test]
fn answers_that_would_not_pass_check_write_nothing_and_what_was_made_goes() {
    let folder = tempfile::tempdir().unwrap();
    let mut made = Made::in_folder(folder.path());
    made.pass_phrase("secrets/cipher").unwrap();
    made.ssh_key("secrets/id").unwrap();
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("secrets"), mode("secrets/cipher"), mode("secrets/id")), (0o700, 0o600, 0o600));
    // What is there is never replaced.
    assert_eq!(
        Made::in_folder(folder.path()).age_identity("secrets/id").unwrap_err().code(),
        codes::INIT_EXISTS
    );
    let mut draft = draft();
    draft.hosts[0].roles.clear();
    let error = write(folder.path(), &draft, &[], made).unwrap_err();
    assert_eq!(error.code(), codes::INIT_ANSWER, "{error:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
