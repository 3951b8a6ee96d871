//! `postgres_restart`: PostgreSQL starts anew, once, because settings wait for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::common::{instance, recall, remember, unit, unverified, wait_for};
use super::kind::{Effect, Evidence, Failure, Findings, Scope, StepKind, WayBack};
use crate::access::reads::PgAccess;
use crate::access::{Command, Hands, HostView, Psql, Trial, View};
use crate::diagnostic::Result;
use crate::journal::record::{Before, Change, Observed, Outputs};
use crate::units::HumanDuration;

/// Restarts the instance's systemd unit where settings wait for a start; otherwise it does nothing.
///
/// Which start it was is told by the server's own start time, so a restart is never made twice.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresRestart {
    /// How long stopping and starting may take, at most the step's own timeout.
    #[serde(default = "ten_minutes")]
    within: HumanDuration,
}

fn ten_minutes() -> HumanDuration {
    HumanDuration::from_secs(600)
}

/// By what a start is recognised, and what waited for the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Start {
    /// When the server started, in seconds since 1970.
    started: String,
    /// The settings that waited.
    waiting: Vec<String>,
}

/// What is seen of the server.
enum Server {
    Up(Start),
    /// It is on its way; where.
    Moving(String),
    /// It does not run; what was seen.
    Down(String),
}

const START: &str = "select extract(epoch from pg_postmaster_start_time())::text, \
    array(select name::text from pg_settings where pending_restart order by 1)";

async fn look(view: &View<'_>) -> Result<Server> {
    let host = view.here()?;
    let said = match host.postgres_now("postgres").await? {
        PgAccess::Ready(pg) => {
            let row = pg.query_one(START, &[]).await?;
            return Ok(Server::Up(Start { started: row.get(0), waiting: row.get(1) }));
        }
        refused @ PgAccess::NotYet(_) => {
            return refused.ready().map(|_| Server::Moving(String::new()));
        }
        PgAccess::Moving(said) => return Ok(Server::Moving(said)),
        PgAccess::NoServer(said) => said,
    };
    let unit = host.unit(&unit(instance(view)?)).await?;
    Ok(match unit.active_state.as_str() {
        "inactive" | "failed" => Server::Down(format!("the unit is {}: {said}", unit.active_state)),
        state => Server::Moving(format!("the unit is {state}: {said}")),
    })
}

/// Who is connected, for whoever is asked whether now is a good time.
const CONNECTED: &str = "select coalesce(nullif(application_name, ''), '(no name)'), coalesce(usename, '')::text, \
      coalesce(datname, '')::text, coalesce(host(client_addr), 'the local socket'), count(*), \
      count(*) filter (where state <> 'idle'), \
      coalesce(extract(epoch from max(now() - xact_start)), 0)::float8 \
    from pg_stat_activity where backend_type in ('client backend', 'walsender') and pid <> pg_backend_pid() \
    group by 1, 2, 3, 4 order by 5 desc, 1 limit 20";

const PREPARED: &str = "select count(*) from pg_prepared_xacts";

impl PostgresRestart {
    fn change(&self, view: &View<'_>, waiting: &[String]) -> Result<Change> {
        let unit = unit(instance(view)?);
        let unit = unit.trim_end_matches(".service").to_owned();
        Ok(Change {
            summary: format!(
                "restart {unit} on {}: every connection drops, and clients must connect again",
                view.here()?.name()
            ),
            details: vec![
                format!("takes into force: {}", waiting.join(", ")),
                "a checkpoint comes first, so that the restart itself is short".to_owned(),
            ],
        })
    }
}

async fn blockers(host: &HostView<'_>, findings: &mut Findings) -> Result<()> {
    for error in host.postgres_start_errors().await? {
        findings.block(format!("PostgreSQL would not start again with the settings in its files: {error}"));
    }
    Ok(())
}

