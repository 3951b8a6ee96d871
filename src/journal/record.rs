//! What stands in the journal: the versioned disk types, and nothing else.
//!
//! Invariant: every type here is written to disk and has golden files; changing one means a new [`VERSION`] and a
//! reader for the old one. What a record *does* to a step is [`crate::engine::state`]; how lines reach the disk is
//! [`super::file`]. Secrets never stand here: only their names and keyed digests.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::name::{FleetName, HostName, OutputName, PhaseId, RunId, RunbookName, StepId};

/// The version of the disk format that this hactl writes. A newer one is refused, never guessed.
pub const VERSION: u32 = 1;

/// Where something happens: a step, and the host where it fans out. A checkpoint belongs to a place.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The step.
    pub step: StepId,
    /// The host; none where the step acts on an API from the operator's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{} on {host}", self.step),
            None => write!(f, "{}", self.step),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A person at a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// The login name.
    pub user: String,
    /// The machine's name.
    pub machine: String,
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.user, self.machine)
    }
}

/// Whether a run acts on the real fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The real fleet.
    Production,
    /// A lab.
    Rehearsal {
        /// The lab's name.
        lab: String,
    },
}

/// One try at a step's action on a place; numbered from 1, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptNumber(pub u32);

impl fmt::Display for AttemptNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The number of a line of the journal, from 1 without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Which machine's hold on the fleet counts: it rises when another machine takes the journal over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The epoch of a journal that was never taken over.
    pub const FIRST: Self = Self(1);
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What an action will change. All of it is bound by an approval, so it holds no measurements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// One sentence: "restart postgresql@17-main on node-1".
    pub summary: String,
    /// The particulars, one a line: a diff, the objects touched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

/// What observe saw just before the intent: without it nobody can tell later whether *this* change happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Before(pub serde_json::Value);

/// What observing a place found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    /// The change is there; with the outputs that it has.
    Applied(Outputs),
    /// The change is not there; what would change, and what was seen.
    NotApplied {
        /// What the action would change.
        change: Change,
        /// What must be remembered to recognise the change afterwards.
        before: Before,
    },
    /// The change is under way; wait.
    Running(String),
    /// It cannot be told; why.
    Indeterminate(String),
}

/// The value of one output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputValue {
    /// A text.
    String(String),
    /// A whole number.
    Integer(i64),
    /// Yes or no.
    Boolean(bool),
    /// A list of texts.
    List(Vec<String>),
    /// A secret: kept in `.hactl/secrets/<name>.age`; here only its name and a keyed digest.
    Secret {
        /// The file's name without `.age`.
        name: String,
        /// HMAC-SHA-256 under a key that never leaves the workspace, so that equal secrets can be recognised.
        digest: Digest,
    },
}

/// The outputs of a step on one place.
pub type Outputs = BTreeMap<OutputName, OutputValue>;

/// A file in `.hactl/evidence`, written before the record that names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceRef {
    /// What it is, for people: "pgbackrest info".
    pub name: String,
    /// Its digest, which is its file name.
    pub digest: Digest,
    /// Its length in bytes.
    pub bytes: u64,
}

/// How an approval was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Answered at the gate's prompt.
    Confirmed,
    /// Typed the name that the gate asked for.
    Typed,
    /// Answered by `--yes`, which exists in a rehearsal only.
    Rehearsed,
    /// Signed by another machine's SSH key, over the text that is kept as what was shown.
    Signed(Box<Signed>),
}

/// A signature with all that it takes to check it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// Who signed, as the allowed signers name them.
    pub principal: String,
    /// The fingerprint of the key.
    pub key: String,
    /// The signature, in OpenSSH's armor.
    pub signature: String,
    /// The allowed signers as they were then.
    pub signers: EvidenceRef,
}

/// The recorded answer to a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// What it is for.
    pub place: Place,
    /// The digest of what it binds: fleet, runbook, step, resolved action, change, hosts with key fingerprints.
    pub binding: Digest,
    /// Who answered; of a signature, who brought it in.
    pub by: Operator,
    /// How.
    pub how: How,
    /// What they were shown.
    pub shown: EvidenceRef,
    /// After this it no longer counts.
    pub expires: Timestamp,
}

/// How strong a proof is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Only a canary row was followed through; nothing else was compared.
    CanaryOnly,
    /// Everything was compared, but on the very host that would be lost.
    SameHost,
    /// Everything was compared, on another host.
    Full,
}

/// Evidence that a property held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// What was proven: "restore", "dump".
    pub property: String,
    /// Of which component.
    pub component: String,
    /// The step that proved it. Where that fails later or is rolled back, the proof no longer counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// How strongly.
    pub grade: Grade,
    /// What was compared, where, from what: one fact a line.
    pub facts: Vec<String>,
    /// Measured figures with their unit in the name, such as `restore_seconds`.
    pub measured: BTreeMap<String, f64>,
    /// When it was taken.
    pub at: Timestamp,
    /// When it goes stale.
    pub expires: Timestamp,
    /// The evidence behind it.
    pub evidence: Vec<EvidenceRef>,
}

