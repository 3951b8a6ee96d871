//! A runbook that makes servers: the token is tried out on a real API server without machines, in this process.

use std::net::Ipv4Addr;

use hactl::lab::cloud::backend::ObjectsOnly;
use hactl::lab::cloud::{Cloud, CloudSettings, Existing};

use crate::terminal::Terminal;
use crate::{Case, Place, Ran, Scene, fingerprint, names, run, secret};

pub(crate) const CASES: &[Case] = &[
    ("cloud::a_token_gives_the_file_its_project_its_hosts_and_its_key", by_flags),
    ("cloud::a_server_that_is_not_there_is_refused_by_name", another_name),
    ("cloud::a_token_that_opens_nothing_is_refused_or_kept_with_a_note", wrong_token),
    ("cloud::without_a_token_the_file_says_what_is_to_be_added", later),
    ("cloud::at_a_terminal_the_server_that_is_there_is_chosen", at_terminal),
    ("cloud::a_role_that_must_be_is_asked_for_although_it_names_a_server", role_that_must_be),
];

const RUNBOOK: &str = r#"[runbook]
name = "mine"
title = "A second server"
summary = "For tests."

[inputs.key]
type = "string"
default = ""
help = "Who is let in."

[inputs.first]
type = "string"
default = "mine-1"
help = "The server that is there."

[inputs.second]
type = "string"
default = "mine-2"
help = "The server that is made."

[roles.web]
help = "what is there"
servers = ["${inputs.first}"]

[roles.node]
help = "both"
min = 0
servers = ["${inputs.first}", "${inputs.second}"]

[roles.new]
help = "the new one"
min = 0
servers = ["${inputs.second}"]

[[component]]
name = "tools"
tier = "none"
replicas = 1
survives = []
degraded = "nobody notices"

[[phase]]
id = "1"
title = "A second server"

[[phase.step]]
id = "key"
title = "Let a key in"
action.hcloud_ssh_key = { name = "ops", public_key = "${inputs.key}" }

[[phase.step]]
id = "first"
title = "Find the first server"
action.hcloud_server = { name = "${inputs.first}", adopt = true }

[[phase.step]]
id = "second"
title = "Make the second server"
[phase.step.action.hcloud_server]
name = "${inputs.second}"
type = "cx33"
image = "debian-13"
location = "hel1"
ssh_keys = ["ops"]
"#;

/// A project with one server, whose address is that of the sshd.
fn cloud(server: &str) -> Cloud {
    let existing = Existing {
        name: server.to_owned(),
        machine: "node-1".to_owned(),
        ipv4: Ipv4Addr::LOCALHOST,
        location: "hel1".to_owned(),
        server_type: "cx33".to_owned(),
    };
    let settings = CloudSettings::local(ObjectsOnly::default());
    Cloud::start(CloudSettings { existing: vec![existing], ..settings }).unwrap()
}

fn place(scene: &Scene, token: &str) -> Place {
    let place = Place::new();
    place.write("mine.toml", RUNBOOK);
    std::fs::copy(scene.sshd.dir.path().join("id"), place.path().join("id")).unwrap();
    secret(&place, "token", token);
    place
}

/// The flags of everything but the cloud.
fn flags(scene: &Scene) -> Vec<String> {
    let host = format!("node-1=127.0.0.1:{}", scene.sshd.port);
    let key = format!("node-1={}", fingerprint(scene));
    let flags = ["--runbook", "mine.toml", "--fleet", "pair", "--user", "root", "--identity", "id"];
    let more = ["--host", &host, "--role", "web=node-1", "--fingerprint", &key, "--age-identity", "make"];
    flags.into_iter().chain(more).map(ToOwned::to_owned).collect()
}

fn with(scene: &Scene, cloud: &Cloud, more: &[&str]) -> Vec<String> {
    let token = ["--hcloud-token", "file:token", "--hcloud-endpoint", cloud.endpoint()];
    let more = token.into_iter().chain(more.iter().copied()).map(ToOwned::to_owned);
    flags(scene).into_iter().chain(more).collect()
}

fn file(place: &Place, ran: &Ran) -> toml::Table {
    assert_eq!(ran.status, 0, "{ran}");
    let checked = place.hactl(&["check"]);
    assert_eq!(checked.status, 0, "{checked}");
    toml::from_str(&text(place)).unwrap()
}

fn text(place: &Place) -> String {
    std::fs::read_to_string(place.path().join("hactl.toml")).unwrap()
}

fn assert_nothing_written(place: &Place) {
    assert_eq!(names(place.path()), ["id", "mine.toml", "token"]);
}

/// The roles of a host, and the server that it is.
fn host(file: &toml::Table, name: &str) -> (Vec<String>, Option<String>) {
    let hosts = file["host"].as_array().unwrap();
    let host = hosts.iter().find(|host| host["name"].as_str() == Some(name)).unwrap();
    let roles = host["roles"].as_array().unwrap().iter().map(|role| role.as_str().unwrap().to_owned());
    (roles.collect(), host.get("server").map(|server| server.as_str().unwrap().to_owned()))
}

