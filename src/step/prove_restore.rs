//! `prove_restore`: a restore on another host, compared with production at exact points, table by table.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::kind::{Effect, Evidence, Failure, Findings, Scope, StepKind, WayBack};
use super::pgbackrest::{Backup, Info, RepoPath, Stanza};
use super::prove_dump::differ;
use super::prover::digests::{Copy, Description};
use super::prover::{LONG, Prover, Said, Secret, grade, host_of, memory};
use crate::access::{Hands, Input, Trial, View};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::{Before, Grade, Observed, Outputs};
use crate::name::{ComponentName, HostName};
use crate::units::Size;

mod backrest;
mod gathered;
mod source;

use gathered::{Gathered, figure, said_number};
use source::{Server, Source};

/// Restoring on the prover.
const RESTORE: &str = concat!(include_str!("prover/common.sh"), include_str!("prove_restore/restore.sh"));

/// Changes nothing of production. Proven on the prover, with keys and credentials of the workspace alone: the newest
/// backup is restored into a throwaway and replayed, database after database, to the exact point of a temporary
/// logical slot's exported snapshot; there every table of every database is compared in count and content with what
/// that snapshot held, under live writes. Large objects and sequences are compared and stated separately, unlogged and
/// foreign tables are named as not compared. Then the recovery is ended, and `pg_amcheck` (every index entry) and
/// `pg_checksums` read all of it. Where no slot can be had (`wal_level` is not `logical`, or every slot is in use), only a
/// canary row is followed: it is there when it was committed before the point, and not when after; such a proof is graded
/// *canary only*. What the databases need of the prover (locales, extensions, the major version) is looked at before
/// anything is restored.
///
/// The throwaway has its own user, folder, port and socket, archives nothing, loads no library, has bounded memory and is
/// *seen* to reach nothing but the object storage. It is destroyed afterwards, also on failure, also by the next run; where nobody
/// comes back, by a timer on the prover, and after a power cut by its next start.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProveRestore {
    /// Of which components the proof is.
    components: Vec<ComponentName>,
    /// The stanza.
    #[serde(default = "Stanza::main")]
    stanza: Stanza,
    /// The folder within the bucket.
    #[serde(default = "RepoPath::usual")]
    repo_path: RepoPath,
    /// How much memory the throwaway may use.
    #[serde(default = "memory")]
    memory: Size,
}

/// Where the recovery pauses, and what is compared there.
enum Target {
    /// A database with what it held.
    Database(Box<source::Point>),
    /// A canary row.
    Canary {
        /// The point.
        lsn: String,
        /// Why nothing more is compared.
        why: String,
    },
}

impl Target {
    fn lsn(&self) -> &str {
        match self {
            Self::Database(point) => &point.lsn,
            Self::Canary { lsn, why: _ } => lsn,
        }
    }
}

/// What pgBackRest says where it cannot read its own index.
const UNREADABLE: &str = "unable to load info file";

/// Why the index cannot be read: the pass phrase is wrong where it opens none of the repository's indexes.
fn unreadable(indexes: &Said) -> Error {
    let (code, what) = match indexes.get("opens") {
        None => (
            codes::PROVE_PASS,
            "the pass phrase in [pgbackrest] cipher_pass does not open the repository: none of its indexes can be decrypted"
                .to_owned(),
        ),
        Some(index) => (
            codes::PROVE_DAMAGED,
            format!(
                "the repository's index is damaged in both of its copies (backup.info, or archive.info); the pass phrase is \
                 right, for it opens {index}"
            ),
        ),
    };
    Error::new(code, what).state("nothing was restored")
}

/// The newest backup that could be restored.
fn newest(info: &Info) -> Result<&Backup> {
    info.backup.iter().filter(|b| b.error != Some(true)).max_by_key(|b| b.timestamp.stop).ok_or_else(|| {
        let what = format!("the repository holds no backup: {}", info.status.message);
        Error::new(codes::PROVE_NO_BACKUP, what).state("nothing was restored")
    })
}

/// What was read of production and of the repository before the restore.
struct Read {
    server: Server,
    known: Backup,
    targets: Vec<Target>,
    segment: String,
    archive_seconds: f64,
    got: Gathered,
}

impl ProveRestore {
    async fn prepared<'a>(&self, trial: &'a Trial<'_>) -> Result<Prover<'a>> {
        let host = trial.view().here()?;
        let conf = backrest::configuration(trial, &self.stanza, &self.repo_path).await?;
        let secrets = vec![Secret::new("pgbackrest.conf", &conf)];
        Prover::prepare(trial, host.name(), RESTORE, self.memory, secrets).await
    }

