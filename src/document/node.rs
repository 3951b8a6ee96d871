//! The tree itself: owned, with a span on every key and value.

use std::ops::Range;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, ValueDeserializer};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Bytes of the file.
    pub span: Range<usize>,
    /// What stands there.
    pub tree: Tree,
}

/// A key and where it stands.
#[derive(Clone, Debug)]
pub struct Key {
    /// Bytes of the file.
    pub span: Range<usize>,
    /// The key, unquoted.
    pub text: String,
}

/// What a TOML value can be. Numbers and dates keep their literal: they are checked by whoever wants them.
#[derive(Clone, Debug)]
pub enum Tree {
    /// A string, unquoted.
    String(String),
    /// A number or a date and time, as it was written.
    Literal(Literal, String),
    /// `true` or `false`.
    Boolean(bool),
    /// An array.
    Array(Vec<Node>),
    /// A table, in the order of the file.
    Table(Vec<(Key, Node)>),
}

/// Which literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literal {
    /// An integer.
    Integer,
    /// A floating-point number.
    Float,
    /// A date, a time, or both.
    Datetime,
}

impl Node {
    /// An empty table.
    #[must_use]
    pub fn empty() -> Self {
        Self { span: 0..0, tree: Tree::Table(Vec::new()) }
    }

    /// What it is, in TOML's words.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match &self.tree {
            Tree::String(_) => "a string",
            Tree::Literal(Literal::Integer, _) => "an integer",
            Tree::Literal(Literal::Float, _) => "a float",
            Tree::Literal(Literal::Datetime, _) => "a date or time",
            Tree::Boolean(_) => "a boolean",
            Tree::Array(_) => "an array",
            Tree::Table(_) => "a table",
        }
    }

    /// The string, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.tree {
            Tree::String(text) => Some(text),
            Tree::Literal(..) | Tree::Boolean(_) | Tree::Array(_) | Tree::Table(_) => None,
        }
    }

    /// The integer, if it is one that fits.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        self.read().ok()
    }

    /// The boolean, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match &self.tree {
            Tree::Boolean(value) => Some(*value),
            Tree::Literal(..) | Tree::String(_) | Tree::Array(_) | Tree::Table(_) => None,
        }
    }

    /// The elements, if it is an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Node]> {
        match &self.tree {
            Tree::Array(nodes) => Some(nodes),
            Tree::Literal(..) | Tree::String(_) | Tree::Boolean(_) | Tree::Table(_) => None,
        }
    }

    /// The entries, if it is a table.
    #[must_use]
    pub fn entries(&self) -> Option<&[(Key, Node)]> {
        match &self.tree {
            Tree::Table(entries) => Some(entries),
            Tree::Literal(..) | Tree::String(_) | Tree::Boolean(_) | Tree::Array(_) => None,
        }
    }

    /// One entry of a table.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, node)| node)
    }

    /// One entry of a table with its key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<(&Key, &Node)> {
        self.entries()?.iter().find(|(k, _)| k.text == key).map(|(k, node)| (k, node))
    }

    /// The node as a type of serde's; errors carry spans of the file.
    ///
    /// # Errors
    /// The node does not fit the type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, toml::de::Error> {
        T::deserialize(self.deserializer()?)
    }

    /// A deserialiser over the node.
    ///
    /// # Errors
    /// A literal is none: impossible for what the parser has read.
    pub fn deserializer(&self) -> Result<ValueDeserializer<'_>, toml::de::Error> {
        self.to_de().map(ValueDeserializer::from)
    }

    fn to_de(&self) -> Result<Spanned<DeValue<'_>>, toml::de::Error> {
        let value = match &self.tree {
            Tree::String(text) => DeValue::String(text.as_str().into()),
            Tree::Boolean(value) => DeValue::Boolean(*value),
            Tree::Literal(_, text) => DeValue::parse(text)?.into_inner(),
            Tree::Array(nodes) => {
                let mut array = DeArray::new();
                for node in nodes {
                    array.push(node.to_de()?);
                }
                DeValue::Array(array)
            }
            Tree::Table(entries) => {
                let mut table = DeTable::new();
                for (key, node) in entries {
                    table.insert(Spanned::new(key.span.clone(), key.text.as_str().into()), node.to_de()?);
                }
                DeValue::Table(table)
            }
        };
        Ok(Spanned::new(self.span.clone(), value))
    }

    /// The value of a JSON value, standing at `span`. JSON's null has no TOML form and becomes an empty string.
    #[must_use]
    pub fn from_json(json: &Json, span: &Range<usize>) -> Self {
        let tree = match json {
            Json::Null => Tree::String(String::new()),
            Json::Bool(value) => Tree::Boolean(*value),
            Json::Number(number) if number.is_f64() => Tree::Literal(Literal::Float, number.to_string()),
            Json::Number(number) => Tree::Literal(Literal::Integer, number.to_string()),
            Json::String(text) => Tree::String(text.clone()),
            Json::Array(values) => Tree::Array(values.iter().map(|v| Self::from_json(v, span)).collect()),
            Json::Object(map) => Tree::Table(
                map.iter()
                    .map(|(k, v)| (Key { span: span.clone(), text: k.clone() }, Self::from_json(v, span)))
                    .collect(),
            ),
        };
        Self { span: span.clone(), tree }
    }
}

/// The owned form of what the parser read.
pub(super) fn from_table(table: DeTable<'_>, span: Range<usize>) -> Node {
    let mut entries: Vec<(Key, Node)> = table
        .into_iter()
        .map(|(key, value)| {
            let at = key.span();
            (Key { span: at, text: key.into_inner().into_owned() }, from_value(value))
        })
        .collect();
    // The parser sorts by name; people read in the order in which they wrote.
    entries.sort_by_key(|(key, _)| key.span.start);
    Node { span, tree: Tree::Table(entries) }
}

fn from_value(value: Spanned<DeValue<'_>>) -> Node {
    let span = value.span();
    let tree = match value.into_inner() {
        DeValue::String(text) => Tree::String(text.into_owned()),
        DeValue::Integer(number) => Tree::Literal(Literal::Integer, number.to_string()),
        DeValue::Float(number) => Tree::Literal(Literal::Float, number.to_string()),
        DeValue::Boolean(value) => Tree::Boolean(value),
        DeValue::Datetime(datetime) => Tree::Literal(Literal::Datetime, datetime.to_string()),
        DeValue::Array(array) => Tree::Array(array.into_iter().map(from_value).collect()),
        DeValue::Table(table) => return from_table(table, span),
    };
    Node { span, tree }
}
