//! The operator's machine is lost, again and again, in the middle of a run; another one goes on from the mirror.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Test;
use crate::common::cli::Ran;
use crate::common::lab::{Lab, Scene, Workspace};
use crate::common::readme;

pub(crate) const TESTS: &[Test] = &[
    ("mirror::a_folder_that_is_lost_mid_run_is_gone_on_with_elsewhere", lost_again_and_again),
    ("mirror::a_mirror_that_is_away_stops_the_run_before_an_effect", away),
];

const NODES: [&str; 2] = ["node-1", "node-2"];
const URL: &str = "s3://state/run";
/// How long one record may take to come.
const SOON: Duration = Duration::from_secs(200);

fn ledger(lab: &Lab, node: &str) -> String {
    lab.read(node, "sudo cat /srv/slice/ledger 2>/dev/null || true")
}

fn mirrored<'a>(lab: &'a Lab, more: &str) -> Workspace<'a> {
    let workspace = lab.workspace("slice.toml");
    workspace.edit("hactl.toml", |text| format!("{text}\n[state]\nmirror = \"{URL}\"\n{more}"));
    workspace
}

/// Lets hactl work until a record that begins so comes after the run was taken over last, and ends it there and then; true
/// where it came so far.
fn killed_at(workspace: &Workspace<'_>, args: &[&str], record: &str) -> bool {
    let journal = workspace.journal();
    let mut running = workspace.start(args);
    let until = Instant::now() + SOON;
    loop {
        // Asked before the journal is looked at, so that nothing written just before the end is missed.
        let ended = running.ended();
        let records = journal.records();
        let new = records.rsplit(|r| r.starts_with("taken_over")).next().unwrap_or_default();
        if new.iter().any(|r| r.starts_with(record)) {
            running.kill();
            return true;
        }
        if ended {
            let ran = running.end();
            assert_eq!(ran.status, 0, "{ran}");
            return false;
        }
        assert!(Instant::now() < until, "{record} did not come: {records:#?}");
        sleep(Duration::from_micros(300));
    }
}

fn from_mirror(lab: &Lab) -> Vec<String> {
    // As the README shows it, with the lab's addresses.
    let shown = readme::WITH_A_MIRROR[1].strip_prefix("hactl ").unwrap();
    let here =
        shown.replace("s3://acme-state/cell0", URL).replace("https://objects.example", "https://s3.lab:8443");
    let more = "--mirror-region lab --mirror-ca lab-ca.pem --mirror-access-key secrets/s3-operator.key \
                --mirror-secret-key secrets/s3-operator.secret --yes --mirror-lab";
    let words = here.split_whitespace().chain(more.split_whitespace()).map(str::to_owned);
    words.chain([lab.name().to_owned()]).collect()
}

/// As the README shows it.
fn make_bucket() -> Vec<&'static str> {
    readme::WITH_A_MIRROR[0].split(' ').skip(1).collect()
}

