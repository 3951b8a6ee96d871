//! `hactl host trust`: show a host's key, and pin it.

use clap::Subcommand;
use serde::Serialize;
use std::rc::Rc;

use super::approver::{Answers, Asker};
use super::{Global, runtime, work};
use crate::diagnostic::{Error, Exit, Result, codes};
use crate::document::suggest;
use crate::engine::approver::Answer;
use crate::engine::interrupt::Interrupt;
use crate::event::Nobody;
use crate::journal::StateDir;
use crate::name::HostName;
use crate::render::{Format, Out, Progress};
use crate::runbook;
use crate::step::Table;
use crate::transport::ssh::Ssh;
use crate::transport::ssh::host_key::{HostKey, Pinned, pin, pinned};
use crate::workspace::Host;

/// Arguments of `hactl host`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  hactl host trust node-1
  hactl host trust node-1 --fingerprint SHA256:kBdA…")]
pub struct HostArgs {
    #[command(subcommand)]
    command: HostCommand,
}

#[derive(Debug, Subcommand)]
enum HostCommand {
    /// Show the key that a host shows, and pin it
    ///
    /// hactl connects only to hosts whose key is pinned in .hactl/known_hosts. Compare the fingerprint with what the
    /// host's own console says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
    ///
    /// A pinned key is never replaced.
    Trust {
        /// The host, by its name in hactl.toml
        host: HostName,
        /// Pin without asking, if the host's key has this fingerprint
        #[arg(long, value_name = "SHA256:…")]
        fingerprint: Option<String>,
    },
}

#[derive(Serialize)]
struct Trusted<'a> {
    event: &'static str,
    host: &'a HostName,
    algorithm: &'a str,
    fingerprint: String,
}

impl HostArgs {
    /// Runs it.
    ///
    /// # Errors
    /// The host is not known or not reached, shows another key than the pinned one, or nobody said yes.
    pub fn run(&self, global: &Global, out: &Out) -> Result<Exit> {
        let HostCommand::Trust { host: name, fingerprint } = &self.command;
        let workspace = runbook::load::<Table>(&global.file()?)?.workspace;
        let host = workspace.host(name).ok_or_else(|| {
            let names: Vec<_> = workspace.hosts.iter().map(|host| host.name.as_str()).collect();
            Error::new(codes::USAGE, format!("hactl.toml has no host {name}"))
                .state("nothing was pinned")
                .next(suggest(name.as_str(), &names))
        })?;
        work::enter(&workspace)?;
        let ssh = Ssh::new(&workspace);
        let key = runtime::block_on(ssh.fetch_host_key(host))?;
        let known_hosts = ssh.known_hosts();
        let already = pinned(known_hosts, name)?;
        // Only a key that would be new is asked about; another one than the pinned is refused below.
        if already.is_empty() {
            // At the question Ctrl-C must not end hactl behind the prompt's back, which has hidden the cursor.
            let agree = async { agree(host, &key, fingerprint.as_deref(), out).await };
            runtime::block_on(runtime::interruptible(&Interrupt::default(), &Nobody, agree))?;
        }
        StateDir::of(&workspace.root).create()?;
        let pinned = pin(known_hosts, name, &key)?;
        match out.format() {
            Format::Human => {
                let what = match pinned {
                    Pinned::New => "is pinned now",
                    Pinned::Already => "was pinned already",
                };
                out.say(format!("{name}: {} {} {what}", key.algorithm(), key.fingerprint()))?;
            }
            Format::Json => out.object(&Trusted {
                event: "host_trusted",
                host: name,
                algorithm: key.algorithm(),
                fingerprint: key.fingerprint(),
            })?,
        }
        Ok(Exit::Done)
    }
}

async fn agree(host: &Host, key: &HostKey, expected: Option<&str>, out: &Out) -> Result<()> {
    let (name, shown) = (&host.name, key.fingerprint());
    match expected {
        Some(expected) if expected == shown => return Ok(()),
        Some(expected) => {
            return Err(Error::new(
                codes::SSH_KEY_CHANGED,
                format!("shows the key {shown}, and you expect {expected}"),
            )
            .host(name)
            .state("nothing was pinned")
            .next("compare at the host's own console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"));
        }
        None => {}
    }
    let asker = Asker::new(Answers::Operator, Rc::new(Progress::new(out)), out.clone(), Interrupt::default());
    let text = format!(
        "{name} at {} shows this key:\n  {} {shown}\nIs it the right one? On the host's own console:\n  \
             ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
        host.reached_at().map(|address| address.to_string()).unwrap_or_default(),
        key.algorithm()
    );
    match asker.confirm(&text, "Pin it?").await? {
        Answer::Yes(_) => Ok(()),
        Answer::No => Err(Error::new(codes::APPROVAL_REFUSED, "you said that it is not the right key")
            .host(name)
            .state("nothing was pinned, and hactl does not log in there")
            .next("compare at the host's own console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")),
        Answer::NobodyThere => Err(Error::new(
            codes::APPROVAL_NEEDED,
            "a key is pinned only when somebody has compared it, and there is no terminal to ask at",
        )
        .host(name)
        .state("nothing was pinned")
        .next(format!("hactl host trust {name} --fingerprint {shown}    (after comparing it)"))),
    }
}
