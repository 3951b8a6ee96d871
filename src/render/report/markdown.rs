//! A report as Markdown: CommonMark with GitHub's tables, and no HTML in it.
//!
//! Invariant: every text goes through [`escape`], [`code`] or [`fenced`], so that what a host said stays text.

use std::fmt::Write as _;

use super::document::{Bar, Block, Document, Line, Piece, on_one_line};
use crate::render::words::clean;

/// How many columns a bar has.
const BAR: u32 = 40;

/// The Markdown.
pub(super) fn write(document: &Document) -> String {
    let mut out = format!("# {}\n", escape(&document.title));
    for block in &document.blocks {
        out.push('\n');
        match block {
            Block::Heading(level, text) => {
                let _ = writeln!(out, "{} {}", "#".repeat(usize::from(*level)), escape(text));
            }
            Block::Paragraph(text) => {
                let _ = writeln!(out, "{}", line(text));
            }
            Block::List(lines) => {
                for item in lines {
                    let _ = writeln!(out, "- {}", line(item));
                }
            }
            Block::Facts(facts) => {
                for (name, value) in facts {
                    let _ = writeln!(out, "- {name}: {}", line(value));
                }
            }
            Block::Table { head, rows } => table(&mut out, head, rows),
            Block::Verbatim(text) => out.push_str(&fenced(text)),
            Block::Timeline(bars) => out.push_str(&fenced(&timeline(bars))),
        }
    }
    out
}

fn table(out: &mut String, head: &[&str], rows: &[Vec<Line>]) {
    let _ = writeln!(out, "| {} |", head.join(" | "));
    let _ = writeln!(out, "|{}", " --- |".repeat(head.len()));
    for row in rows {
        let cells: Vec<_> = row.iter().map(line).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
}

fn timeline(bars: &[Bar]) -> String {
    let widest = bars.iter().map(|bar| bar.label.chars().count()).max().unwrap_or(0);
    let columns = |thousandths: u32| (thousandths * BAR / 1000).min(BAR - 1) as usize;
    let lines = bars.iter().map(|Bar { label, from, to, told }| {
        let (from, to) = (columns(*from), columns(*to));
        let bar = format!("{}{}", " ".repeat(from), "#".repeat(to - from + 1));
        format!("{label:widest$} |{bar:width$}| {told}", width = BAR as usize)
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn line(pieces: &Line) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => escape(text),
        Piece::Code(text) => code(text),
        Piece::Strong(text) => format!("**{}**", escape(text.trim())),
    };
    pieces.iter().map(piece).collect()
}

/// Text that means itself, on one line.
fn escape(text: &str) -> String {
    let text = on_one_line(text);
    let mut out = String::with_capacity(text.len());
    let chars: Vec<char> = text.chars().collect();
    let is_word = |at: Option<&char>| at.is_some_and(|c| c.is_alphanumeric());
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| chars.get(at));
        let after = chars.get(at + 1);
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '[' | ']' | '|' | '~' | '$' | '#' => out.extend(['\\', *c]),
            // Within a word it is no emphasis, and names are full of it.
            '_' if !(is_word(before) && is_word(after)) => out.push_str("\\_"),
            // What looks like an address would become a link.
            ':' if after == Some(&'/') => out.push_str("&#58;"),
            '.' if out.to_ascii_lowercase().ends_with("www") => out.push_str("&#46;"),
            // A line that begins so would be a list, a rule or a heading.
            '-' | '+' | '=' if at == 0 => out.extend(['\\', *c]),
            '.' | ')' if at > 0 && chars[..at].iter().all(char::is_ascii_digit) => out.extend(['\\', *c]),
            c => out.push(*c),
        }
    }
    out
}

/// Text between backticks, more of them than it holds in a row.
fn code(text: &str) -> String {
    // In a table a bar ends the cell even here.
    let text = on_one_line(text.trim()).replace('|', "\u{a6}");
    if text.is_empty() {
        return String::new();
    }
    let ticks = "`".repeat(longest_run(&text) + 1);
    if text.starts_with('`') || text.ends_with('`') {
        format!("{ticks} {text} {ticks}")
    } else {
        format!("{ticks}{text}{ticks}")
    }
}

fn fenced(text: &str) -> String {
    let text = clean(text);
    let fence = "`".repeat((longest_run(&text) + 1).max(3));
    format!("{fence}text\n{}\n{fence}\n", text.trim_end())
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{code, escape, fenced};

    #[test]
    fn text_stays_text() {
        assert_eq!(escape("<b>&amp;</b>"), "&lt;b&gt;&amp;amp;&lt;/b&gt;");
        assert_eq!(escape("a | b\n# c"), "a \\| b \\# c");
        assert_eq!(escape("![x](javascript:1)"), "!\\[x\\](javascript:1)");
        assert_eq!(
            escape("see https://evil.example or WWW.evil.example"),
            "see https&#58;//evil.example or WWW&#46;evil.example"
        );
        assert_eq!(escape("wal_level and _this_"), "wal_level and \\_this\\_");
        assert_eq!(escape("- no list"), "\\- no list");
        assert_eq!(escape("12. no list"), "12\\. no list");
        assert_eq!(escape("\u{1b}[31mred\u{1b}[0m\u{202e}"), "red");
    }

    #[test]
    fn code_ends_where_it_ends() {
        assert_eq!(code("a`b``c"), "```a`b``c```");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(code("a|b\nc"), "`a\u{a6}b c`");
        assert_eq!(fenced("```\n<script>\n"), "````text\n```\n<script>\n````\n");
    }
}
