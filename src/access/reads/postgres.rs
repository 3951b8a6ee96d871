//! PostgreSQL: its clusters, and queries as the monitoring role.

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::HostView;
use crate::diagnostic::{Error, Result, codes};
use crate::transport::postgres::{Connected, PgConnection};
use crate::transport::ssh::Command;
use crate::waiting::{Await, awaited};

/// The role that hactl reads as. Phase 0 makes it.
pub const MONITOR: &str = "hactl_monitor";

/// A cluster as Debian's `pg_lsclusters` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgCluster {
    /// Its major version.
    pub version: String,
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// `online`, `down`, `online,recovery`, …
    pub status: String,
    /// Who owns it.
    pub owner: String,
    /// Its data folder.
    pub data_dir: String,
}

/// Which server, and which database of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgAt {
    /// The folder of its socket.
    pub socket_dir: String,
    /// Its port.
    pub port: u16,
    /// The database.
    pub database: String,
}

/// Whether queries are possible.
#[derive(Debug)]
pub enum PgAccess {
    /// They are.
    Ready(PgView),
    /// The server answers, but does not let the monitoring role in: it does not exist yet, or is not mapped to our
    /// login. What the server said.
    NotYet(String),
    /// The server starts or stops, and lets nobody in meanwhile. What it said.
    Moving(String),
    /// No server answers on that socket. What was seen.
    NoServer(String),
}

impl PgAccess {
    /// The queries, where they must be possible.
    ///
    /// # Errors
    /// They are not.
    pub fn ready(self) -> Result<PgView> {
        match self {
            Self::Ready(view) => Ok(view),
            Self::NotYet(said) => Err(Error::new(
                codes::POSTGRES_NO_ROLE,
                format!("PostgreSQL does not let the role {MONITOR} in: {said}"),
            )
            .next("hactl plan --dry-run    (shows the steps that make the role and let it in)")),
            Self::Moving(said) => Err(Self::moving(&said)),
            Self::NoServer(said) => {
                Err(Error::new(codes::POSTGRES_DOWN, format!("no PostgreSQL answers: {said}"))
                    .next("hactl doctor    (says whether it runs, and how it is started)"))
            }
        }
    }
}

impl PgAccess {
    /// A server that starts or stops where it must be up.
    pub(super) fn moving(said: &str) -> Error {
        Error::new(codes::POSTGRES_DOWN, format!("PostgreSQL starts or stops, and lets nobody in: {said}"))
            .next("wait until it is up (pg_lsclusters on that host says so), then: hactl resume")
    }
}

/// How long a server that starts is waited for: after a crash it replays its WAL first.
const STARTING: Duration = Duration::from_secs(60);
/// How often it is asked again.
const AGAIN: Duration = Duration::from_millis(250);

/// What a server says that is asked while it may start or stop.
#[derive(Debug)]
pub(super) enum Said<T> {
    /// This.
    Answer(T),
    /// That it starts or stops, in its own words.
    Moving(String),
}

/// Queries as the monitoring role, in sessions that are read-only and bounded in time.
pub struct PgView {
    connection: PgConnection,
}

impl fmt::Debug for PgView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PgView")
    }
}

impl PgView {
    /// Runs a constant query for at most 30 s.
    ///
    /// # Errors
    /// The server refuses it, it takes too long, or the connection is lost.
    pub async fn query(&self, sql: &'static str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        self.query_within(sql, parameters, Duration::from_secs(30)).await
    }

    /// Runs a constant query for at most `within`.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub async fn query_within(
        &self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
        within: Duration,
    ) -> Result<Vec<Row>> {
        self.connection.query(sql, parameters, within).await
    }

    /// Runs a constant query that yields exactly one row.
    ///
    /// # Errors
    /// As [`Self::query`]; or there are more rows or none.
    pub async fn query_one(&self, sql: &'static str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Row> {
        let mut rows = self.query(sql, parameters).await?;
        match (rows.pop(), rows.is_empty()) {
            (Some(row), true) => Ok(row),
            (Some(_), false) | (None, _) => {
                Err(Error::new(codes::POSTGRES_ODD_ANSWER, "a query did not yield exactly one row"))
            }
        }
    }
}

