//! Trial: what verifying may do beyond reading.
//!
//! Invariant: it creates and removes only objects that are marked as ours (a canary row in our own schema, a restore
//! point, a scratch folder on the prover) and are journaled. It runs SQL, and commands of a closed list that cannot
//! change a service; whoever needs more has a step of their own with an intent.

use std::ops::Deref;
use std::time::Duration;

use super::View;
use super::hands::{Attempting, FileMode, Grounds, Psql, writing};
use super::reads::HostView;
use super::s3::{S3Identity, S3Trial};
use crate::diagnostic::Result;
use crate::journal::record::{Before, EvidenceRef};
use crate::name::HostName;
use crate::step::Failure;
use crate::transport::ssh::{AttemptId, Become, Command, Finished, Input};

/// A view that may also create and remove objects marked as ours.
#[derive(Debug)]
pub struct Trial<'a> {
    view: View<'a>,
    attempting: Attempting,
}

impl<'a> Deref for Trial<'a> {
    type Target = View<'a>;
    fn deref(&self) -> &View<'a> {
        &self.view
    }
}

impl<'a> Trial<'a> {
    pub(super) fn new(view: View<'a>, grounds: Grounds) -> Self {
        Self { view, attempting: Attempting::new(grounds) }
    }

    /// What observe saw before the newest intent.
    #[must_use]
    pub fn before(&self) -> Option<&Before> {
        self.attempting.before()
    }

    /// The attempt that trials are made in.
    #[must_use]
    pub fn attempt(&self) -> &AttemptId {
        self.attempting.attempt()
    }

    /// The view, where a host outside the trial is to be read.
    #[must_use]
    pub fn view(&self) -> &View<'a> {
        &self.view
    }

    /// The bucket, where objects of this run's own prefix may be put and removed.
    ///
    /// # Errors
    /// The workspace has no `[s3]`, or a secret of it gives no value.
    pub async fn s3_trial(&self, who: S3Identity) -> Result<S3Trial> {
        let view = self.view.s3(who).await?;
        Ok(S3Trial::new(view, &self.attempt().run))
    }

    /// Keeps output as evidence.
    ///
    /// # Errors
    /// It could not be made durable.
    pub fn keep(&self, name: &str, content: &[u8]) -> Result<EvidenceRef> {
        self.view.world.evidence().put(name, content)
    }

    /// Trying on the place's own host.
    ///
    /// # Errors
    /// The place has no host.
    pub fn here(&self) -> Result<HostTrial<'_>> {
        self.reach(self.view.here()?)
    }

    /// Trying on a host of the recorded trial.
    ///
    /// # Errors
    /// The record does not name it.
    pub fn on(&self, host: &HostName) -> Result<HostTrial<'_>> {
        self.reach(self.view.on(host)?)
    }

    fn reach(&self, host: HostView<'a>) -> Result<HostTrial<'_>> {
        self.attempting.covers(host.name()).map_err(Failure::into_error)?;
        Ok(HostTrial { host, attempting: &self.attempting })
    }
}

/// A command that verifying may run: one of a closed list, none of which changes a service.
#[derive(Clone, Debug)]
pub struct TrialCommand(Command);

impl TrialCommand {
    /// `pgbackrest verify` of one backup set, which only reads.
    #[must_use]
    pub fn pgbackrest_verify(stanza: &str, set: &str, within: Duration) -> Self {
        let command = Command::new("pgbackrest")
            .args([format!("--stanza={stanza}"), format!("--set={set}")])
            .args(["--output=text", "--verbose", "--log-level-console=off"])
            .args(["--log-level-stderr=warn", "--log-level-file=off", "verify"])
            .as_user("postgres")
            .within(within);
        Self(command)
    }

    /// `rclone lsf` of a bucket's top, as the user `postgres`, with the settings in a file on the host.
    #[must_use]
    pub fn rclone_list(bucket: &str, config: &str, ca: Option<&str>) -> Self {
        let command = Command::new("rclone")
            .args(["lsf", "--max-depth=1", "--contimeout=30s", "--retries=1", &format!("s3:{bucket}")])
            .env("RCLONE_CONFIG", config)
            .as_user("postgres");
        Self(match ca {
            Some(ca) => command.env("RCLONE_CA_CERT", ca),
            None => command,
        })
    }
}

/// Trying on one host. It also reads, as a [`HostView`] does.
#[derive(Debug)]
pub struct HostTrial<'a> {
    host: HostView<'a>,
    attempting: &'a Attempting,
}

impl<'a> Deref for HostTrial<'a> {
    type Target = HostView<'a>;
    fn deref(&self) -> &HostView<'a> {
        &self.host
    }
}

/// Where trials keep their scratch folders on a host.
pub const SCRATCH: &str = "/var/lib/hactl-scratch";

impl HostTrial<'_> {
    async fn send(&self, command: &Command) -> Result<Finished> {
        let outcome = self.attempting.run(&self.host, command).await;
        // Whether a command of a trial had its effect says nothing of the change that is tried.
        outcome.map_err(|failure| failure.into_error().without_state())
    }

    /// Runs SQL that touches only objects marked as ours, with psql as the user `postgres`.
    ///
    /// # Errors
    /// As [`super::HostHands::run`]; or the SQL failed.
    pub async fn psql(&self, psql: &Psql) -> Result<Finished> {
        let command = psql.command(&self.host, &self.attempting.attempt().application_name());
        self.send(&command).await?.ok("SQL failed").map_err(Failure::into_error)
    }

    /// Runs a command of the closed list.
    ///
    /// # Errors
    /// As [`super::HostHands::run`].
    pub async fn run(&self, command: &TrialCommand) -> Result<Finished> {
        self.send(&command.0).await
    }

    /// Runs a shell script that is part of hactl and works below [`SCRATCH`] only, with arguments as data.
    ///
    /// # Errors
    /// As [`super::HostHands::run`].
    pub async fn script(
        &self,
        script: &'static str,
        arguments: &[&str],
        stdin: impl Into<Input>,
        user: Become,
        within: Duration,
    ) -> Result<Finished> {
        let command = Command::new("sh")
            .args(["-c", script, "hactl-script"])
            .args(arguments.iter().copied())
            .stdin(stdin)
            .run_as(user)
            .within(within);
        self.send(&command).await
    }

    /// The name of this attempt's own scratch folder, below [`SCRATCH`]; the script that makes it also removes it.
    #[must_use]
    pub fn scratch(&self) -> String {
        let attempt = self.attempting.attempt();
        format!("{SCRATCH}/{}-{}-{}", attempt.run, attempt.step, attempt.label)
    }

    /// Writes a file (such as a configuration with a read-only key) into this attempt's own scratch folder, which must
    /// exist.
    ///
    /// # Errors
    /// As [`super::HostHands::run`]; or it could not be written.
    pub async fn write_scratch(
        &self,
        file: &crate::name::OutputName,
        content: impl Into<Input>,
        mode: &FileMode,
    ) -> Result<String> {
        let path = format!("{}/{file}", self.scratch());
        let command = writing(&path, mode, self.attempting.attempt()).stdin(content);
        self.send(&command)
            .await?
            .ok(format!("cannot write {path}"))
            .map(drop)
            .map_err(Failure::into_error)?;
        Ok(path)
    }
}
