//! What makes effects go wrong, at the two seams through which they reach the world: the commands of attempts on hosts,
//! and the requests to the bucket.
//!
//! Invariant: where nobody chooses faults, both seams do exactly what is behind them. The program `hactl` has no way to
//! choose any: no argument, no variable and no file of its own leads here. Only another program that links this library
//! can, as the lab's tests do, and [`crate::access::World::under`] refuses it outside of a rehearsal. What was put in
//! stands in the journal as `injected`. No world is simulated here: what a fault lets through is really done.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_sdk_s3::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use tokio::sync::Notify;

use super::s3::Deadlines;
use super::ssh::{AttemptId, Command, Finished, Ssh, Status};
use crate::diagnostic::{Error, codes};
use crate::name::HostName;
use crate::step::Failure;
use crate::workspace::Host;

/// How a command ends that was killed, as the shell names it.
const KILLED: Status = Status::Exited(128 + 9);

/// What happens to a command of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnAttempt {
    /// Nothing.
    Pass,
    /// It is refused, and known not to have begun.
    Refuse,
    /// The link drops before it reaches the host; nobody knows.
    DropBefore,
    /// It is carried out, and the link drops before the answer arrives; nobody knows.
    DropAfter,
    /// It reaches the host twice.
    Repeat,
    /// It is killed on the host so long after it began, with what it started, as where memory runs out.
    Halfway(Duration),
    /// It stands still on the host, does nothing, and is ended after so long, as at its time limit.
    Hang(Duration),
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRequest {
    /// Nobody listens.
    Refuse,
    /// The connection ends before the server has read it.
    DropBefore,
    /// The server does it, and the connection ends before its answer arrives.
    DropAfter,
    /// The server does it twice; the second answer arrives.
    Twice,
    /// The server does it, and what stands before it answers 500.
    Fail,
    /// It is not done, and the answer is 503 `SlowDown`.
    SlowDown,
    /// The server does it, and no answer ever comes.
    Silence,
    /// It is held up on its way, until somebody lets it go on.
    Held,
}

/// Who says what goes wrong.
pub trait Choose: fmt::Debug + Send + Sync {
    /// What happens to this command of an attempt.
    fn attempt(&self, host: &HostName, attempt: &AttemptId, number: u32) -> OnAttempt;

    /// What happens to the request with this method and URI, if anything.
    fn request(&self, method: &str, uri: &str) -> Option<OnRequest>;

    /// What lets a request that is held up go on its way.
    fn release(&self) -> Arc<Notify> {
        Arc::default()
    }

    /// By how much this machine's clock is ahead, for whatever is signed.
    fn ahead(&self) -> Duration {
        Duration::ZERO
    }

    /// How long requests may take; where answers are kept back, shorter than usual.
    fn deadlines(&self) -> Deadlines {
        Deadlines::default()
    }
}

/// Both seams, with faults as somebody chooses them. Clones share what is chosen.
#[derive(Clone, Debug)]
pub struct Faulty(Arc<dyn Choose>);

impl Faulty {
    /// Faults by this choice.
    #[must_use]
    pub fn new(choose: Arc<dyn Choose>) -> Self {
        Self(choose)
    }

    /// How long requests may take.
    #[must_use]
    pub fn deadlines(&self) -> Deadlines {
        self.0.deadlines()
    }

    /// The attempt seam: carries out a command, unless it goes wrong.
    ///
    /// # Errors
    /// As [`Ssh::perform`]; or an injected one.
    pub async fn perform(
        &self,
        ssh: &Ssh,
        host: &Host,
        attempt: &AttemptId,
        number: u32,
        command: &Command,
    ) -> Result<Finished, Failure> {
        let lost = |when: &str| {
            Failure::Unclear(
                Error::new(codes::SSH_LOST, format!("injected: lost {when}"))
                    .host(&host.name)
                    .state("the command may or may not have had its effect"),
            )
        };
        match self.0.attempt(&host.name, attempt, number) {
            OnAttempt::Pass => ssh.perform(host, attempt, number, command).await,
            OnAttempt::Refuse => {
                let refused = Error::new(codes::SSH_UNREACHABLE, "injected: refused").host(&host.name);
                Err(Failure::NotStarted(refused.state("nothing was started")))
            }
            OnAttempt::DropBefore => Err(lost("before it reached the host")),
            OnAttempt::DropAfter => {
                let _outcome = ssh.perform(host, attempt, number, command).await;
                Err(lost("before the answer arrived"))
            }
            OnAttempt::Repeat => {
                let first = ssh.perform(host, attempt, number, command).await;
                match ssh.perform(host, attempt, number, command).await {
                    Ok(_) => Err(Failure::Unclear(
                        Error::new(codes::INTERNAL, "a claimed command was carried out twice")
                            .host(&host.name),
                    )),
                    Err(_refused) => first,
                }
            }
            OnAttempt::Halfway(after) => {
                let cut = command.killed_after(after);
                let mut finished = ssh.perform(host, attempt, number, &cut).await?;
                command.argv.program().clone_into(&mut finished.program);
                if finished.status == KILLED {
                    finished.stderr.bytes.extend_from_slice(b"\ninjected: killed halfway\n");
                }
                Ok(finished)
            }
            OnAttempt::Hang(limit) => {
                let mut finished = ssh.perform(host, attempt, number, &command.hanging(limit)).await?;
                command.argv.program().clone_into(&mut finished.program);
                finished.stderr.bytes.extend_from_slice(b"\ninjected: stood still\n");
                Ok(finished)
            }
        }
    }

    /// The HTTP seam: a client whose requests may go wrong.
    #[must_use]
    pub fn client(&self, inner: SharedHttpClient) -> SharedHttpClient {
        SharedHttpClient::new(FaultyClient { inner, faulty: self.clone() })
    }
}

