//! SSH to the hosts of a fleet: queries, and changes as attempts.
//!
//! Invariant: host keys are checked strictly against the workspace's own file, the user's configuration and agent are
//! never used, every call has a deadline, memory is bounded whatever a host sends, and a failure says what is known:
//! nobody there, host key unknown or changed, login refused, or an outcome that nobody knows.

mod argv;
mod attempt;
mod command;
mod owner;
mod seam;

pub use argv::{Argv, MAX_ARGUMENT, MAX_ARGUMENTS};
pub use attempt::{AttemptId, AttemptState};
pub use command::{Become, Captured, Command, DEFAULT_TIMEOUT, Finished, Input, MAX_INPUT, Status};
pub use owner::Owner;
pub use seam::{Fault, Seam};

use crate::access::reads::ReadOnly;
use crate::diagnostic::{Error, Result, codes};
use crate::step::Failure;
use crate::workspace::{Host, Workspace};

/// How much of each stream of a command is kept: 8 MiB.
pub const MAX_OUTPUT: usize = 8 * 1024 * 1024;

/// Where attempts live on a host.
pub const ROOT: &str = "/var/lib/hactl";

/// The connections to a fleet.
#[derive(Debug)]
pub struct Ssh {
    root: String,
}

impl Ssh {
    /// Prepares connections to the hosts of a workspace; nothing is opened yet.
    ///
    /// # Errors
    /// The runtime directory cannot be made.
    pub fn new(_workspace: &Workspace) -> Result<Self> {
        Ok(Self { root: ROOT.into() })
    }

    /// The folder of attempts on every host.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Runs a reading command.
    ///
    /// # Errors
    /// The host cannot be reached, the command prints more than [`MAX_OUTPUT`], or its end cannot be learnt.
    pub async fn query(&self, _key: &ReadOnly, host: &Host, _command: &Command) -> Result<Finished> {
        Err(not_built(host))
    }

    /// Claims and carries out the command number `number` of an attempt, and waits for its end.
    ///
    /// # Errors
    /// `NotStarted` where it certainly did not begin, `Unclear` where nobody knows.
    pub async fn perform(
        &self,
        host: &Host,
        _attempt: &AttemptId,
        _number: u32,
        _command: &Command,
    ) -> Result<Finished, Failure> {
        Err(Failure::NotStarted(not_built(host)))
    }

    /// Makes sure that nothing of an attempt can start late on a host, and says what became of it.
    ///
    /// # Errors
    /// The host could not be asked, or belongs to another fleet.
    pub async fn settle(&self, host: &Host, _attempt: &AttemptId) -> Result<AttemptState> {
        Err(not_built(host))
    }

    /// Closes every connection, within a few seconds.
    pub async fn close(&self) {}
}

fn not_built(host: &Host) -> Error {
    Error::new(codes::INTERNAL, "not built yet").host(&host.name)
}
