//! `postgres_inspect`: what is there, before anything about it is changed.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::common::{bytes, instance, output};
use super::kind::{Effect, Evidence, Failure, Findings, OutputType, Scope, StepKind, WayBack};
use super::pgbackrest_config::others;
use super::postgres_settings::without_secrets;
use crate::access::reads::{PgAccess, PgView};
use crate::access::{Hands, HostView, Trial, View};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::{Before, Observed, OutputValue, Outputs};
use crate::workspace::PostgresConfig;

mod sql;

/// Changes nothing. It looks at the whole instance and keeps what it saw as evidence: version, size, every database with
/// its tables, checksums, WAL level, archiving, settings that were changed, disk, clock, who is connected, and what of it
/// would act by itself in a restored copy, or would not come back at all.
///
/// What later steps need are its outputs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresInspect {}

/// What belongs to the instance as a whole.
#[derive(Debug)]
struct Server {
    version: String,
    major: i64,
    data_directory: String,
    checksums: bool,
    wal_level: String,
    system_id: String,
    databases: Vec<String>,
    size: i64,
    archive: String,
    recovery: bool,
}

async fn server(pg: &PgView) -> Result<Server> {
    let row = pg.query_one(sql::SERVER, &[]).await?;
    Ok(Server {
        version: row.get(0),
        major: row.get(1),
        data_directory: row.get(2),
        checksums: row.get(3),
        wal_level: row.get(4),
        system_id: row.get(5),
        databases: row.get(6),
        size: row.get(7),
        archive: row.get(8),
        recovery: row.get(9),
    })
}

impl Server {
    fn outputs(&self) -> Result<Outputs> {
        Ok(Outputs::from([
            (output("version")?, OutputValue::Integer(self.major)),
            (output("data-directory")?, OutputValue::String(self.data_directory.clone())),
            (output("checksums")?, OutputValue::Boolean(self.checksums)),
            (output("wal-level")?, OutputValue::String(self.wal_level.clone())),
            (output("system-id")?, OutputValue::String(self.system_id.clone())),
            (output("databases")?, OutputValue::List(self.databases.clone())),
        ]))
    }

    fn facts(&self) -> Vec<String> {
        let checksums = if self.checksums { "on" } else { "off: damaged pages go unnoticed" };
        vec![
            format!("PostgreSQL {}, {} in {} databases", self.version, size(self.size), self.databases.len()),
            format!("data in {}, page checksums {checksums}", self.data_directory),
            format!("wal_level {}, archiving {}", self.wal_level, self.archive),
        ]
    }
}

fn size(number: i64) -> String {
    bytes(u64::try_from(number).unwrap_or(0))
}

/// Rows whose columns are all text or JSON, as one JSON value.
async fn rows(pg: &PgView, query: &'static str) -> Result<Value> {
    let text: String = pg.query_one(query, &[]).await?.get(0);
    serde_json::from_str(&text)
        .map_err(|e| Error::new(codes::POSTGRES_ODD_ANSWER, "PostgreSQL answered no JSON").source(e))
}

/// A database looked at from the inside.
#[derive(Debug, Deserialize)]
struct Inside {
    tables: Vec<Table>,
    sequences: u64,
    large_objects: u64,
    /// Extensions that start workers, call out or run on a clock.
    acting: Vec<String>,
    foreign_servers: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Table {
    name: String,
    /// PostgreSQL's estimate.
    rows: i64,
    bytes: i64,
    /// Not in the WAL, so empty after a restore.
    unlogged: bool,
}

impl Inside {
    fn facts(&self, name: &str) -> Vec<String> {
        let rows: i64 = self.tables.iter().map(|t| t.rows.max(0)).sum();
        let total = size(self.tables.iter().map(|t| t.bytes).sum());
        let mut facts = vec![format!(
            "database {name}: {} tables, about {rows} rows, {total}; {} sequences, {} large objects",
            self.tables.len(),
            self.sequences,
            self.large_objects
        )];
        let unlogged: Vec<_> = self.tables.iter().filter(|t| t.unlogged).map(|t| t.name.as_str()).collect();
        if !unlogged.is_empty() {
            facts.push(format!(
                "database {name}: unlogged, so empty after any restore: {}",
                unlogged.join(", ")
            ));
        }
        let acts: Vec<_> = self.acting.iter().chain(&self.foreign_servers).map(String::as_str).collect();
        if !acts.is_empty() {
            facts.push(format!(
                "database {name}: could act by itself in a restored copy: {}",
                acts.join(", ")
            ));
        }
        facts
    }
}

async fn inside(host: &HostView<'_>, database: &str) -> Result<Result<Inside, String>> {
    let access = match host.postgres(database).await {
        Ok(access) => access,
        // A database may refuse everybody but its own.
        Err(error) if error.code() == codes::POSTGRES_QUERY => return Ok(Err(error.one_line())),
        Err(error) => return Err(error),
    };
    match access {
        PgAccess::Ready(pg) => {
            let value = rows(&pg, sql::INSIDE).await?;
            serde_json::from_value(value).map(Ok).map_err(|e| {
                Error::new(codes::POSTGRES_ODD_ANSWER, "a database's tables cannot be read").source(e)
            })
        }
        PgAccess::NotYet(said) => Ok(Err(said)),
        gone @ (PgAccess::Moving(_) | PgAccess::NoServer(_)) => gone.ready().map(|_| Err(String::new())),
    }
}

/// Lines about what `rows` gave, each made by `line`.
fn each(value: &Value, line: impl Fn(&Value) -> String) -> Vec<String> {
    value.as_array().map(|rows| rows.iter().map(line).collect()).unwrap_or_default()
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or("")
}

impl StepKind for PostgresInspect {
    const NAME: &'static str = "postgres_inspect";
    const SUMMARY: &'static str = "look at a PostgreSQL instance as a whole, and change nothing";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn way_back(&self) -> WayBack {
        WayBack::Nothing
    }

