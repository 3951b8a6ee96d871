//! Hands: what changes the world, on the hosts of an intent only.
//!
//! Invariant: every change is a numbered command of an attempt, claimed on the host before it starts, so that it is
//! never run twice and it can be told afterwards what became of it. Commands of one attempt on one host run one after
//! the other.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use super::View;
use super::hcloud::HcloudHands;
use super::reads::HostView;
use super::s3::{S3Hands, S3Identity};
use crate::diagnostic::{Error, codes};
use crate::journal::Warrant;
use crate::journal::record::{Before, Outputs};
use crate::name::{HostName, OutputName};
use crate::sealed::Sealing;
use crate::step::Failure;
use crate::transport::ssh::{AttemptId, Become, Command, Finished, Input, host_key, host_key::HostKey};
use crate::workspace::Host;

/// What a durable record of the journal entitles to.
#[derive(Clone, Debug)]
pub(crate) struct Grounds {
    /// Which attempt.
    pub(crate) attempt: AttemptId,
    /// The only hosts that it covers.
    pub(crate) hosts: Vec<HostName>,
    /// What was seen before.
    pub(crate) before: Option<Before>,
    /// What the journal holds of what was made.
    pub(crate) outputs: Outputs,
}

/// Numbers the commands of an attempt, host by host, and passes them on.
#[derive(Debug)]
pub(super) struct Attempting {
    grounds: Grounds,
    numbers: RefCell<BTreeMap<HostName, u32>>,
    begun: Cell<Begun>,
}

/// Whether any command of the attempt may have had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    Nothing,
    Something,
}

impl Attempting {
    pub(super) fn new(grounds: Grounds) -> Self {
        Self { grounds, numbers: RefCell::default(), begun: Cell::new(Begun::Nothing) }
    }

    pub(super) fn before(&self) -> Option<&Before> {
        self.grounds.before.as_ref()
    }

    pub(super) fn attempt(&self) -> &AttemptId {
        &self.grounds.attempt
    }

    pub(super) fn outputs(&self) -> &Outputs {
        &self.grounds.outputs
    }

    /// Refuses a host that the record does not name.
    pub(super) fn covers(&self, host: &HostName) -> Result<(), Failure> {
        if self.grounds.hosts.contains(host) {
            return Ok(());
        }
        let what = format!("the intent of this step does not name {host}, so nothing may be changed there");
        Err(Failure::NotStarted(
            Error::new(codes::ATTEMPT_OTHER_HOST, what).host(host).state("nothing was done"),
        ))
    }

    pub(super) async fn run(&self, host: &HostView<'_>, command: &Command) -> Result<Finished, Failure> {
        let number = {
            let mut numbers = self.numbers.borrow_mut();
            let number = numbers.entry(host.name().clone()).or_insert(0);
            *number += 1;
            *number
        };
        let outcome = host.world().seam().perform(host.host(), self.attempt(), number, command).await;
        match outcome {
            Err(Failure::NotStarted(error)) => {
                // The number was not used up: the next command of this attempt may have it.
                if let Some(used) = self.numbers.borrow_mut().get_mut(host.name()) {
                    *used = number - 1;
                }
                // This command did not begin, but the attempt did: only observing can tell what it amounts to.
                match self.begun.get() {
                    Begun::Nothing => Err(Failure::NotStarted(error)),
                    Begun::Something => Err(Failure::Unclear(error)),
                }
            }
            Ok(_) | Err(Failure::Unclear(_)) => {
                self.begun.set(Begun::Something);
                outcome
            }
        }
    }
}

/// What can change the world.
#[derive(Debug)]
pub struct Hands<'a> {
    view: View<'a>,
    attempting: Attempting,
}

impl<'a> Deref for Hands<'a> {
    type Target = View<'a>;
    fn deref(&self) -> &View<'a> {
        &self.view
    }
}

