use super::super::record::Record;
use super::super::skim::skim;
use super::{place, story};
use crate::engine::state::Move;
use crate::journal::record::Place;

/// What is skimmed is a record with that place, move and attempt.
fn holds(json: &str) -> bool {
    let Some(seen) = skim(json) else { return false };
    // Its place is not looked into.
    let Ok(place) = serde_json::from_str::<Place>(seen.place) else { return false };
    let record: Record = serde_json::from_str(json).unwrap_or_else(|e| panic!("{json} was skimmed: {e}"));
    assert_eq!(record.place(), Some(&place), "{json}");
    assert_eq!((Move::of(&record), record.attempt()), (Some(seen.made), seen.attempt), "{json}");
    assert_eq!(serde_json::to_string(&place).unwrap(), seen.place, "equal places have equal texts");
    true
}

fn plain(record: &Record) -> String {
    // Whatever has to be escaped is read whole.
    serde_json::to_string(record).unwrap().replace('\\', "")
}

#[test]
fn common_records_are_skimmed() {
    let common = ["observed", "awaiting_approval", "intended", "applied", "trial", "verified"];
    let mut seen = Vec::new();
    for record in story() {
        let json = serde_json::to_string(&record).unwrap();
        let escaped = json.contains('\\');
        // A measured figure with a fraction is read whole too.
        let common = common.contains(&record.kind()) && !escaped && !json.contains("0.1");
        assert_eq!(holds(&json), common, "{json}");
        if common {
            seen.push(record.kind());
        }
    }
    for kind in common.iter().filter(|kind| !["applied", "verified"].contains(kind)) {
        assert!(seen.contains(kind), "{kind}");
    }
    let outputs = r#"{"a":{"string":"x"},"b":{"integer":-5432},"c":{"boolean":true},"d":{"list":["x","y"]},"e":{"list":[]}}"#;
    let at = serde_json::to_string(&place("s", Some("node-1"))).unwrap();
    assert!(holds(&format!(r#"{{"applied":{{"place":{at},"attempt":12,"outputs":{outputs}}}}}"#)));
    assert!(holds(&format!(r#"{{"verified":{{"place":{at},"evidence":[],"outputs":{{}}}}}}"#)));
    let before = r#"{"a":[1,[],{}],"b":{"c":null,"d":[true,false,-7]},"é":"ü"}"#;
    assert!(holds(&format!(
        r#"{{"observed":{{"place":{at},"observed":{{"not_applied":{{"change":{{"summary":"x"}},"before":{before}}}}}}}}}"#
    )));
}

#[test]
fn whatever_is_changed_in_a_record_it_is_skimmed_only_if_it_can_be_read() {
    let parts = [
        "",
        "\"",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "0",
        "00",
        "-",
        "-0",
        ".",
        "1.5",
        "e9",
        "A",
        "é",
        " ",
        "\t",
        "\\",
        "null",
        "true",
        "\\ud800",
        "99999999999",
        "9999999999999999999",
        "18446744073709551616",
        "\"\"",
        "$",
        "{}",
        "[]",
        "\"a\":1,",
        "\"place\":{\"step\":\"x\"},",
    ];
    let mut skimmed = 0;
    for record in story() {
        let json = plain(&record);
        for at in (0..json.len()).filter(|at| json.is_char_boundary(*at)) {
            for part in parts {
                // In place of one character, and between two.
                let rest = json[at..].chars().next().map_or(0, char::len_utf8);
                for rest in [&json[at..], &json[at + rest..]] {
                    skimmed += usize::from(holds(&format!("{}{part}{rest}", &json[..at])));
                }
            }
        }
    }
    assert!(skimmed > 10_000, "{skimmed}");
}
