//! The client: reads, writes, and what each failure is called.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hactl::diagnostic::{Code, codes};
use hactl::transport::faulty::Waiting;
use hactl::transport::s3::{
    BucketState, Deadlines, Delete, PutIf, S3Client, S3Credential, S3Settings, Versioning,
};
use hactl::units::Size;

use crate::weed::{Weed, credential, other_authority};
use crate::{Case, on_one_thread};

pub(crate) const CASES: &[Case] = &[
    ("client::an_object_comes_back_as_it_was", |weed| on_one_thread(round_trip(weed))),
    ("client::a_bucket_is_made_in_a_region_of_its_own", |weed| on_one_thread(region(weed))),
    ("client::a_long_listing_is_paged_and_bounded", |weed| on_one_thread(listing(weed))),
    ("client::versions_are_kept_and_can_be_erased", |weed| on_one_thread(versions(weed))),
    ("client::a_conditional_write_is_refused_the_second_time", |weed| on_one_thread(conditional(weed))),
    ("client::what_is_missing_is_named", |weed| on_one_thread(missing(weed))),
    ("client::a_wrong_key_is_told_from_a_refusal", |weed| on_one_thread(wrong_key(weed))),
    ("client::a_certificate_of_another_authority_is_refused", |weed| on_one_thread(untrusted(weed))),
    ("client::a_server_that_is_away_is_unreachable", |weed| on_one_thread(away(weed))),
    ("client::a_bucket_is_made_once_and_stays_while_it_is_full", |weed| on_one_thread(made_once(weed))),
    ("client::a_plain_web_server_is_no_object_storage", |weed| on_one_thread(plain(weed))),
    ("client::a_clock_that_is_far_off_is_named", |weed| on_one_thread(clock(weed))),
    ("client::an_unusable_authority_is_refused_before_connecting", |weed| on_one_thread(bad_ca(weed))),
];

pub(crate) fn client(weed: &Weed, bucket: &str) -> S3Client {
    S3Client::new(weed.settings(bucket), &credential("writer"), Deadlines::default()).unwrap()
}

async fn made(weed: &Weed, bucket: &str) -> S3Client {
    let client = client(weed, bucket);
    client.create_bucket().await.unwrap();
    client
}

async fn round_trip(weed: &Weed) {
    let client = client(weed, "round-trip");
    assert_eq!(client.bucket().await.unwrap(), BucketState::Missing);
    client.create_bucket().await.unwrap();
    assert_eq!(client.bucket().await.unwrap(), BucketState::Exists);
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|i| i.to_le_bytes()[i as usize % 4]).collect();
    let written = client.put("a/big file+ü", &bytes, PutIf::Always).await.unwrap();
    let head = client.head("a/big file+ü").await.unwrap().unwrap();
    assert_eq!((head.bytes, &head.etag), (5_000_000, &written.etag));
    assert!(head.modified.is_some());
    assert_eq!(client.get("a/big file+ü", Size(5_000_000)).await.unwrap(), bytes);
    let mut copy = Vec::new();
    assert_eq!(client.get_to("a/big file+ü", &mut copy).await.unwrap(), 5_000_000);
    assert_eq!(copy, bytes);
    let error = client.get("a/big file+ü", Size(4_999_999)).await.unwrap_err();
    assert_eq!(error.code(), codes::S3_TOO_LARGE);
    client.delete("a/big file+ü", Delete::Newest).await.unwrap();
    client.delete("a/big file+ü", Delete::Newest).await.unwrap();
    assert_eq!(client.head("a/big file+ü").await.unwrap(), None);
    client.delete_bucket().await.unwrap();
    assert_eq!(client.bucket().await.unwrap(), BucketState::Missing);
}

async fn region(weed: &Weed) {
    let settings = S3Settings { region: "lab".into(), ..weed.settings("region") };
    let client = S3Client::new(settings, &credential("writer"), Deadlines::default()).unwrap();
    client.create_bucket().await.unwrap();
    client.put("k", b"x", PutIf::Always).await.unwrap();
    assert_eq!(client.get("k", Size(10)).await.unwrap(), b"x");
}

