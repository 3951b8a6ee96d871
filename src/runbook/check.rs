//! What a runbook means: kinds, references, gates, roles, inputs; alone and in its workspace.

use std::collections::{BTreeMap, BTreeSet};

use super::flaws;
use super::model::Draft;
use super::names::{Declared, Here, Names, Steps};
use super::params;
use super::refs::replace;
use super::servers;
use super::{Call, Gate, Input, Kinds, Runbook, SignedBy, Step};
use crate::diagnostic::codes;
use crate::document::{Found, Node, Syntax, suggest, unique};
use crate::name::StepId;
use crate::step::{Scope, WayBack};
use crate::workspace::{self, Workspace};

/// Checks a runbook by itself.
pub(super) fn by_itself<K: Kinds>(draft: &mut Draft) {
    if draft.syntax == Syntax::Sound {
        steps::<K>(&draft.runbook, &mut draft.found, None);
        flaws::public_names(&draft.runbook, &mut draft.found);
        servers::of_roles(&draft.runbook, &mut draft.found);
        flaws::cost_estimate(&draft.runbook, &mut draft.found, None);
    }
}

/// Checks a runbook and the workspace that it is to be carried out on, against each other.
pub(super) fn in_workspace<K: Kinds>(draft: &mut Draft, place: &mut workspace::load::Draft) {
    match (draft.syntax, place.syntax) {
        (Syntax::Sound, Syntax::Sound) => {
            steps::<K>(&draft.runbook, &mut draft.found, Some(&place.workspace));
            flaws::public_names(&draft.runbook, &mut draft.found);
            servers::of_roles(&draft.runbook, &mut draft.found);
            flaws::cost_estimate(&draft.runbook, &mut draft.found, Some(&place.workspace));
            inputs(&draft.runbook, place);
            roles(&draft.runbook, place);
        }
        // What a broken file says is not the whole of it, so nothing is compared with it.
        (Syntax::Sound, Syntax::Broken) => by_itself::<K>(draft),
        (Syntax::Broken, Syntax::Sound | Syntax::Broken) => {}
    }
}

/// Remarks ids that are given twice. It looks at the tree, since a step may lack much else.
pub(super) fn ids(root: &Node, found: &mut Found) {
    let tables = |node: &Node, key: &str| -> Vec<Node> {
        node.get(key).and_then(Node::as_array).map(<[Node]>::to_vec).unwrap_or_default()
    };
    let phases = tables(root, "phase");
    unique(found, "phase", "id", &phases);
    let steps: Vec<Node> = phases.iter().flat_map(|phase| tables(phase, "step")).collect();
    unique(found, "step", "id", &steps);
    unique(found, "component", "name", &tables(root, "component"));
}

fn steps<K: Kinds>(runbook: &Runbook, found: &mut Found, workspace: Option<&Workspace>) {
    let all: BTreeSet<StepId> = runbook.steps().map(|(_, step)| step.id.clone()).collect();
    let mut before = BTreeMap::new();
    for (_, step) in runbook.steps() {
        let here = match (&step.on, workspace) {
            (None, _) => Here::Operator,
            (Some(role), Some(workspace)) => {
                workspace.hosts_in(role).next().map_or(Here::SomeHost, Here::Host)
            }
            (Some(_), None) => Here::SomeHost,
        };
        let names = Names {
            inputs: &runbook.inputs,
            roles: &runbook.roles,
            workspace,
            here,
            role: step.on.as_ref(),
            steps: Steps::Declared { before: &before, all: &all },
        };
        role_of(found, runbook, step);
        let action = typed(found, &step.action, &K::action_names(), &names, K::parse_action);
        for probe in step.require.iter().chain(&step.verify) {
            typed(found, probe, &K::probe_names(), &names, K::parse_probe);
        }
        if let Some(action) = &action {
            gate(found, step, &K::way_back(action));
            signed_by(found, step, workspace);
            happens_once(found, step, K::scope(action), workspace);
        }
        let outputs = action.map(|action| {
            let outputs = K::outputs(&action).into_iter().map(|(name, t)| (name.to_owned(), t)).collect();
            (K::scope(&action), outputs)
        });
        before.insert(step.id.clone(), Declared { on: step.on.clone(), outputs });
    }
}

