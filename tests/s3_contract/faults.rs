//! What becomes of a change when the network fails: an unknown outcome is never called a failure.

use std::time::{Duration, Instant};

use hactl::diagnostic::codes;
use hactl::transport::faulty::{OnRequest, Waiting};
use hactl::transport::s3::{Deadlines, PutIf, S3Client};
use hactl::units::Size;
use rustix::process::Signal;

use crate::weed::{Weed, credential};
use crate::{Case, on_one_thread};

pub(crate) const CASES: &[Case] = &[
    ("faults::a_refused_connection_did_nothing", |weed| on_one_thread(refused(weed))),
    ("faults::a_drop_before_leaves_the_outcome_unknown", |weed| on_one_thread(before(weed))),
    ("faults::a_drop_after_leaves_the_outcome_unknown", |weed| on_one_thread(after(weed))),
    ("faults::a_conditional_write_twice_says_that_it_is_there", |weed| on_one_thread(twice(weed))),
    ("faults::a_read_is_tried_again", |weed| on_one_thread(read(weed))),
    ("faults::a_server_that_stands_still_costs_bounded_time", |_| on_one_thread(stopped())),
];

async fn faulty(weed: &Weed, bucket: &str) -> (S3Client, Waiting) {
    let faults = Waiting::default();
    let deadlines = Deadlines::default();
    let client =
        S3Client::under(weed.settings(bucket), &credential("writer"), deadlines, Some(&faults.faulty()))
            .unwrap();
    client.create_bucket().await.unwrap();
    (client, faults)
}

async fn refused(weed: &Weed) {
    let (client, faults) = faulty(weed, "fault-refused").await;
    faults.on_next("PUT", OnRequest::Refuse);
    let error = client.put("k", b"x", PutIf::Always).await.unwrap_err();
    assert_eq!(error.code(), codes::S3_UNREACHABLE);
    assert_eq!(client.head("k").await.unwrap(), None);
}

async fn before(weed: &Weed) {
    let (client, faults) = faulty(weed, "fault-before").await;
    faults.on_next("PUT", OnRequest::DropBefore);
    let error = client.put("k", b"x", PutIf::Always).await.unwrap_err();
    assert_eq!(error.code(), codes::S3_UNKNOWN);
    assert_eq!(client.head("k").await.unwrap(), None);
}

async fn after(weed: &Weed) {
    let (client, faults) = faulty(weed, "fault-after").await;
    faults.on_next("PUT", OnRequest::DropAfter);
    let error = client.put("k", b"x", PutIf::Always).await.unwrap_err();
    assert_eq!(error.code(), codes::S3_UNKNOWN);
    assert_eq!(client.get("k", Size(10)).await.unwrap(), b"x");
    let puts = faults.seen().iter().filter(|seen| seen.starts_with("PUT /fault-after/k")).count();
    assert_eq!(puts, 1, "a write is sent once: {:?}", faults.seen());
}

async fn twice(weed: &Weed) {
    let (client, faults) = faulty(weed, "fault-twice").await;
    faults.on_next("PUT", OnRequest::Twice);
    let error = client.put("k", b"x", PutIf::Absent).await.unwrap_err();
    assert_eq!(error.code(), codes::S3_PRECONDITION);
    assert_eq!(client.get("k", Size(10)).await.unwrap(), b"x");
}

async fn read(weed: &Weed) {
    let (client, faults) = faulty(weed, "fault-read").await;
    client.put("k", b"x", PutIf::Always).await.unwrap();
    faults.on_next("GET", OnRequest::DropBefore);
    faults.on_next("GET", OnRequest::DropAfter);
    assert_eq!(client.get("k", Size(10)).await.unwrap(), b"x");
    assert_eq!(faults.waiting(), 0);
}

async fn stopped() {
    // A server of its own, for the others need theirs.
    let weed = Weed::start();
    let deadlines = Deadlines {
        connect: Duration::from_secs(1),
        attempt: Duration::from_secs(2),
        call: Duration::from_secs(3),
        silence: Duration::from_secs(2),
    };
    let with = |deadlines| S3Client::new(weed.settings("stopped"), &credential("writer"), deadlines).unwrap();
    // Where it answers, it may take its time.
    let (client, patient) = (with(deadlines), with(Deadlines::default()));
    patient.create_bucket().await.unwrap();
    // It has a connection, which a server that stands still does not refuse.
    let mut tries = 0;
    while let Err(error) = client.head("k").await {
        tries += 1;
        assert!(tries < 20, "{error:?}");
    }
    weed.signal(Signal::STOP);
    let began = Instant::now();
    let written = client.put("k", b"x", PutIf::Always).await.unwrap_err();
    let read = client.head("k").await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(written.code(), codes::S3_UNKNOWN, "{written:?}");
    assert_eq!(read.code(), codes::S3_UNANSWERED, "{read:?}");
    weed.signal(Signal::CONT);
    // Whatever became of the first, it is possible again.
    patient.put("k", b"y", PutIf::Always).await.unwrap();
    assert_eq!(patient.get("k", Size(10)).await.unwrap(), b"y");
}
