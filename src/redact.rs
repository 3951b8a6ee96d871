//! Taking out of text what must not be kept or shown: the values of known secrets, and control characters.
//!
//! Invariant: what passed a [`Redactor`] holds no secret that the redactor knew by then: not as it is, not in base64,
//! not URL-encoded, not as JSON writes it. It is a net under the types that print nothing, not a reason to be careless.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

/// A secret shorter than this is not looked for: it would be found everywhere and hide what it does not protect.
pub const SHORTEST: usize = 4;

/// Knows the secrets of this process, and takes them out.
#[derive(Default)]
pub struct Redactor {
    needles: RefCell<Vec<Needle>>,
}

struct Needle {
    bytes: Vec<u8>,
    name: String,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} forms)", self.needles.borrow().len())
    }
}

impl Redactor {
    /// A redactor that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on takes `secret` out, and puts `[secret NAME]` in its place.
    pub fn learn(&self, name: &str, secret: &SecretString) {
        let whole = secret.expose_secret();
        let mut forms = Vec::new();
        // A secret of several lines (a key) is recognised by each of its lines too.
        for text in std::iter::once(whole.trim()).chain(whole.lines().map(str::trim)) {
            if text.len() >= SHORTEST && !is_armour(text) {
                forms.extend(forms_of(text));
            }
        }
        let mut needles = self.needles.borrow_mut();
        for bytes in forms {
            if bytes.len() >= SHORTEST && needles.iter().all(|n| n.bytes != bytes) {
                needles.push(Needle { bytes, name: name.to_owned() });
            }
        }
        // The longest first, so that no end of a longer one is left standing.
        needles.sort_by_key(|needle| std::cmp::Reverse(needle.bytes.len()));
    }

    /// `content` without the known secrets.
    #[must_use]
    pub fn redact<'a>(&self, content: &'a [u8]) -> Cow<'a, [u8]> {
        let needles = self.needles.borrow();
        let mut first = [false; 256];
        for needle in needles.iter() {
            if let Some(byte) = needle.bytes.first() {
                first[usize::from(*byte)] = true;
            }
        }
        let mut clean: Option<Vec<u8>> = None;
        let mut at = 0;
        let mut copied = 0;
        while at < content.len() {
            let found = if first[usize::from(content[at])] {
                needles.iter().find(|needle| content[at..].starts_with(&needle.bytes))
            } else {
                None
            };
            match found {
                Some(needle) => {
                    let clean = clean.get_or_insert_default();
                    clean.extend_from_slice(&content[copied..at]);
                    clean.extend_from_slice(format!("[secret {}]", needle.name).as_bytes());
                    at += needle.bytes.len();
                    copied = at;
                }
                None => at += 1,
            }
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
}

/// The first and last line of a PEM or age file say nothing.
fn is_armour(line: &str) -> bool {
    !line.contains('\n') && line.starts_with("-----") && line.ends_with("-----")
}

/// Every form in which a secret is looked for.
fn forms_of(text: &str) -> Vec<Vec<u8>> {
    let raw = text.as_bytes();
    let mut forms = vec![raw.to_vec(), percent(raw, Hex::Upper), percent(raw, Hex::Lower)];
    forms.push(text.replace(' ', "+").into_bytes());
    if let Ok(json) = serde_json::to_string(text) {
        forms.push(json.trim_matches('"').as_bytes().to_vec());
    }
    for alphabet in [BASE64, BASE64_URL] {
        // A secret may begin at any of three positions within the groups of a longer text.
        for offset in 0..3 {
            forms.push(base64_inside(raw, offset, alphabet));
        }
    }
    forms
}

#[derive(Clone, Copy)]
enum Hex {
    Upper,
    Lower,
}

fn percent(raw: &[u8], hex: Hex) -> Vec<u8> {
    let mut text = Vec::new();
    for byte in raw {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(*byte);
        } else {
            let escape = match hex {
                Hex::Upper => format!("%{byte:02X}"),
                Hex::Lower => format!("%{byte:02x}"),
            };
            text.extend_from_slice(escape.as_bytes());
        }
    }
    text
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

/// `text` as it may be shown on a terminal: without escape sequences, control characters other than newline and tab,
/// and characters that turn the direction of writing.
#[must_use]
pub fn sanitize_for_terminal(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next_if(|c| *c != '\n') {
                Some('[') => skip_csi(&mut chars),
                Some(']' | 'P' | 'X' | '^' | '_') => skip_string(&mut chars),
                // Other sequences are one character, after intermediate ones.
                Some(' '..='/') => {
                    while chars.next_if(|c| matches!(c, ' '..='/')).is_some() {}
                    let _ = chars.next_if(|c| matches!(c, '0'..='~'));
                }
                Some(_) | None => {}
            },
            '\u{9b}' => skip_csi(&mut chars),
            '\u{9d}' | '\u{90}' | '\u{98}' | '\u{9e}' | '\u{9f}' => skip_string(&mut chars),
            '\n' | '\t' => clean.push(c),
            // Marks that reorder or hide text: what is read would not be what is there.
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {}
            c if c.is_control() => {}
            c => clean.push(c),
        }
    }
    clean
}

