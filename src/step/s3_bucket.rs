//! The bucket for backups: it exists, keeps earlier versions where the server can, and gives back what is put in.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::common::{output, recall, remember};
use super::{Effect, Evidence, Failure, OutputType, Scope, StepKind, WayBack};
use crate::access::s3::{S3Hands, S3Identity, S3Trial, S3View};
use crate::access::{Hands, Trial, View};
use crate::diagnostic::{Code, Error, Result, codes};
use crate::journal::record::{Before, Change, Observed, OutputValue, Outputs};
use crate::name::RunId;
use crate::transport::s3::{BucketState, EarlierVersions, PutIf, Versioning};
use crate::units::Size;

/// Large enough not to be kept within a server's index, small enough for a slow line.
const ROUND_TRIP: Size = Size(256 * 1024);

/// Makes the workspace's bucket where it is missing, and turns its versioning on.
///
/// Verified by writing, reading and deleting an object under `hactl-trial/<run>/`, and by writing another twice on the
/// condition that it is absent: a server that lets the second one through does not honour conditional writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3Bucket {
    /// Whether the bucket shall keep earlier versions of its objects: `"on"` (the default) or `"as-it-is"`.
    pub versioning: WantedVersioning,
}

/// What shall become of a bucket's versioning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WantedVersioning {
    /// Turned on, where the server knows it.
    #[default]
    On,
    /// Left as it is.
    AsItIs,
}

impl StepKind for S3Bucket {
    const NAME: &'static str = "s3_bucket";
    const SUMMARY: &'static str = "makes the bucket for backups, with versioning, and tries it out";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn way_back(&self) -> WayBack {
        let text = "removes the bucket if this run made it and it is empty; a bucket that holds anything is kept, and \
                    so is versioning that was turned on";
        WayBack::Compensate(text.into())
    }

    fn outputs(&self) -> Vec<(&str, OutputType)> {
        vec![
            ("bucket", OutputType::String),
            ("versioning", OutputType::String),
            ("conditional-writes", OutputType::Boolean),
        ]
    }

    fn objects(&self, view: &View<'_>) -> Vec<String> {
        view.s3_identity().into_iter().collect()
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        self.observe_in(&view.s3(S3Identity::Writer).await?).await
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        self.apply_to(&hands.s3().await?).await
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let s3 = trial.s3_trial(S3Identity::Writer).await?;
        s3.sweep().await?;
        let tried = try_out(&s3).await;
        let swept = s3.sweep().await;
        let evidence = tried?;
        swept?;
        Ok(evidence)
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        // What stood before the first intent is all that tells who made it; without that it is not ours.
        match recall(hands.before()).map_err(Failure::NotStarted)? {
            Some(Stood { existed: Existed::No }) => remove(&hands.s3().await?, &hands.attempt().run).await,
            Some(Stood { existed: Existed::Yes }) | None => Ok(()),
        }
    }
}

/// What stood before, as it is journaled.
#[derive(Debug, Serialize, Deserialize)]
struct Stood {
    existed: Existed,
}

/// Whether the bucket was there before the first intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Existed {
    Yes,
    No,
}

impl S3Bucket {
    async fn observe_in(&self, s3: &S3View) -> Result<Observed> {
        let settings = s3.settings();
        let at = format!("{} at {}", settings.bucket, settings.endpoint);
        match s3.bucket().await? {
            BucketState::Missing => {
                let mut details = vec![format!("s3://{at}, region {}", settings.region)];
                if self.versioning == WantedVersioning::On {
                    details.push("versioning turned on, if the server knows it".into());
                }
                let change = Change { summary: format!("make the bucket {at}"), details };
                Ok(Observed::NotApplied { change, before: remember(&Stood { existed: Existed::No })? })
            }
            BucketState::Exists => {
                let versioning = s3.versioning().await?;
                let satisfied = match (self.versioning, versioning) {
                    (WantedVersioning::AsItIs, _)
                    | (WantedVersioning::On, Versioning::Enabled | Versioning::Unsupported) => true,
                    (WantedVersioning::On, Versioning::Off | Versioning::Suspended) => false,
                };
                if satisfied {
                    return Ok(Observed::Applied(outputs(&settings.bucket, versioning)?));
                }
                let change = Change {
                    summary: format!("turn on the versioning of the bucket {at}"),
                    details: vec![format!("it is {} now", versioning.as_str())],
                };
                Ok(Observed::NotApplied { change, before: remember(&Stood { existed: Existed::Yes })? })
            }
        }
    }

