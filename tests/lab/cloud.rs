//! The lab's cloud: what its API makes is really there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Test;
use super::common::cli::Ran;
use super::common::lab::{Lab, Scene, eventually};

pub(crate) const TESTS: &[Test] = &[
    ("cloud::a_server_is_what_was_asked_for", a_server_is_what_was_asked_for),
    ("cloud::a_load_balancer_balances_and_tells_health", a_load_balancer_balances_and_tells_health),
    ("cloud::the_provider_s_own_client_gets_along", the_provider_s_own_client_gets_along),
];

/// How long a condition may take on a machine that is busy with other things.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// A lab with a cloud, and what it takes to speak to it.
pub(crate) struct Project<'a> {
    lab: &'a Lab,
    own: TempDir,
    endpoint: String,
    ca: String,
}

impl<'a> Project<'a> {
    pub(crate) fn of(lab: &'a Lab) -> Self {
        let said = lab.lab(&["cloud"]);
        assert_eq!(said.status, 0, "{said}");
        let field = |name: &str| {
            let mut lines = said.stdout.lines();
            let line = lines.find_map(|l| l.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {said}")).trim().to_owned()
        };
        let own = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::write(
            own.path().join("token"),
            format!("header = \"Authorization: Bearer {}\"\n", field("token")),
        )
        .unwrap();
        fs::write(own.path().join("plain-token"), field("token")).unwrap();
        for name in ["id", "host"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
                .arg(own.path().join(name))
                .status()
                .unwrap();
            assert!(made.success());
        }
        Self { lab, own, endpoint: field("endpoint"), ca: field("CA") }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.own.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.own.path().join(name)).unwrap().trim().to_owned()
    }

