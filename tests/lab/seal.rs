//! The seal: a rehearsal cannot reach production, and what it writes belongs to the operator.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output, Stdio};

use crate::Test;
use crate::common::lab::{Lab, Scene};
use crate::machines::folder;

pub(crate) const TESTS: &[Test] = &[
    ("seal::leaves_no_route_out", leaves_no_route_out),
    ("seal::hides_everything_of_production", hides_everything_of_production),
    ("seal::is_checked", is_checked),
    ("seal::keeps_the_workspace_and_nothing_beside_it", keeps_the_workspace_and_nothing_beside_it),
    ("seal::refuses_a_workspace_as_wide_as_a_home", refuses_a_workspace_as_wide_as_a_home),
    ("seal::gives_the_workspace_back", gives_the_workspace_back),
];

/// `hactl lab … -- …` with this process's own environment.
fn command(lab: &Lab, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hactl"));
    command.args(["lab", "--name", lab.name()]).args(args).env_remove("HACTL_SEALED").stdin(Stdio::null());
    command
}

fn sealed(lab: &Lab, line: &str) -> String {
    stdout(command(lab, &["enter", "--", "sh", "-c", line]).output().unwrap())
}

fn stdout(output: Output) -> String {
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn leaves_no_route_out() {
    let lab = Lab::up("route", Scene::Nodes(1));
    // Addresses that are set aside for documentation, and nothing is sent: only the way there is asked for.
    let route = "ip route get 192.0.2.1 2>&1; ip -6 route get 2001:db8::1 2>&1; true";
    for said in [lab.read("node-1", route), sealed(&lab, route)] {
        assert_eq!(said.matches("unreachable").count(), 2, "{said}");
    }
    let here = stdout(Command::new("ip").args(["-brief", "link"]).output().unwrap());
    assert!(
        !here.contains("br0") && !here.contains("p11"),
        "no part of the lab is in this computer's network: {here}"
    );
    assert_eq!(sealed(&lab, "getent hosts s3.lab node-1 | tr -s ' ' | cut -d' ' -f2"), "s3.lab\nnode-1\n");
}

/// Production here is a second lab: a live ControlMaster to it, an agent that holds its key, a daemon's socket and a
/// token lie around where a careless program would find them. Each is first seen to work from outside.
fn hides_everything_of_production() {
    let production = Lab::up("prod", Scene::Nodes(1));
    let lab = Lab::up("sealed", Scene::Nodes(1));
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let (master, agent, daemon) =
        (at("cm"), at("agent"), format!("/run/hactl-test-{}.sock", std::process::id()));
    let ssh = ["-F", &format!("{}/ssh_config", folder(&production)), "-o", &format!("ControlPath={master}")]
        .map(str::to_owned);
    let mut open = Command::new("nsenter");
    open.arg(format!("--net=/run/netns/hactl-{}", production.name())).arg("ssh").args(&ssh);
    open.args(["-o", "ControlMaster=yes", "-N", "-f", "node-1"]).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(open.status().unwrap().success());
    let said = stdout(Command::new("ssh-agent").args(["-a", &agent]).output().unwrap());
    let agent_pid = said.split("SSH_AGENT_PID=").nth(1).unwrap().split(';').next().unwrap().to_owned();
    let mut add = Command::new("ssh-add");
    add.arg(format!("{}/keys/id_ed25519", folder(&production))).env("SSH_AUTH_SOCK", &agent);
    stdout(add.output().unwrap());
    let _listening = UnixListener::bind(&daemon).unwrap();

    let probe = format!(
        "ssh -F /dev/null -o BatchMode=yes -o ControlPath={master} ops@node-1 hostname >/dev/null 2>&1 && echo master; \
         SSH_AUTH_SOCK=${{SSH_AUTH_SOCK:-{agent}}} ssh-add -l >/dev/null 2>&1 && echo agent; \
         test -S {daemon} && echo daemon; test -n \"$HCLOUD_TOKEN\" && echo token; \
         test -n \"$SSH_AUTH_SOCK\" && echo variable; echo end"
    );
    let offer = |command: &mut Command| {
        stdout(command.env("SSH_AUTH_SOCK", &agent).env("HCLOUD_TOKEN", "production").output().unwrap())
    };
    let control = offer(Command::new("sh").args(["-c", &probe]));
    let inside = offer(&mut command(&lab, &["enter", "--", "sh", "-c", &probe]));
    let _ = Command::new("ssh").args(&ssh).args(["-O", "exit", "node-1"]).output();
    let _ = Command::new("kill").arg(agent_pid).output();
    fs::remove_file(daemon).unwrap();
    assert_eq!(control, "master\nagent\ndaemon\ntoken\nvariable\nend\n", "all of it must work from outside");
    assert_eq!(inside, "end\n");
}

fn is_checked() {
    let lab = Lab::up("seal", Scene::Nodes(1));
    let refused = |output: Output| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("lab::seal"), "{said}");
    };
    // It is said to be sealed, and is not in the lab's network.
    refused(
        command(&lab, &["enter", "--", "true"])
            .env("HACTL_SEALED", format!("{} 1", lab.name()))
            .output()
            .unwrap(),
    );
    // It is in the lab's network, with this computer's own mounts.
    let mounts = fs::metadata("/proc/self/ns/mnt").unwrap().ino();
    let mut half = Command::new("nsenter");
    half.arg(format!("--net=/run/netns/hactl-{}", lab.name())).arg(env!("CARGO_BIN_EXE_hactl"));
    half.args(["lab", "--name", lab.name(), "enter", "--", "true"]);
    refused(half.env("HACTL_SEALED", format!("{} {mounts}", lab.name())).output().unwrap());
}

