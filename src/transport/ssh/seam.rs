//! The one place through which changes reach hosts, and where tests make them go wrong.
//!
//! Invariant: without an injected fault it is exactly what [`Ssh`] does. Faults come from tests only.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::{AttemptId, AttemptState, Command, Finished, Ssh};
use crate::diagnostic::{Error, Result, codes};
use crate::step::Failure;
use crate::workspace::Host;

/// What is to go wrong with one coming command of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it passes, and the next fault waits for the next command.
    Pass,
    /// It is refused, and known not to have begun.
    Refuse,
    /// The link drops before it reaches the host; nobody knows.
    DropBefore,
    /// It is carried out, and the link drops before the answer arrives; nobody knows.
    DropAfter,
    /// It reaches the host twice.
    Repeat,
}

/// How commands of attempts reach hosts.
#[derive(Debug)]
pub struct Seam {
    ssh: Ssh,
    faults: RefCell<VecDeque<Fault>>,
}

impl Seam {
    /// Straight to the hosts.
    #[must_use]
    pub fn new(ssh: Ssh) -> Self {
        Self { ssh, faults: RefCell::default() }
    }

    /// The connections.
    #[must_use]
    pub fn ssh(&self) -> &Ssh {
        &self.ssh
    }

    /// Queues a fault for a coming command.
    pub fn inject(&self, fault: Fault) {
        self.faults.borrow_mut().push_back(fault);
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
        let fault = self.faults.borrow_mut().pop_front().unwrap_or(Fault::Pass);
        let lost = |when: &str| {
            Failure::Unclear(Error::new(codes::SSH_LOST, format!("injected: lost {when}")).host(&host.name))
        };
        match fault {
            Fault::Pass => self.ssh.perform(host, attempt, number, command).await,
            Fault::Refuse => {
                let refused = Error::new(codes::SSH_UNREACHABLE, "injected: refused").host(&host.name);
                Err(Failure::NotStarted(refused))
            }
            Fault::DropBefore => Err(lost("before it reached the host")),
            Fault::DropAfter => {
                let _outcome = self.ssh.perform(host, attempt, number, command).await;
                Err(lost("before the answer arrived"))
            }
            Fault::Repeat => {
                let first = self.ssh.perform(host, attempt, number, command).await;
                match self.ssh.perform(host, attempt, number, command).await {
                    Ok(_) => Err(Failure::Unclear(
                        Error::new(codes::INTERNAL, "a claimed command was carried out twice")
                            .host(&host.name),
                    )),
                    Err(_refused) => first,
                }
            }
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
