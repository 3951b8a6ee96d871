//! A request for approval: the text that another person reads and signs.
//!
//! Invariant: the text holds all that an approval binds, so that who has only the text can judge it; and there is one
//! text for a request, so that what is shown is what is signed: [`Request::parse`] refuses any other spelling.
//!
//! What a signature says is that this person wanted this change on these machines before it expires. It does not say
//! that the measurements were good, nor that the operator's hactl is honest: who controls that can do without it.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::gate::Binding;
use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::evidence::EvidenceStore;
use crate::journal::record::{Approval, Change, Place, Signed};
use crate::name::{FleetName, HostName, RunId, RunbookName, StepId};
use crate::redact::is_plain;
use crate::signature;

/// The version of the text.
const VERSION: u32 = 1;

const HEAD: &str = "# A request of hactl for an approval. Read it; then: hactl approve --sign THIS-FILE\n";

/// All that an approval binds, and what a person needs to judge it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    version: u32,
    /// Whose servers.
    pub fleet: FleetName,
    /// Which run.
    pub run: RunId,
    /// Which runbook.
    pub runbook: RunbookName,
    /// The runbook's bytes.
    pub runbook_digest: Digest,
    /// The bytes of `hactl.toml`.
    pub workspace_digest: Digest,
    /// The step.
    pub step: StepId,
    /// The host, where the step has places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// The step's title.
    pub title: String,
    /// Why it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What will change.
    pub change: String,
    /// Its particulars.
    pub details: Vec<String>,
    /// How it could be taken back.
    pub way_back: String,
    /// Who and what it touches: host key fingerprints, bucket names.
    pub identities: Vec<String>,
    /// The resolved action in its canonical form.
    pub action: String,
    /// Who asks.
    pub requested_by: String,
    /// After this an approval no longer counts.
    pub expires: Timestamp,
}

/// What a request is made of, beside its version.
pub(super) struct Parts<'a> {
    pub(super) fleet: &'a FleetName,
    pub(super) run: &'a RunId,
    pub(super) runbook: &'a RunbookName,
    pub(super) runbook_digest: Digest,
    pub(super) workspace_digest: Digest,
    pub(super) place: &'a Place,
    pub(super) title: &'a str,
    pub(super) why: Option<&'a str>,
    pub(super) change: &'a Change,
    pub(super) way_back: String,
    pub(super) identities: &'a [String],
    pub(super) action: &'a str,
    pub(super) requested_by: String,
    pub(super) expires: Timestamp,
}

impl Request {
    pub(super) fn new(parts: Parts<'_>) -> Self {
        Self {
            version: VERSION,
            fleet: parts.fleet.clone(),
            run: parts.run.clone(),
            runbook: parts.runbook.clone(),
            runbook_digest: parts.runbook_digest,
            workspace_digest: parts.workspace_digest,
            step: parts.place.step.clone(),
            host: parts.place.host.clone(),
            title: parts.title.to_owned(),
            why: parts.why.map(|why| why.split_whitespace().collect::<Vec<_>>().join(" ")),
            change: parts.change.summary.clone(),
            details: parts.change.details.clone(),
            way_back: parts.way_back,
            identities: parts.identities.to_vec(),
            action: parts.action.to_owned(),
            requested_by: parts.requested_by,
            expires: parts.expires,
        }
    }

