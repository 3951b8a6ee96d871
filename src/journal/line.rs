//! One line of the journal: the record in its envelope, and the checks that make damage visible.
//!
//! Invariant: the envelope's layout is fixed to the byte, so that its checks need no JSON parser, and the checksum
//! covers everything before it, the digest of the line before included. A line that [`decode`] accepts is exactly
//! what [`encode`] wrote.

use std::io;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize as _;
use serde_json::ser::Formatter;

use super::record::{Record, Seq, VERSION};
use crate::digest::Digest;
use crate::redact::is_plain;

/// A line as it stands in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its number, from 1.
    pub seq: Seq,
    /// When it was appended, by the clock of the operator's machine.
    pub at: Timestamp,
    /// The checksum of the line before.
    pub prev: Digest,
    /// Its own checksum.
    pub sum: Digest,
    /// What it records.
    pub record: Record,
}

/// The end of the chain so far: what the next line must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The number of the last line; 0 where there is none.
    pub seq: Seq,
    /// Its checksum.
    pub sum: Digest,
}

impl Tail {
    /// Before the first line.
    pub const EMPTY: Self = Self { seq: Seq(0), sum: Digest::ZERO };

    fn next(self) -> Seq {
        Seq(self.seq.0.saturating_add(1))
    }
}

impl Line {
    /// The end of the chain after this line.
    #[must_use]
    pub fn tail(&self) -> Tail {
        Tail { seq: self.seq, sum: self.sum }
    }
}

/// The most bytes that a line may have, its newline included: a record never comes near it, and whatever else stands
/// in the file costs no more memory than this.
pub(crate) const LONGEST: usize = 16 << 20;

/// Why a line is not what hactl wrote.
#[derive(Debug, thiserror::Error)]
pub enum Bad {
    /// The envelope is not there.
    #[error("it is not a line of a journal")]
    Envelope,
    /// Another format.
    #[error("it has format {0}, this hactl reads {VERSION}: it was written by a newer hactl, or is damaged")]
    Newer(u32),
    /// It has no end within what a line may have.
    #[error("it is longer than {} MiB, which hactl never writes", LONGEST >> 20)]
    TooLong,
    /// The content is not what was written.
    #[error("bad checksum")]
    Checksum,
    /// Lines are missing, repeated or swapped.
    #[error("it is numbered {found}, and {wanted} belongs here: lines are missing, repeated or swapped")]
    OutOfOrder {
        /// The number that it has.
        found: u64,
        /// The number that belongs here.
        wanted: u64,
    },
    /// It follows another line than the one before it.
    #[error("broken chain: it does not follow the line before it")]
    Chain,
    /// The content is intact and makes no sense to this hactl.
    #[error("it holds no record that this hactl knows: {0}")]
    Record(#[from] serde_json::Error),
    /// The time cannot be read.
    #[error("its time cannot be read: {0}")]
    Time(jiff::Error),
}

const SUM: &[u8] = b",\"sum\":\"";
const END: &[u8] = b"\"}";
/// The length of what follows the checksummed bytes, without the newline.
const TRAILER: usize = SUM.len() + 64 + END.len();

/// Writes a record as the line that follows `tail`, newline included.
///
/// # Errors
/// The record has no JSON form.
pub fn encode(tail: Tail, at: Timestamp, record: &Record) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes =
        format!("{{\"v\":{VERSION},\"seq\":{},\"at\":\"{at}\",\"prev\":\"", tail.next()).into_bytes();
    bytes.extend_from_slice(&tail.sum.hex());
    bytes.extend_from_slice(b"\",\"record\":");
    record.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Printable))?;
    let sum = Digest::of(&bytes).hex();
    bytes.extend_from_slice(SUM);
    bytes.extend_from_slice(&sum);
    bytes.extend_from_slice(END);
    bytes.push(b'\n');
    Ok(bytes)
}

/// JSON in which what a terminal might obey is escaped too, so that a journal can be read with `cat`.
struct Printable;

