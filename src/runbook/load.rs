//! From files to a checked workspace and runbook, or to one error with every problem of both.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::check;
use super::model::Draft;
use super::{
    Call, Component, CostEstimate, Gate, Input, InputType, Kinds, Origin, Phase, PublicName, Role, Runbook,
    SignedBy, Step, Value, bundled,
};
use crate::diagnostic::{Error, Problems, Result, Source, codes};
use crate::digest::Digest;
use crate::document::{Document, Found, Key, Need, Node, Reader, Syntax, suggest};
use crate::name::{PhaseId, RoleName, RunbookName, StepId};
use crate::units::HumanDuration;
use crate::workspace::{self, RunbookChoice, Workspace};

/// A workspace with its runbook, both without problems.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The workspace.
    pub workspace: Workspace,
    /// Its runbook.
    pub runbook: Runbook,
    /// The bytes of `hactl.toml`.
    pub workspace_bytes: Arc<[u8]>,
}

/// A step's timeout where it says none.
const DEFAULT_TIMEOUT: HumanDuration = HumanDuration::from_secs(60);
/// On how many hosts a step runs at the same time where it says nothing.
const DEFAULT_PARALLEL: usize = 8;

/// Loads `hactl.toml` at `file`, and the runbook that it names.
///
/// # Errors
/// Every problem of both files, as one error.
pub fn load<K: Kinds>(file: &Path) -> Result<Loaded> {
    let bytes = std::fs::read(file).map_err(|e| {
        Error::new(codes::WORKSPACE_NOT_FOUND, format!("{} could not be read", file.display()))
            .source(e)
            .next("give --workspace the folder with hactl.toml, or the file itself")
    })?;
    load_with::<K>(file, &bytes, None)
}

/// Loads what was kept when a run started: the bytes of the `hactl.toml` that was at `file`, and of its runbook.
///
/// # Errors
/// Every problem of both, as one error.
pub fn load_kept<K: Kinds>(file: &Path, workspace: &[u8], runbook: &[u8]) -> Result<Loaded> {
    load_with::<K>(file, workspace, Some(runbook))
}

/// Loads a runbook by itself, without a workspace to check it against.
///
/// # Errors
/// Every problem of it, as one error.
pub fn parse<K: Kinds>(shown_as: &str, bytes: &[u8], origin: Origin) -> Result<Runbook> {
    let mut draft = read(shown_as, bytes, origin);
    check::by_itself::<K>(&mut draft);
    let message = draft.found.count().unwrap_or_default();
    let mut problems = Problems::default();
    draft.found.into_problems(&mut problems);
    problems.into_result(codes::FILES_INVALID, message, draft.runbook)
}

fn load_with<K: Kinds>(file: &Path, bytes: &[u8], kept: Option<&[u8]>) -> Result<Loaded> {
    let mut workspace = workspace::load::read(file, bytes);
    let draft = match kept {
        Some(kept) => Some(read("runbook kept when the run started", kept, Origin::Kept(Digest::of(kept)))),
        None => chosen(&mut workspace)?,
    };
    let mut problems = Problems::default();
    let runbook = draft.map(|mut draft| {
        check::in_workspace::<K>(&mut draft, &mut workspace);
        (draft.runbook, draft.found)
    });
    let counts = [workspace.found.count(), runbook.as_ref().and_then(|(_, found)| found.count())];
    let message = counts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    workspace.found.into_problems(&mut problems);
    let Some((runbook, found)) = runbook else {
        problems.into_result(codes::FILES_INVALID, message, ())?;
        return Err(Error::new(codes::INTERNAL, "a workspace without a runbook and without a problem"));
    };
    found.into_problems(&mut problems);
    let loaded = Loaded { workspace: workspace.workspace, runbook, workspace_bytes: Arc::from(bytes) };
    problems.into_result(codes::FILES_INVALID, message, loaded)
}

