//! The one master connection of a host.
//!
//! Invariant: it is opened when it is first wanted and again after a loss, at most eight commands are in it at a time,
//! and neither opening, checking nor closing it can hang: ssh runs as a child that is killed at the deadline, and what
//! may block at the end is left to a process of its own.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openssh::{ForwardType, Session};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::clerk::Clerk;
use super::config::Timing;
use super::exchange::random;
use super::runtime::Runtime;
use super::trouble;
use crate::diagnostic::{Error, Result, codes};
use crate::name::HostName;
use crate::workspace::Host;

/// sshd allows ten sessions a connection; two are left to clerks that wait.
pub(super) const AT_ONCE: usize = 8;
const WAITING: usize = 2;

/// How long a master that nobody uses stays, which is also how long one outlives a killed hactl.
const IDLE_SECONDS: u32 = 60;

/// How long asking the master anything may take: it answers from this machine.
const LOCAL: Duration = Duration::from_secs(5);

/// A master that was opened.
#[derive(Debug)]
pub(super) struct Live {
    /// It owns nothing: dropping it does nothing.
    pub(super) session: Arc<Session>,
    clerks: RefCell<Vec<Clerk>>,
    dir: PathBuf,
    ended: Cell<bool>,
}

impl Live {
    fn control(&self) -> PathBuf {
        self.dir.join("m")
    }

    /// From now on somebody else ends it.
    fn left_to_another(&self) -> PathBuf {
        self.ended.set(true);
        self.control()
    }

    /// A clerk that waits for a request.
    pub(super) fn take_clerk(&self) -> Option<Clerk> {
        self.clerks.borrow_mut().pop()
    }

    /// Lets a clerk wait for the next request, where few do.
    pub(super) fn keep_clerk(&self, clerk: Clerk) {
        let mut clerks = self.clerks.borrow_mut();
        if clerks.len() < WAITING {
            clerks.push(clerk);
        }
    }

    /// Does a clerk wait whose connection, as far as is known here, has not ended?
    async fn has_clerk(&self) -> bool {
        if self.clerks.borrow().is_empty() {
            return false;
        }
        // So that what arrived meanwhile is noticed.
        tokio::task::yield_now().await;
        while let Some(mut clerk) = self.take_clerk() {
            if clerk.is_fresh().await {
                self.keep_clerk(clerk);
                return true;
            }
        }
        false
    }

    /// Does the master process still answer? It says nothing of the host.
    async fn answers(&self) -> bool {
        matches!(timeout(LOCAL, self.session.check()).await, Ok(Ok(())))
    }

    /// Forwards a new unix socket here to a unix socket there.
    pub(super) async fn forward(&self, host: &Host, remote: &str) -> Result<PathBuf> {
        let name = random::<3>().map_err(|e| Error::new(codes::SSH_RUNTIME, "no randomness").source(e))?;
        let local = self.dir.join(format!("f{name}"));
        let request =
            self.session.request_port_forward(ForwardType::Local, local.as_path(), Path::new(remote));
        match timeout(LOCAL, request).await {
            Ok(Ok(())) => Ok(local),
            // It listens on this machine: what fails is the connection's own process, which is gone or ends.
            Ok(Err(e)) => {
                Err(Error::new(codes::SSH_LOST, format!("cannot forward {remote}: the connection ended"))
                    .host(&host.name)
                    .state("nothing was asked")
                    .source(e)
                    .next("hactl doctor"))
            }
            Err(_elapsed) => {
                Err(Error::new(codes::SSH_DEADLINE, format!("forwarding {remote} took too long"))
                    .host(&host.name)
                    .state("nothing was asked")
                    .next("hactl doctor"))
            }
        }
    }

    /// Ends a forwarding; a failure leaves it to the master's end.
    pub(super) async fn unforward(&self, local: &Path, remote: &str) {
        let request = self.session.close_port_forward(ForwardType::Local, local, Path::new(remote));
        let _ = timeout(LOCAL, request).await;
        let _ = std::fs::remove_file(local);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if !self.ended.get() {
            let control = self.control();
            // On a thread, because a wedged master may keep it waiting.
            std::thread::spawn(move || end(&[control]));
        }
    }
}

/// How long ending masters may take together.
const ENDING: Duration = Duration::from_secs(2);

