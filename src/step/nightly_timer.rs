//! `nightly_timer`: a job that systemd starts every night on the database's host, as a service and its timer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::common::{changed_lines, instance, recall, remember, unit, unverified};
use super::kind::{Effect, Evidence, Failure, Findings, Scope, StepKind, WayBack};
use super::pgbackrest::Stanza;
use crate::access::{Become, FileMode, Hands, HostView, Trial, View};
use crate::diagnostic::Result;
use crate::journal::record::{Before, Change, Observed, Outputs};
use crate::workspace::PostgresConfig;

/// Writes `hactl-<job>.service` and `hactl-<job>.timer` into `/etc/systemd/system` and starts the timer. A night that the
/// server was off is made up for when it is back. A job that fails leaves its unit failed, which `hactl status` shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NightlyTimer {
    /// What is done: `dump` (what `nightly_dump` put there) or `base-backup` (by pgBackRest).
    job: Job,
    /// When, by the server's clock: `"02:30"`.
    at: TimeOfDay,
    /// The stanza of base backups.
    #[serde(default = "Stanza::main")]
    stanza: Stanza,
    /// How a base backup is taken.
    #[serde(default, rename = "type")]
    backup: BackupType,
}

/// What is done every night.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Job {
    /// A dump of every database.
    Dump,
    /// A base backup.
    BaseBackup,
}

impl Job {
    /// The unit that does it.
    #[must_use]
    pub fn service(self) -> String {
        format!("{}.service", self.unit())
    }

    /// The unit that starts it.
    #[must_use]
    pub fn timer(self) -> String {
        format!("{}.timer", self.unit())
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Dump => "hactl-dump",
            Self::BaseBackup => "hactl-base-backup",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Dump => "dump of every database, encrypted, into the bucket",
            Self::BaseBackup => "base backup by pgBackRest",
        }
    }
}

/// How much a base backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum BackupType {
    /// Everything.
    #[default]
    Full,
    /// What changed since the last full one; pgBackRest takes a full one where there is none.
    Diff,
}

/// A time of day, such as `02:30`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct TimeOfDay(String);

impl TryFrom<String> for TimeOfDay {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let digits = |part: &str| part.len() == 2 && part.chars().all(|c| c.is_ascii_digit());
        let sound = text.split_once(':').filter(|(h, m)| digits(h) && digits(m) && *h < "24" && *m < "60");
        if sound.is_some() {
            Ok(Self(text))
        } else {
            Err(format!("{text:?} is no time of day: write it like \"02:30\""))
        }
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> Self {
        time.0
    }
}

const UNITS: &str = "/etc/systemd/system";

/// What was there before: the texts of the two units.
#[derive(Debug, Default, Serialize, Deserialize)]
struct There {
    service: Option<String>,
    timer: Option<String>,
    enabled: Enabled,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Enabled {
    #[default]
    No,
    Yes,
}

/// Reads the units anew and starts the timer. Argument: the timer.
const ENABLE: &str =
    "set -eu; systemctl daemon-reload; systemctl --quiet enable \"$1\"; systemctl restart \"$1\"";

/// Stops everything. Arguments: timer, service.
const DISABLE: &str = "set -eu; systemctl --quiet disable --now \"$1\" 2>/dev/null || :; systemctl stop \"$2\" 2>/dev/null || :";

impl NightlyTimer {
    /// What is done every night.
    #[must_use]
    pub fn job(&self) -> Job {
        self.job
    }

    fn service_text(&self, instance: &PostgresConfig) -> String {
        let command = match self.job {
            Job::Dump => "/etc/hactl/dump/dump.sh".to_owned(),
            Job::BaseBackup => {
                let kind = match self.backup {
                    BackupType::Full => "full",
                    BackupType::Diff => "diff",
                };
                format!("/usr/bin/pgbackrest --stanza={} --type={kind} backup", self.stanza.as_str())
            }
        };
        let postgres = unit(instance);
        let limits = match self.job {
            Job::Dump => {
                "NoNewPrivileges=yes\nProtectSystem=strict\nProtectHome=yes\nPrivateTmp=yes\nUMask=0077\n"
            }
            Job::BaseBackup => "NoNewPrivileges=yes\nProtectHome=yes\nPrivateTmp=yes\n",
        };
        format!(
            "# Written by hactl. Change the runbook instead: this file is written anew.\n[Unit]\nDescription=hactl: {}\n\
             Wants=network-online.target\nAfter=network-online.target {postgres}\n\n[Service]\nType=oneshot\n\
             User=postgres\nGroup=postgres\nExecStart={command}\nTimeoutStartSec=12h\nNice=10\nIOSchedulingClass=idle\n\
             {limits}",
            self.job.title()
        )
    }

    fn timer_text(&self) -> String {
        format!(
            "# Written by hactl. Change the runbook instead: this file is written anew.\n[Unit]\nDescription=hactl: {} \
             every night\n\n[Timer]\nOnCalendar=*-*-* {}:00\nRandomizedDelaySec=5m\nPersistent=true\n\n[Install]\n\
             WantedBy=timers.target\n",
            self.job.title(),
            self.at.0
        )
    }

