//! Objects of the API, as far as hactl looks at them.
//!
//! Invariant: only what an object cannot be without is required; a new field or a new word in one never makes the
//! rest of a list unreadable. Words are texts here, and compared where they matter.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What every object has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Head {
    /// Its number.
    pub id: i64,
    /// Its name, unique in a project among objects of its kind.
    pub name: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// A kind of object.
pub trait Resource: Clone + Debug + DeserializeOwned {
    /// The path, which is also the key of lists.
    const MANY: &'static str;
    /// The key of a single one.
    const ONE: &'static str;
    /// What it is called.
    const WORDS: &'static str;
    /// Whether the API does things with it in the background.
    const ACTIONS: Actions = Actions::Some;

    /// What every object has.
    fn head(&self) -> &Head;
}

/// Whether the API does things with a kind of object in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actions {
    /// It does.
    Some,
    /// It never does.
    Never,
}

macro_rules! resources {
    ($($name:ident = $many:literal, $one:literal, $words:literal, $actions:ident;)*) => {$(
        impl Resource for $name {
            const MANY: &'static str = $many;
            const ONE: &'static str = $one;
            const WORDS: &'static str = $words;
            const ACTIONS: Actions = Actions::$actions;
            fn head(&self) -> &Head {
                &self.head
            }
        }
    )*};
}

resources! {
    SshKey = "ssh_keys", "ssh_key", "SSH key", Never;
}

/// A public key that new servers can be given.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SshKey {
    /// What every object has.
    #[serde(flatten)]
    pub head: Head,
    /// The key, as it stands in `authorized_keys`.
    pub public_key: String,
}