impl Formatter for Printable {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        let mut rest = text;
        // serde_json has escaped the ASCII ones but one.
        while let Some(at) = rest.find(|c: char| c == '\u{7f}' || (!c.is_ascii() && !is_plain(c))) {
            let (plain, odd) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let Some(c) = odd.chars().next() else { break };
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &odd[c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Reads the line that follows `tail`; `bytes` has no newline.
///
/// # Errors
/// Why it is not the line that hactl wrote there.
pub fn decode(tail: Tail, bytes: &[u8]) -> Result<Line, Bad> {
    open(&mut Day::default(), tail, bytes, sum_of(bytes))?.read()
}

/// A line whose envelope was checked, and whose record was not looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sealed<'a> {
    pub(super) seq: Seq,
    pub(super) at: Timestamp,
    pub(super) prev: Digest,
    pub(super) sum: Digest,
    json: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// The JSON of its record, if it is a text at all.
    pub(super) fn json(&self) -> Option<&'a str> {
        std::str::from_utf8(self.json).ok()
    }

    /// The end of the chain before it.
    pub(super) fn before(&self) -> Tail {
        Tail { seq: Seq(self.seq.0.saturating_sub(1)), sum: self.prev }
    }

    /// The end of the chain after it.
    pub(super) fn tail(&self) -> Tail {
        Tail { seq: self.seq, sum: self.sum }
    }

    /// Reads its record.
    pub(super) fn read(&self) -> Result<Line, Bad> {
        let record = match self.json() {
            Some(text) => serde_json::from_str(text)?,
            // For the error that says so.
            None => serde_json::from_slice(self.json)?,
        };
        Ok(Line { seq: self.seq, at: self.at, prev: self.prev, sum: self.sum, record })
    }
}

/// Checks the envelope of the line that follows `tail`: all but its record. `sum` is what [`sum_of`] says of it.
pub(super) fn open<'a>(day: &mut Day, tail: Tail, bytes: &'a [u8], sum: Digest) -> Result<Sealed<'a>, Bad> {
    let mut rest = after(bytes, b"{\"v\":")?;
    let version = number(&mut rest)?;
    if version != u64::from(VERSION) {
        return Err(Bad::Newer(u32::try_from(version).unwrap_or(u32::MAX)));
    }
    let body = checked(bytes, sum)?;
    let mut rest = after(body.get(bytes.len() - rest.len()..).ok_or_else(|| Bad::Envelope)?, b",\"seq\":")?;
    let seq = number(&mut rest)?;
    if seq != tail.next().0 {
        return Err(Bad::OutOfOrder { found: seq, wanted: tail.next().0 });
    }
    let rest = after(rest, b",\"at\":\"")?;
    let quote = rest.iter().position(|b| *b == b'"').ok_or_else(|| Bad::Envelope)?;
    let (at, rest) = rest.split_at(quote);
    let at = day.read(std::str::from_utf8(at).map_err(|_| Bad::Envelope)?).map_err(Bad::Time)?;
    let rest = after(rest, b"\",\"prev\":\"")?;
    let (prev, rest) = rest.split_at_checked(64).ok_or_else(|| Bad::Envelope)?;
    if prev != tail.sum.hex() {
        return Err(Bad::Chain);
    }
    let json = after(rest, b"\",\"record\":")?;
    Ok(Sealed { seq: Seq(seq), at, prev: tail.sum, sum, json })
}

/// Reads times, most of which are of the same day as the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Day(Option<([u8; 11], Timestamp)>);

impl Day {
    /// Reads a time: whatever jiff reads, and as it reads it.
    fn read(&mut self, text: &str) -> Result<Timestamp, jiff::Error> {
        if let Some((date, clock)) = text.as_bytes().split_first_chunk::<11>()
            && let Some(since) = since_midnight(clock)
        {
            if let Some((day, midnight)) = self.0
                && day == *date
                && let Ok(at) = midnight.checked_add(since)
            {
                return Ok(at);
            }
            let at: Timestamp = text.parse()?;
            self.0 = at.checked_sub(since).ok().map(|midnight| (*date, midnight));
            return Ok(at);
        }
        text.parse()
    }
}

