//! What the documentation of the API promises, one promise for each test.

use hactl::lab::cloud::backend::ObjectsOnly;
use hactl::lab::cloud::{Cloud, CloudSettings};
use serde_json::{Value, json};

use super::Test;
use super::client::{call, cloud, eventually, get, must, network, server, try_call, unlocked};

pub(crate) const TESTS: &[Test] = &[
    ("behaviour::a_wrong_token_is_unauthorized", a_wrong_token_is_unauthorized),
    ("behaviour::lists_come_in_pages_filtered_and_sorted", lists_come_in_pages_filtered_and_sorted),
    ("behaviour::names_are_unique", names_are_unique),
    ("behaviour::a_protected_object_is_not_deleted", a_protected_object_is_not_deleted),
    ("behaviour::a_spread_group_holds_ten", a_spread_group_holds_ten),
    ("behaviour::a_running_server_joins_no_group", a_running_server_joins_no_group),
    ("behaviour::private_addresses_are_allotted_in_order", private_addresses_are_allotted_in_order),
    ("behaviour::a_network_needs_a_subnet_in_the_zone", a_network_needs_a_subnet_in_the_zone),
    ("behaviour::a_target_by_private_address_shares_a_network", a_target_by_private_address_shares_a_network),
    ("behaviour::a_server_is_locked_while_an_action_runs", a_server_is_locked_while_an_action_runs),
    (
        "behaviour::what_is_in_use_is_not_deleted_but_for_networks",
        what_is_in_use_is_not_deleted_but_for_networks,
    ),
    ("behaviour::a_floating_ip_is_on_one_server", a_floating_ip_is_on_one_server),
    ("behaviour::power_does_what_it_says", power_does_what_it_says),
    ("behaviour::the_rate_limit_is_told_and_kept", the_rate_limit_is_told_and_kept),
    ("behaviour::the_project_survives_a_restart", the_project_survives_a_restart),
    ("behaviour::the_same_key_is_not_taken_twice", the_same_key_is_not_taken_twice),
];

fn a_wrong_token_is_unauthorized() {
    let cloud = cloud();
    let said = try_call(&cloud, "another", "GET", "/v1/servers", &Value::Null).unwrap();
    assert_eq!((said.status, said.code()), (401, "unauthorized"));
}

fn lists_come_in_pages_filtered_and_sorted() {
    let cloud = cloud();
    for n in 0..7 {
        let labels = json!({ "even": (n % 2 == 0).to_string(), "hactl.dev/run": "r1" });
        let body = json!({ "name": format!("fw-{n}"), "rules": [], "labels": labels });
        must(&cloud, "POST", "/firewalls", body);
    }
    let page = get(&cloud, "/firewalls?per_page=3&page=3").body;
    assert_eq!(page["firewalls"].as_array().unwrap().len(), 1);
    let pagination = &page["meta"]["pagination"];
    assert_eq!(
        *pagination,
        json!({ "page": 3, "per_page": 3, "previous_page": 2, "next_page": null, "last_page": 3, "total_entries": 7 })
    );
    let even = get(&cloud, "/firewalls?label_selector=even%3Dtrue,hactl.dev/run&sort=name:desc").body;
    let names: Vec<&str> =
        even["firewalls"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["fw-6", "fw-4", "fw-2", "fw-0"]);
    assert_eq!(get(&cloud, "/firewalls?name=fw-5").body["firewalls"].as_array().unwrap().len(), 1);
    for bad in ["per_page=51", "page=0", "label_selector=a%3D%3D%3Db(", "sort=colour"] {
        let said = get(&cloud, &format!("/firewalls?{bad}"));
        assert_eq!((said.status, said.code()), (422, "invalid_input"), "{bad}");
    }
}

fn names_are_unique() {
    let cloud = cloud();
    server(&cloud, "one", &json!({}));
    let again = json!({ "name": "one", "server_type": "cx23", "image": "debian-13", "location": "hel1" });
    let said = call(&cloud, "POST", "/servers", again);
    assert_eq!((said.status, said.code()), (409, "uniqueness_error"));
    assert_eq!(get(&cloud, "/servers").body["servers"].as_array().unwrap().len(), 1);
}

