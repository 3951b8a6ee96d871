//! `pgbackrest_backup`: a full backup is in the repository, and is complete.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::common::{bytes, output, recall, remember, unverified};
use super::kind::{Effect, Evidence, Failure, Findings, OutputType, Scope, StepKind, WayBack};
use super::pgbackrest::{Backup, Info, RepoPath, Stanza, info, info_of};
use crate::access::s3::S3Identity;
use crate::access::{Command, Hands, Trial, TrialCommand, View};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::{Before, Change, Observed, OutputValue, Outputs};
use crate::name::HostName;
use crate::units::HumanDuration;

mod report;

use report::Report;

/// Takes a full backup, where the repository has none that is young enough.
///
/// The backup carries the attempt that made it as an annotation. Verified by what `pgbackrest verify` prints (it ends
/// with status 0 over damage), and by finding every WAL segment that the backup needs in the bucket.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PgBackRestBackup {
    /// The stanza.
    #[serde(default = "Stanza::main")]
    stanza: Stanza,
    /// The folder within the bucket.
    #[serde(default = "RepoPath::usual")]
    repo_path: RepoPath,
    /// A full backup that ended so long ago or later will do.
    #[serde(default = "a_day")]
    max_age: HumanDuration,
    /// How long the backup, and then checking it, may take; at most the step's own timeout.
    #[serde(default = "twelve_hours")]
    within: HumanDuration,
}

fn a_day() -> HumanDuration {
    HumanDuration::from_secs(24 * 3600)
}

fn twelve_hours() -> HumanDuration {
    HumanDuration::from_secs(12 * 3600)
}

/// The backups that there were.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    labels: Vec<String>,
}

/// More segments than this between a backup's start and stop are not looked for one by one.
const SEGMENTS: u64 = 256;

/// Full backups of the current cluster without page errors, the newest last.
fn good<'a>(info: &'a Info) -> Vec<&'a Backup> {
    let current = info.current().map(|db| db.id);
    let mut good: Vec<&'a Backup> = info
        .backup
        .iter()
        .filter(|b| b.kind == "full" && b.error != Some(true) && Some(b.database.id) == current)
        .collect();
    good.sort_by_key(|b| b.timestamp.stop);
    good
}

/// The names of the segments of `size` bytes from `start` to `stop`; nothing where that cannot be told.
fn segments(start: &str, stop: &str, size: u64) -> Option<Vec<String>> {
    let each = (1_u64 << 32).checked_div(size)?;
    let parse = |name: &str| {
        let (timeline, log, segment) = (name.get(..8)?, name.get(8..16)?, name.get(16..24)?);
        let number = |hex: &str| u64::from_str_radix(hex, 16).ok();
        Some((timeline.to_owned(), number(log)? * each + number(segment)?))
    };
    let ((timeline, first), (other, last)) = (parse(start)?, parse(stop)?);
    let sound = timeline == other && last >= first && last - first < SEGMENTS;
    sound.then(|| (first..=last).map(|n| format!("{timeline}{:08X}{:08X}", n / each, n % each)).collect())
}

