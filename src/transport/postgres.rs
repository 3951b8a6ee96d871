//! Queries to a PostgreSQL server through its unix socket, forwarded by SSH.
//!
//! Invariant: a session is read-only by default, has a statement timeout, and every call here has a deadline that is a
//! little longer. "Refused" and "nobody there" are answers, told apart from a host that cannot be reached. Who may
//! query what is the role's business.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Connection, NoTls, Row};

use super::ssh::Ssh;
use crate::diagnostic::{Error, Result, codes};
use crate::name::HostName;
use crate::redact::sanitize_for_terminal;
use crate::waiting::{Await, awaited};
use crate::workspace::Host;

/// How long connecting may take.
const CONNECTING: Duration = Duration::from_secs(10);

/// What a statement may take where nothing else is said.
const STATEMENT: Duration = Duration::from_secs(30);

/// Beyond the statement timeout: the way there and back.
const GRACE: Duration = Duration::from_secs(5);

/// What became of connecting.
#[derive(Debug)]
pub enum Connected {
    /// It worked.
    Ready(PgConnection),
    /// The server refused the role; what it said.
    Refused(String),
    /// The server starts or stops, and lets nobody in meanwhile; what it said.
    Moving(String),
    /// No server answers; what was seen.
    Nobody(String),
}

/// A session. Nobody drives it but the queries themselves, so it needs no task of its own.
pub struct PgConnection(Box<Session>);

struct Session {
    client: Client,
    wire: Mutex<Pin<Box<Connection<UnixStream, NoTlsStream>>>>,
    host: HostName,
    statement_timeout: Cell<Duration>,
}

impl fmt::Debug for PgConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PgConnection({})", self.0.host)
    }
}

impl PgConnection {
    /// Opens a session on the socket of a host, as a role, in a database.
    ///
    /// # Errors
    /// The host cannot be reached, the database does not exist, or the server says something unforeseen.
    pub async fn open(ssh: &Ssh, host: &Host, socket: &str, role: &str, database: &str) -> Result<Connected> {
        let (local, forward) = ssh.forward(host, socket).await?;
        let mut config = Config::new();
        config.user(role).dbname(database).application_name("hactl read");
        config.options(format!(
            "-c default_transaction_read_only=on -c statement_timeout={} -c lock_timeout=5000 \
             -c idle_in_transaction_session_timeout=60000",
            STATEMENT.as_millis()
        ));
        let connect = async {
            let stream = UnixStream::connect(&local).await.map_err(|e| e.to_string())?;
            Ok::<_, String>(config.connect_raw(stream, NoTls).await)
        };
        let outcome = timeout(CONNECTING, connect).await;
        // What is connected stays connected; nobody else shall connect.
        forward.end().await;
        let error = match outcome {
            Ok(Ok(Ok((client, wire)))) => {
                return Ok(Connected::Ready(Self(Box::new(Session {
                    client,
                    wire: Mutex::new(Box::pin(wire)),
                    host: host.name.clone(),
                    statement_timeout: Cell::new(STATEMENT),
                }))));
            }
            Ok(Ok(Err(error))) => error,
            Ok(Err(_)) | Err(_) => {
                ssh.answers(host).await?;
                return Ok(Connected::Nobody(format!("{socket} does not answer")));
            }
        };
        let Some(db) = error.as_db_error() else {
            // The forwarded channel closed at once: there is no such socket, or nobody listens. Or the link is dead.
            ssh.answers(host).await?;
            return Ok(Connected::Nobody(format!("nobody listens on {socket}")));
        };
        let said = sanitize_for_terminal(db.message());
        if *db.code() == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
            || *db.code() == SqlState::INVALID_PASSWORD
        {
            return Ok(Connected::Refused(said));
        }
        if *db.code() == SqlState::CANNOT_CONNECT_NOW {
            return Ok(Connected::Moving(said));
        }
        Err(Error::new(codes::POSTGRES_QUERY, format!("cannot connect to the database {database}: {said}"))
            .host(&host.name))
    }

    /// Runs a query for at most `within`.
    ///
    /// # Errors
    /// The server refuses it, it takes too long, or the connection is lost.
    pub async fn query(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
        within: Duration,
    ) -> Result<Vec<Row>> {
        let session = &self.0;
        if session.statement_timeout.get() != within {
            let set = format!("set statement_timeout = {}", within.as_millis());
            session.drive(session.client.batch_execute(&set), GRACE).await?;
            session.statement_timeout.set(within);
        }
        let answer = Await::new("an answer of PostgreSQL").on(&session.host).within(within + GRACE);
        awaited(answer, session.drive(session.client.query(sql, parameters), within + GRACE)).await
    }
}

impl Session {
    /// Moves bytes until `work` is done.
    async fn drive<T>(
        &self,
        work: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
        within: Duration,
    ) -> Result<T> {
        let wire = async {
            let mut wire = self.wire.lock().await;
            wire.as_mut().await
        };
        let both = async {
            tokio::select! {
                biased;
                done = work => done.map_err(|e| self.error(&e)),
                ended = wire => Err(self.lost(ended.err())),
            }
        };
        match timeout(within, both).await {
            Ok(done) => done,
            Err(_elapsed) => {
                let what = format!("a query got no answer within {} s", within.as_secs());
                Err(Error::new(codes::POSTGRES_DEADLINE, what).host(&self.host).next("hactl doctor"))
            }
        }
    }

    fn lost(&self, why: Option<tokio_postgres::Error>) -> Error {
        let error =
            Error::new(codes::POSTGRES_LOST, "the connection to PostgreSQL was lost").host(&self.host);
        match why {
            Some(why) => error.source(why),
            None => error,
        }
    }

    fn error(&self, error: &tokio_postgres::Error) -> Error {
        match error.as_db_error() {
            None if error.is_closed() => self.lost(None),
            None => {
                Error::new(codes::POSTGRES_QUERY, sanitize_for_terminal(&error.to_string())).host(&self.host)
            }
            Some(db) => {
                let said = sanitize_for_terminal(db.message());
                let late = *db.code() == SqlState::QUERY_CANCELED;
                let code = if late { codes::POSTGRES_DEADLINE } else { codes::POSTGRES_QUERY };
                Error::new(code, format!("a query failed: {said} ({})", db.code().code())).host(&self.host)
            }
        }
    }
}
