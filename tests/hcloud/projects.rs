//! Which project a token opens, and which object is meant: told by what the journal knows, never by a name alone.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::LazyLock;

use hactl::diagnostic::codes;
use hactl::journal::StateDir;
use hactl::journal::fake::{FakeDisk, Fault as DiskFault};
use hactl::journal::record::Place;
use hactl::lab::cloud::backend::ObjectsOnly;
use hactl::lab::cloud::{Cloud, CloudSettings, Fault, FaultKind};
use hactl::name::StepId;
use hactl::transport::hcloud::{Firewall, Network, SshKey};
use serde_json::json;

use crate::bench::{Bench, HEAD, Job, KEY, KEY_AND_NET, told, wall};

static RUNBOOK: LazyLock<String> = LazyLock::new(|| {
    let rules = r#"{ direction = "in", protocol = "tcp", port = "80-80", addresses = ["0.0.0.0/0"] }"#;
    HEAD.to_owned() + KEY_AND_NET + &wall(rules)
});

const ALL: [&str; 3] = ["SSH key ops@desk", "firewall cell0-wall", "network cell0-net"];

/// A project that is kept in a file: another token of it is another cloud on the same file.
fn project(file: &std::path::Path, token: &str) -> Cloud {
    let settings = CloudSettings::local(ObjectsOnly::default());
    let (file, token) = (Some(file.to_owned()), token.to_owned());
    Cloud::start(CloudSettings { file, token, ..settings }).unwrap()
}

/// Swaps the cloud behind the workspace for one where nothing is, as another token would; gives the former one back.
fn another_project(bench: &mut Bench) -> Cloud {
    let settings = CloudSettings::local(ObjectsOnly::default());
    let token = "token-of-another-project".to_owned();
    swap(bench, Cloud::start(CloudSettings { token, ..settings }).unwrap())
}

fn swap(bench: &mut Bench, cloud: Cloud) -> Cloud {
    let former = std::mem::replace(&mut bench.cloud, cloud);
    let token = bench.folder.path().join("token");
    std::fs::write(&token, bench.cloud.token()).unwrap();
    std::fs::set_permissions(token, std::fs::Permissions::from_mode(0o600)).unwrap();
    bench.write(&RUNBOOK);
    former
}

fn refused(bench: &Bench, disk: &FakeDisk, job: Job, story: &str) -> String {
    bench.cloud.forget_requests();
    let error = bench.process(disk, job).unwrap_err();
    // A step in doubt stays in doubt for it, and a rollback fails for it.
    let known = [codes::HCLOUD_OTHER_PROJECT, codes::IN_DOUBT, codes::ROLLBACK_FAILED];
    assert!(known.contains(&error.code()), "{story}: {}", told(&error));
    let text = told(&error);
    assert!(text.contains("the cloud token is not the one that this run began with"), "{story}: {text}");
    assert_eq!(bench.changes(), [""; 0], "{story}");
    text
}

#[test]
fn a_token_of_another_project_is_refused_and_one_of_the_same_is_not() {
    let mut bench = Bench::new(&RUNBOOK);
    let disk = FakeDisk::default();
    let file = bench.folder.path().join("project.json");
    swap(&mut bench, project(&file, "first-token"));
    bench.process(&disk, Job::Run).unwrap();
    drop(another_project(&mut bench));
    let text = refused(&bench, &disk, Job::Run, "run");
    assert!(text.contains("none of SSH key"), "{text}");

    // Back to the project, by another token of it: what was made there says so.
    swap(&mut bench, project(&file, "rotated-token"));
    bench.process(&disk, Job::Run).unwrap();
    assert_eq!(bench.names(), ALL);
    drop(another_project(&mut bench));
    refused(&bench, &disk, Job::RollBack, "rollback");
    assert_eq!(bench.names(), [""; 0]);
    swap(&mut bench, project(&file, "rotated-again"));
    bench.carry_through(&disk, Job::RollBack, "rotated");
    assert_eq!(bench.names(), [""; 0]);
}

/// Killed at any point, and gone on with against another project: never a second set, never "rolled back" in the wrong one.
#[test]
fn killed_anywhere_another_project_is_refused_once_something_may_have_been_made() {
    for call in 0..400 {
        let mut bench = Bench::new(&RUNBOOK);
        let disk = FakeDisk::default();
        disk.fail_at(call, DiskFault::Killed(call % 7));
        let ended = bench.process(&disk, Job::Run);
        let finished = ended.is_ok() && !disk.is_dead();
        let disk = FakeDisk::holding(disk.live());
        let story = format!("killed in disk call {call}");
        let made = bench.names();
        let ours = another_project(&mut bench);
        if !made.is_empty() {
            refused(&bench, &disk, if call % 2 == 0 { Job::Run } else { Job::RollBack }, &story);
        }
        swap(&mut bench, ours);
        bench.carry_through(&disk, Job::RollBack, &story);
        assert_eq!(bench.names(), [""; 0], "{story}");
        if finished {
            assert!(call > 30, "only {call} places to be killed in");
            return;
        }
    }
    panic!("it never ends");
}