impl PgBackRestBackup {
    /// The folder of the bucket that its backups lie in, each in one of its own.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("{}/backup/{}/", self.repo_path.as_str().trim_start_matches('/'), self.stanza.as_str())
    }

    fn outputs_of(backup: &Backup) -> Result<Outputs> {
        Ok(Outputs::from([(output("label")?, OutputValue::String(backup.label.clone()))]))
    }

    /// How another backup is taken, which is then the one that is looked at.
    fn another(&self, host: &HostName) -> String {
        let stanza = self.stanza.as_str();
        format!(
            "sudo -u postgres pgbackrest --stanza={stanza} --type=full backup    (on {host}), then: hactl resume"
        )
    }

    async fn wal_is_there(&self, trial: &Trial<'_>, info: &Info, backup: &Backup) -> Result<String> {
        let archive = info.current_archive().ok_or_else(|| unverified("the stanza has no archive"))?;
        let (Some(start), Some(stop)) = (&backup.archive.start, &backup.archive.stop) else {
            return Err(unverified(format!("the backup {} does not say which WAL it needs", backup.label)));
        };
        const SIZE: &str = "select setting::bigint from pg_settings where name = 'wal_segment_size'";
        let pg = trial.view().here()?.postgres("postgres").await?.ready()?;
        let size: i64 = pg.query_one(SIZE, &[]).await?.get(0);
        let Some(segments) = segments(start, stop, u64::try_from(size).unwrap_or(0)) else {
            return Ok(format!("the WAL from {start} to {stop} was checked by pgBackRest only"));
        };
        let bucket = trial.s3(S3Identity::Writer).await?;
        for segment in &segments {
            let prefix = self.repo_path.wal_prefix(&self.stanza, &archive.id, segment);
            if bucket.list(&prefix, 1).await?.objects.is_empty() {
                let what = format!(
                    "the backup {} cannot be restored: it needs the WAL segment {segment}, which is not in the bucket",
                    backup.label
                );
                return Err(Error::new(codes::PGBACKREST_VERIFY, what)
                    .state("the backup is in the bucket, and cannot be restored; the database goes on")
                    .next("see who removes objects from the bucket; keep every older backup")
                    .next(self.another(trial.view().here()?.name())));
            }
        }
        Ok(format!("the {} WAL segments that it needs are in the bucket ({start} to {stop})", segments.len()))
    }
}

