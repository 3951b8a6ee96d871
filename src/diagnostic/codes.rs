//! Every error code, what it means, and the exit status it ends in.
//!
//! One table: a code is stable once released, is documented by its line here, and is never reused. Each module
//! has its own section, so that the list reads like the code.

use std::fmt;

/// The exit status of hactl. Scripts rely on these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exit {
    /// Everything that was asked is done.
    Done = 0,
    /// Something failed; the message says what.
    Failed = 1,
    /// The command line or a file is not valid.
    Usage = 2,
    /// A gate needs an approval that nobody here can give.
    ApprovalNeeded = 3,
    /// Another hactl holds this workspace.
    Locked = 4,
    /// The plan or an approval is out of date.
    OutOfDate = 5,
    /// A step is in doubt and needs a decision.
    InDoubt = 6,
    /// Interrupted by Ctrl-C or a signal.
    Interrupted = 130,
}

impl Exit {
    /// What it means, in one sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "something failed; the message says what",
            Self::Usage => "the command line or a file is not valid",
            Self::ApprovalNeeded => "an approval is needed",
            Self::Locked => "another hactl holds the workspace",
            Self::OutOfDate => "the plan or an approval is out of date",
            Self::InDoubt => "a step is in doubt and needs a decision",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A stable error code, such as `ssh::unreachable`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code {
    name: &'static str,
    exit: Exit,
    meaning: &'static str,
}

impl Code {
    /// The code as it is printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.name
    }

    /// The exit status that this code ends in.
    #[must_use]
    pub fn exit(self) -> Exit {
        self.exit
    }

    /// What to type next where the error itself does not say it.
    #[must_use]
    pub fn next(self) -> &'static str {
        match self.name.split_once("::").map_or(self.name, |(part, _)| part) {
            "io" | "journal" | "lock" | "evidence" => {
                "look after that file and its disk (ls -l, df), then the same command again"
            }
            "file" | "workspace" | "runbook" => "hactl check",
            "s3" if self == S3_SETTINGS => "mend [s3] in hactl.toml, then: hactl check",
            "secret" => "hactl doctor    (says which secrets are at hand), then the same command again",
            "ssh" | "postgres" | "pgbackrest" | "s3" | "mirror" | "hcloud" => {
                "hactl doctor, then the same command again"
            }
            "attempt" | "prove" | "dump" | "step" => "look after that, then: hactl resume",
            "lab" => "hactl lab status",
            "init" => "hactl init --help    (every answer can be a flag)",
            "internal" => "hactl status; and report it, with the line above",
            _command => "hactl status",
        }
    }

    /// What the code means, in one sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.meaning
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! codes {
    ($($id:ident = $name:literal, $exit:ident, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $id: Code = Code { name: $name, exit: Exit::$exit, meaning: $meaning };)*
        /// Every code there is, in the order of the table.
        pub const ALL: &[Code] = &[$($id),*];
    };
}

