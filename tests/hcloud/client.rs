//! What the client makes of answers, and of their lack.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use hactl::diagnostic::{Code, Error, codes};
use hactl::transport::hcloud::{Deadlines, HcloudClient, HcloudSettings, SshKey};
use serde_json::{Value, json};

use crate::scripted::{Say, Scripted};

pub(crate) const TOKEN: &str = "k3Vt0ken-that-nobody-may-ever-read-0123456789abcdef";

/// Waits that make a test short; what is waited for is the same.
pub(crate) fn short() -> Deadlines {
    Deadlines {
        connect: Duration::from_secs(5),
        request: Duration::from_millis(400),
        call: Duration::from_secs(20),
        pause: Duration::from_millis(5),
        settle: Duration::from_millis(300),
        poll: Duration::from_millis(5),
        action: Duration::from_millis(300),
    }
}

fn client(endpoint: &str, deadlines: Deadlines) -> HcloudClient {
    let settings = HcloudSettings { endpoint: endpoint.to_owned(), ca_pem: None };
    HcloudClient::new(settings, &TOKEN.into(), deadlines).unwrap()
}

fn run<T>(body: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(90), body).await.unwrap() })
}

fn key(id: i64, name: &str) -> Value {
    json!({ "id": id, "name": name, "public_key": "ssh-ed25519 AAAA", "labels": {}, "news": ["from", "later"] })
}

fn page(keys: &[Value], next: Option<u64>) -> Say {
    let meta = json!({ "pagination": { "next_page": next } });
    Say::Answer(200, json!({ "ssh_keys": keys, "meta": meta }).to_string())
}

fn error(status: u16, code: &str) -> Say {
    Say::Answer(
        status,
        json!({ "error": { "code": code, "message": "why not", "details": null } }).to_string(),
    )
}

async fn make(client: &HcloudClient) -> Result<i64, Error> {
    use hactl::transport::hcloud::Resource as _;
    client.create::<SshKey>("ops", json!({ "name": "ops" })).await.map(|(made, _)| made.head().id)
}

fn made() -> Say {
    Say::Answer(201, json!({ "ssh_key": key(7, "ops") }).to_string())
}

#[test]
fn every_page_is_read_and_what_is_new_in_it_is_passed_over() {
    let server = Scripted::saying([page(&[key(1, "a"), key(2, "b")], Some(2)), page(&[key(3, "c")], None)]);
    let client = client(&server.endpoint, short());
    let keys: Vec<SshKey> = run(client.list(&[("label_selector", "hactl-fleet==a b&c")])).unwrap();
    assert_eq!(keys.iter().map(|key| key.head.id).collect::<Vec<_>>(), [1, 2, 3]);
    let asked = server.asked();
    assert_eq!(asked[1].line, "GET /v1/ssh_keys?label_selector=hactl-fleet%3D%3Da+b%26c&page=2&per_page=50");
    assert!(asked.iter().all(|asked| asked.token.as_deref() == Some(&format!("Bearer {TOKEN}"))));
}

#[test]
fn a_list_that_cannot_be_read_is_never_taken_for_an_empty_one() {
    let odd = [
        Say::Answer(200, "<html>".into()),
        Say::Answer(200, "{}".into()),
        Say::Answer(200, json!({ "ssh_keys": [{ "name": "a" }] }).to_string()),
        Say::Half,
    ];
    for say in odd {
        let story = format!("{say:?}");
        let server = Scripted::saying(std::iter::repeat_n(say, 5));
        let error = run(client(&server.endpoint, short()).find::<SshKey>("a")).unwrap_err();
        assert_eq!(error.code(), codes::HCLOUD_UNANSWERED, "{story}: {}", error.one_line());
    }
}

#[test]
fn a_read_is_tried_again_whatever_becomes_of_it_and_gives_up_in_the_end() {
    let faults = [
        error(500, "server_error"),
        error(502, "bad_gateway"),
        error(429, "rate_limit_exceeded"),
        Say::Drop,
        Say::Hang,
        Say::Half,
    ];
    for fault in faults {
        let story = format!("{fault:?}");
        let server = Scripted::saying([fault.clone(), fault.clone(), page(&[key(1, "a")], None)]);
        let found = run(client(&server.endpoint, short()).find::<SshKey>("a")).unwrap();
        assert!(found.is_some(), "{story}");
        assert_eq!((server.count("GET"), server.left()), (3, 0), "{story}");

        let server = Scripted::saying(std::iter::repeat_n(fault, 10));
        let error = run(client(&server.endpoint, short()).find::<SshKey>("a")).unwrap_err();
        assert_eq!(server.count("GET"), 5, "{story}");
        assert!([codes::HCLOUD_UNANSWERED, codes::HCLOUD_RATE].contains(&error.code()), "{story}");
        assert_eq!(error.state_now(), Some("nothing was changed"), "{story}");
    }
}

