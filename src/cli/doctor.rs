//! `hactl doctor`: can everything be reached that a run needs, and is it in order?
//!
//! Invariant: it never stops at the first failure, and changes nothing; only in a mirror it may leave the mark on which
//! conditional writes are tried, which says nothing and is never changed. What it sends to the cloud beside reads is one
//! order that holds nothing, so that nothing can come of it.

use std::process::Stdio;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use jiff::SignedDuration;
use serde::Serialize;

use super::{Global, work};
use crate::access::s3::S3Identity;
use crate::access::{HostView, View};
use crate::clock::SystemClock;
use crate::diagnostic::{Error, Exit, Result, codes};
use crate::journal::RunState;
use crate::journal::record::Place;
use crate::name::{FleetName, StepId};
use crate::render::bars::Waiting;
use crate::render::{Format, Out, words};
use crate::runbook::Runbook;
use crate::sealed::opens;
use crate::transport::s3::BucketState;
use crate::workspace::Workspace;

mod cloud;
mod mirror;
mod postgres;

/// Arguments of `hactl doctor`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
It looks at every host, the bucket, the cloud, PostgreSQL and the secrets, and changes nothing.
Whether the cloud's token may write shows in the refusal of one order that holds nothing.
The exit status is 1 where something fails; a warning does not count.

Example:
  hactl doctor")]
pub struct Doctor {}

/// How something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One finding.
#[derive(Clone, Debug, Serialize)]
struct Found {
    event: &'static str,
    what: String,
    verdict: Verdict,
    text: String,
    next: Vec<String>,
}

impl Found {
    fn new(what: impl Into<String>, verdict: Verdict, text: impl Into<String>) -> Self {
        Self { event: "examined", what: what.into(), verdict, text: text.into(), next: Vec::new() }
    }

    fn ok(what: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(what, Verdict::Ok, text)
    }

    fn fail(what: impl Into<String>, error: &Error) -> Self {
        // An error that sends the operator here says nothing new here.
        let next = error.next_moves().into_iter().filter(|next| !next.starts_with("hactl doctor"));
        let found = Self { next: next.collect(), ..Self::new(what, Verdict::Fail, error.one_line()) };
        if error.code() == codes::SSH_UNREACHABLE {
            found.next("is it up? does sshd listen? are address and port right?")
        } else {
            found
        }
    }

    fn next(mut self, next: impl Into<String>) -> Self {
        self.next.push(next.into());
        self
    }
}

/// A clock this far off makes approvals and proofs expire at odd times.
const CLOCK_WARN: SignedDuration = SignedDuration::from_secs(2);
/// A clock this far off makes TLS and object storage refuse.
const CLOCK_FAIL: SignedDuration = SignedDuration::from_secs(300);
/// Less free space than this stops PostgreSQL and apt.
const DISK_FAIL: u64 = 256 << 20;
/// Less free space than this does so soon.
const DISK_WARN: u64 = 2 << 30;
/// How long examining one thing may take.
const LIMIT: Duration = Duration::from_secs(90);
/// How many hosts are examined at a time.
const PARALLEL: usize = 8;

impl Doctor {
    /// Examines everything.
    ///
    /// # Errors
    /// Every problem of the files; what is found wrong outside them makes the exit status 1.
    pub fn run(&self, global: &Global, out: &Out) -> Result<Exit> {
        let found = work::looking(global, out, async |glance, fleet| {
            let place = nowhere()?;
            let view = fleet.world().view(&place);
            let workspace = &glance.workspace;
            let examined = examine(view, workspace, &glance.runbook, &glance.state);
            Ok(Waiting::during(out, "examining, nothing is changed", &SystemClock, examined).await)
        })?;
        for one in &found {
            tell(one, out)?;
        }
        let count = |verdict| found.iter().filter(|one| one.verdict == verdict).count();
        let (failed, warned) = (count(Verdict::Fail), count(Verdict::Warn));
        if out.format() == Format::Human {
            let last = match (failed, warned) {
                (0, 0) => "all is well; next: hactl plan --dry-run".to_owned(),
                (0, warned) => format!("{}; next: hactl plan --dry-run", words::count(warned, "warning")),
                (failed, _) => {
                    format!("{}; mend what fails, then: hactl doctor", words::count(failed, "failure"))
                }
            };
            out.say(out.typed_here(&last))?;
        }
        Ok(if failed == 0 { Exit::Done } else { Exit::Failed })
    }
}