/// A control sequence: parameters and intermediates, then one final character.
fn skip_csi(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
    let _ = chars.next_if(|c| matches!(c, '@'..='~'));
}

/// A string for the terminal, up to its terminator; one that is never ended takes no more than its line.
fn skip_string(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(c) = chars.next_if(|c| *c != '\n') {
        match c {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' => {
                let _ = chars.next_if(|c| *c == '\\');
                return;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::{Redactor, sanitize_for_terminal};

    fn knowing(secret: &str) -> Redactor {
        let redactor = Redactor::new();
        redactor.learn("s3-key", &SecretString::from(secret.to_owned()));
        redactor
    }

    /// An encoder of its own, so that the one under test is not its own witness.
    fn base64(bytes: &[u8]) -> String {
        let table: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
        let mut text = String::new();
        for group in bytes.chunks(3) {
            let word = group.iter().chain([0, 0].iter()).take(3).fold(0, |w, b| (w << 8) | usize::from(*b));
            for position in 0..=group.len() {
                text.push(table[(word >> (18 - 6 * position)) & 63]);
            }
            text.extend(std::iter::repeat_n('=', 3 - group.len()));
        }
        text
    }

    #[test]
    fn a_secret_is_found_as_it_is_and_encoded() {
        let secret = "p@ss/w+rd \"x\" ~9";
        let redactor = knowing(&format!("{secret}\n"));
        for text in [
            format!("key={secret}."),
            "key=p%40ss%2Fw%2Brd%20%22x%22%20~9.".to_owned(),
            "key=p%40ss%2fw%2brd%20%22x%22%20~9.".to_owned(),
            r#"{"key":"p@ss/w+rd \"x\" ~9"}"#.to_owned(),
        ] {
            let clean = redactor.redact_text(&text);
            assert!(clean.contains("[secret s3-key]") && !clean.contains("~9"), "{clean}");
        }
        assert_eq!(redactor.redact_text("nothing here"), "nothing here");
        assert_eq!(redactor.redact(b"\xff\xfe"), &b"\xff\xfe"[..]);
    }

    #[test]
    fn a_secret_is_found_in_base64_wherever_it_begins_in_it() {
        let secret = "hunter2-hunter2";
        let redactor = knowing(secret);
        for before in ["", "u", "us", "user:", "user2:"] {
            for after in ["", "!", "!!"] {
                let text = base64(format!("{before}{secret}{after}").as_bytes());
                for text in [text.clone(), text.replace('+', "-").replace('/', "_")] {
                    let clean = redactor.redact_text(&format!("Authorization: Basic {text}"));
                    assert!(clean.contains("[secret s3-key]"), "{before}…{after}: {clean}");
                }
            }
        }
    }

    #[test]
    fn a_key_of_several_lines_is_found_line_by_line_and_the_longer_secret_wins() {
        let redactor = knowing("-----BEGIN KEY-----\nabcdefgh\nijklmnop\n-----END KEY-----\n");
        assert_eq!(redactor.redact_text("x ijklmnop y"), "x [secret s3-key] y");
        assert_eq!(redactor.redact_text("-----END KEY-----"), "-----END KEY-----");
        redactor.learn("longer", &SecretString::from("abcdefgh-and-more".to_owned()));
        assert_eq!(redactor.redact_text("abcdefgh-and-more"), "[secret longer]");
        assert!(!format!("{redactor:?}").contains("abcdefgh"));
    }

    #[test]
    fn what_is_too_short_is_left_alone() {
        assert_eq!(knowing("abc").redact_text("abc"), "abc");
    }

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        for (hostile, shown) in [
            ("plain\ttext\nümlaut ✓", "plain\ttext\nümlaut ✓"),
            ("a\u{1b}[31;1mred\u{1b}[0m b", "ared b"),
            ("\u{1b}]0;title\u{7}x\u{1b}]8;;http://e\u{1b}\\link", "xlink"),
            ("\u{1b}]52;c;never ended\nnext line", "\nnext line"),
            ("\u{1b}P1$r\u{1b}\\y\u{1b}_apc\u{9c}z", "yz"),
            ("\u{1b}(0box\u{1b}c\u{1b}", "box"),
            ("c1 \u{9b}2Jclear\u{9d}0;t\u{7}.", "c1 clear."),
            ("over\rwrite\u{8}\u{7f}\0", "overwrite"),
            ("user\u{202e}txt.exe\u{2066}\u{200b}", "usertxt.exe"),
        ] {
            assert_eq!(sanitize_for_terminal(hostile), shown, "{hostile:?}");
        }
    }

    #[test]
    fn no_character_and_no_pair_lets_a_control_through() {
        let all: Vec<char> = ('\0'..='\u{a0}').collect();
        for a in &all {
            for b in &all {
                let clean = sanitize_for_terminal(&format!("\u{1b}{a}{b}x{a}{b}"));
                assert!(clean.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'), "{a:?} {b:?}");
            }
        }
    }
}