/// The runbook that the workspace names; none, after a remark, where there is none.
fn chosen(draft: &mut workspace::load::Draft) -> Result<Option<Draft>> {
    let Some((choice, span)) = draft.choice.clone() else { return Ok(None) };
    match choice {
        RunbookChoice::Bundled(name) => match bundled::text(&name) {
            Some(text) => Ok(Some(read(&format!("{name}.toml (bundled)"), text.as_bytes(), Origin::Bundled))),
            None => {
                let help = format!(
                    "{}; a runbook of your own is named by its path, such as \"./{name}.toml\"",
                    suggest(name.as_str(), &bundled::names())
                );
                draft
                    .found
                    .add(codes::RUNBOOK_NOT_FOUND, format!("there is no bundled runbook {name:?}"))
                    .at(span, "not known")
                    .help(help);
                Ok(None)
            }
        },
        RunbookChoice::File(path) => match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(read(&workspace::shown(&path), &bytes, Origin::File(path)))),
            Err(error) => {
                draft
                    .found
                    .add(codes::RUNBOOK_NOT_FOUND, format!("the runbook could not be read: {error}"))
                    .at(span, "this file")
                    .help("the path begins at the folder of hactl.toml");
                Ok(None)
            }
        },
    }
}

/// Reads a runbook's structure; what its steps do is checked later.
pub(super) fn read(shown_as: &str, bytes: &[u8], origin: Origin) -> Draft {
    let Document { root, mut found, syntax } = Document::parse(shown_as, bytes);
    // With parts of the tree missing, nothing can be said but that.
    let mut unheard = Found::new(shown_as, "");
    let heard = match syntax {
        Syntax::Sound => &mut found,
        Syntax::Broken => &mut unheard,
    };
    let source = heard.shown();
    let mut top = Reader::new(heard, &root, "the runbook");
    let mut runbook = Runbook {
        name: RunbookName::unnamed(),
        title: String::new(),
        summary: String::new(),
        cost_estimate: None,
        public_names: Vec::new(),
        inputs: Vec::new(),
        roles: Vec::new(),
        components: Vec::new(),
        phases: Vec::new(),
        origin,
        bytes: Arc::from(bytes),
    };
    match top.get("runbook") {
        Some(node) => {
            let mut about = Reader::new(heard, node, "[runbook]");
            if let Some(name) = about.parsed(heard, "name", Need::Required) {
                runbook.name = name;
            }
            runbook.title = text(heard, &mut about, "title", Need::Required);
            runbook.summary = text(heard, &mut about, "summary", Need::Optional);
            let input = optional(heard, &mut about, "cost_estimate");
            runbook.cost_estimate = input
                .zip(node.get("cost_estimate"))
                .map(|(input, node)| CostEstimate { input, span: node.span.clone() });
            about.finish(heard);
        }
        None => {
            heard.add(codes::FILE_MISSING_KEY, "the runbook lacks [runbook]").at(0..0, "here");
        }
    }
    runbook.inputs = top.entries(heard, "inputs").iter().map(|e| input(heard, e)).collect();
    runbook.roles = top.entries(heard, "roles").iter().filter_map(|e| role(heard, e)).collect();
    runbook.components = top.tables(heard, "component").iter().filter_map(|n| component(heard, n)).collect();
    runbook.public_names =
        top.tables(heard, "public_name").iter().filter_map(|n| public_name(heard, n)).collect();
    let phases = top.tables(heard, "phase");
    if phases.is_empty() {
        heard.add(codes::FILE_MISSING_KEY, "the runbook has no [[phase]]").help("a runbook has at least one");
    }
    runbook.phases = phases.iter().filter_map(|n| phase(heard, n, &source)).collect();
    top.finish(heard);
    check::ids(&root, heard);
    Draft { runbook, found, syntax }
}

/// Prose on one line: line breaks in the TOML are the author's, not those of whoever shows it.
pub(super) fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn text(found: &mut Found, table: &mut Reader<'_>, key: &'static str, need: Need) -> String {
    folded(table.string(found, key, need).unwrap_or_default())
}

fn optional(found: &mut Found, table: &mut Reader<'_>, key: &'static str) -> Option<String> {
    table.string(found, key, Need::Optional).map(folded)
}