impl Grounds {
    pub(super) fn of(warrant: &Warrant) -> Self {
        let attempt = AttemptId {
            fleet: warrant.fleet().clone(),
            run: warrant.run().clone(),
            epoch: warrant.epoch(),
            step: warrant.place().step.clone(),
            place_host: warrant.place().host.clone(),
            label: warrant.label(),
        };
        Self {
            attempt,
            hosts: warrant.hosts().to_vec(),
            before: warrant.before().cloned(),
            outputs: warrant.outputs().clone(),
        }
    }
}

impl<'a> Hands<'a> {
    pub(super) fn new(view: View<'a>, grounds: Grounds) -> Self {
        Self { view, attempting: Attempting::new(grounds) }
    }

    /// What observe saw before the intent; for an undo, before the first intent since the place was clean.
    #[must_use]
    pub fn before(&self) -> Option<&Before> {
        self.attempting.before()
    }

    /// The attempt that changes are made in.
    #[must_use]
    pub fn attempt(&self) -> &AttemptId {
        self.attempting.attempt()
    }

    /// What the journal holds of what was made: for an undo, what is to be taken back.
    #[must_use]
    pub fn outputs(&self) -> &Outputs {
        self.attempting.outputs()
    }

    /// The view, where a host outside the intent is to be read.
    #[must_use]
    pub fn view(&self) -> &View<'a> {
        &self.view
    }

    /// The bucket, to be changed.
    ///
    /// # Errors
    /// The workspace has no `[s3]`, or a secret of it gives no value.
    pub async fn s3(&self) -> Result<S3Hands, Failure> {
        self.view.s3(S3Identity::Writer).await.map(S3Hands::new).map_err(Failure::NotStarted)
    }

    /// The project in the cloud, to be changed.
    ///
    /// # Errors
    /// The workspace has no `[hcloud]`, or its token gives no value.
    pub async fn hcloud(&self) -> Result<HcloudHands, Failure> {
        let view = self.view.hcloud().await.map_err(Failure::NotStarted)?;
        let listener = self.view.world.listener();
        Ok(HcloudHands::new(view, self.attempt().run.clone(), self.view.place.clone(), listener))
    }

    /// Pins a key of a host beside those that are pinned: it is about to show this one, or one of them.
    ///
    /// # Errors
    /// The file with the pinned keys cannot be read or written.
    pub fn pin_beside(&self, host: &HostName, key: &HostKey) -> Result<(), Error> {
        host_key::pin_beside(self.view.world.seam().ssh().known_hosts(), host, key)
    }

    /// Accepts no other key of a host any more.
    ///
    /// # Errors
    /// The file with the pinned keys cannot be read or written.
    pub fn unpin_all_but(&self, host: &HostName, key: &HostKey) -> Result<(), Error> {
        host_key::unpin(self.view.world.seam().ssh().known_hosts(), host, |other| other != key)
    }

    /// Unpins the keys of the hosts that stood on a server: the next server of its name has others.
    ///
    /// # Errors
    /// The file with the pinned keys cannot be read or written.
    pub fn forget_host_keys(&self, server: &str) -> Result<(), Error> {
        let on_it = |host: &&Host| host.server.as_ref().is_some_and(|it| it.name == server);
        for host in self.view.workspace().hosts.iter().filter(on_it) {
            host_key::unpin(self.view.world.seam().ssh().known_hosts(), &host.name, |_| true)?;
        }
        Ok(())
    }

    /// The secrets that hactl keeps, to be changed.
    #[must_use]
    pub fn sealing(&self) -> Sealing {
        let age = self.view.workspace().age.as_ref();
        let recipients = age.map(|age| age.recipients.clone()).unwrap_or_default();
        Sealing::new(self.view.sealed(), recipients, self.view.world.redactor().clone())
    }

    /// Has a person do something, and asks about it.
    ///
    /// # Errors
    /// Nobody is there, or the person said no: then nothing was begun.
    pub async fn ask_person(
        &self,
        instructions: &str,
        questions: &BTreeMap<OutputName, String>,
    ) -> Result<BTreeMap<OutputName, String>, Failure> {
        self.view.world.person().ask(instructions, questions).await.map_err(Failure::NotStarted)
    }

    /// Hands on the place's own host.
    ///
    /// # Errors
    /// The place has no host.
    pub fn here(&self) -> Result<HostHands<'_>, Failure> {
        self.reach(self.view.here().map_err(Failure::NotStarted)?)
    }

    /// Hands on a host of the intent.
    ///
    /// # Errors
    /// The intent does not name it.
    pub fn on(&self, host: &HostName) -> Result<HostHands<'_>, Failure> {
        self.reach(self.view.on(host).map_err(Failure::NotStarted)?)
    }

    fn reach(&self, host: HostView<'a>) -> Result<HostHands<'_>, Failure> {
        self.attempting.covers(host.name())?;
        Ok(HostHands { host, attempting: &self.attempting })
    }
}