fn a_protected_object_is_not_deleted() {
    let cloud = cloud();
    let id = server(&cloud, "kept", &json!({}));
    let protect = |on: bool| {
        let body = json!({ "delete": on, "rebuild": on });
        must(&cloud, "POST", &format!("/servers/{id}/actions/change_protection"), body);
        unlocked(&cloud, id);
    };
    protect(true);
    let said = call(&cloud, "DELETE", &format!("/servers/{id}"), Value::Null);
    assert_eq!((said.status, said.code()), (423, "protected"));
    protect(false);
    must(&cloud, "DELETE", &format!("/servers/{id}"), Value::Null);
    eventually("the server is gone", || get(&cloud, &format!("/servers/{id}")).status == 404);
}

fn a_spread_group_holds_ten() {
    let cloud = cloud();
    let body = json!({ "name": "spread", "type": "spread" });
    let group = must(&cloud, "POST", "/placement_groups", body)["placement_group"]["id"].clone();
    for n in 0..10 {
        server(&cloud, &format!("s{n}"), &json!({ "placement_group": group }));
    }
    let eleventh = json!({
        "name": "s10", "server_type": "cx23", "image": "debian-13", "location": "hel1", "placement_group": group,
    });
    let said = call(&cloud, "POST", "/servers", eleventh);
    assert_eq!((said.status, said.code()), (422, "placement_error"));
    assert_eq!(get(&cloud, "/servers?name=s10").body["servers"], json!([]));
}

fn a_running_server_joins_no_group() {
    let cloud = cloud();
    let body = json!({ "name": "spread", "type": "spread" });
    let group = must(&cloud, "POST", "/placement_groups", body)["placement_group"]["id"].clone();
    let id = server(&cloud, "one", &json!({}));
    let join = || {
        let path = format!("/servers/{id}/actions/add_to_placement_group");
        call(&cloud, "POST", &path, json!({ "placement_group": group }))
    };
    assert_eq!(join().code(), "server_not_stopped");
    must(&cloud, "POST", &format!("/servers/{id}/actions/poweroff"), Value::Null);
    unlocked(&cloud, id);
    assert_eq!(join().status, 201);
    assert_eq!(unlocked(&cloud, id)["placement_group"]["servers"], json!([id]));
}

