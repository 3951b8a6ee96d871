//! The kinds that act on the bucket, and the one that makes secrets: carried out, failed, verified, taken back.

use hactl::diagnostic::codes;
use hactl::journal::record::{Observed, OutputValue, Outputs};
use hactl::name::OutputName;
use hactl::step::Failure;
use hactl::step::s3_bucket::S3Bucket;
use hactl::step::s3_restore_credential::S3RestoreCredential;
use hactl::step::secret::Secret;
use hactl::transport::faulty::OnRequest;
use hactl::transport::s3::{BucketState, Delete, PutIf, S3Client, Versioning};

use crate::bench::Bench;
use crate::weed::{Weed, secret_of};
use crate::{Case, on_one_thread};

pub(crate) const CASES: &[Case] = &[
    ("kinds::a_bucket_is_made_tried_and_taken_back", |weed| on_one_thread(bucket(weed))),
    ("kinds::a_bucket_that_never_shrinks_is_warned_of", |weed| on_one_thread(never_shrinks(weed))),
    ("kinds::a_bucket_that_exists_is_only_completed", |weed| on_one_thread(existing(weed))),
    ("kinds::a_bucket_that_holds_something_is_kept", |weed| on_one_thread(full(weed))),
    ("kinds::every_fault_of_making_a_bucket_ends_in_the_same_bucket", |weed| on_one_thread(faults(weed))),
    ("kinds::what_comes_back_otherwise_than_it_was_written_is_named", |weed| on_one_thread(otherwise(weed))),
    ("kinds::what_a_killed_trial_left_is_swept", |weed| on_one_thread(leftovers(weed))),
    ("kinds::a_restore_credential_is_seen_to_be_refused", |weed| on_one_thread(restorer(weed))),
    ("kinds::a_restore_credential_that_can_write_fails", |weed| on_one_thread(careless(weed))),
    ("kinds::a_restore_credential_must_work_at_all", |weed| on_one_thread(unknown(weed))),
    ("kinds::a_secret_is_made_once_and_stands_nowhere_in_clear", |weed| on_one_thread(secret(weed))),
];

fn text(outputs: &Outputs, name: &str) -> String {
    match &outputs[&OutputName::new(name).unwrap()] {
        OutputValue::String(text) => text.clone(),
        OutputValue::Boolean(value) => value.to_string(),
        other => format!("{other:?}"),
    }
}

/// Nothing of a trial is left, not even an earlier version.
async fn is_clean(bucket: &S3Client) {
    assert_eq!(bucket.versions("hactl-trial/", 10).await.unwrap(), []);
}

async fn bucket(weed: &Weed) {
    let bench = Bench::new(weed, "kind-bucket", "restorer");
    let kind = S3Bucket::default();
    let outputs = bench.apply(&kind).await.unwrap();
    assert_eq!(text(&outputs, "bucket"), "kind-bucket");
    assert_eq!(text(&outputs, "versioning"), "enabled");
    let evidence = bench.verify(&kind).await.unwrap();
    assert_eq!(text(&evidence.outputs, "conditional-writes"), "true", "{:?}", evidence.facts);
    is_clean(&bench.outside).await;
    // The key was resolved, so it is known to what keeps and shows; a name that is a word is not.
    let shown = bench.redactor.redact_text(&format!("{} for a writer", secret_of("writer")));
    assert_eq!(shown, "[secret S3 secret key] for a writer");
    assert_eq!(bench.observe(&kind).await.unwrap(), Observed::Applied(outputs));
    bench.undo(&kind).await.unwrap();
    bench.undo(&kind).await.unwrap();
    assert_eq!(bench.outside.bucket().await.unwrap(), BucketState::Missing);
}

async fn never_shrinks(weed: &Weed) {
    let bench = Bench::new(weed, "kind-shrinks", "restorer");
    let kind = S3Bucket::default();
    bench.apply(&kind).await.unwrap();
    let warns = async || {
        let facts = bench.verify(&kind).await.unwrap().facts;
        facts.iter().find(|fact| fact.contains("earlier versions")).cloned().unwrap()
    };
    assert!(warns().await.starts_with("WARNING: nothing removes earlier versions"), "{}", warns().await);
    // A rule for a part of the bucket, or one that is switched off, does not help.
    weed.put_lifecycle("kind-shrinks", &rule("dumps/", "Enabled"));
    assert!(warns().await.starts_with("WARNING"));
    weed.put_lifecycle("kind-shrinks", &rule("", "Disabled"));
    assert!(warns().await.starts_with("WARNING"));
    weed.put_lifecycle("kind-shrinks", &rule("", "Enabled"));
    assert_eq!(warns().await, "earlier versions are removed 30 days after they were replaced or deleted");
}

