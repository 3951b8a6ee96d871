//! Faults on demand: what a request is to suffer.

use serde::{Deserialize, Serialize};

use super::request::Request;

/// What happens to the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FaultKind {
    /// 429 with `Retry-After`; nothing is done.
    RateLimited {
        /// In seconds.
        retry_after: u64,
    },
    /// An error of this status and code; nothing is done.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The API's code, such as `server_error`, `bad_gateway`, `timeout`, `conflict`.
        code: String,
    },
    /// An answer of this status that is no JSON, as a proxy in between gives it; nothing is done.
    Garbled {
        /// The HTTP status.
        status: u16,
    },
    /// The connection ends without an answer; nothing is done.
    DropBefore,
    /// What is asked for is done, and then the connection ends without an answer.
    DropAfter,
    /// What is asked for is done, and then the answer is 502, as a proxy in between gives it.
    GatewayAfter,
    /// Nothing is done, and nothing is answered for so long; then the connection ends.
    Hang {
        /// In milliseconds.
        milliseconds: u64,
    },
    /// What is asked for is done, and not answered for so long; then the connection ends.
    HangAfter {
        /// In milliseconds.
        milliseconds: u64,
    },
    /// The answer shows things as they were so long ago.
    Stale {
        /// In milliseconds.
        milliseconds: u64,
    },
    /// The action that the request begins stays running, and is never carried out.
    ActionStuck,
    /// The first action that the request begins fails without having been carried out.
    ActionFails {
        /// The API's code, such as `action_failed`.
        code: String,
    },
}

/// A fault, and which requests it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The method; every one where there is none.
    #[serde(default)]
    pub method: Option<String>,
    /// What the path begins with, behind `/v1`, such as `/servers`. A `*` between slashes stands for anything; a `$` at the end
    /// means the whole path: lists and creations, and not single objects.
    #[serde(default)]
    pub path: String,
    /// It is for the matching request number so-and-so from now on, counted from 1.
    #[serde(default = "one")]
    pub nth: u32,
    /// For how many matching requests from then on.
    #[serde(default = "one")]
    pub times: u32,
    /// What happens.
    pub kind: FaultKind,
}

fn one() -> u32 {
    1
}

impl Fault {
    /// A fault for the next request of a method and a path.
    #[must_use]
    pub fn next(method: &str, path: &str, kind: FaultKind) -> Self {
        Self { method: Some(method.to_owned()), path: path.to_owned(), nth: 1, times: 1, kind }
    }

    /// The same, for the matching request number `nth`.
    #[must_use]
    pub fn nth(self, nth: u32) -> Self {
        Self { nth, ..self }
    }

    /// The same, for so many matching requests.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    fn is_for(&self, request: &Request) -> bool {
        let method = self.method.as_deref().is_none_or(|m| m.eq_ignore_ascii_case(request.method.name()));
        let (path, whole) = match self.path.strip_suffix('$') {
            Some(path) => (path, true),
            None => (self.path.as_str(), false),
        };
        let mut parts = path.split('/').filter(|p| !p.is_empty());
        let mut there = request.path.iter();
        method
            && parts.all(|part| there.next().is_some_and(|p| part == "*" || part == p))
            && (!whole || there.next().is_none())
    }
}

/// The faults that wait for their request.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What this request suffers. Every waiting fault that matches counts it; the first that is due is the one.
    pub(crate) fn due(&mut self, request: &Request) -> Option<FaultKind> {
        let mut chosen = None;
        for fault in self.0.iter_mut().filter(|f| f.is_for(request)) {
            if fault.nth > 1 {
                fault.nth -= 1;
            } else if chosen.is_none() && fault.times > 0 {
                fault.times -= 1;
                chosen = Some(fault.kind.clone());
            }
        }
        self.0.retain(|f| f.times > 0);
        chosen
    }
}
