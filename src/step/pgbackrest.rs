//! What pgBackRest says, as types, and the names that several kinds share.
//!
//! Its exit status says little (`verify` ends with 0 over a corrupted repository), so what it prints is what counts.

use serde::{Deserialize, Serialize};

use crate::access::HostView;
use crate::diagnostic::{Error, Result, codes};

/// The name of a stanza: pgBackRest's word for one database cluster and its backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Stanza(String);

impl Stanza {
    pub(super) fn main() -> Self {
        Self("main".to_owned())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Stanza {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        let sound = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        if first && name.len() <= 63 && name.chars().all(sound) && name != "global" {
            Ok(Self(name))
        } else {
            Err(format!("{name:?} is no name of a stanza: letters, digits, '-' and '_'"))
        }
    }
}

impl From<Stanza> for String {
    fn from(stanza: Stanza) -> Self {
        stanza.0
    }
}

/// A folder within the bucket: it begins with `/` and has no `..`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct RepoPath(String);

impl RepoPath {
    pub(super) fn usual() -> Self {
        Self("/pgbackrest".to_owned())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The prefix of the key of a stanza's WAL segment. A digest follows the dash; without it, the history file of a
    /// backup that began in this segment would pass for the segment itself.
    pub(super) fn wal_prefix(&self, stanza: &Stanza, archive: &str, segment: &str) -> String {
        let timeline = segment.get(..16).unwrap_or(segment);
        format!(
            "{}/archive/{}/{archive}/{timeline}/{segment}-",
            self.0.trim_start_matches('/'),
            stanza.as_str()
        )
    }
}

impl TryFrom<String> for RepoPath {
    type Error = String;
    fn try_from(path: String) -> Result<Self, String> {
        let sound = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        let segments =
            path.strip_prefix('/').map(|p| p.split('/').all(|s| !s.is_empty() && s != "." && s != ".."));
        if segments == Some(true) && path.chars().all(sound) {
            Ok(Self(path))
        } else {
            Err(format!("{path:?} is no folder of a repository: write it like \"/pgbackrest\""))
        }
    }
}

impl From<RepoPath> for String {
    fn from(path: RepoPath) -> Self {
        path.0
    }
}

/// What `pgbackrest info` says of a stanza.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Info {
    pub(super) status: StanzaStatus,
    pub(super) cipher: String,
    pub(super) db: Vec<Database>,
    pub(super) archive: Vec<Archive>,
    pub(super) backup: Vec<Backup>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StanzaStatus {
    /// 0 is fine, 1 no such stanza, 2 no backup yet; others are troubles.
    pub(super) code: i64,
    pub(super) message: String,
    lock: Locks,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Locks {
    backup: Lock,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Lock {
    held: bool,
    #[serde(rename = "size-cplt")]
    done: Option<u64>,
    size: Option<u64>,
}

/// A database cluster that the stanza knows; after `pg_upgrade` there is more than one.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Database {
    pub(super) id: u64,
    #[serde(rename = "system-id")]
    pub(super) system_id: u64,
    pub(super) version: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Archive {
    /// Such as `17-1`: a folder of the repository.
    pub(super) id: String,
    database: DatabaseId,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct DatabaseId {
    pub(super) id: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Backup {
    pub(super) label: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// Page checksums were wrong, where checksums are on.
    #[serde(default)]
    pub(super) error: Option<bool>,
    #[serde(default)]
    pub(super) annotation: std::collections::BTreeMap<String, String>,
    pub(super) archive: Range,
    pub(super) database: DatabaseId,
    pub(super) info: Sizes,
    pub(super) timestamp: Times,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Range {
    pub(super) start: Option<String>,
    pub(super) stop: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Sizes {
    pub(super) size: u64,
    pub(super) repository: RepositorySizes,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RepositorySizes {
    pub(super) delta: u64,
}

/// In seconds since 1970.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Times {
    pub(super) start: i64,
    pub(super) stop: i64,
}

impl Info {
    /// Reads what `pgbackrest info --output=json` printed for one stanza.
    pub(super) fn parse(value: serde_json::Value) -> Result<Self> {
        let odd = |why: String| {
            Error::new(codes::PGBACKREST_ODD, format!("cannot understand pgbackrest info: {why}")).next(
                "sudo -u postgres pgbackrest version    (on that host: what answers, and in which version)",
            )
        };
        let stanzas: Vec<Self> = serde_json::from_value(value).map_err(|e| odd(e.to_string()))?;
        // Without a repository at all it prints an empty list.
        Ok(stanzas.into_iter().next().unwrap_or(Self {
            status: StanzaStatus {
                code: 1,
                message: "missing stanza path".to_owned(),
                ..StanzaStatus::default()
            },
            ..Self::default()
        }))
    }

    /// Is the stanza there, with or without backups?
    pub(super) fn exists(&self) -> bool {
        matches!(self.status.code, 0 | 2) && !self.db.is_empty()
    }

    /// The newest of the clusters that the stanza knows.
    pub(super) fn current(&self) -> Option<&Database> {
        self.db.iter().max_by_key(|db| db.id)
    }

    /// The archive of the newest cluster.
    pub(super) fn current_archive(&self) -> Option<&Archive> {
        let current = self.current()?.id;
        self.archive.iter().find(|archive| archive.database.id == current)
    }

    /// A backup that runs on this host, in words.
    pub(super) fn running(&self) -> Option<String> {
        let lock = &self.status.lock.backup;
        if !lock.held {
            return None;
        }
        Some(match (lock.done, lock.size) {
            (Some(done), Some(size)) if size > 0 => {
                format!("a backup runs, {} % done", done.saturating_mul(100) / size)
            }
            (Some(_) | None, _) => "a backup runs".to_owned(),
        })
    }
}

/// What pgBackRest says of a stanza; nothing where it is not installed.
pub(super) async fn info(host: &HostView<'_>, stanza: &Stanza) -> Result<Option<Info>> {
    host.pgbackrest_info(stanza.as_str()).await?.map(Info::parse).transpose()
}

/// The same, where pgBackRest must be there.
pub(super) async fn info_of(host: &HostView<'_>, stanza: &Stanza) -> Result<Info> {
    info(host, stanza).await?.ok_or_else(|| {
        Error::new(codes::PGBACKREST_MISSING, "pgBackRest is not installed")
            .host(host.name())
            .next("hactl plan --dry-run    (shows the step that installs it)")
            .next("sudo apt-get install pgbackrest    (on that host), then: hactl resume")
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Info, RepoPath, Stanza};

    /// As pgBackRest 2.55.1 printed it.
    pub(in super::super) const INFO: &str = r#"[{"archive":[{"database":{"id":1,"repo-key":1},"id":"17-1",
      "max":"000000010000000000000004","min":"000000010000000000000002"}],"backup":[{"annotation":{"hactl":"r.s.a1"},
      "archive":{"start":"000000010000000000000003","stop":"000000010000000000000004"},"backrest":{"format":5,
      "version":"2.55.1"},"database":{"id":1,"repo-key":1},"error":false,"info":{"delta":23161373,"repository":
      {"delta":2770768,"size":2770768},"size":23161373},"label":"20261121-091513F","lsn":{"start":"0/3000028",
      "stop":"0/4000050"},"prior":null,"reference":null,"timestamp":{"start":1795252513,"stop":1795252515},
      "type":"full"}],"cipher":"aes-256-cbc","db":[{"id":1,"repo-key":1,"system-id":7710550478997535407,
      "version":"17"}],"name":"main","repo":[{"cipher":"aes-256-cbc","key":1,"status":{"code":0,"message":"ok"}}],
      "status":{"code":0,"lock":{"backup":{"held":false}},"message":"ok"}}]"#;

    const NONE: &str = r#"[{"archive":[],"backup":[],"cipher":"aes-256-cbc","db":[],"name":"main","repo":[{"cipher":
      "aes-256-cbc","key":1,"status":{"code":1,"message":"missing stanza path"}}],"status":{"code":1,"lock":{"backup":
      {"held":false}},"message":"missing stanza path"}}]"#;