    async fn apply_to(&self, s3: &S3Hands) -> Result<Outputs, Failure> {
        if s3.bucket().await.map_err(Failure::NotStarted)? == BucketState::Missing {
            let made = match s3.create_bucket().await {
                // Somebody was faster, or an earlier request arrived late: what is there decides.
                Err(error) if error.code() == codes::S3_BUCKET_TAKEN => match s3.bucket().await {
                    Ok(BucketState::Exists) => Ok(()),
                    Ok(BucketState::Missing) | Err(_) => Err(error),
                },
                made => made,
            };
            made.map_err(of_first_request)?;
        }
        let mut versioning = s3.versioning().await?;
        if self.versioning == WantedVersioning::On && versioning != Versioning::Enabled {
            versioning = match s3.enable_versioning().await {
                Ok(()) => s3.versioning().await?,
                Err(error) if error.code() == codes::S3_UNSUPPORTED => Versioning::Unsupported,
                Err(error) => return Err(error.into()),
            };
        }
        outputs(&s3.settings().bucket, versioning).map_err(Failure::Unclear)
    }
}

async fn try_out(s3: &S3Trial) -> Result<Evidence> {
    let settings = s3.settings();
    let mut evidence = Evidence::facts([
        format!("the bucket {} answers at {}, over TLS", settings.bucket, settings.endpoint),
        round_trip(s3).await?,
    ]);
    let versioning = s3.versioning().await?;
    evidence.facts.push(match versioning {
        Versioning::Enabled => "versioning is enabled".into(),
        Versioning::Suspended | Versioning::Off => format!("versioning is {}", versioning.as_str()),
        Versioning::Unsupported => "the server does not know versioning".into(),
    });
    if let Versioning::Enabled | Versioning::Suspended = versioning {
        evidence.facts.push(earlier_versions(s3).await?);
    }
    let conditional = conditional_writes(s3).await?;
    evidence.facts.push(conditional.fact().into());
    evidence.outputs = outputs(&settings.bucket, versioning)?;
    evidence
        .outputs
        .insert(output("conditional-writes")?, OutputValue::Boolean(conditional == Conditional::Honoured));
    Ok(evidence)
}

/// What pgBackRest and the dumps let expire is only hidden in a bucket with versions: it costs on until a rule removes it.
async fn earlier_versions(s3: &S3Trial) -> Result<String> {
    let grows = "so the bucket never shrinks, whatever backups and dumps expire";
    let remedy =
        "give it a lifecycle rule for noncurrent versions, of 30 days for example, where it is administered";
    Ok(match s3.earlier_versions().await? {
        EarlierVersions::Expire { days } => {
            format!("earlier versions are removed {days} days after they were replaced or deleted")
        }
        EarlierVersions::Kept => format!("WARNING: nothing removes earlier versions, {grows}: {remedy}"),
        EarlierVersions::Unknown(why) => {
            format!(
                "WARNING: it cannot be told whether earlier versions are ever removed ({why}); if not: {remedy}"
            )
        }
    })
}

/// Removes the bucket if it is empty; one that holds anything is kept.
async fn remove(s3: &S3Hands, run: &RunId) -> Result<(), Failure> {
    if s3.bucket().await.map_err(Failure::NotStarted)? == BucketState::Missing {
        return Ok(());
    }
    // Looked at first, because some servers remove a bucket with all that is in it.
    s3.sweep_trials_of(run).await.map_err(Failure::Unclear)?;
    // Kept backups are the way back working as announced, not a failure of it.
    if !s3.versions("", 1).await.map_err(Failure::NotStarted)?.is_empty() {
        return Ok(());
    }
    match s3.delete_bucket().await {
        Err(error) if [codes::S3_NO_BUCKET, codes::S3_BUCKET_KEPT].contains(&error.code()) => Ok(()),
        removed => removed.map_err(of_first_request),
    }
}

