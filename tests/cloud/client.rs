//! As little HTTP as it takes, so that a test sees what is on the wire.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use hactl::lab::cloud::backend::ObjectsOnly;
use hactl::lab::cloud::{Cloud, CloudSettings};
use serde_json::{Value, json};

/// How long anything here may take.
const LIMIT: Duration = Duration::from_secs(60);

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Value,
}

impl Said {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.lines().filter_map(|l| l.split_once(": "));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim())
    }

    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("")
    }
}

pub(crate) fn cloud() -> Cloud {
    Cloud::start(CloudSettings::local(ObjectsOnly::default())).unwrap()
}

/// A request and its answer; nothing where the connection ended without one.
pub(crate) fn try_call(cloud: &Cloud, token: &str, method: &str, path: &str, body: &Value) -> Option<Said> {
    let mut stream = TcpStream::connect(cloud.address()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: cloud\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut said = Vec::new();
    // A connection that a fault ends may end by a reset too.
    let _ = stream.read_to_end(&mut said);
    let said = String::from_utf8(said).unwrap();
    let (head, body) = said.split_once("\r\n\r\n")?;
    let (first, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    Some(Said {
        status: first.split(' ').nth(1).unwrap().parse().unwrap(),
        headers: headers.to_owned(),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    })
}

pub(crate) fn call(cloud: &Cloud, method: &str, path: &str, body: Value) -> Said {
    let path = format!("/v1{path}");
    try_call(cloud, cloud.token(), method, &path, &body).expect("an answer")
}

pub(crate) fn get(cloud: &Cloud, path: &str) -> Said {
    call(cloud, "GET", path, Value::Null)
}

/// A request that has to succeed, and its document.
pub(crate) fn must(cloud: &Cloud, method: &str, path: &str, body: Value) -> Value {
    let said = call(cloud, method, path, body);
    assert!((200..300).contains(&said.status), "{method} {path}: {said:?}");
    said.body
}

pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < until, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until no action runs on anything that matters: a server's `locked` says so for it.
pub(crate) fn unlocked(cloud: &Cloud, server: u64) -> Value {
    let mut seen = Value::Null;
    eventually("the server is unlocked", || {
        seen = get(cloud, &format!("/servers/{server}")).body["server"].clone();
        seen["locked"] == json!(false)
    });
    seen
}

/// A server that runs, with a name and further fields.
pub(crate) fn server(cloud: &Cloud, name: &str, more: &Value) -> u64 {
    let mut body = json!({ "name": name, "server_type": "cx23", "image": "debian-13", "location": "hel1" });
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    let id = must(cloud, "POST", "/servers", body)["server"]["id"].as_u64().unwrap();
    unlocked(cloud, id);
    id
}

pub(crate) fn network(cloud: &Cloud) -> u64 {
    let body = json!({
        "name": "private", "ip_range": "10.0.0.0/16",
        "subnets": [{ "type": "cloud", "network_zone": "eu-central", "ip_range": "10.0.1.0/24" }],
    });
    must(cloud, "POST", "/networks", body)["network"]["id"].as_u64().unwrap()
}