/// Somebody renames what we made, and gives our name to a thing of theirs.
#[test]
fn undoing_goes_by_number_not_by_name() {
    let bench = Bench::new(&RUNBOOK);
    let disk = FakeDisk::default();
    bench.process(&disk, Job::Run).unwrap();
    bench.rename::<Network>("cell0-net", "renamed");
    let body = json!({ "name": "cell0-net", "ip_range": "10.9.0.0/16" });
    bench.foreign::<Network>("cell0-net", body);
    // Ours is gone under its new name; theirs stays, and is named.
    let error = bench.process(&disk, Job::RollBack).unwrap_err();
    assert!(told(&error).contains("was not made by hactl"), "{}", told(&error));
    assert_eq!(bench.names(), ["SSH key ops@desk", "network cell0-net"]);
    bench.rename::<Network>("cell0-net", "theirs");
    bench.carry_through(&disk, Job::RollBack, "renamed");
    assert_eq!(bench.names(), ["network theirs"]);
}

#[test]
fn what_is_restored_is_the_object_that_was_changed() {
    let adopting = RUNBOOK.replace("rules =", "adopt = true\nrules =");
    let bench = Bench::new(&adopting);
    let disk = FakeDisk::default();
    let rule = |port: &str| json!([{ "direction": "in", "protocol": "tcp", "port": port, "source_ips": ["0.0.0.0/0"], "destination_ips": [] }]);
    let body = json!({ "name": "cell0-wall", "rules": rule("443") });
    let theirs: Firewall = bench.foreign("cell0-wall", body);
    bench.process(&disk, Job::Run).unwrap();
    bench.rename::<Firewall>("cell0-wall", "renamed");
    let other: Firewall = bench.foreign("cell0-wall", json!({ "name": "cell0-wall", "rules": rule("25") }));
    let _ = bench.process(&disk, Job::RollBack);
    let rules = |wall: &Firewall| {
        let now = bench.runtime.block_on(bench.client().get::<Firewall>(wall.head.id)).unwrap().unwrap();
        now.rules
    };
    assert_eq!(rules(&theirs), theirs.rules);
    assert_eq!(rules(&other), other.rules);
}

#[test]
fn a_key_that_the_project_has_under_another_name_is_said_before_anything_is_done() {
    let bench = Bench::new(&RUNBOOK);
    let disk = FakeDisk::default();
    let theirs: SshKey = bench.foreign("ada", json!({ "name": "ada", "public_key": KEY }));
    bench.cloud.forget_requests();
    let error = bench.process(&disk, Job::Run).unwrap_err();
    let wanted = format!("under the name ada (number {})", theirs.head.id);
    assert!(error.code() == codes::REQUIREMENT_NOT_MET && told(&error).contains(&wanted), "{}", told(&error));
    assert_eq!(bench.changes(), [""; 0]);
    bench.write(&RUNBOOK.replace("\"ops@desk\"", "\"ada\"\nadopt = true"));
    bench.process(&disk, Job::Run).unwrap();
}

/// A list that is behind shows an adopted object as it was: what it is now decides.
#[test]
fn an_adopted_object_is_judged_by_what_it_is_now() {
    let adopting = RUNBOOK.replace("ip_range =", "adopt = true\nip_range =");
    let bench = Bench::new(&adopting);
    let disk = FakeDisk::default();
    let body = json!({ "name": "cell0-net", "ip_range": "10.0.0.0/16" });
    let theirs: Network = bench.foreign("cell0-net", body);
    // The lists lag by a second: only the object itself shows the subnet.
    let stale = Fault::next("GET", "/networks$", FaultKind::Stale { milliseconds: 1000 });
    bench.cloud.fault(stale.times(100_000));
    let subnet = json!({ "type": "cloud", "ip_range": "10.0.1.0/24", "network_zone": "eu-central" });
    let client = bench.client();
    let adding = async {
        while client.find::<Network>("cell0-net").await.unwrap().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let actions = client.act(&theirs, "add_subnet", subnet).await.unwrap();
        client.wait(actions, |_: &str| {}).await.unwrap();
    };
    bench.runtime.block_on(adding);
    bench.cloud.forget_requests();
    bench.carry_through(&disk, Job::Run, "a list that is behind");
    let subnets: Vec<_> = bench.changes().into_iter().filter(|r| r.contains("/networks")).collect();
    assert_eq!(subnets, [""; 0], "the subnet was there");
}

/// An approval binds the change, and the change says by which token it would be made: an approval that was given for one
/// project does not hold in another, also before anything is there by which the two could be told apart.
#[test]
fn a_change_says_by_which_token_it_would_be_made() {
    let bench = Bench::new(&RUNBOOK);
    let place = Place { step: StepId::new("net").unwrap(), host: None };
    let said = |token: &str| {
        std::fs::write(bench.folder.path().join("token"), token).unwrap();
        let dir = StateDir::of(bench.folder.path());
        dir.create().unwrap();
        let fleet = bench.fleet(dir);
        bench.runtime.block_on(async {
            let said = fleet.world().view(&place).hcloud().await.unwrap().endpoint();
            assert!(!said.contains(token), "{said}");
            said
        })
    };
    let first = said("one-token-of-a-project");
    assert_eq!(said("one-token-of-a-project"), first);
    let another = said("another-token-of-a-project");
    assert_ne!(another, first);
    assert!(first.starts_with(bench.cloud.endpoint()) && another.starts_with(bench.cloud.endpoint()));
}
