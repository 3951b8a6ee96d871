//! The one place through which changes reach hosts, and where tests make them go wrong.
//!
//! Invariant: without a [`Faulty`] it is exactly what [`Ssh`] does.

use super::{AttemptId, AttemptState, Command, Finished, Ssh};
use crate::diagnostic::Result;
use crate::step::Failure;
use crate::transport::faulty::Faulty;
use crate::workspace::Host;

/// How commands of attempts reach hosts.
#[derive(Debug)]
pub struct Seam {
    ssh: Ssh,
    faulty: Option<Faulty>,
}

impl Seam {
    /// Straight to the hosts.
    #[must_use]
    pub fn new(ssh: Ssh) -> Self {
        Self { ssh, faulty: None }
    }

    /// The same, with faults.
    #[must_use]
    pub fn under(self, faulty: Faulty) -> Self {
        Self { faulty: Some(faulty), ..self }
    }

    /// The connections.
    #[must_use]
    pub fn ssh(&self) -> &Ssh {
        &self.ssh
    }

    /// Carries out the command number `number` of an attempt.
    ///
    /// # Errors
    /// As [`Ssh::perform`]; or an injected fault.
    pub async fn perform(
        &self,
        host: &Host,
        attempt: &AttemptId,
        number: u32,
        command: &Command,
    ) -> Result<Finished, Failure> {
        match &self.faulty {
            None => self.ssh.perform(host, attempt, number, command).await,
            Some(faulty) => faulty.perform(&self.ssh, host, attempt, number, command).await,
        }
    }

    /// Makes sure that nothing of an attempt can start late, and says what became of it.
    ///
    /// # Errors
    /// As [`Ssh::settle`].
    pub async fn settle(&self, host: &Host, attempt: &AttemptId) -> Result<AttemptState> {
        self.ssh.settle(host, attempt).await
    }
}
