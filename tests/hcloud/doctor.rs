//! What `doctor` finds in the cloud.

use std::collections::BTreeMap;

use hactl::lab::cloud::backend::ObjectsOnly;
use hactl::lab::cloud::{Cloud, CloudSettings, Fault, FaultKind};
use hactl::transport::hcloud::{HcloudClient, HcloudSettings, SshKey};
use serde_json::{Value, json};

use crate::bench::KEY;
use crate::client::short;
use crate::common::cli::SMALL_TOML;
use crate::files::workspace;

/// What `doctor` finds of the cloud, by what it is about.
fn examined(endpoint: &str, token: &str, steps: &str) -> BTreeMap<String, Value> {
    let place = workspace(&format!("token = {{ file = \"token\" }}\nendpoint = \"{endpoint}\""));
    place.write("token", token);
    place.write("small.toml", &format!("{SMALL_TOML}{steps}"));
    let ran = place.hactl(&["doctor", "--output", "json"]);
    assert!(!format!("{ran}").contains(token), "{ran}");
    let objects = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let found = objects.map(|object| (object["what"].as_str().unwrap_or_default().to_owned(), object));
    found.filter(|(what, _)| what.starts_with("cloud ")).collect()
}

fn client(cloud: &Cloud) -> HcloudClient {
    let settings = HcloudSettings { endpoint: cloud.endpoint().to_owned(), ca_pem: None };
    HcloudClient::new(settings, &cloud.token().into(), short()).unwrap()
}

fn project() -> Cloud {
    Cloud::start(CloudSettings::local(ObjectsOnly::default())).unwrap()
}

#[test]
fn the_doctor_says_whether_the_token_opens_the_project_and_may_write() {
    let cloud = project();
    let key = |name: &str, last: &str, labels: Value| {
        let body = json!({ "name": name, "public_key": format!("{}{last}", &KEY[..KEY.len() - 1]), "labels": labels });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(client(&cloud).create::<SshKey>(name, body)).unwrap();
    };
    key("a", "g", json!({ "hactl-fleet": "pair", "hactl-run": "run1" }));
    key("b", "h", json!({}));
    cloud.forget_requests();
    let found = examined(cloud.endpoint(), cloud.token(), "");
    let text = |what: &str| found[what]["text"].as_str().unwrap();
    assert_eq!(found["cloud project"]["verdict"], "ok");
    let wanted =
        format!("at {}; it has 0 servers and 2 SSH keys, 1 of them made for this fleet", cloud.endpoint());
    assert!(
        text("cloud project").contains(&wanted) && text("cloud project").contains("(Limits)"),
        "{found:?}"
    );
    assert_eq!(found["cloud token"]["verdict"], "ok");
    assert!(text("cloud token").starts_with("may write"), "{found:?}");
    assert!(text("cloud requests").contains("of 3600 an hour are left"), "{found:?}");
    // One order without content is all that is no read, and nothing came of it.
    let asked = cloud.requests();
    let others: Vec<_> = asked.iter().filter(|line| !line.starts_with("GET ")).collect();
    assert!(
        others.len() == 1 && others[0].starts_with("POST ") && others[0].contains("/ssh_keys"),
        "{asked:?}"
    );
    let after = examined(cloud.endpoint(), cloud.token(), "");
    assert!(after["cloud project"]["text"].as_str().unwrap().contains("2 SSH keys"), "{after:?}");

    // A token that may only read, and an answer that says neither.
    let post = |status, code: &str| {
        let kind = FaultKind::Refused { status, code: code.to_owned() };
        cloud.fault(Fault::next("POST", "/ssh_keys", kind));
        examined(cloud.endpoint(), cloud.token(), "").remove("cloud token").unwrap()
    };
    let found = post(403, "token_readonly");
    assert_eq!(found["verdict"], "fail");
    assert!(found["next"][0].as_str().unwrap().contains("read and write permission"), "{found}");
    let found = post(412, "something_new");
    assert_eq!(found["verdict"], "warn");
    assert!(found["text"].as_str().unwrap().contains("something_new"), "{found}");

    let found = examined(cloud.endpoint(), "another-token", "");
    assert_eq!(found["cloud project"]["verdict"], "fail");
    assert!(found["cloud project"]["next"][0].as_str().unwrap().starts_with("make a token"), "{found:?}");
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn the_doctor_says_which_servers_of_the_runbook_can_be_had() {
    let steps = r#"
[inputs.fallback]
type = "list"
default = ["cx23"]
help = "taken instead"
[[phase]]
id = "9"
title = "Servers"
[[phase.step]]
id = "second"
title = "The second"
[phase.step.action.hcloud_server]
name = "two"
type = "cx33"
fallback_types = "${inputs.fallback}"
image = "debian-13"
location = "hel1"
[[phase.step]]
id = "first"
title = "The first"
action.hcloud_server = { name = "one", adopt = true }
"#;
    let cloud = project();
    let found = |step: &str| {
        let all = examined(cloud.endpoint(), cloud.token(), steps);
        let one = &all[&format!("cloud server of step {step}")];
        (one["verdict"].as_str().unwrap().to_owned(), one["text"].as_str().unwrap().to_owned())
    };
    let (_, text) = found("second");
    assert!(text.contains("of the type cx33 in hel1"), "{text}");
    cloud.sell_out("cx33@hel1").unwrap();
    let (_, text) = found("second");
    assert!(text.contains("of the type cx23 in hel1, for cx33 cannot be had there now"), "{text}");
    cloud.sell_out("cx23@hel1").unwrap();
    let (verdict, text) = found("second");
    assert!(verdict == "warn" && text.contains("none of the types cx33, cx23 can be had in hel1"), "{text}");
    let (verdict, text) = found("first");
    assert!(verdict == "warn" && text.contains("no server one in the project to adopt"), "{text}");
}
