//! `hactl.toml` to a workspace, with every problem remarked.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::host::Word;
use super::{
    Address, Addressing, AgeConfig, ApprovalsConfig, HcloudConfig, Host, Instance, NotifyConfig,
    PgBackRestConfig, PostgresConfig, RestoreKey, RunbookChoice, S3Config, StandsOn, UserName, Workspace,
};
use crate::diagnostic::codes;
use crate::digest::Digest;
use crate::document::{Document, Found, Need, Node, Reader, Syntax};
use crate::name::{FleetName, HostName, RoleName, RunbookName};
use crate::runbook::Value;
use crate::secret::{HOW_TO_REFER, IN_CLEAR, SecretRef};
use crate::transport::hcloud::{ENDPOINT, is_private};

/// A workspace as read, with what was found wrong so far. Where something is missing, a placeholder stands.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) workspace: Workspace,
    pub(crate) found: Found,
    pub(crate) syntax: Syntax,
    /// Which runbook, and where that is said.
    pub(crate) choice: Option<(RunbookChoice, Range<usize>)>,
    /// Where each input's name and value stand.
    pub(crate) inputs: BTreeMap<String, (Range<usize>, Range<usize>)>,
    /// Where `[inputs]` stands, or else the runbook.
    pub(crate) inputs_span: Range<usize>,
    /// Where the runbook is named.
    pub(crate) runbook_span: Range<usize>,
}

/// What `[ssh]` says for all hosts.
#[derive(Debug, Default)]
struct SshDefaults {
    user: Option<UserName>,
    identity: Option<PathBuf>,
    port: Option<u16>,
}

/// Reads the bytes of the file at `path`.
pub(crate) fn read(path: &Path, bytes: &[u8]) -> Draft {
    let folder = path.parent().unwrap_or(Path::new("."));
    let root = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let shown_as = super::shown(path);
    let Document { root: tree, mut found, syntax } = Document::parse(&shown_as, bytes);
    let mut unheard = Found::new(&shown_as, "");
    let heard = match syntax {
        Syntax::Sound => &mut found,
        Syntax::Broken => &mut unheard,
    };
    let mut top = Reader::new(heard, &tree, "hactl.toml");
    let choice = runbook(heard, &mut top, &root);
    let runbook_span = tree.get("runbook").map_or(0..0, |node| node.span.clone());
    let (inputs, spans) = inputs(heard, &mut top);
    let inputs_span = tree.entry("inputs").map_or_else(|| runbook_span.clone(), |(key, _)| key.span.clone());
    let fleet = top.parsed(heard, "fleet", Need::Required).unwrap_or_else(FleetName::unnamed);
    check_label(heard, &tree, &fleet);
    let lab = top.get("lab").and_then(|node| {
        let mut table = Reader::new(heard, node, "[lab]");
        let name = table.parsed(heard, "name", Need::Required).map(|Word(name)| name);
        table.finish(heard);
        name
    });
    let ssh = ssh(heard, &mut top, &root);
    let hosts = hosts(heard, &mut top, &root, &ssh);
    let mut workspace = Workspace {
        runbook: match &choice {
            Some((choice, _)) => choice.clone(),
            None => RunbookChoice::Bundled(RunbookName::unnamed()),
        },
        fleet,
        lab,
        inputs,
        mirror: None,
        s3: top.get("s3").map(|node| s3(heard, node, &root)),
        hcloud: top.get("hcloud").map(|node| hcloud(heard, node, &root)),
        postgres: top.get("postgres").map(|node| postgres(heard, node, &hosts)),
        pgbackrest: top.get("pgbackrest").map(|node| {
            let mut table = Reader::new(heard, node, "[pgbackrest]");
            let cipher_pass =
                secret(heard, &mut table, "cipher_pass", Need::Required).unwrap_or_else(no_secret);
            table.finish_masked(heard);
            PgBackRestConfig { cipher_pass }
        }),
        age: top.get("age").map(|node| age(heard, node)),
        approvals: top.get("approvals").map(|node| approvals(heard, node, &root)),
        notify: top.get("notify").map(|node| notify(heard, node)),
        hosts,
        root,
        digest: Digest::of(bytes),
    };
    workspace.mirror = top
        .get("state")
        .and_then(|node| super::mirror::read(heard, node, &workspace.root, workspace.s3.as_ref()));
    top.finish(heard);
    Draft { workspace, found, syntax, choice, inputs: spans, inputs_span, runbook_span }
}