/// Reads `12:00:01.5Z`, as hactl writes it; what is written otherwise is not judged here.
fn since_midnight(clock: &[u8]) -> Option<SignedDuration> {
    let [h, hh, b':', m, mm, b':', s, ss, fraction @ .., b'Z'] = clock else { return None };
    let two = |tens: &u8, ones: &u8, below: u8| {
        let value = tens.checked_sub(b'0')?.checked_mul(10)?.checked_add(ones.checked_sub(b'0')?)?;
        (tens.is_ascii_digit() && ones.is_ascii_digit() && value < below).then_some(i64::from(value))
    };
    let seconds = two(h, hh, 24)? * 3600 + two(m, mm, 60)? * 60 + two(s, ss, 60)?;
    let nanoseconds = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) => {
            let value = digits.iter().fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0'));
            (digits.len()..9).fold(value, |value, _| value * 10)
        }
        _ => return None,
    };
    Some(SignedDuration::new(seconds, nanoseconds))
}

/// True where `bytes` begin with a whole line that was written, whatever follows it: then something after it was
/// damaged, and it is not the torn beginning of a line.
pub(super) fn holds_a_whole_line(bytes: &[u8]) -> bool {
    (TRAILER..bytes.len())
        .map(|end| &bytes[..end])
        .any(|line| line.ends_with(END) && checked(line, sum_of(line)).is_ok())
}

/// The checksum that a line should have; of bytes that are too short to be one, anything.
pub(super) fn sum_of(bytes: &[u8]) -> Digest {
    Digest::of(&bytes[..bytes.len().saturating_sub(TRAILER)])
}

/// The checksummed bytes of a line, if their checksum `sum` is the one that it states.
fn checked(bytes: &[u8], sum: Digest) -> Result<&[u8], Bad> {
    let (body, trailer) = bytes
        .len()
        .checked_sub(TRAILER)
        .and_then(|at| bytes.split_at_checked(at))
        .ok_or_else(|| Bad::Envelope)?;
    let written = trailer.strip_prefix(SUM).and_then(|rest| rest.strip_suffix(END)).ok_or(Bad::Checksum)?;
    // Compared as text: a flipped bit that only turns a digit's case is damage too.
    if written == sum.hex() { Ok(body) } else { Err(Bad::Checksum) }
}

fn after<'a>(bytes: &'a [u8], prefix: &[u8]) -> Result<&'a [u8], Bad> {
    bytes.strip_prefix(prefix).ok_or_else(|| Bad::Envelope)
}

fn number(bytes: &mut &[u8]) -> Result<u64, Bad> {
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    let (text, rest) = bytes.split_at(digits);
    *bytes = rest;
    let sum = |sum: u64, digit: &u8| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    let number = if digits == 0 { None } else { text.iter().try_fold(0, sum) };
    number.ok_or_else(|| Bad::Envelope)
}

#[cfg(test)]
mod tests {
    use super::{Tail, decode, encode};
    use crate::journal::record::{Operator, Record};

    #[test]
    fn nothing_that_a_terminal_might_obey_stands_in_a_line() {
        let why = "\u{1b}[31m\u{9b}2J\u{7f}\u{202e}\u{feff}äöü ✓ \u{1f980}";
        let record = Record::Resumed {
            operator: Operator { user: "ada".to_owned(), machine: "desk".to_owned() },
            command: why.to_owned(),
        };
        let bytes = encode(Tail::EMPTY, "2026-11-21T12:00:00Z".parse().unwrap(), &record).unwrap();
        let line = std::str::from_utf8(&bytes).unwrap().trim_end();
        assert!(line.chars().all(crate::redact::is_plain) && line.contains("äöü ✓ \u{1f980}"), "{line:?}");
        assert_eq!(decode(Tail::EMPTY, line.as_bytes()).unwrap().record, record);
    }
}