impl HostView<'_> {
    /// The clusters that Debian's tools know.
    ///
    /// # Errors
    /// They are not installed.
    pub async fn postgres_clusters(&self) -> Result<Vec<PgCluster>> {
        if !self.missing_programs(&["pg_lsclusters"]).await?.is_empty() {
            return Ok(Vec::new());
        }
        let list = Command::new("pg_lsclusters").arg("--no-header");
        let text = self.ask_ok(&list, "cannot list the PostgreSQL clusters").await?.text();
        text.lines().map(|line| parse_cluster(line).ok_or_else(|| self.odd("pg_lsclusters", line))).collect()
    }

    /// Queries in a database of the workspace's instance. A server that starts is waited for, for a minute.
    ///
    /// # Errors
    /// The host cannot be reached. That no server or role is there is no error.
    pub async fn postgres(&self, database: &str) -> Result<PgAccess> {
        let ask = async || match self.postgres_now(database).await? {
            PgAccess::Moving(said) => Ok(Said::Moving(said)),
            access @ (PgAccess::Ready(_) | PgAccess::NotYet(_) | PgAccess::NoServer(_)) => {
                Ok(Said::Answer(access))
            }
        };
        match self.once_started(ask).await? {
            Said::Answer(access) => Ok(access),
            Said::Moving(said) => Ok(PgAccess::Moving(said)),
        }
    }

    /// Asks a server again while it starts or stops, for at most a minute.
    pub(super) async fn once_started<T>(&self, ask: impl AsyncFn() -> Result<Said<T>>) -> Result<Said<T>> {
        let until = Instant::now() + STARTING;
        if let answer @ Said::Answer(_) = ask().await? {
            return Ok(answer);
        }
        let start = Await::new("PostgreSQL to let anybody in").on(self.name()).within(STARTING);
        let again = async {
            loop {
                sleep(AGAIN).await;
                match ask().await? {
                    Said::Moving(_) if Instant::now() < until => {}
                    said @ (Said::Answer(_) | Said::Moving(_)) => return Ok(said),
                }
            }
        };
        awaited(start, again).await
    }

    /// The same, as the server stands now.
    ///
    /// # Errors
    /// As [`Self::postgres`].
    pub async fn postgres_now(&self, database: &str) -> Result<PgAccess> {
        let instance = self.world().workspace().instance()?;
        let at = PgAt {
            socket_dir: instance.socket_dir.display().to_string(),
            port: instance.port,
            database: database.to_owned(),
        };
        self.postgres_at(&at).await
    }

    /// Queries in a database of any server on this host.
    ///
    /// # Errors
    /// As [`Self::postgres`].
    pub async fn postgres_at(&self, at: &PgAt) -> Result<PgAccess> {
        let socket = format!("{}/.s.PGSQL.{}", at.socket_dir, at.port);
        let ssh = self.world().seam().ssh();
        match PgConnection::open(ssh, self.host(), &socket, MONITOR, &at.database).await? {
            Connected::Ready(connection) => Ok(PgAccess::Ready(PgView { connection })),
            Connected::Refused(said) => Ok(PgAccess::NotYet(said)),
            Connected::Moving(said) => Ok(PgAccess::Moving(said)),
            Connected::Nobody(said) => Ok(PgAccess::NoServer(said)),
        }
    }
}

fn parse_cluster(line: &str) -> Option<PgCluster> {
    let mut fields = line.split_whitespace().map(str::to_owned);
    Some(PgCluster {
        version: fields.next()?,
        name: fields.next()?,
        port: fields.next()?.parse().ok()?,
        status: fields.next()?,
        owner: fields.next()?,
        data_dir: fields.next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::parse_cluster;

    #[test]
    fn a_cluster_is_read() {
        let line = "17  main    5432 online,recovery postgres /var/lib/postgresql/17/main /var/log/x.log";
        let cluster = parse_cluster(line).unwrap();
        assert_eq!((cluster.version.as_str(), cluster.port), ("17", 5432));
        assert_eq!(cluster.status, "online,recovery");
        assert_eq!(parse_cluster("17 main"), None);
    }
}
