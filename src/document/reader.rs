//! Reading one table key by key: what is missing, ill-typed or unknown is remarked, and reading goes on.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use super::{Found, Key, Node};
use crate::diagnostic::codes;
use crate::units::{HumanDuration, UnitError};

/// Whether a key must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Its absence is a problem.
    Required,
    /// It may be left out.
    Optional,
}

/// A table being read. What it is asked for counts as known; [`Reader::finish`] remarks the rest.
#[derive(Debug)]
pub struct Reader<'a> {
    node: &'a Node,
    what: String,
    known: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    /// Reads `node`, shown as `what` (such as `[s3]`). What is no table reads as an empty one, after a remark.
    pub fn new(found: &mut Found, node: &'a Node, what: impl Into<String>) -> Self {
        let what = what.into();
        if node.entries().is_none() {
            found
                .add(codes::FILE_ILL_TYPED, format!("{what} is a table, not {}", node.type_name()))
                .at(node.span.clone(), "a table is wanted here");
        }
        Self { node, what, known: Vec::new() }
    }

    /// How the table is shown.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The value of `key`, if it is there.
    pub fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        self.node.get(key)
    }

    /// The value of `key`, whose absence is remarked.
    pub fn wanted(&mut self, found: &mut Found, key: &'static str) -> Option<&'a Node> {
        self.find(found, key, Need::Required)
    }

    fn find(&mut self, found: &mut Found, key: &'static str, need: Need) -> Option<&'a Node> {
        let node = self.get(key);
        if node.is_none() && need == Need::Required && self.node.entries().is_some() {
            found
                .add(codes::FILE_MISSING_KEY, format!("{} lacks {key}", self.what))
                .at(self.node.span.clone(), format!("{key} belongs here"));
        }
        node
    }

    /// A string.
    pub fn string(&mut self, found: &mut Found, key: &'static str, need: Need) -> Option<&'a str> {
        let node = self.find(found, key, need)?;
        let text = node.as_str();
        if text.is_none() {
            ill_typed(found, key, node, "a string");
        }
        text
    }

    /// A string that is a checked type, such as a name; with its node.
    pub fn parsed<T>(&mut self, found: &mut Found, key: &'static str, need: Need) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let node = self.find(found, key, need)?;
        parsed(found, key, node)
    }

    /// An integer within bounds.
    pub fn integer<T: TryFrom<i64> + Display>(
        &mut self,
        found: &mut Found,
        key: &'static str,
        bounds: std::ops::RangeInclusive<i64>,
    ) -> Option<T> {
        let node = self.get(key)?;
        let (low, high) = (*bounds.start(), *bounds.end());
        match node.as_integer().filter(|n| bounds.contains(n)).and_then(|n| T::try_from(n).ok()) {
            Some(number) => Some(number),
            None => {
                ill_typed(found, key, node, &format!("an integer from {low} to {high}"));
                None
            }
        }
    }

    /// A boolean.
    pub fn boolean(&mut self, found: &mut Found, key: &'static str) -> Option<bool> {
        let node = self.get(key)?;
        let value = node.as_bool();
        if value.is_none() {
            ill_typed(found, key, node, "true or false");
        }
        value
    }

    /// A duration with its unit.
    pub fn duration(&mut self, found: &mut Found, key: &'static str) -> Option<HumanDuration> {
        let node = self.get(key)?;
        let text = node.as_str().and_then(|text| text.trim().parse().ok());
        if let Some(number) = node.as_integer().or(text) {
            found
                .add(codes::FILE_BARE_NUMBER, UnitError::BareDuration(number).to_string())
                .at(node.span.clone(), "seconds? minutes?")
                .help(format!("write {key} = \"{number}s\" if seconds are meant"));
            return None;
        }
        parsed(found, key, node)
    }

    /// A list of strings of a checked type.
    pub fn list<T>(&mut self, found: &mut Found, key: &'static str) -> Vec<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let Some(node) = self.get(key) else { return Vec::new() };
        match node.as_array() {
            Some(nodes) => nodes.iter().filter_map(|n| parsed(found, key, n)).collect(),
            None => {
                ill_typed(found, key, node, "a list of strings");
                Vec::new()
            }
        }
    }

    /// The tables of an array of tables.
    pub fn tables(&mut self, found: &mut Found, key: &'static str) -> &'a [Node] {
        let Some(node) = self.get(key) else { return &[] };
        match node.as_array() {
            Some(nodes) => nodes,
            None => {
                found
                    .add(codes::FILE_ILL_TYPED, format!("{key} is a list of tables"))
                    .at(node.span.clone(), format!("write [[{key}]]"));
                &[]
            }
        }
    }

    /// The entries of a table of tables, such as `[inputs.x]`.
    pub fn entries(&mut self, found: &mut Found, key: &'static str) -> &'a [(Key, Node)] {
        let Some(node) = self.get(key) else { return &[] };
        match node.entries() {
            Some(entries) => entries,
            None => {
                ill_typed(found, key, node, "a table");
                &[]
            }
        }
    }

    /// Remarks every key that was never asked for, and hides its value: in a table of secrets a misspelt key may
    /// have one.
    pub fn finish_masked(self, found: &mut Found) {
        for (key, node) in self.node.entries().unwrap_or_default() {
            if !self.known.contains(&key.text.as_str()) {
                found.mask_values(node);
            }
        }
        self.finish(found);
    }

    /// Remarks every key that was never asked for.
    pub fn finish(self, found: &mut Found) {
        for (key, _) in self.node.entries().unwrap_or_default() {
            if !self.known.contains(&key.text.as_str()) {
                found
                    .add(codes::FILE_UNKNOWN_KEY, format!("{} has no key {:?}", self.what, key.text))
                    .at(key.span.clone(), "not known")
                    .help(suggest(&key.text, &self.known));
            }
        }
    }
}

fn ill_typed(found: &mut Found, key: &str, node: &Node, wanted: &str) {
    found
        .add(codes::FILE_ILL_TYPED, format!("{key} is {wanted}, not {}", node.type_name()))
        .at(node.span.clone(), format!("{wanted} is wanted here"));
}

/// A string node as a checked type.
pub fn parsed<T>(found: &mut Found, key: &str, node: &Node) -> Option<T>
where
    T: FromStr,
    T::Err: Display,
{
    let Some(text) = node.as_str() else {
        ill_typed(found, key, node, "a string");
        return None;
    };
    match text.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            found.add(codes::FILE_BAD_VALUE, format!("{key}: {error}")).at(node.span.clone(), "not usable");
            None
        }
    }
}

/// Remarks every table of `nodes` whose `key` an earlier one has too.
pub fn unique(found: &mut Found, what: &str, key: &str, nodes: &[Node]) {
    let mut seen = BTreeSet::new();
    for node in nodes.iter().filter_map(|node| node.get(key)) {
        if let Some(id) = node.as_str().filter(|id| !seen.insert(id.to_string())) {
            found
                .add(codes::FILE_DUPLICATE, format!("there are two {what}s {id:?}"))
                .at(node.span.clone(), "the second one")
                .help(format!("the {key} of a {what} is unique in the file"));
        }
    }
}

/// "did you mean …?" and all that is known.
#[must_use]
pub fn suggest<S: AsRef<str>>(word: &str, known: &[S]) -> String {
    let all: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
    let list = if all.is_empty() { "nothing is known here".to_owned() } else { all.join(", ") };
    match did_you_mean(word, &all) {
        Some(near) => format!("did you mean {near:?}? Known: {list}"),
        None => format!("known: {list}"),
    }
}

/// The known word nearest to `word`, where one is near enough to be what was meant.
#[must_use]
pub fn did_you_mean<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|k| (strsim::jaro_winkler(word, k), *k))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, k)| k)
}
