//! One walk through every operation that hactl uses; each request and each answer is as the API describes it.

use hactl::lab::cloud::Cloud;
use serde_json::{Value, json};

use super::client::{call, cloud, eventually};
use super::schema::Description;

struct Held<'a> {
    cloud: Cloud,
    description: &'a Description,
    wrong: Vec<String>,
    count: usize,
}

impl Held<'_> {
    /// A request, held against the description; the answer's document.
    fn ask(&mut self, method: &str, path: &str, body: Value, status: u16) -> Value {
        let mut said = call(&self.cloud, method, path, body.clone());
        // What is locked is asked again: actions take a moment.
        eventually("nothing is locked", || {
            if said.code() == "locked" && status != 423 {
                said = call(&self.cloud, method, path, body.clone());
                return false;
            }
            true
        });
        assert_eq!(said.status, status, "{method} {path}: {said:?}");
        self.count += 1;
        let faults = self.description.faults(method, path, &body, said.status, &said.body);
        self.wrong.extend(faults.into_iter().map(|f| format!("{method} {path} {status}: {f}")));
        said.body
    }

    fn get(&mut self, path: &str) -> Value {
        self.ask("GET", path, Value::Null, 200)
    }

    fn post(&mut self, path: &str, body: Value) -> Value {
        self.ask("POST", path, body, 201)
    }
}

pub(crate) fn run(description: &Description) {
    let mut held = Held { cloud: cloud(), description, wrong: Vec::new(), count: 0 };
    catalogues(&mut held);
    let made = make(&mut held);
    look(&mut held, &made);
    act(&mut held, &made);
    refusals(&mut held, &made);
    delete(&mut held, &made);
    assert!(held.wrong.is_empty(), "{}", held.wrong.join("\n"));
    assert!(held.count > 70, "only {} requests were held against the description", held.count);
}

fn catalogues(held: &mut Held<'_>) {
    for path in ["/locations", "/server_types", "/images", "/load_balancer_types", "/pricing"] {
        held.get(path);
    }
    held.get("/locations/3");
    held.get("/server_types/115");
    held.get("/images/310557660");
    held.get("/load_balancer_types/1");
    held.get("/images?name=debian-13&architecture=x86&type=system");
}

/// The ids of what was made.
struct Made {
    key: u64,
    network: u64,
    firewall: u64,
    group: u64,
    server: u64,
    balancer: u64,
    floating: u64,
}

fn id(body: &Value, kind: &str) -> u64 {
    body[kind]["id"].as_u64().unwrap()
}