async fn examine(view: View<'_>, workspace: &Workspace, runbook: &Runbook, state: &RunState) -> Vec<Found> {
    let mut found = vec![local_ssh().await];
    let hosts = stream::iter(workspace.hosts.iter().enumerate())
        .map(|(index, host)| async move { (index, examine_host(view, &host.name, workspace).await) })
        .buffer_unordered(PARALLEL);
    let mut hosts: Vec<_> = hosts.collect().await;
    hosts.sort_by_key(|(index, _)| *index);
    found.extend(hosts.into_iter().flat_map(|(_, found)| found));
    found.extend(examine_bucket(view, workspace).await);
    found.extend(cloud::examine(view, workspace, runbook).await);
    found.extend(mirror::examine(workspace, state).await);
    found.extend(examine_secrets(view, workspace).await);
    found
}

/// A view looks from a place; this one is of no runbook.
pub(super) fn nowhere() -> Result<Place> {
    let step =
        StepId::new("looking").map_err(|e| Error::new(codes::INTERNAL, "a name that is none").source(e))?;
    Ok(Place { step, host: None })
}

fn tell(found: &Found, out: &Out) -> Result<()> {
    match out.format() {
        Format::Json => out.object(found),
        Format::Human => {
            let verdict = match found.verdict {
                Verdict::Ok => "ok  ",
                Verdict::Warn => "WARN",
                Verdict::Fail => "FAIL",
            };
            out.wrapped(&format!("{verdict}  {}: {}", found.what, found.text), 6)?;
            found.next.iter().try_for_each(|next| out.say(out.next_move("      next: ", next)))
        }
    }
}

async fn local_ssh() -> Found {
    let what = "ssh on this machine";
    let output =
        tokio::process::Command::new("ssh").arg("-V").stdin(Stdio::null()).kill_on_drop(true).output();
    match tokio::time::timeout(LIMIT, output).await {
        // ssh prints its version on standard error.
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Found::ok(what, said.split(',').next().unwrap_or_default().trim().to_owned())
        }
        Ok(Err(error)) => Found::new(what, Verdict::Fail, format!("cannot be run: {error}"))
            .next("apt-get install openssh-client"),
        Err(_elapsed) => Found::new(what, Verdict::Fail, "does not answer"),
    }
}

async fn examine_host(view: View<'_>, name: &crate::name::HostName, workspace: &Workspace) -> Vec<Found> {
    let host = match view.on(name) {
        Ok(host) => host,
        Err(error) => return vec![Found::fail(name.to_string(), &error)],
    };
    let examined = async {
        let mut found = Vec::new();
        match host.reach().await {
            Ok(()) => {}
            // A runbook may make it: until then there is nothing to mend.
            Err(error) if error.code() == codes::SSH_NO_SERVER => {
                found.push(Found::new(name.to_string(), Verdict::Warn, error.one_line()));
                return found;
            }
            Err(error) => {
                found.push(Found::fail(name.to_string(), &error));
                return found;
            }
        }
        let login = &host.host().user;
        let sudo = if login.as_str() == "root" { "" } else { ", sudo works" };
        let system = host.system().await.unwrap_or_else(|e| e.one_line());
        found.push(Found::ok(
            name.to_string(),
            format!("answers as {login}, its key is the pinned one{sudo}; {system}"),
        ));
        found.push(examine_clock(&host).await);
        found.push(examine_disk(&host, "disk", "/var/lib").await);
        found.extend(examine_owner(&host, &workspace.fleet).await);
        found.extend(postgres::examine(&host, workspace, view.now()).await);
        found
    };
    match tokio::time::timeout(LIMIT, examined).await {
        Ok(found) => found,
        Err(_elapsed) => {
            let limit = humantime::format_duration(LIMIT);
            vec![Found::new(name.to_string(), Verdict::Fail, format!("could not be examined within {limit}"))]
        }
    }
}

async fn examine_clock(host: &HostView<'_>) -> Found {
    let what = format!("{} clock", host.name());
    let measured = match host.clock_offset().await {
        Ok(measured) => measured,
        Err(error) => return Found::fail(what, &error),
    };
    let off = measured.offset.abs();
    let side = if measured.offset.is_negative() { "behind" } else { "ahead of" };
    let text = format!("{:.1} s {side} this machine", off.as_secs_f64());
    let next = "timedatectl status on the host, and here: one of them has no time synchronisation";
    if off >= CLOCK_FAIL {
        Found::new(what, Verdict::Fail, text).next(next)
    } else if off >= CLOCK_WARN {
        Found::new(what, Verdict::Warn, text).next(next)
    } else {
        Found::ok(what, text)
    }
}

