//! `postgres_wal_archive`: WAL reaches the bucket, seen with our own eyes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::common::{bytes, unverified, wait_for};
use super::kind::{Effect, Evidence, Failure, Findings, Scope, StepKind, WayBack};
use super::pgbackrest::{RepoPath, Stanza, info_of};
use super::postgres_settings::without_secrets;
use crate::access::reads::PgView;
use crate::access::s3::S3Identity;
use crate::access::{Hands, Psql, Trial, View};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::{Before, Observed, Outputs};
use crate::units::HumanDuration;

/// Changes nothing. Verified by writing a marked record into the WAL, closing its segment, and finding that segment in
/// the bucket through the S3 API, with no failure of the archiver meanwhile; the time that took is the archive lag.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresWalArchive {
    /// The stanza.
    #[serde(default = "Stanza::main")]
    stanza: Stanza,
    /// The folder within the bucket.
    #[serde(default = "RepoPath::usual")]
    repo_path: RepoPath,
    /// The `archive_command` that sends it there; without it the usual one of the stanza. Any other blocks.
    #[serde(default)]
    command: Option<String>,
    /// So long the segment may take.
    #[serde(default = "two_minutes")]
    within: HumanDuration,
}

fn two_minutes() -> HumanDuration {
    HumanDuration::from_secs(120)
}

const ARCHIVER: &str = "select failed_count, coalesce(last_failed_wal, ''), archived_count, coalesce(last_archived_wal, ''), \
    coalesce(extract(epoch from last_archived_time), 0)::float8 from pg_stat_archiver";

const SETTINGS: &str = "select current_setting('archive_mode'), current_setting('archive_command'), \
    (select setting::bigint from pg_settings where name = 'archive_timeout')";

/// Closes the segment that holds our record, and says which it is, and when that was.
pub(super) const CLOSE: &str = "select pg_walfile_name(pg_logical_emit_message(false, 'hactl', :'mark'));
select extract(epoch from clock_timestamp());
select pg_switch_wal();
";

/// What the archiver counts.
pub(super) struct Archiver {
    pub(super) failed: i64,
    pub(super) failed_wal: String,
    archived: i64,
    pub(super) last: String,
    pub(super) at: f64,
}

pub(super) async fn archiver(pg: &PgView) -> Result<Archiver> {
    let row = pg.query_one(ARCHIVER, &[]).await?;
    Ok(Archiver {
        failed: row.get(0),
        failed_wal: row.get(1),
        archived: row.get(2),
        last: row.get(3),
        at: row.get(4),
    })
}

/// The name of a segment and the time, as `CLOSE` prints them.
pub(super) fn closed(text: &str) -> Option<(String, f64)> {
    let mut lines = text.lines();
    let (segment, at) = (lines.next()?.trim(), lines.next()?.trim());
    let sound = segment.len() == 24 && segment.bytes().all(|b| b.is_ascii_hexdigit());
    sound.then_some((segment.to_owned(), at.parse().ok()?))
}

/// Has the archiver come to this segment? Only the same timeline can be compared.
pub(super) fn reached(last: &str, segment: &str) -> bool {
    last.get(..8) == segment.get(..8) && last.get(..24).is_some_and(|last| last >= segment)
}

impl StepKind for PostgresWalArchive {
    const NAME: &'static str = "postgres_wal_archive";
    const SUMMARY: &'static str = "see that WAL reaches the bucket, and measure how long it takes";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn way_back(&self) -> WayBack {
        WayBack::Nothing
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        let pg = view.here()?.postgres("postgres").await?.ready()?;
        let row = pg.query_one(SETTINGS, &[]).await?;
        let (mode, command): (String, String) = (row.get(0), row.get(1));
        let usual = || format!("pgbackrest --stanza={} archive-push %p", self.stanza.as_str());
        let wanted = self.command.clone().unwrap_or_else(usual);
        if mode == "off" {
            findings.block("archive_mode is off");
        } else if command != wanted {
            let command = if command.is_empty() { "nothing" } else { &without_secrets(&command) };
            findings.block(format!("WAL is archived by something else: {command}; wanted is: {wanted}"));
        }
        Ok(findings)
    }

    async fn observe(&self, _view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        Ok(Observed::Applied(Outputs::new()))
    }

    async fn apply(&self, _hands: &Hands<'_>) -> Result<Outputs, Failure> {
        Ok(Outputs::new())
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let host = trial.here()?;
        let pg = host.postgres("postgres").await?.ready()?;
        let timeout: i64 = pg.query_one(SETTINGS, &[]).await?.get(2);
        let info = info_of(&host, &self.stanza).await?;
        let archive = info.current_archive().ok_or_else(|| unverified("the stanza has no archive"))?;
        let before = archiver(&pg).await?;

        let mark = format!("hactl {}", trial.attempt());
        let answer = host.psql(&Psql::new("postgres", CLOSE).set("mark", mark)).await?;
        let (segment, closed_at) = closed(&answer.text()).ok_or_else(|| {
            Error::new(
                codes::POSTGRES_ODD_ANSWER,
                format!("cannot understand what closing a segment said: {:?}", answer.text()),
            )
        })?;

        let every = Duration::from_millis(100);
        let arrived = wait_for("the segment to be archived", self.within.get(), every, async || {
            let now = archiver(&pg).await?;
            if now.failed > before.failed {
                return Err(unverified(format!("archiving {} failed", now.failed_wal))
                    .host(host.name())
                    .next(format!("look into PostgreSQL's log and /var/log/pgbackrest on {}", host.name())));
            }
            Ok(reached(&now.last, &segment).then_some(now))
        })
        .await?;
        let Some(now) = arrived else {
            let text = format!("the segment {segment} was not archived within {}", self.within);
            return Err(unverified(text).host(host.name()).next("look into PostgreSQL's own log"));
        };

        let prefix = self.repo_path.wal_prefix(&self.stanza, &archive.id, &segment);
        let bucket = trial.s3(S3Identity::Writer).await?;
        let found = bucket.list(&prefix, 2).await?;
        let Some(object) = found.objects.first() else {
            return Err(unverified(format!(
                "PostgreSQL says that {segment} is archived, and the bucket has no {prefix}…"
            ))
            .next("hactl doctor"));
        };
        let lag = if now.last == segment {
            format!("{:.1} s after it was closed", (now.at - closed_at).max(0.0))
        } else {
            "while the next one was archived already".to_owned()
        };
        Ok(Evidence::facts([
            format!("segment {segment} is in the bucket as {} ({}), {lag}", object.key, bytes(object.bytes)),
            format!(
                "the archiver failed 0 times meanwhile, and has archived {} segments in all",
                now.archived
            ),
            format!(
                "a segment is closed after {timeout} s at the latest: with the lag, so much could be lost with the server"
            ),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::{closed, reached};

    #[test]
    fn a_closed_segment_is_read() {
        let text = "000000010000000000000002\n1795252432.266352\n0/2000130\n";
        assert_eq!(closed(text), Some(("000000010000000000000002".into(), 1_795_252_432.266_352)));
        assert_eq!(closed("ERROR\n1\n"), None);
    }

    #[test]
    fn later_segments_of_the_same_timeline_count() {
        let wal = "00000001000000000000000A";
        assert!(reached(wal, wal) && reached("00000001000000000000000B", wal));
        assert!(!reached("000000010000000000000009", wal) && !reached("", wal));
        assert!(!reached("00000002000000000000000B", wal));
        // A backup's history file counts as its segment.
        assert!(reached("00000001000000000000000B.00000028.backup", wal));
    }
}