/// One of a fixed list of words.
fn word<T: Copy>(
    found: &mut Found,
    table: &mut Reader<'_>,
    key: &'static str,
    known: &[(&str, T)],
) -> Option<T> {
    let node = table.get(key)?;
    let given = node.as_str().unwrap_or_default();
    let known_word = known.iter().find(|(word, _)| *word == given).map(|(_, value)| *value);
    if known_word.is_none() {
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        found
            .add(codes::FILE_BAD_VALUE, format!("{key} is one of {}", words.join(", ")))
            .at(node.span.clone(), "not known")
            .help(suggest(given, &words));
    }
    known_word
}

fn input(found: &mut Found, (key, node): &(Key, Node)) -> Input {
    let mut table = Reader::new(found, node, format!("[inputs.{}]", key.text));
    let value_type = word(found, &mut table, "type", InputType::NAMES);
    if value_type.is_none() && node.get("type").is_none() {
        found
            .add(codes::FILE_MISSING_KEY, format!("[inputs.{}] lacks type", key.text))
            .at(key.span.clone(), "of which type?");
    }
    let help = text(found, &mut table, "help", Need::Required);
    let default = table.get("default").map(|node| (Value::from_node(node), node));
    table.finish(found);
    // Where the type is unknown, that of the default is taken, so that nothing else is called wrong for it.
    let inferred =
        default.as_ref().and_then(|(value, _)| value.as_ref()).map_or(InputType::String, Value::value_type);
    let value_type = value_type.unwrap_or(inferred);
    let default = match default {
        None => None,
        Some((Some(value), _)) if value_type.accepts(&value) => Some(value),
        Some((_, node)) => {
            found
                .add(
                    codes::RUNBOOK_ILL_TYPED_INPUT,
                    format!("the default of {} is not {}", key.text, value_type.with_article()),
                )
                .at(node.span.clone(), format!("{} is wanted here", value_type.with_article()));
            Some(value_type.exemplar())
        }
    };
    Input { name: key.text.clone(), value_type, help, default }
}

fn public_name(found: &mut Found, node: &Node) -> Option<PublicName> {
    let mut table = Reader::new(found, node, "[[public_name]]");
    let name = text(found, &mut table, "name", Need::Required);
    let points_at = text(found, &mut table, "points_at", Need::Required);
    let span = table.get("points_at")?.span.clone();
    table.finish(found);
    Some(PublicName { name, points_at, span })
}

fn role(found: &mut Found, (key, node): &(Key, Node)) -> Option<Role> {
    let name = match RoleName::new(&key.text) {
        Ok(name) => name,
        Err(error) => {
            found.add(codes::FILE_BAD_VALUE, format!("role: {error}")).at(key.span.clone(), "not usable");
            return None;
        }
    };
    let mut table = Reader::new(found, node, format!("[roles.{name}]"));
    let help = text(found, &mut table, "help", Need::Required);
    let min = table.integer(found, "min", 0..=1000).unwrap_or(1);
    let max = table.integer(found, "max", 1..=1000);
    let servers = table.list(found, "servers");
    let servers_span = node.get("servers").map_or_else(|| key.span.clone(), |node| node.span.clone());
    table.finish(found);
    Some(Role { name, help, min, max, servers, servers_span })
}

fn component(found: &mut Found, node: &Node) -> Option<Component> {
    let mut table = Reader::new(found, node, "[[component]]");
    let name = table.parsed(found, "name", Need::Required);
    let tier = text(found, &mut table, "tier", Need::Required);
    let replicas = table.integer(found, "replicas", 1..=1000).unwrap_or(1);
    let survives = table.list(found, "survives");
    let degraded = optional(found, &mut table, "degraded");
    let rpo = table.duration(found, "rpo");
    let rto = table.duration(found, "rto");
    let proven_by = table.list(found, "proven_by");
    table.finish(found);
    Some(Component { name: name?, tier, replicas, survives, degraded, rpo, rto, proven_by })
}

