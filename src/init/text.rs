//! A draft as a commented `hactl.toml`.

use toml::Value as Toml;

use super::{AgeDraft, CloudNeeds, Draft, HcloudDraft, HostDraft, Part, PostgresDraft, S3Draft};
use crate::render::words;
use crate::runbook::{Input, Value};
use crate::secret::SecretRef;

/// What the token of a project must be.
const TOKEN: &str = "An API token of the project, with read and write permission (the project's console, Security, API tokens).";

/// Where comments break.
const WIDTH: usize = 100;

pub(super) fn of(draft: &Draft) -> String {
    let mut text = Text(String::new());
    text.comment(
        "The workspace of hactl: which runbook is carried out on which servers. Written by `hactl init`.",
    );
    text.comment("Secrets never stand here, only where they are kept: { file = … }, { env = … }, { command = […] }, { sops = … }.");
    text.blank();
    text.comment(&format!(
        "The runbook: {}. A path such as \"./mine.toml\" names one of your own.",
        draft.title
    ));
    text.set("runbook", &quoted(&draft.runbook));
    text.comment("Written on each host that is changed, so that no other workspace can touch it.");
    text.set("fleet", &quoted(&draft.fleet));
    if let Some(lab) = &draft.lab {
        text.section("lab");
        text.comment("Every run here is a rehearsal: it reaches this lab and nothing else.");
        text.set("name", &quoted(lab));
    }
    text.inputs(&draft.inputs);
    text.section("ssh");
    text.comment("Who logs in to every host. Any other user than root needs sudo without a password.");
    text.set("user", &quoted(&draft.user));
    match &draft.identity {
        Some(identity) => {
            text.comment("The key that logs in; the path begins at this folder. Your agent and ~/.ssh/config are not used.");
            text.set("identity", &quoted(identity));
        }
        None => text.comment(
            "identity = \"secrets/id_ed25519\"    # the key that logs in; without it ssh's own default",
        ),
    }
    draft.hosts.iter().for_each(|host| text.host(draft, host));
    match (&draft.hcloud, &draft.cloud) {
        (Some(hcloud), _) => text.hcloud(draft, hcloud),
        (None, Some(needs)) => text.no_hcloud(needs),
        (None, None) => {}
    }
    if let Some(s3) = &draft.s3 {
        text.s3(draft, s3);
        text.state(draft);
    }
    if let Some(postgres) = &draft.postgres {
        text.postgres(draft, postgres);
    }
    if let Some(cipher_pass) = &draft.cipher_pass {
        text.section("pgbackrest");
        text.notes(draft, &Part::PgBackRest);
        text.comment("The pass phrase that encrypts the backups. Without it no backup can be read: keep a copy elsewhere.");
        text.set("cipher_pass", &reference(cipher_pass));
    }
    if let Some(age) = &draft.age {
        text.age(draft, age);
    }
    if let Some(signers) = &draft.allowed_signers {
        text.section("approvals");
        text.comment("Whose SSH signatures count at gates of the kind sign, as ssh-keygen reads them. The path begins here.");
        text.set("allowed_signers", &quoted(signers));
    }
    text.blank();
    text.comment("A program of yours that is told when a gate waits and when a run fails or ends. What happened comes as JSON on");
    text.comment("its standard input (hactl schema).");
    text.comment("[notify]");
    text.comment("command = [\"./tell-me\"]");
    text.0
}

struct Text(String);

impl Text {
    fn blank(&mut self) {
        self.0.push('\n');
    }

    fn section(&mut self, name: &str) {
        self.0.push_str(&format!("\n[{name}]\n"));
    }

    /// A comment, broken over lines. Whatever stands in it stays one.
    fn comment(&mut self, text: &str) {
        let plain = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let plain = if text.contains("    #") { text.to_owned() } else { plain };
        for line in words::wrap(&crate::redact::sanitize_for_terminal(&plain), WIDTH, 0).lines() {
            self.0.push_str(format!("# {line}").trim_end());
            self.blank();
        }
    }