fn rule(prefix: &str, status: &str) -> String {
    format!(
        "<LifecycleConfiguration><Rule><ID>old</ID><Status>{status}</Status><Filter><Prefix>{prefix}</Prefix></Filter>\
         <NoncurrentVersionExpiration><NoncurrentDays>30</NoncurrentDays></NoncurrentVersionExpiration></Rule>\
         </LifecycleConfiguration>"
    )
}

async fn existing(weed: &Weed) {
    let bench = Bench::new(weed, "kind-existing", "restorer");
    bench.outside.create_bucket().await.unwrap();
    let kind = S3Bucket::default();
    bench.apply(&kind).await.unwrap();
    assert_eq!(bench.outside.versioning().await.unwrap(), Versioning::Enabled);
    bench.undo(&kind).await.unwrap();
    assert_eq!(bench.outside.bucket().await.unwrap(), BucketState::Exists, "somebody else made it");
    let as_it_is: S3Bucket = serde_json::from_value(serde_json::json!({ "versioning": "as-it-is" })).unwrap();
    assert!(matches!(bench.observe(&as_it_is).await.unwrap(), Observed::Applied(_)));
}

async fn full(weed: &Weed) {
    let bench = Bench::new(weed, "kind-full", "restorer");
    let kind = S3Bucket::default();
    bench.apply(&kind).await.unwrap();
    bench.outside.put("backup", b"precious", PutIf::Always).await.unwrap();
    // Deleted, and so not listed; and still there as an earlier version.
    bench.outside.delete("backup", Delete::Newest).await.unwrap();
    bench.undo(&kind).await.unwrap();
    assert_eq!(bench.outside.bucket().await.unwrap(), BucketState::Exists, "it holds a backup");
    assert_eq!(bench.outside.versions("", 10).await.unwrap().len(), 2);
}

async fn faults(weed: &Weed) {
    // By fault: the bucket's name, what stands after the fault, and whether it may have had an effect.
    let cases = [
        (OnRequest::Refuse, "kind-fault-refuse", BucketState::Missing, codes::S3_UNREACHABLE),
        (OnRequest::DropBefore, "kind-fault-before", BucketState::Missing, codes::S3_UNKNOWN),
        (OnRequest::DropAfter, "kind-fault-after", BucketState::Exists, codes::S3_UNKNOWN),
    ];
    let kind = S3Bucket::default();
    for (fault, name, stands, code) in cases {
        let bench = Bench::new(weed, name, "restorer");
        bench.faults.on_next("PUT", fault);
        let failure = bench.apply(&kind).await.unwrap_err();
        assert_eq!(failure.error().code(), code, "{fault:?}: {failure:?}");
        assert_eq!(bench.outside.bucket().await.unwrap(), stands, "{fault:?}");
        match failure {
            Failure::NotStarted(_) => assert_eq!(fault, OnRequest::Refuse),
            Failure::Unclear(_) => {
                assert!(matches!(bench.decide(&kind).await, Observed::NotApplied { .. }), "{fault:?}");
            }
        }
        bench.apply(&kind).await.unwrap();
        assert_eq!(bench.outside.versioning().await.unwrap(), Versioning::Enabled);
        // Made by the first, unanswered request, it is ours all the same.
        bench.undo(&kind).await.unwrap();
        assert_eq!(bench.outside.bucket().await.unwrap(), BucketState::Missing, "{fault:?}");
    }
    let bench = Bench::new(weed, "kind-fault-twice", "restorer");
    bench.faults.on_next("PUT", OnRequest::Twice);
    bench.apply(&kind).await.unwrap();
    assert_eq!(bench.faults.waiting(), 0);
    bench.verify(&kind).await.unwrap();
}

async fn otherwise(weed: &Weed) {
    let bench = Bench::new(weed, "kind-otherwise", "restorer");
    let kind = S3Bucket::default();
    bench.apply(&kind).await.unwrap();
    // Somebody else writes to the same place between the write and the read.
    bench.faults.on_next_to("round-trip", "GET", OnRequest::Held);
    let meddler = async {
        let until = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        let written = loop {
            let there = bench.outside.list("hactl-trial/", 10).await.unwrap().objects;
            if let Some(object) = there.into_iter().find(|o| o.key.contains("round-trip")) {
                break object.key;
            }
            assert!(tokio::time::Instant::now() < until, "nothing was written");
        };
        bench.outside.put(&written, b"something else", PutIf::Always).await.unwrap();
        bench.faults.let_one_go();
    };
    let (verified, ()) = tokio::join!(bench.verify(&kind), meddler);
    let error = verified.unwrap_err();
    assert_eq!(error.code(), codes::S3_ROUND_TRIP, "{error:?}");
    assert!(error.to_string().contains("kind-otherwise"), "{error}");
    assert!(error.next_moves()[0].contains("hactl resume"), "{error:?}");
    bench.verify(&kind).await.unwrap();
    is_clean(&bench.outside).await;
}