#[test]
fn a_change_that_may_have_been_done_is_not_sent_again() {
    let faults = [
        error(500, "server_error"),
        error(502, "bad_gateway"),
        error(504, "timeout"),
        // Even a word that promises something: behind a status like this nobody vouches for it.
        error(503, "rate_limit_exceeded"),
        Say::Drop,
        Say::Hang,
        Say::Half,
        Say::Answer(201, "<html>".into()),
        Say::Answer(201, "{}".into()),
        Say::Answer(200, String::new()),
    ];
    for fault in faults {
        let story = format!("{fault:?}");
        let server = Scripted::saying([fault, made()]);
        let error = run(make(&client(&server.endpoint, short()))).unwrap_err();
        assert_eq!(error.code(), codes::HCLOUD_UNKNOWN, "{story}: {}", error.one_line());
        assert_eq!(server.count("POST"), 1, "{story}");
    }
}

#[test]
fn a_change_that_was_certainly_not_done_is_sent_again_after_the_wait_that_is_asked_for() {
    let limited = Say::With(&[("Retry-After", "1")], 429, String::new());
    for refusal in [limited, error(409, "conflict"), error(423, "locked")] {
        let story = format!("{refusal:?}");
        let server = Scripted::saying([refusal.clone(), refusal, made()]);
        let began = std::time::Instant::now();
        assert_eq!(run(make(&client(&server.endpoint, short()))).unwrap(), 7, "{story}");
        assert_eq!(server.count("POST"), 3, "{story}");
        let least = if story.contains("Retry-After") { 2 } else { 0 };
        assert!(began.elapsed() >= Duration::from_secs(least), "{story}");
    }
    // A wait beyond the deadline of a call is told, not waited for.
    let server = Scripted::saying([Say::With(&[("Retry-After", "3600")], 429, String::new())]);
    let error = run(make(&client(&server.endpoint, short()))).unwrap_err();
    assert_eq!((error.code(), server.count("POST")), (codes::HCLOUD_RATE, 1));
    assert_eq!(error.next_moves(), ["wait 1h, then: hactl resume"]);
}

#[test]
fn what_the_api_refuses_has_codes_of_its_own_and_is_not_asked_twice() {
    let refusals: [(u16, &str, Code); 13] = [
        (401, "unauthorized", codes::HCLOUD_TOKEN),
        (403, "token_readonly", codes::HCLOUD_DENIED),
        (403, "forbidden", codes::HCLOUD_DENIED),
        (404, "not_found", codes::HCLOUD_NOT_FOUND),
        (409, "uniqueness_error", codes::HCLOUD_TAKEN),
        (409, "resource_in_use", codes::HCLOUD_IN_USE),
        (422, "protected", codes::HCLOUD_PROTECTED),
        (403, "resource_limit_exceeded", codes::HCLOUD_LIMIT),
        (412, "resource_unavailable", codes::HCLOUD_UNAVAILABLE),
        (412, "placement_error", codes::HCLOUD_UNAVAILABLE),
        (422, "invalid_input", codes::HCLOUD_ANSWERED),
        (400, "json_error", codes::HCLOUD_ANSWERED),
        (301, "moved", codes::HCLOUD_ANSWERED),
    ];
    for (status, word, code) in refusals {
        let server = Scripted::saying([error(status, word), made()]);
        let error = run(make(&client(&server.endpoint, short()))).unwrap_err();
        assert_eq!((error.code(), server.count("POST")), (code, 1), "{word}");
        assert_eq!(error.state_now(), Some("this was not done"), "{word}");
    }
    // What stays locked is told in the end.
    let server = Scripted::saying(std::iter::repeat_n(error(423, "locked"), 9));
    let error = run(make(&client(&server.endpoint, short()))).unwrap_err();
    assert_eq!((error.code(), server.count("POST")), (codes::HCLOUD_BUSY, 5));
}

