//! The one way of text into the journal: without secrets, and nothing in it but text.
//!
//! Invariant: every text of a record that somebody may have written freely (a host, a person, an error) passes here
//! before it is written; the match names every field, so that a new one must be decided upon. Names, digests and times
//! are types that hold no secret; changing them would make another record of it. What is remembered for later is never
//! changed either: it is compared and put back, so a secret in it is refused. Outputs are data: secrets are taken out of
//! them, and nothing else ([`super::line`] writes no control character as it is).

use super::record::{
    Approval, Before, Change, EvidenceRef, Mode, Observed, Operator, OutputValue, Outputs, Proof, Record,
};
use crate::diagnostic::{Error, Result, codes};
use crate::redact::Redactor;

/// The record as it may be kept.
///
/// # Errors
/// What must be remembered word for word holds a secret.
pub(super) fn clean(mut record: Record, redactor: &Redactor) -> Result<Record> {
    let text = |text: &mut String| *text = redactor.clean(text);
    let texts = |all: &mut Vec<String>| all.iter_mut().for_each(text);
    let operator = |Operator { user, machine }: &mut Operator| {
        text(user);
        text(machine);
    };
    let evidence = |EvidenceRef { name, digest: _, bytes: _ }: &mut EvidenceRef| text(name);
    let change = |Change { summary, details }: &mut Change| {
        text(summary);
        texts(details);
    };
    let outputs = |all: &mut Outputs| {
        for value in all.values_mut() {
            match value {
                OutputValue::String(value) => *value = redactor.redact_text(value),
                OutputValue::List(values) => values.iter_mut().for_each(|v| *v = redactor.redact_text(v)),
                OutputValue::Integer(_) | OutputValue::Boolean(_) => {}
                OutputValue::Secret { name: _, digest: _ } => {}
            }
        }
    };
    let observed = |observed: &mut Observed| match observed {
        Observed::Applied(values) => {
            outputs(values);
            Ok(())
        }
        Observed::NotApplied { change: what, before } => {
            change(what);
            remembered(before, redactor)
        }
        Observed::Running(why) | Observed::Indeterminate(why) => {
            text(why);
            Ok(())
        }
    };
    let kept = match &mut record {
        Record::RunStarted {
            run: _,
            fleet: _,
            operator: by,
            runbook: _,
            runbook_bytes,
            workspace,
            hactl: _,
            mode,
        } => {
            operator(by);
            evidence(runbook_bytes);
            evidence(workspace);
            match mode {
                Mode::Production | Mode::Rehearsal { lab: _ } => Ok(()),
            }
        }
        Record::Resumed { operator: by, command } => {
            operator(by);
            text(command);
            Ok(())
        }
        Record::TakenOver { by, epoch: _ } => {
            operator(by);
            Ok(())
        }
        Record::Rebased { runbook_bytes, workspace, hactl: _, by } => {
            evidence(runbook_bytes);
            evidence(workspace);
            operator(by);
            Ok(())
        }
        Record::Observed { place: _, observed: what } => observed(what),
        Record::Approved(Approval { place: _, binding: _, by, how: _, shown, expires: _ }) => {
            operator(by);
            evidence(shown);
            Ok(())
        }
        Record::Intended { place: _, attempt: _, action: _, change: what, before } => {
            change(what);
            remembered(before, redactor)
        }
        Record::Applied { place: _, attempt: _, outputs: values } => {
            outputs(values);
            Ok(())
        }
        Record::NotStarted { place: _, attempt: _, error } => {
            text(error);
            Ok(())
        }
        Record::InDoubt { place: _, attempt: _, why } => {
            text(why);
            Ok(())
        }
        Record::Decided { place: _, attempt: _, observed: what, by } => {
            by.as_mut().map(operator);
            observed(what)
        }
        Record::Verified { place: _, evidence: all, facts, outputs: values } => {
            all.iter_mut().for_each(evidence);
            texts(facts);
            outputs(values);
            Ok(())
        }
        Record::Failed { place: _, error } | Record::RollbackFailed { place: _, error } => {
            text(error);
            Ok(())
        }
        Record::Skipped { place: _, reason, by } => {
            text(reason);
            operator(by);
            Ok(())
        }
        Record::Proven(proof) => {
            let Proof {
                property: _,
                component: _,
                place: _,
                grade: _,
                facts,
                measured: _,
                at: _,
                expires: _,
                evidence: all,
            } = proof;
            texts(facts);
            all.iter_mut().for_each(evidence);
            Ok(())
        }
        Record::TornTail { bytes: _ }
        | Record::Planned { plan: _ }
        | Record::AwaitingApproval { place: _, binding: _ }
        | Record::Trial { place: _, attempt: _ }
        | Record::RollingBack { place: _, attempt: _ }
        | Record::RolledBack { place: _ }
        | Record::PhaseDone { phase: _ }
        | Record::Interrupted => Ok(()),
    };
    match (kept, record.place()) {
        (Ok(()), _) => Ok(record),
        (Err(error), Some(place)) => Err(error.at(place)),
        (Err(error), None) => Err(error),
    }
}

