//! The cloud as it runs: one thread that answers, and further ones that carry out actions.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{Notify, oneshot};

use super::backend::{Backend, Work, World};
use super::fault::{Fault, Faults};
use super::http;
use super::keep;
use super::model::{Action, ActionFault, Existing, Ground, Id, Outcome, Project, Stage};
use super::wire::Seen;
use crate::diagnostic::{Error, Result, codes};

/// How many requests an hour the documented limit allows.
const REQUESTS_PER_HOUR: u32 = 3600;
/// How long what was seen of the world is good for.
const LOOK: Duration = Duration::from_millis(200);
/// How many states of the project are kept for answers that are behind.
const HISTORY: usize = 256;

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Tls {
    /// The chain.
    pub certificate: Vec<u8>,
    /// The key.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(..)")
    }
}

/// What a cloud is to be.
pub struct CloudSettings {
    /// Where it listens; port 0 for any.
    pub address: SocketAddr,
    /// The API token that it wants.
    pub token: String,
    /// Where the project is kept; nowhere, where there is none.
    pub file: Option<PathBuf>,
    /// Without it, plain HTTP.
    pub tls: Option<Tls>,
    /// From where it takes addresses, where the project is new.
    pub ground: Ground,
    /// Servers that were there before the cloud was, where the project is new.
    pub existing: Vec<Existing>,
    /// How many requests an hour it answers.
    pub requests_per_hour: u32,
    /// What is behind it.
    pub backend: Box<dyn Backend>,
}

impl CloudSettings {
    /// On loopback, over plain HTTP, with nothing on the disk.
    #[must_use]
    pub fn local(backend: impl Backend) -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token: "token-of-the-lab".to_owned(),
            file: None,
            tls: None,
            ground: Ground::default(),
            existing: Vec::new(),
            requests_per_hour: REQUESTS_PER_HOUR,
            backend: Box::new(backend),
        }
    }
}

/// A running cloud. Dropping it ends it.
pub struct Cloud {
    address: SocketAddr,
    shared: Arc<Shared>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cloud").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Cloud {
    /// Starts it; it listens when this returns.
    ///
    /// # Errors
    /// Its project cannot be read, its certificate is none, or the address is not to be had.
    pub fn start(settings: CloudSettings) -> Result<Self> {
        let failed = |what: &str, e: &dyn std::fmt::Display| {
            Error::new(codes::LAB_TOOL, format!("the lab's cloud cannot {what}")).source(e.to_string())
        };
        let kept = settings.file.as_deref().map(keep::load).transpose()?.flatten();
        let project = match kept {
            Some(project) => project,
            None => Project::with(settings.ground, &settings.existing),
        };
        let acceptor = settings.tls.as_ref().map(http::acceptor).transpose();
        let acceptor = acceptor.map_err(|e| failed("read its certificate", &e))?;
        let listener = TcpListener::bind(settings.address).map_err(|e| failed("listen", &e))?;
        let address = listener.local_addr().map_err(|e| failed("listen", &e))?;
        listener.set_nonblocking(true).map_err(|e| failed("listen", &e))?;
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared {
            endpoint: format!("{scheme}://{address}/v1"),
            backend: settings.backend,
            token: settings.token,
            file: settings.file,
            changed: Notify::new(),
            inner: Mutex::new(Inner {
                history: vec![(Timestamp::now(), Arc::new(project))],
                started: Vec::new(),
                faults: Faults::default(),
                log: Vec::new(),
                seen: None,
                limit: settings.requests_per_hour,
                remaining: f64::from(settings.requests_per_hour),
                counted: Instant::now(),
            }),
        });
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| failed("start", &e))?;
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("lab-cloud".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = http::serve(listener, acceptor, Arc::clone(&own)) => {}
                    () = carry_out(own) => {}
                    _ = ended => {}
                }
            });
            // An action that is being carried out is not waited for: it begins anew with the next start.
            runtime.shutdown_background();
        });
        let thread = thread.map_err(|e| failed("start", &e))?;
        Ok(Self { address, shared, end: Some(end), thread: Some(thread) })
    }

    /// The API's endpoint, with `/v1`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.shared.endpoint
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The token that it wants.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.shared.token
    }

    /// Lets a request suffer.
    pub fn fault(&self, fault: Fault) {
        self.shared.lock().faults.add(fault);
    }

    /// Takes all waiting faults back.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// Every request that came since the start or the last [`Cloud::forget_requests`], as `METHOD /path`.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.shared.lock().log.clone()
    }

    /// Begins the list of requests anew.
    pub fn forget_requests(&self) {
        self.shared.lock().log.clear();
    }

    /// Makes a server type unavailable: `cx33` everywhere, `cx33@hel1` in one location.
    ///
    /// # Errors
    /// The project cannot be kept.
    pub fn sell_out(&self, which: &str) -> Result<()> {
        self.shared.change(|project| {
            project.sold_out.insert(which.to_owned());
        })
    }

    /// Lets actions go on that a fault keeps running.
    ///
    /// # Errors
    /// The project cannot be kept.
    pub fn release_actions(&self) -> Result<()> {
        self.shared.release()
    }

    /// Waits until it ends by itself, which it does not.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            // Nobody is left to be told.
            let _ = thread.join();
        }
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread that answers and those that carry out have in common.
pub(crate) struct Shared {
    pub(crate) token: String,
    endpoint: String,
    backend: Box<dyn Backend>,
    file: Option<PathBuf>,
    changed: Notify,
    inner: Mutex<Inner>,
}

