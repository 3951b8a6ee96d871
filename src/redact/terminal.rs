//! Text for a terminal: nothing in it but text.

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
            c if is_plain(c) => clean.push(c),
            _ => {}
        }
    }
    clean
}

/// Is it neither a control character nor a mark that reorders or hides text? What is read would not be what is there.
#[must_use]
pub fn is_plain(c: char) -> bool {
    let hides = matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{61c}'
        | '\u{e0000}'..='\u{e007f}');
    !hides && !c.is_control()
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
    use super::sanitize_for_terminal;

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