/// What was seen before is compared and put back word for word.
fn remembered(before: &Before, redactor: &Redactor) -> Result<()> {
    let mut without = before.0.clone();
    redactor.redact_json(&mut without);
    if without == before.0 {
        return Ok(());
    }
    Err(Error::new(
        codes::SECRET_REMEMBERED,
        "what must be remembered of the host holds a secret, and the journal keeps none",
    )
    .state("nothing was recorded, and nothing was changed on the strength of it")
    .next("take the secret out of that setting, or choose one that is no common word"))
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use serde_json::Value;

    use super::clean;
    use crate::diagnostic::codes;
    use crate::journal::record::Record;
    use crate::redact::Redactor;

    /// No name, digest or time is written like this, so wherever it fits, anybody's text would.
    const SECRET: &str = "p@ss/w+rd \"x\" ~9";
    const HOSTILE: &str = "\u{1b}]0;t\u{7}";

    /// The texts that come from the runbook or from hactl itself, and are compared: they stay as they are.
    const NAMES: [&str; 4] = ["property", "component", "hactl", "lab"];

    /// Puts `SECRET` in the place of one text after the other.
    fn planted(value: &Value, path: &mut Vec<String>, all: &mut Vec<(String, Value)>, root: &Value) {
        match value {
            Value::String(_) => {
                let mut other = root.clone();
                let mut at = &mut other;
                for key in path.iter() {
                    at = match at {
                        Value::Array(items) => &mut items[key.parse::<usize>().unwrap()],
                        at => &mut at[key.as_str()],
                    };
                }
                *at = Value::String(format!("{HOSTILE}x {SECRET} y"));
                all.push((path.join("."), other));
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push(index.to_string());
                    planted(item, path, all, root);
                    path.pop();
                }
            }
            Value::Object(map) => {
                for (key, item) in map {
                    path.push(key.clone());
                    planted(item, path, all, root);
                    path.pop();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn remembering() -> Record {
        let intended = r#"{"intended":{"place":{"step":"a"},"attempt":1,"action":"DIGEST","change":{"summary":"s"},
            "before":{"setting":["on"]}}}"#;
        serde_json::from_str(&intended.replace("DIGEST", &"0".repeat(64))).unwrap()
    }

    #[test]
    fn every_text_of_every_record_passes() {
        let redactor = Redactor::new();
        redactor.learn("password", &SecretString::from(SECRET.to_owned()));
        let (mut texts, mut refused) = (0, 0);
        for record in crate::journal::tests::story().into_iter().chain([remembering()]) {
            let json = serde_json::to_value(&record).unwrap();
            let mut all = Vec::new();
            planted(&json, &mut Vec::new(), &mut all, &json);
            for (path, value) in all {
                let Ok(record) = serde_json::from_value::<Record>(value) else { continue };
                let secret_name = path.ends_with(".secret.name");
                if path.split('.').any(|key| NAMES.contains(&key)) || secret_name {
                    continue;
                }
                match clean(record, &redactor) {
                    Ok(kept) => {
                        let kept = serde_json::to_string(&kept).unwrap();
                        assert!(kept.contains("x [secret password] y"), "{path}: {kept}");
                        assert!(!kept.contains("p@ss"), "{path}: {kept}");
                        assert!(
                            !kept.contains("]0;t") || path.ends_with(".string") || path.contains(".list."),
                            "{path}: {kept}"
                        );
                        texts += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.code(), codes::SECRET_REMEMBERED, "{path}");
                        assert!(path.contains("before"), "{path}");
                        refused += 1;
                    }
                }
            }
        }
        assert!(texts > 20 && refused > 0, "{texts} texts, {refused} refused");
    }
}