fn runbook(found: &mut Found, top: &mut Reader<'_>, root: &Path) -> Option<(RunbookChoice, Range<usize>)> {
    let node = top.get("runbook");
    let Some(node) = node else {
        found
            .add(codes::FILE_MISSING_KEY, "hactl.toml lacks runbook")
            .at(0..0, "here")
            .help("write runbook = \"cell0\", or the path of a runbook of your own");
        return None;
    };
    let text = crate::document::parsed::<String>(found, "runbook", node)?;
    let choice = if text.ends_with(".toml") {
        RunbookChoice::File(root.join(text))
    } else {
        RunbookChoice::Bundled(crate::document::parsed(found, "runbook", node)?)
    };
    Some((choice, node.span.clone()))
}

type InputSpans = BTreeMap<String, (Range<usize>, Range<usize>)>;

fn inputs(found: &mut Found, top: &mut Reader<'_>) -> (BTreeMap<String, Value>, InputSpans) {
    let mut values = BTreeMap::new();
    let mut spans = BTreeMap::new();
    for (key, node) in top.entries(found, "inputs") {
        spans.insert(key.text.clone(), (key.span.clone(), node.span.clone()));
        // What is no value of any type is remarked as ill-typed against the runbook's declaration.
        if let Some(value) = Value::from_node(node) {
            values.insert(key.text.clone(), value);
        }
    }
    (values, spans)
}

fn ssh(found: &mut Found, top: &mut Reader<'_>, root: &Path) -> SshDefaults {
    let Some(node) = top.get("ssh") else { return SshDefaults::default() };
    let mut table = Reader::new(found, node, "[ssh]");
    let defaults = SshDefaults {
        user: table.parsed(found, "user", Need::Optional),
        identity: path(found, &mut table, "identity", root),
        port: table.integer(found, "port", 1..=65535),
    };
    table.finish(found);
    defaults
}

/// A path that begins at the workspace and can stand on one line of a configuration.
pub(super) fn path(
    found: &mut Found,
    table: &mut Reader<'_>,
    key: &'static str,
    root: &Path,
) -> Option<PathBuf> {
    let node = table.get(key)?;
    let text: String = crate::document::parsed(found, key, node)?;
    if text.is_empty() || text.contains(|c: char| c.is_control() || c == '"') {
        found
            .add(codes::FILE_BAD_VALUE, format!("{key}: not usable as a path"))
            .at(node.span.clone(), "empty, or with a quote or a control character");
        return None;
    }
    Some(root.join(text))
}

fn hosts(found: &mut Found, top: &mut Reader<'_>, root: &Path, ssh: &SshDefaults) -> Vec<Host> {
    let nodes = top.tables(found, "host");
    if nodes.is_empty() {
        found
            .add(codes::FILE_MISSING_KEY, "hactl.toml has no [[host]]")
            .help("a fleet has at least one server");
    }
    let hosts: Vec<Host> = nodes.iter().filter_map(|node| host(found, node, root, ssh)).collect();
    crate::document::unique(found, "host", "name", nodes);
    jumps(found, nodes, &hosts);
    hosts
}

fn host(found: &mut Found, node: &Node, root: &Path, ssh: &SshDefaults) -> Option<Host> {
    let mut table = Reader::new(found, node, "[[host]]");
    let name: Option<HostName> = table.parsed(found, "name", Need::Required);
    let server: Option<Word> = table.parsed(found, "server", Need::Optional);
    let need = if server.is_some() { Need::Optional } else { Need::Required };
    let address: Option<Address> = table.parsed(found, "address", need);
    if let (Some(server), Some(_)) = (&server, &address) {
        found
            .add(codes::FILE_BAD_VALUE, "a host has an address or a server, not both")
            .at(node.span.clone(), "one of the two")
            .help(format!("without address, the step that makes the server {} says where it is", server.0));
    }
    let private_address = table.parsed(found, "private_address", Need::Optional);
    let roles = table.list(found, "roles");
    let port = table.integer(found, "port", 1..=65535).or(ssh.port).unwrap_or(22);
    let user = table.parsed(found, "user", Need::Optional).or_else(|| ssh.user.clone());
    let identity = path(found, &mut table, "identity", root).or_else(|| ssh.identity.clone());
    let jump = table.parsed(found, "jump", Need::Optional);
    table.finish(found);
    if user.is_none() && node.get("user").is_none() && node.entries().is_some() {
        found
            .add(codes::FILE_MISSING_KEY, "the host has no user to log in as")
            .at(node.span.clone(), "user belongs here")
            .help("write user = \"…\" here, or once for all hosts under [ssh]");
    }
    node.entries()?;
    Some(Host {
        name: name.unwrap_or_else(HostName::unnamed),
        address: address.unwrap_or_else(Address::unknown),
        private_address,
        server: server.map(|server| StandsOn::new(server.0)),
        roles,
        port,
        user: user.unwrap_or_else(UserName::unknown),
        identity,
        jump,
    })
}