/// The owner, group and mode of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMode {
    /// The owner's name.
    pub owner: String,
    /// The group's name.
    pub group: String,
    /// The permission bits, such as `0o640`.
    pub mode: u32,
}

impl FileMode {
    /// Owner, group and permission bits.
    #[must_use]
    pub fn new(owner: impl Into<String>, group: impl Into<String>, mode: u32) -> Self {
        Self { owner: owner.into(), group: group.into(), mode }
    }
}

/// SQL for psql: it goes in by standard input, as the user `postgres`, and stops at the first error.
#[derive(Clone)]
pub struct Psql {
    database: String,
    sql: Input,
    socket_dir: Option<String>,
    port: Option<u16>,
    within: Duration,
    variables: Vec<(String, String)>,
    one_transaction: Atomic,
}

/// Whether all of the SQL is one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Atomic {
    OneTransaction,
    EachStatement,
}

impl fmt::Debug for Psql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Psql({})", self.database)
    }
}

impl Psql {
    /// SQL in a database of the workspace's instance, each statement by itself, for at most a minute.
    #[must_use]
    pub fn new(database: impl Into<String>, sql: impl Into<Input>) -> Self {
        Self {
            database: database.into(),
            sql: sql.into(),
            socket_dir: None,
            port: None,
            within: Duration::from_secs(60),
            variables: Vec::new(),
            one_transaction: Atomic::EachStatement,
        }
    }

    /// Another server than the workspace's instance.
    #[must_use]
    pub fn at(mut self, socket_dir: impl Into<String>, port: u16) -> Self {
        self.socket_dir = Some(socket_dir.into());
        self.port = Some(port);
        self
    }

    /// How long it may take.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// A variable of psql: `:'name'` in the SQL is the value as a literal, `:"name"` as an identifier. Never a secret.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Makes all of it one transaction.
    #[must_use]
    pub fn in_one_transaction(mut self) -> Self {
        self.one_transaction = Atomic::OneTransaction;
        self
    }

    /// The command. Output is unaligned, without headers, fields separated by tabs.
    pub(super) fn command(&self, host: &HostView<'_>, application_name: &str) -> Command {
        let instance = host.world().workspace().postgres.as_ref();
        let socket = self.socket_dir.clone().or_else(|| instance.map(|i| i.socket_dir.display().to_string()));
        let port = self.port.or_else(|| instance.map(|i| i.port));
        let mut command = Command::new("psql")
            .args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--field-separator=\t"])
            .args(["--set=ON_ERROR_STOP=1", "--no-password", "--file=-"])
            // As an argument, a name with a `=` in it would be read as a whole connection, to wherever it says.
            .env("PGDATABASE", &self.database);
        if let Some(socket) = socket {
            command = command.arg(format!("--host={socket}"));
        }
        if let Some(port) = port {
            command = command.arg(format!("--port={port}"));
        }
        match self.one_transaction {
            Atomic::OneTransaction => command = command.arg("--single-transaction"),
            Atomic::EachStatement => {}
        }
        for (name, value) in &self.variables {
            command = command.arg(format!("--set={name}={value}"));
        }
        command
            .env("PGAPPNAME", application_name)
            .stdin(self.sql.clone())
            .as_user("postgres")
            .within(self.within)
    }
}

