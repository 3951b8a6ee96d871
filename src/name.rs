//! Names and ids as types, so that a step cannot be passed where a host is wanted.
//!
//! A name is checked when it is made: it may become a path, a systemd unit, an argument or a label, so it holds
//! only lower-case letters, digits, `-` and `.`, and begins with a letter or a digit.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// Longest name that still fits everywhere it is used (a DNS label, a path segment).
pub const MAX_NAME: usize = 63;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name cannot be empty")]
    Empty,
    /// Longer than [`MAX_NAME`].
    #[error("a name has at most {MAX_NAME} characters, this one has {0}")]
    TooLong(usize),
    /// A character that could change meaning on its way.
    #[error(
        "a name holds a-z, 0-9, '-' and '.' and begins with a letter or a digit; {0:?} is not allowed here"
    )]
    Character(char),
}

fn checked(text: &str) -> Result<&str, NameError> {
    let length = text.chars().count();
    if length == 0 {
        return Err(NameError::Empty);
    }
    if length > MAX_NAME {
        return Err(NameError::TooLong(length));
    }
    for (index, c) in text.chars().enumerate() {
        let inner = index > 0 && (c == '-' || c == '.');
        if !(c.is_ascii_lowercase() || c.is_ascii_digit() || inner) {
            return Err(NameError::Character(c));
        }
    }
    Ok(text)
}

/// Deserialises what is written as a text, without making a copy of the text first: a long journal holds millions.
pub(crate) fn from_text<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr,
    T::Err: fmt::Display,
    D: Deserializer<'de>,
{
    struct Text<T>(PhantomData<T>);

    impl<T> Visitor<'_> for Text<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text(PhantomData))
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Checks and wraps a text.
            ///
            /// # Errors
            /// What is wrong with it as a name.
            pub fn new(text: &str) -> Result<Self, NameError> {
                checked(text).map(|t| Self(t.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                from_text(deserializer)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

    )*};
}

names! {
    /// A fleet: the servers of one workspace. It is written on each host as the owner.
    FleetName;
    /// A host of the fleet.
    HostName;
    /// A role, by which a runbook names hosts.
    RoleName;
    /// A runbook.
    RunbookName;
    /// A phase of a runbook, such as `0`.
    PhaseId;
    /// A step, unique in its runbook, such as `wal-archive`.
    StepId;
    /// A component that the runbook declares, such as `cell-postgres`.
    ComponentName;
    /// One execution of a runbook.
    RunId;
    /// A named output of a step.
    OutputName;
    /// A secret that hactl keeps, encrypted.
    SecretName;
}

macro_rules! unnamed {
    ($($name:ident)*) => {$(
        impl $name {
            /// Stands where a file lacks the name, so that the rest of it can be checked too; never given out.
            pub(crate) fn unnamed() -> Self {
                Self("unnamed".into())
            }
        }
    )*};
}

unnamed!(FleetName HostName RunbookName PhaseId StepId RoleName);

impl RunId {
    /// A new id: it sorts by time and fits into a path.
    #[must_use]
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7().simple().to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::{HostName, NameError, RunId};

    #[test]
    fn a_name_is_safe_in_a_path_and_as_an_argument() {
        assert!(HostName::new("node-1").is_ok());
        assert_eq!(HostName::new(""), Err(NameError::Empty));
        assert_eq!(HostName::new("-rf"), Err(NameError::Character('-')));
        assert_eq!(HostName::new("../etc"), Err(NameError::Character('.')));
        assert_eq!(HostName::new("a b"), Err(NameError::Character(' ')));
        assert_eq!(HostName::new(&"a".repeat(64)), Err(NameError::TooLong(64)));
    }

    #[test]
    fn run_ids_are_names() {
        let id = RunId::generate();
        assert_eq!(RunId::new(id.as_str()).as_ref(), Ok(&id));
    }
}