codes! {
    // general
    INTERNAL = "internal", Failed, "hactl contradicts itself; this is a defect of hactl";
    IO = "io", Failed, "a file of this machine could not be read or written";
    USAGE = "usage", Usage, "the command line asks for something that does not exist";
    NO_RUN = "no_run", Usage, "a command needs a run, and none was begun";
    NOTHING_TO_VERIFY = "nothing_to_verify", Usage, "nothing of the phase was done yet";
    NOTHING_TO_ROLL_BACK = "nothing_to_roll_back", Usage, "nothing of the phase can be taken back";
    PHASE_ORDER = "phase_order", Failed, "a phase was to be run or taken back out of order";
    NO_PROOF = "no_proof", Usage, "there is no proof of that id";
    YES_IN_PRODUCTION = "yes_in_production", Usage, "--yes answers gates in a rehearsal only";
    INTERRUPTED = "interrupted", Interrupted, "stopped on request";
    // file
    FILE_SYNTAX = "file::syntax", Usage, "a file is not valid TOML";
    FILE_UNKNOWN_KEY = "file::unknown_key", Usage, "a table has a key that nobody reads";
    FILE_MISSING_KEY = "file::missing_key", Usage, "a table lacks a key that it must have";
    FILE_ILL_TYPED = "file::ill_typed", Usage, "a value is of another type than is wanted";
    FILE_BAD_VALUE = "file::bad_value", Usage, "a value is of the right type and still not usable";
    FILE_BARE_NUMBER = "file::bare_number", Usage, "a duration or a size is given without its unit";
    FILE_DUPLICATE = "file::duplicate", Usage, "an id that must be unique is given twice";
    FILES_INVALID = "file::invalid", Usage, "the workspace or the runbook has problems; each has its own code";
    // workspace
    WORKSPACE_NOT_FOUND = "workspace::not_found", Usage, "there is no hactl.toml here or in a parent folder";
    WORKSPACE_JUMP = "workspace::jump", Usage, "a jump host does not exist, or the jumps go round in a circle";
    WORKSPACE_POD = "workspace::pod", Usage, "a PostgreSQL instance in Kubernetes is not supported yet";
    // runbook
    RUNBOOK_NOT_FOUND = "runbook::not_found", Usage, "there is no such runbook";
    RUNBOOK_UNKNOWN_KIND = "runbook::unknown_kind", Usage, "a step or a probe names a kind that does not exist";
    RUNBOOK_NO_KIND = "runbook::no_kind", Usage, "a step has no action, or a probe no kind";
    RUNBOOK_TWO_KINDS = "runbook::two_kinds", Usage, "a step makes more than one effect, or a probe measures two things";
    RUNBOOK_UNKNOWN_REFERENCE = "runbook::unknown_reference", Usage, "a reference names something that does not exist";
    RUNBOOK_ILL_TYPED_REFERENCE = "runbook::ill_typed_reference", Usage, "a reference is of another type than is wanted there";
    RUNBOOK_FORWARD_REFERENCE = "runbook::forward_reference", Usage, "a reference names an output of a step that comes later";
    RUNBOOK_UNRESOLVED = "runbook::unresolved", Failed, "a reference has no value yet";
    RUNBOOK_MISSING_INPUT = "runbook::missing_input", Usage, "an input without a default is not given";
    RUNBOOK_UNKNOWN_INPUT = "runbook::unknown_input", Usage, "an input is given that the runbook does not declare";
    RUNBOOK_ILL_TYPED_INPUT = "runbook::ill_typed_input", Usage, "an input is of another type than is declared";
    RUNBOOK_BYPASSES_BALANCER = "runbook::bypasses_balancer", Usage, "a public name points at a floating IP, which never leads to a load balancer";
    RUNBOOK_GATE_TOO_WEAK = "runbook::gate_too_weak", Usage, "a step that cannot be taken back is not behind a gate of type";
    RUNBOOK_GATE_SIGN = "runbook::gate_sign", Usage, "a gate asks for a signature, and nothing says whose";
    RUNBOOK_UNKNOWN_ROLE = "runbook::unknown_role", Usage, "a step names a role that the runbook does not declare";
    RUNBOOK_ROLE_HOSTS = "runbook::role_hosts", Usage, "a role has no hosts, too few or too many";
    RUNBOOK_LACKS = "runbook::lacks", Usage, "the workspace lacks what a phase needs to be carried to its end";
    // journal
    JOURNAL_DAMAGED = "journal::damaged", Failed, "a line of the journal is not what hactl wrote there";
    JOURNAL_NEWER = "journal::newer", Failed, "the journal was written by a newer hactl";
    JOURNAL_ILLEGAL = "journal::illegal", Failed, "the journal tells a history that never comes from hactl";
    JOURNAL_READ = "journal::read", Failed, "the journal could not be read";
    JOURNAL_WRITE = "journal::write", Failed, "a record could not be made durable, so nothing was done on the strength of it";
    JOURNAL_POISONED = "journal::poisoned", Failed, "an earlier record could not be made durable, so this hactl records nothing more";
    LOCK_HELD = "lock::held", Locked, "another hactl works in this workspace";
    LOCK_IO = "lock::io", Failed, "the workspace's lock could not be taken";
    EVIDENCE_WRITE = "evidence::write", Failed, "evidence could not be kept";
    EVIDENCE_READ = "evidence::read", Failed, "evidence is missing or is not what was kept";
    // mirror
    MIRROR_BEHIND = "mirror::behind", Failed, "the mirror could not be written, so nothing was begun that it does not know of";
    MIRROR_AHEAD = "mirror::ahead", OutOfDate, "the mirror holds records that this journal lacks: somebody else went on with the run";
    MIRROR_OVERWRITES = "mirror::overwrites", Failed, "the mirror's server overwrites what a conditional write must leave alone";
    MIRROR_DAMAGED = "mirror::damaged", Failed, "what the mirror holds is not what hactl wrote there";
    MIRROR_EMPTY = "mirror::empty", Usage, "no run is kept at that address";
    MIRROR_FOLDER = "mirror::folder", Usage, "a run was to be brought into a folder that holds another one";
    MIRROR_SECRETS = "mirror::secrets", Failed, "what a run needs beside its mirror cannot be had on this machine";
    // engine
    REQUIREMENT_NOT_MET = "engine::requirement_not_met", Failed, "what a step requires does not hold";
    CANNOT_TELL = "engine::cannot_tell", Failed, "observing could not tell how things stand, before anything was changed";
    STEP_TIMEOUT = "engine::timeout", Failed, "a step took longer than its timeout";
    IN_DOUBT = "engine::in_doubt", InDoubt, "an attempt may or may not have had its effect, and observing cannot decide it";
    DRIFT = "engine::files_changed", OutOfDate, "hactl.toml or the runbook was changed after the run began";
    ACTION_CHANGED = "engine::action_changed", OutOfDate, "a step was changed between its last attempt and judging or undoing it";
    NOT_IN_DOUBT = "engine::not_in_doubt", Usage, "a decision was given for a step that is not in doubt";
    CANNOT_SKIP = "engine::cannot_skip", Usage, "a step that has begun cannot be left out";
    DRIFTED = "engine::drifted", Failed, "a verified change is no longer there";
    APPROVAL_NEEDED = "engine::approval_needed", ApprovalNeeded, "a gate needs an approval, and there is no terminal to ask at";
    APPROVAL_REFUSED = "engine::approval_refused", ApprovalNeeded, "the operator said no at a gate";
    NOTHING_TO_APPROVE = "engine::nothing_to_approve", Usage, "an approval was offered for a step that needs none";
    ROLLBACK_UNFINISHED = "engine::rollback_unfinished", Failed, "a rollback of this step was begun and not finished";
    ROLLBACK_FAILED = "engine::rollback_failed", Failed, "a step could not be taken back";
    APPROVAL_OTHER = "engine::approval_other", OutOfDate, "the approval is for something else";
    APPROVAL_TEXT = "engine::approval_text", Usage, "a file is not a request for approval as hactl writes it";
    SIGNATURE = "engine::signature", Failed, "a signature could not be made, or does not count";
    APPROVAL_EXPIRED = "engine::approval_expired", OutOfDate, "the approval is too old";
    APPROVAL_UNKNOWN = "engine::approval_unknown", OutOfDate, "the approval does not stand in the journal, or was voided or used";
    CLOCK_BEHIND = "engine::clock_behind", OutOfDate, "the clock is behind the journal, so no approval and no proof can be judged";
    // ssh
    SSH_ARGUMENT = "ssh::argument", Failed, "a command has an argument that no program can be given";
    SSH_RUNTIME = "ssh::runtime", Failed, "the directory for the connections could not be made, or ssh is not installed";
    SSH_UNREACHABLE = "ssh::unreachable", Failed, "nobody answers there";
    SSH_NO_SERVER = "ssh::no_server", Failed, "the server that the host stands on is not made yet";
    SSH_KEY_UNKNOWN = "ssh::key_unknown", Failed, "the host's key is not pinned yet";
    SSH_KEY_CHANGED = "ssh::key_changed", Failed, "the host shows another key than the pinned one";
    SSH_LOGIN = "ssh::login", Failed, "the host refuses the login";
    SSH_SUDO = "ssh::sudo", Failed, "the user that logs in may not become root without a password";
    SSH_PERL = "ssh::perl", Failed, "Perl is not installed on the host, and what hactl does there needs it";
    SSH_LOST = "ssh::lost", Failed, "the connection was lost while a command was under way";
    SSH_DEADLINE = "ssh::deadline", Failed, "a host did not answer in time";
    SSH_TOO_MUCH = "ssh::too_much", Failed, "a host sent more than is read at once";
    SSH_READ = "ssh::read", Failed, "something on a host could not be read";
    SSH_ODD_ANSWER = "ssh::odd_answer", Failed, "a host said something that cannot be understood";
    // attempt
    ATTEMPT_FAILED = "attempt::failed", Failed, "a command ended with an error";
    ATTEMPT_OTHER_HOST = "attempt::other_host", Failed, "a host that the intent does not name was to be changed";
    ATTEMPT_CLAIMED = "attempt::claimed", Failed, "this command was claimed before, so it is not started again";
    ATTEMPT_VOID = "attempt::void", Failed, "this command was made void, so it can never start";
    ATTEMPT_ORDER = "attempt::order", Failed, "the command before this one has not ended";
    ATTEMPT_OTHER_RUN = "attempt::other_run", OutOfDate, "the host was changed by a run of another workspace";
    ATTEMPT_OTHER_FLEET = "attempt::other_fleet", Failed, "the host belongs to another fleet";
    ATTEMPT_OLD_EPOCH = "attempt::old_epoch", OutOfDate, "another machine took this fleet over";
    ATTEMPT_OLD_JOURNAL = "attempt::old_journal", OutOfDate, "the host was changed by a newer journal than this one";
    ATTEMPT_OWNER_DAMAGED = "attempt::owner_damaged", Failed, "the file that says whose the host is cannot be understood";
    ATTEMPT_SETUP = "attempt::setup", Failed, "the host cannot take attempts: a folder, a program or space is missing";
    ATTEMPT_SESSIONS = "attempt::sessions", Failed, "database sessions that an attempt left behind do not end";
    ATTEMPT_UNKNOWN = "attempt::unknown", Failed, "a command began and nobody knows how it ended";
    // postgres
    POSTGRES_NONE = "postgres::none", Usage, "the workspace names no PostgreSQL instance";
    POSTGRES_DOWN = "postgres::down", Failed, "no PostgreSQL server answers";
    POSTGRES_CLOSED = "postgres::closed", Failed, "PostgreSQL runs, and does not let its own superuser in";
    POSTGRES_NO_ROLE = "postgres::no_role", Failed, "PostgreSQL does not let the monitoring role in";
    POSTGRES_QUERY = "postgres::query", Failed, "a query failed";
    POSTGRES_DEADLINE = "postgres::deadline", Failed, "a query took too long";
    POSTGRES_LOST = "postgres::lost", Failed, "the connection to PostgreSQL was lost";
    POSTGRES_ODD_ANSWER = "postgres::odd_answer", Failed, "PostgreSQL answered something that cannot be understood";
    POSTGRES_SLOTS = "postgres::slots", Failed, "logical replication slots stand in the way of lowering wal_level";
    // pgbackrest
    PGBACKREST_MISSING = "pgbackrest::missing", Failed, "pgBackRest is not installed on a host that needs it";
    PGBACKREST_ODD = "pgbackrest::odd_answer", Failed, "pgBackRest printed something that cannot be understood";
    PGBACKREST_VERIFY = "pgbackrest::verify", Failed, "pgBackRest found something missing or damaged in the repository";
    // s3
    S3_SETTINGS = "s3::settings", Usage, "the S3 settings of the workspace cannot be used";
    S3_UNREACHABLE = "s3::unreachable", Failed, "the S3 server could not be connected to";
    S3_UNTRUSTED = "s3::untrusted", Failed, "the S3 server's certificate is not trusted, or TLS failed";
    S3_CREDENTIAL = "s3::credential", Failed, "the S3 server does not know the access key, or the secret key is not its own";
    S3_CLOCK = "s3::clock", Failed, "the clocks of this machine and of the S3 server are too far apart";
    S3_DENIED = "s3::denied", Failed, "the S3 server refuses this to this credential";
    S3_NO_BUCKET = "s3::no_bucket", Failed, "the bucket does not exist";
    S3_NO_OBJECT = "s3::no_object", Failed, "the object does not exist";
    S3_BUCKET_TAKEN = "s3::bucket_taken", Failed, "the bucket's name belongs to somebody else";
    S3_BUCKET_KEPT = "s3::bucket_kept", Failed, "the bucket was not removed, because it holds objects";
    S3_PRECONDITION = "s3::precondition", Failed, "a conditional request was refused, because the condition does not hold";
    S3_UNSUPPORTED = "s3::unsupported", Failed, "the S3 server does not know this operation";
    S3_UNKNOWN = "s3::unknown_outcome", Failed, "a change was sent to the S3 server and no usable answer came";
    S3_UNANSWERED = "s3::unanswered", Failed, "a read from the S3 server got no usable answer";
    S3_ANSWERED = "s3::answered", Failed, "the S3 server answered with an error that has no code of its own here";
    S3_TOO_LARGE = "s3::too_large", Failed, "an object is larger than may be read at once";
    S3_ROUND_TRIP = "s3::round_trip", Failed, "what was written to the bucket did not come back the same";
    S3_RESTORE_KEY = "s3::restore_key", Failed, "the credential for restores is the one that writes, or could write or delete";
    // secret
    SECRET_RECIPIENTS = "secret::recipients", Usage, "the workspace has no usable age recipients to encrypt to";
    SECRET_IDENTITY = "secret::identity", Usage, "what should be an age identity is none";
    SECRET_WRONG_IDENTITY = "secret::wrong_identity", Failed, "something was encrypted to other age recipients than this identity";
    SECRET_DAMAGED = "secret::damaged", Failed, "something encrypted with age is damaged or cut off";
    SECRET_MISSING = "secret::missing", Failed, "a secret that hactl keeps is not in .hactl/secrets";
    SECRET_IN_CLEAR = "secret::in_clear", Usage, "a secret stands in a file where a reference to it is wanted";
    SECRET_READABLE = "secret::readable", Failed, "the file of a secret can be read by others";
    SECRET_UNRESOLVED = "secret::unresolved", Failed, "a reference to a secret gave no value";
    SECRET_REMEMBERED = "secret::remembered", Failed, "what a step must remember word for word holds a secret, and the journal keeps none";
    // init
    INIT_EXISTS = "init::exists", Usage, "what `init` would write is there already, and is never replaced";
    INIT_INCOMPLETE = "init::incomplete", Usage, "an answer is missing, and there is no terminal to ask at";
    INIT_ANSWER = "init::answer", Usage, "an answer cannot be used";
    INIT_PROBE = "init::probe", Failed, "an answer failed when it was tried out";
    // step
    NOT_VERIFIED = "step::not_verified", Failed, "a change was made, and it does not do what it is for";
    // hcloud
    HCLOUD_SETTINGS = "hcloud::settings", Usage, "the cloud settings of the workspace cannot be used";
    HCLOUD_UNREACHABLE = "hcloud::unreachable", Failed, "the cloud's API could not be connected to";
    HCLOUD_UNTRUSTED = "hcloud::untrusted", Failed, "the certificate of the cloud's API is not trusted, or TLS failed";
    HCLOUD_TOKEN = "hcloud::token", Failed, "the cloud's API does not know the token";
    HCLOUD_DENIED = "hcloud::denied", Failed, "the token may not do this";
    HCLOUD_RATE = "hcloud::rate", Failed, "the cloud's API was asked too often, and wants a longer wait than hactl waits";
    HCLOUD_BUSY = "hcloud::busy", Failed, "the cloud works on the object just now";
    HCLOUD_TAKEN = "hcloud::taken", Failed, "something that must be unique in the project is taken";
    HCLOUD_NOT_OURS = "hcloud::not_ours", Failed, "an object has the wanted name, and hactl did not make it";
    HCLOUD_OTHER_PROJECT = "hcloud::other_project", InDoubt, "the token may open another project than the one that the run works in";
    HCLOUD_NOT_FOUND = "hcloud::not_found", Failed, "the cloud has no such object";
    HCLOUD_PROTECTED = "hcloud::protected", Failed, "the object is protected against this";
    HCLOUD_IN_USE = "hcloud::in_use", Failed, "the object is still used by another one";
    HCLOUD_LIMIT = "hcloud::limit", Failed, "the project may have no more objects of this kind";
    HCLOUD_UNAVAILABLE = "hcloud::unavailable", Failed, "what was asked for cannot be ordered now";
    HCLOUD_ACTION = "hcloud::action", Failed, "something that the cloud did in the background failed";
    HCLOUD_UNKNOWN = "hcloud::unknown_outcome", Failed, "a change was sent to the cloud's API and no usable answer came";
    HCLOUD_UNANSWERED = "hcloud::unanswered", Failed, "a read from the cloud's API got no usable answer";
    HCLOUD_ANSWERED = "hcloud::answered", Failed, "the cloud's API answered with an error that has no code of its own here";
    // prove
    PROVE_DIFFERS = "prove::differs", Failed, "what was restored is not what was there";
    PROVE_IDENTITY = "prove::identity", Failed, "the age identity at hand does not open the dump";
    PROVE_PASS = "prove::cipher_pass", Failed, "the pass phrase at hand does not open the repository";
    PROVE_DAMAGED = "prove::damaged", Failed, "something in the bucket is damaged or missing";
    PROVE_WAL_MISSING = "prove::wal_missing", Failed, "a segment of the WAL is missing in the archive";
    PROVE_NO_BACKUP = "prove::no_backup", Failed, "there is nothing in the bucket that could be restored";
    PROVE_SPACE = "prove::space", Failed, "the prover has not enough room for a restore";
    PROVE_LACKS = "prove::lacks", Failed, "the prover lacks a locale or an extension that the databases need";
    PROVE_FAILED = "prove::failed", Failed, "a proof could not be carried out";
    DUMP_ODD = "dump::odd", Failed, "the manifest of a dump cannot be read";
    // lab
    LAB_UNSUPPORTED = "lab::unsupported", Failed, "a lab cannot be made on this computer";
    LAB_MISSING = "lab::missing", Failed, "this computer lacks packages that the lab needs";
    LAB_TOOL = "lab::tool", Failed, "a tool of this computer failed or took too long";
    LAB_BUILD = "lab::build", Failed, "the image of the lab's machines could not be built";
    LAB_STATE = "lab::state", Failed, "the lab's own state file cannot be read";
    LAB_BUSY = "lab::busy", Locked, "another hactl is working on this lab";
    LAB_NOT_UP = "lab::not-up", Failed, "there is no lab of this name";
    LAB_NO_MACHINE = "lab::no-machine", Usage, "the lab has no machine of this name";
    LAB_NO_SNAPSHOT = "lab::no-snapshot", Usage, "the lab has no snapshot of this name";
    LAB_BOOT = "lab::boot", Failed, "a machine of the lab did not come up";
    LAB_WORKSPACE = "lab::workspace", Usage, "a folder holds a workspace that is not this lab's";
    LAB_SEAL = "lab::seal", Failed, "a lab could not be entered, or is not sealed";
    LAB_LEFTOVERS = "lab::leftovers", Failed, "something of a lab could not be removed";
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn codes_are_unique_and_explained() {
        let mut names: Vec<_> = ALL.iter().map(|c| c.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|c| c.meaning().len() > 10));
        // A part of the table that is new has to be thought of.
        let general =
            ["usage", "no_run", "nothing_to_verify", "nothing_to_roll_back", "phase_order", "no_proof"];
        let general = [&general[..], &["yes_in_production", "interrupted"]].concat();
        for code in ALL.iter().filter(|code| code.next() == "hactl status") {
            assert!(general.contains(&code.name()) || code.name().starts_with("engine::"), "{code}");
        }
    }
}
