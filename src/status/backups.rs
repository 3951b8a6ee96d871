//! How archiving and backups do right now, of what the run has set up.
//!
//! Invariant: what a verified step has set up is asked about, and nothing else. That a server or the bucket does not
//! answer is a finding, never a failure of the status.

use std::future::Future;
use std::time::Duration;

use futures_util::future::{join, join_all};
use jiff::Timestamp;
use serde::Serialize;

use crate::access::s3::S3Identity;
use crate::access::{HostView, View};
use crate::backups::{Archiving, newest_base_backup};
use crate::diagnostic::{Error, Result, codes};
use crate::dumps;
use crate::engine::state::State;
use crate::journal::RunState;
use crate::journal::record::Place;
use crate::name::HostName;
use crate::runbook::Runbook;
use crate::step::fleet::Fleet;
use crate::step::nightly_dump::NightlyDump;
use crate::step::nightly_timer::{Job, NightlyTimer};
use crate::step::pgbackrest_backup::PgBackRestBackup;
use crate::step::postgres_wal_archive::PostgresWalArchive;
use crate::step::{Action, StepKind as _};
use crate::workspace::Workspace;

/// How archiving and backups do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BackupStatus {
    /// Archiving, by the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archiving: Option<(HostName, ArchivingStatus)>,
    /// The newest base backup in the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_backup: Option<Newest>,
    /// The newest dump in the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dump: Option<Newest>,
    /// What is wrong with the jobs of every night.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<JobStatus>,
}

/// What a server says of its archiving.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchivingStatus {
    /// This.
    Known(Archiving),
    /// It could not be asked, and why.
    Unknown(String),
}

/// What looking for the newest good backup of a sort found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Newest {
    /// It is there, and not older than a night.
    Fresh(Timestamp),
    /// It is there, and a night was missed.
    Stale(Timestamp),
    /// There is none.
    None,
    /// The bucket could not be looked at, and why.
    Unknown(String),
}

/// What is wrong with a job of every night.
#[derive(Clone, Debug, Serialize)]
pub struct JobStatus {
    /// Where.
    pub host: HostName,
    /// The unit.
    pub unit: String,
    /// What is wrong.
    pub trouble: String,
    /// What to type there.
    pub next: String,
}

/// How long each question may take.
const LIMIT: Duration = Duration::from_secs(20);

/// What verified steps have set up.
#[derive(Debug, Default)]
struct Wanted {
    archiving: Option<HostName>,
    base_backups: Option<String>,
    dumps: bool,
    jobs: Vec<(HostName, Job)>,
}

impl BackupStatus {
    /// True where there is something to ask about.
    #[must_use]
    pub fn is_wanted(workspace: &Workspace, runbook: &Runbook, state: &RunState) -> bool {
        let asked = [NightlyDump::NAME, NightlyTimer::NAME, PgBackRestBackup::NAME, PostgresWalArchive::NAME];
        let verified = |place: &Place| state.checkpoint(place).is_some_and(|c| c.state == State::Verified);
        runbook
            .steps()
            .filter(|(_, step)| asked.contains(&step.action.kind.as_str()))
            .any(|(_, step)| super::places(workspace, step).iter().any(verified))
    }

    /// Where nothing could be asked: it is said of everything that would have been.
    #[must_use]
    pub fn unknown(why: &str) -> Self {
        Self { dump: Some(Newest::Unknown(why.to_owned())), ..Self::default() }
    }

    /// Asks the server and the bucket, at the same time.
    ///
    /// # Errors
    /// What a verified step has set up cannot be told any more.
    pub async fn look(fleet: &Fleet, state: &RunState, view: View<'_>) -> Result<Self> {
        let wanted = Wanted::of(fleet, state)?;
        let ((archiving, jobs), (base_backup, dump)) =
            join(wanted.on_the_server(view), wanted.in_the_bucket(view)).await;
        Ok(Self { archiving, base_backup, dump, jobs })
    }

    /// What to type about what is wrong, the most pressing first.
    pub(super) fn next(&self, now: Timestamp) -> Vec<String> {
        let mut next: Vec<String> =
            self.jobs.iter().map(|job| format!("{}    (on {})", job.next, job.host)).collect();
        if let Some((host, ArchivingStatus::Known(archiving))) = &self.archiving
            && archiving.trouble(now).is_some()
        {
            next.insert(
                0,
                format!("sudo tail --lines=30 /var/log/postgresql/*.log    (on {host}: what archiving says)"),
            );
        }
        let unknown = |newest: &Option<Newest>| matches!(newest, Some(Newest::Unknown(_)));
        let silent = matches!(self.archiving, Some((_, ArchivingStatus::Unknown(_))));
        if silent || unknown(&self.base_backup) || unknown(&self.dump) {
            next.push("hactl doctor    (what cannot be reached)".to_owned());
        }
        next
    }
}

impl Wanted {
    fn of(fleet: &Fleet, state: &RunState) -> Result<Self> {
        let mut wanted = Self::default();
        for (place, action) in fleet.verified(state)? {
            match (action, place.host) {
                (Action::PostgresWalArchive(_), host @ Some(_)) => wanted.archiving = host,
                (Action::PgBackRestBackup(backup), _) => wanted.base_backups = Some(backup.folder()),
                (Action::NightlyDump(_), _) => wanted.dumps = true,
                (Action::NightlyTimer(timer), Some(host)) => wanted.jobs.push((host, timer.job())),
                (_other, _) => {}
            }
        }
        Ok(wanted)
    }

