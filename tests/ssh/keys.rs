//! Whose host key is accepted, whose login, and what is said otherwise.

use hactl::diagnostic::codes;
use hactl::transport::ssh::host_key::{self, Pinned};
use hactl::transport::ssh::{Ssh, Timing};
use hactl::workspace::Host;

use crate::sshd::{self, Sshd, hold, host, until};
use crate::{Test, attempt, not_started, one, sh};

pub(crate) const TESTS: &[Test] = tests![
    an_unknown_key_is_refused,
    a_changed_key_is_refused,
    a_refused_login_is_told_apart,
    nobody_there_is_told_apart,
    a_key_is_fetched_without_logging_in,
    a_jump_host_is_strict_too,
    keys_swapped_between_two_hosts_are_refused,
    a_changed_key_behind_a_jump_host_is_refused,
    every_command_refuses_another_key,
    the_users_agent_stays_unused,
];

async fn an_unknown_key_is_refused() {
    let sshd = Sshd::start();
    let host = sshd.host("node-1");
    let ssh = sshd.ssh(vec![host.clone()]);
    let error = not_started(ssh.perform(&host, &attempt(1), 1, &sh("true")).await);
    assert_eq!(error.code(), codes::SSH_KEY_UNKNOWN, "{error:?}");
    assert!(error.next_moves().iter().any(|n| n.contains("hactl host trust node-1")));
    assert!(!sshd.known_hosts().exists());
    assert!(!sshd.log().contains("Accepted"));
}

async fn a_changed_key_is_refused() {
    let (mut sshd, ssh, host) = one();
    assert!(ssh.perform(&host, &attempt(1), 1, &sh("true")).await.unwrap().succeeded());
    let old = host_key::pinned(&sshd.known_hosts(), &host.name).unwrap();
    sshd.stop();
    for name in ["host_key", "host_key.pub"] {
        std::fs::remove_file(sshd.dir.path().join(name)).unwrap();
    }
    sshd::keygen(&sshd.dir.path().join("host_key"));
    sshd.restart();
    let error = not_started(ssh.perform(&host, &attempt(2), 1, &sh("true")).await);
    assert_eq!(error.code(), codes::SSH_KEY_CHANGED, "{error:?}");
    // And trusting it says both fingerprints, and changes nothing.
    let new = ssh.fetch_host_key(&host).await.unwrap();
    let error = host_key::pin(ssh.known_hosts(), &host.name, &new).unwrap_err();
    assert!(error.one_line().contains(&new.fingerprint()));
    assert!(error.one_line().contains(&old[0].fingerprint()));
    assert_eq!(host_key::pinned(&sshd.known_hosts(), &host.name).unwrap(), old);
}

async fn a_refused_login_is_told_apart() {
    let (sshd, ssh, host) = one();
    std::fs::write(sshd.dir.path().join("authorized_keys"), "").unwrap();
    let error = not_started(ssh.perform(&host, &attempt(1), 1, &sh("true")).await);
    assert_eq!(error.code(), codes::SSH_LOGIN, "{error:?}");
}

async fn nobody_there_is_told_apart() {
    let (mut sshd, ssh, host) = one();
    sshd.stop();
    let error = not_started(ssh.perform(&host, &attempt(1), 1, &sh("true")).await);
    assert_eq!(error.code(), codes::SSH_UNREACHABLE, "{error:?}");
    assert!(error.to_string().contains("node-1"));
}

async fn a_key_is_fetched_without_logging_in() {
    let sshd = Sshd::start();
    let host = sshd.host("node-1");
    let ssh = sshd.ssh(vec![host.clone()]);
    let key = ssh.fetch_host_key(&host).await.unwrap();
    assert_eq!(key.to_string(), sshd.public_key());
    assert!(!sshd.log().contains("Accepted"), "{}", sshd.log());
    assert!(!sshd.known_hosts().exists());
    assert_eq!(host_key::pin(ssh.known_hosts(), &host.name, &key).unwrap(), Pinned::New);
    assert!(ssh.perform(&host, &attempt(1), 1, &sh("true")).await.unwrap().succeeded());
}