impl StepKind for PostgresRestart {
    const NAME: &'static str = "postgres_restart";
    const SUMMARY: &'static str = "restart PostgreSQL where settings wait for it, once";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::OneShot
    }

    fn way_back(&self) -> WayBack {
        WayBack::Compensate(
            "a restart leaves nothing to take back; taking back the settings it was for restarts PostgreSQL once more".to_owned(),
        )
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        let host = view.here()?;
        let PgAccess::Ready(pg) = host.postgres("postgres").await? else { return Ok(findings) };
        let waiting: Vec<String> = pg.query_one(START, &[]).await?.get(1);
        if waiting.is_empty() {
            return Ok(findings);
        }
        blockers(&host, &mut findings).await?;
        for row in pg.query(CONNECTED, &[]).await? {
            let (name, user, database, from): (String, String, String, String) =
                (row.get(0), row.get(1), row.get(2), row.get(3));
            let (count, busy, oldest): (i64, i64, f64) = (row.get(4), row.get(5), row.get(6));
            let mut text = format!("{count} × {name} ({user} in {database}, from {from})");
            if busy > 0 {
                text.push_str(&format!(", {busy} at work"));
            }
            if oldest >= 60.0 {
                findings.warn(format!("{text}, the oldest transaction since {oldest:.0} s: it is lost"));
            } else {
                findings.note(text);
            }
        }
        let prepared: i64 = pg.query_one(PREPARED, &[]).await?.get(0);
        if prepared > 0 {
            findings.note(format!("{prepared} prepared transactions stay as they are"));
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, before: Option<&Before>) -> Result<Observed> {
        let before: Option<Start> = recall(before)?;
        match (look(view).await?, before) {
            (Server::Moving(what), _) => Ok(Observed::Running(what)),
            (Server::Down(what), None) => {
                Ok(Observed::Indeterminate(format!("PostgreSQL does not run: {what}")))
            }
            // It was stopped and did not come up: the same restart, which now is a start.
            (Server::Down(_), Some(before)) => Ok(Observed::NotApplied {
                change: self.change(view, &before.waiting)?,
                before: remember(&before)?,
            }),
            (Server::Up(now), None) if now.waiting.is_empty() => Ok(Observed::Applied(Outputs::new())),
            (Server::Up(now), None) => {
                Ok(Observed::NotApplied { change: self.change(view, &now.waiting)?, before: remember(&now)? })
            }
            (Server::Up(now), Some(before)) if now.started == before.started => Ok(Observed::NotApplied {
                change: self.change(view, &before.waiting)?,
                before: remember(&before)?,
            }),
            (Server::Up(now), Some(_)) if now.waiting.is_empty() => Ok(Observed::Applied(Outputs::new())),
            (Server::Up(now), Some(_)) => Ok(Observed::Indeterminate(format!(
                "PostgreSQL did start anew, and settings wait for a start again: {}",
                now.waiting.join(", ")
            ))),
        }
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let unit = unit(instance(hands).map_err(Failure::NotStarted)?);
        let host = hands.here()?;
        if matches!(look(hands).await.map_err(Failure::NotStarted)?, Server::Up(_)) {
            let checkpoint = Psql::new("postgres", "checkpoint;\n").within(self.within.get());
            let _answer = host.psql(&checkpoint).await?;
        }
        let restart = Command::new("systemctl").args(["restart", "--", &unit]).within(self.within.get());
        let done = host.run(&restart).await?;
        if done.succeeded() {
            return Ok(Outputs::new());
        }
        let error = done.error(format!("cannot restart {unit}"));
        Err(Failure::Unclear(match look(hands).await {
            Ok(Server::Down(what)) => error
                .state(format!("PostgreSQL does not run, and nobody can connect: {what}"))
                .next(format!("sudo tail -n 20 /var/log/postgresql/*.log   (on {})", host.name()))
                .next("mend what it complains of, then: hactl resume, which starts it"),
            Ok(Server::Up(_) | Server::Moving(_)) | Err(_) => error,
        }))
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let view = trial.view();
        let up = wait_for(
            "PostgreSQL to answer again",
            Duration::from_secs(60),
            Duration::from_millis(250),
            async || {
                Ok(match look(view).await? {
                    Server::Up(start) => Some(start),
                    Server::Moving(_) | Server::Down(_) => None,
                })
            },
        )
        .await?;
        let host = view.here()?;
        let log = || format!("sudo pg_lsclusters; sudo journalctl -u 'postgresql@*'   (on {})", host.name());
        let Some(now) = up else {
            return Err(unverified("PostgreSQL does not answer after the restart")
                .host(host.name())
                .next(log()));
        };
        if !now.waiting.is_empty() {
            let text = format!("settings still wait for a start: {}", now.waiting.join(", "));
            return Err(unverified(text).host(host.name()).next(log()));
        }
        let started = now.started.split('.').next().and_then(|s| s.parse().ok());
        let started = started.and_then(|s| jiff::Timestamp::from_second(s).ok());
        let started = started.map_or(now.started, |t| t.to_string());
        Ok(Evidence::facts([format!("PostgreSQL runs since {started}, and no setting waits for a start")]))
    }

    async fn undo(&self, _hands: &Hands<'_>) -> Result<(), Failure> {
        Ok(())
    }
}