#[test]
fn where_nobody_answers_or_tls_fails_nothing_was_done() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = run(make(&client(&format!("http://{free}/v1"), short()))).unwrap_err();
    assert_eq!(error.code(), codes::HCLOUD_UNREACHABLE, "{}", error.one_line());
    assert_eq!(error.state_now(), Some("this was not done"));
    // A server that does not speak TLS.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("https://{}/v1", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        (&stream).write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = (&stream).read(&mut [0; 4096]);
    });
    let error = run(make(&client(&endpoint, short()))).unwrap_err();
    assert_eq!(error.code(), codes::HCLOUD_UNTRUSTED, "{}", error.one_line());
    // And what can never be used.
    for (endpoint, ca) in
        [("http://api.example/v1", None), ("https://api.example/v1", Some(b"no certificate".to_vec()))]
    {
        let settings = HcloudSettings { endpoint: endpoint.to_owned(), ca_pem: ca };
        let error = HcloudClient::new(settings, &TOKEN.into(), short()).unwrap_err();
        assert_eq!(error.code(), codes::HCLOUD_SETTINGS);
    }
    let settings = HcloudSettings { endpoint, ca_pem: None };
    let error = HcloudClient::new(settings, &format!("{TOKEN}\nmore").into(), short()).unwrap_err();
    assert_eq!(error.code(), codes::HCLOUD_SETTINGS);
    assert!(!format!("{error:?} {error}").contains(TOKEN));
}

#[test]
fn the_token_is_in_no_error_and_in_no_debug_form() {
    let server = Scripted::saying([Say::Drop, error(401, "unauthorized"), Say::Hang]);
    let client = client(&server.endpoint, short());
    let mut texts = vec![format!("{client:?}")];
    for _ in 0..3 {
        let error = run(make(&client)).unwrap_err();
        texts.push(format!("{error:?} {error} {}", error.one_line()));
    }
    assert!(!texts.concat().contains("k3Vt0ken"), "{texts:?}");
    // And it was sent, so there was something to hide.
    assert!(server.asked().iter().all(|asked| asked.token.as_deref().unwrap().contains(TOKEN)));
}

#[test]
fn actions_are_waited_for_with_one_question_for_all_of_them() {
    let action = |id: i64, status: &str, progress: i64| json!({ "id": id, "command": "create_thing", "status": status, "progress": progress, "error": null });
    let answer = |actions: &[Value]| Say::Answer(200, json!({ "actions": actions }).to_string());
    let begun = |more: Vec<Value>| {
        let body =
            json!({ "ssh_key": key(7, "ops"), "action": action(1, "running", 0), "next_actions": more });
        Say::Answer(201, body.to_string())
    };
    let wait = async |script: Vec<Say>, action: Duration| {
        let server = Scripted::saying(script);
        let client = client(&server.endpoint, Deadlines { action, ..short() });
        let (_, actions) = client.create::<SshKey>("ops", json!({})).await.unwrap();
        let mut told = Vec::new();
        let outcome = client.wait(actions, |text| told.push(text.to_owned())).await;
        (outcome, told, server)
    };
    // Long enough for what ends, however busy this machine is.
    let long = Duration::from_secs(30);
    let script = vec![
        begun(vec![action(2, "running", 0)]),
        answer(&[action(1, "success", 100), action(2, "a word of tomorrow", 30)]),
        // An answer that does not know it yet.
        answer(&[]),
        answer(&[action(2, "success", 100)]),
    ];
    let (outcome, told, server) = run(wait(script, long));
    outcome.unwrap();
    assert_eq!(told[..2], ["create_thing 0 %, create_thing 0 %", "create_thing 30 %"]);
    let lines: Vec<_> = server.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(lines[1..], ["GET /v1/actions?id=1&id=2", "GET /v1/actions?id=2", "GET /v1/actions?id=2"]);

    let mut failed = action(1, "error", 40);
    failed["error"] = json!({ "code": "no_space", "message": "nothing left" });
    let (outcome, ..) = run(wait(vec![begun(vec![]), answer(&[failed])], long));
    let error = outcome.unwrap_err();
    assert_eq!(error.code(), codes::HCLOUD_ACTION);
    assert!(error.one_line().contains("no_space: nothing left"), "{}", error.one_line());

    let forever = std::iter::repeat_n(answer(&[action(1, "running", 50)]), 500);
    let (outcome, ..) = run(wait(std::iter::once(begun(vec![])).chain(forever).collect(), short().action));
    let error = outcome.unwrap_err();
    assert_eq!(error.code(), codes::HCLOUD_UNKNOWN);
}