/// Remarks jumps to nowhere and jumps in a circle.
fn jumps(found: &mut Found, nodes: &[Node], hosts: &[Host]) {
    let names: Vec<&str> = nodes.iter().filter_map(|n| n.get("name")?.as_str()).collect();
    let next =
        |name: &HostName| hosts.iter().find(|host| host.name == *name).and_then(|host| host.jump.clone());
    for host in hosts {
        let Some(jump) = &host.jump else { continue };
        let named = |node: &&Node| node.get("name").and_then(Node::as_str) == Some(host.name.as_str());
        let span =
            nodes.iter().find(named).and_then(|n| n.get("jump")).map_or(0..0, |node| node.span.clone());
        if !names.contains(&jump.as_str()) {
            found
                .add(
                    codes::WORKSPACE_JUMP,
                    format!("{}: there is no host {jump:?} to jump through", host.name),
                )
                .at(span, "not known")
                .help(crate::document::suggest(jump.as_str(), &names));
            continue;
        }
        let mut way = vec![host.name.clone()];
        let mut at = Some(jump.clone());
        while let Some(name) = at {
            let again = way.contains(&name);
            way.push(name.clone());
            if again {
                let way: Vec<&str> = way.iter().map(HostName::as_str).collect();
                found
                    .add(
                        codes::WORKSPACE_JUMP,
                        format!("the jumps go round in a circle: {}", way.join(" → ")),
                    )
                    .at(span, "this way leads nowhere");
                break;
            }
            at = next(&name);
        }
    }
}

/// Stands where a reference is missing; a workspace with problems is never given out.
fn no_secret() -> SecretRef {
    SecretRef::Env(String::new())
}

pub(super) fn secret(
    found: &mut Found,
    table: &mut Reader<'_>,
    key: &'static str,
    need: Need,
) -> Option<SecretRef> {
    let what = table.what().to_owned();
    let node = match need {
        Need::Required => table.wanted(found, key)?,
        Need::Optional => table.get(key)?,
    };
    if node.entries().is_none() {
        found.mask(node.span.clone());
        found
            .add(codes::SECRET_IN_CLEAR, format!("{what} {key}: {IN_CLEAR}"))
            .at(node.span.clone(), "not shown")
            .help(HOW_TO_REFER);
        return None;
    }
    match node.read() {
        Ok(reference) => Some(reference),
        Err(error) => {
            found.mask_values(node);
            let known = ["env", "file", "command", "sops"].iter().any(|key| node.get(key).is_some());
            let code = if known { codes::FILE_BAD_VALUE } else { codes::SECRET_IN_CLEAR };
            found
                .add(code, format!("{what} {key}: {}", error.message()))
                .at(error.span().unwrap_or_else(|| node.span.clone()), "here")
                .help(HOW_TO_REFER);
            None
        }
    }
}

/// Where an S3 server answers.
pub(super) fn endpoint(found: &mut Found, what: &str, node: &Node) -> Option<String> {
    let endpoint: String = crate::document::parsed(found, "endpoint", node)?;
    let host = endpoint.strip_prefix("https://").unwrap_or_default();
    if host.is_empty() || host.contains(|c: char| c.is_control() || " @?#\"".contains(c)) {
        found
            .add(codes::FILE_BAD_VALUE, format!("{what} endpoint: an https address is wanted"))
            .at(node.span.clone(), "not usable")
            .help("write it like \"https://s3.example:8443\"; pgBackRest speaks only HTTPS to S3");
    }
    Some(endpoint)
}