fn phase(found: &mut Found, node: &Node, source: &Source) -> Option<Phase> {
    node.entries()?;
    let mut table = Reader::new(found, node, "[[phase]]");
    let id = table.parsed(found, "id", Need::Required).unwrap_or_else(PhaseId::unnamed);
    let title = text(found, &mut table, "title", Need::Required);
    let why = optional(found, &mut table, "why");
    let nodes = table.tables(found, "step");
    if nodes.is_empty() {
        found
            .add(codes::FILE_MISSING_KEY, format!("phase {id} has no [[phase.step]]"))
            .at(node.span.clone(), "a phase has at least one step");
    }
    let steps = nodes.iter().map(|node| step(found, node, source)).collect();
    table.finish(found);
    Some(Phase { id, title, why, steps })
}

fn step(found: &mut Found, node: &Node, source: &Source) -> Step {
    let mut table = Reader::new(found, node, "[[phase.step]]");
    let id = table.parsed(found, "id", Need::Required).unwrap_or_else(StepId::unnamed);
    let title = text(found, &mut table, "title", Need::Required);
    let why = optional(found, &mut table, "why");
    let on = table.parsed(found, "on", Need::Optional);
    let gate = word(found, &mut table, "gate", Gate::NAMES);
    // What is misspelt is not called too weak as well.
    let gate = gate.unwrap_or(if node.get("gate").is_some() { Gate::Type } else { Gate::None });
    let signed_by = word(found, &mut table, "signed_by", SignedBy::NAMES).unwrap_or(SignedBy::Anyone);
    let timeout = table.duration(found, "timeout").unwrap_or(DEFAULT_TIMEOUT);
    let retries = table.integer(found, "retries", 0..=100).unwrap_or(0);
    let parallel = table.integer(found, "parallel", 1..=100).unwrap_or(DEFAULT_PARALLEL);
    let action = call(found, &format!("step {id}"), table.get("action"), node.span.clone(), source);
    let span_of = |key: &str| node.get(key).map_or_else(|| node.span.clone(), |node| node.span.clone());
    let (gate_span, on_span) = (span_of("gate"), span_of("on"));
    let mut probes = |found: &mut Found, key: &'static str| -> Vec<Call> {
        let what = format!("{key} of step {id}");
        let nodes = table.tables(found, key);
        nodes.iter().map(|node| call(found, &what, Some(node), node.span.clone(), source)).collect()
    };
    let require = probes(found, "require");
    let verify = probes(found, "verify");
    table.finish(found);
    Step {
        id,
        title,
        why,
        on,
        gate,
        signed_by,
        timeout,
        retries,
        parallel,
        action,
        require,
        verify,
        gate_span,
        on_span,
    }
}

/// The only entry of a table: the kind and its parameters. A kind without a name stands for one that is missing.
fn call(
    found: &mut Found,
    what: &str,
    node: Option<&Node>,
    missing_at: Range<usize>,
    source: &Source,
) -> Call {
    let none = || Call { kind: String::new(), span: 0..0, parameters: Node::empty(), source: source.clone() };
    let entries = match node.map(|node| (node, node.entries())) {
        Some((node, None)) => {
            found
                .add(codes::FILE_ILL_TYPED, format!("{what}: a table with one kind is wanted"))
                .at(node.span.clone(), format!("this is {}", node.type_name()));
            return none();
        }
        Some((_, Some(entries))) => entries,
        None => &[],
    };
    match entries {
        [] => {
            found
                .add(codes::RUNBOOK_NO_KIND, format!("{what} has no kind"))
                .at(missing_at, "what is to be done?")
                .help("a kind is a table: [phase.step.action.<kind>], or { <kind> = { … } } for a probe");
            none()
        }
        [(key, parameters)] if parameters.entries().is_some() => Call {
            kind: key.text.clone(),
            span: key.span.clone(),
            parameters: parameters.clone(),
            source: source.clone(),
        },
        [(key, parameters)] => {
            found
                .add(codes::FILE_ILL_TYPED, format!("{what}: the parameters of {} are a table", key.text))
                .at(parameters.span.clone(), format!("this is {}", parameters.type_name()));
            none()
        }
        [(first, _), (second, _), ..] => {
            let (one, other) = (&first.text, &second.text);
            found
                .add(codes::RUNBOOK_TWO_KINDS, format!("{what} has more than one kind: {one}, {other}"))
                .at(second.span.clone(), "the second kind")
                .help("one effect, one step: make it two steps, each with its own gate and checkpoint");
            none()
        }
    }
}
