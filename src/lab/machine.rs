//! One machine: an overlay over the image, and systemd-nspawn that boots it.
//!
//! Invariant: the overlay is mounted in a mount namespace that only the machine's own processes are in, so when they
//! are gone the mount is gone, however they ended. A machine is found by its network namespace and its control
//! group, never by a remembered process id.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::exec::{Tool, io, wait_until};
use super::state::{MachineKind, MachineState, State};
use super::{cgroup, cloud, network, store};
use crate::diagnostic::{Error, Result, codes};

/// The operator on every machine: may use sudo, is not root, as in production.
const OPERATOR_UID: u32 = 1000;
/// How long a machine that was started may be without any process.
const STARTING: Duration = Duration::from_secs(5);
/// How long a killed machine's processes may take to be gone.
const DEATH: Duration = Duration::from_secs(10);

/// Its own folder below the lab's.
pub(crate) fn folder(machine: &MachineState) -> PathBuf {
    Path::new("machines").join(machine.name.as_str())
}

/// Makes a key pair without a passphrase.
pub(crate) fn make_key(path: &Path, comment: &str) -> Result<()> {
    Tool::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
        .arg(path)
        .run()
        .map(drop)
}

/// Fills the machine's own layer: host name, names of the others, keys.
pub(crate) fn prepare(dir: &Path, state: &State, machine: &MachineState) -> Result<()> {
    let own = dir.join(folder(machine));
    let make = |part: &str| {
        let path = own.join(part);
        fs::create_dir_all(&path).map_err(io("make", &path))
    };
    ["upper", "work", "root"].into_iter().try_for_each(make)?;
    match machine.kind {
        MachineKind::Debian => {}
        MachineKind::ObjectStore => return Ok(()),
    }
    ["upper/etc/ssh", "upper/home/ops/.ssh"].into_iter().try_for_each(make)?;
    let upper = own.join("upper");
    let put = |at: &str, text: &str, mode: u32| -> Result<()> {
        let path = upper.join(at);
        fs::write(&path, text).map_err(io("write", &path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(io("protect", &path))
    };
    let read = |name: String| {
        let path = dir.join("keys").join(name);
        fs::read_to_string(&path).map_err(io("read", &path))
    };
    put("etc/hostname", &format!("{}\n", machine.name), 0o644)?;
    put("etc/hosts", &hosts(state), 0o644)?;
    put("etc/ssh/ssh_host_ed25519_key", &read(format!("{}.host", machine.name))?, 0o600)?;
    put("etc/ssh/ssh_host_ed25519_key.pub", &read(format!("{}.host.pub", machine.name))?, 0o644)?;
    put("home/ops/.ssh/authorized_keys", &read("id_ed25519.pub".to_owned())?, 0o600)?;
    for path in ["home/ops", "home/ops/.ssh", "home/ops/.ssh/authorized_keys"].map(|p| upper.join(p)) {
        chown(&path, Some(OPERATOR_UID), Some(OPERATOR_UID)).map_err(io("give away", &path))?;
    }
    let ssh = upper.join("home/ops/.ssh");
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o700)).map_err(io("protect", &ssh))
}

/// Every name of the lab: without a name server, sudo and many daemons wait for one.
pub(crate) fn hosts(state: &State) -> String {
    let mut text = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n".to_owned();
    for machine in &state.machines {
        let names = match machine.kind {
            MachineKind::Debian => machine.name.to_string(),
            MachineKind::ObjectStore => format!("{} {}", store::NAME, store::BUCKET_NAME),
        };
        text.push_str(&format!("{} {names}\n", machine.address));
    }
    if state.scene.has_cloud() {
        text.push_str(&format!("{} {}\n", state.gateway(), cloud::NAME));
    }
    text
}

/// Boots a system, and boots it again for as long as it asks for that.
pub(crate) const START: &str = include_str!("recipe/start-machine.sh");

/// Starts the machine and returns at once.
pub(crate) fn start(dir: &Path, state: &State, machine: &MachineState) -> Result<()> {
    let console = dir.join(folder(machine)).join("console.log");
    let log = File::options().create(true).append(true).open(&console).map_err(io("open", &console))?;
    let errors = log.try_clone().map_err(io("open", &console))?;
    // Overlay wants the uppermost layer first. The paths are relative, so that they stay short and plain.
    let lower: Vec<String> = machine.layers.iter().rev().map(|l| l.display().to_string()).collect();
    let mut command = Command::new("setsid");
    command.args(["--fork", "unshare", "--mount", "--propagation", "private", "--", "sh", "-euc"]);
    let (script, own) = match machine.kind {
        // No addresses: its interface is made once, when it is made.
        MachineKind::Debian => (START, vec![format!("hactl-{}.{}", state.name, machine.name), String::new()]),
        MachineKind::ObjectStore => {
            (include_str!("recipe/start-store.sh"), vec![machine.address.to_string()])
        }
    };
    let namespace = network::path(&network::machine_namespace(&state.name, &machine.name));
    command.args([script, "hactl-lab"]).arg(lower.join(":")).arg(folder(machine)).arg(namespace).args(own);
    command.args(cgroup::prepare(&state.name, &machine.name));
    command.current_dir(dir).env_clear().env("PATH", super::exec::PATH);
    command.stdin(Stdio::null()).stdout(log).stderr(errors);
    let failed = |e: std::io::Error| {
        Error::new(codes::LAB_TOOL, "cannot start the machine").host(&machine.name).source(e)
    };
    let status = command.status().map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    Err(Error::new(codes::LAB_BOOT, "the machine could not be started")
        .host(&machine.name)
        .state("it has no power; the others are as they were")
        .source(tail(&console))
        .next(anew(state)))
}