    /// Where.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { step: self.step.clone(), host: self.host.clone() }
    }

    /// The digest of what an approval of it binds.
    ///
    /// # Errors
    /// It has no JSON form, which is a defect of hactl.
    pub fn binding(&self) -> Result<Digest> {
        Binding {
            fleet: &self.fleet,
            runbook: self.runbook_digest,
            place: &self.place(),
            action: Digest::of(&self.action),
            change: &Change { summary: self.change.clone(), details: self.details.clone() },
            identities: &self.identities,
        }
        .digest()
    }

    /// Its text.
    ///
    /// # Errors
    /// It has no TOML form, which is a defect of hactl.
    pub fn text(&self) -> Result<String> {
        let toml = toml::to_string(self)
            .map_err(|e| Error::new(codes::INTERNAL, "a request for approval has no text").source(e))?;
        Ok(format!("{HEAD}{toml}"))
    }

    /// Reads a text.
    ///
    /// # Errors
    /// It is not the text of a request, or not spelt as hactl spells it.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: String| {
            Error::new(codes::APPROVAL_TEXT, "this is not a request for approval as hactl writes it")
                .state("nothing was signed or approved")
                .source(why)
                .next("ask for the file again: hactl approve STEP --export FILE")
        };
        let request: Self = toml::from_str(text).map_err(|e| bad(e.message().to_owned()))?;
        if request.version != VERSION {
            return Err(bad(format!("it has version {}, this hactl knows {VERSION}", request.version)));
        }
        if request.text()? == text {
            Ok(request)
        } else {
            Err(bad(
                "its content is sound, but it is spelt otherwise, as if somebody had edited it".to_owned()
            ))
        }
    }

    /// What the person who signs reads: every character of every field, those that a terminal would hide or obey as
    /// escapes. Only a detail may have several lines, and each of them begins where no field does.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "{}: {}", self.place(), visible(&self.title));
        let _ = writeln!(text, "  fleet:     {}", self.fleet);
        let _ =
            writeln!(text, "  run:       {} of {} ({})", self.run, self.runbook, self.runbook_digest.short());
        let _ = writeln!(text, "  asked by:  {}", visible(&self.requested_by));
        if let Some(why) = &self.why {
            let _ = writeln!(text, "  why:       {}", visible(why));
        }
        let _ = writeln!(text, "  change:    {}", visible(&self.change));
        for line in self.details.iter().flat_map(|detail| detail.split('\n')) {
            let _ = writeln!(text, "             {}", visible(line));
        }
        let _ = writeln!(text, "  way back:  {}", visible(&self.way_back));
        for identity in &self.identities {
            let _ = writeln!(text, "  touches:   {}", visible(identity));
        }
        let _ = writeln!(text, "  action:    {}", visible(&self.action));
        let _ = writeln!(text, "  expires:   {}", self.expires);
        text
    }
}

/// A text with what a terminal would hide or obey written as an escape.
fn visible(text: &str) -> String {
    let escaped = |c: char| if is_plain(c) { c.to_string() } else { c.escape_default().to_string() };
    text.chars().map(escaped).collect()
}

/// Checks a signed approval of a run again, by what was kept of it alone: `at` is when it was recorded.
///
/// # Errors
/// The signature did not count then, or is not over what the approval says.
pub fn check_again(
    approval: &Approval,
    signed: &Signed,
    at: Timestamp,
    run: &RunId,
    fleet: &FleetName,
    evidence: &EvidenceStore,
) -> Result<()> {
    let bad = |why: String| Error::new(codes::SIGNATURE, why).at(&approval.place);
    let bytes = evidence.get(&approval.shown)?;
    let text = String::from_utf8(bytes).map_err(|_| bad("what was signed is no text".to_owned()))?;
    let signer = signature::verify(&text, &signed.signature, &evidence.get(&signed.signers)?, at)
        .map_err(|e| e.at(&approval.place))?;
    let request = Request::parse(&text)?;
    let same = [
        ("principal", signer.principal == signed.principal),
        ("key", signer.key == signed.key),
        ("place", request.place() == approval.place),
        ("binding", request.binding()? == approval.binding),
        ("expiry", request.expires == approval.expires && at < request.expires),
        ("fleet", request.fleet == *fleet),
        ("run", request.run == *run),
    ];
    match same.into_iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((what, _)) => Err(bad(format!("the approval's {what} is not the one that was signed"))),
    }
}

#[cfg(test)]
mod tests;