fn make(held: &mut Held<'_>) -> Made {
    let public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGkzt8EwWzB7nYgIDJKCq4nIYvKMbLYRIdmVLdnTJ0HK you";
    let labels = json!({ "hactl.workspace": "cell0" });
    let key = held.post("/ssh_keys", json!({ "name": "key", "public_key": public, "labels": labels }));
    let network = held.post(
        "/networks",
        json!({
            "name": "net", "ip_range": "10.0.0.0/16", "labels": labels,
            "subnets": [{ "type": "cloud", "network_zone": "eu-central", "ip_range": "10.0.1.0/24" }],
        }),
    );
    let rules = json!([
        { "direction": "in", "protocol": "tcp", "port": "22", "source_ips": ["0.0.0.0/0", "::/0"] },
        { "direction": "in", "protocol": "icmp", "source_ips": ["0.0.0.0/0"], "description": "ping" },
        { "direction": "out", "protocol": "udp", "port": "53-123", "destination_ips": ["0.0.0.0/0"] },
    ]);
    let firewall = held.post("/firewalls", json!({ "name": "fw", "rules": rules, "labels": labels }));
    let group = held.post("/placement_groups", json!({ "name": "pg", "type": "spread", "labels": labels }));
    let (key, network) = (id(&key, "ssh_key"), id(&network, "network"));
    let (firewall, group) = (id(&firewall, "firewall"), id(&group, "placement_group"));
    let server = held.post(
        "/servers",
        json!({
            "name": "cell0-node-2", "server_type": "cx33", "image": "debian-13", "location": "hel1",
            "ssh_keys": ["key"], "networks": [network], "firewalls": [{ "firewall": firewall }],
            "placement_group": group, "labels": labels, "user_data": "#cloud-config\n", "start_after_create": true,
            "public_net": { "enable_ipv4": true, "enable_ipv6": false },
        }),
    );
    let server = id(&server, "server");
    let balancer = held.post(
        "/load_balancers",
        json!({
            "name": "cell0-lb", "load_balancer_type": "lb11", "location": "hel1", "labels": labels,
            "network": network, "algorithm": { "type": "round_robin" }, "public_interface": true,
            "services": [{
                "protocol": "tcp", "listen_port": 443, "destination_port": 30443, "proxyprotocol": false,
                "health_check": {
                    "protocol": "http", "port": 30080, "interval": 15, "timeout": 10, "retries": 3,
                    "http": { "domain": "", "path": "/healthz", "status_codes": ["200"], "response": "", "tls": false },
                },
            }],
            "targets": [{ "type": "server", "server": { "id": server }, "use_private_ip": true }],
        }),
    );
    let floating = held.post(
        "/floating_ips",
        json!({ "type": "ipv4", "name": "cell0", "home_location": "hel1", "description": "d", "labels": labels }),
    );
    let (balancer, floating) = (id(&balancer, "load_balancer"), id(&floating, "floating_ip"));
    Made { key, network, firewall, group, server, balancer, floating }
}

