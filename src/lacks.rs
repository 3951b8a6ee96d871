//! What a workspace lacks to carry a phase to its end: parts of `hactl.toml`, hosts, inputs.
//!
//! Invariant: only the files are looked at. A phase may be left for later, so a workspace without what that phase alone
//! needs is sound; but a phase that would stop halfway for it, with things ordered and paid for, is not begun.

use serde::Serialize;

use crate::diagnostic::{Error, Problem, codes};
use crate::name::{HostName, RoleName};
use crate::needs::Needs;
use crate::runbook::{Input, Phase, Runbook, ServerStep, Value};
use crate::workspace::{Host, Workspace};

/// One thing that `hactl.toml` lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lack {
    /// What, in words.
    pub what: String,
    /// Where in `hactl.toml` the lines belong.
    pub to: String,
    /// The lines to write there.
    pub lines: Vec<String>,
}

impl Lack {
    fn new(what: impl Into<String>, to: impl Into<String>, lines: &[&str]) -> Self {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Self { what: what.into(), to: to.into(), lines }
    }

    /// Where the lines belong, and the lines.
    #[must_use]
    pub fn help(&self) -> String {
        format!("{}:\n{}", self.to, self.lines.join("\n"))
    }
}

/// What the workspace lacks to carry this phase to its end.
#[must_use]
pub fn lacks(workspace: &Workspace, runbook: &Runbook, phase: &Phase) -> Vec<Lack> {
    let mut lacks = parts(workspace, phase);
    let servers = runbook.servers();
    let servers = servers.iter().filter(|server| server.phase == phase.id);
    lacks.extend(servers.filter_map(|server| host(workspace, runbook, server)));
    let keys = runbook.key_inputs().filter(|(of, _)| **of == phase.id);
    lacks.extend(keys.filter_map(|(_, input)| empty(workspace, input)));
    lacks
}

/// Refuses a phase that lacks something.
#[must_use]
pub fn refusal(phase: &Phase, lacks: &[Lack]) -> Error {
    let things = match lacks.len() {
        1 => "something".to_owned(),
        n => format!("{n} things"),
    };
    let problem = |lack: &Lack| Problem::new(codes::RUNBOOK_LACKS, lack.what.clone()).help(lack.help());
    let message = format!("phase {} cannot be carried to its end: hactl.toml lacks {things}", phase.id);
    Error::problems(codes::RUNBOOK_LACKS, message, lacks.iter().map(problem).collect())
        .state("nothing was begun, and nothing ordered")
}

/// What the kinds of the phase's steps look into. A missing `[postgres]` is said by the steps themselves.
fn parts(workspace: &Workspace, phase: &Phase) -> Vec<Lack> {
    const AT_THE_END: &str = "add to hactl.toml";
    let needs = Needs::of_phase(phase);
    let mut lacks = Vec::new();
    if needs.hcloud && workspace.hcloud.is_none() {
        let lines = ["[hcloud]", "token = { file = \"secrets/hcloud-token\" }"];
        lacks.push(Lack::new(
            "there is no [hcloud]: the token of the cloud project, which can read and write",
            AT_THE_END,
            &lines,
        ));
    }
    match &workspace.s3 {
        None if needs.s3 => {
            let lines = [
                "[s3]",
                "endpoint = \"https://…\"",
                "region = \"…\"",
                "bucket = \"…\"",
                "access_key = { file = \"secrets/s3-access-key\" }",
                "secret_key = { file = \"secrets/s3-secret-key\" }",
            ];
            lacks.push(Lack::new("there is no [s3]: the object storage", AT_THE_END, &lines));
        }
        Some(s3) if needs.restore_key && s3.restore.is_none() => {
            let lines = [
                "restore_access_key = { file = \"secrets/restore-access-key\" }",
                "restore_secret_key = { file = \"secrets/restore-secret-key\" }",
            ];
            let what = "[s3] has no key for restores, which can read and nothing else";
            lacks.push(Lack::new(what, "add under [s3]", &lines));
        }
        Some(_) | None => {}
    }
    if needs.pgbackrest && workspace.pgbackrest.is_none() {
        let lines = ["[pgbackrest]", "cipher_pass = { file = \"secrets/pgbackrest-cipher\" }"];
        lacks.push(Lack::new("there is no [pgbackrest]", AT_THE_END, &lines));
    }
    const IDENTITY: &str = "identity = { file = \"secrets/age-identity\" }";
    match &workspace.age {
        None if needs.age || needs.identity => {
            let lines = ["[age]", "recipients = [\"age1…\"]", IDENTITY];
            let what =
                "there is no [age]: what secrets are encrypted to (age-keygen -o secrets/age-identity)";
            lacks.push(Lack::new(what, AT_THE_END, &lines));
        }
        Some(age) if needs.identity && age.identity.is_none() => {
            let what = "[age] has no identity, which decrypts";
            lacks.push(Lack::new(what, "add under [age]", &[IDENTITY]));
        }
        Some(_) | None => {}
    }
    lacks
}

