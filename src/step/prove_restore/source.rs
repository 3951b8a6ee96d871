//! The server that is proven: what it is, what it holds at exact points, and its WAL forced into the archive.
//!
//! It is only read, but for objects marked as ours: a temporary slot that ends with its session, a record in the WAL,
//! and, where no slot can be had, a schema with two canary rows that is dropped afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::access::{Become, Finished, HostTrial, Psql, Trial};
use crate::diagnostic::{Error, Result, codes};
use crate::name::HostName;
use crate::step::Failure;
use crate::step::common::{instance, unverified, wait_for};
use crate::step::postgres_wal_archive::{CLOSE, archiver, closed, reached};
use crate::step::prover::digests::{Description, Need};
use crate::step::prover::{BASH, DIGEST_SQL, LONG, NEEDS_SQL, SEQUENCES_SQL, host_of};

const SERVER: &str = "select current_setting('wal_level'), current_setting('server_version'), \
    (select setting::bigint from pg_settings where name = 'archive_timeout'), pg_is_in_recovery(), \
    coalesce(extract(epoch from clock_timestamp() - (select last_archived_time from pg_stat_archiver)), -1)::float8, \
    (select sum(pg_database_size(oid))::bigint from pg_database), \
    coalesce((select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0'::pg_lsn + \
      (('x' || substr(last_archived_wal, 9, 8))::bit(32)::bigint * (4294967296 / size.bytes) \
        + ('x' || substr(last_archived_wal, 17, 8))::bit(32)::bigint + 1) * size.bytes::numeric) \
     from pg_stat_archiver, (select setting::bigint as bytes from pg_settings where name = 'wal_segment_size') as size \
     where last_archived_wal ~ '^[0-9A-F]{24}'), 0)::bigint, \
    (select setting::bigint from pg_settings where name = 'max_replication_slots') \
      - (select count(*) from pg_replication_slots where slot_name <> 'hactl_prove'), \
    (select setting::bigint from pg_settings where name = 'max_wal_senders') \
      - (select count(*) from pg_stat_replication where application_name <> 'hactl-at-point')";

const DATABASES: &str = "select datname::text, datallowconn, datistemplate from pg_database order by oid";

const DROP: &str = "set client_min_messages = warning; drop schema if exists hactl_canary cascade;";

/// The packages that bring extensions, where dpkg knows it. Arguments: major version, then the extensions.
const PACKAGES: &str = r#"version=$1; shift
for extension; do
  brought=$(dpkg-query -S -- "/usr/share/postgresql/$version/extension/$extension.control" 2>/dev/null) || continue
  printf '%s\t%s\n' "$extension" "${brought%%:*}"
done"#;

/// The name of the slot; one proof takes one after the other.
const SLOT: &str = "hactl_prove";

/// Where pgBackRest keeps its locks, and what tells it to stop.
const STOPPED: &str = "/tmp/pgbackrest";

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
    /// Slots that could still be made.
    slots: i64,
    /// Connections for replication that could still be made.
    senders: i64,
}

impl Server {
    /// Why no logical slot can be had, so that only a canary row can be followed; none where one can.
    pub(super) fn no_slot(&self) -> Option<String> {
        if self.wal_level != "logical" {
            Some(format!("wal_level is {}, not logical", self.wal_level))
        } else if self.slots < 1 {
            Some("every replication slot is in use (max_replication_slots)".to_owned())
        } else if self.senders < 1 {
            Some("every connection for replication is in use (max_wal_senders)".to_owned())
        } else {
            None
        }
    }

    /// The major version, as packages name it.
    pub(super) fn major(&self) -> &str {
        self.version.split(['.', ' ']).next().unwrap_or_default()
    }
}

/// A database as it is at a point.
pub(super) struct Point {
    pub(super) lsn: String,
    pub(super) held: Description,
    pub(super) text: String,
}

