//! A probe of the PostgreSQL instance.

use serde::{Deserialize, Serialize};

use super::kind::{Measured, ProbeKind};
use crate::access::{PgAccess, View};
use crate::diagnostic::Result;

/// PostgreSQL answers on the host, as the monitoring role.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresAnswers {}

impl ProbeKind for PostgresAnswers {
    const NAME: &'static str = "postgres_answers";
    const SUMMARY: &'static str = "PostgreSQL answers a query of the monitoring role";

    async fn measure(&self, view: &View<'_>) -> Result<Measured> {
        match view.here()?.postgres("postgres").await? {
            PgAccess::Ready(pg) => {
                let row = pg.query_one("SELECT current_setting('server_version')", &[]).await?;
                let version: String = row.get(0);
                Ok(Measured::holds(format!("PostgreSQL {version} answers")))
            }
            PgAccess::NotYet(why) | PgAccess::Moving(why) | PgAccess::NoServer(why) => {
                Ok(Measured::fails(format!("PostgreSQL cannot be asked yet: {why}")))
            }
        }
    }
}
