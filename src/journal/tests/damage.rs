use super::super::Lines;
use super::super::line::{Tail, decode};
use super::{Bench, FakeDisk, Record, reread};
use crate::diagnostic::{Result, codes};
use crate::digest::Digest;

fn told() -> Vec<u8> {
    let disk = FakeDisk::default();
    Bench::new().tell(&disk);
    disk.live()
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|b| *b == b'\n').collect()
}

/// The lines, each with the end of the chain before it.
fn chained(bytes: &[u8]) -> Vec<(Tail, &[u8])> {
    let mut tail = Tail::EMPTY;
    let mut chained = Vec::new();
    for line in lines(bytes) {
        chained.push((tail, line));
        tail = decode(tail, line.strip_suffix(b"\n").unwrap()).unwrap().tail();
    }
    chained
}

/// Reads what follows `tail` to its end: how many whole lines, and what is torn.
fn read_on(tail: Tail, bytes: &[u8]) -> Result<(u64, Option<u64>)> {
    let mut lines = Lines::following(tail, bytes);
    let mut whole = 0;
    while lines.next_line()?.is_some() {
        whole += 1;
    }
    Ok((whole, lines.torn()))
}

/// The refusal names the line, and the reason is one that an operator can act on.
fn assert_refused(read: Result<(u64, Option<u64>)>, line: usize, what: &str) -> String {
    let error = read.expect_err(what);
    let text = error.to_string();
    let why = text.strip_prefix(&format!("line {line} of the journal cannot be trusted: "));
    let reasons = ["it ", "bad checksum", "broken chain", "its time cannot be read"];
    assert!(why.is_some_and(|why| reasons.iter().any(|reason| why.starts_with(reason))), "{what}: {text}");
    assert!([codes::JOURNAL_DAMAGED, codes::JOURNAL_NEWER].contains(&error.code()), "{what}: {text}");
    text
}