    fn set(&mut self, key: &str, value: &str) {
        self.0.push_str(&format!("{key} = {value}\n"));
    }

    fn notes(&mut self, draft: &Draft, part: &Part) {
        for note in draft.notes.get(part).into_iter().flatten() {
            self.comment(&format!("NOT PROBED: {note}"));
        }
    }

    fn inputs(&mut self, inputs: &[(Input, Option<Value>)]) {
        if inputs.is_empty() {
            return;
        }
        self.section("inputs");
        for (input, value) in inputs {
            self.comment(&input.help);
            match (value, &input.default) {
                (Some(value), _) => self.set(&input.name, &toml(value)),
                (None, Some(default)) => {
                    self.0.push_str(&format!("# {} = {}    # the default\n", input.name, toml(default)))
                }
                (None, None) => {}
            }
        }
    }

    fn host(&mut self, draft: &Draft, host: &HostDraft) {
        self.0.push_str("\n[[host]]\n");
        self.notes(draft, &Part::Host(host.name.clone()));
        self.comment("How the runbook, the journal and you name it; its key is pinned in .hactl/known_hosts under this name.");
        self.set("name", &quoted(&host.name));
        match &host.server {
            None => {
                self.comment("Where this machine reaches it.");
                self.set("address", &quoted(&host.address));
            }
            Some(server) => {
                self.comment("The server in the cloud that it is: the step that makes it says where it is reached, and which key it has.");
                self.set("server", &quoted(server));
            }
        }
        if let Some(user) = &host.user {
            self.comment("Who logs in to this one.");
            self.set("user", &quoted(user));
        }
        if let Some(port) = host.port {
            self.comment("The port of its sshd.");
            self.set("port", &port.to_string());
        }
        if let Some(jump) = &host.jump {
            self.comment("The host through which it is reached.");
            self.set("jump", &quoted(jump.as_str()));
        }
        self.comment("What it does; the runbook names hosts by their roles.");
        self.set("roles", &list(&host.roles));
    }

    fn hcloud(&mut self, draft: &Draft, hcloud: &HcloudDraft) {
        self.section("hcloud");
        self.notes(draft, &Part::Hcloud);
        self.comment(&format!("{TOKEN} The project is the one that it was made in."));
        self.set("token", &reference(&hcloud.token));
        if let Some(endpoint) = &hcloud.endpoint {
            self.comment("Where the API is; without it the provider's own.");
            self.set("endpoint", &quoted(endpoint));
        }
        if let Some(ca) = &hcloud.ca {
            self.comment("The only certificate authority to trust for it.");
            self.set("ca", &quoted(ca));
        }
    }

    /// What is to be added before the phase that needs a project.
    fn no_hcloud(&mut self, needs: &CloudNeeds) {
        self.blank();
        self.comment(&format!(
            "Phase {} needs a project in the Hetzner Cloud. Before it, take the marks off the lines below.",
            needs.phase
        ));
        let keys = needs
            .keys
            .iter()
            .map(|key| format!("Under [inputs], give {key}: the public key of whoever logs in."));
        keys.for_each(|text| self.comment(&text));
        for (server, roles) in needs.adopted.iter().filter(|(_, roles)| !roles.is_empty()) {
            let roles = roles.join(", ");
            self.comment(&format!("To the roles of the [[host]] that is the server {server}, add: {roles}."));
        }
        self.comment(TOKEN);
        self.comment("[hcloud]");
        self.comment("token = { file = \"secrets/hcloud-token\" }");
        for host in &needs.hosts {
            self.0.push_str("#\n");
            self.comment("[[host]]");
            self.comment(&format!("name = {}", quoted(&host.name)));
            let server = host.server.iter().map(|server| format!("server = {}", quoted(server)));
            let user = host.user.iter().map(|user| format!("user = {}", quoted(user)));
            server.chain(user).for_each(|line| self.comment(&line));
            self.comment(&format!("roles = {}", list(&host.roles)));
        }
    }