async fn listing(weed: &Weed) {
    let client = made(weed, "listing").await;
    let puts = (0..1005).map(|i| {
        let client = client.clone();
        async move { client.put(&format!("p/{i:04}"), b"x", PutIf::Always).await.unwrap() }
    });
    let mut puts = puts.peekable();
    while puts.peek().is_some() {
        futures_util::future::join_all(puts.by_ref().take(20)).await;
    }
    client.put("q/other", b"x", PutIf::Always).await.unwrap();
    let all = client.list("p/", 5000).await.unwrap();
    assert_eq!((all.objects.len(), all.truncated), (1005, false));
    assert!(all.objects.is_sorted_by_key(|o| o.key.clone()));
    let some = client.list("p/", 1003).await.unwrap();
    assert_eq!((some.objects.len(), some.truncated), (1003, true));
    let exactly = client.list("p/", 1005).await.unwrap();
    assert_eq!((exactly.objects.len(), exactly.truncated), (1005, false));
    assert_eq!(client.list("nothing/", 10).await.unwrap().objects, []);
    client.put("p/sub/deep", b"x", PutIf::Always).await.unwrap();
    assert_eq!(client.folders("").await.unwrap(), ["p", "q"]);
    assert_eq!(client.folders("p/").await.unwrap(), ["sub"]);
    assert_eq!(client.folders("nothing/").await.unwrap(), Vec::<String>::new());
}

async fn versions(weed: &Weed) {
    let client = made(weed, "versions").await;
    assert_eq!(client.versioning().await.unwrap(), Versioning::Off);
    client.enable_versioning().await.unwrap();
    assert_eq!(client.versioning().await.unwrap(), Versioning::Enabled);
    client.put("k", b"one", PutIf::Always).await.unwrap();
    client.put("k", b"two", PutIf::Always).await.unwrap();
    client.delete("k", Delete::Newest).await.unwrap();
    assert_eq!(client.head("k").await.unwrap(), None);
    let kept = client.versions("", 100).await.unwrap();
    assert_eq!(kept.len(), 3, "two versions and a deletion mark: {kept:?}");
    assert_eq!(client.versions("", 2).await.unwrap().len(), 2);
    for version in kept {
        client.delete(&version.key, Delete::Version(&version.version.unwrap())).await.unwrap();
    }
    assert_eq!(client.versions("", 100).await.unwrap(), []);
}

async fn conditional(weed: &Weed) {
    let client = made(weed, "conditional").await;
    client.put("k", b"one", PutIf::Absent).await.unwrap();
    let error = client.put("k", b"two", PutIf::Absent).await.unwrap_err();
    assert_eq!(error.code(), codes::S3_PRECONDITION, "{error:?}");
    assert_eq!(client.get("k", Size(10)).await.unwrap(), b"one");
}

async fn missing(weed: &Weed) {
    let client = made(weed, "missing").await;
    let error = client.get("no/such", Size(10)).await.unwrap_err();
    assert_eq!(error.code(), codes::S3_NO_OBJECT);
    let endpoint = weed.settings("").endpoint;
    for part in ["missing", "no/such", &endpoint] {
        assert!(error.to_string().contains(part), "{error} does not name {part}");
    }
    let nowhere = crate::client::client(weed, "nowhere");
    let error = nowhere.put("k", b"x", PutIf::Always).await.unwrap_err();
    assert_eq!(error.code(), codes::S3_NO_BUCKET, "{error:?}");
    assert_eq!(nowhere.list("", 1).await.unwrap_err().code(), codes::S3_NO_BUCKET);
}

async fn wrong_key(weed: &Weed) {
    made(weed, "wrong-key").await;
    let code = |credential: S3Credential| async move {
        let client = S3Client::new(weed.settings("wrong-key"), &credential, Deadlines::default()).unwrap();
        let error = client.put("k", b"x", PutIf::Always).await.unwrap_err();
        assert!(!format!("{error:?}").contains("secret-key"), "{error:?}");
        if error.code() == codes::S3_CREDENTIAL {
            // Looking is what comes first, so it must tell as well.
            assert_eq!(client.bucket().await.unwrap_err().code(), codes::S3_CREDENTIAL);
        }
        error.code()
    };
    let wrong = S3Credential { secret_key: "secret-key-of-nobody".into(), ..credential("writer") };
    assert_eq!(code(wrong).await, codes::S3_CREDENTIAL);
    assert_eq!(code(credential("nobody")).await, codes::S3_CREDENTIAL);
    assert_eq!(code(credential("restorer")).await, codes::S3_DENIED);
}

async fn refused(settings: S3Settings) -> Code {
    let deadlines = Deadlines { connect: Duration::from_secs(2), ..Deadlines::default() };
    let client = S3Client::new(settings, &credential("writer"), deadlines).unwrap();
    let read = client.bucket().await.unwrap_err();
    let written = client.put("k", b"x", PutIf::Always).await.unwrap_err();
    assert_eq!(read.code(), written.code(), "{read:?} {written:?}");
    assert_eq!(written.state_now(), Some("this was not done"));
    written.code()
}

async fn untrusted(weed: &Weed) {
    let folder = tempfile::tempdir().unwrap();
    let ca_pem = Some(other_authority(folder.path()));
    assert_eq!(refused(S3Settings { ca_pem, ..weed.settings("b") }).await, codes::S3_UNTRUSTED);
    // Nor is it trusted by the name of another machine.
    let endpoint = weed.settings("b").endpoint.replace("127.0.0.1", "localhost");
    assert_eq!(refused(S3Settings { endpoint, ..weed.settings("b") }).await, codes::S3_UNTRUSTED);
}

