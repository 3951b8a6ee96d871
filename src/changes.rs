//! What changed since a run began: step by step, each with the keys that differ, and what they were and are.
//!
//! Invariant: pure, and about texts only. It compares what two pairs of files say (the ones that the run keeps, and
//! the ones of now), never what they mean; whether going on is allowed is [`crate::session`]'s business.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use toml::{Table, Value};

use crate::name::{PhaseId, StepId};
use crate::runbook::Loaded;
use crate::status::places;

/// How much of a value is shown.
const SHOWN: usize = 160;

/// Everything that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Another version of hactl than the one that the run was begun with, or rebased onto.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hactl: Option<KeyChange>,
    /// The steps that differ, in the order in which they stand now; the removed ones last.
    pub steps: Vec<StepChange>,
    /// What differs in the runbook beside its steps.
    pub runbook: Vec<KeyChange>,
    /// What differs in `hactl.toml`.
    pub workspace: Vec<KeyChange>,
    /// Files that differ in comments or layout only.
    pub layout: Vec<String>,
}

/// A step that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepChange {
    /// Which.
    pub step: StepId,
    /// Its phase; of a removed step, the one it had.
    pub phase: PhaseId,
    /// What became of it.
    pub what: What,
    /// The keys that differ; of an added step what it says, of a removed one what it said.
    pub keys: Vec<KeyChange>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It says something else.
    Changed,
}

/// A key whose value differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyChange {
    /// The key, with dots.
    pub key: String,
    /// What it was; none where it was not there.
    pub old: Option<String>,
    /// What it is; none where it is no longer there.
    pub new: Option<String>,
}

impl Changes {
    /// Compares what a run keeps with what the files say now. `began_with` is the version of hactl behind the former.
    #[must_use]
    pub fn between(kept: &Loaded, now: &Loaded, began_with: &str, this_hactl: &str) -> Self {
        let (old, new) = (Said::by(kept), Said::by(now));
        let differs = |a: &str, b: &str| (a != b).then(|| KeyChange::new("version", Some(a), Some(b)));
        let mut changes = Self {
            hactl: differs(began_with, this_hactl),
            steps: steps(&old, &new),
            runbook: keys(&old.runbook, &new.runbook),
            workspace: keys(&old.workspace, &new.workspace),
            layout: Vec::new(),
        };
        if kept.workspace_bytes != now.workspace_bytes && changes.workspace.is_empty() {
            changes.layout.push("hactl.toml".to_owned());
        }
        // Hosts and inputs of a step are what hactl.toml says.
        let elsewhere = |key: &KeyChange| key.key == "hosts" || key.key.starts_with("inputs.");
        let said_nothing =
            changes.runbook.is_empty() && changes.steps.iter().all(|step| step.keys.iter().all(elsewhere));
        if kept.runbook.bytes != now.runbook.bytes && said_nothing {
            changes.layout.push("the runbook".to_owned());
        }
        changes
    }

    /// True where nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// One text for each step and file that differs: a sentence, and under it each key on a line of its own.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let mut told = Vec::new();
        if let Some(KeyChange { old: Some(old), new: Some(new), .. }) = &self.hactl {
            told.push(format!("this is hactl {new}, and the run was begun with hactl {old}"));
        }
        for StepChange { step, phase, what, keys } in &self.steps {
            told.push(match what {
                What::Added => whole(&format!("step {step} of phase {phase} is added"), keys),
                What::Removed => whole(&format!("step {step} of phase {phase} is removed"), keys),
                What::Changed => with_keys(&format!("step {step} of phase {phase} is changed"), keys),
            });
        }
        for (file, keys) in
            [("the runbook, beside its steps", &self.runbook), ("hactl.toml", &self.workspace)]
        {
            if !keys.is_empty() {
                told.push(with_keys(&format!("{file}:"), keys));
            }
        }
        told.extend(self.layout.iter().map(|file| format!("{file}: only comments or layout differ")));
        told
    }

    /// All of it in a few words.
    #[must_use]
    pub fn in_short(&self) -> String {
        let count = |what: What| self.steps.iter().filter(|step| step.what == what).count();
        let mut parts = Vec::new();
        for (number, what) in [
            (count(What::Changed), "changed"),
            (count(What::Added), "added"),
            (count(What::Removed), "removed"),
        ] {
            match number {
                0 => {}
                1 => parts.push(format!("1 step {what}")),
                number => parts.push(format!("{number} steps {what}")),
            }
        }
        if !self.workspace.is_empty() {
            parts.push("hactl.toml changed".to_owned());
        }
        if !self.runbook.is_empty() {
            parts.push("the runbook changed beside its steps".to_owned());
        }
        if self.hactl.is_some() {
            parts.push("another version of hactl".to_owned());
        }
        parts.extend(self.layout.iter().map(|file| format!("comments or layout of {file}")));
        parts.join(", ")
    }
}

