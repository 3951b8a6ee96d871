//! `pgbackrest_stanza`: the repository has a place for this cluster's WAL and backups.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::common::{remember, unverified};
use super::kind::{Effect, Evidence, Failure, Findings, Scope, StepKind, WayBack};
use super::pgbackrest::{Info, Stanza, info, info_of};
use crate::access::{Become, Command, Hands, HostHands, HostView, Trial, View};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::{Before, Change, Observed, Outputs};

/// Makes the stanza in the repository.
///
/// A stanza of another cluster is never taken over: archiving into it would ruin what it protects. The way back deletes
/// the stanza only while it holds no backup; with backups it stays, because deleting it would delete them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PgBackRestStanza {
    /// Its name.
    #[serde(default = "Stanza::main")]
    stanza: Stanza,
}

/// How long pgBackRest may take: it writes two small objects.
const LIMIT: Duration = Duration::from_secs(120);

/// Deletes the stanza. `stop` comes first, as pgBackRest demands, and is taken back also where a former try stopped.
const DELETE: &str = r#"set -eu
pgbackrest --stanza="$1" --log-level-stderr=error stop
pgbackrest --stanza="$1" --log-level-stderr=error --force stanza-delete || { s=$?; pgbackrest --stanza="$1" start || :; exit $s; }
pgbackrest --stanza="$1" --log-level-stderr=error start"#;

/// The number that PostgreSQL gave the cluster when it was made.
async fn system_id(host: &HostView<'_>) -> Result<u64> {
    let pg = host.postgres("postgres").await?.ready()?;
    let row = pg.query_one("select system_identifier::text from pg_control_system()", &[]).await?;
    let text: String = row.get(0);
    text.parse()
        .map_err(|_| Error::new(codes::POSTGRES_ODD_ANSWER, format!("the system identifier is {text:?}")))
}

/// Why the stanza cannot be this cluster's, if it cannot.
fn stranger(info: &Info, system_id: u64) -> Option<String> {
    match info.current() {
        Some(db) if db.system_id != system_id => Some(format!(
            "it belongs to a PostgreSQL {} cluster with the system identifier {}, and this one has {system_id}",
            db.version, db.system_id
        )),
        Some(_) | None => None,
    }
}

impl PgBackRestStanza {
    async fn run(&self, host: &HostHands<'_>, command: &str) -> Result<(), Failure> {
        let command = Command::new("pgbackrest")
            .args([&format!("--stanza={}", self.stanza.as_str()), "--log-level-stderr=error", command])
            .as_user("postgres")
            .within(LIMIT);
        host.run(&command).await?.ok("pgBackRest failed").map(drop)
    }
}

impl StepKind for PgBackRestStanza {
    const NAME: &'static str = "pgbackrest_stanza";
    const SUMMARY: &'static str = "make the repository's place for this cluster's WAL and backups";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn way_back(&self) -> WayBack {
        WayBack::Compensate(
            "deletes the stanza while it holds no backup; with backups it stays, for deleting it would delete them".to_owned(),
        )
    }

    fn objects(&self, view: &View<'_>) -> Vec<String> {
        view.s3_identity().into_iter().collect()
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        let host = view.here()?;
        let Some(info) = info(&host, &self.stanza).await? else { return Ok(findings) };
        if let Some(why) = stranger(&info, system_id(&host).await?) {
            findings.block(format!("the repository has a stanza {} already: {why}", self.stanza.as_str()));
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let host = view.here()?;
        let change = Change {
            summary: format!(
                "make the stanza {} in {}",
                self.stanza.as_str(),
                view.s3_identity().unwrap_or_default()
            ),
            details: vec![format!(
                "pgbackrest --stanza={} stanza-create, as postgres on {}",
                self.stanza.as_str(),
                host.name()
            )],
        };
        let not_applied = |change| Ok(Observed::NotApplied { change, before: remember(&())? });
        let Some(info) = info(&host, &self.stanza).await? else { return not_applied(change) };
        if !info.exists() {
            return match info.status.code {
                1 => not_applied(change),
                _ => Ok(Observed::Indeterminate(format!("pgBackRest says: {}", info.status.message))),
            };
        }
        match stranger(&info, system_id(&host).await?) {
            Some(why) => Ok(Observed::Indeterminate(why)),
            None => Ok(Observed::Applied(Outputs::new())),
        }
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        self.run(&hands.here()?, "stanza-create").await?;
        Ok(Outputs::new())
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let host = trial.view().here()?;
        let info = info_of(&host, &self.stanza).await?;
        let id = system_id(&host).await?;
        match (info.exists(), stranger(&info, id), info.cipher.as_str()) {
            (false, _, _) => Err(unverified(format!("there is no stanza: {}", info.status.message))),
            (true, Some(why), _) => Err(unverified(format!("the stanza is not this cluster's: {why}"))),
            (true, None, "aes-256-cbc") => Ok(Evidence::facts([format!(
                "the stanza {} belongs to the cluster {id}, and is encrypted with aes-256-cbc",
                self.stanza.as_str()
            )])),
            (true, None, cipher) => Err(unverified(format!("the repository's encryption is {cipher:?}"))),
        }
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let host = hands.here()?;
        match info(&host, &self.stanza).await? {
            Some(info) if info.exists() && info.backup.is_empty() => host
                .script(DELETE, &[self.stanza.as_str()], "", Become::User("postgres".to_owned()), LIMIT)
                .await?
                .ok("cannot delete the stanza")
                .map(drop),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pgbackrest::tests::{INFO, parsed};
    use super::stranger;

    #[test]
    fn the_stanza_of_another_cluster_is_recognised() {
        let info = parsed(INFO);
        assert_eq!(stranger(&info, 7_710_550_478_997_535_407), None);
        assert!(stranger(&info, 1).unwrap().contains("7710550478997535407"));
        assert_eq!(stranger(&parsed("[]"), 1), None);
    }
}