fn by_flags(scene: &Scene) {
    let cloud = cloud("mine-1");
    let place = place(scene, cloud.token());
    let ran = run(&place, &with(scene, &cloud, &[]));
    let file = file(&place, &ran);
    assert_eq!(host(&file, "node-1"), (vec!["web".to_owned(), "node".to_owned()], None));
    assert_eq!(host(&file, "mine-2"), (vec!["node".to_owned(), "new".to_owned()], Some("mine-2".to_owned())));
    assert_eq!(file["hcloud"]["token"]["file"].as_str(), Some("token"));
    // The public half of the key that logs in, by ssh's own tool.
    let mut keygen = std::process::Command::new("ssh-keygen");
    let own = keygen.args(["-y", "-f"]).arg(place.path().join("id")).output().unwrap();
    assert_eq!(file["inputs"]["key"].as_str(), Some(String::from_utf8(own.stdout).unwrap().trim()));
    assert!(
        ran.stdout.contains("ok    the cloud: the token opens the project of mine-1 (127.0.0.1)"),
        "{ran}"
    );
    assert!(!text(&place).contains(cloud.token()) && !text(&place).contains("NOT PROBED"), "{ran}");
    let requests = cloud.requests();
    assert!(
        !requests.is_empty() && requests.iter().all(|request| request.starts_with("GET ")),
        "{requests:?}"
    );
}

fn another_name(scene: &Scene) {
    let cloud = cloud("ubuntu-8gb");
    let place = place(scene, cloud.token());
    let ran = run(&place, &with(scene, &cloud, &[]));
    assert!(ran.status == 1 && ran.stderr.contains("error[init::probe]"), "{ran}");
    assert!(
        ran.stderr.contains("the project has no server mine-1") && ran.stderr.contains("ubuntu-8gb"),
        "{ran}"
    );
    assert!(ran.stderr.contains("--input first=NAME"), "{ran}");
    assert_nothing_written(&place);
    let ran = run(&place, &with(scene, &cloud, &["--input", "first=ubuntu-8gb"]));
    let file = file(&place, &ran);
    assert_eq!(host(&file, "node-1").0, ["web", "node"]);
    assert_eq!(file["inputs"]["first"].as_str(), Some("ubuntu-8gb"));
}

fn wrong_token(scene: &Scene) {
    let cloud = cloud("mine-1");
    let place = place(scene, "another-token");
    let ran = run(&place, &with(scene, &cloud, &[]));
    assert!(ran.status == 1 && ran.stderr.contains("error[init::probe]"), "{ran}");
    assert!(ran.stderr.contains("API tokens") && !ran.stderr.contains("another-token"), "{ran}");
    assert_nothing_written(&place);
    let ran = run(&place, &with(scene, &cloud, &["--keep", "--role", "node=node-1"]));
    let file = file(&place, &ran);
    assert!(text(&place).contains("# NOT PROBED: the cloud: "), "{ran}");
    assert_eq!(host(&file, "mine-2").1.as_deref(), Some("mine-2"));
    // Plain HTTP would carry the token to anybody.
    let place = self::place(scene, cloud.token());
    let mut flags = with(scene, &cloud, &[]);
    *flags.last_mut().unwrap() = "http://192.0.2.1/v1".to_owned();
    let ran = run(&place, &flags);
    assert!(ran.status == 2 && ran.stderr.contains("error[init::answer]: --hcloud-endpoint"), "{ran}");
}

fn later(scene: &Scene) {
    let place = place(scene, "unused");
    let ran = run(&place, &flags(scene));
    let file = file(&place, &ran);
    assert!(!file.contains_key("hcloud") && file["host"].as_array().unwrap().len() == 1, "{ran}");
    assert!(ran.stdout.contains("phase 1 needs a token"), "{ran}");
    // With the marks off, the file is whole.
    let text = text(&place);
    let (before, after) = text.split_once("# [hcloud]").unwrap();
    let (later, rest) = after.split_once("\n\n").unwrap();
    let whole = format!("{before}[hcloud]{}\n\n{rest}", later.replace("\n# ", "\n").replace("\n#\n", "\n\n"));
    assert!(before.contains("To the roles of the [[host]] that is the server mine-1, add: node."), "{text}");
    place.write("hactl.toml", &whole);
    let checked = place.hactl(&["check"]);
    assert_eq!(checked.status, 0, "{checked}\n{whole}");
    assert_eq!(host(&toml::from_str(&whole).unwrap(), "mine-2").0, ["node", "new"]);
}

fn role_that_must_be(scene: &Scene) {
    let place = place(scene, "unused");
    let flags: Vec<_> =
        flags(scene).into_iter().filter(|flag| flag != "--role" && flag != "web=node-1").collect();
    let ran = run(&place, &flags);
    assert!(ran.status == 2 && ran.stderr.contains("--role web=HOST"), "{ran}");
    assert!(!ran.stderr.contains("--role node=HOST"), "{ran}");
    assert_nothing_written(&place);
}

fn at_terminal(scene: &Scene) {
    let cloud = cloud("ubuntu-8gb");
    let place = place(scene, cloud.token());
    let flags = [flags(scene), vec!["--hcloud-endpoint".to_owned(), cloud.endpoint().to_owned()]].concat();
    let words = shell_words::join(flags);
    let mut terminal = Terminal::start(place.path(), "/usr/bin:/bin", &format!("init {words}"));
    terminal.answer("Is there a token already?", "y");
    terminal.answer("Kept", "");
    terminal.answer("The file's path", "token");
    terminal.then("ubuntu-8gb (127.0.0.1)");
    terminal.then("What now?");
    // Down, and Enter: another answer.
    terminal.press("\u{1b}[B\r");
    terminal.answer("Server", "");
    // The key of the one that logs in is offered.
    terminal.answer("The public key that new servers let in", "");
    let (status, seen) = terminal.end();
    assert_eq!(status, 0, "{seen}");
    let checked = place.hactl(&["check"]);
    assert_eq!(checked.status, 0, "{checked}");
    let file: toml::Table = toml::from_str(&text(&place)).unwrap();
    assert_eq!(file["inputs"]["first"].as_str(), Some("ubuntu-8gb"));
    assert_eq!(host(&file, "node-1").0, ["web", "node"]);
    assert!(file["inputs"]["key"].as_str().unwrap().starts_with("ssh-"), "{seen}");
}