impl KeyChange {
    fn new(key: &str, old: Option<&str>, new: Option<&str>) -> Self {
        Self { key: key.to_owned(), old: old.map(str::to_owned), new: new.map(str::to_owned) }
    }
}

fn with_keys(sentence: &str, keys: &[KeyChange]) -> String {
    let mut text = sentence.to_owned();
    for KeyChange { key, old, new } in keys {
        let _ = match (old, new) {
            (Some(old), Some(new)) => {
                let (old, new) = where_they_differ(old, new);
                write!(text, "\n  {key}: {old} -> {new}")
            }
            (None, Some(new)) => write!(text, "\n  {key}: not given -> {}", shortened(new)),
            (Some(old), None) => write!(text, "\n  {key}: {} -> not given", shortened(old)),
            (None, None) => Ok(()),
        };
    }
    text
}

/// What is there on one side only.
fn whole(sentence: &str, keys: &[KeyChange]) -> String {
    let mut text = sentence.to_owned();
    for KeyChange { key, old, new } in keys {
        let value = old.as_deref().or(new.as_deref()).unwrap_or_default();
        let _ = write!(text, "\n  {key}: {}", shortened(value));
    }
    text
}

fn shortened(value: &str) -> String {
    if value.chars().count() <= SHOWN {
        return value.to_owned();
    }
    let short: String = value.chars().take(SHOWN).collect();
    format!("{short}…")
}

/// Two long values differ somewhere: what they begin with alike is left out.
fn where_they_differ(old: &str, new: &str) -> (String, String) {
    if old.chars().count() <= SHOWN && new.chars().count() <= SHOWN {
        return (old.to_owned(), new.to_owned());
    }
    let alike = old.chars().zip(new.chars()).take_while(|(a, b)| a == b).count().saturating_sub(20);
    let from_there = |value: &str| {
        let rest: String = value.chars().skip(alike).collect();
        if alike == 0 { shortened(&rest) } else { format!("…{}", shortened(&rest)) }
    };
    (from_there(old), from_there(new))
}

type Keys = BTreeMap<String, String>;

/// What a pair of files says, flattened to keys and values.
struct Said {
    /// In the order of the runbook: the step, its phase, its keys.
    steps: Vec<(StepId, PhaseId, Keys)>,
    runbook: Keys,
    workspace: Keys,
}

impl Said {
    fn by(loaded: &Loaded) -> Self {
        let mut runbook = table(&loaded.runbook.bytes);
        let workspace = table(&loaded.workspace_bytes);
        let phases = runbook.remove("phase");
        let mut said = Self { steps: Vec::new(), runbook: Keys::new(), workspace: Keys::new() };
        flatten("", &Value::Table(runbook.clone()), &mut said.runbook);
        flatten("", &Value::Table(workspace.clone()), &mut said.workspace);
        for phase in
            phases.as_ref().and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table)
        {
            said.phase(loaded, phase, &runbook, &workspace);
        }
        said
    }

    fn phase(&mut self, loaded: &Loaded, phase: &Table, runbook: &Table, workspace: &Table) {
        let Some(id) = phase.get("id").and_then(Value::as_str).and_then(|id| PhaseId::new(id).ok()) else {
            return;
        };
        for (key, value) in phase.iter().filter(|(key, _)| !matches!(key.as_str(), "id" | "step")) {
            flatten(&format!("phase.{id}.{key}"), value, &mut self.runbook);
        }
        let steps = phase.get("step").and_then(Value::as_array);
        for table in steps.into_iter().flatten().filter_map(Value::as_table) {
            let step = table.get("id").and_then(Value::as_str).and_then(|id| StepId::new(id).ok());
            let Some((step, (_, parsed))) = step.and_then(|id| Some((id.clone(), loaded.runbook.step(&id)?)))
            else {
                continue;
            };
            let mut keys = Keys::new();
            for (key, value) in table.iter().filter(|(key, _)| *key != "id") {
                flatten(key, value, &mut keys);
            }
            // What the step says is one half of what it does; where, and with which inputs, is the other.
            let hosts: Vec<_> = places(&loaded.workspace, parsed)
                .into_iter()
                .filter_map(|p| p.host)
                .map(|h| h.to_string())
                .collect();
            keys.insert("hosts".to_owned(), hosts.join(", "));
            for name in inputs_of(&keys) {
                let given = workspace.get("inputs").and_then(|inputs| inputs.get(&name));
                let default = || runbook.get("inputs")?.get(&name)?.get("default");
                if let Some(value) = given.or_else(default) {
                    keys.insert(format!("inputs.{name}"), leaf(value));
                }
            }
            self.steps.push((step, id.clone(), keys));
        }
    }
}

