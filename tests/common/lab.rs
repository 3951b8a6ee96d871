//! A lab of real machines for one test, and hactl at work in a workspace of it.
//!
//! Invariant: a lab has a name of its own, made of this process's id, and is taken down when its value is dropped, also
//! when the test fails. What an earlier test process left behind, because it was killed, is taken down by the next.
#![allow(dead_code, reason = "not every test binary uses all of it")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::cli::Ran;

/// What no command of a test may exceed.
const LIMIT: Duration = Duration::from_secs(300);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);
/// The names of the labs of tests begin with this, and the process's id.
const PREFIX: &str = "t";

/// The machines that a lab begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scene {
    /// So many plain ones.
    Nodes(u8),
    /// The single server with its databases, and the prover.
    SingleServer,
}

/// A lab that is up.
pub(crate) struct Lab {
    name: String,
}

/// The short names in use: tests run beside each other, and two with one name would share a lab.
static NAMES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

impl Lab {
    pub(crate) fn up(short: &str, scene: Scene) -> Self {
        let new = NAMES.lock().unwrap_or_else(PoisonError::into_inner).insert(short.to_owned());
        assert!(new, "a test has a lab {short} already");
        let lab = Self { name: format!("{PREFIX}{}-{short}", std::process::id()) };
        let mut args = vec!["up".to_owned()];
        if let Scene::Nodes(count) = scene {
            args.extend(["--nodes".to_owned(), count.to_string()]);
        }
        let ran = lab.lab(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(ran.status, 0, "lab up: {ran}");
        lab
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// `hactl lab …` on this lab.
    pub(crate) fn lab(&self, args: &[&str]) -> Ran {
        lab_of(&self.name, args)
    }

    /// `hactl lab …` that has to succeed.
    pub(crate) fn must(&self, args: &[&str]) {
        let ran = self.lab(args);
        assert_eq!(ran.status, 0, "lab {args:?}: {ran}");
    }

    /// A shell script on a machine, as its operator; from the outside, by plain ssh.
    pub(crate) fn on(&self, node: &str, script: &str) -> Ran {
        self.lab(&["ssh", node, "--", script])
    }

    /// What a script on a machine prints; it has to succeed.
    pub(crate) fn read(&self, node: &str, script: &str) -> String {
        let ran = self.on(node, script);
        assert_eq!(ran.status, 0, "on {node}: {script}\n{ran}");
        ran.stdout.trim().to_owned()
    }

    /// A workspace of this lab with a runbook of its own.
    pub(crate) fn workspace_of(&self, file: &str, runbook: &str) -> Workspace<'_> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::write(dir.path().join(file), runbook).unwrap();
        self.must(&["up", "--workspace", dir.path().to_str().unwrap(), "--runbook", file]);
        Workspace { lab: self, dir }
    }

    /// A workspace of this lab whose runbook is this file of `tests/lab`, or the bundled one of this name.
    pub(crate) fn workspace(&self, runbook: &str) -> Workspace<'_> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab").join(runbook);
        if fixture.exists() {
            fs::copy(&fixture, dir.path().join(runbook)).unwrap();
        }
        self.must(&["up", "--workspace", dir.path().to_str().unwrap(), "--runbook", runbook]);
        Workspace { lab: self, dir }
    }
}

impl Lab {
    /// A folder of another machine: nothing in it but what somebody keeps apart from the workspace, the secrets and the
    /// certificate authority.
    pub(crate) fn elsewhere(&self, secrets_of: &Path) -> Workspace<'_> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for kept in ["secrets", "lab-ca.pem"] {
            let copied =
                Command::new("cp").arg("-a").arg(secrets_of.join(kept)).arg(dir.path()).status().unwrap();
            assert!(copied.success());
        }
        Workspace { lab: self, dir }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let ran = self.lab(&["down"]);
        // A panic while another one unwinds would abort and leave the other labs standing.
        if ran.status != 0 && !std::thread::panicking() {
            panic!("lab down: {ran}");
        }
    }
}

/// hactl outside any workspace.
pub(crate) fn hactl(args: &[&str]) -> Ran {
    Running::start(Path::new("/"), args).end()
}

/// `hactl lab …` on a lab that may be there or not.
pub(crate) fn lab_of(name: &str, args: &[&str]) -> Ran {
    let mut all = vec!["lab", "--name", name];
    all.extend(args);
    Running::start(Path::new("/"), &all).end()
}

/// Why labs cannot be made here; nothing where they can.
pub(crate) fn why_not() -> Option<String> {
    #[cfg(all(feature = "lab", target_os = "linux"))]
    {
        hactl::lab::require(hactl::lab::Need::Image).err().map(|error| error.one_line())
    }
    #[cfg(not(all(feature = "lab", target_os = "linux")))]
    {
        Some("a lab needs Linux and the feature `lab`".to_owned())
    }
}