/// Tells masters to end. One that does not within [`ENDING`] is left to its own idle time.
pub(super) fn end(controls: &[PathBuf]) {
    let tell = |control: &PathBuf| {
        std::process::Command::new("ssh")
            .args(["-F", "/dev/null", "-O", "exit", "-S"])
            .arg(control)
            .arg("hactl")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()
    };
    let mut telling: Vec<_> = controls.iter().filter_map(tell).collect();
    let until = Instant::now() + ENDING;
    while !telling.is_empty() && Instant::now() < until {
        telling.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        std::thread::sleep(Duration::from_millis(5));
    }
    for mut child in telling {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// The master of one host.
#[derive(Debug)]
pub(super) struct Master {
    live: Mutex<Option<Rc<Live>>>,
    permits: Semaphore,
}

impl Master {
    pub(super) fn new() -> Self {
        Self { live: Mutex::new(None), permits: Semaphore::new(AT_ONCE) }
    }

    /// Waits for one of the eight places.
    pub(super) async fn place(&self, host: &Host) -> Result<SemaphorePermit<'_>> {
        self.permits.acquire().await.map_err(|_closed| {
            Error::new(codes::INTERNAL, "a connection was used after it was closed").host(&host.name)
        })
    }

    /// The connection, opened where there is none that answers.
    pub(super) async fn open(&self, way: &Way<'_>) -> Result<Rc<Live>> {
        let mut live = self.live.lock().await;
        if let Some(open) = live.as_ref() {
            if open.has_clerk().await || open.answers().await {
                return Ok(Rc::clone(open));
            }
            *live = None;
        }
        let opened = Rc::new(connect(way).await?);
        *live = Some(Rc::clone(&opened));
        Ok(opened)
    }

    /// Forgets a connection that turned out to be lost, unless another one was opened meanwhile.
    pub(super) async fn lost(&self, which: &Rc<Live>) {
        let mut live = self.live.lock().await;
        if live.as_ref().is_some_and(|open| Rc::ptr_eq(open, which)) {
            *live = None;
        }
    }

    /// Forgets the connection, and gives its control socket to be ended.
    pub(super) async fn take(&self) -> Option<PathBuf> {
        let mut live = timeout(LOCAL, self.live.lock()).await.ok()?;
        live.take().map(|live| live.left_to_another())
    }

    /// The same where nobody else can use it any more.
    pub(super) fn take_now(&mut self) -> Option<PathBuf> {
        self.live.get_mut().take().map(|live| live.left_to_another())
    }
}

/// How a host is reached.
#[derive(Debug)]
pub(super) struct Way<'a> {
    pub(super) host: &'a Host,
    /// Its jump hosts, nearest first, each with the log in which its trouble is told.
    pub(super) jumps: Vec<(HostName, PathBuf)>,
    pub(super) config: &'a Path,
    pub(super) runtime: &'a Runtime,
    pub(super) timing: Timing,
}

impl Way<'_> {
    /// How long connecting may take: each leg has its connection and its login.
    pub(super) fn limit(&self) -> Duration {
        self.timing.connect * 2 * (1 + u32::try_from(self.jumps.len()).unwrap_or(u32::MAX))
    }

    /// Forgets what jump hosts complained before.
    pub(super) fn clear(&self) {
        for (_, log) in &self.jumps {
            let _ = std::fs::remove_file(log);
        }
    }

    /// The error behind a connection that did not come about.
    pub(super) fn trouble(&self, log: &Path, late: Late) -> Error {
        let jumps: Vec<_> = self.jumps.iter().map(|(name, log)| (name.clone(), read_log(log))).collect();
        match late {
            Late::No => trouble::of_connecting(self.host, &read_log(log), &jumps),
            Late::Yes => trouble::slow_connecting(self.host, self.limit(), &read_log(log), &jumps),
        }
    }
}

/// Whether connecting took longer than it may.
#[derive(Clone, Copy, Debug)]
pub(super) enum Late {
    No,
    Yes,
}

async fn connect(way: &Way<'_>) -> Result<Live> {
    let host = way.host;
    let dir = way.runtime.subdir("c")?;
    let (control, log) = (dir.join("m"), dir.join("log"));
    let failed = |e: std::io::Error| {
        Error::new(codes::SSH_RUNTIME, "cannot run ssh")
            .host(&host.name)
            .state("nothing was sent")
            .source(e)
            .next("install OpenSSH's client here (Debian: openssh-client)")
    };
    way.clear();
    let mut ssh = tokio::process::Command::new("ssh");
    ssh.arg("-F").arg(way.config).arg("-E").arg(&log).arg("-S").arg(&control);
    ssh.args(["-M", "-N", "-f", "-o"]).arg(format!("ControlPersist={IDLE_SECONDS}s")).arg("--");
    ssh.arg(host.name.as_str());
    ssh.env_remove("SSH_AUTH_SOCK").env_remove("SSH_ASKPASS").env("LC_ALL", "C");
    ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    // A process group of its own: Ctrl-C at the terminal is ours to handle, not the connection's to die of.
    ssh.process_group(0);
    let mut child = ssh.spawn().map_err(failed)?;
    match timeout(way.limit(), child.wait()).await {
        Ok(Ok(status)) if status.success() => {
            let session = Session::resume_mux(control.into_boxed_path(), Some(log.into_boxed_path()));
            let session = Arc::new(session);
            Ok(Live { session, clerks: RefCell::default(), dir, ended: Cell::new(false) })
        }
        Ok(Ok(_failure)) => Err(way.trouble(&log, Late::No)),
        Ok(Err(e)) => Err(failed(e)),
        Err(_elapsed) => {
            let _ = child.start_kill();
            Err(way.trouble(&log, Late::Yes))
        }
    }
}

/// The beginning of a log; ssh may print what a hostile host says.
fn read_log(path: &Path) -> String {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        let _ = file.take(64 * 1024).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
