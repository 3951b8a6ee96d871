//! Faults on demand, each seen to do what it says.

use hactl::lab::cloud::{Fault, FaultKind};
use serde_json::{Value, json};

use super::Test;
use super::client::{call, cloud, eventually, get, must, server, try_call};

pub(crate) const TESTS: &[Test] = &[
    ("faults::the_nth_request_fails_and_nothing_is_done", the_nth_request_fails_and_nothing_is_done),
    ("faults::the_work_is_done_and_the_connection_dropped", the_work_is_done_and_the_connection_dropped),
    ("faults::a_list_is_behind", a_list_is_behind),
    ("faults::an_action_fails", an_action_fails),
    ("faults::a_server_type_is_sold_out", a_server_type_is_sold_out),
    ("faults::they_can_be_asked_for_over_http", they_can_be_asked_for_over_http),
];

fn key(n: u8) -> Value {
    let keys = [
        "AAAAC3NzaC1lZDI1NTE5AAAAIGkzt8EwWzB7nYgIDJKCq4nIYvKMbLYRIdmVLdnTJ0HK",
        "AAAAC3NzaC1lZDI1NTE5AAAAIGkzt8EwWzB7nYgIDJKCq4nIYvKMbLYRIdmVLdnTJ0HL",
    ];
    json!({ "name": format!("key-{n}"), "public_key": format!("ssh-ed25519 {}", keys[usize::from(n)]) })
}

fn the_nth_request_fails_and_nothing_is_done() {
    let cloud = cloud();
    let kinds = [
        (FaultKind::RateLimited { retry_after: 7 }, Some(429)),
        (FaultKind::Refused { status: 500, code: "server_error".into() }, Some(500)),
        (FaultKind::Garbled { status: 502 }, Some(502)),
        (FaultKind::Refused { status: 504, code: "timeout".into() }, Some(504)),
        (FaultKind::DropBefore, None),
        (FaultKind::Hang { milliseconds: 20 }, None),
    ];
    for (kind, status) in kinds {
        cloud.fault(Fault::next("POST", "/ssh_keys", kind.clone()).nth(2));
        let id = must(&cloud, "POST", "/ssh_keys", key(0))["ssh_key"]["id"].clone();
        let said = try_call(&cloud, cloud.token(), "POST", "/v1/ssh_keys", &key(1));
        assert_eq!(said.as_ref().map(|s| s.status), status, "{kind:?}");
        if let FaultKind::RateLimited { .. } = kind {
            assert_eq!(said.unwrap().header("Retry-After"), Some("7"));
        }
        let there = get(&cloud, "/ssh_keys").body["ssh_keys"].as_array().unwrap().len();
        assert_eq!(there, 1, "{kind:?}");
        must(&cloud, "DELETE", &format!("/ssh_keys/{id}"), Value::Null);
    }
}

fn the_work_is_done_and_the_connection_dropped() {
    let cloud = cloud();
    let kinds = [FaultKind::DropAfter, FaultKind::GatewayAfter, FaultKind::HangAfter { milliseconds: 20 }];
    for kind in kinds {
        cloud.fault(Fault::next("POST", "/ssh_keys", kind.clone()));
        let said = try_call(&cloud, cloud.token(), "POST", "/v1/ssh_keys", &key(0));
        assert!(said.is_none_or(|s| s.status == 502), "{kind:?}");
        let list = get(&cloud, "/ssh_keys?name=key-0").body;
        let id = list["ssh_keys"][0]["id"].as_u64().unwrap_or_else(|| panic!("{kind:?}: not done"));
        must(&cloud, "DELETE", &format!("/ssh_keys/{id}"), Value::Null);
    }
}

fn a_list_is_behind() {
    let cloud = cloud();
    must(&cloud, "POST", "/ssh_keys", key(0));
    cloud.fault(Fault::next("GET", "/ssh_keys", FaultKind::Stale { milliseconds: 3_600_000 }));
    assert_eq!(get(&cloud, "/ssh_keys").body["ssh_keys"], json!([]));
    assert_eq!(get(&cloud, "/ssh_keys").body["ssh_keys"].as_array().unwrap().len(), 1);
}

fn an_action_fails() {
    let cloud = cloud();
    let id = server(&cloud, "one", &json!({}));
    let fault = FaultKind::ActionFails { code: "action_failed".into() };
    cloud.fault(Fault::next("POST", "/servers/*/actions/poweroff", fault));
    let made = must(&cloud, "POST", &format!("/servers/{id}/actions/poweroff"), Value::Null);
    let path = format!("/actions/{}", made["action"]["id"]);
    eventually("the action has failed", || {
        let action = get(&cloud, &path).body["action"].clone();
        action["status"] == "error" && action["error"]["code"] == "action_failed"
    });
    assert_eq!(get(&cloud, &format!("/servers/{id}")).body["server"]["status"], "running");
}

fn a_server_type_is_sold_out() {
    let cloud = cloud();
    cloud.sell_out("cx33@hel1").unwrap();
    let order = |location: &str| {
        let body =
            json!({ "name": location, "server_type": "cx33", "image": "debian-13", "location": location });
        call(&cloud, "POST", "/servers", body)
    };
    let said = order("hel1");
    assert_eq!((said.status, said.code()), (412, "resource_unavailable"));
    assert_eq!(order("nbg1").status, 201);
    let types = get(&cloud, "/server_types?name=cx33").body;
    let locations = types["server_types"][0]["locations"].as_array().unwrap().clone();
    let available: Vec<(&str, bool)> =
        locations.iter().map(|l| (l["name"].as_str().unwrap(), l["available"].as_bool().unwrap())).collect();
    assert_eq!(available, [("fsn1", true), ("nbg1", true), ("hel1", false)]);
}

fn they_can_be_asked_for_over_http() {
    let cloud = cloud();
    let operator = |method: &str, path: &str, body: Value| {
        try_call(&cloud, cloud.token(), method, path, &body).expect("an answer")
    };
    let fault = json!({ "method": "GET", "path": "/servers", "kind": { "garbled": { "status": 502 } } });
    assert_eq!(operator("POST", "/lab/faults", fault).status, 201);
    assert_eq!(get(&cloud, "/servers").status, 502);
    assert_eq!(get(&cloud, "/servers").status, 200);
    let log = operator("GET", "/lab/requests", Value::Null).body;
    assert_eq!(log["requests"], json!(["GET /servers", "GET /servers"]));
    assert_eq!(operator("POST", "/lab/faults", json!({ "kind": "explode" })).status, 422);
    let stranger = try_call(&cloud, "another", "DELETE", "/lab/faults", &Value::Null).unwrap();
    assert_eq!(stranger.status, 401);
}