    fn outputs(&self) -> Vec<(&str, OutputType)> {
        vec![
            ("version", OutputType::Integer),
            ("data-directory", OutputType::String),
            ("checksums", OutputType::Boolean),
            ("wal-level", OutputType::String),
            ("system-id", OutputType::String),
            ("databases", OutputType::List),
        ]
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        let host = view.here()?;
        let server = server(&host.postgres("postgres").await?.ready()?).await?;
        if server.recovery {
            findings.block("this server is a standby; Phase 0 begins at the primary");
        }
        if let Some(why) = PostgresConfig::too_old(server.major) {
            findings.block(why);
        }
        if let Some(instance) =
            view.workspace().postgres.as_ref().filter(|i| i.version != server.major.to_string())
        {
            findings.block(format!(
                "hactl.toml says PostgreSQL {}, and this is {}",
                instance.version, server.version
            ));
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let pg = view.here()?.postgres("postgres").await?.ready()?;
        server(&pg).await?.outputs().map(Observed::Applied)
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let pg = hands.view().here()?.postgres("postgres").await?.ready()?;
        Ok(server(&pg).await?.outputs()?)
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let host = trial.view().here()?;
        let pg = host.postgres("postgres").await?.ready()?;
        let server = server(&pg).await?;
        let mut facts = server.facts();

        let mut databases = serde_json::Map::new();
        for name in &server.databases {
            match inside(&host, name).await? {
                Ok(inside) => {
                    facts.extend(inside.facts(name));
                    databases.insert(name.clone(), json!({
                        "tables": inside.tables, "sequences": inside.sequences, "large_objects": inside.large_objects,
                        "acting_extensions": inside.acting, "foreign_servers": inside.foreign_servers,
                    }));
                }
                Err(said) => {
                    facts.push(format!("database {name}: could not be looked into: {said}"));
                    databases.insert(name.clone(), json!({ "refused": said }));
                }
            }
        }

        let connected = rows(&pg, sql::CONNECTED).await?;
        facts.extend(each(&connected, |row| {
            let (name, user) = (text(row, "application"), text(row, "user"));
            format!(
                "connected: {} × {name} ({user} in {}, from {})",
                row["count"],
                text(row, "database"),
                text(row, "from")
            )
        }));
        let subscriptions = rows(&pg, sql::SUBSCRIPTIONS).await?;
        facts.extend(each(&subscriptions, |row| {
            format!("subscription {} would act by itself in a restored copy", row.as_str().unwrap_or(""))
        }));
        let slots = rows(&pg, sql::SLOTS).await?;
        facts.extend(each(&slots, |row| {
            format!(
                "replication slot {} ({}) keeps WAL from {} on",
                text(row, "name"),
                text(row, "type"),
                text(row, "restart_lsn")
            )
        }));
        let tablespaces = rows(&pg, sql::TABLESPACES).await?;
        facts.extend(each(&tablespaces, |row| {
            format!("tablespace {} in {}", text(row, "name"), text(row, "location"))
        }));

        let command: String = pg.query_one(sql::ARCHIVE_COMMAND, &[]).await?.get(0);
        if !command.is_empty() {
            facts.push(format!("archive_command is set: {}", without_secrets(&command)));
        }
        facts.extend(others(&host, instance(trial)?).await?);

        let disk = host.disk(&server.data_directory).await?;
        facts.push(format!("{} of {} are free on {}", bytes(disk.free), bytes(disk.size), disk.mount));
        let clock = host.clock_offset().await?;
        let (offset, within) = (clock.offset.as_secs_f64(), clock.within.as_secs_f64());
        facts.push(format!("its clock is {offset:+.3} s from ours (± {within:.3} s)"));

        let inspection = json!({
            "host": host.name().as_str(),
            "version": server.version,
            "system_identifier": server.system_id,
            "data_directory": server.data_directory,
            "checksums": server.checksums,
            "wal_level": server.wal_level,
            "bytes": server.size,
            "databases": databases,
            "settings": rows(&pg, sql::SETTINGS).await?,
            "archiver": rows(&pg, sql::ARCHIVER).await?,
            "connected": connected,
            "subscriptions": subscriptions,
            "replication_slots": slots,
            "tablespaces": tablespaces,
            "disk": { "mount": disk.mount, "bytes": disk.size, "free": disk.free },
            "clock_offset_seconds": offset,
        });
        let pretty = serde_json::to_vec_pretty(&inspection)
            .map_err(|e| Error::new(codes::INTERNAL, "an inspection without a JSON form").source(e))?;
        let file = trial.keep("inspection of PostgreSQL", &pretty)?;
        Ok(Evidence { files: vec![file], facts, ..Evidence::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::{Inside, Table};

    #[test]
    fn what_does_not_come_back_or_acts_is_said() {
        let table = |name: &str, unlogged| Table { name: name.into(), rows: 10, bytes: 8192, unlogged };
        let inside = Inside {
            tables: vec![table("public.tenants", false), table("public.cache", true)],
            sequences: 1,
            large_objects: 2,
            acting: vec!["pg_cron".into()],
            foreign_servers: Vec::new(),
        };
        let facts = inside.facts("cell");
        assert_eq!(
            facts[0],
            "database cell: 2 tables, about 20 rows, 16.0 KiB; 1 sequences, 2 large objects"
        );
        assert!(facts[1].ends_with("public.cache") && facts[2].ends_with("pg_cron"));
        assert_eq!(facts.len(), 3);
    }
}
