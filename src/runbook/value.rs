//! Values of inputs, and their declared types.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::document::{Node, Tree};
use crate::units::{HumanDuration, Size};

/// The type of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputType {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A duration with its unit, such as `"90s"`.
    Duration,
    /// A number of bytes with its unit, such as `"1GiB"`.
    Size,
    /// A list of texts.
    List,
}

/// A value of one of the types. Durations and sizes are texts with units, as in TOML.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Text, a duration or a size.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
}

impl InputType {
    /// Every type, as runbooks name them.
    pub const NAMES: &[(&str, Self)] = &[
        ("string", Self::String),
        ("integer", Self::Integer),
        ("boolean", Self::Boolean),
        ("duration", Self::Duration),
        ("size", Self::Size),
        ("list", Self::List),
    ];

    /// Whether `value` is of this type.
    #[must_use]
    pub fn accepts(self, value: &Value) -> bool {
        match (self, value) {
            (Self::String, Value::Text(_))
            | (Self::Integer, Value::Integer(_))
            | (Self::Boolean, Value::Boolean(_))
            | (Self::List, Value::List(_)) => true,
            (Self::Duration, Value::Text(text)) => text.parse::<HumanDuration>().is_ok(),
            (Self::Size, Value::Text(text)) => text.parse::<Size>().is_ok(),
            (
                Self::String | Self::Integer | Self::Boolean | Self::Duration | Self::Size | Self::List,
                Value::Boolean(_) | Value::Integer(_) | Value::Text(_) | Value::List(_),
            ) => false,
        }
    }

    /// Its name with the article.
    #[must_use]
    pub fn with_article(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Integer => "an integer",
            Self::Boolean => "a boolean",
            Self::Duration => "a duration such as \"90s\"",
            Self::Size => "a size such as \"1GiB\"",
            Self::List => "a list of strings",
        }
    }

    /// A value of this type that stands for one that is not known yet.
    #[must_use]
    pub fn exemplar(self) -> Value {
        match self {
            Self::String => Value::Text("example".into()),
            Self::Integer => Value::Integer(1),
            Self::Boolean => Value::Boolean(false),
            Self::Duration => Value::Text("1m".into()),
            Self::Size => Value::Text("1GiB".into()),
            Self::List => Value::List(vec!["example".into()]),
        }
    }
}

impl Value {
    /// The plainest type that accepts it.
    #[must_use]
    pub fn value_type(&self) -> InputType {
        match self {
            Self::Boolean(_) => InputType::Boolean,
            Self::Integer(_) => InputType::Integer,
            Self::Text(_) => InputType::String,
            Self::List(_) => InputType::List,
        }
    }

    /// The value of a node; none where inputs have no such type.
    #[must_use]
    pub fn from_node(node: &Node) -> Option<Self> {
        match &node.tree {
            Tree::String(text) => Some(Self::Text(text.clone())),
            Tree::Boolean(value) => Some(Self::Boolean(*value)),
            Tree::Literal(..) => node.as_integer().map(Self::Integer),
            Tree::Array(nodes) => {
                nodes.iter().map(|n| n.as_str().map(str::to_owned)).collect::<Option<_>>().map(Self::List)
            }
            Tree::Table(_) => None,
        }
    }
}

impl fmt::Display for InputType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, t)| t == self).map_or("value", |(name, _)| name);
        f.pad(name)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Text(text) => f.write_str(text),
            Self::List(texts) => f.write_str(&texts.join(",")),
        }
    }
}
