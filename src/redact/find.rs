//! What is looked for in a text, and how it may be written there.
//!
//! A needle is a form of a secret that depends on the secret alone. While a text is read, escapes of URLs and of JSON
//! are undone on the way, and line breaks are passed over, because a long form comes on several lines.

use std::sync::Arc;

/// A form of a secret, as it is looked for; every run of white space in it is one space.
#[derive(Clone, Debug)]
pub(super) struct Needle {
    pub(super) bytes: Vec<u8>,
    pub(super) name: Arc<str>,
}

/// How a text writes the bytes that matter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spelling {
    /// As they are.
    Plain,
    /// As URLs and forms do: `%2F`, `+` for a space.
    Percent,
    /// As JSON and programming languages do: `\"`, `\n`, `\u002f`, `\x2f`.
    Backslash,
}

impl Spelling {
    /// Those that make a difference in a text.
    pub(super) fn of(text: &[u8]) -> Vec<Self> {
        let mut all = vec![Self::Plain];
        if text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
            all.push(Self::Percent);
        }
        if text.contains(&b'\\') {
            all.push(Self::Backslash);
        }
        all
    }
}

/// How much of a needle stands at a place of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// How many of its bytes.
    pub(super) bytes: usize,
    /// Where they end in the text.
    pub(super) end: usize,
}

/// Every form in which a secret is looked for.
pub(super) fn forms_of(text: &str) -> Vec<Vec<u8>> {
    let raw = text.as_bytes();
    let mut forms = vec![spaced(raw), hex::encode(raw).into_bytes(), hex::encode_upper(raw).into_bytes()];
    for alphabet in [BASE64, BASE64_URL] {
        // A secret may begin at any of three positions within the groups of a longer text.
        for offset in 0..3 {
            forms.push(base64_inside(raw, offset, alphabet));
        }
    }
    forms
}

/// With every run of white space as one space, and none at the ends.
fn spaced(raw: &[u8]) -> Vec<u8> {
    let words: Vec<&[u8]> = raw.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
    words.join(&b' ')
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The characters that are the same in the base64 of every text in which `raw` stands `offset` bytes after a group's
/// beginning: those that depend on `raw` alone.
fn base64_inside(raw: &[u8], offset: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let bits = raw.len() * 8;
    let skip = (6 - (offset * 8) % 6) % 6;
    let mut text = Vec::new();
    let mut at = skip;
    while at + 6 <= bits {
        let sextet =
            (at..at + 6).fold(0usize, |sum, bit| (sum << 1) | usize::from(raw[bit / 8] >> (7 - bit % 8) & 1));
        text.push(alphabet[sextet]);
        at += 6;
    }
    text
}

/// The byte that stands at a place, and how long it is written there.
pub(super) fn unit(text: &[u8], at: usize, spelling: Spelling) -> Option<(u8, usize)> {
    let rest = text.get(at..)?;
    let first = *rest.first()?;
    let escaped = match (spelling, first) {
        (Spelling::Percent, b'%') => digits(rest, 1).map(|byte| (byte, 3)),
        (Spelling::Backslash, b'\\') => match rest.get(1)? {
            b'n' => Some((b'\n', 2)),
            b't' => Some((b'\t', 2)),
            b'r' => Some((b'\r', 2)),
            b'x' => digits(rest, 2).map(|byte| (byte, 4)),
            b'u' if rest.get(2..4) == Some(b"00") => digits(rest, 4).map(|byte| (byte, 6)),
            mark @ (b'"' | b'\'' | b'\\' | b'/' | b'$' | b'`') => Some((*mark, 2)),
            _ => None,
        },
        (Spelling::Plain | Spelling::Percent | Spelling::Backslash, _) => None,
    };
    Some(escaped.unwrap_or((first, 1)))
}

fn digits(text: &[u8], at: usize) -> Option<u8> {
    let text = std::str::from_utf8(text.get(at..at + 2)?).ok()?;
    u8::from_str_radix(text, 16).ok()
}

/// How much of `wanted`, from its first byte on, stands at a place of a text.
pub(super) fn run(wanted: &[u8], text: &[u8], at: usize, spelling: Spelling) -> Run {
    let mut run = Run { bytes: 0, end: at };
    for byte in wanted {
        let end = if *byte == b' ' {
            Some(skip_space(text, run.end, spelling)).filter(|after| *after > run.end)
        } else {
            let place = if run.bytes > 0 { skip_break(text, run.end, spelling) } else { at };
            unit(text, place, spelling).filter(|(found, _)| found == byte).map(|(_, length)| place + length)
        };
        match end {
            Some(end) => run = Run { bytes: run.bytes + 1, end },
            None => break,
        }
    }
    run
}

/// The first two bytes that a needle could have which stands at a place; the second may be one of two.
pub(super) fn first_two(text: &[u8], at: usize, spelling: Spelling) -> Option<(u8, [Option<u8>; 2])> {
    let (first, length) = unit(text, at, spelling)?;
    let next = at + length;
    let space = (skip_space(text, next, spelling) > next).then_some(b' ');
    let second = unit(text, skip_break(text, next, spelling), spelling).map(|(byte, _)| byte);
    Some((first, [second, space]))
}

/// Did somebody leave out what came here?
pub(super) fn is_cut(text: &[u8], at: usize) -> bool {
    let rest = text.get(at..).unwrap_or_default();
    rest.is_empty() || rest.starts_with("…".as_bytes())
}

/// Passes over white space, however it is written.
fn skip_space(text: &[u8], at: usize, spelling: Spelling) -> usize {
    let mut place = at;
    while let Some((byte, length)) = unit(text, place, spelling) {
        let joint = text.get(place..).is_some_and(|rest| rest.starts_with(b"; "));
        let plus = matches!(spelling, Spelling::Percent) && byte == b'+';
        if !byte.is_ascii_whitespace() && !plus && !joint {
            break;
        }
        place += length;
    }
    place
}

/// Passes over the end of a line and the beginning of the next, where one is; hactl itself joins lines by `; `.
fn skip_break(text: &[u8], at: usize, spelling: Spelling) -> usize {
    match text.get(at) {
        Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b'%' | b'\\') => {}
        Some(_) | None => return at,
    }
    let after = skip_space(text, at, spelling);
    let passed = &text[at..after];
    let breaks: &[&[u8]] = &[b"\n", b"\\n", b"%0a", b"%0A", b"; "];
    let broken = breaks.iter().any(|line| passed.windows(line.len()).any(|window| window == *line));
    if broken { after } else { at }
}