fn s3(found: &mut Found, node: &Node, root: &Path) -> S3Config {
    let mut table = Reader::new(found, node, "[s3]");
    let endpoint =
        table.wanted(found, "endpoint").and_then(|at| endpoint(found, "[s3]", at)).unwrap_or_default();
    let Word(region) = table.parsed(found, "region", Need::Required).unwrap_or_default();
    let Word(bucket) = table.parsed(found, "bucket", Need::Required).unwrap_or_default();
    let addressing = match table.boolean(found, "path_style") {
        // Every server knows it; the other way needs names and certificates for each bucket.
        Some(true) | None => Addressing::Path,
        Some(false) => Addressing::VirtualHost,
    };
    let ca = path(found, &mut table, "ca", root);
    let access_key = secret(found, &mut table, "access_key", Need::Required).unwrap_or_else(no_secret);
    let secret_key = secret(found, &mut table, "secret_key", Need::Required).unwrap_or_else(no_secret);
    let restore_access = secret(found, &mut table, "restore_access_key", Need::Optional);
    let restore_secret = secret(found, &mut table, "restore_secret_key", Need::Optional);
    let given = |key: &str| node.get(key).is_some();
    if given("restore_access_key") != given("restore_secret_key") {
        found
            .add(codes::FILE_MISSING_KEY, "[s3] has one half of the restore key only")
            .at(node.span.clone(), "restore_access_key and restore_secret_key belong together");
    }
    table.finish_masked(found);
    let restore = match (restore_access, restore_secret) {
        (Some(access_key), Some(secret_key)) => Some(RestoreKey { access_key, secret_key }),
        (Some(_) | None, Some(_) | None) => None,
    };
    S3Config { endpoint, region, bucket, addressing, ca, access_key, secret_key, restore }
}

fn hcloud(found: &mut Found, node: &Node, root: &Path) -> HcloudConfig {
    let mut table = Reader::new(found, node, "[hcloud]");
    let endpoint = table.string(found, "endpoint", Need::Optional).unwrap_or(ENDPOINT).to_owned();
    if let Some(at) = node.get("endpoint").filter(|at| at.as_str().is_some())
        && !is_private(&endpoint)
    {
        found
            .add(codes::FILE_BAD_VALUE, "[hcloud] endpoint: an https address is wanted")
            .at(at.span.clone(), "not usable")
            .help(format!(
                "write it like \"{ENDPOINT}\", or leave it out; http goes to this machine itself only"
            ));
    }
    let ca = path(found, &mut table, "ca", root);
    let token = secret(found, &mut table, "token", Need::Required).unwrap_or_else(no_secret);
    table.finish_masked(found);
    HcloudConfig { endpoint, ca, token }
}

/// The fleet's name becomes a label of what is made in the cloud, where it cannot end in a mark.
fn check_label(found: &mut Found, tree: &Node, fleet: &FleetName) {
    if let Some(at) = tree.get("hcloud").and(tree.get("fleet"))
        && !fleet.as_str().ends_with(|c: char| c.is_ascii_alphanumeric())
    {
        found
            .add(codes::FILE_BAD_VALUE, format!("fleet: {fleet} cannot be a label in the cloud"))
            .at(at.span.clone(), "a letter or a digit is wanted at its end");
    }
}

