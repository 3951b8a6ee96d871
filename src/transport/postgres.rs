//! Queries to a PostgreSQL server through its unix socket, forwarded by SSH.
//!
//! Invariant: a session is read-only by default, has a statement timeout, and every call here has a deadline that is a
//! little longer. Who may query what is the role's business.

use std::fmt;
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::ssh::Ssh;
use crate::diagnostic::{Error, Result, codes};
use crate::workspace::Host;

/// What became of connecting.
#[derive(Debug)]
pub enum Connected {
    /// It worked.
    Ready(PgConnection),
    /// The server refused the role; what it said.
    Refused(String),
    /// No server answers; what was seen.
    Nobody(String),
}

/// A session.
pub struct PgConnection {}

impl fmt::Debug for PgConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PgConnection")
    }
}

impl PgConnection {
    /// Opens a session on the socket of a host, as a role, in a database.
    ///
    /// # Errors
    /// The host cannot be reached.
    pub async fn open(
        _ssh: &Ssh,
        host: &Host,
        _socket: &str,
        _role: &str,
        _database: &str,
    ) -> Result<Connected> {
        Err(Error::new(codes::INTERNAL, "not built yet").host(&host.name))
    }

    /// Runs a query for at most `within`.
    ///
    /// # Errors
    /// The server refuses it, it takes too long, or the connection is lost.
    pub async fn query(
        &self,
        _sql: &str,
        _parameters: &[&(dyn ToSql + Sync)],
        _within: Duration,
    ) -> Result<Vec<Row>> {
        Err(Error::new(codes::INTERNAL, "not built yet"))
    }
}
