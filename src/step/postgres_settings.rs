//! `postgres_settings`: settings by ALTER SYSTEM, and what a restart is still needed for.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::common::{instance, recall, remember, unit, unverified, wait_for};
use super::kind::{Effect, Evidence, Failure, Findings, Scope, StepKind, WayBack};
use crate::access::reads::PgView;
use crate::access::{Command, Hands, HostView, Psql, Trial, View};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::{Before, Change, Observed, Outputs};
use crate::units::HumanDuration;

mod at_rest;
mod value;

pub(super) use value::without_secrets;
use value::{Auto, Live, Setting, Standing};

/// Sets what `settings` names by ALTER SYSTEM and reloads; what is read only at the start waits for a restart, which is a
/// step of its own.
///
/// A setting that has its value already, wherever from, is left alone, and `wal_level` is never lowered. An
/// `archive_command` that is neither the wanted one nor exactly `replaces_command` is somebody's archiving, in force or
/// not, and blocks the step. The way back restores what `postgresql.auto.conf` said before, and restarts where a value is
/// read only at the start: with archiving still on and no command to archive with, WAL would pile up. Where the server
/// does not run, the way back writes that file itself and starts it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresSettings {
    /// Names and values, as ALTER SYSTEM takes them: `archive_timeout = "60s"`.
    settings: BTreeMap<Setting, String>,
    /// The `archive_command` of somebody else that may be replaced, exactly as it stands; empty for none.
    #[serde(default)]
    replaces_command: String,
    /// How long a restart may take when this is undone.
    #[serde(default = "ten_minutes")]
    restart_within: HumanDuration,
}

fn ten_minutes() -> HumanDuration {
    HumanDuration::from_secs(600)
}

/// What `postgresql.auto.conf` said of each setting before; nothing where it said nothing.
type Former = BTreeMap<String, Option<String>>;

const ARCHIVE_COMMAND: &str = "archive_command";

const LIVE: &str = "select name, setting, coalesce(reset_val, ''), coalesce(unit, ''), context, vartype, source, \
    pending_restart from pg_settings where name = any($1)";

const RELOADED: Duration = Duration::from_secs(15);
const AGAIN: Duration = Duration::from_millis(200);

/// The settings as they are, and as they were asked for.
struct Seen {
    live: BTreeMap<String, Live>,
    auto: Auto,
}

async fn monitor(host: &HostView<'_>) -> Result<PgView> {
    host.postgres("postgres").await?.ready()
}

async fn see(host: &HostView<'_>, names: &[String]) -> Result<Seen> {
    let pg = monitor(host).await?;
    let live = pg.query(LIVE, &[&names]).await?;
    let live = live.iter().map(|row| {
        (
            row.get(0),
            Live {
                setting: row.get(1),
                reset: row.get(2),
                unit: row.get(3),
                context: row.get(4),
                vartype: row.get(5),
                source: row.get(6),
                pending: row.get(7),
            },
        )
    });
    let live = live.collect();
    let data: String = pg.query_one("select current_setting('data_directory')", &[]).await?.get(0);
    let text = host.text(&format!("{data}/postgresql.auto.conf")).await?.unwrap_or_default();
    Ok(Seen { live, auto: Auto::parse(&text) })
}

impl PostgresSettings {
    fn names(&self) -> Vec<String> {
        self.settings.keys().map(ToString::to_string).collect()
    }

    fn standings<'a>(&'a self, seen: &'a Seen) -> impl Iterator<Item = (&'a str, &'a str, Standing)> {
        self.settings.iter().map(|(name, wanted)| {
            let name = name.as_str();
            (name, wanted.as_str(), value::standing(name, wanted, seen.live.get(name), seen.auto.get(name)))
        })
    }

    /// Blocks where WAL is archived, or is meant to be, by anything but what is wanted here.
    fn archiving_of_others(&self, seen: &Seen, findings: &mut Findings) {
        let Some((_, wanted)) = self.settings.iter().find(|(name, _)| name.as_str() == ARCHIVE_COMMAND)
        else {
            return;
        };
        let live = |name: &str| seen.live.get(name).map_or("", Live::value);
        let mut others = vec![live(ARCHIVE_COMMAND)];
        // Asked for by ALTER SYSTEM, and not read yet.
        others.extend(seen.auto.get(ARCHIVE_COMMAND));
        others.retain(|other| !other.is_empty() && other != wanted && *other != self.replaces_command);
        if let Some(other) = others.first() {
            let now = if live("archive_mode") == "off" { ", although archive_mode is off" } else { "" };
            findings.block(format!(
                "somebody else's archive_command is set{now}: {}; hactl replaces it only when told to, by its exact words \
                 (replaces_command of this step, in cell0 the input replace_archive_command)",
                without_secrets(other)
            ));
        }
        if !live("archive_library").is_empty() {
            findings.block(format!(
                "WAL is archived by the library {} already; end that first",
                live("archive_library")
            ));
        }
    }

    fn facts(&self, seen: &Seen) -> Vec<String> {
        let fact = |(name, wanted, standing)| match standing {
            Standing::InForce(value) => format!("{name} = {value}"),
            Standing::Waits => format!("{name} = {wanted}, from the next start on"),
            Standing::Differs(now) => format!("{name} = {now} instead of {wanted}"),
        };
        self.standings(seen).map(fact).collect()
    }
}