fn private_addresses_are_allotted_in_order() {
    let cloud = cloud();
    let network = network(&cloud);
    let addresses: Vec<String> = (0..3)
        .map(|n| {
            let id = server(&cloud, &format!("n{n}"), &json!({ "networks": [network] }));
            let server = unlocked(&cloud, id);
            server["private_net"][0]["ip"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(addresses, ["10.0.1.1", "10.0.1.2", "10.0.1.3"]);
    let attach = |id: u64, ip: &str| {
        let body = json!({ "network": network, "ip": ip });
        call(&cloud, "POST", &format!("/servers/{id}/actions/attach_to_network"), body)
    };
    let late = server(&cloud, "late", &json!({}));
    assert_eq!(attach(late, "10.0.1.2").code(), "ip_not_available");
    assert_eq!(attach(late, "10.0.2.2").code(), "ip_not_available");
    assert_eq!(attach(late, "10.0.1.20").status, 201);
    unlocked(&cloud, late);
    assert_eq!(attach(late, "10.0.1.21").code(), "server_already_attached");
}

fn a_network_needs_a_subnet_in_the_zone() {
    let cloud = cloud();
    let body = json!({ "name": "bare", "ip_range": "10.9.0.0/16" });
    let network = must(&cloud, "POST", "/networks", body)["network"]["id"].clone();
    let id = server(&cloud, "one", &json!({}));
    let said = call(
        &cloud,
        "POST",
        &format!("/servers/{id}/actions/attach_to_network"),
        json!({ "network": network }),
    );
    assert_eq!((said.status, said.code()), (422, "no_subnet_available"));
}

fn a_target_by_private_address_shares_a_network() {
    let cloud = cloud();
    let network = network(&cloud);
    let inside = server(&cloud, "inside", &json!({ "networks": [network] }));
    let outside = server(&cloud, "outside", &json!({}));
    let body = json!({ "name": "lb", "load_balancer_type": "lb11", "location": "hel1" });
    let lb = must(&cloud, "POST", "/load_balancers", body)["load_balancer"]["id"].as_u64().unwrap();
    let add = |server: u64| {
        let mut said = None;
        eventually("the load balancer is unlocked", || {
            let body = json!({ "type": "server", "server": { "id": server }, "use_private_ip": true });
            let answer = call(&cloud, "POST", &format!("/load_balancers/{lb}/actions/add_target"), body);
            let locked = answer.code() == "locked";
            said = Some(answer);
            !locked
        });
        said.unwrap()
    };
    assert_eq!(add(inside).code(), "load_balancer_not_attached_to_network");
    let path = format!("/load_balancers/{lb}/actions/attach_to_network");
    must(&cloud, "POST", &path, json!({ "network": network }));
    assert_eq!(add(outside).code(), "server_not_attached_to_network");
    assert_eq!(add(inside).status, 201);
    assert_eq!(add(inside).code(), "target_already_defined");
}

fn a_server_is_locked_while_an_action_runs() {
    let cloud = cloud();
    cloud.fault(hactl::lab::cloud::Fault::next(
        "POST",
        "/servers",
        hactl::lab::cloud::FaultKind::ActionStuck,
    ));
    let body = json!({ "name": "slow", "server_type": "cx23", "image": "debian-13", "location": "hel1" });
    let made = must(&cloud, "POST", "/servers", body);
    let id = made["server"]["id"].as_u64().unwrap();
    assert_eq!(
        (&made["server"]["status"], &made["action"]["status"]),
        (&json!("initializing"), &json!("running"))
    );
    for (method, path) in
        [("DELETE", format!("/servers/{id}")), ("POST", format!("/servers/{id}/actions/poweroff"))]
    {
        let said = call(&cloud, method, &path, Value::Null);
        assert_eq!((said.status, said.code()), (423, "locked"), "{method} {path}");
    }
    cloud.release_actions().unwrap();
    assert_eq!(unlocked(&cloud, id)["status"], "running");
    let actions = get(&cloud, &format!("/servers/{id}/actions?sort=id")).body;
    let commands: Vec<(&str, &str, u64)> = actions["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| {
            (a["command"].as_str().unwrap(), a["status"].as_str().unwrap(), a["progress"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(commands, [("create_server", "success", 100), ("start_server", "success", 100)]);
}

fn what_is_in_use_is_not_deleted_but_for_networks() {
    let cloud = cloud();
    let network = network(&cloud);
    let body = json!({ "name": "spread", "type": "spread" });
    let group = must(&cloud, "POST", "/placement_groups", body)["placement_group"]["id"].clone();
    let body = json!({ "name": "fw", "rules": [] });
    let firewall = must(&cloud, "POST", "/firewalls", body)["firewall"]["id"].clone();
    let more =
        json!({ "networks": [network], "placement_group": group, "firewalls": [{ "firewall": firewall }] });
    let id = server(&cloud, "one", &more);
    let paths = [format!("/placement_groups/{group}"), format!("/firewalls/{firewall}")];
    for path in &paths {
        let said = call(&cloud, "DELETE", path, Value::Null);
        assert_eq!((said.status, said.code()), (422, "resource_in_use"), "{path}");
    }
    // A network goes without asking, and its servers lose it.
    eventually("the network is gone", || {
        call(&cloud, "DELETE", &format!("/networks/{network}"), Value::Null).status == 204
    });
    assert_eq!(unlocked(&cloud, id)["private_net"], json!([]));
    must(&cloud, "DELETE", &format!("/servers/{id}"), Value::Null);
    eventually("the server is gone", || get(&cloud, &format!("/servers/{id}")).status == 404);
    for path in &paths {
        assert_eq!(call(&cloud, "DELETE", path, Value::Null).status, 204, "{path}");
    }
}

fn a_floating_ip_is_on_one_server() {
    let cloud = cloud();
    let (a, b) = (server(&cloud, "a", &json!({})), server(&cloud, "b", &json!({})));
    let body = json!({ "type": "ipv4", "name": "ip", "server": a });
    let ip = must(&cloud, "POST", "/floating_ips", body)["floating_ip"]["id"].as_u64().unwrap();
    let assigned = |server: u64| unlocked(&cloud, server)["public_net"]["floating_ips"].clone();
    assert_eq!((assigned(a), assigned(b)), (json!([ip]), json!([])));
    eventually("it can be assigned anew", || {
        let path = format!("/floating_ips/{ip}/actions/assign");
        call(&cloud, "POST", &path, json!({ "server": b })).status == 201
    });
    assert_eq!((assigned(a), assigned(b)), (json!([]), json!([ip])));
    // Since May 2026 one that is assigned is not deleted.
    let delete = || call(&cloud, "DELETE", &format!("/floating_ips/{ip}"), Value::Null);
    let mut said = delete();
    eventually("the floating IP is unlocked", || {
        said = delete();
        said.code() != "locked"
    });
    assert_eq!((said.status, said.code()), (422, "must_be_unassigned"));
    must(&cloud, "POST", &format!("/floating_ips/{ip}/actions/unassign"), Value::Null);
    eventually("it is deleted", || delete().status == 204);
    assert_eq!((assigned(a), assigned(b)), (json!([]), json!([])));
}

fn power_does_what_it_says() {
    let cloud = cloud();
    let id = server(&cloud, "one", &json!({ "start_after_create": false }));
    assert_eq!(unlocked(&cloud, id)["status"], "off");
    let said = call(&cloud, "POST", &format!("/servers/{id}/actions/reboot"), Value::Null);
    assert_eq!(said.code(), "server_not_running");
    for (command, status) in [
        ("poweron", "running"),
        ("reboot", "running"),
        ("shutdown", "off"),
        ("reset", "running"),
        ("poweroff", "off"),
    ] {
        must(&cloud, "POST", &format!("/servers/{id}/actions/{command}"), Value::Null);
        assert_eq!(unlocked(&cloud, id)["status"], status, "{command}");
    }
}

fn the_rate_limit_is_told_and_kept() {
    let settings = CloudSettings { requests_per_hour: 3, ..CloudSettings::local(ObjectsOnly::default()) };
    let cloud = Cloud::start(settings).unwrap();
    let remaining: Vec<String> =
        (0..3).map(|_| get(&cloud, "/servers").header("RateLimit-Remaining").unwrap().to_owned()).collect();
    assert_eq!(remaining, ["2", "1", "0"]);
    let said = get(&cloud, "/servers");
    assert_eq!((said.status, said.code()), (429, "rate_limit_exceeded"));
    assert_eq!(said.header("RateLimit-Limit"), Some("3"));
    assert!(said.header("RateLimit-Reset").is_some() && said.header("Retry-After").is_some(), "{said:?}");
}

fn the_project_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let settings = || CloudSettings {
        file: Some(folder.path().join("project.json")),
        ..CloudSettings::local(ObjectsOnly::default())
    };
    let first = Cloud::start(settings()).unwrap();
    let id = server(&first, "one", &json!({ "labels": { "hactl": "yes" } }));
    first.fault(hactl::lab::cloud::Fault::next(
        "POST",
        "/servers/*",
        hactl::lab::cloud::FaultKind::ActionStuck,
    ));
    let stopping = must(&first, "POST", &format!("/servers/{id}/actions/poweroff"), Value::Null);
    drop(first);
    let second = Cloud::start(settings()).unwrap();
    let there = get(&second, &format!("/servers/{id}")).body["server"].clone();
    assert_eq!((&there["name"], &there["status"]), (&json!("one"), &json!("stopping")));
    // What was not done when the first one ended is done by the second one.
    second.release_actions().unwrap();
    assert_eq!(unlocked(&second, id)["status"], "off");
    let action = get(&second, &format!("/actions/{}", stopping["action"]["id"])).body;
    assert_eq!(action["action"]["status"], "success");
}

fn the_same_key_is_not_taken_twice() {
    let cloud = cloud();
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGkzt8EwWzB7nYgIDJKCq4nIYvKMbLYRIdmVLdnTJ0HK you";
    let made = must(&cloud, "POST", "/ssh_keys", json!({ "name": "a", "public_key": key }));
    // As `ssh-keygen -l -E md5` says it.
    assert_eq!(made["ssh_key"]["fingerprint"].as_str().unwrap().len(), 47);
    let said = call(&cloud, "POST", "/ssh_keys", json!({ "name": "b", "public_key": key }));
    assert_eq!((said.status, said.code()), (409, "uniqueness_error"));
    let said = call(&cloud, "POST", "/ssh_keys", json!({ "name": "c", "public_key": "ssh-ed25519 AAAA" }));
    assert_eq!(said.code(), "invalid_input");
}