pub(crate) struct Inner {
    /// The project as it was, oldest first; the last one is as it is. Never empty.
    history: Vec<(Timestamp, Arc<Project>)>,
    /// Actions that are being carried out.
    started: Vec<Id>,
    pub(crate) faults: Faults,
    pub(crate) log: Vec<String>,
    seen: Option<(Instant, Arc<Seen>)>,
    pub(crate) limit: u32,
    pub(crate) remaining: f64,
    pub(crate) counted: Instant,
}

impl Inner {
    /// The project as it is.
    pub(crate) fn project(&self) -> Arc<Project> {
        self.as_of(Timestamp::MAX)
    }

    /// The project as it was at a moment; the oldest one known where that is too long ago.
    pub(crate) fn as_of(&self, at: Timestamp) -> Arc<Project> {
        let known = self.history.iter().rev().find(|(since, _)| *since <= at).or(self.history.first());
        known.map_or_else(|| Arc::new(Project::new(Ground::default())), |(_, project)| Arc::clone(project))
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        // What is inside is replaced as a whole, so a panic elsewhere leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a changed project the project: on the disk first.
    pub(crate) fn keep(&self, inner: &mut Inner, project: Project) -> Result<()> {
        if let Some(file) = &self.file {
            keep::save(file, &project)?;
        }
        inner.history.push((Timestamp::now(), Arc::new(project)));
        if inner.history.len() > HISTORY {
            inner.history.remove(0);
        }
        self.changed.notify_one();
        Ok(())
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Project)) -> Result<()> {
        let mut inner = self.lock();
        let mut project = Project::clone(&inner.project());
        change(&mut project);
        self.keep(&mut inner, project)
    }

    pub(crate) fn release(&self) -> Result<()> {
        self.change(|project| {
            for action in project.actions.values_mut() {
                action.fault = action.fault.take().filter(|f| *f != ActionFault::Held);
            }
        })
    }

    /// What is seen of the world; looked at anew where that was a while ago.
    pub(crate) fn look(&self) -> Arc<Seen> {
        let project = {
            let inner = self.lock();
            if let Some((at, seen)) = &inner.seen
                && at.elapsed() < LOOK
            {
                return Arc::clone(seen);
            }
            inner.project()
        };
        let seen = Arc::new(self.backend.look(World(&project)));
        self.lock().seen = Some((Instant::now(), Arc::clone(&seen)));
        seen
    }

    /// The actions whose turn it is, taken so that nobody else takes them.
    fn take_due(&self) -> Vec<Action> {
        let mut inner = self.lock();
        let project = inner.project();
        let before = |a: &Action| a.after.and_then(|id| project.actions.get(&id)).map(|b| b.stage);
        let due = project.actions.values().filter(|a| {
            a.stage == Stage::Running
                && a.fault != Some(ActionFault::Held)
                && !inner.started.contains(&a.id)
                && before(a) != Some(Stage::Running)
        });
        let due: Vec<Action> = due.cloned().collect();
        inner.started.extend(due.iter().map(|a| a.id));
        due
    }

    fn perform(&self, action: &Action) {
        let project = self.lock().project();
        let outcome = match &action.fault {
            Some(ActionFault::Fails { code, message }) => Outcome::failed(code, message.clone()),
            Some(ActionFault::Held) | None => {
                self.backend.perform(Work { effect: &action.effect, project: &project }).0
            }
        };
        let mut inner = self.lock();
        let mut project = Project::clone(&inner.project());
        project.settle(action.id, &outcome, Timestamp::now());
        inner.started.retain(|id| *id != action.id);
        inner.seen = None;
        // Where it cannot be kept the action stays running, and is carried out again by the next start.
        let _ = self.keep(&mut inner, project);
    }
}

/// Carries out actions as they come up, each on a thread of its own.
async fn carry_out(shared: Arc<Shared>) {
    loop {
        for action in shared.take_due() {
            let shared = Arc::clone(&shared);
            tokio::task::spawn_blocking(move || shared.perform(&action));
        }
        shared.changed.notified().await;
    }
}
