use std::path::Path;

use super::super::line::{Tail, decode, encode};
use super::super::record::{How, Signed};
use super::{Bench, FakeDisk, Record, reread, story};

const GOLDEN: &str = include_str!("../../../tests/golden/journal-v1.jsonl");

/// Set to write the golden file anew, which is right only together with a new version of the format.
const UPDATE: &str = "HACTL_UPDATE_GOLDEN";

#[test]
fn the_story_is_written_byte_for_byte_as_the_golden_file() {
    let disk = FakeDisk::default();
    Bench::new().tell(&disk);
    let written = String::from_utf8(disk.live()).unwrap();
    if std::env::var_os(UPDATE).is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/journal-v1.jsonl");
        std::fs::write(path, &written).unwrap();
    }
    for (written, golden) in written.lines().zip(GOLDEN.lines()) {
        assert_eq!(written, golden);
    }
    assert_eq!(written.len(), GOLDEN.len());
}

#[test]
fn the_golden_file_reads_back_and_is_written_again_byte_for_byte() {
    let mut tail = Tail::EMPTY;
    let mut kinds = Vec::new();
    for (bytes, wanted) in GOLDEN.split_inclusive('\n').zip(story()) {
        let line = decode(tail, bytes.trim_end().as_bytes()).unwrap();
        assert_eq!(line.record, wanted);
        assert_eq!(encode(tail, line.at, &line.record).unwrap(), bytes.as_bytes());
        let on_disk = serde_json::to_string(&line.record).unwrap();
        assert!(on_disk.contains(&format!("\"{}\"", line.record.kind())), "{on_disk}");
        kinds.push(line.record.kind());
        tail = line.tail();
    }
    let missing: Vec<_> = Record::KINDS.into_iter().filter(|kind| !kinds.contains(kind)).collect();
    assert_eq!(missing, [""; 0], "these kinds of record have no golden line");
    assert_eq!(reread(GOLDEN.as_bytes()).unwrap().lines, kinds.len() as u64);
}

#[test]
fn a_signed_approval_holds_all_that_checks_it_again() {
    let signed = Box::new(Signed {
        principal: "alice@acme".to_owned(),
        key: "SHA256:abc".to_owned(),
        signature: "armor".to_owned(),
        signers: super::evidence("allowed signers"),
    });
    let golden = format!(
        r#"{{"signed":{{"principal":"alice@acme","key":"SHA256:abc","signature":"armor","signers":{}}}}}"#,
        serde_json::to_string(&signed.signers).unwrap()
    );
    assert_eq!(serde_json::to_string(&How::Signed(signed.clone())).unwrap(), golden);
    assert_eq!(serde_json::from_str::<How>(&golden).unwrap(), How::Signed(signed));
}

#[test]
fn an_unknown_field_is_refused_and_not_dropped() {
    let line = r#"{"torn_tail":{"bytes":1,"more":2}}"#;
    assert!(serde_json::from_str::<Record>(line).is_err());
}
