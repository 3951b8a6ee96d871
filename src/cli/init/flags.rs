//! How answers are written on the command line.

use std::str::FromStr;

use crate::init::HostDraft;
use crate::name::HostName;
use crate::runbook::{Input, InputType, Value};
use crate::secret::SecretRef;
use crate::workspace::Address;

/// `NAME=VALUE`.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) value: String,
}

impl FromStr for Named {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

/// `NAME=ADDRESS[:PORT]`.
#[derive(Clone, Debug)]
pub(super) struct HostFlag(pub(super) HostDraft);

impl FromStr for HostFlag {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, at) = text.split_once('=').ok_or("write it as NAME=ADDRESS or NAME=ADDRESS:PORT")?;
        HostName::new(name).map_err(|e| e.to_string())?;
        let (address, port) = address(at)?;
        Ok(Self(HostDraft { name: name.to_owned(), address, port, ..HostDraft::default() }))
    }
}

/// An address, and a port where it names one: `host`, `host:22`, `fd00::1`, `[fd00::1]:22`.
pub(super) fn address(text: &str) -> Result<(String, Option<u16>), String> {
    let (address, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, rest)) => (address, Some(rest.strip_prefix(':').unwrap_or(rest))),
        None => match text.split_once(':') {
            Some((address, port)) if !port.contains(':') => (address, Some(port)),
            Some(_) | None => (text, None),
        },
    };
    let checked: Address = address.parse().map_err(|e| format!("not an address: {e}"))?;
    let port = port.map(|port| match port.parse::<u16>() {
        Ok(port @ 1..) => Ok(port),
        Ok(0) | Err(_) => Err(format!("not a port: {port:?}")),
    });
    Ok((checked.to_string(), port.transpose()?))
}

/// Where a secret is kept, or that a new one is made.
#[derive(Clone, Debug)]
pub(super) enum SecretFlag {
    Make,
    At(SecretRef),
    /// It does not fit; why. What stands there is not kept: it may be the secret itself.
    Wrong(String),
}

impl From<&str> for SecretFlag {
    fn from(text: &str) -> Self {
        if text == "make" {
            return Self::Make;
        }
        let how = "say where it is kept: file:PATH, env:NAME, command:'PROGRAM ARGUMENT' or sops:FILE#PATH";
        let read = match text.split_once(':').filter(|(_, rest)| !rest.is_empty()) {
            Some((kind, rest)) => reference(kind, rest),
            None => Err(String::new()),
        };
        match read {
            Ok(reference) => Self::At(reference),
            Err(why) => Self::Wrong(if why.is_empty() { how.to_owned() } else { why }),
        }
    }
}

/// The reference of a kind; the error is empty where there is no such kind.
pub(super) fn reference(kind: &str, rest: &str) -> Result<SecretRef, String> {
    match kind {
        "file" => Ok(SecretRef::File(rest.into())),
        "env" if rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
            Ok(SecretRef::Env(rest.to_owned()))
        }
        "env" => Err("the name of a variable has letters, digits and _".to_owned()),
        "command" => match shell_words::split(rest) {
            Ok(words) if !words.is_empty() => Ok(SecretRef::Command(words)),
            Ok(_) | Err(_) => Err("a program and its arguments are wanted".to_owned()),
        },
        "sops" if rest.contains('#') => Ok(SecretRef::Sops(rest.to_owned())),
        "sops" => Err("write FILE#PATH.TO.VALUE".to_owned()),
        _other => Err(String::new()),
    }
}

/// The value of an input as its type wants it.
pub(super) fn value(input: &Input, text: &str) -> Result<Value, String> {
    let value = match input.value_type {
        InputType::Integer => text.parse().map(Value::Integer).ok(),
        InputType::Boolean => text.parse().map(Value::Boolean).ok(),
        InputType::List => Some(Value::List(text.split(',').map(|item| item.trim().to_owned()).collect())),
        InputType::String | InputType::Duration | InputType::Size => Some(Value::Text(text.to_owned())),
    };
    value
        .filter(|value| input.value_type.accepts(value))
        .ok_or_else(|| format!("{} is {}", input.name, input.value_type.with_article()))
}

#[cfg(test)]
mod tests {
    use super::{SecretFlag, address};

    #[test]
    fn addresses_may_name_a_port() {
        let read = |text: &str| address(text);
        assert_eq!(read("192.0.2.1"), Ok(("192.0.2.1".into(), None)));
        assert_eq!(read("db.example:2222"), Ok(("db.example".into(), Some(2222))));
        assert_eq!(read("fd00::1"), Ok(("fd00::1".into(), None)));
        assert_eq!(read("[fd00::1]:22"), Ok(("fd00::1".into(), Some(22))));
        assert!(read("db.example:0").is_err() && read("-oProxyCommand=x").is_err() && read("").is_err());
    }

    #[test]
    fn a_secret_in_clear_is_refused_and_not_repeated() {
        for clear in ["hunter2hunter2", "hunter2:", "pass:hunter2hunter2", "env:hunter2-hunter2"] {
            match SecretFlag::from(clear) {
                SecretFlag::Wrong(why) => assert!(!why.contains("hunter2"), "{why}"),
                taken => panic!("{taken:?}"),
            }
        }
        for good in ["file:secrets/x", "env:S3_KEY", "command:pass show 's3 key'", "sops:a.yaml#b.c"] {
            assert!(matches!(SecretFlag::from(good), SecretFlag::At(_)), "{good}");
        }
        assert!(matches!(SecretFlag::from("make"), SecretFlag::Make));
    }
}
