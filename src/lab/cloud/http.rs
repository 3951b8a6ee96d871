//! The API over HTTP: who may ask, how often, what a fault makes of it; the model answers.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::answer::{Answer, Refusal};
use super::fault::{Fault, FaultKind};
use super::model::{ActionFault, Context, Project, Stage};
use super::request::{Method, Request};
use super::route;
use super::serve::{Inner, Shared, Tls};

type Response = hyper::Response<Full<Bytes>>;

/// How long a request's document may be.
const LONGEST: usize = 1 << 20;

/// A connection that is ended without an answer.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a fault that was asked for ends the connection")
    }
}

impl std::error::Error for Dropped {}

pub(crate) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, Box<dyn std::error::Error>> {
    let chain = CertificateDer::pem_slice_iter(&tls.certificate).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(&tls.key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_no_client_auth().with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

pub(crate) async fn serve(listener: TcpListener, acceptor: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: others end in the meantime.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            match acceptor {
                None => connection(stream, shared).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        connection(stream, shared).await;
                    }
                }
            }
        });
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { answer(&shared, request).await }
    });
    // A client that goes away, and a connection that a fault ends, concern nobody else.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(shared: &Arc<Shared>, request: hyper::Request<Incoming>) -> Result<Response, Dropped> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let token = head.headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok());
    let allowed = token.and_then(|t| t.strip_prefix("Bearer ")) == Some(shared.token.as_str());
    if !allowed {
        let refusal = Refusal::new(401, "unauthorized", "unable to authenticate");
        return Ok(refused(&refusal));
    }
    let Ok(body) = Limited::new(body, LONGEST).collect().await else {
        return Ok(refused(&Refusal::new(413, "invalid_input", "the document is too long")));
    };
    let body = body.to_bytes();
    let body = if body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&body) };
    let Ok(body) = body else {
        return Ok(refused(&Refusal::new(400, "json_error", "the document is no JSON")));
    };
    let segments = |path: &str| path.split('/').filter(|p| !p.is_empty()).map(decoded).collect::<Vec<_>>();
    let Some(method) = Method::of(head.method.as_str()) else {
        return Ok(refused(&Refusal::new(405, "method_not_allowed", "the method is not one of the API")));
    };
    if let Some(rest) = path.strip_prefix("/lab/") {
        return Ok(operator(shared, method, rest, body));
    }
    let Some(rest) = path.strip_prefix("/v1/") else { return Ok(refused(&Refusal::no_such_path())) };
    let query = head.uri.query().unwrap_or_default().split('&').filter(|p| !p.is_empty());
    let query = query.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(&name.replace('+', " ")), decoded(&value.replace('+', " ")))
    });
    let request = Request { method, path: segments(rest), query: query.collect(), body };
    let (fault, limit) = {
        let mut inner = shared.lock();
        inner.log.push(format!("{} /{}", method.name(), request.path.join("/")));
        (inner.faults.due(&request), count(&mut inner))
    };
    let (response, limit) = match limit {
        Ok(limit) => (suffer(shared, request, fault).await?, limit),
        Err(limit) => (limited(1), limit),
    };
    Ok(with_limit(response, &limit))
}

/// What the rate limit says: limit, remaining, and when all of it is there again.
struct Limit(u32, u64, i64);

/// Counts a request; one comes back each second where 3,600 are allowed an hour.
fn count(inner: &mut Inner) -> Result<Limit, Limit> {
    let most = f64::from(inner.limit);
    let back = inner.counted.elapsed().as_secs_f64() * most / 3600.0;
    inner.remaining = (inner.remaining + back).min(most);
    inner.counted = Instant::now();
    let allowed = inner.remaining >= 1.0;
    if allowed {
        inner.remaining -= 1.0;
    }
    let full_again = (most - inner.remaining) * 3600.0 / most.max(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "both are small and not negative"
    )]
    let limit =
        Limit(inner.limit, inner.remaining as u64, Timestamp::now().as_second() + full_again.ceil() as i64);
    if allowed { Ok(limit) } else { Err(limit) }
}

fn with_limit(mut response: Response, Limit(limit, remaining, reset): &Limit) -> Response {
    let headers = response.headers_mut();
    headers.insert("ratelimit-limit", (*limit).into());
    headers.insert("ratelimit-remaining", (*remaining).into());
    headers.insert("ratelimit-reset", (*reset).into());
    response
}

fn limited(retry_after: u64) -> Response {
    let refusal = Refusal::new(429, "rate_limit_exceeded", "limit of requests per hour reached");
    let mut response = refused(&refusal);
    response.headers_mut().insert(RETRY_AFTER, retry_after.into());
    response
}

fn gateway(status: u16) -> Response {
    let mut response = hyper::Response::new(Full::new(Bytes::from_static(
        b"<html><head><title>error</title></head><body>an upstream server did not answer</body></html>",
    )));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::BAD_GATEWAY);
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("text/html"));
    response
}