/// Refuses an output that was bounded: the digests of some tables are not those of all.
fn whole(database: &str, finished: &Finished) -> Result<()> {
    if finished.stdout.cut == 0 {
        return Ok(());
    }
    let what = format!(
        "the digests of the database {database} are longer than can be read: {} bytes too many",
        finished.stdout.cut
    );
    Err(Error::new(codes::SSH_TOO_MUCH, what).host(&finished.host))
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
            slots: row.get(7),
            senders: row.get(8),
        };
        for row in pg.query(DATABASES, &[]).await? {
            let (name, connectable, template): (String, bool, bool) = (row.get(0), row.get(1), row.get(2));
            if connectable && !template { server.databases.push(name) } else { server.left_out.push(name) }
        }
        Ok(server)
    }

    /// What a database holds at one exact point, by a temporary slot's snapshot.
    pub(super) async fn at_point(&self, database: &str) -> Result<Point> {
        let arguments = [
            include_str!("at_point.sh"),
            "hactl-at-point",
            database,
            SLOT,
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
        whole(database, &finished)?;
        let text = finished.text();
        let held = Description::parse(&text)?;
        let none = || {
            Error::new(codes::PROVE_FAILED, format!("the slot in {database} gave no point")).host(self.name())
        };
        let lsn = held.lsn.clone().ok_or_else(none)?;
        Ok(Point { lsn, held, text })
    }

    /// What a machine must have so that a database works there.
    pub(super) async fn needs(&self, database: &str) -> Result<BTreeSet<Need>> {
        let answer = self.host.psql(&Psql::new(database, NEEDS_SQL)).await?;
        let odd = |line: &str| {
            let what = format!("cannot understand what {database} needs: {line:?}");
            Error::new(codes::POSTGRES_ODD_ANSWER, what).host(self.name())
        };
        answer.text().lines().map(|line| Need::parse(line).ok_or_else(|| odd(line))).collect()
    }

    /// Which packages brought these extensions to the server, as far as that is known.
    pub(super) async fn packages(&self, version: &str, lacks: &[Need]) -> Result<BTreeMap<String, String>> {
        let mut arguments = vec![version];
        arguments.extend(lacks.iter().filter_map(|need| match need {
            Need::Extension(name) => Some(name.as_str()),
            Need::Locale(_) => None,
        }));
        let user = Become::User("postgres".to_owned());
        let finished = self.host.script(PACKAGES, &arguments, "", user, Duration::from_secs(60)).await?;
        let text = finished.text();
        let pairs = text.lines().filter_map(|line| line.split_once('\t'));
        Ok(pairs.map(|(extension, package)| (extension.to_owned(), package.to_owned())).collect())
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

    /// Refuses where pgBackRest was told to stop on the server: no segment would be archived, however long one waits.
    pub(super) async fn not_stopped(&self) -> Result<()> {
        let entries = self.host.directory(STOPPED).await?.unwrap_or_default();
        let Some(stop) = entries.iter().find(|entry| entry.name.ends_with(".stop")) else { return Ok(()) };
        let what = format!("pgBackRest was told to stop, by the file {STOPPED}/{}", stop.name);
        let next = format!("sudo -u postgres pgbackrest start    (on {})", self.name());
        Err(Error::new(codes::PROVE_FAILED, what).host(self.name()).state("nothing was restored").next(next))
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
        let arrived =
            wait_for("the WAL to be archived", ARCHIVED_WITHIN, Duration::from_millis(100), async || {
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

#[cfg(test)]
mod tests {
    use super::{Server, whole};
    use crate::name::HostName;
    use crate::transport::ssh::{Captured, Finished, Status};

    fn server(wal_level: &str, slots: i64, senders: i64) -> Server {
        Server {
            wal_level: wal_level.to_owned(),
            version: "17.6 (Debian 17.6-0+deb13u1)".to_owned(),
            archive_timeout: 60,
            unarchived: None,
            unarchived_bytes: 0,
            bytes: 1,
            databases: Vec::new(),
            left_out: Vec::new(),
            slots,
            senders,
        }
    }

    #[test]
    fn without_a_slot_the_reason_is_said() {
        assert_eq!(server("logical", 1, 1).no_slot(), None);
        assert!(server("replica", 1, 1).no_slot().unwrap().contains("wal_level is replica"));
        assert!(server("logical", 0, 1).no_slot().unwrap().contains("max_replication_slots"));
        assert!(server("logical", 1, 0).no_slot().unwrap().contains("max_wal_senders"));
        assert_eq!(server("logical", 1, 1).major(), "17");
    }

    #[test]
    fn digests_that_were_cut_are_refused() {
        let finished = |cut| Finished {
            host: HostName::new("node-1").unwrap(),
            program: "sh".to_owned(),
            status: Status::Exited(0),
            stdout: Captured { bytes: b"{}".to_vec(), cut },
            stderr: Captured { bytes: Vec::new(), cut: 0 },
        };
        assert!(whole("cell", &finished(0)).is_ok());
        assert!(whole("cell", &finished(1)).unwrap_err().to_string().contains("1 bytes too many"));
    }
}
