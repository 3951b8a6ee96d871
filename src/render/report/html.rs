//! A report as one HTML file: no script, nothing from elsewhere, and made to be printed.
//!
//! Invariant: every text goes through [`escape`]. The content policy in its head is the second fence: even if a text
//! got through, a browser would run and fetch nothing.

use std::fmt::Write as _;

use super::document::{Bar, Block, Document, Line, Piece, on_one_line};
use crate::render::words::clean;

const STYLE: &str = include_str!("style.css");

/// The page.
pub(super) fn write(document: &Document) -> String {
    let title = escape(&document.title);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
    );
    for block in &document.blocks {
        let _ = match block {
            Block::Heading(level, text) => writeln!(out, "<h{level}>{}</h{level}>", escape(text)),
            Block::Paragraph(text) => writeln!(out, "<p>{}</p>", line(text)),
            Block::List(lines) => {
                let items: String = lines.iter().map(|item| format!("<li>{}</li>\n", line(item))).collect();
                writeln!(out, "<ul>\n{items}</ul>")
            }
            Block::Facts(facts) => {
                let rows: String = facts
                    .iter()
                    .map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", line(value)))
                    .collect();
                writeln!(out, "<dl>\n{rows}</dl>")
            }
            Block::Table { head, rows } => writeln!(out, "{}", table(head, rows)),
            Block::Verbatim(text) => {
                writeln!(out, "<pre>{}</pre>", escape_lines(&clean(text)))
            }
            Block::Timeline(bars) => writeln!(out, "{}", timeline(bars)),
        };
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn table(head: &[&str], rows: &[Vec<Line>]) -> String {
    // Where a screen is too narrow for columns, each cell stands on a line of its own and says what it is.
    let cell = |(name, cell): (&&str, &Line)| match line(cell) {
        empty if empty.is_empty() => "<td></td>".to_owned(),
        told => format!("<td data-head=\"{name}\">{told}</td>"),
    };
    let row = |row: &Vec<Line>| format!("<tr>{}</tr>\n", head.iter().zip(row).map(cell).collect::<String>());
    let columns: String = head.iter().map(|name| format!("<th scope=\"col\">{name}</th>")).collect();
    let rows: String = rows.iter().map(row).collect();
    format!("<table>\n<thead><tr>{columns}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>")
}

fn timeline(bars: &[Bar]) -> String {
    let row = |Bar { label, from, to, told }: &Bar| {
        // A moment is still to be seen.
        let (from, width) = (*from.min(&996), to.saturating_sub(*from).max(4));
        format!(
            "<tr><th scope=\"row\">{}</th><td class=\"bar\"><svg viewBox=\"0 0 1000 10\" \
             preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect x=\"{from}\" width=\"{width}\" \
             height=\"10\"/></svg></td><td>{}</td></tr>\n",
            escape(label),
            escape(told)
        )
    };
    let rows: String = bars.iter().map(row).collect();
    format!("<table class=\"timeline\">\n<tbody>\n{rows}</tbody>\n</table>")
}

fn line(pieces: &Line) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => escape(text),
        Piece::Code(text) => format!("<code>{}</code>", escape(text.trim())),
        Piece::Strong(text) => format!("<strong>{}</strong>", escape(text.trim())),
    };
    pieces.iter().map(piece).collect()
}

/// Text on one line, in which nothing is markup.
fn escape(text: &str) -> String {
    escape_lines(&on_one_line(text))
}

fn escape_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn nothing_is_markup() {
        assert_eq!(
            escape("<img src=x onerror='a()'> \"&\"\u{1b}]0;title\u{7}"),
            "&lt;img src=x onerror=&#39;a()&#39;&gt; &quot;&amp;&quot;"
        );
    }
}