/// The disk that a path is on.
async fn examine_disk(host: &HostView<'_>, which: &str, path: &str) -> Found {
    let what = format!("{} {which}", host.name());
    let disk = match host.disk(path).await {
        Ok(disk) => disk,
        Err(error) => return Found::fail(what, &error),
    };
    let verdict = match disk.free {
        free if free < DISK_FAIL => Verdict::Fail,
        free if free < DISK_WARN || free < disk.size / 10 => Verdict::Warn,
        _ => Verdict::Ok,
    };
    let (free, size) = (words::size(disk.free), words::size(disk.size));
    let found = Found::new(what, verdict, format!("{free} free of {size} at {}", disk.mount));
    match verdict {
        Verdict::Ok => found,
        Verdict::Warn | Verdict::Fail => found.next(format!(
            "sudo du -xh --max-depth=2 {} | sort -h | tail    (on {})",
            disk.mount,
            host.name()
        )),
    }
}

async fn examine_owner(host: &HostView<'_>, fleet: &FleetName) -> Option<Found> {
    let what = format!("{} owner", host.name());
    match host.owner().await {
        Ok(None) => None,
        Ok(Some(owner)) if owner.fleet == *fleet => {
            Some(Found::ok(what, format!("changed by run {} of this fleet before", owner.run)))
        }
        Ok(Some(owner)) => Some(
            Found::new(
                what,
                Verdict::Fail,
                format!("it belongs to the fleet {}, not to {fleet}", owner.fleet),
            )
            .next("is this the right host? hactl changes only hosts of its own fleet"),
        ),
        Err(error) => Some(Found::fail(what, &error)),
    }
}

async fn examine_bucket(view: View<'_>, workspace: &Workspace) -> Vec<Found> {
    let Some(config) = &workspace.s3 else { return Vec::new() };
    let what = format!("bucket {}", config.bucket);
    let asked = async { view.s3(S3Identity::Writer).await?.bucket().await };
    let mut found = vec![match tokio::time::timeout(LIMIT, asked).await {
        Ok(Ok(BucketState::Exists)) => Found::ok(&what, format!("is there, at {}", config.endpoint)),
        Ok(Ok(BucketState::Missing)) => Found::new(
            &what,
            Verdict::Warn,
            format!("does not exist yet at {}; a runbook with an s3_bucket step makes it", config.endpoint),
        ),
        Ok(Err(error)) => Found::fail(&what, &error),
        Err(_elapsed) => Found::new(&what, Verdict::Fail, "does not answer"),
    }];
    if config.restore.is_some() {
        let what = "credential for restores";
        let asked = async { view.s3(S3Identity::Restorer).await?.bucket().await };
        found.push(match tokio::time::timeout(LIMIT, asked).await {
            Ok(Ok(BucketState::Exists)) => Found::ok(what, "reads the bucket"),
            Ok(Ok(BucketState::Missing)) => {
                Found::ok(what, "is at hand; there is no bucket yet to try it on")
            }
            Ok(Err(error)) => Found::fail(what, &error),
            Err(_elapsed) => Found::new(what, Verdict::Fail, "was not answered"),
        });
    }
    found
}

/// The secrets that no check above has used yet.
async fn examine_secrets(view: View<'_>, workspace: &Workspace) -> Vec<Found> {
    let mut found = Vec::new();
    if let Some(pgbackrest) = &workspace.pgbackrest {
        let name = "pgbackrest cipher_pass";
        found.push(match view.secret(name, &pgbackrest.cipher_pass).await {
            Ok(_) => Found::ok(name, "is at hand"),
            Err(error) => Found::fail(name, &error),
        });
    }
    if let Some((age, identity)) = workspace.age.as_ref().and_then(|age| Some((age, age.identity.as_ref()?)))
    {
        let name = "age identity";
        found.push(match view.secret(name, identity).await {
            Ok(identity) if opens(&identity, &age.recipients) => {
                Found::ok(name, "is at hand, and belongs to a recipient")
            }
            Ok(_) => {
                Found::new(name, Verdict::Fail, "belongs to none of the recipients, so it opens no dump")
                    .next("age-keygen -y IDENTITY-FILE    (its recipient; compare with [age] recipients)")
            }
            Err(error) => Found::fail(name, &error),
        });
    }
    if view.sealed().key_is_closed() {
        let text =
            "is here only encrypted, as it came from a mirror: steps that make or compare secrets stop";
        let next = "identity in [age], of one of its recipients; hactl opens it then";
        found.push(Found::new("key of the secrets' digests", Verdict::Warn, text).next(next));
    }
    found
}
