//! Archiving and base backups as they are right now, for who wants to know whether all is well.
//!
//! Invariant: this only reads, and says what it saw; taking backups and proving them are steps. A base backup counts when
//! its manifest is in the bucket, for that is written last.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::access::HostView;
use crate::access::s3::S3View;
use crate::diagnostic::{Error, Result, codes};

/// Archiving on a server, by its own statistics.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Archiving {
    /// `archive_mode`.
    pub mode: String,
    /// So many segments were archived since the statistics began.
    pub archived: i64,
    /// So many times archiving failed since then.
    pub failed: i64,
    /// When a segment was archived last.
    pub last_archived: Option<Timestamp>,
    /// When archiving failed last, and which segment.
    pub last_failed: Option<(Timestamp, String)>,
    /// So many segments wait to be archived.
    pub waiting: i64,
    /// So many seconds the oldest of them waits.
    pub waiting_seconds: f64,
    /// What the folder of the WAL holds, in bytes.
    pub wal_bytes: u64,
    /// What is free where that folder is, in bytes.
    pub free: u64,
}

/// A segment that waits so long with none archived meanwhile does not wait for its turn. Where the archiver cannot even
/// start its command, this is the only sign: it counts no failure then.
const STUCK_AFTER: SignedDuration = SignedDuration::from_mins(3);

/// Less free space than this where the WAL is fills within hours while archiving fails.
const LITTLE: u64 = 1 << 30;

const ARCHIVER: &str = "select current_setting('archive_mode'), archived_count, failed_count, \
    extract(epoch from last_archived_time)::float8, extract(epoch from last_failed_time)::float8, \
    coalesce(last_failed_wal, ''), (select count(*) from pg_ls_archive_statusdir() where name like '%.ready'), \
    (select coalesce(sum(size), 0)::bigint from pg_ls_waldir()), current_setting('data_directory'), \
    (select coalesce(extract(epoch from clock_timestamp() - min(modification)), 0)::float8 \
      from pg_ls_archive_statusdir() where name like '%.ready') \
    from pg_stat_archiver";

impl Archiving {
    /// Asks the workspace's instance on this host.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn of(host: &HostView<'_>) -> Result<Self> {
        let row = host.postgres_now("postgres").await?.ready()?.query_one(ARCHIVER, &[]).await?;
        let disk = host.disk(&format!("{}/pg_wal", row.get::<_, String>(8))).await?;
        let failed_at = time(row.get(4));
        Ok(Self {
            mode: row.get(0),
            archived: row.get(1),
            failed: row.get(2),
            last_archived: time(row.get(3)),
            last_failed: failed_at.map(|at| (at, row.get(5))),
            waiting: row.get(6),
            waiting_seconds: row.get(9),
            wal_bytes: u64::try_from(row.get::<_, i64>(7)).unwrap_or(0),
            free: disk.free,
        })
    }

    /// What is wrong, if anything is; the worst first.
    #[must_use]
    pub fn trouble(&self, now: Timestamp) -> Option<Trouble> {
        let failed =
            self.last_failed.as_ref().filter(|(at, _)| self.last_archived.is_none_or(|last| last < *at));
        let quiet = self.last_archived.is_none_or(|last| now.duration_since(last) > STUCK_AFTER);
        if self.mode == "off" {
            Some(Trouble::Off)
        } else if let Some((_, segment)) = failed {
            Some(Trouble::Failing { segment: segment.clone() })
        } else if self.waiting > 0 && self.waiting_seconds > STUCK_AFTER.as_secs_f64() && quiet {
            Some(Trouble::Stuck)
        } else if self.free < LITTLE {
            Some(Trouble::LittleSpace)
        } else {
            None
        }
    }
}

/// What is wrong with archiving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is switched off.
    Off,
    /// The newest try failed; of which segment.
    Failing {
        /// Its name.
        segment: String,
    },
    /// Segments wait, and none is archived.
    Stuck,
    /// Hardly anything is free where the WAL is.
    LittleSpace,
}

fn time(seconds: Option<f64>) -> Option<Timestamp> {
    Timestamp::from_duration(SignedDuration::try_from_secs_f64(seconds?).ok()?).ok()
}

/// When the newest base backup in a folder of the bucket, such as `pgbackrest/backup/main/`, was finished.
///
/// # Errors
/// The bucket cannot be read.
pub async fn newest_base_backup(s3: &S3View, folder: &str) -> Result<Option<Timestamp>> {
    let mut labels = s3.folders(folder).await?;
    // They begin with the server's time of the backup's start, to the second.
    labels.retain(|label| label.starts_with(|c: char| c.is_ascii_digit()));
    labels.sort_unstable();
    for label in labels.iter().rev() {
        if let Some(manifest) = s3.head(&format!("{folder}{label}/backup.manifest")).await? {
            let modified = manifest.modified.ok_or_else(|| {
                Error::new(
                    codes::S3_ANSWERED,
                    format!("the bucket does not say when {} was written", manifest.key),
                )
                .next("does the endpoint in [s3] speak S3? compare it with the provider's")
            })?;
            return Ok(Some(modified));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::{Archiving, Trouble, time};

    #[test]
    fn what_is_wrong_is_told_from_what_was() {
        let now = time(Some(1_000_000.5)).unwrap();
        let ago = |seconds| Some(now - SignedDuration::from_secs(seconds));
        let failed = |seconds: i64| ago(seconds).map(|at: Timestamp| (at, "W".to_owned()));
        let well = Archiving {
            mode: "on".into(),
            archived: 9,
            failed: 3,
            last_archived: ago(60),
            last_failed: failed(3600),
            waiting: 2,
            waiting_seconds: 200.0,
            wal_bytes: 1 << 26,
            free: 1 << 40,
        };
        assert_eq!(well.trouble(now), None);
        let failing = Archiving { last_failed: failed(5), ..well.clone() };
        assert_eq!(failing.trouble(now), Some(Trouble::Failing { segment: "W".into() }));
        let never = Archiving { last_archived: None, last_failed: failed(5), ..well.clone() };
        assert_eq!(never.trouble(now), Some(Trouble::Failing { segment: "W".into() }));
        let stuck = Archiving { last_archived: ago(181), ..well.clone() };
        assert_eq!(stuck.trouble(now), Some(Trouble::Stuck));
        // A quiet server has had nothing to archive, perhaps until just now.
        assert_eq!(Archiving { waiting: 0, ..stuck.clone() }.trouble(now), None);
        assert_eq!(Archiving { waiting_seconds: 2.0, ..stuck }.trouble(now), None);
        assert_eq!(Archiving { free: 1 << 29, ..well.clone() }.trouble(now), Some(Trouble::LittleSpace));
        assert_eq!(Archiving { mode: "off".into(), ..well }.trouble(now), Some(Trouble::Off));
    }
}
