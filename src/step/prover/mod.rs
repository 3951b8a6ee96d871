//! What the steps that read backups share: the throwaway on the prover, digests, and the configuration of rclone.
//!
//! Invariant: whatever is made on the prover lies below one folder, belongs to one user and runs in units of one name,
//! so that cleaning finds all of it, also what a killed run left behind. Beside it are only what removes it when nobody
//! comes back: a timer, and a line for systemd-tmpfiles. Production is only read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;
use secrecy::SecretString;

use super::common::{bytes, instance};
use crate::access::s3::S3Identity;
use crate::access::{Become, HostTrial, Input, Trial, View};
use crate::diagnostic::{Error, Result, codes};
use crate::dumps::{Dump, Sealed};
use crate::journal::record::Grade;
use crate::name::{HostName, RoleName};
use crate::units::Size;
use crate::workspace::Host;

use self::digests::{Copy, Need};

mod cause;
pub(super) mod digests;
pub(super) mod rclone;

/// Prints digests of everything in a database; see the file for what they cover.
pub(super) const DIGEST_SQL: &str =
    concat!(include_str!("extension.sql"), include_str!("digest.sql"), include_str!("needs.sql"));

/// Prints how far every sequence is.
pub(super) const SEQUENCES_SQL: &str = concat!(include_str!("extension.sql"), include_str!("sequences.sql"));

/// Prints what a machine must have so that a database works there.
pub(super) const NEEDS_SQL: &str = include_str!("needs.sql");

/// The folder on the prover below which everything is.
pub(super) const BASE: &str = "/var/lib/hactl-scratch/prove";

/// Runs the script that is its first argument by bash, with the other arguments as data.
pub(super) const BASH: &str = "exec bash -c \"$@\"";

/// Reading dumps on the prover.
const LOAD: &str = concat!(include_str!("common.sh"), include_str!("../prove_dump/load.sh"));

/// How long one part may take where it is not about the amount of data.
const SHORT: Duration = Duration::from_secs(300);

/// How long a part may take that moves all of the data; the step's own timeout ends it earlier.
pub(super) const LONG: Duration = Duration::from_secs(12 * 3600);

/// The role of the prover where nothing else is said.
pub(super) fn role() -> RoleName {
    // A name that is spelled here is a name; the test says so.
    #[expect(clippy::expect_used, reason = "a constant that a test checks")]
    RoleName::new("prover").expect("prover is a name")
}

/// The memory that the throwaway may use where nothing else is said.
pub(super) fn memory() -> Size {
    Size(1 << 30)
}

/// How long a proof counts.
pub(super) const COUNTS_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Room beside the data itself: WAL, temporary files.
const ROOM: u64 = 1 << 30;

/// How strong a comparison of everything is: on the host that would be lost, it is weaker.
pub(super) fn grade(view: &View<'_>, prover: &HostName) -> Result<Grade> {
    let source = &host_of(view, &instance(view)?.role)?.name;
    Ok(if source == prover { Grade::SameHost } else { Grade::Full })
}

/// The host of a role that has one.
pub(super) fn host_of<'a>(view: &View<'a>, role: &RoleName) -> Result<&'a Host> {
    let none = || Error::new(codes::USAGE, format!("no host has the role {role}")).next("hactl check");
    view.workspace().hosts_in(role).next().ok_or_else(none)
}

/// A file that is put beside the throwaway with mode 0600.
pub(super) struct Secret {
    name: &'static str,
    content: Input,
}

impl Secret {
    pub(super) fn new(name: &'static str, content: impl Into<Input>) -> Self {
        Self { name, content: content.into() }
    }
}

/// What a part of the script printed: a word, then its value, a line.
pub(super) type Said = BTreeMap<String, String>;

/// The throwaway on the prover, from when it was prepared until it is cleaned.
pub(super) struct Prover<'a> {
    host: HostTrial<'a>,
    script: &'static str,
    identity: Option<SecretString>,
    bucket: String,
    version: String,
    /// What preparing found: `available` bytes, whether `memory` is limited.
    pub(super) found: Said,
}