    /// A program inside the lab, sealed; this folder stays visible to it, wherever the project lies.
    pub(crate) fn enter(&self, argv: &[&str]) -> Ran {
        let own = self.own.path().to_str().unwrap();
        self.lab.lab(&[&["enter", "--workspace", own, "--"], argv].concat())
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        // What the lab's operator may ask for lies beside the API.
        let beside = path.starts_with("/lab/");
        let base = if beside { self.endpoint.trim_end_matches("/v1") } else { &self.endpoint };
        let (config, url) = (self.path("token"), format!("{base}{path}"));
        let text = body.to_string();
        let mut argv =
            vec!["curl", "-sS", "--max-time", "30", "-K", &config, "--cacert", &self.ca, "-X", method];
        argv.extend(["-w", "\n%{http_code}", &url]);
        if !body.is_null() {
            argv.extend(["-H", "Content-Type: application/json", "-d", &text]);
        }
        let ran = self.enter(&argv);
        assert_eq!(ran.status, 0, "{method} {path}: {ran}");
        let (body, status) = ran.stdout.trim_end().rsplit_once('\n').unwrap_or(("", ran.stdout.trim()));
        (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    pub(crate) fn must(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, said) = self.call(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {said}");
        said
    }

    /// The object when no action runs on it any more, all of which must have ended well.
    pub(crate) fn settled(&self, server: u64) -> Value {
        let mut seen = Value::Null;
        eventually("the server is unlocked", LONG, || {
            seen = self.must("GET", &format!("/servers/{server}"), &Value::Null)["server"].clone();
            seen["locked"] == false
        });
        let actions = self.must("GET", &format!("/servers/{server}/actions?status=error"), &Value::Null);
        assert_eq!(actions["actions"], json!([]));
        seen
    }

    fn action(&self, answer: &Value) {
        let id = answer["action"]["id"].as_u64().unwrap_or_else(|| panic!("no action in {answer}"));
        eventually("the action is done", LONG, || {
            let action = self.must("GET", &format!("/actions/{id}"), &Value::Null)["action"].clone();
            assert_ne!(action["status"], "error", "{action}");
            action["status"] == "success"
        });
    }

    pub(crate) fn post(&self, path: &str, body: &Value) {
        let answer = self.must("POST", path, body);
        self.action(&answer);
    }

    pub(crate) fn key(&self) {
        let body = json!({ "name": "operator", "public_key": self.read("id.pub") });
        self.must("POST", "/ssh_keys", &body);
    }

    pub(crate) fn network(&self) -> u64 {
        let body = json!({
            "name": "cell0", "ip_range": "10.0.0.0/16",
            "subnets": [{ "type": "cloud", "network_zone": "eu-central", "ip_range": "10.0.1.0/24" }],
        });
        self.must("POST", "/networks", &body)["network"]["id"].as_u64().unwrap()
    }

    /// A server whose host key comes with its user data.
    pub(crate) fn server(&self, name: &str, more: &Value) -> (u64, String) {
        let private: String = self.read("host").lines().map(|l| format!("    {l}\n")).collect();
        let data = format!(
            "#cloud-config\nssh_deletekeys: true\nssh_keys:\n  ed25519_private: |\n{private}  ed25519_public: {}\n",
            self.read("host.pub")
        );
        let mut body = json!({
            "name": name, "server_type": "cx23", "image": "debian-13", "location": "hel1", "ssh_keys": ["operator"],
            "user_data": data,
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        let made = self.must("POST", "/servers", &body);
        let id = made["server"]["id"].as_u64().unwrap();
        let ip = made["server"]["public_net"]["ipv4"]["ip"].as_str().unwrap().to_owned();
        assert_eq!(self.settled(id)["status"], "running");
        (id, ip)
    }

    /// ssh as root to an address where the host key of all servers here is expected.
    pub(crate) fn ssh(&self, address: &str, script: &str) -> Ran {
        let known = self.path(&format!("known-{address}"));
        let host = self.read("host.pub");
        let key: Vec<&str> = host.split(' ').take(2).collect();
        fs::write(&known, format!("{address} {}\n", key.join(" "))).unwrap();
        let file = format!("UserKnownHostsFile={known}");
        let identity = self.path("id");
        let to = format!("root@{address}");
        let mut argv =
            vec!["ssh", "-F", "none", "-i", &identity, "-o", &file, "-o", "StrictHostKeyChecking=yes"];
        argv.extend([
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=3",
            "-o",
            "GlobalKnownHostsFile=none",
            &to,
            script,
        ]);
        self.enter(&argv)
    }

    /// What a script prints; the login is tried until the system has come up.
    pub(crate) fn on(&self, address: &str, script: &str) -> String {
        let mut last = None;
        eventually(&format!("a login at {address}"), LONG, || {
            let ran = self.ssh(address, "true");
            let fine = ran.status == 0;
            assert!(!ran.stderr.contains("verification failed"), "{ran}");
            last = Some(ran);
            fine
        });
        let ran = self.ssh(address, script);
        assert_eq!(ran.status, 0, "on {address}: {script}\n{ran}");
        ran.stdout.trim().to_owned()
    }
}

/// Whether a TCP port answers, from where the operator is.
pub(crate) fn answers(project: &Project<'_>, address: &str, port: u16) -> bool {
    let line = format!("exec 3<>/dev/tcp/{address}/{port}");
    project.enter(&["timeout", "3", "bash", "-c", &line]).status == 0
}

fn a_server_is_what_was_asked_for() {
    let lab = Lab::up("cloud", Scene::SingleServer);
    let project = Project::of(&lab);
    // The workspace that the lab writes knows the way, and nobody but its owner can read the token.
    let workspace = lab.workspace("cell0");
    assert!(workspace.must(&["doctor"]).stdout.contains("ok    cloud project: the token opens it"));
    let token = workspace.path().join("secrets/hcloud-token");
    assert_eq!(fs::metadata(token).unwrap().permissions().mode() & 0o777, 0o600);
    // The server that is there already, adopted rather than made.
    let there = project.must("GET", "/servers", &Value::Null)["servers"].clone();
    assert_eq!(
        (&there[0]["name"], &there[0]["status"], there.as_array().unwrap().len()),
        (&json!("cell0-node-1"), &json!("running"), 1)
    );
    let first = there[0]["id"].as_u64().unwrap();
    project.key();
    let network = project.network();
    project.post(&format!("/servers/{first}/actions/attach_to_network"), &json!({ "network": network }));
    let rules = json!([
        { "direction": "in", "protocol": "tcp", "port": "22", "source_ips": ["0.0.0.0/0"] },
        { "direction": "in", "protocol": "icmp", "source_ips": ["0.0.0.0/0"] },
    ]);
    let firewall = project.must("POST", "/firewalls", &json!({ "name": "cell0", "rules": rules }));
    let firewall = firewall["firewall"]["id"].clone();
    let more = json!({ "networks": [network], "firewalls": [{ "firewall": firewall }] });
    let (id, ip) = project.server("cell0-node-2", &more);

    // The very first login is checked against the key that user data brought.
    assert_eq!(project.on(&ip, "hostname"), "cell0-node-2");
    assert_eq!(project.on(&ip, "cloud-init status --wait >/dev/null; cloud-init status"), "status: done");

    // The private network carries what fits into 1450 bytes, and not a byte more.
    let link = project.on(&ip, "ip -o link show enp7s0");
    assert!(link.contains(" mtu 1450 "), "{link}");
    let ping = |size: u16| format!("ping -q -c 2 -W 2 -M do -s {size} 10.0.1.1 >/dev/null 2>&1; echo $?");
    assert_eq!(project.on(&ip, &ping(1422)), "0");
    assert_ne!(project.on(&ip, &ping(1423)), "0");

    // A port is open inside, and the firewall is seen to block it from outside; without the firewall it is open there too.
    let listen = "systemd-run -q --unit listen --property=Restart=always python3 -m http.server 8080";
    project.on(&ip, listen);
    eventually("the port is open inside", LONG, || {
        lab.on("node-1", "timeout 3 bash -c 'exec 3<>/dev/tcp/10.0.1.2/8080'").status == 0
    });
    assert!(!answers(&project, &ip, 8080), "the firewall lets port 8080 through");
    let resource = json!([{ "type": "server", "server": { "id": id } }]);
    let path = format!("/firewalls/{firewall}/actions/remove_from_resources");
    project.must("POST", &path, &json!({ "remove_from": resource }));
    project.settled(id);
    assert!(answers(&project, &ip, 8080), "the port is closed without the firewall too");

    // A floating IP leads to the server that it is assigned to and that has it, and nowhere else.
    let body = json!({ "type": "ipv4", "name": "cell0", "server": id });
    let floating = project.must("POST", "/floating_ips", &body);
    project.action(&floating);
    let address = floating["floating_ip"]["ip"].as_str().unwrap().to_owned();
    assert!(!answers(&project, &address, 22), "the floating IP answers though no system has it");
    project.on(&ip, &format!("ip addr add {address}/32 dev eth0"));
    assert_eq!(project.on(&address, "hostname"), "cell0-node-2");
    let moved = format!("/floating_ips/{}/actions/assign", floating["floating_ip"]["id"]);
    project.post(&moved, &json!({ "server": first }));
    assert!(!answers(&project, &address, 22), "the floating IP still leads to the first server");
    project.post(&moved, &json!({ "server": id }));
    assert_eq!(project.on(&address, "hostname"), "cell0-node-2");

    // A reboot is one: another boot, and what was added by hand is gone.
    let boot = "cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1";
    let before = project.on(&ip, boot);
    project.post(&format!("/servers/{id}/actions/reboot"), &Value::Null);
    eventually("another boot", LONG, || {
        let ran = project.ssh(&ip, boot);
        ran.status == 0 && ran.stdout.trim() != before
    });
    assert!(
        !project.on(&ip, "ip -o addr show").contains(&address),
        "an address added by hand survived a reboot"
    );
    assert_eq!(project.on(&ip, &ping(1422)), "0");

    // Power, and what is seen of it through the API.
    project.post(&format!("/servers/{id}/actions/poweroff"), &Value::Null);
    assert_eq!(project.settled(id)["status"], "off");
    assert!(!answers(&project, &ip, 22));
    project.post(&format!("/servers/{id}/actions/poweron"), &Value::Null);
    assert_eq!(project.on(&ip, "hostname"), "cell0-node-2");

    // The lab's own commands know the machine too, and the API shows what became of it.
    lab.must(&["kill", "cell0-node-2"]);
    assert_eq!(project.settled(id)["status"], "off");
    lab.must(&["start", "cell0-node-2"]);
    assert_eq!(project.settled(id)["status"], "running");
    lab.must(&["cut", "cell0-node-2"]);
    assert!(!answers(&project, &ip, 22));
    lab.must(&["heal", "cell0-node-2"]);
    // Its system lets the lab's own key in where somebody puts it there; its host key is known from its disk.
    let own = workspace.path().join("secrets/id_ed25519");
    let made = Command::new("ssh-keygen").arg("-yf").arg(own).output().unwrap();
    let key = String::from_utf8(made.stdout).unwrap();
    project.on(&ip, &format!("echo '{}' >> /root/.ssh/authorized_keys", key.trim()));
    assert_eq!(lab.read("cell0-node-2", "hostname"), "cell0-node-2");
    assert_eq!(lab.lab(&["kill", "cell0-node-9"]).status, 2);

    // The server that was there already is one of the lab's own machines: without power it is off, and the lab is up.
    project.post(&format!("/servers/{first}/actions/poweroff"), &Value::Null);
    assert_eq!(project.settled(first)["status"], "off");
    lab.must(&["up"]);
    assert_eq!(project.settled(first)["status"], "off", "the lab began anew");
    assert!(lab.lab(&["status"]).stdout.contains("cell0-node-2"));
    project.post(&format!("/servers/{first}/actions/poweron"), &Value::Null);
    assert_eq!(project.settled(first)["status"], "running");
    lab.must(&["up"]);
    let boot = || lab.on("node-1", "cat /proc/sys/kernel/random/boot_id");
    let mut before = boot();
    eventually("node-1 lets the operator in", LONG, || {
        before = boot();
        before.status == 0
    });
    project.post(&format!("/servers/{first}/actions/reboot"), &Value::Null);
    eventually("node-1 is in another boot", LONG, || {
        let now = boot();
        now.status == 0 && now.stdout != before.stdout
    });

    // Nobody becomes the cloud in another network: it would let this computer forward packets.
    let forward = || fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    let was = forward();
    let refused = lab.lab(&["cloud-serve"]);
    assert!(refused.status == 1 && refused.stderr.contains("this is not the network of lab"), "{refused}");
    assert_eq!(forward(), was);

    // The API ends and is started again: the same project.
    end_the_cloud(&lab);
    lab.must(&["up"]);
    assert_eq!(project.settled(id)["status"], "running");
    let shown = lab.lab(&["status"]).stdout;
    assert!(shown.contains("stand-in: the Hetzner Cloud API") && shown.contains("cell0-node-2"), "{shown}");

    project.action(&project.must("DELETE", &format!("/servers/{id}"), &Value::Null));
    assert_eq!(project.call("GET", &format!("/servers/{id}"), &Value::Null).0, 404);
    assert!(!answers(&project, &ip, 22));
    let (name, prefix) = (lab.name().to_owned(), format!("hactl-{}", lab.name()));
    project.server("left-behind", &json!({}));
    drop(lab);
    let left = fs::read_dir("/run/netns").unwrap().flatten();
    let left: Vec<String> =
        left.map(|e| e.file_name().into_string().unwrap()).filter(|n| n.starts_with(&prefix)).collect();
    assert_eq!(left, Vec::<String>::new(), "lab {name} left namespaces behind");
}

/// Ends the process that is the cloud, as an out-of-memory killer would.
fn end_the_cloud(lab: &Lab) {
    let words = ["lab", "--name", lab.name(), "cloud-serve"].map(str::to_owned);
    let all = fs::read_dir("/proc").unwrap().flatten();
    let own = all.filter(|e| {
        let line = fs::read(e.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let given: Vec<String> = line.split('\0').map(str::to_owned).collect();
        given.windows(words.len()).any(|w| w == words)
    });
    let pids: Vec<i32> = own.filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    assert!(!pids.is_empty(), "the cloud does not run");
    for pid in pids {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}

fn a_load_balancer_balances_and_tells_health() {
    let lab = Lab::up("balance", Scene::SingleServer);
    let project = Project::of(&lab);
    project.key();
    let network = project.network();
    let more = json!({ "networks": [network], "labels": { "role": "web" } });
    let servers = ["web-1", "web-2"].map(|name| project.server(name, &more));
    for (_, ip) in &servers {
        let serve = "mkdir -p /srv/web && hostname > /srv/web/index.html && touch /srv/web/healthz && \
                     systemd-run -q --unit web --property=WorkingDirectory=/srv/web python3 -m http.server 30080";
        project.on(ip, serve);
    }
    let targets: Vec<Value> = servers
        .iter()
        .map(|(id, _)| json!({ "type": "server", "server": { "id": id }, "use_private_ip": true }))
        .collect();
    let service = json!({
        "protocol": "tcp", "listen_port": 80, "destination_port": 30080, "proxyprotocol": false,
        "health_check": {
            "protocol": "http", "port": 30080, "interval": 3, "timeout": 2, "retries": 2,
            "http": { "path": "/healthz", "status_codes": ["200"], "tls": false },
        },
    });
    let body = json!({
        "name": "cell0-lb", "load_balancer_type": "lb11", "location": "hel1", "network": network,
        "services": [service], "targets": targets,
    });
    let made = project.must("POST", "/load_balancers", &body);
    project.action(&made);
    let (id, ip) =
        (made["load_balancer"]["id"].clone(), made["load_balancer"]["public_net"]["ipv4"]["ip"].clone());
    let ip = ip.as_str().unwrap();
    let health = || {
        let seen = project.must("GET", &format!("/load_balancers/{id}"), &Value::Null);
        let targets = seen["load_balancer"]["targets"].as_array().unwrap().clone();
        let each = targets.iter().map(|t| t["health_status"][0]["status"].as_str().unwrap().to_owned());
        each.collect::<Vec<_>>()
    };
    eventually("both targets are healthy", LONG, || health() == ["healthy", "healthy"]);
    let url = format!("http://{ip}/");
    let ask = || project.enter(&["curl", "-sS", "--max-time", "5", &url]).stdout.trim().to_owned();
    let mut seen: Vec<String> = (0..6).map(|_| ask()).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["web-1", "web-2"]);
    // A target that no longer answers is told, and gets no more connections.
    project.on(&servers[0].1, "systemctl stop web");
    eventually("the stopped target is unhealthy", LONG, || health() == ["unhealthy", "healthy"]);
    for _ in 0..4 {
        assert_eq!(ask(), "web-2");
    }
    // A service that is added answers, without the load balancer beginning anew.
    let other = json!({
        "protocol": "tcp", "listen_port": 8080, "destination_port": 30080, "proxyprotocol": false,
        "health_check": { "protocol": "tcp", "port": 30080, "interval": 3, "timeout": 2, "retries": 2 },
    });
    project.post(&format!("/load_balancers/{id}/actions/add_service"), &other);
    eventually("the new service answers", LONG, || answers(&project, ip, 8080));
    project.must("DELETE", &format!("/load_balancers/{id}"), &Value::Null);
    eventually("the load balancer is gone", LONG, || !answers(&project, ip, 80));
}

/// The wheels of Hetzner's own client and what it needs, unpacked.
fn wheels() -> PathBuf {
    const CLIENT: &str = "hcloud==2.27.0";
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(CLIENT);
    if folder.exists() {
        return folder;
    }
    let part = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{CLIENT}-{}", std::process::id()));
    let pip = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--only-binary=:all:", "--target"])
        .arg(&part)
        .arg(CLIENT)
        .output()
        .unwrap();
    assert!(pip.status.success(), "{}", String::from_utf8_lossy(&pip.stderr));
    // Another test process may have been first.
    let _ = fs::rename(&part, &folder);
    folder
}

fn the_provider_s_own_client_gets_along() {
    let wheels = wheels();
    let lab = Lab::up("client", Scene::SingleServer);
    let project = Project::of(&lab);
    let script = project.path("client.py");
    fs::write(&script, include_str!("cloud_client.py")).unwrap();
    let copied = Command::new("cp").arg("-a").args([&wheels, &project.own.path().join("wheels")]).status();
    assert!(copied.unwrap().success());
    let path = format!("PYTHONPATH={}", project.path("wheels"));
    let ca = format!("REQUESTS_CA_BUNDLE={}", project.ca);
    let (token, key) = (project.path("plain-token"), project.path("id.pub"));
    let argv = ["env", &path, &ca, "python3", &script, &project.endpoint, &token, &key];
    let ran = project.enter(&argv);
    assert_eq!(ran.status, 0, "{ran}");
    assert_eq!(ran.stdout.trim(), "created listed powered-off deleted refused", "{ran}");
}
