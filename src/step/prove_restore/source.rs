//! The server that is proven: what it is, what it holds at exact points, and its WAL forced into the archive.
//!
//! It is only read, but for objects marked as ours: a temporary slot that ends with its session, a record in the WAL,
//! and, where wal_level is not logical, a schema with two canary rows that is dropped afterwards.

use std::time::Duration;

use crate::access::{Become, HostTrial, Psql, Trial};
use crate::diagnostic::{Error, Result, codes};
use crate::name::HostName;
use crate::step::Failure;
use crate::step::common::{instance, unverified, wait_for};
use crate::step::postgres_wal_archive::{CLOSE, archiver, closed, reached};
use crate::step::prover::digests::Description;
use crate::step::prover::{BASH, DIGEST_SQL, LONG, SEQUENCES_SQL, host_of};

const SERVER: &str = "select current_setting('wal_level'), current_setting('server_version'), \
    (select setting::bigint from pg_settings where name = 'archive_timeout'), pg_is_in_recovery(), \
    coalesce(extract(epoch from clock_timestamp() - (select last_archived_time from pg_stat_archiver)), -1)::float8, \
    (select sum(pg_database_size(oid))::bigint from pg_database), \
    coalesce((select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0'::pg_lsn + \
      (('x' || substr(last_archived_wal, 9, 8))::bit(32)::bigint * (4294967296 / size.bytes) \
        + ('x' || substr(last_archived_wal, 17, 8))::bit(32)::bigint + 1) * size.bytes::numeric) \
     from pg_stat_archiver, (select setting::bigint as bytes from pg_settings where name = 'wal_segment_size') as size \
     where last_archived_wal ~ '^[0-9A-F]{24}'), 0)::bigint";

const DATABASES: &str = "select datname::text, datallowconn, datistemplate from pg_database order by oid";

const DROP: &str = "set client_min_messages = warning; drop schema if exists hactl_canary cascade;";

/// How long a segment may take into the archive.
const ARCHIVED_WITHIN: Duration = Duration::from_secs(300);

/// What the server says of itself.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) wal_level: String,
    pub(super) version: String,
    /// In seconds; 0 where there is none.
    pub(super) archive_timeout: i64,
    /// Seconds since the newest segment was archived, at the moment of asking; none where none ever was.
    pub(super) unarchived: Option<f64>,
    /// Bytes of WAL written since the end of that segment.
    pub(super) unarchived_bytes: u64,
    pub(super) bytes: u64,
    pub(super) databases: Vec<String>,
    /// Databases that nobody can connect to, and templates.
    pub(super) left_out: Vec<String>,
}

/// A database as it is at a point.
pub(super) struct Point {
    pub(super) lsn: String,
    pub(super) held: Description,
    pub(super) text: String,
}

/// The server, while a proof is taken of it.
pub(super) struct Source<'a> {
    host: HostTrial<'a>,
    socket: String,
    port: String,
    mark: String,
}

impl<'a> Source<'a> {
    pub(super) fn of(trial: &'a Trial<'_>) -> Result<Self> {
        let instance = instance(trial)?;
        let host = trial.on(&host_of(trial, &instance.role)?.name)?;
        let (socket, port) = (instance.socket_dir.display().to_string(), instance.port.to_string());
        Ok(Self { host, socket, port, mark: format!("hactl {}", trial.attempt()) })
    }

    pub(super) fn name(&self) -> &HostName {
        self.host.name()
    }

    /// What the server is, and how much could be lost with it at this moment.
    pub(super) async fn server(&self) -> Result<Server> {
        let pg = self.host.postgres("postgres").await?.ready()?;
        let row = pg.query_one(SERVER, &[]).await?;
        if row.get::<_, bool>(3) {
            return Err(unverified("the server is itself in recovery; its primary is the one to prove")
                .host(self.name()));
        }
        let (unarchived, bytes): (f64, i64) = (row.get(4), row.get(5));
        let mut server = Server {
            wal_level: row.get(0),
            version: row.get(1),
            archive_timeout: row.get(2),
            unarchived: (unarchived >= 0.0).then_some(unarchived),
            // Negative where a segment was closed and nothing written since.
            unarchived_bytes: u64::try_from(row.get::<_, i64>(6)).unwrap_or(0),
            bytes: u64::try_from(bytes).unwrap_or(0),
            databases: Vec::new(),
            left_out: Vec::new(),
        };
        for row in pg.query(DATABASES, &[]).await? {
            let (name, connectable, template): (String, bool, bool) = (row.get(0), row.get(1), row.get(2));
            if connectable && !template { server.databases.push(name) } else { server.left_out.push(name) }
        }
        Ok(server)
    }

