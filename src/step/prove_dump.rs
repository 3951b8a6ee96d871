//! `prove_dump`: the newest dump, restored into a scratch cluster, is what its snapshot said when it was taken.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::common::{bytes, instance};
use super::kind::{Effect, Evidence, Failure, Scope, StepKind, WayBack};
use super::prover::digests::{Copy, Description};
use super::prover::{COUNTS_FOR, Prover, grade, memory};
use crate::access::s3::S3Identity;
use crate::access::{Hands, Input, Trial, View};
use crate::diagnostic::{Error, Result, codes};
use crate::dumps::{self, Dump, Sealed, What};
use crate::journal::record::{Before, Observed, Outputs, Proof};
use crate::name::ComponentName;
use crate::units::Size;

/// Changes nothing. Proven on the prover, with the key for restores and the offline age identity of the workspace: the
/// newest dump is decrypted and restored, roles first, into an empty cluster that is destroyed afterwards, and every
/// table of every database is compared, in count and content, with the digests that were taken in the dump's own
/// snapshot, and the roles by their names. Large objects and sequences are compared and stated separately. Materialized
/// views and the tables of extensions are made anew by a restore and therefore not compared; tablespaces are left out. What
/// the databases need of the prover (locales, extensions, the major version) is looked at before anything is restored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProveDump {
    /// Of which components the proof is.
    components: Vec<ComponentName>,
    /// How much memory the scratch cluster may use.
    #[serde(default = "memory")]
    memory: Size,
}

/// A database of a dump, with what it held.
struct Dumped<'a> {
    dump: &'a Sealed,
    held: Description,
    text: String,
}

impl ProveDump {
    async fn held<'d>(&self, prover: &Prover<'_>, dump: &'d Dump) -> Result<Vec<Dumped<'d>>> {
        let mut all = Vec::new();
        for sealed in dump.objects(What::Dump) {
            let digests = dump.objects(What::Digests).find(|other| other.database == sealed.database);
            let digests = digests.ok_or_else(|| {
                let what = format!("the dump {} has no digests of {}", dump.manifest.taken, sealed.object);
                Error::new(codes::PROVE_FAILED, what)
            })?;
            let text = prover.sealed("show", dump, digests).await?;
            all.push(Dumped { dump: sealed, held: Description::parse(&text)?, text });
        }
        if all.is_empty() {
            let what = format!("the dump {} holds no database", dump.manifest.taken);
            return Err(Error::new(codes::PROVE_NO_BACKUP, what));
        }
        Ok(all)
    }

    async fn prove(&self, trial: &Trial<'_>, prover: &Prover<'_>, dump: &Dump) -> Result<Evidence> {
        let major = dump.manifest.postgres.split(['.', ' ']).next().unwrap_or_default();
        // A newer PostgreSQL reads older dumps, and the proof says what it was restored with.
        if major.parse::<u32>().ok() > instance(trial)?.version.parse().ok() {
            prover.same_major(major)?;
        }
        let all = self.held(prover, dump).await?;
        prover.room_for(all.iter().map(|one| one.held.bytes).sum())?;
        let needs = all.iter().flat_map(|one| one.held.needs.iter().cloned()).collect();
        let lacks = prover.lacks(&needs).await?;
        if !lacks.is_empty() {
            return Err(prover.refuse(&lacks, &BTreeMap::new()));
        }
        let globals = dump.objects(What::Globals).next().ok_or_else(|| {
            Error::new(codes::PROVE_FAILED, format!("the dump {} has no globals", dump.manifest.taken))
        })?;
        let begun = tokio::time::Instant::now();
        let _started = prover.text("scratch", &[], Input::nothing(), Duration::from_secs(300)).await?;
        let _loaded = prover.sealed("globals", dump, globals).await?;
        let declared = prover.sealed("roles", dump, globals).await?;
        let there = prover.text("roles_there", &[], Input::nothing(), Duration::from_secs(300)).await?;
        let roles = roles(&declared, &there)?;
        let mut files = Vec::new();
        let (mut facts, mut differences) = (Vec::new(), Vec::new());
        let (mut tables, mut rows, mut sequences) = (0, 0, 0);
        let mut seconds = begun.elapsed().as_secs_f64();
        for one in &all {
            let loading = tokio::time::Instant::now();
            let _loaded = prover.sealed("load", dump, one.dump).await?;
            seconds += loading.elapsed().as_secs_f64();
            let database = &one.held.name;
            let text = prover.digest(database, Copy::Logical).await?;
            files.push(trial.keep(&format!("{database} when it was dumped"), one.text.as_bytes())?);
            files.push(trial.keep(&format!("{database} restored from the dump"), text.as_bytes())?);
            let found = one.held.compare(&Description::parse(&text)?, Copy::Logical);
            differences.extend(found.differences.iter().map(|text| format!("{database}: {text}")));
            (tables, rows, sequences) =
                (tables + found.tables, rows + found.rows, sequences + found.sequences);
            facts.push(one.held.sentence(&found));
        }
        if !differences.is_empty() {
            return Err(differ("the dump", &differences));
        }
        let at = trial.now();
        let grade = grade(trial, prover.name())?;
        facts.insert(0, format!(
            "the dump {} of {} (PostgreSQL {}, {}), restored on {} and compared in every table, taken {:.1} h before",
            dump.manifest.taken,
            dump.manifest.host,
            dump.manifest.postgres,
            bytes(dump.bytes()),
            prover.name(),
            dump.age(at).as_secs_f64() / 3600.0
        ));
        facts.push(format!(
            "the globals were applied without an error; {roles} roles, by their names, are all there"
        ));
        facts.push(format!("restored with PostgreSQL {} on {}", instance(trial)?.version, prover.name()));
        facts.push(
            "read with the key for restores and the age identity of the workspace, nothing from the server"
                .to_owned(),
        );
        facts.push(prover.apart());
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let measured = BTreeMap::from([
            ("restore_seconds".to_owned(), seconds),
            ("databases".to_owned(), all.len() as f64),
            ("tables".to_owned(), tables as f64),
            ("rows".to_owned(), rows as f64),
            ("sequences".to_owned(), sequences as f64),
            ("dump_bytes".to_owned(), dump.bytes() as f64),
            ("dump_age_seconds".to_owned(), dump.age(at).as_secs_f64()),
        ]);
        let proof = |component: &ComponentName| Proof {
            place: None,
            property: "dump".to_owned(),
            component: component.as_str().to_owned(),
            grade,
            facts: facts.clone(),
            measured: measured.clone(),
            at,
            expires: at + COUNTS_FOR,
            evidence: files.clone(),
        };
        let proofs = self.components.iter().map(proof).collect();
        Ok(Evidence { files, facts, proofs, ..Evidence::default() })
    }
}

