//! What a request is answered with: an object, or one of the documented errors.

use serde_json::{Value, json};

use super::model::Id;

/// An answer, or the refusal of the request.
pub(crate) type Answered<T = Answer> = Result<T, Refusal>;

/// The answer to a request that was carried out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The document; none where the status is 204.
    pub(crate) body: Option<Value>,
}

impl Answer {
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: 200, body: Some(body) }
    }

    pub(crate) fn created(body: Value) -> Self {
        Self { status: 201, body: Some(body) }
    }

    pub(crate) fn gone() -> Self {
        Self { status: 204, body: None }
    }
}

/// A refusal: the status, the code and the text that the API documents for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    details: Option<Box<Value>>,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into(), details: None }
    }

    /// A field of the request is not what it must be.
    pub(crate) fn invalid(field: &str, why: impl Into<String>) -> Self {
        let why = why.into();
        let details = json!({ "fields": [{ "name": field, "messages": [why] }] });
        let message = format!("invalid input in field '{field}': {why}");
        Self { details: Some(Box::new(details)), ..Self::new(422, "invalid_input", message) }
    }

    pub(crate) fn not_found(kind: &str, which: impl std::fmt::Display) -> Self {
        Self::new(404, "not_found", format!("{kind} with ID '{which}' not found"))
    }

    pub(crate) fn no_such_path() -> Self {
        Self::new(404, "not_found", "the requested path is not one of the lab's cloud")
    }

    pub(crate) fn unique(field: &str, what: &str) -> Self {
        let details = json!({ "fields": [{ "name": field }] });
        let message = format!("{what} is already used");
        Self { details: Some(Box::new(details)), ..Self::new(409, "uniqueness_error", message) }
    }

    pub(crate) fn protected(kind: &str, id: Id) -> Self {
        Self::new(423, "protected", format!("{kind} {id} is protected against deletion"))
    }

    pub(crate) fn locked(kind: &str, id: Id) -> Self {
        Self::new(423, "locked", format!("{kind} {id} is locked: an action is running on it"))
    }

    /// A request that is well formed but that the state of things does not allow.
    pub(crate) fn refused(code: &str, message: impl Into<String>) -> Self {
        Self::new(422, code, message)
    }

    pub(crate) fn json(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(details) = &self.details {
            error["details"] = Value::clone(details);
        }
        json!({ "error": error })
    }
}
