//! Faults at the HTTP seam: what a network does to a request, on demand.
//!
//! Invariant: a fault is used up by the first request that it fits, and everything else passes unchanged.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;

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
}

/// Faults that wait for their request, in order. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The method, how many requests of it pass first, and what the next one meets.
    waiting: VecDeque<(&'static str, usize, Fault)>,
    seen: Vec<String>,
}

impl Faults {
    /// The next request with this method (`PUT`, `DELETE`, `GET`, `HEAD`) meets this fault.
    pub fn on_next(&self, method: &'static str, fault: Fault) {
        self.on_nth(method, 0, fault);
    }

    /// So many requests with this method pass, and the one after them meets this fault.
    pub fn on_nth(&self, method: &'static str, nth: usize, fault: Fault) {
        self.lock().waiting.push_back((method, nth, fault));
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
        let seen = format!("{} {}", request.method(), path.unwrap_or(uri));
        state.seen.push(seen);
        let at = state.waiting.iter().position(|(method, ..)| *method == request.method())?;
        match state.waiting.get_mut(at) {
            Some((_, first, _)) if *first > 0 => {
                *first -= 1;
                None
            }
            _now => state.waiting.remove(at).map(|(_, _, fault)| fault),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let inner = self.inner.clone();
        HttpConnectorFuture::new(async move {
            match fault {
                None => inner.call(request).await,
                Some(Fault::Refuse) => Err(lost(io::ErrorKind::ConnectionRefused)),
                Some(Fault::DropBefore) => Err(lost(io::ErrorKind::ConnectionReset)),
                Some(Fault::DropAfter) => {
                    inner.call(request).await?;
                    Err(lost(io::ErrorKind::ConnectionReset))
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