    async fn info(&self, prover: &Prover<'_>) -> Result<Info> {
        let text = prover.text("info", &[self.stanza.as_str()], Input::nothing(), LONG).await?;
        // With a wrong pass phrase it quotes what it decrypted, control characters and all, which no JSON may hold.
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if text.contains(UNREADABLE) {
            return Err(unreadable(
                &prover.part("indexes", &[self.stanza.as_str()], Input::nothing(), LONG).await?,
            ));
        }
        let value = serde_json::from_str(&text)
            .map_err(|e| Error::new(codes::PGBACKREST_ODD, "pgbackrest info printed no JSON").source(e))?;
        Info::parse(value)
    }

    /// What can be seen before anything long begins: the pass phrase opens the repository, a backup is there, it would
    /// fit, and the prover has what the databases need.
    async fn look(&self, source: &Source<'_>, server: &Server, prover: &Prover<'_>) -> Result<Backup> {
        source.not_stopped().await?;
        prover.same_major(server.major())?;
        let mut needs = BTreeSet::new();
        for database in &server.databases {
            needs.extend(source.needs(database).await?);
        }
        let lacks = prover.lacks(&needs).await?;
        if !lacks.is_empty() {
            return Err(prover.refuse(&lacks, &source.packages(server.major(), &lacks).await?));
        }
        let info = self.info(prover).await?;
        let known = newest(&info)?;
        prover.room_for(known.info.size.max(server.bytes))?;
        Ok(known.clone())
    }

    async fn targets(&self, source: &Source<'_>, server: &Server, got: &mut Gathered) -> Result<Vec<Target>> {
        if let Some(why) = server.no_slot() {
            return Ok(vec![Target::Canary { lsn: source.plant_canary().await?, why }]);
        }
        let mut targets = Vec::new();
        let begun = tokio::time::Instant::now();
        for database in &server.databases {
            targets.push(Target::Database(Box::new(source.at_point(database).await?)));
        }
        got.measure("digest_seconds", begun.elapsed().as_secs_f64());
        Ok(targets)
    }

    async fn compare(
        &self,
        trial: &Trial<'_>,
        prover: &Prover<'_>,
        target: &Target,
        mark: &str,
        got: &mut Gathered,
    ) -> Result<()> {
        match target {
            Target::Database(point) => {
                let name = &point.held.name;
                let text = prover.digest(name, Copy::Physical).await?;
                got.files.push(
                    trial.keep(&format!("{name} in production at {}", point.lsn), point.text.as_bytes())?,
                );
                got.files.push(trial.keep(&format!("{name} restored to {}", point.lsn), text.as_bytes())?);
                let found = point.held.compare(&Description::parse(&text)?, Copy::Physical);
                got.differences.extend(found.differences.iter().map(|text| format!("{name}: {text}")));
                got.measure("databases", 1.0);
                got.measure("tables", figure(found.tables as u64));
                got.measure("rows", figure(found.rows));
                got.measure("sequences", figure(found.sequences as u64));
                got.facts.push(format!("{}, at {}", point.held.sentence(&found), point.lsn));
            }
            Target::Canary { lsn, why } => {
                let seen = prover.text("canary", &[mark], Input::nothing(), LONG).await?;
                if seen != "before" {
                    let is = if seen.is_empty() { "neither is there" } else { &seen };
                    got.differences.push(format!(
                        "of the canary rows only the one committed before {lsn} should be there, and: {is}"
                    ));
                }
                got.facts.push(format!(
                    "a canary only, for {why}: the row committed before {lsn} is there, the one committed after it is not; \
                     nothing else was compared"
                ));
            }
        }
        Ok(())
    }

    async fn prove(
        &self,
        trial: &Trial<'_>,
        source: &Source<'_>,
        prover: &Prover<'_>,
        read: Read,
    ) -> Result<Evidence> {
        let Read { server, known, targets, segment, archive_seconds, mut got } = read;
        let first =
            targets.first().ok_or_else(|| Error::new(codes::PROVE_FAILED, "the server has no database"))?;

        let begun = tokio::time::Instant::now();
        let restored =
            prover.part("restore", &[self.stanza.as_str(), first.lsn()], Input::nothing(), LONG).await?;
        let mut last_transaction = None;
        for (number, target) in targets.iter().enumerate() {
            let paused = prover.part("pause_at", &[target.lsn()], Input::nothing(), LONG).await?;
            if number == 0 {
                got.measure("restore_seconds", begun.elapsed().as_secs_f64());
                got.measure("replay_seconds", said_number(&paused, "replay_seconds"));
                last_transaction = paused.get("last_transaction").cloned().filter(|text| !text.is_empty());
            }
            self.compare(trial, prover, target, source.mark(), &mut got).await?;
        }
        if !got.differences.is_empty() {
            return Err(differ("the restored copy", &got.differences));
        }
        let checked = prover.part("finish", &[], Input::nothing(), LONG).await?;

        got.measure("copy_seconds", said_number(&restored, "restored_seconds"));
        got.measure("restored_bytes", said_number(&restored, "restored_bytes"));
        got.measure("checked_seconds", said_number(&checked, "checked_seconds"));
        got.measure("archive_seconds", archive_seconds);
        if let Some(unarchived) = server.unarchived {
            // Nothing written since is nothing to lose, however long ago that was.
            let age = if server.unarchived_bytes == 0 { 0.0 } else { unarchived };
            got.measure("loss_seconds", age + archive_seconds);
            got.measure("loss_wal_bytes", figure(server.unarchived_bytes));
        }
        let label = restored.get("backup").cloned().unwrap_or_else(|| known.label.clone());
        self.state(trial, source, prover, &server, &mut got, &label, &segment, &checked)?;
        if let Some(text) = last_transaction.and_then(|text| text.parse::<f64>().ok()) {
            got.measure("newest_transaction_unix_seconds", text);
        }
        let grade = match first {
            Target::Database(_) => grade(trial, prover.name())?,
            Target::Canary { .. } => Grade::CanaryOnly,
        };
        Ok(self.evidence(trial, got, grade))
    }
}

