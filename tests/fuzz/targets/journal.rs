//! The journal's reader, on any bytes, and on journals that are whole but tell anything.
//!
//! The input is read as it is. Then each of its lines is taken as a record's JSON and put into an intact envelope, for
//! no fuzzer guesses a checksum. What must hold of those that are accepted: what is written again reads back the same;
//! checking and applying agree; nothing that is told holds a control character; and one changed byte anywhere, or a
//! lost line, is refused.

#![no_main]

use hactl::digest::Digest;
use hactl::journal::line::{Tail, decode, encode};
use hactl::journal::{Lines, Replayed, RunState};
use hactl::render::words;
use libfuzzer_sys::fuzz_target;

/// Reads a journal: how many lines, what is torn, and the state; none where it is refused. Every command replays it,
/// which builds few of its records, and must say the same as reading each.
fn read(bytes: &[u8]) -> Option<(u64, Option<u64>, RunState)> {
    let replayed = Replayed::read(bytes);
    let read = read_each(bytes);
    match (replayed, &read) {
        (Ok(replayed), Ok(read)) => assert_eq!(&(replayed.lines, replayed.torn, replayed.state), read),
        (Err(replayed), Err(read)) => assert_eq!(&replayed.to_string(), read),
        (replayed, read) => panic!("{replayed:?} and {read:?}"),
    }
    read.ok()
}

/// Reads each line whole.
fn read_each(bytes: &[u8]) -> Result<(u64, Option<u64>, RunState), String> {
    let mut lines = Lines::new(bytes);
    let mut state = RunState::default();
    loop {
        match lines.next_line() {
            Ok(Some(line)) => {
                let seq = line.seq;
                let applied = state.apply(line);
                applied.map_err(|illegal| format!("line {seq} of the journal cannot be: {illegal}"))?;
            }
            Ok(None) => return Ok((lines.tail().seq.0, lines.torn(), state)),
            Err(error) => {
                let text = error.to_string();
                assert!(
                    text.starts_with(&format!("line {} of the journal", lines.tail().seq.0 + 1)),
                    "{text}"
                );
                return Err(text);
            }
        }
    }
}

/// An intact line that holds `record`, whatever that is.
fn envelope(tail: Tail, record: &str) -> String {
    let prev = String::from_utf8_lossy(&tail.sum.hex()).into_owned();
    let seq = tail.seq.0 + 1;
    let body = format!(
        "{{\"v\":1,\"seq\":{seq},\"at\":\"2026-11-21T12:00:00Z\",\"prev\":\"{prev}\",\"record\":{record}"
    );
    format!("{body},\"sum\":\"{}\"}}\n", Digest::of(&body))
}

/// The journal of those lines of `text` that are records and may follow each other.
fn journal_of(text: &str) -> (Vec<u8>, RunState) {
    let (mut tail, mut state, mut journal) = (Tail::EMPTY, RunState::default(), Vec::new());
    for record in text.lines() {
        let bytes = envelope(tail, record);
        let Ok(line) = decode(tail, bytes.trim_end_matches('\n').as_bytes()) else { continue };
        let again = encode(tail, line.at, &line.record).expect("what was read can be written");
        let reread = decode(tail, again.strip_suffix(b"\n").expect("a line ends")).expect("and read again");
        assert_eq!(reread.record, line.record);
        let told = words::of_record(&line.record);
        for text in std::iter::once(told.line()).chain(told.details) {
            let text = words::clean(&text);
            assert!(!text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{text:?}");
        }
        let before = state.clone();
        let allowed = state.check(&line.record).is_ok();
        let next = line.tail();
        assert_eq!(state.apply(line).is_ok(), allowed, "checking and applying disagree");
        if allowed {
            journal.extend_from_slice(bytes.as_bytes());
            tail = next;
        } else {
            assert_eq!(state, before, "a refused record changes nothing");
        }
    }
    (journal, state)
}

fuzz_target!(|data: &[u8]| {
    let _ = read(data);
    // The first bytes say where the damage is.
    let Some((place, text)) = data.split_first_chunk::<4>() else { return };
    let (journal, state) = journal_of(&String::from_utf8_lossy(text));
    let lines = journal.iter().filter(|b| **b == b'\n').count();
    assert_eq!(read(&journal), Some((lines as u64, None, state)));
    if journal.is_empty() {
        return;
    }
    let at = usize::from(u16::from_be_bytes([place[0], place[1]])) % journal.len();
    let mut damaged = journal.clone();
    damaged[at] ^= place[2].max(1);
    assert!(read(&damaged).is_none(), "byte {at} was changed, and nobody noticed");
    let whole = journal[..at].iter().filter(|b| **b == b'\n').count();
    let cut = read(&journal[..at]).expect("a cut leaves a shorter journal");
    assert_eq!((cut.0, cut.1.is_some()), (whole as u64, at > 0 && journal[at - 1] != b'\n'));
    let all: Vec<&[u8]> = journal.split_inclusive(|b| *b == b'\n').collect();
    let lost = usize::from(place[3]) % all.len();
    if lost + 1 < all.len() {
        let without = [&all[..lost], &all[lost + 1..]].concat().concat();
        assert!(read(&without).is_none(), "line {lost} was lost, and nobody noticed");
    }
});