async fn leftovers(weed: &Weed) {
    let bench = Bench::new(weed, "kind-leftovers", "restorer");
    let kind = S3Bucket::default();
    bench.apply(&kind).await.unwrap();
    bench.faults.on_next("PUT", OnRequest::DropAfter);
    let error = bench.verify(&kind).await.unwrap_err();
    assert_eq!(error.code(), codes::S3_UNKNOWN);
    is_clean(&bench.outside).await;
    bench.verify(&kind).await.unwrap();
}

async fn restorer(weed: &Weed) {
    for (versioning, name) in [("on", "kind-restorer"), ("as-it-is", "kind-restorer-plain")] {
        let bench = Bench::new(weed, name, "restorer");
        bench.outside.create_bucket().await.unwrap();
        if versioning == "on" {
            bench.outside.enable_versioning().await.unwrap();
        }
        let kind = S3RestoreCredential::default();
        assert_eq!(bench.blocking(&kind).await, Vec::<String>::new());
        bench.accept(&kind).await;
        let evidence = bench.verify(&kind).await.unwrap();
        assert!(evidence.facts.iter().any(|fact| fact.contains("was refused")), "{:?}", evidence.facts);
        is_clean(&bench.outside).await;
    }
}

async fn careless(weed: &Weed) {
    let kind = S3RestoreCredential::default();
    for name in ["kind-careless", "kind-careless-plain"] {
        let bench = Bench::new(weed, name, "careless");
        bench.outside.create_bucket().await.unwrap();
        if name == "kind-careless" {
            bench.outside.enable_versioning().await.unwrap();
        }
        bench.accept(&kind).await;
        let error = bench.verify(&kind).await.unwrap_err();
        assert_eq!(error.code(), codes::S3_RESTORE_KEY, "{error:?}");
        for could in ["write a new object", "replace an object", "delete an object"] {
            assert!(error.to_string().contains(could), "{error}");
        }
        is_clean(&bench.outside).await;
    }
    let bench = Bench::new(weed, "kind-careless", "writer");
    assert_eq!(bench.blocking(&kind).await.len(), 1);
    bench.accept(&kind).await;
    assert_eq!(bench.verify(&kind).await.unwrap_err().code(), codes::S3_RESTORE_KEY);
}

async fn unknown(weed: &Weed) {
    let bench = Bench::new(weed, "kind-unknown", "nobody");
    bench.outside.create_bucket().await.unwrap();
    let kind = S3RestoreCredential::default();
    bench.accept(&kind).await;
    let error = bench.verify(&kind).await.unwrap_err();
    assert_eq!(error.code(), codes::S3_RESTORE_KEY);
    assert!(error.one_line().contains("cannot read"), "{error:?}");
    is_clean(&bench.outside).await;
}

async fn secret(weed: &Weed) {
    let bench = Bench::new(weed, "unused", "restorer");
    let kind: Secret = serde_json::from_value(serde_json::json!({ "name": "repo-pass" })).unwrap();
    let outputs = bench.apply(&kind).await.unwrap();
    assert_eq!(bench.observe(&kind).await.unwrap(), Observed::Applied(outputs.clone()));
    bench.verify(&kind).await.unwrap();
    let value = bench.kept_secret("repo-pass").await;
    assert_eq!(value.len(), 64);
    assert!(!bench.kept().contains(&value), "the secret stands somewhere in .hactl");
    assert!(text(&outputs, "value").contains("repo-pass"));
    // Once it was used, it is taken out of everything that is kept or shown.
    let shown = bench.redactor.redact_text(&format!("password={value}"));
    assert!(!shown.contains(&value) && shown.contains("repo-pass"), "{shown}");
    bench.undo(&kind).await.unwrap();
    assert!(matches!(bench.observe(&kind).await.unwrap(), Observed::NotApplied { .. }));
    for refused in [
        serde_json::json!({ "name": "x", "bytes": 8 }),
        serde_json::json!({ "name": "x", "byte": 32 }),
        serde_json::json!({ "name": "../x" }),
    ] {
        assert!(serde_json::from_value::<Secret>(refused).is_err());
    }
}
