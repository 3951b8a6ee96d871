//! Recognises the records that a long journal is full of without building them.
//!
//! Invariant: what [`skim`] accepts is a record that reading it whole accepts too, with the same place, move and attempt
//! (its place has still to be read: [`Skim::place`]). It knows only the very bytes that hactl writes, refuses nothing by
//! itself, and whatever it does not know is read whole. What such a record holds is checked here, not kept.

use super::record::AttemptNumber;
use crate::engine::state::Move;
use crate::name::MAX_NAME;

/// What of a record moves its place on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Skim<'a> {
    /// The JSON of its place, which was not looked into: equal places have equal texts.
    pub(super) place: &'a str,
    /// What it does to the place.
    pub(super) made: Move,
    /// The attempt that it names.
    pub(super) attempt: Option<AttemptNumber>,
}

/// How deep what was seen before an intent may be nested; deeper ones are read whole.
const DEEPEST: u32 = 16;
/// So many digits fit into every number that is written with them.
const FITS_U32: usize = 9;
const FITS_I64: usize = 18;

/// Reads the JSON of a record, if it is of a common kind and written as hactl writes it.
pub(super) fn skim(json: &str) -> Option<Skim<'_>> {
    let bytes = json.as_bytes();
    // Then every quote ends a text, and every text is what it looks like. Without a branch, for speed.
    if bytes.iter().fold(false, |odd, b| odd | (*b < 0x20) | (*b == b'\\')) {
        return None;
    }
    let mut scan = Scan { json, at: 0 };
    scan.word("{\"")?;
    let kind = scan.text()?;
    scan.word(":{\"place\":")?;
    let place = scan.place()?;
    let (made, attempt) = match kind {
        "observed" => (scan.observed()?, None),
        "awaiting_approval" => {
            scan.word(",\"binding\":")?;
            scan.digest()?;
            (Move::Await, None)
        }
        "intended" => {
            let attempt = scan.attempt()?;
            scan.word(",\"action\":")?;
            scan.digest()?;
            scan.word(",")?;
            scan.change_and_before()?;
            (Move::Intend, Some(attempt))
        }
        "applied" => {
            let attempt = scan.attempt()?;
            scan.word(",\"outputs\":")?;
            scan.outputs()?;
            (Move::Apply, Some(attempt))
        }
        "trial" => (Move::Try, Some(scan.attempt()?)),
        "verified" => {
            scan.verified()?;
            (Move::Verify, None)
        }
        _ => return None,
    };
    (scan.rest() == "}}").then_some(Skim { place, made, attempt })
}