/// How many roles a dump declares. All of them must be there.
fn roles(declared: &str, there: &str) -> Result<usize> {
    let there: BTreeSet<&str> = there.lines().collect();
    let missing: Vec<String> = declared
        .lines()
        .filter(|name| !there.contains(name))
        .map(|name| format!("role {name} is missing"))
        .collect();
    match (declared.lines().count(), missing.is_empty()) {
        // Every cluster has its first role.
        (0, _) => Err(differ("the dump", &["its globals declare no role".to_owned()])),
        (number, true) => Ok(number),
        (_, false) => Err(differ("what was restored from the dump", &missing)),
    }
}

/// The error that names what is not equal.
pub(super) fn differ(what: &str, differences: &[String]) -> Error {
    let mut first = differences.iter().take(5).cloned().collect::<Vec<_>>().join("; ");
    if differences.len() > 5 {
        first.push_str(&format!("; and {} more", differences.len() - 5));
    }
    Error::new(codes::PROVE_DIFFERS, format!("{what} is not what was there: {first}"))
        .next("keep every backup that there is, and find out why before anything else is changed")
}

impl StepKind for ProveDump {
    const NAME: &'static str = "prove_dump";
    const SUMMARY: &'static str = "restore the newest dump on another host and compare every table";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn way_back(&self) -> WayBack {
        WayBack::Nothing
    }

    fn objects(&self, view: &View<'_>) -> Vec<String> {
        view.s3_identity().into_iter().collect()
    }

    async fn observe(&self, _view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        // There is nothing to change, so all that is left is to verify.
        Ok(Observed::Applied(Outputs::new()))
    }

    async fn apply(&self, _hands: &Hands<'_>) -> Result<Outputs, Failure> {
        Ok(Outputs::new())
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let s3 = trial.s3(S3Identity::Restorer).await?;
        let dump = dumps::newest(&s3).await?.ok_or_else(|| {
            Error::new(codes::PROVE_NO_BACKUP, "the bucket holds no dump with a manifest")
                .next("run the step that takes a dump")
        })?;
        let prover = Prover::for_dumps(trial, trial.view().here()?.name(), self.memory).await?;
        let proven = self.prove(trial, &prover, &dump).await;
        prover.finish(proven).await
    }
}

#[cfg(test)]
mod tests {
    use super::{differ, roles};

    #[test]
    fn a_role_that_was_not_loaded_is_missed() {
        assert_eq!(roles("app\npostgres", "app\npostgres\nother").unwrap(), 2);
        assert!(
            roles("\"Odd name\"\npostgres", "postgres")
                .unwrap_err()
                .to_string()
                .contains("role \"Odd name\" is")
        );
        assert!(roles("", "postgres").is_err());
    }

    #[test]
    fn differences_are_named_and_counted() {
        let many: Vec<String> = (1..=7).map(|n| format!("table t{n} is missing")).collect();
        let text = differ("the dump", &many).to_string();
        assert!(text.contains("table t1 is missing") && text.ends_with("and 2 more"), "{text}");
    }
}
