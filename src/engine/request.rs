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

use super::approver::way_back_text;
use super::gate::Binding;
use super::seam::{Resolved, Task};
use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::evidence::EvidenceStore;
use crate::journal::Run;
use crate::journal::record::{Approval, Change, Operator, Place, Signed};
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

impl Request {
    /// The request of `run` for an approval of `change`, which `task` would make by what it `resolved` to.
    pub(super) fn new<A>(
        run: &Run,
        task: &Task,
        resolved: &Resolved<A>,
        change: &Change,
        requested_by: &Operator,
        expires: Timestamp,
    ) -> Self {
        Self {
            version: VERSION,
            fleet: run.fleet.clone(),
            run: run.run.clone(),
            runbook: run.runbook.clone(),
            runbook_digest: run.runbook_bytes.digest,
            workspace_digest: run.workspace.digest,
            step: task.place.step.clone(),
            host: task.place.host.clone(),
            title: task.title.clone(),
            why: task.why.clone(),
            change: change.summary.clone(),
            details: change.details.clone(),
            way_back: way_back_text(&resolved.way_back),
            identities: resolved.identities.clone(),
            action: resolved.canonical.clone(),
            requested_by: requested_by.to_string(),
            expires,
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

/// A request that is one for this run, here and now.
#[derive(Debug)]
#[must_use = "a request that was judged is not accepted yet"]
pub struct Judged<'a> {
    pub(super) task: &'a Task,
    pub(super) request: &'a Request,
    pub(super) text: &'a str,
}

/// The command that approves a place ahead.
pub fn approve_command(place: &Place) -> String {
    match &place.host {
        Some(host) => format!("hactl approve {} --host {host}", place.step),
        None => format!("hactl approve {}", place.step),
    }
}

/// The command that writes a place's request, and its file.
#[must_use]
pub fn export_command(place: &Place) -> (String, String) {
    let file = match &place.host {
        Some(host) => format!("{}-{host}.approval", place.step),
        None => format!("{}.approval", place.step),
    };
    (format!("{} --export {file}", approve_command(place)), file)
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