fn words(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

fn refused(ran: &Ran, code: &str) {
    assert_eq!(ran.status, 5, "{ran}");
    assert!(ran.stderr.contains(&format!("error[{code}]")), "{ran}");
}

/// A folder as it was, kept where the operator might find it again.
fn copy_of<'a>(lab: &'a Lab, workspace: &Workspace<'_>) -> Workspace<'a> {
    let copy = lab.elsewhere(workspace.path());
    copy.hold_copy_of(workspace);
    copy
}

fn lost_again_and_again() {
    let lab = Lab::up("mirror", Scene::Nodes(2));
    let mut workspace = mirrored(&lab, "");
    // What an operator keeps apart: the mirror holds no secret in clear.
    let secrets = lab.elsewhere(workspace.path());
    // Nothing is begun before there is a bucket, and it says who makes it.
    let ran = workspace.hactl(&["phase", "run", "0", "--yes"]);
    assert_eq!(ran.status, 1, "{ran}");
    assert!(ran.stderr.contains("error[mirror::behind]") && ran.stderr.contains("--make-bucket"), "{ran}");
    assert!(NODES.iter().all(|node| ledger(&lab, node).is_empty()));
    let ran = workspace.must(&make_bucket());
    assert!(ran.stdout.contains("made the bucket state"), "{ran}");

    let resume = from_mirror(&lab);
    let resume = words(&resume);
    let mut former: Vec<Workspace<'_>> = Vec::new();
    let mut args: &[&str] = &["phase", "run", "0", "--yes"];
    for record in [
        "verified folder",
        "intended first",
        "verified first",
        "intended second",
        "applied second",
        "verified second",
        "phase_done",
    ] {
        if killed_at(&workspace, args, record) {
            former.push(copy_of(&lab, &workspace));
            // The folder is deleted with its value.
            workspace = lab.elsewhere(secrets.path());
            args = &resume;
        } else {
            // This way through did not come by it any more.
            args = &["resume", "--yes"];
        }
    }
    let lost = former.len();
    // On a busy machine it may be far beyond a record by the time that this one is seen.
    assert!(lost >= 2, "lost {lost} times only");
    eprintln!("lost {lost} times");
    let ran =
        workspace.hactl(if workspace.journal().lines().is_empty() { &resume } else { &["resume", "--yes"] });
    assert_eq!(ran.status, 0, "{ran}");
    for node in NODES {
        assert_eq!(ledger(&lab, node), "first\nsecond", "each line once, on {node}");
    }
    workspace.must(&["phase", "run", "1", "--yes"]);
    workspace.must(&["journal", "verify"]);
    let status = workspace.must(&["status", "--offline"]);
    assert!(status.stdout.contains("mirror s3://state/run: holds every record"), "{status}");
    let doctor = workspace.must(&["doctor"]);
    assert!(doctor.stdout.contains("honours conditional writes"), "{doctor}");

    // Every former folder that is found again is refused by the bucket, and named what to type.
    for old in &former {
        let lines = old.journal().lines().len();
        let ran = old.hactl(&["resume", "--yes"]);
        refused(&ran, "mirror::ahead");
        assert!(ran.stderr.contains("--from-mirror s3://state/run"), "{ran}");
        assert_eq!(old.journal().lines().len(), lines, "nothing was recorded");
    }
    // And by each host, where the bucket is not asked.
    let old = former.last().unwrap();
    old.edit("hactl.toml", |text| text.split("\n[state]").next().unwrap().to_owned());
    refused(&old.hactl(&["resume", "--rebase", "--yes"]), "attempt::old_epoch");
    for node in NODES {
        assert_eq!(ledger(&lab, node), "first\nsecond\nthird", "on {node}");
        let owner = lab.read(node, "sudo cat /var/lib/hactl/owner");
        assert!(!owner.contains("epoch 1\n"), "{owner}");
    }

    // Without the secrets it is said which, and nothing is taken over.
    let bare = lab.elsewhere(secrets.path());
    std::fs::remove_file(bare.path().join("secrets/pgbackrest-cipher")).unwrap();
    std::fs::remove_file(bare.path().join("secrets/id_ed25519")).unwrap();
    let ran = bare.hactl(&resume);
    assert_eq!(ran.status, 1, "{ran}");
    let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["error[mirror::secrets]", "[pgbackrest] cipher_pass", "id_ed25519", "install -m 600"] {
        assert!(said.contains(part), "{part}: {ran}");
    }
    assert!(!Path::new(&bare.path().join(".hactl")).exists());
    workspace.must(&["phase", "verify", "0"]);
}

fn away() {
    let lab = Lab::up("mirroraway", Scene::Nodes(2));
    let workspace = mirrored(&lab, "");
    workspace.must(&make_bucket());
    let broken = |text: String| {
        format!("{text}endpoint = \"https://s3.lab:9\"\nregion = \"lab\"\nca = \"lab-ca.pem\"\n")
    };
    workspace.edit("hactl.toml", broken);
    let ran = workspace.hactl(&["phase", "run", "0", "--yes"]);
    assert_eq!(ran.status, 1, "{ran}");
    assert!(
        ran.stderr.contains("error[mirror::behind]") && ran.stderr.contains("mirror_required = false"),
        "{ran}"
    );
    assert!(NODES.iter().all(|node| ledger(&lab, node).is_empty()));

    // Where the workspace says that it may be behind, the run goes on, and says so.
    workspace.edit("hactl.toml", |text| format!("{text}mirror_required = false\n"));
    let ran = workspace.must(&["phase", "run", "0", "--yes"]);
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("WARNING: the mirror lacks record"), "{ran}");
    assert!(NODES.iter().all(|node| ledger(&lab, node) == "first\nsecond"));
    let status = workspace.must(&["status", "--offline"]);
    assert!(status.stdout.contains("LACKS") && status.stdout.contains("hactl journal mirror"), "{status}");
    // And is caught up once it can be reached.
    workspace.edit("hactl.toml", |text| {
        text.replace("endpoint = \"https://s3.lab:9\"\nregion = \"lab\"\nca = \"lab-ca.pem\"\n", "")
    });
    workspace.must(&["resume", "--rebase", "--yes"]);
    let status = workspace.must(&["status", "--offline"]);
    assert!(status.stdout.contains("holds every record"), "{status}");
    let elsewhere = lab.elsewhere(workspace.path());
    let resume = from_mirror(&lab);
    elsewhere.must(&words(&resume));
    // Where the former machine cannot ask the bucket, for want of its secret, it says so, and the hosts refuse it.
    let without = "access_key = { env = \"HACTL_TEST_NONE\" }\nsecret_key = { env = \"HACTL_TEST_NONE\" }\n";
    workspace.edit("hactl.toml", |text| format!("{text}{without}"));
    let ran = workspace.hactl(&["resume", "--rebase", "--yes"]);
    refused(&ran, "attempt::old_epoch");
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("the run goes on without it"), "{ran}");
    // Nothing was left to do there, so no command was sent; the hosts know all the same whom to refuse.
    workspace.edit("hactl.toml", |text| text.split("\n[state]").next().unwrap().to_owned());
    refused(&workspace.hactl(&["resume", "--rebase", "--yes"]), "attempt::old_epoch");
    assert_eq!(elsewhere.journal().records().iter().filter(|r| *r == "intended first node-1").count(), 1);
}
