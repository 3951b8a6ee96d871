//! A request as the model reads it: no HTTP, no connection.

use std::collections::BTreeMap;

use serde_json::Value;

use super::answer::{Answered, Refusal};
use super::model::Id;

/// What is asked of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name {
            "GET" => Some(Self::Get),
            "POST" => Some(Self::Post),
            "PUT" => Some(Self::Put),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// One request below `/v1`.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// What is between the slashes, behind `/v1`.
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    /// The document; null where there is none.
    pub(crate) body: Value,
}

impl Request {
    /// The first value of a parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All values of a parameter that may be given more than once.
    pub(crate) fn parameters<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields(&self.body)
    }
}

/// An object of a request's document, read field by field.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a Value);

impl<'a> Fields<'a> {
    /// The value, where there is one that is not null.
    pub(crate) fn value(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|v| !v.is_null())
    }

    pub(crate) fn text(self, name: &str) -> Answered<Option<&'a str>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| Refusal::invalid(name, "must be a string"))
    }

    pub(crate) fn need_text(self, name: &str) -> Answered<&'a str> {
        let text = self.text(name)?.filter(|t| !t.is_empty());
        text.ok_or_else(|| Refusal::invalid(name, "is required"))
    }

    pub(crate) fn number(self, name: &str) -> Answered<Option<u64>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value.as_u64().map(Some).ok_or_else(|| Refusal::invalid(name, "must be a number"))
    }

    pub(crate) fn need_number(self, name: &str) -> Answered<u64> {
        self.number(name)?.ok_or_else(|| Refusal::invalid(name, "is required"))
    }

    pub(crate) fn flag(self, name: &str) -> Answered<Option<bool>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| Refusal::invalid(name, "must be true or false"))
    }

    /// An id, or a name, as a text: both are allowed where a catalogue is referred to.
    pub(crate) fn id_or_name(self, name: &str) -> Answered<Option<String>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        which(value).map(Some).ok_or_else(|| Refusal::invalid(name, "must be an ID or a name"))
    }

    pub(crate) fn list(self, name: &str) -> Answered<Vec<&'a Value>> {
        let Some(value) = self.value(name) else { return Ok(Vec::new()) };
        let list = value.as_array().ok_or_else(|| Refusal::invalid(name, "must be a list"))?;
        Ok(list.iter().collect())
    }

    pub(crate) fn ids(self, name: &str) -> Answered<Vec<Id>> {
        let list = self.list(name)?;
        let ids = list.iter().map(|v| v.as_u64().ok_or_else(|| Refusal::invalid(name, "must be IDs")));
        ids.collect()
    }

    /// Labels, as the API allows them; none where there are none in the request.
    pub(crate) fn labels(self) -> Answered<Option<BTreeMap<String, String>>> {
        let Some(value) = self.value("labels") else { return Ok(None) };
        let bad = || Refusal::invalid("labels", "is not a set of valid labels");
        let object = value.as_object().ok_or_else(bad)?;
        let mut labels = BTreeMap::new();
        for (key, value) in object {
            let value = value.as_str().ok_or_else(bad)?;
            if !is_label_key(key) || !is_label_value(value) {
                return Err(bad());
            }
            labels.insert(key.clone(), value.to_owned());
        }
        Ok(Some(labels))
    }
}

/// An id or a name as a text.
pub(crate) fn which(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).or_else(|| value.as_u64().map(|id| id.to_string()))
}

/// `[prefix/]name`, where the name is at most 63 long.
fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let prefix_is_fine = prefix.is_none_or(|p| {
        !p.is_empty() && p.len() <= 253 && p != "hetzner.cloud" && p.split('.').all(is_label_word)
    });
    prefix_is_fine && is_label_word(name)
}

fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_label_word(value)
}

fn is_label_word(word: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    word.len() <= 63
        && edge(word.chars().next())
        && edge(word.chars().next_back())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}