    fn s3(&mut self, draft: &Draft, s3: &S3Draft) {
        self.section("s3");
        self.notes(draft, &Part::S3);
        self.comment("Where the object storage answers; HTTPS only.");
        self.set("endpoint", &quoted(&s3.endpoint));
        self.set("region", &quoted(&s3.region));
        self.comment("The bucket for backups.");
        self.set("bucket", &quoted(&s3.bucket));
        self.comment("true: https://endpoint/bucket; false: https://bucket.endpoint.");
        self.set("path_style", &s3.path_style.to_string());
        if let Some(ca) = &s3.ca {
            self.comment("The only certificate authority to trust for it.");
            self.set("ca", &quoted(ca));
        }
        self.comment("The key that writes backups, and its secret.");
        self.set("access_key", &reference(&s3.writer.0));
        self.set("secret_key", &reference(&s3.writer.1));
        if let Some((access, secret)) = &s3.restorer {
            self.comment("The key that restores: it must be able to read and nothing else.");
            self.set("restore_access_key", &reference(access));
            self.set("restore_secret_key", &reference(secret));
        }
    }

    fn state(&mut self, draft: &Draft) {
        const WHAT: &str = "The run is kept a second time there, so that losing this machine loses nothing of it: hactl resume --from-mirror. \
                            Server and key are those of [s3] unless endpoint, region, access_key and secret_key stand here.";
        match &draft.mirror {
            Some(mirror) => {
                self.section("state");
                self.notes(draft, &Part::State);
                self.comment(WHAT);
                self.set("mirror", &quoted(&mirror.to_string()));
            }
            None => {
                self.blank();
                self.comment(WHAT);
                self.comment("[state]");
                self.comment(&format!("mirror = {}", quoted(&format!("s3://{}-state", draft.fleet))));
            }
        }
    }

    fn postgres(&mut self, draft: &Draft, postgres: &PostgresDraft) {
        self.section("postgres");
        self.notes(draft, &Part::Postgres);
        self.comment("How it runs: as a systemd service of a host. Pods are not supported yet.");
        self.set("instance", "\"systemd\"");
        self.comment("The role whose host it runs on.");
        self.set("role", &quoted(&postgres.role));
        self.comment("Its major version and Debian's name of the cluster, as pg_lsclusters shows them.");
        self.set("version", &quoted(&postgres.version));
        self.set("cluster", &quoted(&postgres.cluster));
        if postgres.port != 5432 {
            self.set("port", &postgres.port.to_string());
        }
    }

    fn age(&mut self, draft: &Draft, age: &AgeDraft) {
        self.section("age");
        self.notes(draft, &Part::Age);
        self.comment("The public keys to which dumps and made secrets are encrypted.");
        self.set("recipients", &list(&age.recipients));
        if let Some(identity) = &age.identity {
            self.comment("The identity that decrypts: needed to prove a restore. Without it no dump can be read: keep a copy elsewhere.");
            self.set("identity", &reference(identity));
        }
    }
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    Toml::String(text.to_owned()).to_string()
}

fn list(items: &[String]) -> String {
    format!("[{}]", items.iter().map(|one| quoted(one)).collect::<Vec<_>>().join(", "))
}

fn toml(value: &Value) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Text(text) => quoted(text),
        Value::List(items) => list(items),
    }
}

fn reference(reference: &SecretRef) -> String {
    match reference {
        SecretRef::Env(name) => format!("{{ env = {} }}", quoted(name)),
        SecretRef::File(path) => format!("{{ file = {} }}", quoted(&path.display().to_string())),
        SecretRef::Command(argv) => format!("{{ command = {} }}", list(argv)),
        SecretRef::Sops(place) => format!("{{ sops = {} }}", quoted(place)),
    }
}
