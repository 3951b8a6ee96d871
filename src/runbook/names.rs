//! What the name in a reference stands for, while loading and while running.
//!
//! Invariant: both times follow one set of rules, so that what loading accepts has a value when it is wanted: while
//! loading, an output is an exemplar of its declared type; while running, it is the journaled value.

use std::collections::{BTreeMap, BTreeSet};

use super::bindings::{Bindings, Given};
use super::{Input, InputType, Role, Runbook, Value};
use crate::diagnostic::{Code, codes};
use crate::document::suggest;
use crate::journal::record::OutputValue;
use crate::name::{HostName, OutputName, RoleName, StepId};
use crate::step::{OutputType, Scope};
use crate::workspace::{Host, Workspace};

/// Why a reference has no value.
#[derive(Debug)]
pub(super) struct RefProblem {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// The reference as it is written, where it is clear which.
    pub(super) written: Option<String>,
}

impl RefProblem {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None, written: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn about(mut self, reference: &str) -> Self {
        self.written = Some(format!("${{{reference}}}"));
        self
    }

    fn unknown(message: impl Into<String>) -> Self {
        Self::new(codes::RUNBOOK_UNKNOWN_REFERENCE, message)
    }
}

type Found = Result<Value, RefProblem>;

/// What is known where a reference stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    pub(super) inputs: &'a [Input],
    pub(super) roles: &'a [Role],
    /// None where a runbook is looked at by itself.
    pub(super) workspace: Option<&'a Workspace>,
    pub(super) here: Here<'a>,
    /// While loading, the role that the step runs on; what holds must hold on each of its hosts.
    pub(super) role: Option<&'a RoleName>,
    pub(super) steps: Steps<'a>,
}

/// Where the step runs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Here<'a> {
    /// On the operator's machine.
    Operator,
    /// On a host that is not known while a runbook is looked at by itself.
    SomeHost,
    /// On this host.
    Host(&'a Host),
}

/// What steps give.
#[derive(Clone, Copy, Debug)]
pub(super) enum Steps<'a> {
    /// While loading: what the steps before this one declare, and the ids of all.
    Declared { before: &'a BTreeMap<StepId, Declared>, all: &'a BTreeSet<StepId> },
    /// While running: what they gave.
    Journaled { outputs: &'a dyn Given, runbook: &'a Runbook },
}

/// What a step declares.
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) on: Option<RoleName>,
    /// None where the step has problems of its own: then nothing is said about its outputs.
    pub(super) outputs: Option<(Scope, Vec<(String, OutputType)>)>,
}

const ROOTS: &[&str] = &["inputs", "steps", "role", "hosts", "host", "workspace", "s3", "postgres", "age"];

impl<'a> Names<'a> {
    pub(super) fn running(bindings: &Bindings<'a>) -> Self {
        Self {
            inputs: &bindings.runbook.inputs,
            roles: &bindings.runbook.roles,
            workspace: Some(bindings.workspace),
            here: bindings.host.map_or(Here::Operator, Here::Host),
            role: None,
            steps: Steps::Journaled { outputs: bindings.outputs, runbook: bindings.runbook },
        }
    }

    /// The value of `${reference}`.
    pub(super) fn value(&self, reference: &str) -> Found {
        let (root, rest) = reference.split_once('.').unwrap_or((reference, ""));
        match root {
            "inputs" => self.input(rest),
            "steps" => self.output(rest),
            "role" => self.only_host(rest).and_then(|host| self.host_field(host, "name")).map(Value::Text),
            "hosts" => {
                let (role, field) = rest.rsplit_once('.').unwrap_or((rest, ""));
                known_field(reference, field, HOST_FIELDS)?;
                self.only_host(role).and_then(|host| self.host_field(host, field)).map(Value::Text)
            }
            "host" => {
                known_field(reference, rest, HOST_FIELDS)?;
                match self.here {
                    Here::Operator => Err(RefProblem::unknown(format!(
                        "${{{reference}}}: the step runs on the operator's machine"
                    ))
                    .help("give the step on = \"role\", or name the host by ${hosts.<role>.address}")),
                    Here::SomeHost => self.host_field(None, rest).map(Value::Text),
                    Here::Host(host) => self.host_field(Some(host), rest).map(Value::Text),
                }
            }
            "workspace" => {
                known_field(reference, rest, &["fleet"])?;
                Ok(Value::Text(self.workspace.map_or_else(|| "example".into(), |w| w.fleet.to_string())))
            }
            "s3" => self.s3(reference, rest),
            "postgres" => self.postgres(reference, rest),
            "age" => {
                known_field(reference, rest, &["recipients"])?;
                self.section(reference, "age", |w| w.age.as_ref().map(|age| age.recipients.clone()))
                    .map(|found| found.map_or_else(|| InputType::List.exemplar(), Value::List))
            }
            _ => Err(RefProblem::unknown(format!("${{{reference}}} begins with nothing that is known"))
                .help(format!("{}; where ${{ itself is meant, write $${{", suggest(root, ROOTS)))),
        }
    }