/// What writes its standard input to a file. Settling the attempt knows it by these very arguments.
pub(super) fn writing(path: &str, mode: &FileMode, attempt: &AttemptId) -> Command {
    Command::new("sh").args(["-c", include_str!("write_file.sh"), "hactl-write-file"]).args([
        path,
        &mode.owner,
        &mode.group,
        &format!("{:04o}", mode.mode),
        &attempt.mark(),
    ])
}

/// Hands on one host. It also reads, as a [`HostView`] does.
#[derive(Debug)]
pub struct HostHands<'a> {
    host: HostView<'a>,
    attempting: &'a Attempting,
}

impl<'a> Deref for HostHands<'a> {
    type Target = HostView<'a>;
    fn deref(&self) -> &HostView<'a> {
        &self.host
    }
}

impl HostHands<'_> {
    /// Runs a command as the next one of this attempt, and waits for its end. A connection that is lost meanwhile is
    /// opened again, for a while, to learn the end.
    ///
    /// # Errors
    /// `NotStarted` where it certainly did not begin; `Unclear` where nobody knows. A command that ended with another
    /// status than 0 is no error here: see [`Finished::ok`].
    pub async fn run(&self, command: &Command) -> Result<Finished, Failure> {
        self.attempting.run(&self.host, command).await
    }

    /// Writes a file: beside its place, made durable, then renamed into it. Its folder must exist. Where it is killed
    /// before the end, settling the attempt removes what it left beside the file.
    ///
    /// # Errors
    /// As [`Self::run`]; or it could not be written.
    pub async fn write_file(
        &self,
        path: &str,
        content: impl Into<Input>,
        mode: &FileMode,
    ) -> Result<(), Failure> {
        let command = writing(path, mode, self.attempting.attempt()).stdin(content);
        self.run(&command).await?.ok(format!("cannot write {path}")).map(drop)
    }

    /// Makes a folder where there is none, with its parents (as root's, 0755); an existing one gets this mode.
    ///
    /// # Errors
    /// As [`Self::run`]; or it could not be made.
    pub async fn make_dir(&self, path: &str, mode: &FileMode) -> Result<(), Failure> {
        let command = Command::new("install").args([
            "-d",
            "-o",
            &mode.owner,
            "-g",
            &mode.group,
            "-m",
            &format!("{:04o}", mode.mode),
            "--",
            path,
        ]);
        self.run(&command).await?.ok(format!("cannot make the folder {path}")).map(drop)
    }

    /// Removes a file; one that is not there is fine.
    ///
    /// # Errors
    /// As [`Self::run`]; or it could not be removed.
    pub async fn remove_file(&self, path: &str) -> Result<(), Failure> {
        let command = Command::new("rm").args(["-f", "--", path]);
        self.run(&command).await?.ok(format!("cannot remove {path}")).map(drop)
    }

    /// Runs SQL with psql as the user `postgres`; its sessions carry the attempt's `application_name`.
    ///
    /// # Errors
    /// As [`Self::run`]; or the SQL failed.
    pub async fn psql(&self, psql: &Psql) -> Result<Finished, Failure> {
        let command = psql.command(&self.host, &self.attempting.attempt().application_name());
        self.run(&command).await?.ok("SQL failed")
    }

    /// Runs a shell script that is part of hactl, with arguments as data.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn script(
        &self,
        script: &'static str,
        arguments: &[&str],
        stdin: impl Into<Input>,
        user: Become,
        within: Duration,
    ) -> Result<Finished, Failure> {
        let command = Command::new("sh")
            .args(["-c", script, "hactl-script"])
            .args(arguments.iter().copied())
            .stdin(stdin)
            .run_as(user)
            .within(within);
        self.run(&command).await
    }
}