impl<'a> Prover<'a> {
    /// Prepares the prover for reading dumps with the key for restores and the age identity.
    pub(super) async fn for_dumps(trial: &'a Trial<'_>, host: &HostName, memory: Size) -> Result<Self> {
        let none = || {
            Error::new(codes::SECRET_UNRESOLVED, "hactl.toml has no [age] identity, which opens dumps")
                .next("name it in hactl.toml for as long as it is needed, from where it is kept")
        };
        let identity =
            trial.workspace().age.as_ref().and_then(|age| age.identity.as_ref()).ok_or_else(none)?;
        let identity = trial.secret("age.identity", identity).await?;
        let rclone = rclone::configuration(trial, S3Identity::Restorer).await?;
        let secrets = vec![Secret::new("rclone.conf", &rclone)];
        let mut prover = Self::prepare(trial, host, LOAD, memory, secrets).await?;
        prover.identity = Some(identity);
        Ok(prover)
    }

    /// Cleans up what an earlier run left, and makes the folder, the user and the wall around it.
    pub(super) async fn prepare(
        trial: &'a Trial<'_>,
        host: &HostName,
        script: &'static str,
        memory: Size,
        mut secrets: Vec<Secret>,
    ) -> Result<Self> {
        let s3 = rclone::s3(trial)?;
        let (name, port) = rclone::endpoint(&s3.endpoint)?;
        secrets.extend(rclone::authority(trial)?.map(|ca| Secret::new("ca.pem", ca)));
        let mut input = Vec::new();
        for secret in &secrets {
            input
                .extend_from_slice(format!("{} {}\n", secret.name, secret.content.expose().len()).as_bytes());
            input.extend_from_slice(secret.content.expose());
        }
        let version = &instance(trial)?.version;
        let mut arguments = vec![version.clone(), memory.bytes().to_string(), name, port.to_string()];
        arguments.extend(controls(trial, host));
        let mut prover = Self {
            host: trial.on(host)?,
            script,
            identity: None,
            bucket: s3.bucket.clone(),
            version: version.clone(),
            found: Said::new(),
        };
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let prepared = prover.part("prepare", &arguments, Input::from(input), SHORT).await;
        match prepared {
            Ok(said) => {
                prover.found = said;
                Ok(prover)
            }
            Err(error) => prover.finish(Err(error)).await,
        }
    }

    /// The prover's name.
    pub(super) fn name(&self) -> &HostName {
        self.host.name()
    }

    /// Runs a part of the script and reads the words that it prints.
    pub(super) async fn part(
        &self,
        part: &'static str,
        arguments: &[&str],
        input: Input,
        within: Duration,
    ) -> Result<Said> {
        let text = self.text(part, arguments, input, within).await?;
        let said = text.lines().filter_map(|line| line.split_once(' '));
        Ok(said.map(|(word, value)| (word.to_owned(), value.trim().to_owned())).collect())
    }

    /// Runs a part of the script and gives what it prints.
    pub(super) async fn text(
        &self,
        part: &'static str,
        arguments: &[&str],
        input: Input,
        within: Duration,
    ) -> Result<String> {
        let mut all = vec![self.script, "hactl-prover", part];
        all.extend(arguments);
        let finished = self.host.script(BASH, &all, input, Become::Root, within).await?;
        if !finished.succeeded() {
            return Err(cause::explain(part, &finished));
        }
        if finished.stdout.cut > 0 {
            let what = format!("{part} on the prover printed more than can be read");
            return Err(Error::new(codes::SSH_TOO_MUCH, what).host(self.name()));
        }
        Ok(finished.text())
    }

    /// Digests of a database of the throwaway.
    pub(super) async fn digest(&self, database: &str, copy: Copy) -> Result<String> {
        let copy = match copy {
            Copy::Physical => "physical",
            Copy::Logical => "logical",
        };
        self.text("digest", &[database, copy, DIGEST_SQL, SEQUENCES_SQL], Input::nothing(), LONG).await
    }

    /// A sealed object of a dump, given to a part of the script together with the identity.
    pub(super) async fn sealed(&self, part: &'static str, dump: &Dump, sealed: &Sealed) -> Result<String> {
        let object = format!("s3:{}/{}", self.bucket, dump.key(&sealed.object));
        let identity = self.identity.as_ref().map_or_else(Input::nothing, Input::from);
        self.text(part, &[&object, &sealed.sha256], identity, LONG).await
    }

