//! `[state] mirror`: the bucket in which the journal, and all that it takes to go on elsewhere, is kept a second time.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::host::Word;
use super::load::{endpoint, path, secret};
use super::{Addressing, S3Config};
use crate::diagnostic::codes;
use crate::document::{Found, Need, Node, Reader};
use crate::secret::SecretRef;

/// Where the mirror is, and what happens where it cannot be reached.
#[derive(Clone, Debug)]
pub struct MirrorConfig {
    /// The server and the bucket. Its key for restores is never used.
    pub s3: S3Config,
    /// What the names of its objects begin with; empty, or ending in `/`.
    pub prefix: String,
    /// Whether anything is begun that the mirror does not know of.
    pub demand: Demand,
}

/// What happens where the mirror cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Nothing is begun.
    Required,
    /// The run goes on, and the mirror catches up later.
    Wanted,
}

impl MirrorConfig {
    /// Its address, as it is written.
    #[must_use]
    pub fn url(&self) -> MirrorUrl {
        MirrorUrl { bucket: self.s3.bucket.clone(), prefix: self.prefix.clone() }
    }
}

/// `s3://bucket/prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorUrl {
    /// The bucket.
    pub bucket: String,
    /// Empty, or ending in `/`.
    pub prefix: String,
}

/// Why a text is no address of a mirror.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MirrorUrlError(String);

impl FromStr for MirrorUrl {
    type Err = MirrorUrlError;
    fn from_str(text: &str) -> Result<Self, MirrorUrlError> {
        let wrong = |why: &str| Err(MirrorUrlError(why.to_owned()));
        let Some(rest) = text.strip_prefix("s3://") else { return wrong("it does not begin with s3://") };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return wrong("it names no bucket");
        }
        let word = |word: &str| word.parse::<Word>().map_err(|e| MirrorUrlError(format!("{word:?}: {e}")));
        word(bucket)?;
        let prefix = prefix.trim_end_matches('/');
        if prefix.is_empty() {
            return Ok(Self { bucket: bucket.to_owned(), prefix: String::new() });
        }
        prefix.split('/').try_for_each(|part| word(part).map(drop))?;
        Ok(Self { bucket: bucket.to_owned(), prefix: format!("{prefix}/") })
    }
}

impl fmt::Display for MirrorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix.trim_end_matches('/'))
    }
}

/// Reads `[state]`. What it does not say of the server is taken from `[s3]`.
pub(super) fn read(
    found: &mut Found,
    node: &Node,
    root: &Path,
    s3: Option<&S3Config>,
) -> Option<MirrorConfig> {
    let mut table = Reader::new(found, node, "[state]");
    let url: Option<MirrorUrl> = match table.get("mirror") {
        None => {
            found
                .add(codes::FILE_MISSING_KEY, "[state] lacks mirror")
                .at(node.span.clone(), "mirror belongs here")
                .help("write mirror = \"s3://BUCKET/PREFIX\", or leave [state] out");
            None
        }
        Some(at) => match at.as_str().map(str::parse) {
            Some(Ok(url)) => Some(url),
            Some(Err(error)) => {
                found
                    .add(codes::FILE_BAD_VALUE, format!("[state] mirror: {error}"))
                    .at(at.span.clone(), "not usable")
                    .help("write it like \"s3://bucket/prefix\"");
                None
            }
            None => {
                found
                    .add(codes::FILE_ILL_TYPED, format!("mirror is a string, not {}", at.type_name()))
                    .at(at.span.clone(), "a string is wanted here");
                None
            }
        },
    };
    let demand = match table.boolean(found, "mirror_required") {
        Some(false) => Demand::Wanted,
        Some(true) | None => Demand::Required,
    };
    let own_endpoint = table.get("endpoint").and_then(|at| endpoint(found, "[state]", at));
    let region = table.parsed(found, "region", Need::Optional).map(|Word(region)| region);
    let addressing = table.boolean(found, "path_style").map(|path| match path {
        true => Addressing::Path,
        false => Addressing::VirtualHost,
    });
    let ca = path(found, &mut table, "ca", root);
    let access_key = secret(found, &mut table, "access_key", Need::Optional);
    let secret_key = secret(found, &mut table, "secret_key", Need::Optional);
    table.finish_masked(found);
    if node.get("access_key").is_some() != node.get("secret_key").is_some() {
        found
            .add(codes::FILE_MISSING_KEY, "[state] has one half of the mirror's key only")
            .at(node.span.clone(), "access_key and secret_key belong together");
    }
    let mut wanted = |own: Option<String>, theirs: Option<&String>, key: &str| {
        if own.is_none() && theirs.is_none() && node.get(key).is_none() && node.entries().is_some() {
            found
                .add(
                    codes::FILE_MISSING_KEY,
                    format!("[state] lacks {key}, and there is no [s3] to take it from"),
                )
                .at(node.span.clone(), format!("{key} belongs here"));
        }
        own.or_else(|| theirs.cloned()).unwrap_or_default()
    };
    let elsewhere = own_endpoint.is_some();
    let own_endpoint = wanted(own_endpoint, s3.map(|s3| &s3.endpoint), "endpoint");
    let region = wanted(region, s3.map(|s3| &s3.region), "region");
    let keys = match (access_key, secret_key, s3) {
        (Some(access), Some(secret), _) => Some((access, secret)),
        (_, _, Some(s3)) => Some((s3.access_key.clone(), s3.secret_key.clone())),
        (_, _, None) => {
            if node.get("access_key").is_none() && node.get("secret_key").is_none() {
                found
                    .add(
                        codes::FILE_MISSING_KEY,
                        "[state] has no credential for the mirror, and there is no [s3] to take it from",
                    )
                    .at(node.span.clone(), "access_key and secret_key belong here")
                    .help("write access_key = { env = \"NAME\" } and secret_key = { env = \"NAME\" }, or { file = \"secrets/…\" }");
            }
            None
        }
    };
    let (access_key, secret_key) =
        keys.unwrap_or_else(|| (SecretRef::Env(String::new()), SecretRef::Env(String::new())));
    let MirrorUrl { bucket, prefix } = url?;
    // The authority of another server says nothing of this one.
    let theirs = s3.filter(|_| !elsewhere);
    let s3 = S3Config {
        endpoint: own_endpoint,
        region,
        bucket,
        addressing: addressing.or(theirs.map(|s3| s3.addressing)).unwrap_or(Addressing::Path),
        ca: ca.or_else(|| theirs.and_then(|s3| s3.ca.clone())) as Option<PathBuf>,
        access_key,
        secret_key,
        restore: None,
    };
    Some(MirrorConfig { s3, prefix, demand })
}

#[cfg(test)]
mod tests {
    use super::MirrorUrl;

    #[test]
    fn an_address_names_a_bucket_and_perhaps_a_prefix() {
        let parse = |text: &str| text.parse::<MirrorUrl>().map(|url| (url.to_string(), url.prefix));
        assert_eq!(parse("s3://state/cell0").unwrap(), ("s3://state/cell0".into(), "cell0/".into()));
        assert_eq!(parse("s3://state").unwrap(), ("s3://state/".into(), String::new()));
        assert_eq!(parse("s3://state/a/b/").unwrap().1, "a/b/");
        for bad in [
            "state",
            "https://state/x",
            "s3://",
            "s3:///x",
            "s3://a/../b",
            "s3://a//b",
            "s3://a/b c",
            "s3://-a",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