    /// What a database holds at one exact point, by a temporary slot's snapshot.
    pub(super) async fn at_point(&self, database: &str) -> Result<Point> {
        // Temporary slots of other sessions have names of their own; one proof takes one slot after the other.
        let slot = "hactl_prove";
        let arguments = [
            include_str!("at_point.sh"),
            "hactl-at-point",
            database,
            slot,
            &self.socket,
            &self.port,
            DIGEST_SQL,
            SEQUENCES_SQL,
        ];
        let user = Become::User("postgres".to_owned());
        let finished = self.host.script(BASH, &arguments, "", user, LONG).await?;
        let finished = finished
            .ok(format!("cannot describe the database {database} at a point"))
            .map_err(Failure::into_error)?;
        let text = finished.text();
        let held = Description::parse(&text)?;
        let none = || {
            Error::new(codes::PROVE_FAILED, format!("the slot in {database} gave no point")).host(self.name())
        };
        let lsn = held.lsn.clone().ok_or_else(none)?;
        Ok(Point { lsn, held, text })
    }

    /// Commits a row, sets a point, commits another row; gives the point.
    pub(super) async fn plant_canary(&self) -> Result<String> {
        self.drop_canary().await?;
        let plant = Psql::new("postgres", include_str!("canary_plant.sql")).set("mark", &self.mark);
        let lsn = self.host.psql(&plant).await?.text();
        let sound = lsn.split_once('/').is_some_and(|(a, b)| {
            !a.is_empty() && !b.is_empty() && lsn.chars().all(|c| c.is_ascii_hexdigit() || c == '/')
        });
        if sound {
            Ok(lsn)
        } else {
            Err(Error::new(codes::PROVE_FAILED, format!("{lsn:?} is no point of the WAL")))
        }
    }

    /// What the canary rows are marked with.
    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// Removes the canary and its schema.
    pub(super) async fn drop_canary(&self) -> Result<()> {
        self.host.psql(&Psql::new("postgres", DROP)).await.map(drop)
    }

    /// Closes the segment with everything so far, and waits until the archive has it; gives its name and the seconds.
    pub(super) async fn force_archive(&self) -> Result<(String, f64)> {
        let pg = self.host.postgres("postgres").await?.ready()?;
        let before = archiver(&pg).await?;
        let answer = self.host.psql(&Psql::new("postgres", CLOSE).set("mark", &self.mark)).await?;
        let (segment, closed_at) = closed(&answer.text()).ok_or_else(|| {
            let what = format!("cannot understand what closing a segment said: {:?}", answer.text());
            Error::new(codes::POSTGRES_ODD_ANSWER, what).host(self.name())
        })?;
        let arrived = wait_for(ARCHIVED_WITHIN, Duration::from_millis(100), async || {
            let now = archiver(&pg).await?;
            Ok(reached(&now.last, &segment).then_some(now))
        });
        let Some(now) = arrived.await? else {
            let failed = archiver(&pg).await?;
            let why = if failed.failed > before.failed {
                format!("archiving {} failed", failed.failed_wal)
            } else {
                "the archiver is behind".to_owned()
            };
            let what = format!("the WAL segment {segment} was not archived within 5 minutes: {why}");
            return Err(Error::new(codes::PROVE_FAILED, what)
                .host(self.name())
                .next(format!("look into /var/log/postgresql and /var/log/pgbackrest on {}", self.name())));
        };
        Ok((segment, (now.at - closed_at).max(0.0)))
    }
}