    async fn on_the_server(&self, view: View<'_>) -> (Option<(HostName, ArchivingStatus)>, Vec<JobStatus>) {
        let archiving = async {
            let host = self.archiving.clone()?;
            let asked = in_time(&host, async { Archiving::of(&view.on(&host)?).await }).await;
            let status = match asked {
                Ok(archiving) => ArchivingStatus::Known(archiving),
                Err(error) => ArchivingStatus::Unknown(error.one_line()),
            };
            Some((host, status))
        };
        let jobs = self.jobs.iter().map(|(host, job)| async move {
            let asked = in_time(host, async { trouble(&view.on(host)?, *job).await }).await;
            // That the host does not answer is said once, by what asks for archiving.
            let (trouble, next) = asked.ok().flatten()?;
            Some(JobStatus { host: host.clone(), unit: job.service(), trouble, next })
        });
        let (archiving, jobs) = join(archiving, join_all(jobs)).await;
        (archiving, jobs.into_iter().flatten().collect())
    }

    async fn in_the_bucket(&self, view: View<'_>) -> (Option<Newest>, Option<Newest>) {
        let now = view.now();
        let bucket = "the bucket";
        let base_backup = async {
            let folder = self.base_backups.as_ref()?;
            let asked = async { newest_base_backup(&view.s3(S3Identity::Writer).await?, folder).await };
            let newest = Newest::of(in_time(bucket, asked).await, now);
            // Without a nightly one, an old one is all that was asked for.
            let nightly = self.jobs.iter().any(|(_, job)| *job == Job::BaseBackup);
            Some(match newest {
                Newest::Stale(at) if !nightly => Newest::Fresh(at),
                newest => newest,
            })
        };
        let dump = async {
            let asked = async { dumps::newest(&view.s3(S3Identity::Writer).await?).await };
            let taken = in_time(bucket, asked).await.map(|dump| dump.map(|dump| dump.taken));
            self.dumps.then(|| Newest::of(taken, now))
        };
        join(base_backup, dump).await
    }
}

impl Newest {
    fn of(found: Result<Option<Timestamp>>, now: Timestamp) -> Self {
        match found {
            Ok(Some(at)) if now.duration_since(at) > dumps::STALE_AFTER => Self::Stale(at),
            Ok(Some(at)) => Self::Fresh(at),
            Ok(None) => Self::None,
            Err(error) => Self::Unknown(error.one_line()),
        }
    }
}

/// What is wrong with a job, and what to type there: it failed last time, or nothing starts it any more.
async fn trouble(host: &HostView<'_>, job: Job) -> Result<Option<(String, String)>> {
    let service = host.unit(&job.service()).await?;
    if service.active_state == "failed" {
        let when = service.exited.map(|at| format!(", at {}", at.strftime("%Y-%m-%d %H:%M UTC")));
        let trouble = format!("failed last time{} ({})", when.unwrap_or_default(), service.result);
        return Ok(Some((trouble, format!("sudo journalctl --unit={} --lines=30", job.service()))));
    }
    let timer = host.timer(&job.timer()).await?.unit;
    if timer.is_active() && timer.is_enabled() {
        return Ok(None);
    }
    let is = match timer.unit_file_state.as_str() {
        "" => "not there".to_owned(),
        state => format!("{state} and {}", timer.active_state),
    };
    let trouble = format!("is started by nothing: {} is {is}", job.timer());
    Ok(Some((trouble, format!("sudo systemctl enable --now {}", job.timer()))))
}

async fn in_time<T>(who: impl std::fmt::Display, asked: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(LIMIT, asked).await {
        Ok(answer) => answer,
        Err(_elapsed) => {
            let limit = humantime::format_duration(LIMIT);
            Err(Error::new(codes::S3_UNREACHABLE, format!("{who} does not answer within {limit}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::{ArchivingStatus, BackupStatus, Newest};
    use crate::diagnostic::{Error, codes};

    #[test]
    fn a_backup_is_stale_when_a_night_was_missed() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let taken = |hours: i64| now - SignedDuration::from_hours(hours);
        assert_eq!(Newest::of(Ok(Some(taken(26))), now), Newest::Fresh(taken(26)));
        assert_eq!(Newest::of(Ok(Some(taken(27))), now), Newest::Stale(taken(27)));
        assert_eq!(Newest::of(Ok(None), now), Newest::None);
        let error = Error::new(codes::S3_UNREACHABLE, "nobody there");
        assert_eq!(Newest::of(Err(error), now), Newest::Unknown("nobody there".into()));
    }

    #[test]
    fn what_cannot_be_asked_sends_to_the_doctor() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let silent = ArchivingStatus::Unknown("no answer".into());
        let status =
            BackupStatus { archiving: Some(("node-1".parse().unwrap(), silent)), ..BackupStatus::default() };
        assert_eq!(status.next(now), ["hactl doctor    (what cannot be reached)"]);
        assert!(BackupStatus::default().next(now).is_empty());
    }
}
