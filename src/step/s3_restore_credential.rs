//! The credential for restores: it reads, and is seen to be refused when it writes or deletes.

use serde::{Deserialize, Serialize};

use super::{Effect, Evidence, Failure, Findings, Scope, StepKind, WayBack};
use crate::access::s3::{S3Identity, S3Trial};
use crate::access::{Hands, Trial, View};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::{Before, Observed, Outputs};
use crate::transport::s3::PutIf;
use crate::units::Size;

/// Changes nothing. Verified by reading an object with the restore credential, and by seeing the server refuse it when
/// it writes, replaces and deletes: a backup that whoever restores it can delete is not a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3RestoreCredential {}

/// What the writer puts, for the restore credential to read and to be kept from.
const CANARY: &[u8] =
    b"written by hactl, to be read with the restore credential and not to be changed with it\n";

/// What the restore credential would put.
const INTRUDER: &[u8] = b"written with the restore credential, which must not be able to\n";

impl StepKind for S3RestoreCredential {
    const NAME: &'static str = "s3_restore_credential";
    const SUMMARY: &'static str =
        "sees that the restore credential reads, and is refused when it writes or deletes";

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

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        let (writer, restorer) = (view.s3(S3Identity::Writer).await?, view.s3(S3Identity::Restorer).await);
        match restorer {
            Ok(restorer) if restorer.asks_as(&writer) => {
                findings.block("the credential for restores in [s3.restore] is the one that writes");
            }
            Ok(_) => {}
            Err(error) => findings.block(error.one_line()),
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
        let writer = trial.s3_trial(S3Identity::Writer).await?;
        let restorer = trial.s3_trial(S3Identity::Restorer).await?;
        if restorer.asks_as(&writer) {
            let text = "the credential for restores in [s3.restore] is the one that writes";
            return Err(Error::new(codes::S3_RESTORE_KEY, text).state("nothing was tried with it"));
        }
        writer.sweep().await?;
        let tried = try_out(&writer, &restorer).await;
        let swept = writer.sweep().await;
        let evidence = tried?;
        swept?;
        Ok(evidence)
    }
}

async fn try_out(writer: &S3Trial, restorer: &S3Trial) -> Result<Evidence> {
    let canary = writer.put("restore-credential", CANARY, PutIf::Always).await?;
    let limit = Size(64 * 1024);

    // First that it works at all: a key that nobody knows would be refused everything.
    let listed = restorer.list(canary.key(), 10).await;
    let read = restorer.get(canary.key(), limit).await;
    let read = listed.and(read).map_err(|e| {
        Error::new(codes::S3_RESTORE_KEY, "the credential for restores cannot read the bucket")
            .state("a restore would fail with it")
            .next("let it list the bucket and read its objects, and nothing else")
            .source(e)
    })?;
    if read != CANARY {
        let text = "the credential for restores reads something else than was written";
        return Err(Error::new(codes::S3_ROUND_TRIP, text)
            .state("nothing of the trial is left in the bucket")
            .next(
                "see who else writes there, and what stands between (a proxy, a cache), then: hactl resume",
            ));
    }

    let mut could = Vec::new();
    let mut tried = |what: &'static str, outcome: Result<()>| match outcome {
        Ok(()) => {
            could.push(what);
            Ok(())
        }
        Err(error) if error.code() == codes::S3_DENIED => Ok(()),
        // Anything else is no refusal: it says nothing about what the credential may do.
        Err(error) => Err(error),
    };
    tried(
        "write a new object",
        restorer.put("restore-credential-new", INTRUDER, PutIf::Always).await.map(drop),
    )?;
    tried("replace an object", restorer.put("restore-credential", INTRUDER, PutIf::Always).await.map(drop))?;
    tried("delete an object", restorer.delete(&canary).await)?;
    if canary.version().is_some() {
        tried("delete an object's version for good", restorer.erase(&canary).await)?;
    }
    if !could.is_empty() {
        let text = format!("the credential for restores can {}", could.join(", and "));
        return Err(Error::new(codes::S3_RESTORE_KEY, text)
            .state("whoever holds it can destroy the backups; what it wrote was removed again")
            .next("let it list the bucket and read its objects, and nothing else; then: hactl resume"));
    }

    // What the server says is one thing; what is there, another.
    let still = writer.get(canary.key(), limit).await?;
    let appeared = writer.head(&writer.key("restore-credential-new")).await?;
    if still != CANARY || appeared.is_some() {
        let text = "the server refused the credential for restores, and did what it asked all the same";
        return Err(Error::new(codes::S3_RESTORE_KEY, text));
    }
    Ok(Evidence::facts([
        "the restore credential lists the bucket and reads an object",
        "the restore credential was refused when it wrote, replaced and deleted; the object was still there, unchanged",
    ]))
}