async fn away(weed: &Weed) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    // It takes connections and says nothing: TLS is never done, so no request was sent.
    let settings = S3Settings { endpoint, ..weed.settings("b") };
    assert_eq!(refused(settings.clone()).await, codes::S3_UNREACHABLE);
    drop(listener);
    assert_eq!(refused(settings).await, codes::S3_UNREACHABLE);
    let endpoint = "https://no-such-machine.invalid:8443".into();
    assert_eq!(refused(S3Settings { endpoint, ..weed.settings("b") }).await, codes::S3_UNREACHABLE);
}

async fn bad_ca(weed: &Weed) {
    let code =
        |settings| S3Client::new(settings, &credential("writer"), Deadlines::default()).unwrap_err().code();
    for pem in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let ca_pem = Some(pem.as_bytes().to_vec());
        assert_eq!(code(S3Settings { ca_pem, ..weed.settings("b") }), codes::S3_SETTINGS);
    }
    let endpoint = weed.settings("b").endpoint.replace("https", "http");
    assert_eq!(code(S3Settings { endpoint, ..weed.settings("b") }), codes::S3_SETTINGS);
}

async fn made_once(weed: &Weed) {
    let client = made(weed, "made-once").await;
    let error = client.create_bucket().await.unwrap_err();
    assert_eq!(error.code(), codes::S3_BUCKET_TAKEN, "{error:?}");
    assert!(error.next_moves()[0].contains("name another bucket"), "{error:?}");
    client.put("k", b"x", PutIf::Always).await.unwrap();
    let error = client.delete_bucket().await.unwrap_err();
    assert_eq!(error.code(), codes::S3_BUCKET_KEPT, "{error:?}");
    assert_eq!(client.get("k", Size(10)).await.unwrap(), b"x");
    // An error of the server's that has no code of its own here.
    let error = crate::client::client(weed, "No_Bucket's_Name").create_bucket().await.unwrap_err();
    assert_eq!(error.code(), codes::S3_ANSWERED, "{error:?}");
    assert!(error.to_string().contains("InvalidBucketName"), "{error:?}");
}

/// Python's own web server over TLS: it answers, and knows no object storage.
struct Plain {
    child: Child,
    port: u16,
}

impl Plain {
    fn start(weed: &Weed, folder: &Path) -> Self {
        const SERVER: &str = "import http.server, ssl, sys\n\
            server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\n\
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
            context.load_cert_chain(sys.argv[1], sys.argv[2])\n\
            server.socket = context.wrap_socket(server.socket, server_side=True)\n\
            print(server.server_port, flush=True)\n\
            server.serve_forever()\n";
        let (certificate, key) = weed.certificate();
        let mut child = Command::new("python3")
            .args(["-c", SERVER])
            .args([certificate, key])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { child, port: port.trim().parse().unwrap() }
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn plain(weed: &Weed) {
    let folder = tempfile::tempdir().unwrap();
    let plain = Plain::start(weed, folder.path());
    let endpoint = format!("https://127.0.0.1:{}", plain.port);
    let settings = S3Settings { endpoint, ..weed.settings("b") };
    let client = S3Client::new(settings, &credential("writer"), Deadlines::default()).unwrap();
    for error in [
        client.create_bucket().await.unwrap_err(),
        client.put("k", b"x", PutIf::Always).await.unwrap_err(),
        client.delete("k", Delete::Newest).await.unwrap_err(),
    ] {
        assert_eq!(error.code(), codes::S3_UNSUPPORTED, "{error:?}");
        assert_eq!(error.state_now(), Some("this was not done"));
        assert!(error.next_moves()[0].contains("speak S3"), "{error:?}");
    }
}

async fn clock(weed: &Weed) {
    let faults = Waiting::default();
    let client = S3Client::under(
        weed.settings("clock"),
        &credential("writer"),
        Deadlines::default(),
        Some(&faults.faulty()),
    )
    .unwrap();
    client.create_bucket().await.unwrap();
    faults.clock_is_ahead(Duration::from_secs(2 * 60 * 60));
    // A read would be signed again with the server's time, which the refusal tells; a write is sent once.
    let error = client.put("k", b"x", PutIf::Always).await.unwrap_err();
    assert_eq!(error.code(), codes::S3_CLOCK, "{error:?}");
    assert_eq!(error.state_now(), Some("this was not done"));
    assert_eq!(error.next_moves(), ["set this machine's clock: timedatectl"]);
    assert_eq!(crate::client::client(weed, "clock").head("k").await.unwrap(), None);
}
