//! The dumps in the bucket: which there are, how old the newest good one is.
//!
//! Invariant: a dump counts only when its manifest is there, for that is written last; a folder without one is
//! unfinished and nobody's backup. Taking dumps and restoring them are steps; this only reads the bucket.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::access::s3::S3View;
use crate::diagnostic::{Error, Result, codes};
use crate::redact::sanitize_for_terminal;
use crate::units::Size;

/// The folder of the bucket that dumps are in.
pub const PREFIX: &str = "dumps";

/// A dump is taken every night; one that is older than this says that a night was missed.
pub const STALE_AFTER: SignedDuration = SignedDuration::from_hours(26);

/// How dumps name their folder: UTC, to the second, sorted by time.
const STAMP: &str = "%Y%m%dT%H%M%SZ";

/// The manifest of dumps' format that this hactl reads.
const FORMAT: u32 = 1;

/// So many objects are listed at most.
const AT_MOST: usize = 100_000;

/// What an object of a dump is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A database in the custom format of `pg_dump`.
    Dump,
    /// The digests of a database's tables, in the snapshot of its dump.
    Digests,
    /// Roles and their like.
    Globals,
}

/// An object of a dump, encrypted with age.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Its name within the dump's folder.
    pub object: String,
    /// What it is.
    pub what: What,
    /// Of which database.
    pub database: Option<String>,
    /// Its length as it lies in the bucket.
    pub bytes: u64,
    /// The SHA-256 of its bytes as they lie in the bucket.
    pub sha256: String,
}

/// What a dump's manifest says. It is not encrypted, and names databases but none of what they hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format's number.
    pub format: u32,
    /// When it began; also the name of its folder.
    pub taken: String,
    /// When it ended.
    pub finished: String,
    /// The host's own name.
    pub host: String,
    /// The server's version.
    pub postgres: String,
    /// What it consists of.
    pub objects: Vec<Sealed>,
}

/// A dump that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump {
    /// What its manifest says.
    pub manifest: Manifest,
    /// When it began.
    pub taken: Timestamp,
}

impl Dump {
    /// The key of one of its objects.
    #[must_use]
    pub fn key(&self, object: &str) -> String {
        format!("{PREFIX}/{}/{object}", self.manifest.taken)
    }

    /// How old it is.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> SignedDuration {
        now.duration_since(self.taken)
    }

    /// Is it so old that a night must have been missed?
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.age(now) > STALE_AFTER
    }

    /// Its objects of one sort, in the order of the manifest.
    pub fn objects(&self, what: What) -> impl Iterator<Item = &Sealed> {
        self.manifest.objects.iter().filter(move |sealed| sealed.what == what)
    }

    /// The length of all of it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.manifest.objects.iter().map(|sealed| sealed.bytes).sum()
    }
}

/// The newest dump that counts, if there is any.
///
/// # Errors
/// The bucket cannot be read, holds too much to be sure, or the newest manifest is not one.
pub async fn newest(s3: &S3View) -> Result<Option<Dump>> {
    let listing = s3.list(&format!("{PREFIX}/"), AT_MOST).await?;
    if listing.truncated {
        let text = format!("{PREFIX}/ holds more than {AT_MOST} objects, so the newest dump is not known");
        return Err(Error::new(codes::S3_TOO_LARGE, text).state("nothing was changed"));
    }
    let Some(folder) = newest_folder(listing.objects.iter().map(|object| object.key.as_str())) else {
        return Ok(None);
    };
    let bytes = s3.get(&format!("{PREFIX}/{folder}/manifest.json"), Size(16 * 1024 * 1024)).await?;
    parse(folder, &bytes).map(Some)
}

/// The newest folder with a manifest; names sort by time.
fn newest_folder<'a>(keys: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let folder = |key: &'a str| key.strip_prefix(PREFIX)?.strip_prefix('/')?.strip_suffix("/manifest.json");
    keys.filter_map(folder).filter(|folder| stamp(folder).is_some()).max()
}

fn stamp(text: &str) -> Option<Timestamp> {
    let civil = jiff::civil::DateTime::strptime(STAMP, text).ok()?;
    civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

fn parse(folder: &str, bytes: &[u8]) -> Result<Dump> {
    let odd = |why: String| {
        let why = sanitize_for_terminal(&why);
        Error::new(
            codes::DUMP_ODD,
            format!("the manifest of the dump {PREFIX}/{folder} cannot be read: {why}"),
        )
        .state("the dump itself was not touched; without its manifest it does not count")
        .next("take another one: sudo systemctl start hactl-dump.service    (on the server), then: hactl resume")
    };
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|e| odd(e.to_string()))?;
    if manifest.format != FORMAT {
        return Err(odd(format!("its format is {}, and this hactl reads {FORMAT}", manifest.format)));
    }
    let sound =
        |object: &Sealed| object.object.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
    match stamp(&manifest.taken) {
        Some(taken) if manifest.taken == folder && manifest.objects.iter().all(sound) => {
            Ok(Dump { manifest, taken })
        }
        Some(_) => Err(odd("it is not of this folder, or names an object that no dump has".to_owned())),
        None => Err(odd(format!("{:?} is no time", manifest.taken))),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::{What, newest_folder, parse};

    const MANIFEST: &str = r#"{"format": 1, "taken": "20261121T092937Z", "finished": "20261121T092940Z",
      "host": "node-1", "postgres": "17.6", "objects": [
      {"object": "5.dump.age", "what": "dump", "database": "cell", "bytes": 1304, "sha256": "6c"},
      {"object": "globals.sql.age", "what": "globals", "database": null, "bytes": 726, "sha256": "de"}]}"#;

    #[test]
    fn a_dump_counts_only_with_its_manifest() {
        let keys = [
            "dumps/20261120T023000Z/manifest.json",
            "dumps/20261121T023000Z/5.dump.age",
            "dumps/20261119T023000Z/manifest.json",
            "dumps/zzz/manifest.json",
            "other/20261122T023000Z/manifest.json",
        ];
        assert_eq!(newest_folder(keys.into_iter()), Some("20261120T023000Z"));
        assert_eq!(newest_folder(["dumps/20261121T023000Z/5.dump.age"].into_iter()), None);
    }

    #[test]
    fn a_manifest_says_how_old_its_dump_is() {
        let dump = parse("20261121T092937Z", MANIFEST.as_bytes()).unwrap();
        assert_eq!(dump.bytes(), 2030);
        assert_eq!(dump.objects(What::Dump).count(), 1);
        assert_eq!(dump.key("globals.sql.age"), "dumps/20261121T092937Z/globals.sql.age");
        assert!(!dump.is_stale(dump.taken + SignedDuration::from_hours(26)));
        assert!(dump.is_stale(dump.taken + SignedDuration::from_hours(27)));
    }

    #[test]
    fn a_manifest_of_elsewhere_is_refused() {
        assert!(parse("20261121T092938Z", MANIFEST.as_bytes()).is_err());
        assert!(
            parse("20261121T092937Z", MANIFEST.replace("\"format\": 1", "\"format\": 2").as_bytes()).is_err()
        );
        assert!(parse("20261121T092937Z", MANIFEST.replace("5.dump", "../5.dump").as_bytes()).is_err());
    }
}