/// Of the first request of an action: what certainly had no effect is told from what may have had one.
fn of_first_request(error: Error) -> Failure {
    const NO_EFFECT: [Code; 8] = [
        codes::S3_SETTINGS,
        codes::S3_UNREACHABLE,
        codes::S3_UNTRUSTED,
        codes::S3_CREDENTIAL,
        codes::S3_CLOCK,
        codes::S3_DENIED,
        codes::S3_BUCKET_TAKEN,
        codes::S3_UNSUPPORTED,
    ];
    if NO_EFFECT.contains(&error.code()) { Failure::NotStarted(error) } else { Failure::Unclear(error) }
}

async fn round_trip(s3: &S3Trial) -> Result<String> {
    let mut bytes = vec![0; usize::try_from(ROUND_TRIP.bytes()).unwrap_or(usize::MAX)];
    crate::sealed::random(&mut bytes)?;
    let wrong = |what: &str| {
        let (bucket, endpoint) = (&s3.settings().bucket, &s3.settings().endpoint);
        Error::new(codes::S3_ROUND_TRIP, format!("the bucket {bucket} at {endpoint} {what}"))
            .state("the bucket exists, and nothing of the trial is left in it")
            .next("see who else writes there, and what stands between (a proxy, a cache), then: hactl resume")
    };
    let began = Instant::now();
    let object = s3.put("round-trip", &bytes, PutIf::Always).await?;
    let written = began.elapsed();
    if s3.get(object.key(), ROUND_TRIP).await? != bytes {
        return Err(wrong("gave back other bytes than were written"));
    }
    let read = began.elapsed() - written;
    if !s3.list(object.key(), 10).await?.objects.iter().any(|o| o.key == object.key()) {
        return Err(wrong("does not list an object that was just written"));
    }
    s3.erase(&object).await?;
    if s3.head(object.key()).await?.is_some() {
        return Err(wrong("still shows an object that was deleted"));
    }
    Ok(format!(
        "a {ROUND_TRIP} object was written ({} ms), read back equal ({} ms), listed and deleted",
        written.as_millis(),
        read.as_millis()
    ))
}

/// What a server does with conditional writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conditional {
    /// The second one is refused.
    Honoured,
    /// The second one overwrites.
    Ignored,
    /// The first one is refused.
    Unsupported,
}

impl Conditional {
    /// It as a sentence.
    pub(crate) fn fact(self) -> &'static str {
        match self {
            Self::Honoured => "conditional writes are honoured: a second If-None-Match was refused",
            Self::Ignored => {
                "conditional writes are NOT honoured: a second If-None-Match silently overwrote the first"
            }
            Self::Unsupported => "conditional writes are not supported: the server refuses them",
        }
    }
}

/// Writes an object twice on the condition that it is absent; what it wrote is swept by whoever holds the trial.
pub(crate) async fn conditional_writes(s3: &S3Trial) -> Result<Conditional> {
    let first = match s3.put("conditional", b"first", PutIf::Absent).await {
        Err(error) if error.code() == codes::S3_UNSUPPORTED => return Ok(Conditional::Unsupported),
        first => first?,
    };
    match s3.put("conditional", b"second", PutIf::Absent).await {
        Err(error) if error.code() == codes::S3_PRECONDITION => {}
        Err(error) => return Err(error),
        Ok(second) => {
            s3.erase(&second).await?;
            return Ok(Conditional::Ignored);
        }
    }
    // A refusal that overwrites all the same is none.
    let kept = s3.get(first.key(), ROUND_TRIP).await? == b"first";
    Ok(if kept { Conditional::Honoured } else { Conditional::Ignored })
}

fn outputs(bucket: &str, versioning: Versioning) -> Result<Outputs> {
    Ok(Outputs::from([
        (output("bucket")?, OutputValue::String(bucket.to_owned())),
        (output("versioning")?, OutputValue::String(versioning.as_str().to_owned())),
    ]))
}
