//! The cloud's servers that a runbook is about, as its steps name them: who makes a workspace asks for what they need.

use super::model::{Call, Runbook};
use super::{Input, Value, refs};
use crate::diagnostic::codes;
use crate::document::{Found, Node, suggest};
use crate::name::{PhaseId, RoleName};

/// The kind of steps that make a server, or use one that is there.
const SERVER: &str = "hcloud_server";

/// The kind of steps that let a key in.
const KEY: &str = "hcloud_ssh_key";

/// A server that a step makes, or uses as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerStep {
    /// Its name as the step writes it, such as `${inputs.second_server}`.
    pub named: String,
    /// It is there already, and is not made.
    pub adopted: bool,
    /// The phase of the step.
    pub phase: PhaseId,
    /// The roles that its host has, as the roles say.
    pub roles: Vec<RoleName>,
}

impl ServerStep {
    /// Who logs in there, where that is known: the provider's images let nobody else in.
    #[must_use]
    pub fn user(&self) -> Option<&'static str> {
        (!self.adopted).then_some("root")
    }
}

impl Runbook {
    /// The servers that its steps make or use as they are, in order.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerStep> {
        let calls = self.steps().filter(|(_, step)| step.action.kind == SERVER);
        let servers = calls.filter_map(|(phase, step)| {
            let named = named(&step.action)?;
            let having = self.roles.iter().filter(|role| role.servers.contains(&named));
            let roles = having.map(|role| role.name.clone()).collect();
            let adopted = step.action.parameters.get("adopt").and_then(Node::as_bool) == Some(true);
            Some(ServerStep { named, adopted, phase: phase.id.clone(), roles })
        });
        servers.collect()
    }

    /// The inputs that are the operator's public key, which servers let in, and the phase that needs each.
    pub fn key_inputs(&self) -> impl Iterator<Item = (&PhaseId, &Input)> {
        let keys = self.steps().filter(|(_, step)| step.action.kind == KEY);
        keys.filter_map(|(phase, step)| {
            Some((&phase.id, self.input_of(step.action.parameters.get("public_key")?.as_str()?)?))
        })
    }

    /// The input that a text is, where it is nothing but a reference to one.
    #[must_use]
    pub fn input_of(&self, text: &str) -> Option<&Input> {
        let name = text.strip_prefix("${inputs.")?.strip_suffix('}')?;
        self.inputs.iter().find(|input| input.name == name)
    }

    /// A text with the values of the inputs in it; none where one of them has none, or it refers to something else.
    #[must_use]
    pub fn with_inputs(&self, text: &str, value: impl Fn(&Input) -> Option<Value>) -> Option<String> {
        refs::with_inputs(text, |name| {
            let input = self.inputs.iter().find(|input| input.name == name)?;
            match value(input).or_else(|| input.default.clone())? {
                Value::Text(text) => Some(text),
                Value::Integer(_) | Value::Boolean(_) | Value::List(_) => None,
            }
        })
    }
}

fn named(call: &Call) -> Option<String> {
    call.parameters.get("name")?.as_str().map(ToOwned::to_owned)
}

/// Remarks roles whose servers no step makes or uses.
pub(super) fn of_roles(runbook: &Runbook, found: &mut Found) {
    let steps = runbook.steps().filter(|(_, step)| step.action.kind == SERVER);
    let known: Vec<_> = steps.filter_map(|(_, step)| named(&step.action)).collect();
    for role in &runbook.roles {
        for server in role.servers.iter().filter(|server| !known.contains(server)) {
            let known: Vec<_> = known.iter().map(String::as_str).collect();
            found
                .add(
                    codes::RUNBOOK_UNKNOWN_REFERENCE,
                    format!("role {}: no {SERVER} step has the name {server:?}", role.name),
                )
                .at(role.servers_span.clone(), "not made and not used by any step")
                .help(suggest(server, &known));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Origin, parse};
    use crate::diagnostic::codes;
    use crate::step::Table;

    const RUNBOOK: &str = r#"
[runbook]
name = "mine"
title = "Servers"
[inputs.second]
type = "string"
default = "two"
help = "The second."
[inputs.key]
type = "string"
default = ""
help = "A key."
[roles.node]
help = "all"
servers = ["one", "a-${inputs.second}"]
[[component]]
name = "c"
tier = "none"
replicas = 1
[[phase]]
id = "1"
title = "Servers"
[[phase.step]]
id = "key"
title = "Key"
action.hcloud_ssh_key = { name = "ops", public_key = "${inputs.key}" }
[[phase.step]]
id = "one"
title = "One"
action.hcloud_server = { name = "one", adopt = true }
[[phase.step]]
id = "two"
title = "Two"
action.hcloud_server = { name = "a-${inputs.second}", type = "cx33", image = "debian-13", location = "hel1" }
"#;

    #[test]
    fn a_role_names_servers_as_their_steps_do() {
        let runbook = parse::<Table>("mine", RUNBOOK.as_bytes(), Origin::Bundled).unwrap();
        let servers = runbook.servers();
        let seen: Vec<_> = servers.iter().map(|s| (s.named.as_str(), s.adopted, s.roles.len())).collect();
        assert_eq!(seen, [("one", true, 1), ("a-${inputs.second}", false, 1)]);
        assert_eq!(runbook.with_inputs(&servers[1].named, |_| None).as_deref(), Some("a-two"));
        assert_eq!(runbook.with_inputs("${inputs.no}", |_| None), None);
        assert_eq!(runbook.with_inputs("${steps.one.id}", |_| None), None);
        assert_eq!(runbook.key_inputs().map(|(_, input)| input.name.as_str()).collect::<Vec<_>>(), ["key"]);

        let wrong = RUNBOOK.replace("[\"one\",", "[\"on\",");
        let error = parse::<Table>("mine", wrong.as_bytes(), Origin::Bundled).unwrap_err();
        let [problem] = error.file_problems() else { panic!("{error:?}") };
        assert_eq!(problem.code(), codes::RUNBOOK_UNKNOWN_REFERENCE);
        assert!(
            problem.to_string().contains("role node: no hcloud_server step has the name \"on\""),
            "{problem}"
        );
    }
}
