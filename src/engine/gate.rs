//! Gates: what an approval binds, and the token that says an action may go through.
//!
//! Invariant: a [`Cleared`] exists only for an action whose gate is none, or one whose approval binds exactly this
//! action and has not expired. Only the journal takes a `Cleared`, and makes an intent of it.

use jiff::Timestamp;
use serde::Serialize;

use super::seam::{Signers, Task};
use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::journal::record::{Approval, Before, Change, How, Place};
use crate::name::FleetName;
use crate::runbook::Gate;

/// All that an approval binds: never measurements, never later steps. A changed one of these voids it.
#[derive(Clone, Debug, Serialize)]
pub struct Binding<'a> {
    /// Whose servers.
    pub fleet: &'a FleetName,
    /// The runbook's bytes.
    pub runbook: Digest,
    /// Which step, where.
    pub place: &'a Place,
    /// The resolved action.
    pub action: Digest,
    /// What it will change.
    pub change: &'a Change,
    /// Who and what it touches: host key fingerprints, bucket names.
    pub identities: &'a [String],
}

impl Binding<'_> {
    /// Its digest, which is what an approval carries.
    ///
    /// # Errors
    /// It has no JSON form, which is a defect of hactl.
    pub fn digest(&self) -> Result<Digest> {
        Digest::of_json(self)
            .map_err(|e| Error::new(codes::INTERNAL, "what an approval binds has no digest").source(e))
    }
}

/// Is an answer of this kind, by this person, one that the step's gate takes?
#[must_use]
pub fn admits(task: &Task, how: &How) -> bool {
    match (task.gate, how) {
        // `--yes` exists in a rehearsal only.
        (_, How::Rehearsed) => true,
        (Gate::None | Gate::Confirm | Gate::Type, How::Confirmed | How::Typed) => true,
        (Gate::Sign, How::Confirmed | How::Typed) => false,
        (_, How::Signed(signed)) => match &task.signers {
            Signers::Anyone => true,
            Signers::AllBut(operators) => !operators.contains(&signed.principal),
        },
    }
}

/// An action that its gate let through. It can be used once.
#[derive(Debug)]
#[must_use = "a cleared action does nothing until the journal recorded its intent"]
pub struct Cleared {
    place: Place,
    action: Digest,
    change: Change,
    before: Before,
    binding: Option<Digest>,
}

impl Cleared {
    /// Clears an action by its approval. `binding` is the digest of what the approval has to bind.
    ///
    /// # Errors
    /// The approval is for something else, or has expired at `now`.
    pub fn by_approval(
        task: &Task,
        action: Digest,
        change: Change,
        before: Before,
        binding: Digest,
        approval: &Approval,
        now: Timestamp,
    ) -> Result<Self> {
        let place = task.place.clone();
        let refuse = |code, why: String| {
            Err(Error::new(code, why)
                .at(&place)
                .state("nothing was changed")
                .next("hactl resume    (asks for another one)"))
        };
        if approval.place != place || approval.binding != binding {
            return refuse(codes::APPROVAL_OTHER, "the approval given is for something else".to_owned());
        }
        if !admits(task, &approval.how) {
            let why = "the approval given is not the signature that this gate takes".to_owned();
            return refuse(codes::APPROVAL_OTHER, why);
        }
        if approval.expires <= now {
            let why = format!("the approval by {} expired at {}", approval.by, approval.expires);
            return refuse(codes::APPROVAL_EXPIRED, why);
        }
        Ok(Self { place, action, change, before, binding: Some(binding) })
    }

    /// Clears an action whose gate asks nothing.
    ///
    /// # Errors
    /// The gate does ask.
    pub fn without_gate(
        gate: Gate,
        place: Place,
        action: Digest,
        change: Change,
        before: Before,
    ) -> Result<Self> {
        match gate {
            Gate::None => Ok(Self { place, action, change, before, binding: None }),
            Gate::Confirm | Gate::Type | Gate::Sign => {
                Err(Error::new(codes::APPROVAL_NEEDED, "this step needs an approval")
                    .at(&place)
                    .state("nothing was changed")
                    .next(format!("hactl approve {}", place.step)))
            }
        }
    }

    /// Where.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The approval's binding; none where the gate asks nothing.
    #[must_use]
    pub fn binding(&self) -> Option<Digest> {
        self.binding
    }

    pub(crate) fn into_parts(self) -> (Place, Digest, Change, Before) {
        (self.place, self.action, self.change, self.before)
    }
}
