//! SSH to the hosts of a fleet: queries, and changes as attempts.
//!
//! Invariant: host keys are checked strictly against the workspace's own file, the user's configuration and agent are
//! never used, every call has a deadline, memory is bounded whatever a host sends, and a failure says what is known:
//! nobody there, host key unknown or changed, login refused, or an outcome that nobody knows.

mod argv;
mod attempt;
mod clerk;
mod command;
mod config;
#[cfg(test)]
mod durability;
mod exchange;
pub mod host_key;
mod master;
mod owner;
mod perform;
mod query;
mod report;
mod runtime;
mod seam;
mod trouble;

pub use argv::{Argv, MAX_ARGUMENT, MAX_ARGUMENTS};
pub use attempt::{AttemptId, AttemptState};
pub use command::{Become, Captured, Command, DEFAULT_TIMEOUT, Finished, Input, MAX_INPUT, Status};
pub use config::Timing;
pub use owner::{Owner, Standing};
pub use seam::Seam;

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::SemaphorePermit;

use self::exchange::{Answer, NoAnswer};
use self::master::{Live, Master, Way};
use self::runtime::Runtime;
use crate::diagnostic::{Error, Result, codes};
use crate::journal::Hold;
use crate::name::HostName;
use crate::waiting::{Await, awaited};
use crate::workspace::{Host, Workspace};

/// How much of each stream of a command is kept: 8 MiB. An answer may hold both, so hactl holds less than 160 MiB
/// whatever one host sends; a test measures it.
pub const MAX_OUTPUT: usize = 8 * 1024 * 1024;

/// Where attempts live on a host.
pub const ROOT: &str = "/var/lib/hactl";

/// Longest command line that ssh can hand to a login shell, which gets it as one argument.
const MAX_LINE: usize = 128 * 1024 - 1;

/// How long a script of ours may take that has to wait for a host's lock.
const SETUP_LIMIT: Duration = Duration::from_secs(45);

/// A forwarded unix socket. What connected through it stays connected when it ends.
#[derive(Debug)]
pub(super) struct Forward {
    live: Rc<Live>,
    local: PathBuf,
    remote: String,
}

impl Forward {
    /// Takes no more connections.
    pub(super) async fn end(self) {
        self.live.unforward(&self.local, &self.remote).await;
    }
}

/// The connections to a fleet.
pub struct Ssh {
    hosts: Vec<Host>,
    known_hosts: PathBuf,
    root: String,
    timing: Timing,
    masters: BTreeMap<HostName, Master>,
    runtime: OnceCell<(PathBuf, Runtime)>,
    /// The generated configuration as it was written last: an address may become known while hactl runs.
    written: RefCell<String>,
    hold: OnceCell<Rc<Hold>>,
    /// For each host the line in its owner file that was found in our journal.
    vouched: RefCell<BTreeMap<HostName, owner::Vouched>>,
}

impl fmt::Debug for Ssh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ssh").field("hosts", &self.masters.keys()).finish_non_exhaustive()
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let controls: Vec<_> = self.masters.values_mut().filter_map(Master::take_now).collect();
        // Before the directory with their sockets goes.
        master::end(&controls);
    }
}

impl Ssh {
    /// Prepares connections to the hosts of a workspace; nothing is opened or made yet.
    #[must_use]
    pub fn new(workspace: &Workspace) -> Self {
        let known_hosts = workspace.state_dir().join("known_hosts");
        Self::with(workspace.hosts.clone(), known_hosts, ROOT, Timing::default())
    }

    /// The same with the pinned keys in another file.
    #[must_use]
    pub fn knowing(workspace: &Workspace, known_hosts: PathBuf) -> Self {
        Self::with(workspace.hosts.clone(), known_hosts, ROOT, Timing::default())
    }

    /// The same with other places and times, for tests on one machine.
    #[must_use]
    pub fn with(hosts: Vec<Host>, known_hosts: PathBuf, root: impl Into<String>, timing: Timing) -> Self {
        let masters = hosts.iter().map(|host| (host.name.clone(), Master::new())).collect();
        Self {
            hosts,
            known_hosts,
            root: root.into(),
            timing,
            masters,
            runtime: OnceCell::new(),
            written: RefCell::default(),
            hold: OnceCell::new(),
            vouched: RefCell::default(),
        }
    }

    /// The folder of attempts on every host.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The file with the pinned host keys.
    #[must_use]
    pub fn known_hosts(&self) -> &Path {
        &self.known_hosts
    }

