//! What a workspace lacks to carry a phase to its end: parts of `hactl.toml`, hosts, inputs.
//!
//! Invariant: only the files are looked at. A phase may be left for later, so a workspace without what that phase alone
//! needs is sound; but a phase that would stop halfway for it, with things ordered and paid for, is not begun.

use serde::Serialize;

use crate::diagnostic::{Error, Problem, codes};
use crate::name::{HostName, RoleName};
use crate::needs::Needs;
use crate::runbook::{NeededHost, Phase, Runbook, Value};
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
    lacks.extend(phase.needs.hosts.iter().filter_map(|needed| host(workspace, runbook, needed)));
    lacks.extend(phase.needs.inputs.iter().filter_map(|name| input(workspace, runbook, name)));
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

/// A host that is not there, or is not what the phase needs.
fn host(workspace: &Workspace, runbook: &Runbook, needed: &NeededHost) -> Option<Lack> {
    let Some(text) = &needed.server else {
        let first = needed.roles.first()?;
        if workspace.hosts_in(first).any(|host| missing(host, needed).is_empty()) {
            return None;
        }
        return match workspace.hosts_in(first).next() {
            Some(host) => changed(host, needed),
            None => Some(Lack::new(
                format!("no host has the role {first}"),
                "write in a [[host]]",
                &[&roles(&needed.roles)],
            )),
        };
    };
    let server = value(workspace, runbook, text)?;
    let stands_on = |host: &&Host| host.server.as_ref().is_some_and(|on| on.name == server);
    if let Some(host) = workspace.hosts.iter().find(stands_on) {
        return changed(host, needed);
    }
    let mut lines = vec!["[[host]]".to_owned()];
    let name = HostName::new(&server).map_or_else(|_| "…".to_owned(), |name| name.to_string());
    lines.push(format!("name = {}", quoted(&name)));
    lines.push(format!("server = {}", quoted(&server)));
    lines.extend(needed.user.as_ref().map(|user| format!("user = {}", quoted(user))));
    lines.push(roles(&needed.roles));
    let what = format!("no host stands on the server {server}, which the phase makes and then logs in to");
    Some(Lack { what, to: "add to hactl.toml".to_owned(), lines })
}

/// A host that is there and is not what the phase needs.
fn changed(host: &Host, needed: &NeededHost) -> Option<Lack> {
    let missing = missing(host, needed);
    let mut what = Vec::new();
    let mut lines = Vec::new();
    if !missing.is_empty() {
        let named = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let many = if missing.len() == 1 { "role" } else { "roles" };
        what.push(format!("lacks the {many} {named}"));
        lines.push(roles(&[&host.roles[..], &missing].concat()));
    }
    if let Some(user) = needed.user.as_ref().filter(|user| **user != host.user.as_str()) {
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

fn missing(host: &Host, needed: &NeededHost) -> Vec<RoleName> {
    needed.roles.iter().filter(|role| !host.roles.contains(role)).cloned().collect()
}

/// An input that says nothing.
fn input(workspace: &Workspace, runbook: &Runbook, name: &str) -> Option<Lack> {
    let declared = runbook.inputs.iter().find(|input| input.name == *name)?;
    let says_nothing = match workspace.inputs.get(name).or(declared.default.as_ref()) {
        Some(Value::Text(text)) => text.trim().is_empty(),
        Some(Value::List(texts)) => texts.is_empty(),
        Some(Value::Integer(_) | Value::Boolean(_)) | None => false,
    };
    let line = match declared.default {
        Some(Value::List(_)) => format!("{name} = [\"…\"]"),
        Some(Value::Text(_) | Value::Integer(_) | Value::Boolean(_)) | None => format!("{name} = \"…\""),
    };
    let what = format!("the input {name} is empty. {}", declared.help);
    says_nothing.then(|| Lack::new(what, "write under [inputs]", &[&line]))
}

/// The value of a text that is one, or a reference to an input.
fn value(workspace: &Workspace, runbook: &Runbook, text: &str) -> Option<String> {
    let Some(name) = NeededHost::input_named(text) else { return Some(text.to_owned()) };
    let default = || runbook.inputs.iter().find(|input| input.name == name)?.default.as_ref();
    match workspace.inputs.get(name).or_else(default)? {
        Value::Text(text) => Some(text.clone()),
        Value::Integer(_) | Value::Boolean(_) | Value::List(_) => None,
    }
}

fn roles(roles: &[RoleName]) -> String {
    let quoted: Vec<_> = roles.iter().map(|role| quoted(role.as_str())).collect();
    format!("roles = [{}]", quoted.join(", "))
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