/// Carries out a request, or what a fault makes of it.
async fn suffer(
    shared: &Arc<Shared>,
    request: Request,
    fault: Option<FaultKind>,
) -> Result<Response, Dropped> {
    let wait = |ms| tokio::time::sleep(Duration::from_millis(ms));
    match fault {
        None => Ok(carry_out(shared, request, None, None).await),
        Some(FaultKind::RateLimited { retry_after }) => Ok(limited(retry_after)),
        Some(FaultKind::Refused { status, code }) => {
            Ok(refused(&Refusal::new(status, &code, "a fault that was asked for")))
        }
        Some(FaultKind::Garbled { status }) => Ok(gateway(status)),
        Some(FaultKind::DropBefore) => Err(Dropped),
        Some(FaultKind::DropAfter) => {
            carry_out(shared, request, None, None).await;
            Err(Dropped)
        }
        Some(FaultKind::GatewayAfter) => {
            carry_out(shared, request, None, None).await;
            Ok(gateway(502))
        }
        Some(FaultKind::Hang { milliseconds }) => {
            wait(milliseconds).await;
            Err(Dropped)
        }
        Some(FaultKind::HangAfter { milliseconds }) => {
            carry_out(shared, request, None, None).await;
            wait(milliseconds).await;
            Err(Dropped)
        }
        Some(FaultKind::Stale { milliseconds }) => {
            let ago = SignedDuration::from_millis(i64::try_from(milliseconds).unwrap_or(i64::MAX));
            let then = Timestamp::now().checked_sub(ago).unwrap_or(Timestamp::MIN);
            Ok(carry_out(shared, request, Some(then), None).await)
        }
        Some(FaultKind::ActionStuck) => Ok(carry_out(shared, request, None, Some(ActionFault::Held)).await),
        Some(FaultKind::ActionFails { code }) => {
            let message = "a fault that was asked for".to_owned();
            Ok(carry_out(shared, request, None, Some(ActionFault::Fails { code, message })).await)
        }
    }
}

async fn carry_out(
    shared: &Arc<Shared>,
    request: Request,
    then: Option<Timestamp>,
    fault: Option<ActionFault>,
) -> Response {
    let own = Arc::clone(shared);
    // Looking at the world and keeping the project both block.
    let done = tokio::task::spawn_blocking(move || judge(&own, &request, then, fault)).await;
    done.unwrap_or_else(|_| refused(&Refusal::new(500, "server_error", "the lab's cloud has a defect")))
}

fn judge(
    shared: &Shared,
    request: &Request,
    then: Option<Timestamp>,
    fault: Option<ActionFault>,
) -> Response {
    let seen = shared.look();
    let mut inner = shared.lock();
    let context = Context { seen: &seen, now: Timestamp::now() };
    let project = then.map_or_else(|| inner.project(), |then| inner.as_of(then));
    match route::answer(&project, context, request) {
        Err(refusal) => refused(&refusal),
        Ok((answer, changed)) => {
            if let Some(mut changed) = changed {
                if let Some(fault) = fault {
                    strike(&project, &mut changed, fault);
                }
                if let Err(e) = shared.keep(&mut inner, changed) {
                    return refused(&Refusal::new(500, "server_error", e.one_line()));
                }
            }
            written(&answer)
        }
    }
}

/// Lets the first action that a request began suffer.
fn strike(before: &Project, changed: &mut Project, fault: ActionFault) {
    let new = changed
        .actions
        .values_mut()
        .find(|a| a.stage == Stage::Running && !a.hidden && !before.actions.contains_key(&a.id));
    if let Some(action) = new {
        action.fault = Some(fault);
    }
}

fn written(answer: &Answer) -> Response {
    document(answer.status, answer.body.as_ref())
}

fn refused(refusal: &Refusal) -> Response {
    document(refusal.status, Some(&refusal.json()))
}

fn document(status: u16, body: Option<&Value>) -> Response {
    let text = body.map(Value::to_string).unwrap_or_default();
    let mut response = hyper::Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() =
        hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    if body.is_some() {
        let json = hyper::header::HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
    }
    response
}

/// What the lab's operator may ask for, beside the API: `/lab/…`
fn operator(shared: &Shared, method: Method, path: &str, body: Value) -> Response {
    let refused_with = |e: String| refused(&Refusal::invalid("body", e));
    match (method, path) {
        (Method::Post, "faults") => match serde_json::from_value::<Fault>(body) {
            Ok(fault) => {
                shared.lock().faults.add(fault);
                document(201, Some(&json!({})))
            }
            Err(e) => refused_with(e.to_string()),
        },
        (Method::Delete, "faults") => {
            shared.lock().faults.clear();
            document(204, None)
        }
        (Method::Get, "requests") => document(200, Some(&json!({ "requests": shared.lock().log.clone() }))),
        (Method::Delete, "requests") => {
            shared.lock().log.clear();
            document(204, None)
        }
        (Method::Put, "sold_out") => match serde_json::from_value(body) {
            Ok(sold_out) => kept(shared.change(|project| project.sold_out = sold_out)),
            Err(e) => refused_with(e.to_string()),
        },
        (Method::Post, "release") => kept(shared.release()),
        _ => refused(&Refusal::no_such_path()),
    }
}

fn kept(result: crate::diagnostic::Result<()>) -> Response {
    match result {
        Ok(()) => document(200, Some(&json!({}))),
        Err(e) => refused(&Refusal::new(500, "server_error", e.one_line())),
    }
}

/// Percent-decoded.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let escaped = (byte == b'%').then(|| {
            let mut ahead = rest.clone();
            let digits = [ahead.next()?, ahead.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()
        });
        match escaped.flatten() {
            Some(value) => {
                bytes.push(value);
                rest.nth(1);
            }
            None => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
