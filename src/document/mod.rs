//! A TOML file as a tree with spans, and what was found wrong in it.
//!
//! Invariant: reading never stops at the first problem and never panics, whatever the bytes. Problems are kept with
//! spans only; the text that is shown beside them is made at the end, when every place that may hold a secret in
//! clear is known and masked. What a runbook or a workspace means does not belong here.

mod found;
mod node;
mod reader;

pub use found::{Found, Remark};
pub use node::{Key, Literal, Node, Tree};
pub use reader::{Need, Reader, did_you_mean, parsed, suggest, unique};

use crate::diagnostic::codes;

/// A parsed file: the tree, as far as it could be read, and the syntax errors.
#[derive(Debug)]
pub struct Document {
    /// The root table.
    pub root: Node,
    /// What was found wrong so far.
    pub found: Found,
    /// Whether the tree is the whole file.
    pub syntax: Syntax,
}

/// Whether a file could be read as TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// The tree is the whole file.
    Sound,
    /// There were syntax errors: parts of the tree are missing, so nothing may be called absent.
    Broken,
}

impl Document {
    /// Reads `bytes` of the file that is shown as `name`.
    #[must_use]
    pub fn parse(name: &str, bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut found = Found::new(name, &text);
        if let Err(error) = std::str::from_utf8(bytes) {
            let at = error.valid_up_to();
            found.add(codes::FILE_SYNTAX, "not UTF-8 text").at(at..at, "from here on");
            return Self { root: Node::empty(), found, syntax: Syntax::Broken };
        }
        let (table, errors) = toml::de::DeTable::parse_recoverable(&text);
        let mut syntax = Syntax::Sound;
        for error in &errors {
            syntax = Syntax::Broken;
            let remark = found.add(codes::FILE_SYNTAX, format!("not valid TOML: {}", error.message()));
            if let Some(span) = error.span() {
                remark.at(span, "here");
            }
        }
        let span = table.span();
        let root = node::from_table(table.into_inner(), span);
        Self { root, found, syntax }
    }
}
