//! One server and how it is reached.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::name::{HostName, RoleName};

/// A server of the fleet.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name.
    pub name: HostName,
    /// Where it is reached, as the file says; see [`Host::reached_at`].
    pub address: Address,
    /// Where its neighbours reach it.
    pub private_address: Option<Address>,
    /// The server in the cloud that it is, where a step makes it: then its address is known once it is made.
    pub server: Option<StandsOn>,
    /// What it does.
    pub roles: Vec<RoleName>,
    /// The port of sshd.
    pub port: u16,
    /// The user that logs in.
    pub user: UserName,
    /// The key that logs in, absolute.
    pub identity: Option<PathBuf>,
    /// The host through which it is reached.
    pub jump: Option<HostName>,
}

/// A server in the cloud, by name, and where it is reached once a step of the run made it. Every copy of a host learns it.
#[derive(Clone, Debug)]
pub struct StandsOn {
    /// The server's name.
    pub name: String,
    found: Arc<Mutex<Option<Found>>>,
}

/// Where a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) address: Address,
    pub(crate) private_address: Option<Address>,
}

impl StandsOn {
    pub(super) fn new(name: String) -> Self {
        Self { name, found: Arc::default() }
    }

    /// From now on the server is known to be there, or not to be.
    pub(crate) fn learn(&self, found: Option<Found>) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    fn found(&self) -> Option<Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Host {
    /// Where it is reached; nowhere yet where a step of the run is to make its server.
    #[must_use]
    pub fn reached_at(&self) -> Option<Address> {
        match &self.server {
            None => Some(self.address.clone()),
            Some(server) => server.found().map(|found| found.address),
        }
    }

    /// Where its neighbours reach it: at its private address, else where everybody does.
    #[must_use]
    pub fn neighbours_reach_it_at(&self) -> Option<Address> {
        let given = self.private_address.clone();
        let found = |server: &StandsOn| server.found()?.private_address;
        given.or_else(|| self.server.as_ref().and_then(found)).or_else(|| self.reached_at())
    }
}

/// A host name or IP address that is safe as an argument and in an ssh configuration.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(String);

/// A user name that is safe as an argument and in an ssh configuration.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(String);

/// Why a text is no address or user name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Empty.
    #[error("it is empty")]
    Empty,
    /// A program would take it for an option.
    #[error("it begins with '-', which a program would take for an option")]
    Dash,
    /// Longer than any name.
    #[error("it has more than 253 characters")]
    TooLong,
    /// A character that could change meaning on its way.
    #[error("{0:?} is not allowed here")]
    Character(char),
}

fn checked(text: &str, allowed: fn(char) -> bool) -> Result<String, AddressError> {
    match text.chars().next() {
        None => return Err(AddressError::Empty),
        Some('-') => return Err(AddressError::Dash),
        Some(_) => {}
    }
    if text.len() > 253 {
        return Err(AddressError::TooLong);
    }
    match text.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(AddressError::Character(c)),
        None => Ok(text.to_owned()),
    }
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        checked(text, |c| c.is_ascii_alphanumeric() || ".-:".contains(c)).map(Self)
    }
}

impl FromStr for UserName {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        checked(text, |c| c.is_ascii_alphanumeric() || "._-".contains(c)).map(Self)
    }
}

/// A word that is safe as an argument, in a path and in a configuration: a region, a bucket, a version.
#[derive(Debug, Default)]
pub(super) struct Word(pub(super) String);

impl FromStr for Word {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        checked(text, |c| c.is_ascii_alphanumeric() || "._-".contains(c)).and_then(|word| {
            match word.as_str() {
                "." | ".." => Err(AddressError::Character('.')),
                _ => Ok(Self(word)),
            }
        })
    }
}

macro_rules! text {
    ($($name:ident)*) => {$(
        impl $name {
            /// Stands where a file lacks it, so that the rest can be checked too; never given out.
            pub(super) fn unknown() -> Self {
                Self("unknown".into())
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
                write!(f, "{:?}", self.0)
            }
        }
    )*};
}

text!(Address UserName);

#[cfg(test)]
mod tests {
    use super::{Address, AddressError};

    #[test]
    fn an_address_cannot_become_an_option_or_a_second_word() {
        let parse = |text: &str| text.parse::<Address>().map(|a| a.to_string());
        assert_eq!(parse("fd00::1").as_deref(), Ok("fd00::1"));
        assert_eq!(parse("node-1.example"), Ok("node-1.example".into()));
        assert_eq!(parse("-oProxyCommand=x"), Err(AddressError::Dash));
        assert_eq!(parse("a b"), Err(AddressError::Character(' ')));
        assert_eq!(parse("a\nb"), Err(AddressError::Character('\n')));
        assert_eq!(parse("root@a"), Err(AddressError::Character('@')));
        assert_eq!(parse(""), Err(AddressError::Empty));
    }
}
