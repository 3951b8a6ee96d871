//! What is said where hactl itself is at fault.
//!
//! Invariant: a panic's message passes the same cleaning as everything that is shown; it may quote what it choked on.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write as _};

use super::words;

/// From now on a panic is told like this, on standard error.
pub fn install() {
    std::panic::set_hook(Box::new(|panic| {
        // Where the terminal is gone, the exit status still tells.
        let _ = writeln!(io::stderr(), "{}", text(&panic.to_string()));
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            let _ = writeln!(io::stderr(), "{trace}");
        }
    }));
}

fn text(said: &str) -> String {
    format!(
        "hactl has made a mistake and ends here: {}\n  now:     what the journal records still holds; a change that was \
         under way is in doubt\n  next:    hactl status\n  next:    report the lines above to hactl's makers",
        words::clean(said)
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_panic_quotes_no_control_character() {
        let said = super::text("panicked at x.rs:1:2:\nno such \u{1b}]0;t\u{7}thing");
        assert!(
            said.starts_with(
                "hactl has made a mistake and ends here: panicked at x.rs:1:2:\nno such thing\n"
            )
        );
    }
}
