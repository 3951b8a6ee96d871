//! Faults at the HTTP seam: what a network and a wrong clock do to a request, on demand.
//!
//! Invariant: a fault is used up by the first request that it fits, and everything else passes unchanged.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_sdk_s3::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use tokio::sync::Notify;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens.
    Refuse,
    /// The connection ends before the server has read it.
    DropBefore,
    /// The server does it, and the connection ends before its answer arrives.
    DropAfter,
    /// The server does it twice; the second answer arrives.
    Twice,
    /// It is held up on its way, until [`Faults::release`].
    Held,
}

/// Faults that wait for their request, in order. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<State>>, Arc<Notify>);

/// A fault, and the request that it is for.
#[derive(Debug)]
struct Waiting {
    method: &'static str,
    /// What the request's path holds.
    part: &'static str,
    /// How many such requests pass first.
    first: usize,
    fault: Fault,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    seen: Vec<String>,
    ahead: Duration,
}

impl Faults {
    /// The next request with this method (`PUT`, `DELETE`, `GET`, `HEAD`) meets this fault.
    pub fn on_next(&self, method: &'static str, fault: Fault) {
        self.on_nth(method, 0, fault);
    }

    /// So many requests with this method pass, and the one after them meets this fault.
    pub fn on_nth(&self, method: &'static str, nth: usize, fault: Fault) {
        self.lock().waiting.push_back(Waiting { method, part: "", first: nth, fault });
    }

    /// The next request with this method whose path holds this part meets this fault.
    pub fn on_next_to(&self, part: &'static str, method: &'static str, fault: Fault) {
        self.lock().waiting.push_back(Waiting { method, part, first: 0, fault });
    }

    /// Lets one request that is held up go on its way, now or when it comes.
    pub fn release(&self) {
        self.1.notify_one();
    }

    /// From now on this machine's clock is ahead by so much, for whatever is signed.
    pub fn clock_is_ahead(&self, by: Duration) {
        self.lock().ahead = by;
    }

    /// How many faults still wait: none, once they have all happened.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// The methods and paths of all requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.lock().seen.clone()
    }

    fn take(&self, request: &HttpRequest) -> Option<Fault> {
        let mut state = self.lock();
        let uri = request.uri();
        let path = uri.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
        let path = path.unwrap_or(uri);
        let seen = format!("{} {path}", request.method());
        let fits = |waiting: &Waiting| waiting.method == request.method() && path.contains(waiting.part);
        let at = state.waiting.iter().position(fits);
        state.seen.push(seen);
        match state.waiting.get_mut(at?) {
            Some(waiting) if waiting.first > 0 => {
                waiting.first -= 1;
                None
            }
            _now => state.waiting.remove(at?).map(|waiting| waiting.fault),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TimeSource for Faults {
    fn now(&self) -> SystemTime {
        SystemTime::now() + self.lock().ahead
    }
}

/// A client whose requests meet faults.
#[derive(Debug)]
pub(super) struct Faulty {
    inner: SharedHttpClient,
    faults: Faults,
}

impl Faulty {
    pub(super) fn new(inner: SharedHttpClient, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

impl HttpClient for Faulty {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(FaultyConnector { inner, faults: self.faults.clone() })
    }
}

#[derive(Debug)]
struct FaultyConnector {
    inner: SharedHttpConnector,
    faults: Faults,
}

impl HttpConnector for FaultyConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let fault = self.faults.take(&request);
        let (inner, faults) = (self.inner.clone(), self.faults.clone());
        HttpConnectorFuture::new(async move {
            match fault {
                None => inner.call(request).await,
                Some(Fault::Refuse) => Err(lost(io::ErrorKind::ConnectionRefused)),
                Some(Fault::DropBefore) => Err(lost(io::ErrorKind::ConnectionReset)),
                Some(Fault::DropAfter) => {
                    inner.call(request).await?;
                    Err(lost(io::ErrorKind::ConnectionReset))
                }
                Some(Fault::Held) => {
                    faults.1.notified().await;
                    inner.call(request).await
                }
                Some(Fault::Twice) => {
                    if let Some(first) = request.try_clone() {
                        inner.call(first).await?;
                    }
                    inner.call(request).await
                }
            }
        })
    }
}

fn lost(kind: io::ErrorKind) -> ConnectorError {
    ConnectorError::io(Box::new(io::Error::from(kind)))
}