/// Each kind: its list, and one of it.
fn all(made: &Made) -> [(&'static str, u64); 7] {
    [
        ("ssh_keys", made.key),
        ("networks", made.network),
        ("firewalls", made.firewall),
        ("placement_groups", made.group),
        ("servers", made.server),
        ("load_balancers", made.balancer),
        ("floating_ips", made.floating),
    ]
}

fn look(held: &mut Held<'_>, made: &Made) {
    for (collection, id) in all(made) {
        held.get(&format!("/{collection}?label_selector=hactl.workspace%3Dcell0&per_page=50&sort=id:desc"));
        held.get(&format!("/{collection}/{id}"));
        let labels = json!({ "hactl.workspace": "cell0", "hactl.run": "r1" });
        held.ask("PUT", &format!("/{collection}/{id}"), json!({ "labels": labels }), 200);
    }
    let actions = held.get(&format!("/servers/{}/actions?sort=id", made.server));
    let action = actions["actions"][0]["id"].clone();
    held.get(&format!("/servers/{}/actions/{action}", made.server));
    held.get(&format!("/actions/{action}"));
    held.get(&format!("/actions?id={action}"));
    for collection in ["servers", "networks", "firewalls", "load_balancers", "floating_ips"] {
        held.get(&format!("/{collection}/actions"));
    }
}

fn act(held: &mut Held<'_>, made: &Made) {
    let Made { network, firewall, group, server, balancer, floating, .. } = *made;
    let mut on = |path: String, body: Value| held.post(&path, body);
    let of_server = |command: &str| format!("/servers/{server}/actions/{command}");
    on(of_server("change_protection"), json!({ "delete": true, "rebuild": true }));
    on(of_server("change_protection"), json!({ "delete": false, "rebuild": false }));
    for command in ["reboot", "shutdown", "poweron", "reset", "poweroff"] {
        on(of_server(command), Value::Null);
    }
    on(of_server("remove_from_placement_group"), Value::Null);
    on(of_server("add_to_placement_group"), json!({ "placement_group": group }));
    on(of_server("detach_from_network"), json!({ "network": network }));
    on(of_server("attach_to_network"), json!({ "network": network, "ip": "10.0.1.7", "alias_ips": [] }));
    let of_firewall = |command: &str| format!("/firewalls/{firewall}/actions/{command}");
    let resource = json!([{ "type": "server", "server": { "id": server } }]);
    on(of_firewall("remove_from_resources"), json!({ "remove_from": resource }));
    on(of_firewall("apply_to_resources"), json!({ "apply_to": resource }));
    let rule = json!({ "direction": "in", "protocol": "tcp", "port": "any", "source_ips": ["10.0.0.0/8"] });
    on(of_firewall("set_rules"), json!({ "rules": [rule] }));
    let of_network = |command: &str| format!("/networks/{network}/actions/{command}");
    let subnet = json!({ "type": "cloud", "network_zone": "eu-central", "ip_range": "10.0.2.0/24" });
    on(of_network("add_subnet"), subnet);
    on(of_network("delete_subnet"), json!({ "ip_range": "10.0.2.0/24" }));
    on(of_network("change_protection"), json!({ "delete": true }));
    on(of_network("change_protection"), json!({ "delete": false }));
    let of_balancer = |command: &str| format!("/load_balancers/{balancer}/actions/{command}");
    let service = json!({
        "protocol": "http", "listen_port": 80, "destination_port": 30080, "proxyprotocol": false,
        "health_check": { "protocol": "tcp", "port": 30080, "interval": 15, "timeout": 10, "retries": 3 },
    });
    on(of_balancer("add_service"), service);
    on(of_balancer("update_service"), json!({ "listen_port": 80, "destination_port": 30081 }));
    on(of_balancer("change_algorithm"), json!({ "type": "least_connections" }));
    on(of_balancer("delete_service"), json!({ "listen_port": 80 }));
    let target = json!({ "type": "server", "server": { "id": server }, "use_private_ip": true });
    on(of_balancer("remove_target"), json!({ "type": "server", "server": { "id": server } }));
    on(of_balancer("add_target"), target);
    on(of_balancer("change_protection"), json!({ "delete": true }));
    on(of_balancer("change_protection"), json!({ "delete": false }));
    let of_floating = |command: &str| format!("/floating_ips/{floating}/actions/{command}");
    on(of_floating("assign"), json!({ "server": server }));
    on(of_floating("unassign"), Value::Null);
    on(of_floating("change_protection"), json!({ "delete": true }));
    on(of_floating("change_protection"), json!({ "delete": false }));
    for (collection, id) in all(made) {
        held.get(&format!("/{collection}/{id}"));
    }
}

fn refusals(held: &mut Held<'_>, made: &Made) {
    let server =
        json!({ "name": "cell0-node-2", "server_type": "cx33", "image": "debian-13", "location": "hel1" });
    held.ask("POST", "/servers", server, 409);
    held.ask("GET", "/servers/1", Value::Null, 404);
    held.ask("DELETE", &format!("/firewalls/{}", made.firewall), Value::Null, 422);
    held.ask("POST", "/placement_groups", json!({ "name": "", "type": "spread" }), 422);
    held.cloud.sell_out("cx23").unwrap();
    let sold_out = json!({ "name": "x", "server_type": "cx23", "image": "debian-13", "location": "hel1" });
    held.ask("POST", "/servers", sold_out, 412);
}

fn delete(held: &mut Held<'_>, made: &Made) {
    held.ask("DELETE", &format!("/load_balancers/{}", made.balancer), Value::Null, 204);
    held.ask("DELETE", &format!("/floating_ips/{}", made.floating), Value::Null, 204);
    held.ask("DELETE", &format!("/servers/{}", made.server), Value::Null, 200);
    let path = format!("/servers/{}", made.server);
    eventually("the server is gone", || call(&held.cloud, "GET", &path, Value::Null).status == 404);
    held.ask("DELETE", &format!("/networks/{}", made.network), Value::Null, 204);
    held.ask("DELETE", &format!("/firewalls/{}", made.firewall), Value::Null, 204);
    held.ask("DELETE", &format!("/placement_groups/{}", made.group), Value::Null, 204);
    held.ask("DELETE", &format!("/ssh_keys/{}", made.key), Value::Null, 204);
}
