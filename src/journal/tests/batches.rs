use std::io::{self, Read};

use super::super::line::{LONGEST, Tail, encode};
use super::super::record::{AttemptNumber, Record};
use super::{
    Lines, Observed, Replayed, change, evidence, intended, noon, not_applied, observed, outputs, place,
};
use super::{reread, run_started};
use crate::diagnostic::codes;

/// Where each line of a journal of more than three batches begins, and the journal.
fn long() -> (Vec<usize>, Vec<u8>) {
    let (mut tail, mut begins, mut bytes) = (Tail::EMPTY, Vec::new(), Vec::new());
    let mut write = |record: &Record| {
        begins.push(bytes.len());
        let line = encode(tail, noon(), record).unwrap();
        tail = super::super::line::decode(tail, &line[..line.len() - 1]).unwrap().tail();
        bytes.extend_from_slice(&line);
        bytes.len()
    };
    write(&run_started("r"));
    let places = [place("a", None), place("b", Some("node-1")), place("b", Some("node-2"))];
    'all: for attempt in 1.. {
        for place in &places {
            let (place, number) = (place.clone(), AttemptNumber(attempt));
            let long = change(&"x".repeat(2000));
            let records = [
                observed(&place, not_applied(u64::from(attempt))),
                observed(&place, Observed::NotApplied { change: long, before: Default::default() }),
                intended(&place, attempt),
                Record::Applied { place: place.clone(), attempt: number, outputs: outputs() },
                Record::Trial { place: place.clone(), attempt: number },
                Record::Verified {
                    place,
                    evidence: vec![evidence(&format!("head {attempt}"))],
                    facts: Vec::new(),
                    outputs: [].into(),
                },
            ];
            if records.iter().map(&mut write).max() > Some(7 << 19) {
                break 'all;
            }
        }
    }
    (begins, bytes)
}

#[test]
fn a_line_of_any_batch_is_refused_with_its_number_and_a_torn_one_is_found() {
    let (begins, bytes) = long();
    let whole = reread(&bytes).unwrap();
    assert_eq!((whole.lines, whole.torn), (begins.len() as u64, None));
    assert_eq!(whole.state.checkpoints().count(), 3);
    for line in [1, begins.len() / 3, begins.len() / 2, begins.len() - 2] {
        let mut flipped = bytes.clone();
        flipped[begins[line] + 150] ^= 1;
        let error = reread(&flipped).unwrap_err().to_string();
        assert!(error.starts_with(&format!("line {} of the journal", line + 1)), "{error}");
        let read = reread(&bytes[..begins[line] + 9]).unwrap();
        assert_eq!((read.lines, read.torn), (line as u64, Some(9)));
        let removed = [&bytes[..begins[line]], &bytes[begins[line + 1]..]].concat();
        let error = reread(&removed).unwrap_err().to_string();
        assert!(error.starts_with(&format!("line {} of", line + 1)) && error.contains("missing"), "{error}");
    }
    // Two lines are damaged, in different batches: the first one is named.
    let mut flipped = bytes.clone();
    for line in [begins.len() / 4, begins.len() - 3] {
        flipped[begins[line] + 150] ^= 1;
    }
    let error = reread(&flipped).unwrap_err().to_string();
    assert!(error.starts_with(&format!("line {} of the journal", begins.len() / 4 + 1)), "{error}");
    // What is too long comes after the damage, so the damage is what is said.
    flipped.resize(flipped.len() + LONGEST + 1, b'x');
    assert_eq!(reread(&flipped).unwrap_err().to_string(), error);
    // Without the damage, that it is too long.
    let mut endless = bytes;
    endless.resize(endless.len() + LONGEST + 1, b'x');
    let error = reread(&endless).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("line {} of", begins.len() + 1)) && error.contains("16 MiB"),
        "{error}"
    );
}

/// Gives few bytes at a time, is interrupted again and again, and fails where a disk does.
struct Slow<'a> {
    bytes: &'a [u8],
    reads: usize,
    fails: bool,
}

impl Read for Slow<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.reads.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.bytes.is_empty() && self.fails {
            return Err(io::Error::other("the disk is gone"));
        }
        let some = into.len().min(40_013);
        self.bytes.read(&mut into[..some])
    }
}

#[test]
fn however_the_bytes_come_they_are_the_same_journal() {
    let (_, bytes) = long();
    let slow = |fails| Slow { bytes: &bytes, reads: 0, fails };
    assert_eq!(Replayed::read(slow(false)).unwrap(), reread(&bytes).unwrap());
    let mut lines = Lines::new(slow(false));
    while lines.next_line().unwrap().is_some() {}
    assert_eq!(lines.length(), bytes.len() as u64);
    let error = Replayed::read(slow(true)).unwrap_err();
    assert_eq!(error.code(), codes::JOURNAL_READ);
    // Before it fails there is damage, which is what matters.
    let mut flipped = bytes.clone();
    flipped[500] ^= 1;
    let error = Replayed::read(Slow { bytes: &flipped, reads: 0, fails: true }).unwrap_err();
    assert_eq!(error.code(), codes::JOURNAL_DAMAGED);
}
