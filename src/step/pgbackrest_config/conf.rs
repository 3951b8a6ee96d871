//! The text of pgbackrest.conf, with its secrets and without them.
//!
//! Invariant: the text with secrets is a `SecretString` and goes to the host by standard input only; what is shown or
//! journaled comes from [`Conf::masked`].

use secrecy::{ExposeSecret as _, SecretString};

use crate::access::reads::FileSeen;
use crate::diagnostic::{Error, Result, codes};

/// By this first line hactl recognises its own file.
pub(super) const WRITTEN_BY: &str = "# Written by hactl";

/// The keys whose values are secret, in our own files and in those of others.
const SECRET_KEYS: &[&str] =
    &["-key", "-key-secret", "-cipher-pass", "-token", "-passphrase", "-pass", "-password"];

const MASK: &str = "(secret)";

/// A configuration in the making.
pub(super) struct Conf {
    plain: String,
    masked: String,
}

impl Conf {
    pub(super) fn new(fleet: &str) -> Self {
        let head = format!(
            "{WRITTEN_BY} for the fleet {fleet}. Change hactl.toml or the runbook instead: this file is written anew.\n"
        );
        Self { plain: head.clone(), masked: head }
    }

    pub(super) fn section(&mut self, name: &str) {
        let line = format!("\n[{name}]\n");
        self.plain.push_str(&line);
        self.masked.push_str(&line);
    }

    /// Sets what anybody may see.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<()> {
        self.line(key, value, value)
    }

    /// Sets what nobody may see.
    pub(super) fn secret(&mut self, key: &str, value: &SecretString) -> Result<()> {
        self.line(key, value.expose_secret(), MASK)
    }

    fn line(&mut self, key: &str, value: &str, shown: &str) -> Result<()> {
        // pgBackRest trims values and ends them at the line, so such a value would not arrive as it is.
        if value.is_empty() || value.trim() != value || value.contains(['\n', '\r', '\0']) {
            let what = format!("the value of {key} is empty, has spaces around it, or more than one line");
            return Err(Error::new(codes::S3_SETTINGS, what).state("nothing was changed"));
        }
        self.plain.push_str(&format!("{key}={value}\n"));
        self.masked.push_str(&format!("{key}={shown}\n"));
        Ok(())
    }

    /// The text for the host.
    pub(super) fn text(&self) -> SecretString {
        self.plain.clone().into()
    }

    /// The text for people.
    pub(super) fn masked(&self) -> String {
        self.masked.clone()
    }
}

/// A configuration with its secrets masked.
pub(super) fn masked(text: &str) -> String {
    let line = |line: &str| match line.split_once('=') {
        Some((key, _)) if is_secret(key) => format!("{key}={MASK}\n"),
        Some(_) | None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

fn is_secret(key: &str) -> bool {
    SECRET_KEYS.iter().any(|end| key.trim().ends_with(end))
}

/// The secret keys that both have, with different values.
pub(super) fn changed_secrets(is: Option<&FileSeen>, wanted: &Conf) -> Vec<String> {
    let Some(seen) = is else { return Vec::new() };
    let is = SecretString::from(String::from_utf8_lossy(&seen.bytes).into_owned());
    let text = wanted.text();
    secrets(is.expose_secret())
        .filter(|(key, value)| secrets(text.expose_secret()).any(|(k, v)| k == *key && v != *value))
        .map(|(key, _)| key.to_owned())
        .collect()
}

fn secrets(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.split_once('=')).filter(|(key, _)| is_secret(key))
}

/// Host and port of an endpoint. pgBackRest speaks HTTPS only.
pub(super) fn endpoint(url: &str) -> Result<(String, u16)> {
    let refuse = |why: &str| {
        Error::new(codes::S3_SETTINGS, format!("the S3 endpoint {url:?} cannot be used by pgBackRest: {why}"))
            .state("nothing was changed")
    };
    let rest = url.strip_prefix("https://").ok_or_else(|| refuse("it speaks only HTTPS"))?;
    let authority = rest.trim_end_matches('/');
    if authority.contains('/') {
        return Err(refuse("it has a path"));
    }
    let (host, port) = match authority.rsplit_once(':') {
        // An IPv6 address stands in brackets.
        Some((host, port)) if !port.contains(']') => {
            (host, port.parse().map_err(|_| refuse("its port is no port"))?)
        }
        Some(_) | None => (authority, 443),
    };
    if host.is_empty() { Err(refuse("it has no host")) } else { Ok((host.to_owned(), port)) }
}

#[cfg(test)]
mod tests {
    use secrecy::{ExposeSecret as _, SecretString};

    use super::{Conf, changed_secrets, endpoint, masked};
    use crate::access::reads::{FileFacts, FileKind, FileSeen};
    use crate::digest::Digest;

    fn conf(pass: &str) -> Conf {
        let mut conf = Conf::new("acme");
        conf.section("global");
        conf.set("repo1-s3-bucket", "backups").unwrap();
        conf.secret("repo1-cipher-pass", &SecretString::from(pass.to_owned())).unwrap();
        conf
    }

    fn seen(conf: &Conf) -> FileSeen {
        let bytes = conf.text().expose_secret().as_bytes().to_vec();
        let facts = FileFacts {
            kind: FileKind::Regular,
            owner: "root".into(),
            group: "postgres".into(),
            mode: 0o640,
            size: 1,
            modified: 0,
        };
        FileSeen { facts, digest: Digest::of(&bytes), bytes }
    }

    #[test]
    fn a_secret_is_in_the_file_and_in_nothing_that_is_shown() {
        let conf = conf("hunter2");
        assert!(conf.text().expose_secret().contains("repo1-cipher-pass=hunter2\n"));
        assert!(!conf.masked().contains("hunter2") && conf.masked().contains("repo1-s3-bucket=backups"));
        assert_eq!(masked(conf.text().expose_secret()), conf.masked());
        assert_eq!(masked("repo2-s3-key = abc\n"), "repo2-s3-key =(secret)\n");
    }

    #[test]
    fn a_changed_secret_is_named_and_not_shown() {
        assert!(changed_secrets(Some(&seen(&conf("a"))), &conf("a")).is_empty());
        assert_eq!(changed_secrets(Some(&seen(&conf("a"))), &conf("b")), ["repo1-cipher-pass"]);
        assert!(changed_secrets(None, &conf("b")).is_empty());
    }

    #[test]
    fn what_would_not_arrive_as_it_is_is_refused() {
        let mut conf = conf("a");
        for bad in ["", " a", "a\nrepo1-path=/x", "a "] {
            assert!(conf.secret("repo1-s3-key", &SecretString::from(bad.to_owned())).is_err());
        }
    }

    #[test]
    fn endpoints_are_taken_apart() {
        let parts = |url: &str| endpoint(url).map_err(|e| e.to_string());
        assert_eq!(parts("https://s3.lab:8443"), Ok(("s3.lab".into(), 8443)));
        assert_eq!(
            parts("https://hel1.your-objectstorage.com/"),
            Ok(("hel1.your-objectstorage.com".into(), 443))
        );
        for bad in ["http://s3.lab", "s3.lab", "https://", "https://s3.lab/path", "https://s3.lab:x"] {
            assert!(parts(bad).is_err(), "{bad}");
        }
    }
}
