//! What a probe is: one read-only measurement with a tolerance.
//!
//! The same probes serve as preconditions (`require`), as verification (`verify`) and as a drill's steady state.

use serde::{Deserialize, Serialize};

use crate::access::View;
use crate::diagnostic::Result;

/// What a probe measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Is it within the tolerance?
    pub verdict: Verdict,
    /// What was measured and what is wanted, as one sentence with units.
    pub text: String,
}

/// Whether a measurement is within its tolerance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Holds,
    /// It is not.
    Fails,
}

impl Measured {
    /// A measurement that holds where `inside` is true.
    pub(super) fn within(inside: bool, text: impl Into<String>) -> Self {
        Self { verdict: if inside { Verdict::Holds } else { Verdict::Fails }, text: text.into() }
    }

    /// A measurement that holds.
    pub fn holds(text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Holds, text: text.into() }
    }

    /// A measurement that fails.
    pub fn fails(text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fails, text: text.into() }
    }
}

/// A kind of probe.
#[expect(async_fn_in_trait, reason = "one thread drives everything, so no Send bound is wanted")]
pub trait ProbeKind: Sized + Clone + Serialize + for<'de> Deserialize<'de> {
    /// The key in the TOML.
    const NAME: &'static str;
    /// One line for `hactl kinds`.
    const SUMMARY: &'static str;

    /// Measures once.
    ///
    /// # Errors
    /// The world could not be read; that is not the same as a measurement out of tolerance.
    async fn measure(&self, view: &View<'_>) -> Result<Measured>;
}