fn postgres(found: &mut Found, node: &Node, hosts: &[Host]) -> PostgresConfig {
    let mut table = Reader::new(found, node, "[postgres]");
    let instance = match (table.string(found, "instance", Need::Required), node.get("instance")) {
        (Some("pod"), Some(at)) => {
            found
                .add(codes::WORKSPACE_POD, "[postgres] instance = \"pod\": not supported yet")
                .at(at.span.clone(), "PostgreSQL in Kubernetes")
                .help("hactl can act on a PostgreSQL that runs as a systemd service of a host; pods are to come");
            Instance::Pod
        }
        (Some(other), Some(at)) if other != "systemd" => {
            found
                .add(codes::FILE_BAD_VALUE, "[postgres] instance is systemd or pod")
                .at(at.span.clone(), "not known");
            Instance::Systemd
        }
        (Some(_) | None, Some(_) | None) => Instance::Systemd,
    };
    let role = table.parsed(found, "role", Need::Required).unwrap_or_else(RoleName::unnamed);
    if let Some(at) = node.get("role").filter(|_| !hosts.iter().any(|host| host.roles.contains(&role))) {
        found
            .add(codes::RUNBOOK_ROLE_HOSTS, format!("[postgres] no host has the role {role}"))
            .at(at.span.clone(), "where does it run?")
            .help(format!("write roles = [\"{role}\"] in the [[host]] that PostgreSQL runs on"));
    }
    let Word(version) = table.parsed(found, "version", Need::Required).unwrap_or_default();
    if let (Ok(major), Some(at)) = (version.parse(), node.get("version"))
        && let Some(why) = PostgresConfig::too_old(major)
    {
        found.add(codes::FILE_BAD_VALUE, format!("[postgres] version: {why}")).at(at.span.clone(), "too old");
    }
    let cluster =
        table.parsed(found, "cluster", Need::Optional).map_or_else(|| "main".into(), |Word(word)| word);
    let port = table.integer(found, "port", 1..=65535).unwrap_or(5432);
    let socket_dir = table.string(found, "socket_dir", Need::Optional).unwrap_or("/var/run/postgresql");
    if let Some(at) = node.get("socket_dir").filter(|_| !socket_dir.starts_with('/')) {
        found
            .add(codes::FILE_BAD_VALUE, "[postgres] socket_dir is an absolute path on the host")
            .at(at.span.clone(), "not absolute");
    }
    table.finish(found);
    PostgresConfig { instance, role, version, cluster, port, socket_dir: socket_dir.into() }
}

fn approvals(found: &mut Found, node: &Node, root: &Path) -> ApprovalsConfig {
    let mut table = Reader::new(found, node, "[approvals]");
    let file = table.string(found, "allowed_signers", Need::Required).unwrap_or_default();
    let operators = table.list(found, "operators");
    table.finish(found);
    let allowed_signers = root.join(file);
    let at = node.get("allowed_signers").filter(|_| !allowed_signers.is_file());
    if let Some(at) = at {
        found
            .add(codes::FILE_BAD_VALUE, format!("[approvals] allowed_signers: there is no file {file}"))
            .at(at.span.clone(), "not there")
            .help("one line a person: alice@example namespaces=\"hactl-approval\" ssh-ed25519 AAAA…");
    }
    ApprovalsConfig { allowed_signers, operators }
}

fn notify(found: &mut Found, node: &Node) -> NotifyConfig {
    let mut table = Reader::new(found, node, "[notify]");
    let command: Vec<String> = match table.wanted(found, "command") {
        Some(_) => table.list(found, "command"),
        None => Vec::new(),
    };
    if let Some(at) = node.get("command").filter(|at| at.as_array().is_some())
        && (command.first().is_none_or(String::is_empty) || command.iter().any(|word| word.contains('\0')))
    {
        found
            .add(codes::FILE_BAD_VALUE, "[notify] command: a program and its arguments are wanted")
            .at(at.span.clone(), "not usable")
            .help(
                "write it like [\"./tell-me\", \"--quietly\"]; what happened comes as JSON on standard input",
            );
    }
    table.finish(found);
    NotifyConfig { command }
}

fn age(found: &mut Found, node: &Node) -> AgeConfig {
    let mut table = Reader::new(found, node, "[age]");
    let recipients: Vec<String> = table.list(found, "recipients");
    for at in node.get("recipients").and_then(Node::as_array).unwrap_or_default() {
        if at.as_str().is_some_and(|text| text.parse::<age::x25519::Recipient>().is_err()) {
            found
                .add(codes::FILE_BAD_VALUE, "[age] recipients: not a public key of age")
                .at(at.span.clone(), "not usable")
                .help("a public key begins with age1; age-keygen -y prints it");
        }
    }
    if recipients.is_empty() {
        found
            .add(codes::FILE_MISSING_KEY, "[age] has no recipients")
            .at(node.span.clone(), "recipients = [\"age1…\"] belongs here");
    }
    let identity = secret(found, &mut table, "identity", Need::Optional);
    table.finish_masked(found);
    let distinct: BTreeSet<String> = recipients.into_iter().collect();
    AgeConfig { recipients: distinct.into_iter().collect(), identity }
}