    /// Which of these things the prover does not have.
    pub(super) async fn lacks(&self, needs: &BTreeSet<Need>) -> Result<Vec<Need>> {
        let wanted: String = needs.iter().map(|need| format!("{need}\n")).collect();
        let text = self.text("needs", &[], Input::from(wanted.into_bytes()), SHORT).await?;
        Ok(needs.iter().filter(|need| text.lines().any(|line| line == need.to_string())).cloned().collect())
    }

    /// The refusal that names what is not there, and what brings it.
    pub(super) fn refuse(&self, lacks: &[Need], from: &BTreeMap<String, String>) -> Error {
        let list = lacks.iter().map(Need::words).collect::<Vec<_>>().join(", ");
        let what = format!("{} lacks what the databases need: {list}", self.name());
        let how = lacks.iter().map(|need| need.install(from)).collect::<Vec<_>>().join("; ");
        Error::new(codes::PROVE_LACKS, what).host(self.name()).state("nothing was restored").next(how)
    }

    /// Refuses where the databases are of another major version than what is installed here for them.
    pub(super) fn same_major(&self, is: &str) -> Result<()> {
        if is == self.version {
            return Ok(());
        }
        let what = format!(
            "the databases are of PostgreSQL {is}, and hactl.toml says {} ([postgres] version)",
            self.version
        );
        Err(Error::new(codes::PROVE_LACKS, what)
            .host(self.name())
            .state("nothing was restored")
            .next(format!("set it to {is}, and install postgresql-{is} on {}", self.name())))
    }

    /// Refuses where the data would not fit.
    pub(super) fn room_for(&self, data: u64) -> Result<()> {
        let available: u64 = self.found.get("available").and_then(|n| n.parse().ok()).unwrap_or(0);
        let needed = data.saturating_add(data / 4).saturating_add(ROOM);
        if available >= needed {
            return Ok(());
        }
        let what = format!("a restore needs {}, and {} are free", bytes(needed), bytes(available));
        Err(Error::new(codes::PROVE_SPACE, what).host(self.name()).state("nothing was restored").next(
            format!("make room under /var/lib/hactl-scratch on {} (df -h), then: hactl resume", self.name()),
        ))
    }

    /// How the throwaway was kept apart, in words.
    pub(super) fn apart(&self) -> String {
        let memory = match self.found.get("memory").map(String::as_str) {
            Some("limited") => "its memory is limited",
            Some(_) | None => "its memory is not limited, for this machine cannot",
        };
        format!("the throwaway was seen to reach the object storage and nothing else; {memory}")
    }

    /// Destroys the throwaway, whatever came out; an error that came before is the one that is told.
    pub(super) async fn finish<T>(&self, outcome: Result<T>) -> Result<T> {
        let cleaned = self.text("clean", &[], Input::nothing(), SHORT).await;
        match (outcome, cleaned) {
            (Ok(outcome), Ok(_)) => Ok(outcome),
            (Ok(_), Err(error)) => {
                Err(error.state("the proof itself went well; the throwaway is still there"))
            }
            (Err(error), Ok(_)) => Err(error
                .default_state("production was only read; the throwaway is destroyed")
                .default_next("hactl resume")),
            (Err(error), Err(_)) => {
                let state = "production was only read; the throwaway could not be destroyed, and the next try begins with that";
                Err(error.default_state(state).default_next("hactl resume"))
            }
        }
    }
}

/// Addresses that the throwaway must not reach, and the prover itself does: the SSH ports of the fleet.
fn controls(view: &View<'_>, prover: &HostName) -> Vec<String> {
    let others = view.workspace().hosts.iter().filter(|host| host.name != *prover).take(3);
    let others = others.filter_map(|host| Some(format!("{}:{}", host.neighbours_reach_it_at()?, host.port)));
    let own = view.workspace().host(prover).map(|host| format!("127.0.0.1:{}", host.port));
    others.chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::role;

    #[test]
    fn the_role_has_a_name() {
        assert_eq!(role().as_str(), "prover");
    }
}