/// The host of a server that is not there, or is not what the phase needs. Nothing is said where only a step tells the
/// server's name, or no role is to be had.
fn host(workspace: &Workspace, runbook: &Runbook, needed: &ServerStep) -> Option<Lack> {
    let server = runbook.with_inputs(&needed.named, |input| workspace.inputs.get(&input.name).cloned())?;
    let first = needed.roles.first()?;
    // The address of one that is there already says nothing of its name: its first role does.
    let is_it = |host: &&Host| match needed.adopted {
        true => host.roles.contains(first),
        false => host.server.as_ref().is_some_and(|on| on.name == server),
    };
    if let Some(host) = workspace.hosts.iter().find(is_it) {
        return changed(host, needed);
    }
    if needed.adopted {
        let what = format!("no host has the role {first}: which one is the server {server}?");
        return Some(Lack::new(what, "write in its [[host]]", &[&roles(&needed.roles)]));
    }
    let mut lines = vec!["[[host]]".to_owned()];
    let name = HostName::new(&server).map_or_else(|_| "…".to_owned(), |name| name.to_string());
    lines.push(format!("name = {}", quoted(&name)));
    lines.push(format!("server = {}", quoted(&server)));
    lines.extend(needed.user().map(|user| format!("user = {}", quoted(user))));
    lines.push(roles(&needed.roles));
    let what = format!("no host stands on the server {server}, which the phase makes and then logs in to");
    Some(Lack { what, to: "add to hactl.toml".to_owned(), lines })
}

/// A host that is there and is not what the phase needs.
fn changed(host: &Host, needed: &ServerStep) -> Option<Lack> {
    let missing = missing(host, needed);
    let mut what = Vec::new();
    let mut lines = Vec::new();
    if !missing.is_empty() {
        let named = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let many = if missing.len() == 1 { "role" } else { "roles" };
        what.push(format!("lacks the {many} {named}"));
        lines.push(roles(&[&host.roles[..], &missing].concat()));
    }
    if let Some(user) = needed.user().filter(|user| *user != host.user.as_str()) {
        what.push(format!("would be logged in to as {}, and lets {user} in", host.user));
        lines.push(format!("user = {}", quoted(user)));
    }
    let to = format!("write in the [[host]] {}", host.name);
    (!what.is_empty()).then(|| Lack {
        what: format!("the host {} {}", host.name, what.join("; it ")),
        to,
        lines,
    })
}

fn missing(host: &Host, needed: &ServerStep) -> Vec<RoleName> {
    needed.roles.iter().filter(|role| !host.roles.contains(role)).cloned().collect()
}

/// An input that says nothing.
fn empty(workspace: &Workspace, input: &Input) -> Option<Lack> {
    let Input { name, help, default, .. } = input;
    let Some(Value::Text(text)) = workspace.inputs.get(name).or(default.as_ref()) else { return None };
    let what = format!("the input {name} is empty. {help}");
    text.trim().is_empty().then(|| Lack::new(what, "write under [inputs]", &[&format!("{name} = \"…\"")]))
}

fn roles(roles: &[RoleName]) -> String {
    let quoted: Vec<_> = roles.iter().map(|role| quoted(role.as_str())).collect();
    format!("roles = [{}]", quoted.join(", "))
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