/// The typed form of an action or a probe, with exemplars for what is not known yet.
fn typed<T>(
    found: &mut Found,
    call: &Call,
    known: &[&str],
    names: &Names<'_>,
    parse: impl Fn(&str, toml::de::ValueDeserializer<'_>) -> Result<T, toml::de::Error>,
) -> Option<T> {
    // A missing kind was remarked when the structure was read.
    if call.kind.is_empty() {
        return None;
    }
    if !known.contains(&call.kind.as_str()) {
        found
            .add(codes::RUNBOOK_UNKNOWN_KIND, format!("there is no kind {:?}", call.kind))
            .at(call.span.clone(), "not known")
            .help(suggest(&call.kind, known));
        return None;
    }
    let replaced = replace(&call.parameters, names);
    let sound = replaced.problems.is_empty();
    for (span, problem) in replaced.problems {
        let span = problem.written.map_or_else(|| span.clone(), |written| found.narrow(&span, &written));
        found.add(problem.code, problem.message).at(span, "here").help_if(problem.help);
    }
    // A reference without a value would only cause complaints about its text.
    if !sound {
        return None;
    }
    params::parse(found, &call.kind, replaced.node, &replaced.replaced, parse)
}

fn gate(found: &mut Found, step: &Step, way_back: &WayBack) {
    match way_back {
        WayBack::Irreversible { why } if step.gate < Gate::Type => {
            found
                .add(
                    codes::RUNBOOK_GATE_TOO_WEAK,
                    format!("step {} cannot be taken back ({why}), and its gate is {}", step.id, step.gate),
                )
                .at(step.gate_span.clone(), "too weak")
                .help("write gate = \"type\": the operator then types the host's or the database's name");
        }
        WayBack::Irreversible { .. } | WayBack::Nothing | WayBack::Undo | WayBack::Compensate(_) => {}
    }
}

fn signed_by(found: &mut Found, step: &Step, workspace: Option<&Workspace>) {
    let mut remark = |message: &str, help: &str| {
        found
            .add(codes::RUNBOOK_GATE_SIGN, format!("step {}: {message}", step.id))
            .at(step.gate_span.clone(), "this gate")
            .help(help);
    };
    let approvals = workspace.map(|workspace| &workspace.approvals);
    match (step.gate, step.signed_by, approvals) {
        (Gate::Sign, _, Some(None)) => remark(
            "its gate takes a signature, and hactl.toml does not say whose",
            "write [approvals] allowed_signers = \"allowed_signers\" in hactl.toml: a file as ssh-keygen -Y verify reads it",
        ),
        (Gate::Sign, SignedBy::AnotherPerson, Some(Some(approvals))) if approvals.operators.is_empty() => {
            remark(
                "its gate takes the signature of another person, and hactl.toml does not say who operates",
                "write [approvals] operators = [\"you@example\"] in hactl.toml: the principals whose signature does not count",
            )
        }
        (Gate::None | Gate::Confirm | Gate::Type, SignedBy::AnotherPerson, _) => remark(
            "only a signature can be another person's",
            "write gate = \"sign\", or leave signed_by out",
        ),
        (Gate::Sign, SignedBy::Anyone | SignedBy::AnotherPerson, _)
        | (Gate::None | Gate::Confirm | Gate::Type, SignedBy::Anyone, _) => {}
    }
}

fn role_of(found: &mut Found, runbook: &Runbook, step: &Step) {
    let Some(role) = &step.on else { return };
    let known: Vec<&str> = runbook.roles.iter().map(|role| role.name.as_str()).collect();
    if !known.contains(&role.as_str()) {
        found
            .add(codes::RUNBOOK_UNKNOWN_ROLE, format!("step {}: there is no role {role:?}", step.id))
            .at(step.on_span.clone(), "not declared")
            .help(suggest(role.as_str(), &known));
    }
}

fn happens_once(found: &mut Found, step: &Step, scope: Scope, workspace: Option<&Workspace>) {
    let (Scope::Once, Some(role), Some(workspace)) = (scope, &step.on, workspace) else { return };
    let hosts = workspace.hosts_in(role).count();
    if hosts > 1 {
        found
            .add(
                codes::RUNBOOK_ROLE_HOSTS,
                format!("step {} happens once, and the role {role} has {hosts} hosts", step.id),
            )
            .at(step.on_span.clone(), "on which of them?")
            .help("give the step a role of its own that one host has");
    }
}

fn inputs(runbook: &Runbook, place: &mut workspace::load::Draft) {
    let known: Vec<&str> = runbook.inputs.iter().map(|input| input.name.as_str()).collect();
    for (name, (key, value)) in &place.inputs {
        let Some(input) = runbook.inputs.iter().find(|input| input.name == *name) else {
            place
                .found
                .add(codes::RUNBOOK_UNKNOWN_INPUT, format!("{} has no input {name:?}", runbook.name))
                .at(key.clone(), "not declared")
                .help(suggest(name, &known));
            continue;
        };
        let given = place.workspace.inputs.get(name);
        if !given.is_some_and(|given| input.value_type.accepts(given)) {
            place
                .found
                .add(
                    codes::RUNBOOK_ILL_TYPED_INPUT,
                    format!("the input {name} is not {}", input.value_type.with_article()),
                )
                .at(value.clone(), format!("{} is wanted here", input.value_type.with_article()))
                .help(&input.help);
        }
    }
    for input in &runbook.inputs {
        if input.default.is_none() && !place.inputs.contains_key(&input.name) {
            let Input { name, value_type, help, .. } = input;
            place
                .found
                .add(codes::RUNBOOK_MISSING_INPUT, format!("the input {name} is not given"))
                .at(place.inputs_span.clone(), format!("{name} belongs here"))
                .help(format!("under [inputs], write {name} = … ({}): {help}", value_type.with_article()));
        }
    }
}

fn roles(runbook: &Runbook, place: &mut workspace::load::Draft) {
    for role in &runbook.roles {
        let hosts = place.workspace.hosts_in(&role.name).count();
        let many = |n: usize| if n == 1 { "1 host".to_owned() } else { format!("{n} hosts") };
        let message = match role.max {
            _ if hosts == 0 && role.min > 0 => format!("no host has the role {}", role.name),
            _ if hosts < role.min => {
                format!("{} has the role {}, and at least {} are wanted", many(hosts), role.name, role.min)
            }
            Some(max) if hosts > max => {
                format!("{} have the role {}, and at most {max} may", many(hosts), role.name)
            }
            Some(_) | None => continue,
        };
        place
            .found
            .add(codes::RUNBOOK_ROLE_HOSTS, message)
            .at(place.runbook_span.clone(), format!("{} wants it", runbook.name))
            .help(format!("{}: {}; roles = [\"{0}\"] in a [[host]] gives it", role.name, role.help));
    }
}