impl TimeSource for Faulty {
    fn now(&self) -> SystemTime {
        SystemTime::now() + self.0.ahead()
    }
}

#[derive(Debug)]
struct FaultyClient {
    inner: SharedHttpClient,
    faulty: Faulty,
}

impl HttpClient for FaultyClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(FaultyConnector { inner, faulty: self.faulty.clone() })
    }
}

#[derive(Debug)]
struct FaultyConnector {
    inner: SharedHttpConnector,
    faulty: Faulty,
}

impl HttpConnector for FaultyConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let fault = self.faulty.0.request(request.method(), request.uri());
        let (inner, released) = (self.inner.clone(), self.faulty.0.release());
        HttpConnectorFuture::new(async move {
            match fault {
                None => inner.call(request).await,
                Some(OnRequest::Refuse) => Err(lost(io::ErrorKind::ConnectionRefused)),
                Some(OnRequest::DropBefore) => Err(lost(io::ErrorKind::ConnectionReset)),
                Some(OnRequest::DropAfter) => {
                    inner.call(request).await?;
                    Err(lost(io::ErrorKind::ConnectionReset))
                }
                Some(OnRequest::Twice) => {
                    if let Some(first) = request.try_clone() {
                        inner.call(first).await?;
                    }
                    inner.call(request).await
                }
                Some(OnRequest::Fail) => {
                    inner.call(request).await?;
                    answer(500, "InternalError")
                }
                Some(OnRequest::SlowDown) => answer(503, "SlowDown"),
                Some(OnRequest::Silence) => {
                    inner.call(request).await?;
                    std::future::pending().await
                }
                Some(OnRequest::Held) => {
                    released.notified().await;
                    inner.call(request).await
                }
            }
        })
    }
}

fn lost(kind: io::ErrorKind) -> ConnectorError {
    ConnectorError::io(Box::new(io::Error::from(kind)))
}

fn answer(status: u16, code: &str) -> Result<HttpResponse, ConnectorError> {
    let status = StatusCode::try_from(status).map_err(|e| ConnectorError::other(Box::new(e), None))?;
    let body = format!("<Error><Code>{code}</Code><Message>injected</Message></Error>");
    Ok(HttpResponse::new(status, SdkBody::from(body)))
}

/// Faults that wait in order for the next command, or for the next request that they fit. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<Mutex<Queues>>, Arc<Notify>);

#[derive(Debug, Default)]
struct Queues {
    attempts: VecDeque<OnAttempt>,
    requests: VecDeque<Wanted>,
    seen: Vec<String>,
    ahead: Duration,
}

/// A fault, and the request that it is for.
#[derive(Debug)]
struct Wanted {
    method: &'static str,
    /// What the request's path holds.
    part: &'static str,
    /// How many such requests pass first.
    first: usize,
    fault: OnRequest,
}

impl Waiting {
    /// The wrapper in which these faults are.
    #[must_use]
    pub fn faulty(&self) -> Faulty {
        Faulty::new(Arc::new(self.clone()))
    }

    /// The next command of an attempt meets this fault.
    pub fn on_attempt(&self, fault: OnAttempt) {
        self.lock().attempts.push_back(fault);
    }

    /// The next request with this method (`PUT`, `DELETE`, `GET`, `HEAD`) meets this fault.
    pub fn on_next(&self, method: &'static str, fault: OnRequest) {
        self.on_nth(method, 0, fault);
    }

    /// So many requests with this method pass, and the one after them meets this fault.
    pub fn on_nth(&self, method: &'static str, nth: usize, fault: OnRequest) {
        self.lock().requests.push_back(Wanted { method, part: "", first: nth, fault });
    }

    /// The next request with this method whose path holds this part meets this fault.
    pub fn on_next_to(&self, part: &'static str, method: &'static str, fault: OnRequest) {
        self.lock().requests.push_back(Wanted { method, part, first: 0, fault });
    }

    /// Lets one request that is held up go on its way, now or when it comes.
    pub fn let_one_go(&self) {
        self.1.notify_one();
    }

    /// From now on this machine's clock is ahead by so much, for whatever is signed.
    pub fn clock_is_ahead(&self, by: Duration) {
        self.lock().ahead = by;
    }

    /// How many faults still wait for their request: none, once they have all happened.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().requests.len()
    }

    /// The methods and paths of all requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.lock().seen.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queues> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Choose for Waiting {
    fn attempt(&self, _host: &HostName, _attempt: &AttemptId, _number: u32) -> OnAttempt {
        self.lock().attempts.pop_front().unwrap_or(OnAttempt::Pass)
    }

    fn request(&self, method: &str, uri: &str) -> Option<OnRequest> {
        let mut queues = self.lock();
        let path = path_of(uri);
        queues.seen.push(format!("{method} {path}"));
        let fits = |wanted: &Wanted| wanted.method == method && path.contains(wanted.part);
        let at = queues.requests.iter().position(fits)?;
        match queues.requests.get_mut(at) {
            Some(wanted) if wanted.first > 0 => {
                wanted.first -= 1;
                None
            }
            _now => queues.requests.remove(at).map(|wanted| wanted.fault),
        }
    }

    fn release(&self) -> Arc<Notify> {
        Arc::clone(&self.1)
    }

    fn ahead(&self) -> Duration {
        self.lock().ahead
    }
}

/// What of a URI comes after the server.
#[must_use]
pub fn path_of(uri: &str) -> &str {
    let path = uri.split_once("://").and_then(|(_, rest)| rest.find('/').and_then(|at| rest.get(at..)));
    path.unwrap_or(uri)
}
