//! What an answer, or the lack of one, means for the operator.
//!
//! Invariant: no error that comes out of here carries reqwest's own, which knows the request; what is worth knowing is
//! copied as text.

use std::time::Duration;

use serde_json::Value;

use crate::diagnostic::{Code, Error, codes};
use crate::transport::cause::{chain, deepest};

/// What was asked, as it fits after "cannot".
#[derive(Clone, Debug)]
pub(super) struct Doing {
    words: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
}

impl Doing {
    pub(super) fn read(words: impl Into<String>) -> Self {
        Self { words: words.into(), kind: Kind::Read }
    }

    pub(super) fn write(words: impl Into<String>) -> Self {
        Self { words: words.into(), kind: Kind::Write }
    }

    /// What was asked.
    pub(super) fn words(&self) -> &str {
        &self.words
    }

    /// The code for "no usable answer came".
    fn unanswered(&self) -> Code {
        match self.kind {
            Kind::Read => codes::HCLOUD_UNANSWERED,
            Kind::Write => codes::HCLOUD_UNKNOWN,
        }
    }
}

/// What became of a request that did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Certainly nothing, and it can be sent again.
    NoneYet,
    /// Certainly nothing, and sending it again would change nothing about that.
    None,
    /// Nobody knows.
    Unknown,
}

/// What a failure means, before it is put into words.
#[derive(Debug)]
pub(super) struct Meaning {
    effect: Effect,
    code: Code,
    why: String,
    next: Option<String>,
    /// How long the server wants one to wait.
    pub(super) wait: Option<Duration>,
}

impl Meaning {
    pub(super) fn new(effect: Effect, code: Code, why: impl Into<String>) -> Self {
        Self { effect, code, why: why.into(), next: None, wait: None }
    }

    fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// May it be sent again without harm, and with some hope?
    pub(super) fn again(&self, doing: &Doing) -> bool {
        match (self.effect, doing.kind) {
            (Effect::NoneYet, _) | (Effect::Unknown, Kind::Read) => true,
            (Effect::None, _) | (Effect::Unknown, Kind::Write) => false,
        }
    }

    pub(super) fn explain(self, doing: &Doing, endpoint: &str) -> Error {
        let state = match (doing.kind, self.effect) {
            (Kind::Read, _) => "nothing was changed",
            (Kind::Write, Effect::None | Effect::NoneYet) => "this was not done",
            (Kind::Write, Effect::Unknown) => "it may or may not have been done; looking again decides",
        };
        let text = format!("cannot {}, at {endpoint}: {}", doing.words, self.why);
        let explained = Error::new(self.code, text).state(state);
        match (self.next, self.wait) {
            (Some(next), _) => explained.next(next),
            (None, Some(wait)) => {
                explained.next(format!("wait {}, then: hactl resume", humantime::format_duration(wait)))
            }
            (None, None) => explained,
        }
    }
}

/// The server answered with an error.
pub(super) fn said(doing: &Doing, status: u16, body: &[u8], wait: Option<Duration>) -> Meaning {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |pointer| body.pointer(pointer).and_then(Value::as_str);
    let code = text("/error/code");
    let words = match (code, text("/error/message")) {
        (Some(code), Some(message)) => format!("{code} (HTTP {status}): {message}"),
        (Some(code), None) => format!("{code} (HTTP {status})"),
        (None, _) => format!("HTTP {status}"),
    };
    let none = |code| Meaning::new(Effect::None, code, words.clone());
    let later = |code| Meaning { wait, ..Meaning::new(Effect::NoneYet, code, words.clone()) };
    // A server that fails while it works may have done it, whatever it says, as may one behind a proxy that gave up.
    if status >= 500 {
        return Meaning { wait, ..Meaning::new(Effect::Unknown, doing.unanswered(), words) };
    }
    match code.unwrap_or_default() {
        "rate_limit_exceeded" => return later(codes::HCLOUD_RATE),
        "conflict" | "locked" => return later(codes::HCLOUD_BUSY),
        "token_readonly" => {
            return none(codes::HCLOUD_DENIED).next("use a token with read and write permission");
        }
        "uniqueness_error" => return none(codes::HCLOUD_TAKEN),
        "protected" => return none(codes::HCLOUD_PROTECTED),
        "resource_in_use" | "must_be_unassigned" => return none(codes::HCLOUD_IN_USE),
        "resource_limit_exceeded" => {
            return none(codes::HCLOUD_LIMIT).next(
                "ask for a higher limit in the project's console (Limits), or delete what is not needed",
            );
        }
        "resource_unavailable" | "placement_error" => return none(codes::HCLOUD_UNAVAILABLE),
        // Whatever else it says, its status decides.
        _ => {}
    }
    match status {
        401 => none(codes::HCLOUD_TOKEN).next(
            "make a token in the project's console (Security, API tokens), and put it where `token` in [hcloud] says",
        ),
        403 => none(codes::HCLOUD_DENIED),
        404 => none(codes::HCLOUD_NOT_FOUND),
        423 => later(codes::HCLOUD_BUSY),
        429 => later(codes::HCLOUD_RATE),
        _ => none(codes::HCLOUD_ANSWERED),
    }
}

/// The answer came and is not what was agreed.
pub(super) fn not_understood(doing: &Doing, status: u16, why: &str) -> Meaning {
    let why = format!("the answer (HTTP {status}) cannot be understood: {why}");
    Meaning::new(Effect::Unknown, doing.unanswered(), why)
}

/// No answer: the connection failed before it stood, where that can be told, or some time after.
pub(super) fn not_answered(doing: &Doing, error: &reqwest::Error) -> Meaning {
    let tls = chain(error).find_map(|e| e.downcast_ref::<rustls::Error>());
    if let Some(tls) = tls.filter(|_| error.is_connect()) {
        let meaning = Meaning::new(Effect::None, codes::HCLOUD_UNTRUSTED, format!("TLS failed: {tls}"));
        return match tls {
            rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => meaning.next(
                "set `ca` in [hcloud] to the certificate authority of this server, if it has one of its own",
            ),
            // Many more, and the list is open.
            _ => meaning,
        };
    }
    if error.is_connect() {
        let why = format!("no connection: {}", deepest(error));
        return Meaning::new(Effect::NoneYet, codes::HCLOUD_UNREACHABLE, why).next("hactl doctor");
    }
    let why = if error.is_timeout() {
        "no answer came in time".to_owned()
    } else {
        format!("the connection ended without an answer: {}", deepest(error))
    };
    Meaning::new(Effect::Unknown, doing.unanswered(), why)
}
