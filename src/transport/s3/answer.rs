//! What an answer, or the lack of one, means for the operator.
//!
//! Invariant: no error that comes out of here carries the SDK's own, which knows the request and its headers; what is
//! worth knowing is copied as text.

use std::error::Error as StdError;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::S3Client;
use crate::diagnostic::{Code, Error, codes};
use crate::transport::cause::{chain, deepest};

/// What was asked, as it fits after "cannot", and whether it could change something.
#[derive(Clone, Copy, Debug)]
pub(super) enum Doing {
    /// A read.
    Read(&'static str),
    /// A write.
    Write(&'static str),
}

impl Doing {
    fn words(self) -> &'static str {
        match self {
            Self::Read(words) | Self::Write(words) => words,
        }
    }

    /// The code for "no usable answer came".
    fn unanswered(self) -> Code {
        match self {
            Self::Read(_) => codes::S3_UNANSWERED,
            Self::Write(_) => codes::S3_UNKNOWN,
        }
    }
}

/// What a failure means, before it is put into words.
struct Meaning {
    code: Code,
    why: String,
    next: Option<String>,
}

impl Meaning {
    fn new(code: Code, why: impl Into<String>) -> Self {
        Self { code, why: why.into(), next: None }
    }

    fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

impl S3Client {
    /// `s3://bucket/key at https://…`.
    pub(super) fn at(&self, key: Option<&str>) -> String {
        let settings = self.settings();
        match key {
            Some(key) => format!("s3://{}/{key} at {}", settings.bucket, settings.endpoint),
            None => format!("s3://{} at {}", settings.bucket, settings.endpoint),
        }
    }
}

/// Turns the SDK's error into ours.
pub(super) fn explain<E>(
    client: &S3Client,
    doing: Doing,
    key: Option<&str>,
    error: SdkError<E, HttpResponse>,
) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let meaning = match &error {
        SdkError::ServiceError(answer) => {
            said(answer.raw().status().as_u16(), answer.err().code(), answer.err().message(), doing)
        }
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            Some(cause) => not_sent(cause, doing),
            None => Meaning::new(doing.unanswered(), "the connection failed"),
        },
        SdkError::TimeoutError(_) => Meaning::new(doing.unanswered(), "no answer came in time"),
        SdkError::ResponseError(answer) => {
            let status = answer.raw().status().as_u16();
            Meaning::new(doing.unanswered(), format!("the answer cannot be understood (HTTP {status})"))
        }
        SdkError::ConstructionFailure(_) => {
            Meaning::new(codes::S3_SETTINGS, format!("the request cannot be made: {}", deepest(&error)))
        }
        // The SDK's enum is open.
        _ => Meaning::new(doing.unanswered(), deepest(&error)),
    };
    let state = match (doing, meaning.code == codes::S3_UNKNOWN) {
        (Doing::Read(_), _) => "nothing was changed",
        (Doing::Write(_), false) => "this was not done",
        (Doing::Write(_), true) => "it may or may not have been done; looking again decides",
    };
    let text = format!("cannot {} {}: {}", doing.words(), client.at(key), meaning.why);
    let explained = Error::new(meaning.code, text).state(state);
    match meaning.next {
        Some(next) => explained.next(next),
        None => explained,
    }
}

/// The server answered with an error.
fn said(status: u16, code: Option<&str>, message: Option<&str>, doing: Doing) -> Meaning {
    let words = match (code, message) {
        (Some(code), Some(message)) => format!("{code} (HTTP {status}): {message}"),
        (Some(code), None) => format!("{code} (HTTP {status})"),
        (None, _) => format!("HTTP {status}"),
    };
    match code {
        Some("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "AuthorizationHeaderMalformed") => {
            return Meaning::new(codes::S3_CREDENTIAL, words)
                .next("compare the keys and the region in [s3] with the server's");
        }
        Some("RequestTimeTooSkewed") => {
            return Meaning::new(codes::S3_CLOCK, words).next("set this machine's clock: timedatectl");
        }
        Some("NoSuchBucket") => return Meaning::new(codes::S3_NO_BUCKET, words),
        Some("NoSuchKey" | "NoSuchVersion") => return Meaning::new(codes::S3_NO_OBJECT, words),
        Some("BucketAlreadyExists" | "BucketAlreadyOwnedByYou") => {
            return Meaning::new(codes::S3_BUCKET_TAKEN, words)
                .next("name another bucket in [s3] of hactl.toml, then: hactl check");
        }
        Some("BucketNotEmpty") => {
            return Meaning::new(codes::S3_BUCKET_KEPT, words)
                .next("empty it first, if nobody needs what it holds");
        }
        Some("PreconditionFailed") => return Meaning::new(codes::S3_PRECONDITION, words),
        // Another request for the same name is under way, and which of the two holds is not known yet.
        Some("ConditionalRequestConflict") => return Meaning::new(doing.unanswered(), words),
        Some("NotImplemented" | "MethodNotAllowed") => return unsupported(words),
        // Whatever else it says, its status decides.
        Some(_) | None => {}
    }
    match status {
        401 | 403 => Meaning::new(codes::S3_DENIED, format!("access denied, {words}")),
        404 => Meaning::new(codes::S3_NO_OBJECT, words),
        412 => Meaning::new(codes::S3_PRECONDITION, words),
        405 | 501 => unsupported(words),
        // A server that fails while it works may have done it, as may one behind a proxy that gave up.
        500.. => Meaning::new(doing.unanswered(), words),
        _ => Meaning::new(codes::S3_ANSWERED, words)
            .next("compare endpoint, region and bucket in [s3] with the server's"),
    }
}

fn unsupported(words: String) -> Meaning {
    Meaning::new(codes::S3_UNSUPPORTED, words)
        .next("does the endpoint in [s3] speak S3? compare it with the provider's")
}

/// The connection failed: before it stood, where that can be told, or some time after.
fn not_sent(error: &(dyn StdError + 'static), doing: Doing) -> Meaning {
    if let Some(tls) = chain(error).find_map(|e| e.downcast_ref::<rustls::Error>()) {
        let meaning = Meaning::new(codes::S3_UNTRUSTED, format!("TLS failed: {tls}"));
        return match tls {
            rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => meaning.next(
                "set `ca` in [s3] to the certificate authority of this server, if it has one of its own",
            ),
            rustls::Error::InvalidCertificate(_) => meaning.next("mend the server's certificate"),
            // Many more, and the list is open.
            _ => meaning,
        };
    }
    let connecting = chain(error)
        .filter_map(|e| e.downcast_ref::<hyper_util::client::legacy::Error>())
        .any(hyper_util::client::legacy::Error::is_connect);
    let refused = chain(error)
        .filter_map(|e| e.downcast_ref::<std::io::Error>())
        .any(|e| e.kind() == std::io::ErrorKind::ConnectionRefused);
    if connecting || refused {
        return Meaning::new(codes::S3_UNREACHABLE, format!("no connection: {}", deepest(error)))
            .next("hactl doctor");
    }
    Meaning::new(doing.unanswered(), format!("the connection ended without an answer: {}", deepest(error)))
}