/// One durable entry of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Record {
    /// A run began. The bytes of the runbook and of `hactl.toml` are kept as evidence under their digests.
    RunStarted {
        /// Its id.
        run: RunId,
        /// Whose servers.
        fleet: FleetName,
        /// Who.
        operator: Operator,
        /// Which runbook.
        runbook: RunbookName,
        /// The runbook's bytes.
        runbook_bytes: EvidenceRef,
        /// The bytes of `hactl.toml`.
        workspace: EvidenceRef,
        /// The version of hactl.
        hactl: String,
        /// Production or rehearsal.
        mode: Mode,
    },
    /// Somebody went on with the run.
    Resumed {
        /// Who.
        operator: Operator,
        /// The command that they typed.
        command: String,
    },
    /// Another machine took the journal over; what the former one still sends is refused by the hosts.
    TakenOver {
        /// Who.
        by: Operator,
        /// The epoch from now on: higher than every one before.
        epoch: Epoch,
    },
    /// An incomplete last line was cut off.
    TornTail {
        /// Its length in bytes.
        bytes: u64,
    },
    /// The plan that approvals refer to.
    Planned {
        /// Its digest.
        plan: Digest,
    },
    /// A place was observed before its action.
    Observed {
        /// Where.
        place: Place,
        /// What was seen.
        observed: Observed,
    },
    /// A gate waits for an answer.
    AwaitingApproval {
        /// Where.
        place: Place,
        /// What an approval must bind.
        binding: Digest,
    },
    /// A gate was answered.
    Approved(Approval),
    /// The intent: from here on the world may change.
    Intended {
        /// Where.
        place: Place,
        /// Which try.
        attempt: AttemptNumber,
        /// The digest of the resolved action.
        action: Digest,
        /// The declared change.
        change: Change,
        /// What was seen before.
        before: Before,
    },
    /// The action ended and said so.
    Applied {
        /// Where.
        place: Place,
        /// Which try.
        attempt: AttemptNumber,
        /// What it yielded.
        outputs: Outputs,
    },
    /// The action certainly did not begin.
    NotStarted {
        /// Where.
        place: Place,
        /// Which try.
        attempt: AttemptNumber,
        /// Why.
        error: String,
    },
    /// The action may or may not have had an effect.
    InDoubt {
        /// Where.
        place: Place,
        /// Which try.
        attempt: AttemptNumber,
        /// Why.
        why: String,
    },
    /// An observation, or a person, settled a doubt (or could not: then it stays).
    Decided {
        /// Where.
        place: Place,
        /// Which try.
        attempt: AttemptNumber,
        /// What was found.
        observed: Observed,
        /// Who decided, where it was a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Operator>,
    },
    /// Verification begins; it may create and remove objects marked as ours.
    Trial {
        /// Where.
        place: Place,
        /// Which try.
        attempt: AttemptNumber,
    },
    /// The result was verified.
    Verified {
        /// Where.
        place: Place,
        /// The evidence.
        evidence: Vec<EvidenceRef>,
        /// What was found, one fact a line.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        facts: Vec<String>,
        /// The outputs that hold from now on.
        outputs: Outputs,
    },
    /// The step failed, and it is known how things stand.
    Failed {
        /// Where.
        place: Place,
        /// Why.
        error: String,
    },
    /// The step is left out; it stays unproven.
    Skipped {
        /// Where.
        place: Place,
        /// Why.
        reason: String,
        /// Who said so.
        by: Operator,
    },
    /// Rolling back begins.
    RollingBack {
        /// Where.
        place: Place,
        /// Which try.
        attempt: AttemptNumber,
    },
    /// The change is undone.
    RolledBack {
        /// Where.
        place: Place,
    },
    /// Undoing failed.
    RollbackFailed {
        /// Where.
        place: Place,
        /// Why.
        error: String,
    },
    /// Something was proven.
    Proven(Proof),
    /// A phase was carried out to its end.
    PhaseDone {
        /// Which.
        phase: PhaseId,
    },
    /// The run stopped on request.
    Interrupted,
    /// The operator accepted a changed runbook or workspace, or another version of hactl. No approval given before
    /// counts any more.
    Rebased {
        /// The runbook's bytes from now on.
        runbook_bytes: EvidenceRef,
        /// The bytes of `hactl.toml` from now on.
        workspace: EvidenceRef,
        /// The version of hactl from now on.
        hactl: String,
        /// Who.
        by: Operator,
    },
}