/// The names of the inputs that values refer to.
fn inputs_of(keys: &Keys) -> Vec<String> {
    const BEGIN: &str = "${inputs.";
    let mut names = Vec::new();
    for value in keys.values() {
        for rest in value.split(BEGIN).skip(1) {
            names.extend(rest.split_once('}').map(|(name, _)| name.to_owned()));
        }
    }
    names
}

/// The file as a table. It was loaded before, so it is one.
fn table(bytes: &[u8]) -> Table {
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn flatten(key: &str, value: &Value, into: &mut Keys) {
    let under = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match value {
        Value::Table(table) => table.iter().for_each(|(name, value)| flatten(&under(name), value, into)),
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_table) => {
            for (index, item) in items.iter().enumerate() {
                // Known by its name, so that one that is put in before it changes nothing of it.
                let named = ["name", "id"].into_iter().find_map(|key| Some((key, item.get(key)?.as_str()?)));
                let number = (index + 1).to_string();
                let (key, name) = named.unwrap_or(("", &number));
                let rest = item.as_table().into_iter().flatten().filter(|(other, _)| *other != key);
                rest.for_each(|(other, value)| flatten(&format!("{}.{other}", under(name)), value, into));
            }
        }
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_) => {
            into.insert(key.to_owned(), leaf(value));
        }
    }
}

/// A value on one line.
fn leaf(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| value.to_string())
}

fn keys(old: &Keys, new: &Keys) -> Vec<KeyChange> {
    let mut all: Vec<&String> = old.keys().chain(new.keys()).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| KeyChange::new(key, old.get(key).map(String::as_str), new.get(key).map(String::as_str)))
        .collect()
}

fn steps(old: &Said, new: &Said) -> Vec<StepChange> {
    let find = |said: &Said, step: &StepId| said.steps.iter().position(|(id, ..)| id == step);
    // The order among the steps that both have: an inserted step moves none of the others.
    let order = |said: &Said, other: &Said| -> Vec<StepId> {
        said.steps.iter().map(|(id, ..)| id.clone()).filter(|id| find(other, id).is_some()).collect()
    };
    let (old_order, new_order) = (order(old, new), order(new, old));
    let after = |order: &[StepId], step: &StepId| {
        let at = order.iter().position(|id| id == step)?;
        Some(
            at.checked_sub(1)
                .and_then(|before| order.get(before))
                .map_or("nothing".to_owned(), ToString::to_string),
        )
    };
    let mut changes = Vec::new();
    for (step, phase, said) in &new.steps {
        let change = |what, keys| StepChange { step: step.clone(), phase: phase.clone(), what, keys };
        match find(old, step).and_then(|at| old.steps.get(at)) {
            None => changes.push(change(What::Added, keys(&Keys::new(), said))),
            Some((_, old_phase, old_said)) => {
                let mut keys = keys(old_said, said);
                if old_phase != phase {
                    keys.push(KeyChange::new("phase", Some(old_phase.as_str()), Some(phase.as_str())));
                }
                let (was, is) = (after(&old_order, step), after(&new_order, step));
                if was != is {
                    keys.push(KeyChange::new("comes after", was.as_deref(), is.as_deref()));
                }
                if !keys.is_empty() {
                    changes.push(change(What::Changed, keys));
                }
            }
        }
    }
    let gone = old.steps.iter().filter(|(step, ..)| find(new, step).is_none());
    changes.extend(gone.map(|(step, phase, said)| StepChange {
        step: step.clone(),
        phase: phase.clone(),
        what: What::Removed,
        keys: keys(said, &Keys::new()),
    }));
    changes
}