async fn a_jump_host_is_strict_too() {
    let sshd = Sshd::start();
    let jump = sshd.host("bastion");
    let host = Host { jump: Some(jump.name.clone()), ..sshd.host("node-1") };
    let ssh = sshd.ssh(vec![jump.clone(), host.clone()]);
    sshd.pin("node-1");
    let error = not_started(ssh.perform(&host, &attempt(1), 1, &sh("true")).await);
    assert_eq!(error.code(), codes::SSH_KEY_UNKNOWN, "{error:?}");
    assert!(error.to_string().starts_with("bastion: "), "{error}");
    let error = ssh.fetch_host_key(&host).await.unwrap_err();
    assert!(error.to_string().starts_with("bastion: "), "{error}");
    sshd.pin("bastion");
    assert_eq!(ssh.fetch_host_key(&host).await.unwrap().to_string(), sshd.public_key());
    let finished = ssh.perform(&host, &attempt(1), 1, &sh("echo through")).await.unwrap();
    assert_eq!(finished.text(), "through");
    std::fs::write(sshd.known_hosts(), format!("bastion {}\n", sshd.public_key())).unwrap();
    ssh.close().await;
    let error = not_started(ssh.perform(&host, &attempt(2), 1, &sh("true")).await);
    assert_eq!(
        (error.code(), error.to_string().starts_with("node-1: ")),
        (codes::SSH_KEY_UNKNOWN, true),
        "{error:?}"
    );
}

/// Two hosts, each with the key that is pinned for the other, as after a mix-up of addresses.
fn swapped() -> (Sshd, Sshd, String) {
    let (one, two) = (Sshd::start(), Sshd::start());
    let pins = format!("node-1 {}\nnode-2 {}\n", two.public_key(), one.public_key());
    std::fs::write(one.known_hosts(), &pins).unwrap();
    (one, two, pins)
}

/// Nobody logged in, and nothing was run.
fn assert_nothing_was_sent(what: &str, sshd: &Sshd) {
    let log = sshd.log();
    assert!(!log.contains("Accepted") && !log.contains("Starting session"), "{what}: {log}");
    assert_eq!(std::fs::read_dir(sshd.root()).unwrap().count(), 0, "{what}");
}

async fn keys_swapped_between_two_hosts_are_refused() {
    let (one, two, _) = swapped();
    let hosts = vec![one.host("node-1"), two.host("node-2")];
    let ssh = one.ssh(hosts.clone());
    for host in &hosts {
        let error = not_started(ssh.perform(host, &attempt(1), 1, &sh("true")).await);
        assert_eq!(error.code(), codes::SSH_KEY_CHANGED, "{error:?}");
        assert!(error.to_string().starts_with(host.name.as_str()), "{error}");
        assert_eq!(ssh.settle(host, &attempt(1)).await.unwrap_err().code(), codes::SSH_KEY_CHANGED);
    }
    assert_nothing_was_sent("node-1", &one);
    assert_nothing_was_sent("node-2", &two);
}

async fn a_changed_key_behind_a_jump_host_is_refused() {
    let (jump, behind) = (Sshd::start(), Sshd::start());
    let bastion = jump.host("bastion");
    let host = Host { jump: Some(bastion.name.clone()), ..behind.host("node-1") };
    let ssh = jump.ssh(vec![bastion.clone(), host.clone()]);
    let pins = |bastion: &Sshd, node: &Sshd| {
        let text = format!("bastion {}\nnode-1 {}\n", bastion.public_key(), node.public_key());
        std::fs::write(jump.known_hosts(), text).unwrap();
    };
    // Behind the jump host somebody else answers: the jump host itself.
    pins(&jump, &jump);
    let error = not_started(ssh.perform(&host, &attempt(1), 1, &sh("true")).await);
    assert_eq!((error.code(), error.host_name()), (codes::SSH_KEY_CHANGED, Some("node-1")), "{error:?}");
    assert_nothing_was_sent("behind", &behind);
    // The jump host is another one: it is not even logged in to.
    let before = jump.log().matches("Accepted").count();
    pins(&behind, &behind);
    let error = not_started(ssh.perform(&host, &attempt(2), 1, &sh("true")).await);
    assert_eq!((error.code(), error.host_name()), (codes::SSH_KEY_CHANGED, Some("bastion")), "{error:?}");
    assert_eq!(jump.log().matches("Accepted").count(), before);
    assert_nothing_was_sent("behind", &behind);
    // With the right keys it goes through.
    pins(&jump, &behind);
    assert!(ssh.perform(&host, &attempt(3), 1, &sh("true")).await.unwrap().succeeded());
}