impl Record {
    /// The evidence that it names: what must be kept wherever it is.
    #[must_use]
    pub fn evidence(&self) -> Vec<&EvidenceRef> {
        match self {
            Self::RunStarted { runbook_bytes, workspace, .. }
            | Self::Rebased { runbook_bytes, workspace, .. } => vec![runbook_bytes, workspace],
            Self::Approved(approval) => match &approval.how {
                How::Signed(signed) => vec![&approval.shown, &signed.signers],
                How::Confirmed | How::Typed | How::Rehearsed => vec![&approval.shown],
            },
            Self::Verified { evidence, .. } => evidence.iter().collect(),
            Self::Proven(proof) => proof.evidence.iter().collect(),
            Self::Resumed { .. }
            | Self::TakenOver { .. }
            | Self::TornTail { .. }
            | Self::Planned { .. }
            | Self::Observed { .. }
            | Self::AwaitingApproval { .. }
            | Self::Intended { .. }
            | Self::Applied { .. }
            | Self::NotStarted { .. }
            | Self::InDoubt { .. }
            | Self::Decided { .. }
            | Self::Trial { .. }
            | Self::Failed { .. }
            | Self::Skipped { .. }
            | Self::RollingBack { .. }
            | Self::RolledBack { .. }
            | Self::RollbackFailed { .. }
            | Self::PhaseDone { .. }
            | Self::Interrupted => Vec::new(),
        }
    }

    /// Every kind of record, in the order of the type.
    pub const KINDS: [&str; 24] = [
        "run_started",
        "resumed",
        "taken_over",
        "torn_tail",
        "planned",
        "observed",
        "awaiting_approval",
        "approved",
        "intended",
        "applied",
        "not_started",
        "in_doubt",
        "decided",
        "trial",
        "verified",
        "failed",
        "skipped",
        "rolling_back",
        "rolled_back",
        "rollback_failed",
        "proven",
        "phase_done",
        "interrupted",
        "rebased",
    ];

    /// Its kind, as it stands on the disk.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RunStarted { .. } => "run_started",
            Self::Resumed { .. } => "resumed",
            Self::TakenOver { .. } => "taken_over",
            Self::TornTail { .. } => "torn_tail",
            Self::Planned { .. } => "planned",
            Self::Observed { .. } => "observed",
            Self::AwaitingApproval { .. } => "awaiting_approval",
            Self::Approved(_) => "approved",
            Self::Intended { .. } => "intended",
            Self::Applied { .. } => "applied",
            Self::NotStarted { .. } => "not_started",
            Self::InDoubt { .. } => "in_doubt",
            Self::Decided { .. } => "decided",
            Self::Trial { .. } => "trial",
            Self::Verified { .. } => "verified",
            Self::Failed { .. } => "failed",
            Self::Skipped { .. } => "skipped",
            Self::RollingBack { .. } => "rolling_back",
            Self::RolledBack { .. } => "rolled_back",
            Self::RollbackFailed { .. } => "rollback_failed",
            Self::Proven(_) => "proven",
            Self::PhaseDone { .. } => "phase_done",
            Self::Interrupted => "interrupted",
            Self::Rebased { .. } => "rebased",
        }
    }

    /// The place that this record is about, if it is about one.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Observed { place, .. }
            | Self::AwaitingApproval { place, .. }
            | Self::Intended { place, .. }
            | Self::Applied { place, .. }
            | Self::NotStarted { place, .. }
            | Self::InDoubt { place, .. }
            | Self::Decided { place, .. }
            | Self::Trial { place, .. }
            | Self::Verified { place, .. }
            | Self::Failed { place, .. }
            | Self::Skipped { place, .. }
            | Self::RollingBack { place, .. }
            | Self::RolledBack { place }
            | Self::RollbackFailed { place, .. } => Some(place),
            Self::Approved(approval) => Some(&approval.place),
            Self::RunStarted { .. }
            | Self::Resumed { .. }
            | Self::TakenOver { .. }
            | Self::TornTail { .. }
            | Self::Planned { .. }
            | Self::Proven(_)
            | Self::PhaseDone { .. }
            | Self::Interrupted
            | Self::Rebased { .. } => None,
        }
    }

    /// The attempt that this record names, if it names one.
    #[must_use]
    pub fn attempt(&self) -> Option<AttemptNumber> {
        match self {
            Self::Intended { attempt, .. }
            | Self::Applied { attempt, .. }
            | Self::NotStarted { attempt, .. }
            | Self::InDoubt { attempt, .. }
            | Self::Decided { attempt, .. }
            | Self::Trial { attempt, .. }
            | Self::RollingBack { attempt, .. } => Some(*attempt),
            Self::RunStarted { .. }
            | Self::Resumed { .. }
            | Self::TakenOver { .. }
            | Self::TornTail { .. }
            | Self::Planned { .. }
            | Self::Observed { .. }
            | Self::AwaitingApproval { .. }
            | Self::Approved(_)
            | Self::Verified { .. }
            | Self::Failed { .. }
            | Self::Skipped { .. }
            | Self::RolledBack { .. }
            | Self::RollbackFailed { .. }
            | Self::Proven(_)
            | Self::PhaseDone { .. }
            | Self::Interrupted
            | Self::Rebased { .. } => None,
        }
    }
}
