//! What `hactl.toml` lacks for a phase, as text.

use std::fmt::Write as _;

use super::words::{clean, wrap};
use crate::lacks::Lack;

/// One thing that is lacking, with the lines to write, which are never wrapped, and without an end of line.
#[must_use]
pub fn text(lack: &Lack, width: usize) -> String {
    let mut text = wrap(&clean(&format!("  {}", lack.what)), width, 4);
    let _ = write!(text, "\n    {}:", clean(&lack.to));
    for line in &lack.lines {
        let _ = write!(text, "\n      {}", clean(line));
    }
    text
}
