//! Taking out of text what must not be kept or shown: the values of known secrets, and control characters.
//!
//! Invariant: what passed a [`Redactor`] holds no secret that the redactor knew by then: not as it is, not in base64,
//! hexadecimal, URL-encoded or as JSON writes it, not broken over lines, and not a long part of it either, for somebody may
//! have cut the text. It is a net under the types that print nothing, not a reason to be careless. Two seams use it: the journal cleans every
//! record, [`crate::render`] everything that is shown; evidence passes on its way to the disk.

mod find;
mod terminal;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, PoisonError, RwLock, RwLockReadGuard};

use secrecy::{ExposeSecret as _, SecretString};

use self::find::{Needle, Spelling};
pub use self::terminal::{is_plain, sanitize_for_terminal};

/// A secret shorter than this is not looked for: it would be found everywhere and hide what it does not protect.
pub const SHORTEST: usize = 4;

/// Knows secrets, and takes them out. A clone learns what the original learns.
#[derive(Clone, Default)]
pub struct Redactor {
    known: Arc<RwLock<Known>>,
}

/// The needles, and where in them every two bytes stand.
struct Known {
    needles: Vec<Needle>,
    pairs: HashMap<[u8; 2], Vec<(usize, usize)>>,
    /// Which pairs there are: asked for every byte of a text.
    any: Vec<bool>,
}

impl Default for Known {
    fn default() -> Self {
        Self { needles: Vec::new(), pairs: HashMap::new(), any: vec![false; 1 << 16] }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} forms)", self.known().needles.len())
    }
}

impl Redactor {
    /// A redactor that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The one that knows every secret that this process resolved. There is one for all, because what prints the last
    /// error, and what prints a panic, can be handed nothing.
    #[must_use]
    pub fn of_process() -> Self {
        static PROCESS: LazyLock<Redactor> = LazyLock::new(Redactor::new);
        PROCESS.clone()
    }

    /// From now on takes `secret` out, and puts `[secret NAME]` in its place.
    pub fn learn(&self, name: &str, secret: &SecretString) {
        let whole = secret.expose_secret();
        let name: Arc<str> = sanitize_for_terminal(name).into();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = whole.lines().map(str::trim).filter(|line| !is_armour(line)).collect();
        let body = lines.join("\n");
        // A secret of several lines (a key) is recognised by each of its lines too.
        for text in std::iter::once(body.trim()).chain(lines).filter(|text| text.len() >= SHORTEST) {
            for bytes in find::forms_of(text) {
                known.add(Needle { bytes, name: Arc::clone(&name) });
            }
        }
    }

    /// Does it know a secret?
    #[must_use]
    pub fn knows_any(&self) -> bool {
        !self.known().needles.is_empty()
    }

    /// `content` without the known secrets.
    #[must_use]
    pub fn redact<'a>(&self, content: &'a [u8]) -> Cow<'a, [u8]> {
        let known = self.known();
        if known.needles.is_empty() {
            return Cow::Borrowed(content);
        }
        let mut clean: Option<Vec<u8>> = None;
        let mut copied = 0;
        let mut at = 0;
        let spellings = Spelling::of(content);
        while at < content.len() {
            let Some((mut end, name)) = known.at(content, at, &spellings) else {
                at += 1;
                continue;
            };
            // Another secret may begin within this one and reach beyond it.
            let mut within = at + 1;
            while within < end {
                end = known.at(content, within, &spellings).map_or(end, |(other, _)| other.max(end));
                within += 1;
            }
            let clean = clean.get_or_insert_default();
            clean.extend_from_slice(&content[copied..at]);
            clean.extend_from_slice(format!("[secret {name}]").as_bytes());
            at = end;
            copied = end;
        }
        match clean {
            None => Cow::Borrowed(content),
            Some(mut clean) => {
                clean.extend_from_slice(&content[copied..]);
                Cow::Owned(clean)
            }
        }
    }

    /// `text` without the known secrets.
    #[must_use]
    pub fn redact_text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.redact(text.as_bytes())).into_owned()
    }

    /// `text` as it may be kept and shown: without the known secrets, and nothing in it but text.
    #[must_use]
    pub fn clean(&self, text: &str) -> String {
        let clean = sanitize_for_terminal(&self.redact_text(text));
        // What was taken out may have stood in the midst of a secret.
        if clean == text { clean } else { self.redact_text(&clean) }
    }

    /// Cleans every text in a JSON value; the keys are ours.
    pub fn clean_json(&self, value: &mut serde_json::Value) {
        each_text(value, &|text| self.clean(text));
    }

    /// Takes the secrets out of every text in a JSON value, and changes nothing else.
    pub fn redact_json(&self, value: &mut serde_json::Value) {
        each_text(value, &|text| self.redact_text(text));
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn add(&mut self, needle: Needle) {
        if needle.bytes.len() < SHORTEST || self.needles.iter().any(|there| there.bytes == needle.bytes) {
            return;
        }
        let index = self.needles.len();
        for (offset, pair) in needle.bytes.windows(2).enumerate() {
            self.pairs.entry([pair[0], pair[1]]).or_default().push((index, offset));
            self.any[usize::from(u16::from_be_bytes([pair[0], pair[1]]))] = true;
        }
        self.needles.push(needle);
    }

    /// Where what begins at a place ends, if it is a secret or too much of one; and its name.
    fn at(&self, content: &[u8], at: usize, spellings: &[Spelling]) -> Option<(usize, Arc<str>)> {
        let mut best: Option<(usize, &Needle)> = None;
        for spelling in spellings {
            let Some((first, seconds)) = find::first_two(content, at, *spelling) else { continue };
            for second in seconds.into_iter().flatten() {
                if !self.any[usize::from(u16::from_be_bytes([first, second]))] {
                    continue;
                }
                for (index, offset) in self.pairs.get(&[first, second]).into_iter().flatten() {
                    let needle = &self.needles[*index];
                    let run = find::run(&needle.bytes[*offset..], content, at, *spelling);
                    let part = Part { offset: *offset, bytes: run.bytes, of: needle.bytes.len() };
                    let cut = (at == 0, find::is_cut(content, run.end));
                    if part.gives_away(cut) && best.is_none_or(|(before, _)| run.end > before) {
                        best = Some((run.end, needle));
                    }
                }
            }
        }
        best.map(|(end, needle)| (end, Arc::clone(&needle.name)))
    }
}

/// How much of a needle was found.
struct Part {
    offset: usize,
    bytes: usize,
    of: usize,
}

impl Part {
    /// Is it more than chance, and worth hiding? A whole one is, and a long part of a long one; and half of one where
    /// the text was cut within it, at its beginning or its end.
    fn gives_away(&self, (begins, ends): (bool, bool)) -> bool {
        const LONG: usize = 12;
        let whole = self.bytes == self.of;
        let long = self.bytes >= LONG && self.of > LONG;
        let first = ends && self.offset == 0;
        let last = begins && self.offset + self.bytes == self.of;
        whole || long || ((first || last) && self.bytes >= SHORTEST && 2 * self.bytes >= self.of)
    }
}

fn each_text(value: &mut serde_json::Value, change: &impl Fn(&str) -> String) {
    match value {
        serde_json::Value::String(text) => *text = change(text),
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| each_text(item, change)),
        serde_json::Value::Object(map) => map.values_mut().for_each(|item| each_text(item, change)),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}

/// The first and last line of a PEM or age file say nothing.
fn is_armour(line: &str) -> bool {
    line.starts_with("-----") && line.ends_with("-----")
}

#[cfg(test)]
mod tests;