impl StepKind for ProveRestore {
    const NAME: &'static str = "prove_restore";
    const SUMMARY: &'static str =
        "restore on another host to exact points and compare every table with production";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn way_back(&self) -> WayBack {
        WayBack::Nothing
    }

    fn further_hosts(&self, view: &View<'_>) -> Vec<HostName> {
        let role = view.workspace().postgres.as_ref().map(|postgres| &postgres.role);
        role.into_iter()
            .flat_map(|role| view.workspace().hosts_in(role))
            .map(|host| host.name.clone())
            .collect()
    }

    fn objects(&self, view: &View<'_>) -> Vec<String> {
        view.s3_identity().into_iter().collect()
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        let instance = super::common::instance(view)?;
        if host_of(view, &instance.role)?.name == *view.here()?.name() {
            findings.warn("the prover is the server itself: what is lost with it is not proven, and the proof is weaker");
        }
        Ok(findings)
    }

    async fn observe(&self, _view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        // There is nothing to change, so all that is left is to verify.
        Ok(Observed::Applied(Outputs::new()))
    }

    async fn apply(&self, _hands: &Hands<'_>) -> Result<Outputs, Failure> {
        Ok(Outputs::new())
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let source = Source::of(trial)?;
        let server = source.server().await?;
        let prover = self.prepared(trial).await?;
        let looked = self.look(&source, &server, &prover).await;
        let known = prover.finish(looked).await?;
        // Digests may take hours; meanwhile nothing lies on the prover, and nothing there waits for us.
        let canary = server.no_slot().is_some();
        let proven = async {
            let mut got = Gathered::default();
            let targets = self.targets(&source, &server, &mut got).await?;
            let (segment, archive_seconds) = source.force_archive().await?;
            let read = Read { server, known, targets, segment, archive_seconds, got };
            let prover = self.prepared(trial).await?;
            let proven = self.prove(trial, &source, &prover, read).await;
            prover.finish(proven).await
        };
        let proven = proven
            .await
            .map_err(|e| e.default_state("production was only read, and nothing is restored any more"));
        if canary {
            let dropped = source.drop_canary().await;
            let proven = proven?;
            dropped?;
            return Ok(proven);
        }
        proven
    }
}

#[cfg(test)]
mod tests {
    use super::{ProveRestore, newest, unreadable};
    use crate::diagnostic::codes;
    use crate::step::pgbackrest::tests::{INFO, parsed};

    #[test]
    fn the_newest_backup_is_found_and_its_absence_is_named() {
        assert_eq!(newest(&parsed(INFO)).unwrap().label, "20261121-091513F");
        assert_eq!(newest(&parsed("[]")).unwrap_err().code(), codes::PROVE_NO_BACKUP);
    }

    #[test]
    fn a_wrong_pass_phrase_and_a_damaged_index_are_told_apart() {
        let said = |word: &str| [(word.to_owned(), "archive/main/archive.info".to_owned())].into();
        assert_eq!(unreadable(&said("shut")).code(), codes::PROVE_PASS);
        let damaged = unreadable(&said("opens"));
        assert_eq!(damaged.code(), codes::PROVE_DAMAGED);
        assert!(
            damaged.to_string().contains("the pass phrase is right, for it opens archive/main/archive.info")
        );
    }

    #[test]
    fn a_proof_names_its_components() {
        assert!(toml::from_str::<ProveRestore>("").is_err());
        assert!(toml::from_str::<ProveRestore>("components = ['cell-postgres']\nmemory = '512MiB'").is_ok());
    }
}