    fn input(&self, name: &str) -> Found {
        let Some(input) = self.inputs.iter().find(|input| input.name == name) else {
            let known: Vec<&str> = self.inputs.iter().map(|input| input.name.as_str()).collect();
            return Err(RefProblem::unknown(format!("${{inputs.{name}}}: there is no such input"))
                .help(suggest(name, &known)));
        };
        let given = self.workspace.and_then(|workspace| workspace.inputs.get(name));
        let value = given.filter(|value| input.value_type.accepts(value)).or(input.default.as_ref());
        match (value, self.steps) {
            (Some(value), _) => Ok(value.clone()),
            // That it is missing is said once, where inputs are checked.
            (None, Steps::Declared { .. }) => Ok(input.value_type.exemplar()),
            (None, Steps::Journaled { .. }) => {
                Err(RefProblem::new(codes::RUNBOOK_MISSING_INPUT, format!("the input {name} is not given")))
            }
        }
    }

    /// The only host of a role; none where there is no workspace to ask.
    fn only_host(&self, role: &str) -> Result<Option<&'a Host>, RefProblem> {
        let Some(declared) = self.roles.iter().find(|r| r.name.as_str() == role) else {
            let known: Vec<&str> = self.roles.iter().map(|r| r.name.as_str()).collect();
            return Err(RefProblem::unknown(format!("there is no role {role:?}")).help(suggest(role, &known)));
        };
        let Some(workspace) = self.workspace else { return Ok(None) };
        let mut hosts = workspace.hosts_in(&declared.name);
        match (hosts.next(), hosts.count()) {
            (Some(host), 0) => Ok(Some(host)),
            (None, _) => match self.steps {
                // That it has none is said once, where roles are checked.
                Steps::Declared { .. } if declared.min > 0 => Ok(None),
                Steps::Declared { .. } | Steps::Journaled { .. } => {
                    Err(RefProblem::unknown(format!("the role {role} has no host")))
                }
            },
            (Some(_), more) => Err(RefProblem::new(
                codes::RUNBOOK_ILL_TYPED_REFERENCE,
                format!("the role {role} has {} hosts, and this reference wants one", more + 1),
            )
            .help("use ${host.…} in a step that runs on the role")),
        }
    }

    /// A field of a host. A host without a private address is reached by its address from everywhere.
    fn host_field(&self, host: Option<&Host>, field: &str) -> Result<String, RefProblem> {
        // From the range that is reserved for documentation.
        const SOMEWHERE: &str = "192.0.2.1";
        let Some(host) = host else {
            return Ok(if field == "name" { "example" } else { SOMEWHERE }.to_owned());
        };
        let address = match field {
            "name" => return Ok(host.name.to_string()),
            "private_address" => host.neighbours_reach_it_at(),
            _ => host.reached_at(),
        };
        match (address, &self.steps) {
            (Some(address), _) => Ok(address.to_string()),
            (None, Steps::Declared { .. }) => Ok(SOMEWHERE.to_owned()),
            (None, Steps::Journaled { .. }) => {
                let server = host.server.as_ref().map_or("", |server| server.name.as_str());
                let text = format!("the server {server} of the host {} is not made yet", host.name);
                Err(RefProblem::new(codes::SSH_NO_SERVER, text))
            }
        }
    }

    fn output(&self, rest: &str) -> Found {
        let Some((place, output)) = rest.rsplit_once('.') else {
            return Err(RefProblem::unknown(format!("${{steps.{rest}}} names no output"))
                .help("write ${steps.<step>.<output>} or ${steps.<step>.<host>.<output>}"));
        };
        match self.steps {
            Steps::Declared { before, all } => self.declared_output(place, output, before, all),
            Steps::Journaled { outputs, runbook } => self.journaled_output(place, output, outputs, runbook),
        }
    }

    fn declared_output(
        &self,
        place: &str,
        output: &str,
        before: &BTreeMap<StepId, Declared>,
        all: &BTreeSet<StepId>,
    ) -> Found {
        let id = split_place(place).find(|(id, _)| all.contains(id));
        let Some((id, host)) = id else {
            let known: Vec<&str> = before.keys().map(StepId::as_str).collect();
            return Err(
                RefProblem::unknown(format!("there is no step {place:?}")).help(suggest(place, &known))
            );
        };
        let Some(step) = before.get(&id) else {
            return Err(RefProblem::new(
                codes::RUNBOOK_FORWARD_REFERENCE,
                format!(
                    "the step {id} does not come before this one, so its output {output} is not known here"
                ),
            )
            .help(format!("move the step {id} before this one")));
        };
        let Some((scope, outputs)) = &step.outputs else { return Ok(Value::Text("example".into())) };
        let Some((_, output_type)) = outputs.iter().find(|(name, _)| name == output) else {
            let known: Vec<&str> = outputs.iter().map(|(name, _)| name.as_str()).collect();
            return Err(RefProblem::unknown(format!("the step {id} has no output {output:?}"))
                .help(suggest(output, &known)));
        };
        self.which_host(&id, step, *scope, host.as_ref())?;
        match output_type {
            OutputType::String => Ok(InputType::String.exemplar()),
            OutputType::Integer => Ok(InputType::Integer.exemplar()),
            OutputType::Boolean => Ok(InputType::Boolean.exemplar()),
            OutputType::List => Ok(InputType::List.exemplar()),
            OutputType::Secret => Err(secret(&id, output)),
        }
    }

    /// Whether it is clear which host's output is meant.
    fn which_host(
        &self,
        id: &StepId,
        step: &Declared,
        scope: Scope,
        host: Option<&HostName>,
    ) -> Result<(), RefProblem> {
        let (Some(workspace), Some(role)) = (self.workspace, &step.on) else {
            return match host.filter(|_| step.on.is_none()) {
                Some(host) => Err(RefProblem::unknown(format!("the step {id} did not run on {host}"))
                    .help(format!("it runs on the operator's machine: write ${{steps.{id}.<output>}}"))),
                None => Ok(()),
            };
        };
        let hosts: Vec<&str> = workspace.hosts_in(role).map(|h| h.name.as_str()).collect();
        if let Some(host) = host {
            return if hosts.contains(&host.as_str()) {
                Ok(())
            } else {
                Err(RefProblem::unknown(format!("the step {id} does not run on {host}"))
                    .help(suggest(host.as_str(), &hosts)))
            };
        }
        let own = self
            .role
            .is_some_and(|own| workspace.hosts_in(own).all(|here| hosts.contains(&here.name.as_str())));
        if scope == Scope::Once || hosts.len() < 2 || own {
            return Ok(());
        }
        let message = format!("the step {id} runs on {} hosts, and each has its own output", hosts.len());
        let help = format!("say which: ${{steps.{id}.<host>.<output>}}, with one of {}", hosts.join(", "));
        Err(RefProblem::new(codes::RUNBOOK_ILL_TYPED_REFERENCE, message).help(help))
    }

    fn journaled_output(&self, place: &str, output: &str, outputs: &dyn Given, runbook: &Runbook) -> Found {
        let name = OutputName::new(output).map_err(|e| RefProblem::unknown(format!("{output:?}: {e}")))?;
        let not_yet = || {
            RefProblem::new(
                codes::RUNBOOK_UNRESOLVED,
                format!("${{steps.{place}.{output}}} has no value yet: that step has not been carried out"),
            )
        };
        for (id, host) in split_place(place) {
            let host = host.or_else(|| self.own_host(&id, runbook));
            let given: Vec<&OutputValue> = outputs
                .by(&id)
                .into_iter()
                .filter(|(place, _)| host.is_none() || place.host == host)
                .filter_map(|(_, values)| values.get(&name))
                .collect();
            match given.as_slice() {
                [] => {}
                [value] => {
                    return match value {
                        OutputValue::String(text) => Ok(Value::Text(text.clone())),
                        OutputValue::Integer(number) => Ok(Value::Integer(*number)),
                        OutputValue::Boolean(value) => Ok(Value::Boolean(*value)),
                        OutputValue::List(texts) => Ok(Value::List(texts.clone())),
                        OutputValue::Secret { .. } => Err(secret(&id, output)),
                    };
                }
                [_, _, ..] => {
                    return Err(RefProblem::new(
                        codes::RUNBOOK_ILL_TYPED_REFERENCE,
                        format!("the step {id} gave {output} on several hosts"),
                    )
                    .help(format!("say which: ${{steps.{id}.<host>.{output}}}")));
                }
            }
        }
        Err(not_yet())
    }

    /// The host of this step, where that step runs on it too.
    fn own_host(&self, id: &StepId, runbook: &Runbook) -> Option<HostName> {
        let Here::Host(here) = self.here else { return None };
        let role = runbook.step(id)?.1.on.as_ref()?;
        here.roles.contains(role).then(|| here.name.clone())
    }

    fn s3(&self, reference: &str, field: &str) -> Found {
        known_field(reference, field, &["bucket", "endpoint", "region"])?;
        let found = self.section(reference, "s3", |w| {
            w.s3.as_ref().map(|s3| match field {
                "bucket" => s3.bucket.clone(),
                "endpoint" => s3.endpoint.clone(),
                _ => s3.region.clone(),
            })
        })?;
        Ok(Value::Text(found.unwrap_or_else(|| "https://example".into())))
    }

    fn postgres(&self, reference: &str, field: &str) -> Found {
        known_field(reference, field, &["version", "cluster", "port", "socket_dir", "role"])?;
        let found = self.section(reference, "postgres", |w| {
            w.postgres.as_ref().map(|postgres| match field {
                "version" => Value::Text(postgres.version.clone()),
                "cluster" => Value::Text(postgres.cluster.clone()),
                "port" => Value::Integer(i64::from(postgres.port)),
                "role" => Value::Text(postgres.role.to_string()),
                _ => Value::Text(postgres.socket_dir.display().to_string()),
            })
        })?;
        Ok(found
            .unwrap_or_else(|| if field == "port" { Value::Integer(5432) } else { Value::Text("17".into()) }))
    }

    /// Something of a section of the workspace; none where there is no workspace to ask.
    fn section<T>(
        &self,
        reference: &str,
        section: &str,
        read: impl Fn(&Workspace) -> Option<T>,
    ) -> Result<Option<T>, RefProblem> {
        let Some(workspace) = self.workspace else { return Ok(None) };
        match read(workspace) {
            Some(value) => Ok(Some(value)),
            None => Err(RefProblem::unknown(format!("${{{reference}}}: the workspace has no [{section}]"))
                .help(format!("add [{section}] to hactl.toml"))),
        }
    }
}

fn secret(id: &StepId, output: &str) -> RefProblem {
    RefProblem::new(
        codes::RUNBOOK_ILL_TYPED_REFERENCE,
        format!("the output {output} of step {id} is a secret, and those cannot be referred to yet"),
    )
}

const HOST_FIELDS: &[&str] = &["name", "address", "private_address"];

fn known_field(reference: &str, field: &str, known: &[&str]) -> Result<(), RefProblem> {
    if known.contains(&field) {
        return Ok(());
    }
    Err(RefProblem::unknown(format!("${{{reference}}}: there is no {field:?} here"))
        .help(suggest(field, known)))
}

/// The ways to read `place` as a step, or as a step and a host; both may hold dots.
fn split_place(place: &str) -> impl Iterator<Item = (StepId, Option<HostName>)> {
    let whole = StepId::new(place).ok().map(|id| (id, None));
    let splits = place.match_indices('.').filter_map(|(at, _)| {
        Some((StepId::new(&place[..at]).ok()?, Some(HostName::new(&place[at + 1..]).ok()?)))
    });
    whole.into_iter().chain(splits)
}
