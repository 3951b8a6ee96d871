//! `dump_now`: the service of the nightly dump runs once, and what it made can be read.

use serde::{Deserialize, Serialize};

use super::common::{bytes, output, recall, remember, unverified};
use super::kind::{Effect, Evidence, Failure, OutputType, Scope, StepKind, WayBack};
use super::nightly_timer::Job;
use super::prover::{Prover, host_of, memory};
use crate::access::s3::S3Identity;
use crate::access::{Command, Hands, Trial, View};
use crate::diagnostic::Result;
use crate::dumps::{self, Dump, What};
use crate::journal::record::{Before, Change, Observed, OutputValue, Outputs};
use crate::name::{HostName, RoleName};
use crate::transport::s3::BucketState;
use crate::units::HumanDuration;

/// Starts `hactl-dump.service` once, as its timer would, and waits for its end.
///
/// Verified on the prover, with the key for restores and the offline age identity of the workspace (given by standard
/// input, never on its disk): every object of the dump is there with the length that the manifest says, is decrypted to
/// its end, and `pg_restore --list` reads it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DumpNow {
    /// The role of the host that reads the dump.
    #[serde(default = "super::prover::role")]
    prover: RoleName,
    /// Where no dump was asked for yet, one that was taken so long ago or later will do.
    #[serde(default = "an_hour")]
    max_age: HumanDuration,
    /// How long the dump may take, at most the step's own timeout.
    #[serde(default = "an_hour")]
    within: HumanDuration,
}

fn an_hour() -> HumanDuration {
    HumanDuration::from_secs(3600)
}

/// The newest dump before.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Newest {
    taken: Option<String>,
}

fn outputs(dump: &Dump) -> Result<Outputs> {
    Ok(Outputs::from([(output("taken")?, OutputValue::String(dump.manifest.taken.clone()))]))
}

impl StepKind for DumpNow {
    const NAME: &'static str = "dump_now";
    const SUMMARY: &'static str = "run the nightly dump once now, and read what it made on another host";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::OneShot
    }

    fn way_back(&self) -> WayBack {
        WayBack::Nothing
    }

    fn outputs(&self) -> Vec<(&str, OutputType)> {
        vec![("taken", OutputType::String)]
    }

    fn further_hosts(&self, view: &View<'_>) -> Vec<HostName> {
        view.workspace().hosts_in(&self.prover).map(|host| host.name.clone()).collect()
    }

    fn objects(&self, view: &View<'_>) -> Vec<String> {
        view.s3_identity().into_iter().collect()
    }

    async fn observe(&self, view: &View<'_>, before: Option<&Before>) -> Result<Observed> {
        let host = view.here()?;
        let service = host.unit(&Job::Dump.service()).await?;
        if matches!(service.active_state.as_str(), "activating" | "active" | "deactivating") {
            return Ok(Observed::Running(format!("{} runs on {}", Job::Dump.service(), host.name())));
        }
        let s3 = view.s3(S3Identity::Writer).await?;
        // The bucket may not be there yet when a whole phase is planned.
        let newest = match s3.bucket().await? {
            BucketState::Exists => dumps::newest(&s3).await?,
            BucketState::Missing => None,
        };
        let former: Option<Newest> = recall(before)?;
        if let Some(dump) = &newest {
            let done = match &former {
                Some(former) => Some(&dump.manifest.taken) > former.taken.as_ref(),
                None => dump.age(view.now()).unsigned_abs() <= self.max_age.get(),
            };
            if done {
                return Ok(Observed::Applied(outputs(dump)?));
            }
        }
        let taken = newest.map(|dump| dump.manifest.taken);
        let change = Change {
            summary: format!("run {} on {} once", Job::Dump.service(), host.name()),
            details: vec![format!(
                "adds a dump to {}/ in {}",
                dumps::PREFIX,
                view.s3_identity().unwrap_or_default()
            )],
        };
        Ok(Observed::NotApplied { change, before: remember(&Newest { taken })? })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let start = Command::new("systemctl").args(["start", &Job::Dump.service()]).within(self.within.get());
        let host = hands.here()?;
        let finished = host.run(&start).await?;
        if !finished.succeeded() {
            let unit = Job::Dump.service();
            let error = finished.error(format!("{unit} failed"));
            return Err(Failure::Unclear(
                error
                    .host(host.name())
                    .next(format!("journalctl -u {unit}    (on {})", host.name()))
                    .next("hactl resume"),
            ));
        }
        let newest = dumps::newest(&hands.view().s3(S3Identity::Writer).await?).await?;
        newest.as_ref().map(outputs).unwrap_or_else(|| Ok(Outputs::new())).map_err(Failure::Unclear)
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let s3 = trial.s3(S3Identity::Restorer).await?;
        let former: Newest = recall(trial.before())?.unwrap_or_default();
        let dump =
            dumps::newest(&s3).await?.filter(|dump| Some(&dump.manifest.taken) > former.taken.as_ref());
        let dump = dump
            .ok_or_else(|| unverified("the service ran, and no new dump with a manifest is in the bucket"))?;
        for sealed in &dump.manifest.objects {
            let key = dump.key(&sealed.object);
            let there = s3.head(&key).await?.map(|object| object.bytes);
            if there != Some(sealed.bytes) {
                let is = there.map_or("it is not there".to_owned(), |n| format!("it has {n} bytes"));
                return Err(unverified(format!("{key} should have {} bytes, and {is}", sealed.bytes)));
            }
        }
        let prover = Prover::for_dumps(trial, &host_of(trial, &self.prover)?.name, memory()).await?;
        let read = async {
            let mut facts = Vec::new();
            for sealed in dump.objects(What::Dump) {
                let entries = prover.sealed("list", &dump, sealed).await?;
                let database = sealed.database.as_deref().unwrap_or("?");
                facts.push(format!(
                    "database {database}: {} encrypted, {entries} entries",
                    bytes(sealed.bytes)
                ));
            }
            let globals = dump.objects(What::Globals).next();
            let globals = globals.ok_or_else(|| unverified("the dump has no globals"))?;
            // Their names only: globals hold passwords.
            let roles = prover.sealed("roles", &dump, globals).await?.lines().count();
            if roles == 0 {
                return Err(unverified("the dump's globals declare no role"));
            }
            facts.push(format!("globals: {roles} roles"));
            Ok(facts)
        };
        let facts = prover.finish(read.await).await?;
        let mut all = vec![format!(
            "the dump {} from {} (PostgreSQL {}) has {} objects, {}",
            dump.manifest.taken,
            dump.manifest.host,
            dump.manifest.postgres,
            dump.manifest.objects.len(),
            bytes(dump.bytes())
        )];
        all.extend(facts);
        all.push(format!("decrypted with the offline identity and read by pg_restore on {}", prover.name()));
        Ok(Evidence::facts(all))
    }
}