/// The whole folder of a workspace stays visible, so a home, or a folder full of sockets, must not be one.
fn refuses_a_workspace_as_wide_as_a_home() {
    let lab = Lab::up("wide", Scene::Nodes(1));
    let place = tempfile::tempdir().unwrap();
    let home = place.path().join("home");
    let inside = home.join("rehearsal");
    fs::create_dir_all(&inside).unwrap();
    fs::write(home.join(".netrc"), "of production").unwrap();
    let enter = |folder: &std::path::Path| {
        let mut command =
            command(&lab, &["--workspace", ".", "enter", "--", "sh", "-c", "cat ../.netrc .netrc; true"]);
        command.current_dir(folder).env("HOME", &home).output().unwrap()
    };
    for wide in [home.as_path(), place.path(), std::path::Path::new("/tmp"), std::path::Path::new("/root")] {
        let output = enter(wide);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("lab::seal"), "{}: {said}", wide.display());
        assert!(!String::from_utf8_lossy(&output.stdout).contains("production"), "{}", wide.display());
        assert!(said.contains("a folder of its own"), "{said}");
    }
    assert_eq!(stdout(enter(&inside)), "");
}

fn keeps_the_workspace_and_nothing_beside_it() {
    let lab = Lab::up("visible", Scene::Nodes(1));
    let place = tempfile::tempdir().unwrap();
    let workspace = place.path().join("workspace");
    fs::create_dir(&workspace).unwrap();
    fs::write(workspace.join("seen"), "").unwrap();
    fs::write(place.path().join("unseen"), "").unwrap();
    let mut look =
        command(&lab, &["--workspace", ".", "enter", "--", "sh", "-c", "ls; ls ..; echo new > written"]);
    assert_eq!(stdout(look.current_dir(&workspace).output().unwrap()), "seen\nworkspace\n");
    assert_eq!(fs::read_to_string(workspace.join("written")).unwrap(), "new\n");
}

fn gives_the_workspace_back() {
    let lab = Lab::up("owner", Scene::Nodes(1));
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("ws");
    let dir_text = dir.to_str().unwrap();
    let mut up = command(&lab, &["up", "--workspace", dir_text]);
    stdout(up.env("SUDO_UID", "12345").env("SUDO_GID", "12346").output().unwrap());
    for name in ["", "hactl.toml", "secrets", "secrets/id_ed25519", ".hactl", ".hactl/known_hosts"] {
        let there = fs::metadata(dir.join(name)).unwrap();
        assert_eq!((there.uid(), there.gid()), (12345, 12346), "{name}");
        if name.contains('/') {
            assert_eq!(there.mode() & 0o777, 0o600, "{name}");
        }
    }
    let identity = fs::read(dir.join("secrets/age-identity")).unwrap();
    stdout(command(&lab, &["up", "--workspace", dir_text]).output().unwrap());
    assert_eq!(
        identity,
        fs::read(dir.join("secrets/age-identity")).unwrap(),
        "what it encrypted stays readable"
    );
    let other = Lab::up("other", Scene::Nodes(1));
    assert_eq!(
        other.lab(&["up", "--workspace", dir_text]).status,
        2,
        "another lab's workspace is not overwritten"
    );
}