impl StepKind for PostgresSettings {
    const NAME: &'static str = "postgres_settings";
    const SUMMARY: &'static str = "set PostgreSQL's settings by ALTER SYSTEM, and reload";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn way_back(&self) -> WayBack {
        WayBack::Compensate(
            "restores the former values, and restarts PostgreSQL where one of them is read only at the start: connections drop"
                .to_owned(),
        )
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        let host = view.here()?;
        let mut names = self.names();
        let asked = [
            "archive_mode",
            "archive_command",
            "archive_library",
            "allow_alter_system",
            "max_wal_senders",
            "max_replication_slots",
        ];
        names.extend(asked.map(str::to_owned));
        let seen = see(&host, &names).await?;
        let live = |name: &str| seen.live.get(name).map_or("", Live::value);
        let recovery: bool = monitor(&host).await?.query_one("select pg_is_in_recovery()", &[]).await?.get(0);
        if recovery {
            findings.block("the server is a standby: settings are changed on the primary");
        }
        if live("allow_alter_system") == "off" {
            findings.block(
                "ALTER SYSTEM is switched off (allow_alter_system), so somebody else manages the settings",
            );
        }
        self.archiving_of_others(&seen, &mut findings);
        for (name, wanted, standing) in self.standings(&seen) {
            let Standing::Differs(_) = standing else { continue };
            match seen.live.get(name) {
                None => findings.block(format!("this PostgreSQL has no setting {name}")),
                Some(live) if live.source == "command line" => findings.block(format!(
                    "{name} is given on PostgreSQL's command line, which ALTER SYSTEM cannot change: whoever starts it manages it"
                )),
                Some(_) => {}
            }
            if name == "wal_level" && wanted == "logical" {
                for needed in
                    ["max_wal_senders", "max_replication_slots"].into_iter().filter(|n| live(n) == "0")
                {
                    findings
                        .warn(format!("{needed} is 0: a restore can then be proven by a canary row only"));
                }
            }
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let host = view.here()?;
        let seen = see(&host, &self.names()).await?;
        let details: Vec<String> = self
            .standings(&seen)
            .filter_map(|(name, wanted, standing)| match standing {
                Standing::InForce(_) | Standing::Waits => None,
                Standing::Differs(now) => {
                    let live = seen.live.get(name);
                    let when =
                        if live.is_some_and(Live::needs_restart) { ", from the next start on" } else { "" };
                    Some(format!("{name}: {} -> {wanted}{when}", without_secrets(&now)))
                }
            })
            .collect();
        if details.is_empty() {
            return Ok(Observed::Applied(Outputs::new()));
        }
        let former: Former = self
            .names()
            .into_iter()
            .map(|name| {
                let value = seen.auto.get(&name).map(str::to_owned);
                (name, value)
            })
            .collect();
        let summary = format!("change settings of PostgreSQL on {} and reload it", host.name());
        Ok(Observed::NotApplied { change: Change { summary, details }, before: remember(&former)? })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let host = hands.here()?;
        let seen = see(&host, &self.names()).await.map_err(Failure::NotStarted)?;
        let mut sql = String::new();
        for (name, wanted, standing) in self.standings(&seen) {
            match standing {
                Standing::InForce(_) | Standing::Waits => {}
                Standing::Differs(_) => sql.push_str(&value::alter(name, Some(wanted))),
            }
        }
        sql.push_str(RELOAD);
        let _answer = host.psql(&Psql::new("postgres", sql)).await?;
        Ok(Outputs::new())
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let host = trial.view().here()?;
        let names = self.names();
        let settled = wait_for("PostgreSQL to read its settings", RELOADED, AGAIN, async || {
            let seen = see(&host, &names).await?;
            let differs =
                self.standings(&seen).any(|(_, _, standing)| matches!(standing, Standing::Differs(_)));
            Ok((!differs).then_some(seen))
        })
        .await?;
        match settled {
            Some(seen) => Ok(Evidence::facts(self.facts(&seen))),
            None => {
                let seen = see(&host, &names).await?;
                let text = format!("settings did not take: {}", self.facts(&seen).join("; "));
                Err(unverified(text).host(host.name()).next("look into PostgreSQL's own log"))
            }
        }
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let Some(former) = recall::<Former>(hands.before())? else { return Ok(()) };
        let host = hands.here()?;
        let names: Vec<String> = former.keys().cloned().collect();
        let instance = instance(hands).map_err(Failure::NotStarted)?;
        if let Some(data) =
            at_rest::data_of_a_server_at_rest(&host, instance).await.map_err(Failure::NotStarted)?
        {
            return at_rest::restore(&host, instance, &data, &former, self.restart_within.get()).await;
        }
        let seen = see(&host, &names).await.map_err(Failure::NotStarted)?;
        if former.get("wal_level").is_some_and(|v| v.as_deref() != Some("logical")) {
            let slots = logical_slots(&host).await.map_err(Failure::NotStarted)?;
            if !slots.is_empty() {
                let what = format!(
                    "with the former wal_level PostgreSQL would not start while logical slots exist: {}",
                    slots.join(", ")
                );
                return Err(Failure::NotStarted(
                    Error::new(codes::POSTGRES_SLOTS, what)
                        .host(host.name())
                        .state("nothing was changed")
                        .next("drop these slots if nobody needs them, then type the same rollback again"),
                ));
            }
        }
        let mut sql = String::new();
        for (name, value) in &former {
            if seen.auto.get(name) != value.as_deref() {
                sql.push_str(&value::alter(name, value.as_deref()));
            }
        }
        sql.push_str(RELOAD);
        let read_before = loaded(&host).await.map_err(Failure::NotStarted)?;
        let _answer = host.psql(&Psql::new("postgres", sql)).await?;
        let restart = wait_for("PostgreSQL to read its settings", RELOADED, AGAIN, async || {
            if loaded(&host).await? == read_before {
                return Ok(None);
            }
            Ok(Some(see(&host, &names).await?.live.values().any(|live| live.pending)))
        })
        .await?;
        match restart {
            Some(true) => {}
            Some(false) => return Ok(()),
            None => {
                return Err(Failure::Unclear(
                    unverified("PostgreSQL did not read its settings again").host(host.name()),
                ));
            }
        }
        let unit = unit(instance);
        let restart =
            Command::new("systemctl").args(["restart", "--", &unit]).within(self.restart_within.get());
        let _checkpoint =
            host.psql(&Psql::new("postgres", "checkpoint;\n").within(self.restart_within.get())).await?;
        host.run(&restart).await?.ok(format!("cannot restart {unit}")).map(drop)
    }
}

