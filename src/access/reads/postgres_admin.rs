//! What only PostgreSQL's superuser may read, and hactl must know before (or beside) its monitoring role.
//!
//! Invariant: constant SQL, in a session that is read-only and bounded in time. Everything that the monitoring role may
//! read goes through [`super::PgView`] instead.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::Psql;
use super::HostView;
use super::postgres::{PgAccess, Said};
use crate::diagnostic::{Error, Result, codes};
use crate::redact::sanitize_for_terminal;
use crate::transport::ssh::{Command, Status};

/// A role and what it may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PgRole {
    /// May it log in?
    pub login: bool,
    /// What it may do beyond that, such as `superuser`.
    pub powers: Vec<String>,
    /// The roles that it is a member of.
    pub member_of: Vec<String>,
}

/// Where the server's files are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PgFiles {
    /// `pg_hba.conf`.
    pub hba: String,
    /// `pg_ident.conf`.
    pub ident: String,
    /// The data folder.
    pub data: String,
    /// `postgresql.conf`.
    pub config: String,
}

const ROLE: &str = "select coalesce((select json_build_object('login', rolcanlogin, \
    'powers', array_remove(array[case when rolsuper then 'superuser' end, case when rolcreatedb then 'createdb' end, \
      case when rolcreaterole then 'createrole' end, case when rolreplication then 'replication' end, \
      case when rolbypassrls then 'bypassrls' end], null), \
    'member_of', array(select g.rolname from pg_auth_members m join pg_roles g on g.oid = m.roleid \
      where m.member = r.oid order by 1)) \
  from pg_roles r where rolname = :'role'), 'null'::json)";

const FILES: &str = "select json_build_object('hba', current_setting('hba_file'), \
    'ident', current_setting('ident_file'), 'data', current_setting('data_directory'), \
    'config', current_setting('config_file'))";

const ACCESS_ERRORS: &str = "select coalesce(json_agg(line), '[]') from (\
    select format('%s line %s: %s', file_name, line_number, error) as line from pg_hba_file_rules where error is not null \
    union all select format('%s line %s: %s', file_name, line_number, error) from pg_ident_file_mappings where error is not null) e";

impl HostView<'_> {
    /// A role of the workspace's instance, if there is one of that name.
    ///
    /// # Errors
    /// The server is down, or the host cannot be reached.
    pub async fn postgres_role(&self, role: &str) -> Result<Option<PgRole>> {
        self.as_superuser(ROLE, &[("role", role)]).await
    }

    /// The major version of the server that answers, such as 17.
    ///
    /// # Errors
    /// As [`Self::postgres_role`].
    pub async fn postgres_major(&self) -> Result<i64> {
        self.as_superuser("select current_setting('server_version_num')::bigint / 10000", &[]).await
    }

    /// Where the instance's files are.
    ///
    /// # Errors
    /// As [`Self::postgres_role`].
    pub async fn postgres_files(&self) -> Result<PgFiles> {
        self.as_superuser(FILES, &[]).await
    }

    /// What PostgreSQL would not start with, were it started now with the settings in its files; empty where it would.
    ///
    /// The server's own view of its files does not say it: there a value that is wrong and one that waits for a start
    /// look the same. So its program is asked to read them, as a start would, and to print one of them.
    ///
    /// # Errors
    /// As [`Self::postgres_role`].
    pub async fn postgres_start_errors(&self) -> Result<Vec<String>> {
        let Some(instance) = &self.world().workspace().postgres else { return Ok(Vec::new()) };
        let files = self.postgres_files().await?;
        let ask = Command::new(format!("/usr/lib/postgresql/{}/bin/postgres", instance.version))
            .args(["-D", &files.data, "-c", &format!("config_file={}", files.config), "-C", "data_directory"])
            .env("LC_ALL", "C")
            .as_user("postgres");
        let finished = self.ask(&ask).await?;
        if finished.succeeded() {
            return Ok(Vec::new());
        }
        let lines = finished.stderr.text();
        let lines: Vec<_> =
            lines.lines().filter(|l| !l.trim().is_empty()).map(sanitize_for_terminal).collect();
        Ok(if lines.is_empty() { vec![finished.error("asking it").one_line()] } else { lines })
    }

    /// What the server could not make of `pg_hba.conf` and `pg_ident.conf`: with these it takes no change of them.
    ///
    /// # Errors
    /// As [`Self::postgres_role`]; or the server is older than PostgreSQL 16.
    pub async fn postgres_access_errors(&self) -> Result<Vec<String>> {
        self.as_superuser(ACCESS_ERRORS, &[]).await
    }

    async fn as_superuser<T: DeserializeOwned>(
        &self,
        sql: &'static str,
        variables: &[(&str, &str)],
    ) -> Result<T> {
        self.world().workspace().instance()?;
        let psql = Psql::new("postgres", sql);
        let psql = variables.iter().fold(psql, |psql, (name, value)| psql.set(*name, *value));
        let psql = psql
            .command(self, "hactl read")
            .env("PGCONNECT_TIMEOUT", "10")
            .env("PGOPTIONS", "-c default_transaction_read_only=on -c statement_timeout=20s");
        let ask = async || {
            let finished = self.ask(&psql).await?;
            // psql's own status for "no connection".
            if finished.status != Status::Exited(2) {
                return Ok(Said::Answer(finished));
            }
            let standing = self.postgres_standing().await?;
            let (code, text, next) = match standing {
                Standing::Moving => {
                    return Ok(Said::Moving(finished.error("no PostgreSQL answers").one_line()));
                }
                Standing::Accepts => (
                    codes::POSTGRES_CLOSED,
                    "PostgreSQL does not let its superuser in",
                    "look at its pg_hba.conf and its connection limits; when psql gets in as postgres: hactl resume",
                ),
                Standing::Silent => (
                    codes::POSTGRES_DOWN,
                    "no PostgreSQL answers",
                    "hactl doctor    (says whether it runs, and how it is started)",
                ),
            };
            Err(Error::new(code, finished.error(text).one_line()).host(self.name()).next(next))
        };
        let finished = match self.once_started(ask).await? {
            Said::Answer(finished) => finished,
            Said::Moving(said) => return Err(PgAccess::moving(&said).host(self.name())),
        };
        if !finished.succeeded() {
            return Err(finished.error("cannot ask PostgreSQL"));
        }
        let text = finished.text();
        serde_json::from_str(&text).map_err(|_| self.odd("an answer of PostgreSQL", &text))
    }

    /// How the server stands towards connections. What it says itself is in the language of its settings; this is not.
    async fn postgres_standing(&self) -> Result<Standing> {
        let Some(instance) = &self.world().workspace().postgres else { return Ok(Standing::Silent) };
        let ask = Command::new("pg_isready")
            .arg("--quiet")
            .arg(format!("--host={}", instance.socket_dir.display()))
            .arg(format!("--port={}", instance.port));
        Ok(match self.ask(&ask).await?.status {
            Status::Exited(0) => Standing::Accepts,
            Status::Exited(1) => Standing::Moving,
            _ => Standing::Silent,
        })
    }
}

/// How a server stands towards connections.
enum Standing {
    /// It takes them: whom it lets in is another matter.
    Accepts,
    /// It rejects them all, because it starts or stops.
    Moving,
    /// Nobody answers.
    Silent,
}