#[test]
fn cut_at_every_byte_it_is_a_shorter_journal_and_perhaps_a_torn_line() {
    let bytes = told();
    let mut begin = 0;
    for (whole, (tail, line)) in chained(&bytes).into_iter().enumerate() {
        for end in 0..line.len() {
            let torn = (end > 0).then_some(end as u64);
            assert_eq!(read_on(tail, &line[..end]).unwrap(), (0, torn), "line {}, byte {end}", whole + 1);
            // Some of them from the beginning of the file on, by the way that every command takes.
            if end == 0 || end % 97 == 0 {
                let read = reread(&bytes[..begin + end]).unwrap();
                assert_eq!((read.lines, read.torn), (whole as u64, torn));
            }
        }
        begin += line.len();
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
fn a_flipped_bit_of_any_byte_is_refused_with_line_and_reason() {
    let bytes = told();
    let chained = chained(&bytes);
    for (index, (tail, line)) in chained.iter().enumerate() {
        // The next line follows, for a newline that is damaged joins the two.
        let next = chained.get(index + 1).map_or(&[][..], |(_, next)| next);
        for at in 0..line.len() {
            // Every bit of the envelope, and one bit of each byte between.
            let bits = if at < 170 || at + 80 > line.len() { 0..8 } else { at % 8..at % 8 + 1 };
            for bit in bits {
                let mut flipped = [line, next].concat();
                flipped[at] ^= 1 << bit;
                assert_refused(read_on(*tail, &flipped), index + 1, &format!("byte {at}, bit {bit}"));
            }
        }
    }
}

#[test]
fn a_flipped_bit_is_refused_by_the_way_that_every_command_takes() {
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
    for at in 0..ours.len() {
        let mut mixed = ours.clone();
        mixed[at] = theirs[at];
        let error = reread(&mixed.concat()).unwrap_err();
        // A first line follows on nothing: there the second line tells.
        let line = at.max(1) + 1;
        assert!(error.to_string().starts_with(&format!("line {line} of")), "{error}");
        assert!(error.to_string().contains("broken chain"), "{error}");
    }
}

#[test]
fn what_an_editor_or_a_copy_does_to_lines_is_refused() {
    let bytes = told();
    let lines = lines(&bytes);
    let second = lines[1].strip_suffix(b"\n").unwrap();
    let put = |at: usize, what: &[u8]| {
        let (before, after) = lines.split_at(at);
        [before.concat(), what.to_vec(), after.concat()].concat()
    };
    let with_returns = bytes.split(|b| *b == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..]);
    for (what, bad, line) in [
        ("an empty line", put(5, b"\n"), 6),
        ("a blank before a line", put(5, b" "), 6),
        ("a byte order mark", put(0, b"\xef\xbb\xbf"), 1),
        ("carriage returns", with_returns, 1),
        ("the journal twice", [bytes.clone(), bytes.clone()].concat(), lines.len() + 1),
        ("a line in the midst without its newline", [lines[0], second, &bytes[lines[0].len()..]].concat(), 2),
        ("a line cut in the midst", [lines[0], &second[..200], b"\n", &lines[2..].concat()].concat(), 2),
        ("a block of zeros in the midst", put(5, &[0; 4096]), 6),
    ] {
        assert_refused(reread(&bad).map(|read| (read.lines, read.torn)), line, what);
    }
}

/// A line that is whole in itself, after `tail`, whatever its version and its record.
fn crafted(tail: Tail, version: u32, rest: &str) -> Vec<u8> {
    let prev = String::from_utf8(tail.sum.hex().to_vec()).unwrap();
    let at = "2026-11-21T12:00:00Z";
    let body =
        format!("{{\"v\":{version},\"seq\":{},\"at\":\"{at}\",\"prev\":\"{prev}\",{rest}", tail.seq.0 + 1);
    format!("{body},\"sum\":\"{}\"}}\n", Digest::of(&body)).into_bytes()
}

#[test]
fn a_newer_version_is_refused_as_such_in_any_line() {
    let bytes = told();
    for (index, (tail, _)) in chained(&bytes).into_iter().enumerate() {
        let text = assert_refused(read_on(tail, &crafted(tail, 2, "\"anything\":{}")), index + 1, "newer");
        assert!(text.contains("format 2") && text.contains("newer hactl"), "{text}");
        // A record that this version does not know, and a known one with a field that it does not know.
        for record in ["{\"exploded\":{}}", "{\"torn_tail\":{\"bytes\":1,\"more\":2}}"] {
            let line = crafted(tail, 1, &format!("\"record\":{record}"));
            let text = assert_refused(read_on(tail, &line), index + 1, record);
            assert!(text.contains("no record that this hactl knows"), "{text}");
        }
        // The control: the same line with a record that is known is taken.
        let line = crafted(tail, 1, "\"record\":{\"torn_tail\":{\"bytes\":1}}");
        assert_eq!(read_on(tail, &line).unwrap(), (1, None));
    }
}

#[test]
fn a_file_without_an_end_of_line_is_refused_and_not_read_whole() {
    // Endless: reading it whole would never end.
    let mut lines = Lines::new(std::io::repeat(0));
    let error = lines.next_line().unwrap_err();
    assert_eq!(error.code(), codes::JOURNAL_DAMAGED);
    assert!(
        error.to_string().contains("line 1 of the journal") && error.to_string().contains("16 MiB"),
        "{error}"
    );
}

#[test]
fn a_record_that_is_too_long_is_not_written() {
    let (bench, disk) = (Bench::new(), FakeDisk::default());
    let journal = bench.journal(&disk);
    journal.append(super::run_started("r")).unwrap();
    let before = disk.live();
    let command = "x".repeat(super::super::line::LONGEST);
    let long = Record::Resumed { operator: super::operator(), command };
    assert_eq!(journal.append(long).unwrap_err().code(), codes::INTERNAL);
    assert_eq!(disk.live(), before);
    journal.append(Record::Interrupted).unwrap();
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