/// JSON that holds no backslash and no control character, and how far it was read.
struct Scan<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a str {
        self.json.get(self.at..).unwrap_or_default()
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let there = self.rest().as_bytes().starts_with(word.as_bytes());
        self.at += if there { word.len() } else { 0 };
        there.then_some(())
    }

    /// A text up to its closing quote; the opening one was read.
    fn text(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let end = rest.bytes().position(|b| b == b'"')?;
        self.at += end + 1;
        rest.get(..end)
    }

    fn string(&mut self) -> Option<&'a str> {
        self.word("\"")?;
        self.text()
    }

    fn name(&mut self) -> Option<()> {
        let name = self.string()?.as_bytes();
        let first = name.first()?.is_ascii_alphanumeric();
        let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-' || *b == b'.';
        (first && name.len() <= MAX_NAME && name.iter().all(plain)).then_some(())
    }

    fn digest(&mut self) -> Option<()> {
        let digest = self.string()?.as_bytes();
        (digest.len() == 64 && digest.iter().all(u8::is_ascii_hexdigit)).then_some(())
    }

    /// A whole number of at most so many digits.
    fn number(&mut self, digits: usize) -> Option<u64> {
        let rest = self.rest().as_bytes();
        let end = rest.iter().position(|b| !b.is_ascii_digit())?;
        let number = rest.get(..end)?;
        if number.is_empty() || number.len() > digits || (number.len() > 1 && number[0] == b'0') {
            return None;
        }
        self.at += end;
        Some(number.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
    }

    fn integer(&mut self) -> Option<()> {
        let negative = self.word("-").is_some();
        let number = self.number(FITS_I64)?;
        // A zero with a sign is no whole number.
        (!negative || number > 0).then_some(())
    }

    fn attempt(&mut self) -> Option<AttemptNumber> {
        self.word(",\"attempt\":")?;
        u32::try_from(self.number(FITS_U32)?).ok().map(AttemptNumber)
    }

    fn place(&mut self) -> Option<&'a str> {
        let from = self.at;
        self.word("{\"step\":")?;
        self.string()?;
        if self.word(",\"host\":").is_some() {
            self.string()?;
        }
        self.word("}")?;
        self.json.get(from..self.at)
    }

    /// Items with commas between, up to `end`; what opens the list was read.
    fn items(&mut self, end: &str, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if self.word(end).is_some() {
            return Some(());
        }
        loop {
            item(self)?;
            if self.word(",").is_none() {
                return self.word(end);
            }
        }
    }

    fn strings(&mut self) -> Option<()> {
        self.word("[")?;
        self.items("]", |scan| scan.string().map(drop))
    }

    fn observed(&mut self) -> Option<Move> {
        self.word(",\"observed\":{\"")?;
        let made = match self.text()? {
            "applied" => {
                self.word(":")?;
                self.outputs()?;
                Move::SeeApplied
            }
            "not_applied" => {
                self.word(":{")?;
                self.change_and_before()?;
                self.word("}")?;
                Move::SeeNotApplied
            }
            "running" | "indeterminate" => {
                self.word(":")?;
                self.string()?;
                Move::SeeUnclear
            }
            _ => return None,
        };
        self.word("}")?;
        Some(made)
    }

    fn change_and_before(&mut self) -> Option<()> {
        self.word("\"change\":{\"summary\":")?;
        self.string()?;
        if self.word(",\"details\":").is_some() {
            self.strings()?;
        }
        self.word("},\"before\":")?;
        self.value(DEEPEST)
    }

    fn outputs(&mut self) -> Option<()> {
        self.word("{")?;
        self.items("}", |scan| {
            scan.name()?;
            scan.word(":{\"")?;
            match scan.text()? {
                "string" => {
                    scan.word(":")?;
                    scan.string()?;
                }
                "integer" => {
                    scan.word(":")?;
                    scan.integer()?;
                }
                "boolean" => scan.word(":true").or_else(|| scan.word(":false"))?,
                "list" => {
                    scan.word(":")?;
                    scan.strings()?;
                }
                "secret" => {
                    scan.word(":{\"name\":")?;
                    scan.string()?;
                    scan.word(",\"digest\":")?;
                    scan.digest()?;
                    scan.word("}")?;
                }
                _ => return None,
            }
            scan.word("}")
        })
    }

    fn verified(&mut self) -> Option<()> {
        self.word(",\"evidence\":[")?;
        self.items("]", |scan| {
            scan.word("{\"name\":")?;
            scan.string()?;
            scan.word(",\"digest\":")?;
            scan.digest()?;
            scan.word(",\"bytes\":")?;
            scan.number(FITS_I64)?;
            scan.word("}")
        })?;
        if self.word(",\"facts\":").is_some() {
            self.strings()?;
        }
        self.word(",\"outputs\":")?;
        self.outputs()
    }

    /// Any value; of its numbers, the whole ones.
    fn value(&mut self, deepest: u32) -> Option<()> {
        match self.rest().bytes().next()? {
            b'"' => self.string().map(drop),
            b'{' => {
                self.at += 1;
                let deepest = deepest.checked_sub(1)?;
                self.items("}", |scan| {
                    // serde_json keeps such keys for itself.
                    let ours = scan.string()?.starts_with('$');
                    scan.word(":").filter(|()| !ours)?;
                    scan.value(deepest)
                })
            }
            b'[' => {
                self.at += 1;
                let deepest = deepest.checked_sub(1)?;
                self.items("]", |scan| scan.value(deepest))
            }
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.integer(),
        }
    }
}