    fn paths(&self) -> (String, String) {
        (format!("{UNITS}/{}", self.job.service()), format!("{UNITS}/{}", self.job.timer()))
    }

    async fn there(&self, host: &HostView<'_>) -> Result<There> {
        let (service, timer) = self.paths();
        let state = host.timer(&self.job.timer()).await?.unit;
        let enabled = if state.is_enabled() && state.is_active() { Enabled::Yes } else { Enabled::No };
        Ok(There { service: host.text(&service).await?, timer: host.text(&timer).await?, enabled })
    }

    fn details(&self, there: &There, instance: &PostgresConfig) -> Vec<String> {
        let (service, timer) = self.paths();
        let wanted = [
            (service, &there.service, self.service_text(instance)),
            (timer, &there.timer, self.timer_text()),
        ];
        let mut details = Vec::new();
        for (path, is, text) in wanted {
            if is.as_ref() != Some(&text) {
                details.push(format!("write {path} (root:root 0644):"));
                details.extend(changed_lines(is.as_deref().unwrap_or_default(), &text));
            }
        }
        match there.enabled {
            Enabled::Yes => {}
            Enabled::No => details.push(format!("enable and start {}", self.job.timer())),
        }
        details
    }
}

impl StepKind for NightlyTimer {
    const NAME: &'static str = "nightly_timer";
    const SUMMARY: &'static str = "let systemd dump the databases, or take a base backup, every night";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn way_back(&self) -> WayBack {
        WayBack::Undo
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        let service = view.here()?.unit(&self.job.service()).await?;
        if service.active_state == "failed" {
            let when = service.exited.map(|at| format!(" at {at}")).unwrap_or_default();
            findings.warn(format!("{} failed last time{when}: {}", self.job.service(), service.result));
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let (host, instance) = (view.here()?, instance(view)?);
        let there = self.there(&host).await?;
        let details = self.details(&there, instance);
        if details.is_empty() {
            return Ok(Observed::Applied(Outputs::new()));
        }
        let summary = format!("start {} on {} every night at {}", self.job.service(), host.name(), self.at.0);
        Ok(Observed::NotApplied { change: Change { summary, details }, before: remember(&there)? })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let instance = instance(hands).map_err(Failure::NotStarted)?;
        let host = hands.here()?;
        let (service, timer) = self.paths();
        let mode = FileMode::new("root", "root", 0o644);
        host.write_file(&service, self.service_text(instance), &mode).await?;
        host.write_file(&timer, self.timer_text(), &mode).await?;
        let _finished = host
            .script(ENABLE, &[&self.job.timer()], "", Become::Root, Duration::from_secs(60))
            .await?
            .ok(format!("cannot start {}", self.job.timer()))?;
        Ok(Outputs::new())
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let host = trial.view().here()?;
        let there = self.there(&host).await?;
        let details = self.details(&there, instance(trial)?);
        if let Some(first) = details.first() {
            return Err(unverified(format!("{} is not as it was set up: {first}", self.job.timer()))
                .host(host.name()));
        }
        let timer = host.timer(&self.job.timer()).await?;
        let Some(next) = timer.next else {
            return Err(
                unverified(format!("{} will never start anything", self.job.timer())).host(host.name())
            );
        };
        Ok(Evidence::facts([
            format!("{} is enabled; it starts {} next at {next}", self.job.timer(), self.job.service()),
            "a night that the server is off is made up for when it is back".to_owned(),
        ]))
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let there: There = recall(hands.before())?.unwrap_or_default();
        let host = hands.here()?;
        let (service, timer) = self.paths();
        let units = [self.job.timer(), self.job.service()];
        let arguments: Vec<&str> = units.iter().map(String::as_str).collect();
        let _finished = host
            .script(DISABLE, &arguments, "", Become::Root, Duration::from_secs(120))
            .await?
            .ok(format!("cannot stop {}", self.job.timer()))?;
        let mode = FileMode::new("root", "root", 0o644);
        for (path, text) in [(&service, there.service), (&timer, there.timer)] {
            match text {
                Some(text) => host.write_file(path, text, &mode).await?,
                None => host.remove_file(path).await?,
            }
        }
        let script = match there.enabled {
            Enabled::Yes => ENABLE,
            Enabled::No => "systemctl daemon-reload; systemctl reset-failed \"$1\" 2>/dev/null || :",
        };
        host.script(script, &arguments, "", Become::Root, Duration::from_secs(60))
            .await?
            .ok("cannot bring the former units back")
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::{Job, NightlyTimer};

    #[test]
    fn a_time_of_day_cannot_become_something_else() {
        let kind: NightlyTimer = toml::from_str("job = 'base-backup'\nat = '01:15'").unwrap();
        assert_eq!(kind.job, Job::BaseBackup);
        assert!(kind.timer_text().contains("OnCalendar=*-*-* 01:15:00\n"));
        for bad in ["24:00", "1:15", "01:60", "01:15:00", "", "01:15\\nExecStart=x"] {
            assert!(
                toml::from_str::<NightlyTimer>(&format!("job = 'dump'\nat = \"{bad}\"")).is_err(),
                "{bad}"
            );
        }
        assert!(toml::from_str::<NightlyTimer>("job = 'other'\nat = '01:15'").is_err());
    }
}