    /// Closes every connection, within a few seconds.
    pub async fn close(&self) {
        let mut controls = Vec::new();
        for master in self.masters.values() {
            controls.extend(master.take().await);
        }
        // Ending waits for other processes, for a bounded time.
        let _ = tokio::task::spawn_blocking(move || master::end(&controls)).await;
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    /// The directory of this process with the generated configuration, made when first wanted.
    fn runtime(&self) -> Result<&(PathBuf, Runtime)> {
        if let Some(made) = self.runtime.get() {
            if self.hosts.iter().any(|host| host.server.is_some()) {
                self.write_config(&made.1)?;
            }
            return Ok(made);
        }
        let runtime = Runtime::create()?;
        let config = self.write_config(&runtime)?;
        Ok(self.runtime.get_or_init(|| (config, runtime)))
    }

    fn write_config(&self, runtime: &Runtime) -> Result<PathBuf> {
        let text = config::generate(&self.hosts, &self.known_hosts, runtime.path(), self.timing)?;
        if *self.written.borrow() != text {
            runtime.write(config::FILE, &text)?;
            self.written.replace(text);
        }
        Ok(runtime.path().join(config::FILE))
    }

    fn master(&self, host: &Host) -> Result<&Master> {
        self.masters.get(&host.name).ok_or_else(|| {
            Error::new(codes::INTERNAL, format!("{} is no host of this fleet", host.name)).host(&host.name)
        })
    }

    async fn place(&self, host: &Host) -> Result<SemaphorePermit<'_>> {
        let place = Await::new(format!("one of the {} commands that may run at once", master::AT_ONCE));
        awaited(place.on(&host.name), self.master(host)?.place(host)).await
    }

    /// Refuses a host whose server, or whose jump host's server, is not made yet.
    fn made(&self, host: &Host) -> Result<()> {
        let jumps = host.jump.iter().filter_map(|jump| self.hosts.iter().find(|host| host.name == *jump));
        for host in std::iter::once(host).chain(jumps) {
            if let (Some(server), None) = (&host.server, host.reached_at()) {
                let text = format!("its server {} is not made yet, so nobody knows where it is", server.name);
                return Err(Error::new(codes::SSH_NO_SERVER, text)
                    .host(&host.name)
                    .state("nothing was sent")
                    .next("hactl plan    (shows the step that makes it)"));
            }
        }
        Ok(())
    }

    async fn open(&self, host: &Host) -> Result<Rc<Live>> {
        self.made(host)?;
        let (config, runtime) = self.runtime()?;
        let way = Way { host, jumps: self.jumps(host, runtime), config, runtime, timing: self.timing };
        let connection = Await::new("a connection").on(&host.name).within(way.limit());
        awaited(connection, self.master(host)?.open(&way)).await
    }

    /// Forwards a new unix socket here to a unix socket of a host.
    ///
    /// # Errors
    /// The host cannot be reached.
    pub(super) async fn forward(&self, host: &Host, remote: &str) -> Result<(PathBuf, Forward)> {
        let mut tries = 2;
        loop {
            tries -= 1;
            let live = self.open(host).await?;
            match live.forward(host, remote).await {
                Ok(local) => {
                    return Ok((local.clone(), Forward { live, local, remote: remote.to_owned() }));
                }
                Err(error) if tries == 0 => return Err(error),
                Err(_lost) => self.master(host)?.lost(&live).await,
            }
        }
    }

    /// Makes sure that a host answers now.
    ///
    /// # Errors
    /// It does not.
    pub(super) async fn answers(&self, host: &Host) -> Result<()> {
        self.ask_twice(host, "true", &[], 64 * 1024, self.timing.connect).await.map(drop)
    }

    /// The jump hosts before a host, nearest to it first, with the log in which each one's trouble is told.
    fn jumps(&self, host: &Host, runtime: &Runtime) -> Vec<(HostName, PathBuf)> {
        let mut jumps = Vec::new();
        let mut at = host;
        // A workspace that was checked has no circle; another one shall not hang us.
        while let Some(jump) = at.jump.as_ref().filter(|_| jumps.len() < self.hosts.len()) {
            jumps.push((jump.clone(), config::jump_log(runtime.path(), at)));
            match self.hosts.iter().find(|host| host.name == *jump) {
                Some(next) => at = next,
                None => break,
            }
        }
        jumps
    }

    async fn exchange(
        &self,
        live: &Live,
        line: &str,
        stdin: &[u8],
        limit: usize,
        within: Duration,
    ) -> Result<Answer, NoAnswer> {
        exchange::exchange(&live.session, line, stdin, limit, within).await
    }

    /// Refuses a command line that the host's kernel would refuse.
    fn check_line(&self, host: &Host, line: &str) -> Result<()> {
        if line.len() <= MAX_LINE {
            return Ok(());
        }
        let what =
            format!("a command line of {} bytes is longer than a login shell can be given", line.len());
        Err(Error::new(codes::SSH_ARGUMENT, what).host(&host.name).state("nothing was sent"))
    }

    fn marker(&self) -> Result<String> {
        exchange::nonce().map_err(|e| Error::new(codes::SSH_RUNTIME, "no randomness").source(e))
    }

    /// A script of ours as root, quoted.
    fn root_script(&self, host: &Host, script: &str, name: &str, arguments: &[String]) -> String {
        let sudo: &[&str] = if host.user.as_str() == "root" { &[] } else { &["sudo", "-n", "--"] };
        let words = sudo.iter().copied().chain(["sh", "-c", script, name]);
        exchange::line(words.chain(arguments.iter().map(String::as_str)))
    }
}