impl StepKind for PgBackRestBackup {
    const NAME: &'static str = "pgbackrest_backup";
    const SUMMARY: &'static str = "take a full backup, and read it back";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::OneShot
    }

    fn way_back(&self) -> WayBack {
        WayBack::Compensate(
            "the backup stays in the bucket, where retention lets it expire: it may be the only one"
                .to_owned(),
        )
    }

    fn outputs(&self) -> Vec<(&str, OutputType)> {
        vec![("label", OutputType::String)]
    }

    fn objects(&self, view: &View<'_>) -> Vec<String> {
        view.s3_identity().into_iter().collect()
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        let host = view.here()?;
        match info(&host, &self.stanza).await? {
            None => findings.block("pgBackRest is not installed"),
            Some(info) if !info.exists() => {
                findings.block(format!("there is no stanza yet: {}", info.status.message))
            }
            Some(info) => {
                for odd in info.backup.iter().filter(|b| b.error == Some(true)) {
                    findings.warn(format!("the backup {} has pages with wrong checksums", odd.label));
                }
            }
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, before: Option<&Before>) -> Result<Observed> {
        let host = view.here()?;
        let info = info(&host, &self.stanza).await?.unwrap_or_default();
        if let Some(what) = info.running() {
            return Ok(Observed::Running(what));
        }
        let known: Option<Known> = recall(before)?;
        let since = view
            .now()
            .as_second()
            .saturating_sub(i64::try_from(self.max_age.get().as_secs()).unwrap_or(i64::MAX));
        let counts = |backup: &&&Backup| match &known {
            Some(known) => !known.labels.contains(&backup.label),
            None => backup.timestamp.stop >= since,
        };
        if let Some(backup) = good(&info).iter().rev().find(counts) {
            return Self::outputs_of(backup).map(Observed::Applied);
        }
        let database = info.current().map_or(String::new(), |db| {
            format!(" of the PostgreSQL {} cluster {}", db.version, db.system_id)
        });
        let change = Change {
            summary: format!("take a full backup into {}", view.s3_identity().unwrap_or_default()),
            details: vec![format!(
                "pgbackrest --stanza={} --type=full backup{database}, as postgres on {}",
                self.stanza.as_str(),
                host.name()
            )],
        };
        let labels = info.backup.iter().map(|b| b.label.clone()).collect();
        Ok(Observed::NotApplied { change, before: remember(&Known { labels })? })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let host = hands.here()?;
        let mark = hands.attempt().to_string();
        let backup = Command::new("pgbackrest")
            .args([format!("--stanza={}", self.stanza.as_str()), "--type=full".to_owned()])
            .args([
                format!("--annotation=hactl={mark}"),
                "--log-level-console=info".to_owned(),
                "backup".to_owned(),
            ])
            .as_user("postgres")
            .within(self.within.get());
        let _ended = host.run(&backup).await?.ok("the backup failed")?;
        let info = info_of(&host, &self.stanza).await?;
        let ours = |b: &&Backup| b.annotation.get("hactl") == Some(&mark);
        match info.backup.iter().find(ours) {
            Some(backup) if backup.error == Some(true) => {
                let what = format!(
                    "the backup {} was made, and pages of the database itself have wrong checksums",
                    backup.label
                );
                Err(Failure::Unclear(
                    Error::new(codes::PGBACKREST_VERIFY, what)
                        .host(host.name())
                        .state("the data on the server is damaged; the backup holds the damage")
                        .next("sudo -u postgres pgbackrest info --set=LABEL names the files; look after the disk first"),
                ))
            }
            Some(backup) => Ok(Self::outputs_of(backup)?),
            None => Err(Failure::Unclear(
                unverified("pgBackRest ended well, and its list of backups has none of this attempt")
                    .host(host.name()),
            )),
        }
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let host = trial.here()?;
        let info = info_of(&host, &self.stanza).await?;
        let newest = good(&info).last().copied();
        let backup = newest.ok_or_else(|| unverified("the repository has no full backup of this cluster"))?;
        let verify = TrialCommand::pgbackrest_verify(self.stanza.as_str(), &backup.label, self.within.get());
        let finished =
            host.run(&verify).await?.ok("pgbackrest verify failed").map_err(Failure::into_error)?;
        let text = finished.text();
        let mut evidence = Evidence::default();
        evidence.files.push(trial.keep("pgbackrest verify", text.as_bytes())?);
        let report = Report::parse(&text);
        let seconds = u64::try_from(backup.timestamp.stop - backup.timestamp.start).unwrap_or(0);
        evidence.facts.push(format!(
            "full backup {}: {} of the cluster as {} in the bucket, made in {}",
            backup.label,
            bytes(backup.info.size),
            bytes(backup.info.repository.delta),
            humantime::format_duration(Duration::from_secs(seconds)),
        ));
        evidence.facts.push(report.vouches_for(&backup.label).map_err(|what| {
            Error::new(codes::PGBACKREST_VERIFY, what)
                .host(host.name())
                .state("the backup is in the bucket, and cannot be relied on; the database goes on")
                .next("see who changes or removes objects of the bucket; keep every older backup")
                .next(self.another(host.name()))
        })?);
        evidence.facts.push(self.wal_is_there(trial, &info, backup).await?);
        Ok(evidence)
    }

    async fn undo(&self, _hands: &Hands<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::pgbackrest::tests::{INFO, parsed};
    use super::{good, segments};

    #[test]
    fn only_full_backups_of_this_cluster_without_errors_count() {
        assert_eq!(good(&parsed(INFO)).len(), 1);
        assert!(good(&parsed(&INFO.replace("\"error\":false", "\"error\":true"))).is_empty());
        assert!(good(&parsed(&INFO.replace("\"type\":\"full\"", "\"type\":\"incr\""))).is_empty());
        let other = INFO.replacen("\"db\":[{\"id\":1", "\"db\":[{\"id\":2", 1);
        assert!(good(&parsed(&other)).is_empty());
    }

    #[test]
    fn segments_are_counted_across_the_end_of_a_log() {
        let usual = |start, stop| segments(start, stop, 16 << 20);
        assert_eq!(
            usual("0000000100000000000000FE", "000000010000000100000000").unwrap(),
            ["0000000100000000000000FE", "0000000100000000000000FF", "000000010000000100000000"]
        );
        assert_eq!(usual("0000000100000000000000FE", "0000000200000000000000FF"), None);
        assert_eq!(usual("000000010000000000000002", "000000010000000000000001"), None);
        assert_eq!(usual("000000010000000000000002", "000000010000000900000001"), None);
        let large = segments("000000010000000000000003", "000000010000000100000000", 1 << 30);
        assert_eq!(large.map(|s| s.len()), Some(2));
        assert_eq!(segments("000000010000000000000003", "000000010000000100000000", 0), None);
    }
}