    const RUNNING: &str = r#"[{"archive":[],"backup":[],"cipher":"none","db":[],"name":"main","repo":[],"status":
      {"code":2,"lock":{"backup":{"held":true,"size":200,"size-cplt":50}},"message":"no valid backups"}}]"#;

    pub(in super::super) fn parsed(text: &str) -> Info {
        Info::parse(serde_json::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn info_is_read() {
        let info = parsed(INFO);
        assert!(info.exists() && info.running().is_none());
        assert_eq!(info.current().map(|db| db.system_id), Some(7_710_550_478_997_535_407));
        assert_eq!(info.current_archive().map(|a| a.id.as_str()), Some("17-1"));
        let backup = &info.backup[0];
        assert_eq!(
            (backup.label.as_str(), backup.kind.as_str(), backup.error),
            ("20261121-091513F", "full", Some(false))
        );
        assert_eq!(backup.annotation["hactl"], "r.s.a1");
        assert!(!parsed(NONE).exists() && !parsed("[]").exists());
        assert_eq!(parsed(RUNNING).running().as_deref(), Some("a backup runs, 25 % done"));
        assert!(Info::parse(serde_json::json!({ "no": "list" })).is_err());
    }

    #[test]
    fn names_cannot_leave_their_place() {
        for bad in ["", "-x", "a b", "a/b", "global", "../x"] {
            assert!(Stanza::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        for bad in ["", "pgbackrest", "/", "/a/../b", "/a//b", "/a b", "/a\n"] {
            assert!(RepoPath::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        assert_eq!(
            RepoPath::usual().wal_prefix(&Stanza::main(), "17-1", "000000010000000000000004"),
            "pgbackrest/archive/main/17-1/0000000100000000/000000010000000000000004-"
        );
    }
}
