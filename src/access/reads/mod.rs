//! Typed reads of a host.
//!
//! Invariant: nothing here changes a host. A free command is visible in this module and below it only, so that a
//! step kind or a probe can ask what is offered and nothing else. Every read has a deadline and bounded memory, and
//! what a host says is data: it is parsed strictly, and made harmless before it reaches a terminal.

mod addresses;
mod apt;
mod file;
mod machine;
mod network;
mod package;
mod pgbackrest;
mod postgres;
mod postgres_admin;
mod systemd;

pub use addresses::{ConfiguredBy, Interface};
pub use apt::{AptInstall, AptPlan, PackageState};
pub use file::{DirEntry, FileFacts, FileKind, FileSeen, MAX_FILE};
pub use machine::{Account, ClockOffset, Disk, Memory};
pub use network::{HttpAnswer, Listener, Pinged};
pub use package::Package;
pub use postgres::{MONITOR, PgAccess, PgAt, PgCluster, PgView};
pub use postgres_admin::{PgFiles, PgRole};
pub use systemd::{Timer, Unit};

use std::fmt;

use super::World;
use crate::diagnostic::{Error, Result, codes};
use crate::name::HostName;
use crate::transport::ssh::{Command, Finished, Owner};
use crate::workspace::Host;

/// Only who holds this may put a free command to a host; only the reads below this module can make one.
#[derive(Debug)]
pub struct ReadOnly(());

/// Reading one host.
#[derive(Clone, Copy)]
pub struct HostView<'a> {
    world: &'a World,
    host: &'a Host,
}

impl fmt::Debug for HostView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostView({})", self.host.name)
    }
}

impl<'a> HostView<'a> {
    pub(super) fn new(world: &'a World, host: &'a Host) -> Self {
        Self { world, host }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'a HostName {
        &self.host.name
    }

    /// What the workspace says of it.
    #[must_use]
    pub fn host(&self) -> &'a Host {
        self.host
    }

    pub(super) fn world(&self) -> &'a World {
        self.world
    }

    /// Is it reached, with the pinned key and our login?
    ///
    /// # Errors
    /// It is not; the code says whether nobody answers, the host key is unknown or changed, or the login is refused.
    pub async fn reach(&self) -> Result<()> {
        self.ask(&Command::new("true")).await.map(drop)
    }

    /// Whose the host is, by the file that claims leave there.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub async fn owner(&self) -> Result<Option<Owner>> {
        self.world.seam().ssh().owner(self.host).await
    }

    /// Puts a reading command to the host. Its own exit status is data, whatever it is.
    async fn ask(&self, command: &Command) -> Result<Finished> {
        self.world.seam().ssh().query(&ReadOnly(()), self.host, command).await
    }

    /// Asks what a path is, and for at most `limit` bytes of what is in it.
    async fn ask_file(&self, path: &str, limit: u64) -> Result<Finished> {
        let ssh = self.world.seam().ssh();
        let finished = ssh.query_file(&ReadOnly(()), self.host, path, limit).await?;
        if finished.succeeded() { Ok(finished) } else { Err(finished.error(format!("cannot read {path}"))) }
    }

    /// As [`Self::ask`], where any other status than 0 is an error.
    async fn ask_ok(&self, command: &Command, what: &str) -> Result<Finished> {
        let finished = self.ask(command).await?;
        if finished.succeeded() { Ok(finished) } else { Err(finished.error(what)) }
    }

    /// What a host said cannot be understood.
    fn odd(&self, what: &str, said: &str) -> Error {
        let said: String = said.chars().take(200).collect();
        let said = crate::redact::sanitize_for_terminal(&said);
        Error::new(codes::SSH_ODD_ANSWER, format!("cannot understand {what}: {said:?}"))
            .host(self.name())
            .next("see on the host what answers in that program's place (type -a), then: hactl doctor")
    }
}