/// Waits until the operator can log in and run a command.
pub(crate) fn wait_ready(dir: &Path, state: &State, machine: &MachineState, within: Duration) -> Result<()> {
    let port = match machine.kind {
        MachineKind::Debian => 22,
        MachineKind::ObjectStore => store::PORT,
    };
    let knock = || network::answers(&state.name, machine.address.into(), port, Duration::from_millis(200));
    // The port opens a moment before logins are allowed (pam_nologin), so a login is what counts, and with it that
    // everything which starts at boot has started. A unit that failed is no reason to wait for ever.
    let login = || {
        match machine.kind {
            MachineKind::Debian => {}
            MachineKind::ObjectStore => return true,
        }
        let namespace = network::path(&network::lab_namespace(&state.name));
        let ssh = Tool::new("nsenter").arg(format!("--net={}", namespace.display())).arg("ssh");
        let ssh = ssh.arg("-F").arg(dir.join("ssh_config")).arg(machine.name.as_str());
        let ssh = ssh.arg("systemctl is-system-running --wait >/dev/null; true");
        ssh.ended().is_ok_and(|e| e.status.success())
    };
    // A machine whose processes have ended does not answer any more, however long it is waited for.
    let mut alive = Instant::now();
    let mut ended = || {
        if !processes(state, machine).is_empty() {
            alive = Instant::now();
        }
        alive.elapsed() > STARTING
    };
    let mut answers = false;
    wait_until(within, || {
        answers = knock() && login();
        answers || ended()
    });
    if answers {
        return Ok(());
    }
    let what = if ended() {
        "the machine has ended instead of starting".to_owned()
    } else {
        format!("the machine does not answer after {} s", within.as_secs())
    };
    Err(Error::new(codes::LAB_BOOT, what)
        .host(&machine.name)
        .state("the others are as they were; the last lines of its console are above")
        .source(tail(&dir.join(folder(machine)).join("console.log")))
        .next(anew(state)))
}

/// What helps a machine that does not come up: a lab is cheap to make again.
fn anew(state: &State) -> String {
    format!("hactl lab down --name {0}, then up again; or: hactl lab restore SNAPSHOT --name {0}", state.name)
}

fn tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// The processes in the machine's network namespace now.
pub(crate) fn processes(state: &State, machine: &MachineState) -> Vec<Pid> {
    in_namespace(&network::machine_namespace(&state.name, &machine.name))
}

/// The processes that are in a named network namespace now, without zombies.
pub(crate) fn in_namespace(namespace: &str) -> Vec<Pid> {
    let Ok(wanted) = fs::metadata(network::path(namespace)) else { return Vec::new() };
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        fs::metadata(format!("/proc/{pid}/ns/net"))
            .is_ok_and(|there| there.ino() == wanted.ino() && there.dev() == wanted.dev())
    })
    .filter_map(Pid::from_raw)
    .collect()
}

/// The machine's own PID 1.
pub(crate) fn first_process(state: &State, machine: &MachineState) -> Option<Pid> {
    first_in(&network::machine_namespace(&state.name, &machine.name))
}

/// The PID 1 of the machine that is in a network namespace.
pub(crate) fn first_in(namespace: &str) -> Option<Pid> {
    in_namespace(namespace).into_iter().find(|pid| {
        let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
        let nested = status.lines().find_map(|l| l.strip_prefix("NSpid:"));
        nested.is_some_and(|l| {
            let ids: Vec<&str> = l.split_whitespace().collect();
            ids.len() > 1 && ids.last() == Some(&"1")
        })
    })
}

/// Shuts all machines down as their own systemd does it, and takes the power of those that take too long. The object
/// store is ended: it takes 25 s to end by itself, and keeps what it has acknowledged.
pub(crate) fn shut_down(state: &State, within: Duration) -> Result<()> {
    for machine in state.nodes() {
        if let Some(first) = first_process(state, machine) {
            // SIGRTMIN+4 asks systemd to power off. glibc's SIGRTMIN is 34.
            let line = format!("kill -38 {}", first.as_raw_nonzero());
            Tool::new("sh").args(["-c", &line]).ended()?;
        }
    }
    wait_until(within, || state.nodes().all(|m| processes(state, m).is_empty()));
    state.machines.iter().try_for_each(|machine| kill(state, machine))
}

/// Ends the machine at once, as a power cut does for its processes, and waits until they are gone.
pub(crate) fn kill(state: &State, machine: &MachineState) -> Result<()> {
    let first = match machine.kind {
        MachineKind::Debian => first_process(state, machine).into_iter().collect(),
        MachineKind::ObjectStore => processes(state, machine),
    };
    for pid in first {
        // It may have ended by itself in the meantime.
        let _ = kill_process(pid, Signal::KILL);
    }
    if wait_until(DEATH, || processes(state, machine).is_empty()) {
        return Ok(());
    }
    Err(Error::new(codes::LAB_TOOL, "the machine's processes do not end")
        .host(&machine.name)
        .state("it has no link any more, and something of it still runs")
        .next(format!("hactl lab down --name {}", state.name)))
}
