//! One call: sending a request, trying it again where that is safe, and understanding the answer.

use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::answer::{self, Doing, Meaning};
use super::{HcloudClient, pace};
use crate::diagnostic::{Error, Result};
use crate::waiting::{Await, awaited};

/// How often a call is tried in all.
const TRIES: u32 = 5;

/// No answer of the API is longer; what is longer is not it.
const LONGEST: usize = 8 << 20;

/// What is sent.
#[derive(Debug)]
pub(super) struct Request {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    body: Option<Value>,
}

impl Request {
    fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), query: Vec::new(), body: None }
    }

    pub(super) fn get(path: &str, query: &[(&str, &str)]) -> Self {
        let query = query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self { query, ..Self::new(Method::GET, path) }
    }

    pub(super) fn post(path: &str, body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::POST, path) }
    }

    pub(super) fn delete(path: &str) -> Self {
        Self::new(Method::DELETE, path)
    }
}

impl HcloudClient {
    /// Sends a request, within the deadline of a call. Boxed, because the HTTP client's futures are nested so deeply that
    /// they would bring whatever waits for them to the compiler's limit.
    pub(super) fn send<'a>(
        &'a self,
        doing: &'a Doing,
        request: &'a Request,
    ) -> LocalBoxFuture<'a, Result<Value>> {
        Box::pin(self.try_and_try(doing, request))
    }

    async fn try_and_try(&self, doing: &Doing, request: &Request) -> Result<Value> {
        let deadlines = self.deadlines();
        let until = Instant::now() + deadlines.call;
        let mut pause = deadlines.pause;
        let mut tried = 0;
        loop {
            tried += 1;
            self.0.pace.wait().await;
            let meaning = match self.once(doing, request).await {
                Ok(body) => return Ok(body),
                Err(meaning) => meaning,
            };
            let wait = meaning.wait.unwrap_or(pause);
            if tried >= TRIES
                || !meaning.again(doing)
                || wait > until.saturating_duration_since(Instant::now())
            {
                return Err(meaning.explain(doing, self.endpoint()));
            }
            let again = format!("the moment to ask again ({})", doing.words());
            awaited(Await::new(again).within(wait), sleep(wait)).await;
            pause = pause.saturating_mul(2).min(Duration::from_secs(60));
        }
    }

    async fn once(&self, doing: &Doing, request: &Request) -> Result<Value, Meaning> {
        let url = format!("{}/{}", self.endpoint(), request.path);
        let mut sending = self.0.http.request(request.method.clone(), url).query(&request.query);
        if let Some(body) = &request.body {
            sending = sending.header("content-type", "application/json").body(body.to_string());
        }
        let mut answer = sending.send().await.map_err(|e| answer::not_answered(doing, &e))?;
        self.0.pace.heard(answer.headers());
        let status = answer.status().as_u16();
        let wait = pace::retry_after(answer.headers());
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| answer::not_answered(doing, &e))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > LONGEST {
                return Err(answer::not_understood(doing, status, "it is too long"));
            }
        }
        if !(200..300).contains(&status) {
            return Err(answer::said(doing, status, &bytes, wait));
        }
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|e| answer::not_understood(doing, status, &e.to_string()))
    }

    /// A part of an answer as its type.
    pub(super) fn understood<T: DeserializeOwned>(&self, doing: &Doing, part: Option<Value>) -> Result<T> {
        let why = match part.map(serde_json::from_value) {
            Some(Ok(part)) => return Ok(part),
            Some(Err(error)) => error.to_string(),
            None => "a part is missing".to_owned(),
        };
        Err(self.odd(doing, &why))
    }

    fn odd(&self, doing: &Doing, why: &str) -> Error {
        answer::not_understood(doing, 200, why).explain(doing, self.endpoint())
    }
}
