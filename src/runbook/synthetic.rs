//! Synthetic kinds and files for the tests of loading: small, and free of what real kinds need.

use std::fs;
use std::path::Path;

use miette::{GraphicalReportHandler, GraphicalTheme};
use serde::{Deserialize, Serialize};
use toml::de::{Error as TomlError, ValueDeserializer};

use super::{Kinds, Loaded, load};
use crate::diagnostic::{Error, Result};
use crate::secret::SecretRef;
use crate::step::{OutputType, Scope, WayBack};
use crate::units::{HumanDuration, Size};

#[derive(Debug)]
pub(super) struct Synthetic;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Write {
    pub(super) path: String,
    pub(super) text: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) lines: Option<Vec<String>>,
    pub(super) every: Option<HumanDuration>,
    pub(super) key: Option<SecretRef>,
    pub(super) mode: Option<Mode>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    Append,
    Replace,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Drop {
    pub(super) database: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    Write(Write),
    Drop(Drop),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DiskFree {
    pub(super) path: String,
    pub(super) at_least: Size,
}

impl Kinds for Synthetic {
    type Action = Action;
    type Probe = DiskFree;

    fn action_names() -> Vec<&'static str> {
        vec!["write", "drop"]
    }

    fn probe_names() -> Vec<&'static str> {
        vec!["disk_free"]
    }

    fn parse_action(kind: &str, parameters: ValueDeserializer<'_>) -> Result<Action, TomlError> {
        match kind {
            "write" => Write::deserialize(parameters).map(Action::Write),
            _ => Drop::deserialize(parameters).map(Action::Drop),
        }
    }

    fn parse_probe(_: &str, parameters: ValueDeserializer<'_>) -> Result<DiskFree, TomlError> {
        DiskFree::deserialize(parameters)
    }

    fn outputs(_: &Action) -> Vec<(&str, OutputType)> {
        vec![
            ("bytes", OutputType::Integer),
            ("digest", OutputType::String),
            ("names", OutputType::List),
            ("pass", OutputType::Secret),
        ]
    }

    fn way_back(action: &Action) -> WayBack {
        match action {
            Action::Write(_) => WayBack::Undo,
            Action::Drop(_) => WayBack::Irreversible { why: "the rows are gone".into() },
        }
    }

    fn scope(action: &Action) -> Scope {
        match action {
            Action::Write(_) => Scope::EachHost,
            Action::Drop(_) => Scope::Once,
        }
    }
}

pub(super) const WORKSPACE: &str = r#"runbook = "runbook.toml"
fleet = "acme"

[inputs]
public_host = "f2.example"

[ssh]
user = "ops"
identity = "secrets/id_ed25519"

[[host]]
name = "node-1"
address = "10.77.0.11"
private_address = "10.88.0.11"
roles = ["postgres"]

[[host]]
name = "web-1"
address = "10.77.0.21"
roles = ["web"]
jump = "node-1"

[[host]]
name = "web-2"
address = "10.77.0.22"
roles = ["web"]
port = 2222
user = "root"

[s3]
endpoint = "https://s3.lab:8443"
region = "lab"
bucket = "backups"
access_key = { file = "secrets/s3-access" }
secret_key = { env = "S3_SECRET" }

[postgres]
instance = "systemd"
role = "postgres"
version = "17"

[pgbackrest]
cipher_pass = { file = "secrets/cipher" }

[age]
recipients = ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]
identity = { sops = "secrets.yaml#age.identity" }
"#;

pub(super) const RUNBOOK: &str = r#"[runbook]
name = "synthetic"
title = "Two phases"
summary = "For the tests of loading."

[inputs.public_host]
type = "string"
help = "the name that customers use"

[inputs.port]
type = "integer"
help = "the port that it answers on"
default = 443

[roles.postgres]
help = "where PostgreSQL runs"
max = 1

[roles.web]
help = "where the web server runs"
min = 2

[[component]]
name = "postgres"
tier = "1"
replicas = 1
rpo = "60s"
proven_by = ["restore"]

[[phase]]
id = "0"
title = "First"

[[phase.step]]
id = "inspect"
title = "Look around"
on = "postgres"

[phase.step.action.write]
path = "/tmp/${host.name}"
text = "${s3.bucket} of ${workspace.fleet} on ${host.private_address}"
port = "${inputs.port}"

[[phase.step.require]]
disk_free = { path = "/", at_least = "1GiB" }

[[phase]]
id = "1"
title = "Second"

[[phase.step]]
id = "retire"
title = "Drop the old database"
on = "postgres"
gate = "type"
timeout = "90s"

[phase.step.action.drop]
database = "old-${steps.inspect.digest}"
"#;

/// A file that differs from a good one in one place.
pub(super) fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in the text");
    text.replacen(from, to, 1)
}

pub(super) fn write(folder: &Path, workspace: &str, runbook: &str) {
    fs::write(folder.join("hactl.toml"), workspace).unwrap();
    fs::write(folder.join("runbook.toml"), runbook).unwrap();
}

pub(super) fn load_texts(workspace: &str, runbook: &str) -> Result<Loaded> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), workspace, runbook);
    load::<Synthetic>(&folder.path().join("hactl.toml"))
}

/// What the operator reads, without colour, 100 columns wide, and the same wherever the files lie.
pub(super) fn shown(workspace: &str, runbook: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), workspace, runbook);
    match load::<Synthetic>(&folder.path().join("hactl.toml")) {
        Ok(_) => "no problems".to_owned(),
        Err(error) => render(&error).replace(&format!("{}/", folder.path().display()), ""),
    }
}

pub(super) fn render(error: &Error) -> String {
    let mut text = String::new();
    let theme = GraphicalTheme::unicode_nocolor();
    let handler = GraphicalReportHandler::new_themed(theme).with_width(100).with_links(false);
    handler.render_report(&mut text, error).unwrap();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}
