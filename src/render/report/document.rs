//! The pieces that a report is made of, before it is Markdown or HTML.
//!
//! Invariant: they hold plain text, whoever wrote it. Escaping and cleaning is the business of the two writers, each
//! at one place, so no text gets around them.

/// A report.
#[derive(Clone, Debug, Default)]
pub(super) struct Document {
    pub(super) title: String,
    pub(super) blocks: Vec<Block>,
}

/// A piece of a line.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// Words.
    Text(String),
    /// A name, a digest, a command.
    Code(String),
    /// Words that must not be overlooked.
    Strong(String),
}

/// One paragraph's text.
pub(super) type Line = Vec<Piece>;

/// A block.
#[derive(Clone, Debug)]
pub(super) enum Block {
    /// A heading of level 2 or 3; the title is level 1.
    Heading(u8, String),
    /// A paragraph.
    Paragraph(Line),
    /// A list.
    List(Vec<Line>),
    /// Names with what they are.
    Facts(Vec<(&'static str, Line)>),
    /// A table.
    Table { head: Vec<&'static str>, rows: Vec<Vec<Line>> },
    /// Text as it was captured.
    Verbatim(String),
    /// When what was worked on.
    Timeline(Vec<Bar>),
}

/// One bar of a timeline.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    /// What.
    pub(super) label: String,
    /// Where it begins, in thousandths of the whole.
    pub(super) from: u32,
    /// Where it ends.
    pub(super) to: u32,
    /// When, and how it ended.
    pub(super) told: String,
}

/// Words.
pub(super) fn text(text: impl Into<String>) -> Line {
    vec![Piece::Text(text.into())]
}

/// A name, a digest, a command.
pub(super) fn code(text: impl Into<String>) -> Line {
    vec![Piece::Code(text.into())]
}

/// Words that must not be overlooked.
pub(super) fn strong(text: impl Into<String>) -> Line {
    vec![Piece::Strong(text.into())]
}

/// Text on one line: whatever broke it becomes a space. A space at either end stays, so that pieces can follow one
/// another.
pub(super) fn on_one_line(text: &str) -> String {
    let text = crate::render::words::clean(text);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let space = |is: bool| if is && !words.is_empty() { " " } else { "" };
    let (before, after) = (text.starts_with(char::is_whitespace), text.ends_with(char::is_whitespace));
    format!("{}{words}{}", space(before), space(after))
}
