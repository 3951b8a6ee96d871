use super::super::line::{Tail, decode};
use super::{Bench, FakeDisk, Record, reread};
use crate::diagnostic::codes;
use crate::digest::Digest;

fn told() -> Vec<u8> {
    let disk = FakeDisk::default();
    Bench::new().tell(&disk);
    disk.live()
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|b| *b == b'\n').collect()
}

#[test]
fn cut_at_every_byte_it_is_a_shorter_journal_and_perhaps_a_torn_line() {
    let bytes = told();
    let mut whole = 0;
    let mut begin = 0;
    for end in 0..bytes.len() {
        if end > 0 && bytes[end - 1] == b'\n' {
            (whole, begin) = (whole + 1, end);
        }
        // Read from the last whole line on; what stands before it is read for each line below.
        if end == begin || end % 97 == 0 {
            let read = reread(&bytes[..end]).unwrap();
            assert_eq!((read.lines, read.torn), (whole, (end > begin).then_some((end - begin) as u64)));
        }
        assert!(!super::super::line::holds_a_whole_line(&bytes[begin..end]), "at {end}");
    }
}

#[test]
fn a_torn_line_is_cut_off_by_the_writer_alone_and_recorded() {
    let bench = Bench::later();
    let bytes = told();
    let kept = lines(&bytes).iter().take(10).map(|l| l.len()).sum::<usize>();
    for extra in [1, 40, 200] {
        let disk = FakeDisk::holding(&bytes[..kept + extra]);
        let (journal, report) = bench.open(&disk).unwrap();
        assert_eq!((report.lines, report.torn), (10, Some(extra as u64)));
        assert_eq!(journal.state().last().map(|(seq, _)| seq.0), Some(11));
        let after = disk.durable();
        assert_eq!(after[..kept], bytes[..kept]);
        let added = String::from_utf8(after[kept..].to_vec()).unwrap();
        assert!(added.contains(&format!("\"record\":{{\"torn_tail\":{{\"bytes\":{extra}}}}}")), "{added}");
        drop(journal);
        assert_eq!(bench.open(&disk).unwrap().1.torn, None);
    }
}

#[test]
fn every_flipped_bit_of_every_line_is_refused() {
    let bytes = told();
    let mut tail = Tail::EMPTY;
    for line in lines(&bytes) {
        let line = line.strip_suffix(b"\n").unwrap();
        for at in 0..line.len() {
            // Every bit of the envelope, and one bit of each byte between.
            let bits = if at < 170 || at + 80 > line.len() { 0..8 } else { at % 8..at % 8 + 1 };
            for bit in bits {
                let mut flipped = line.to_vec();
                flipped[at] ^= 1 << bit;
                assert!(decode(tail, &flipped).is_err(), "byte {at}, bit {bit} of {}", line.escape_ascii());
            }
        }
        tail = decode(tail, line).unwrap().tail();
    }
}

#[test]
fn a_flipped_bit_is_refused_with_the_number_of_its_line() {
    let bytes = told();
    let mut begin = 0;
    for (index, line) in lines(&bytes).iter().enumerate() {
        for at in [0, 8, 90, line.len() / 2, line.len() - 40, line.len() - 1] {
            let mut flipped = bytes.clone();
            flipped[begin + at] ^= 1;
            let error = reread(&flipped).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with(&format!("line {} of the journal", index + 1)), "{text}");
            assert!([codes::JOURNAL_DAMAGED, codes::JOURNAL_NEWER].contains(&error.code()), "{text}");
        }
        begin += line.len();
    }
}

#[test]
fn removed_swapped_and_repeated_lines_are_refused() {
    let bytes = told();
    let lines = lines(&bytes);
    for at in 0..lines.len() - 1 {
        let mut removed = lines.clone();
        removed.remove(at);
        let mut swapped = lines.clone();
        swapped.swap(at, at + 1);
        let mut repeated = lines.clone();
        repeated.insert(at, lines[at]);
        for (bad, line) in [(removed, at + 1), (swapped, at + 1), (repeated, at + 2)] {
            let error = reread(&bad.concat()).unwrap_err();
            assert_eq!(error.code(), codes::JOURNAL_DAMAGED);
            let text = error.to_string();
            assert!(text.starts_with(&format!("line {line} of")) && text.contains("missing"), "{text}");
        }
    }
}

#[test]
fn a_line_of_another_journal_breaks_the_chain() {
    let (bench, disk) = (Bench::new(), FakeDisk::default());
    bench.clock.advance(jiff::SignedDuration::from_secs(1));
    bench.tell(&disk);
    let (ours, theirs) = (told(), disk.live());
    let (ours, theirs) = (lines(&ours), lines(&theirs));
    for at in 1..ours.len() {
        let mut mixed = ours.clone();
        mixed[at] = theirs[at];
        let error = reread(&mixed.concat()).unwrap_err();
        assert!(error.to_string().contains("broken chain"), "{error}");
    }
}

#[test]
fn a_newer_version_is_refused_as_such() {
    let body = format!("{{\"v\":2,\"seq\":1,\"anything\":\"else\",\"prev\":\"{}\"", "0".repeat(64));
    let line = format!("{body},\"sum\":\"{}\"}}\n", Digest::of(&body));
    let error = reread(line.as_bytes()).unwrap_err();
    assert_eq!(error.code(), codes::JOURNAL_NEWER);
    assert!(error.to_string().contains("newer hactl"), "{error}");
    // A record that this version does not know, in a line that is intact.
    let body = format!(
        "{{\"v\":1,\"seq\":1,\"at\":\"2026-11-21T12:00:00Z\",\"prev\":\"{}\",\"record\":{{\"exploded\":{{}}}}",
        "0".repeat(64)
    );
    let line = format!("{body},\"sum\":\"{}\"}}\n", Digest::of(&body));
    let error = reread(line.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("no record that this hactl knows"), "{error}");
}

#[test]
fn damage_is_refused_by_the_writer_too_and_nothing_is_touched() {
    let bench = Bench::new();
    let mut bytes = told();
    bytes[300] ^= 4;
    let disk = FakeDisk::holding(bytes.clone());
    assert!(bench.open(&disk).is_err());
    assert_eq!(disk.live(), bytes);
    assert!(disk.calls().is_empty());
}

#[test]
fn garbage_never_panics() {
    for garbage in [
        &b"\n"[..],
        b"{}\n",
        b"\0\0\0\0\n",
        b"{\"v\":1\n",
        b"\"}\n",
        b"{\"v\":1,\"sum\":\"\"}\n",
        b"\xff\xfe\n",
    ] {
        assert!(reread(garbage).is_err());
    }
    assert_eq!(reread(&[0; 4096]).unwrap().torn, Some(4096));
}

#[test]
fn what_could_not_be_read_again_is_not_written() {
    let (bench, disk) = (Bench::new(), FakeDisk::default());
    let journal = bench.journal(&disk);
    journal.append(super::run_started("r")).unwrap();
    let mut proof = super::proof(super::noon());
    proof.measured.insert("lag_seconds".to_owned(), f64::NAN);
    let before = disk.live();
    assert_eq!(journal.append(Record::Proven(proof)).unwrap_err().code(), codes::INTERNAL);
    assert_eq!(disk.live(), before);
    journal.append(Record::Interrupted).unwrap();
}