/// Takes down what test processes that are gone have left behind.
#[cfg(all(feature = "lab", target_os = "linux"))]
pub(crate) fn take_down_orphans() {
    for name in hactl::lab::Lab::names() {
        let owner = name.as_str().strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
        let Some((pid, _)) = owner.filter(|(pid, _)| pid.parse::<u32>().is_ok()) else { continue };
        if !Path::new("/proc").join(pid).exists() {
            let ran = lab_of(name.as_str(), &["down"]);
            assert_eq!(ran.status, 0, "down of an orphaned lab: {ran}");
        }
    }
}

/// A workspace of a lab.
pub(crate) struct Workspace<'a> {
    pub(crate) lab: &'a Lab,
    dir: TempDir,
}

impl Workspace<'_> {
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Starts hactl here.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::start(self.path(), args)
    }

    /// Runs hactl here to its end.
    pub(crate) fn hactl(&self, args: &[&str]) -> Ran {
        self.start(args).end()
    }

    /// Runs hactl here; it has to succeed.
    pub(crate) fn must(&self, args: &[&str]) -> Ran {
        let ran = self.hactl(args);
        assert_eq!(ran.status, 0, "hactl {args:?}: {ran}");
        ran
    }

    pub(crate) fn journal(&self) -> Journal {
        Journal(self.path().join(".hactl/journal.jsonl"))
    }

    /// Changes a file of the workspace.
    /// Makes this a copy of another workspace as it is now.
    pub(crate) fn hold_copy_of(&self, other: &Self) {
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .arg(format!("{}/.", other.path().display()))
            .arg(self.path())
            .status()
            .unwrap();
        assert!(copied.success());
    }

    pub(crate) fn edit(&self, file: &str, change: impl FnOnce(String) -> String) {
        let path = self.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, change(text)).unwrap();
    }
}

/// hactl while it runs. Dropping it ends it.
pub(crate) struct Running {
    child: Child,
    out: TempDir,
    until: Instant,
    what: String,
}

impl Running {
    pub(crate) fn start(dir: &Path, args: &[&str]) -> Self {
        Self::start_as(Path::new(env!("CARGO_BIN_EXE_hactl")), dir, args)
    }

    /// Starts another program that behaves as hactl.
    pub(crate) fn start_as(program: &Path, dir: &Path, args: &[&str]) -> Self {
        let out = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let file = |name: &str| File::create(out.path().join(name)).unwrap();
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(dir)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", out.path())
            .env("TZ", "UTC")
            .env("USER", "tester")
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"));
        if let Some(folder) = std::env::var_os("HACTL_LAB_DIR") {
            command.env("HACTL_LAB_DIR", folder);
        }
        let child = command.spawn().unwrap();
        Self { child, out, until: Instant::now() + LIMIT, what: args.join(" ") }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub(crate) fn ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Ends it by SIGKILL, at once, and says what it had printed.
    pub(crate) fn kill(mut self) -> Ran {
        // It may have ended by itself just now.
        let _ = self.child.kill();
        self.collect()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ran {
        while !self.ended() {
            if Instant::now() > self.until {
                let what = self.what.clone();
                let ran = self.kill();
                panic!("hactl {what} did not end within {LIMIT:?}: {ran}");
            }
            sleep(POLL);
        }
        self.collect()
    }

    fn collect(&mut self) -> Ran {
        let status = self.child.wait().unwrap();
        let read =
            |name: &str| String::from_utf8_lossy(&fs::read(self.out.path().join(name)).unwrap()).into_owned();
        Ran {
            status: status.code().unwrap_or_else(|| -status.signal().unwrap_or(1)),
            stdout: read("stdout"),
            stderr: read("stderr"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A workspace's journal, read by other means than hactl's own.
pub(crate) struct Journal(PathBuf);

impl Journal {
    /// Its whole lines, each as JSON.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Its records, each as `kind step host`, or `phase_done phase`.
    pub(crate) fn records(&self) -> Vec<String> {
        self.lines().iter().map(name_of).collect()
    }

    /// How many bytes it has: cheap enough to ask all the time.
    pub(crate) fn bytes(&self) -> u64 {
        fs::metadata(&self.0).map_or(0, |m| m.len())
    }
}

/// `kind step host` of a journal's line.
fn name_of(line: &Value) -> String {
    let record = &line["record"];
    let Some((kind, body)) = record.as_object().and_then(|o| o.iter().next()) else {
        return record.as_str().unwrap_or("?").to_owned();
    };
    let mut name = kind.clone();
    for key in ["step", "host"] {
        if let Some(text) = body["place"][key].as_str() {
            let _ = write!(name, " {text}");
        }
    }
    if let Some(phase) = body["phase"].as_str() {
        let _ = write!(name, " {phase}");
    }
    name
}

/// Waits until something holds, for a bounded time.
pub(crate) fn eventually(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + within;
    while !holds() {
        assert!(Instant::now() < until, "not within {within:?}: {what}");
        sleep(POLL);
    }
}