async fn every_command_refuses_another_key() {
    let (one, two, pins) = swapped();
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    std::fs::write(at("small.toml"), crate::hostile::RUNBOOK).unwrap();
    let identity = one.dir.path().join("id");
    // Either would let us in: it is the key of the host alone that keeps us out.
    std::fs::copy(one.dir.path().join("id.pub"), two.dir.path().join("authorized_keys")).unwrap();
    let mut toml = format!(
        "runbook = \"./small.toml\"\nfleet = \"cell0\"\n[ssh]\nuser = \"root\"\nidentity = {identity:?}\n"
    );
    for (name, port) in [("node-1", one.port), ("node-2", two.port)] {
        toml.push_str(&format!(
            "[[host]]\nname = \"{name}\"\naddress = \"127.0.0.1\"\nport = {port}\nroles = [\"web\"]\n"
        ));
    }
    std::fs::write(at("hactl.toml"), toml).unwrap();
    std::fs::create_dir(at(".hactl")).unwrap();
    std::fs::write(at(".hactl/known_hosts"), &pins).unwrap();
    let refused = "is not the pinned one";
    for (words, says) in [
        ("doctor", refused),
        ("plan --dry-run", refused),
        ("plan", refused),
        ("phase run 0", refused),
        ("resume", refused),
        ("approve touch", ""),
        ("phase verify 0", ""),
        ("phase rollback 0", ""),
        ("status", ""),
        ("proof list", ""),
        ("host trust node-1", "is pinned"),
        ("host trust node-1 --fingerprint SHA256:AAAA", "is pinned"),
    ] {
        let mut hactl = std::process::Command::new(env!("CARGO_BIN_EXE_hactl"));
        hactl.args(words.split(' ')).current_dir(place.path()).env("HOME", place.path());
        let output = hactl.stdin(std::process::Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(says), "{words}: {said}");
        assert!(says.is_empty() || !output.status.success(), "{words}: {said}");
        assert_nothing_was_sent(words, &one);
        assert_nothing_was_sent(words, &two);
        assert_eq!(std::fs::read_to_string(at(".hactl/known_hosts")).unwrap(), pins, "{words}");
    }
    // And with the right keys, the same workspace is reached.
    let pins = format!("node-1 {}\nnode-2 {}\n", one.public_key(), two.public_key());
    std::fs::write(at(".hactl/known_hosts"), pins).unwrap();
    let mut hactl = std::process::Command::new(env!("CARGO_BIN_EXE_hactl"));
    hactl.arg("doctor").current_dir(place.path()).env("HOME", place.path()).output().unwrap();
    assert!(one.log().contains("Accepted") && two.log().contains("Accepted"));
}

async fn the_users_agent_stays_unused() {
    // An agent that holds the right key, and a host that accepts it: with a wrong identity file the login must fail.
    let (sshd, _ssh, host) = one();
    let wrong = sshd.dir.path().join("wrong");
    sshd::keygen(&wrong);
    let socket = sshd.dir.path().join("agent");
    let mut agent = std::process::Command::new("ssh-agent")
        .args(["-D", "-a"])
        .arg(&socket)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until("the agent listens", || socket.exists()).await;
    let added = std::process::Command::new("ssh-add")
        .arg(sshd.dir.path().join("id"))
        .env("SSH_AUTH_SOCK", &socket)
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(added.success());
    // With that agent in the environment plain ssh logs in, and hactl does not.
    let option = |name: &str, path: &std::path::Path| format!("-o{name}={}", path.display());
    let plain = std::process::Command::new("ssh")
        .args(["-F", "/dev/null", "-p", &sshd.port.to_string(), "-oHostKeyAlias=node-1", "-i"])
        .arg(&wrong)
        .args([&option("UserKnownHostsFile", &sshd.known_hosts()), "root@127.0.0.1", "true"])
        .env("SSH_AUTH_SOCK", &socket)
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    let ours = std::process::Command::new(std::env::current_exe().unwrap())
        .env("SSH_AUTH_SOCK", &socket)
        .env(INNER_LOGIN, format!("{} {}", sshd.port, sshd.dir.path().display()))
        .output()
        .unwrap();
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert!(plain.success());
    assert_eq!(String::from_utf8_lossy(&ours.stdout), codes::SSH_LOGIN.name());
    assert_eq!(host.user.as_str(), "root");
}

/// Set in the process that [`the_users_agent_stays_unused`] starts: the port and the folder of its sshd.
pub(crate) const INNER_LOGIN: &str = "HACTL_TEST_INNER_LOGIN";

/// Tries a login with the wrong key and prints what became of it.
pub(crate) async fn inner_login(where_to: String) {
    let (port, dir) = where_to.split_once(' ').unwrap();
    let dir = std::path::Path::new(dir);
    let host = Host { identity: Some(dir.join("wrong")), ..host("node-1", port.parse().unwrap(), dir) };
    let root = dir.join("root").display().to_string();
    let ssh = Ssh::with(vec![host.clone()], dir.join("known_hosts"), root, Timing::default());
    ssh.stand_on(hold(dir));
    match ssh.perform(&host, &attempt(1), 1, &sh("true")).await {
        Ok(_) => print!("logged in"),
        Err(failure) => print!("{}", failure.error().code()),
    }
}