const RELOAD: &str = "select pg_reload_conf();\n";

/// When the server last read its settings; a new session has it from the server's first process.
async fn loaded(host: &HostView<'_>) -> Result<String> {
    Ok(monitor(host).await?.query_one("select pg_conf_load_time()::text", &[]).await?.get(0))
}

/// The logical slots there are. A temporary one goes with its session.
async fn logical_slots(host: &HostView<'_>) -> Result<Vec<String>> {
    const SLOTS: &str =
        "select slot_name::text from pg_replication_slots where slot_type = 'logical' and not temporary";
    Ok(monitor(host).await?.query(SLOTS, &[]).await?.iter().map(|row| row.get(0)).collect())
}

#[cfg(test)]
mod tests {
    use super::value::{Auto, Live};
    use super::{Findings, PostgresSettings, Seen};

    #[test]
    fn settings_are_named_and_valued_safely() {
        let parse = toml::from_str::<PostgresSettings>;
        assert!(parse("settings = { archive_mode = 'on', wal_level = 'logical' }").is_ok());
        assert!(parse("settings = { 'a; drop' = 'on' }").is_err());
        assert!(parse("settings = { shared_preload_libraries = 'a,b' }").is_err());
        assert!(parse("settings = { archive_timeout = 60 }").is_err());
    }

    /// What blocks where this command is live and this one stands in `postgresql.auto.conf`.
    fn blocked(live: &str, auto: &str, replaces: &str) -> Vec<String> {
        let text = format!("settings = {{ archive_command = 'ours %p' }}\nreplaces_command = \"{replaces}\"");
        let kind: PostgresSettings = toml::from_str(&text).unwrap();
        let row = |value: &str| Live { reset: value.into(), vartype: "string".into(), ..Live::default() };
        let live = [("archive_command".to_owned(), row(live))].into();
        let seen = Seen { live, auto: Auto::parse(&format!("archive_command = '{auto}'\n")) };
        let mut findings = Findings::default();
        kind.archiving_of_others(&seen, &mut findings);
        findings.blocking().map(str::to_owned).collect()
    }

    #[test]
    fn somebody_elses_archiving_blocks_unless_it_is_named_exactly() {
        assert!(blocked("", "", "").is_empty() && blocked("ours %p", "ours %p", "").is_empty());
        // Another stanza of the same program is another archive.
        for theirs in
            ["cp %p /srv/wal/%f", "pgbackrest --stanza=theirs archive-push %p", "ours %p ", "/bin/true"]
        {
            for found in [blocked(theirs, "", ""), blocked("", theirs, ""), blocked(theirs, "", "cp")] {
                assert_eq!(found.len(), 1, "{theirs}");
                assert!(found[0].contains(theirs.trim()), "{found:?}");
            }
            assert!(blocked(theirs, theirs, theirs).is_empty(), "{theirs}");
        }
        assert!(!blocked("send --password=hunter2 %p", "", "")[0].contains("hunter2"));
    }
}
