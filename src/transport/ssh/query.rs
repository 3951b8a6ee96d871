//! Queries: commands that read.
//!
//! Invariant: a query ends within its time on the host, and 127, 255, a kill and a dead link are never taken for each
//! other. A query may be sent twice.

use std::time::Duration;

use super::clerk::{Broken, NoClerk, NoReply, Reply, Request};
use super::command::{Captured, Command, Finished, Status};
use super::exchange::{Answer, NoAnswer};
use super::{MAX_OUTPUT, Ssh};
use crate::access::reads::ReadOnly;
use crate::diagnostic::{Error, Result, codes};
use crate::waiting::{Await, awaited};
use crate::workspace::Host;

/// Beyond its own time: killing it, and the way there and back.
const GRACE: Duration = Duration::from_secs(10);

impl Ssh {
    /// Runs a reading command. Its exit status is data.
    ///
    /// # Errors
    /// The host cannot be reached, the command prints more than [`MAX_OUTPUT`], or its end cannot be learnt.
    pub async fn query(&self, _key: &ReadOnly, host: &Host, command: &Command) -> Result<Finished> {
        command.argv.check().map_err(|e| e.host(&host.name))?;
        let mut fields = vec![command.within.as_secs().max(1).to_string()];
        fields.extend(self.words(host, command));
        let request = Request { kind: "query", fields, input: command.stdin.expose() };
        self.asked(host, command, &request).await
    }

    /// Tells what a path is in a line of facts, and then at most `limit` bytes of what is in it; or says `absent`, or
    /// `dangling` of a link to nowhere. No program is started for that.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub async fn query_file(&self, _key: &ReadOnly, host: &Host, path: &str, limit: u64) -> Result<Finished> {
        let command = Command::new("read").arg(path);
        command.argv.check().map_err(|e| e.host(&host.name))?;
        let fields = vec![path.to_owned(), limit.to_string()];
        self.asked(host, &command, &Request { kind: "file", fields, input: &[] }).await
    }

    async fn asked(&self, host: &Host, command: &Command, request: &Request<'_>) -> Result<Finished> {
        request.check(host)?;
        let reply = self.query_twice(host, request, command.within + GRACE).await?;
        let status = match reply.how.split_once(' ') {
            None if reply.how == "timeout" => Status::TimedOut,
            Some(("exited", status)) => Status::Exited(status.parse().map_err(|_| odd(host, &reply.how))?),
            Some(_) | None => return Err(odd(host, &reply.how)),
        };
        Ok(Finished {
            host: host.name.clone(),
            program: command.argv.program().to_owned(),
            status,
            stdout: Captured { bytes: reply.stdout, cut: 0 },
            stderr: Captured { bytes: reply.stderr, cut: 0 },
        })
    }

    /// Asks a clerk; a lost connection is opened again once.
    async fn query_twice(&self, host: &Host, request: &Request<'_>, within: Duration) -> Result<Reply> {
        let _place = self.place(host).await?;
        let mut tries = 2;
        loop {
            tries -= 1;
            let live = self.open(host).await?;
            let asked = self.ask_clerk(host, &live, &self.marker()?, request, (MAX_OUTPUT, within)).await;
            let error = match asked {
                Ok(reply) => return Ok(reply),
                Err(NoReply::NotAsked(why)) => match self.no_clerk(host, why, within) {
                    (Certain::Yes, error) => {
                        self.master(host)?.lost(&live).await;
                        return Err(error);
                    }
                    (Certain::No, error) => error,
                },
                Err(NoReply::Asked(Broken::TooMuch)) => return Err(too_much(host, MAX_OUTPUT)),
                Err(NoReply::Asked(Broken::Late)) => {
                    self.master(host)?.lost(&live).await;
                    return Err(late(host, within));
                }
                Err(NoReply::Asked(Broken::Lost)) => lost(host),
            };
            self.master(host)?.lost(&live).await;
            if tries == 0 {
                return Err(error);
            }
        }
    }

    /// Why there was no clerk, and whether asking for one again would change nothing.
    pub(super) fn no_clerk(&self, host: &Host, why: NoClerk, within: Duration) -> (Certain, Error) {
        match why {
            NoClerk::NotOpened(e) => (Certain::No, lost(host).source(e)),
            NoClerk::Ended(answer) => match self.no_marker(host, &answer) {
                Some(error) => (Certain::Yes, error),
                None => (Certain::No, lost(host)),
            },
            NoClerk::Late => (Certain::Yes, late(host, within)),
            NoClerk::TooMuch => (Certain::Yes, too_much(host, MAX_OUTPUT)),
        }
    }

    /// Sends a line whose repetition does no harm; a lost connection is opened again once.
    pub(super) async fn ask_twice(
        &self,
        host: &Host,
        line: &str,
        stdin: &[u8],
        limit: usize,
        within: Duration,
    ) -> Result<Answer> {
        self.check_line(host, line)?;
        let _place = self.place(host).await?;
        let mut tries = 2;
        loop {
            tries -= 1;
            let live = self.open(host).await?;
            let answer = Await::new("an answer").on(&host.name).within(within);
            let error = match awaited(answer, self.exchange(&live, line, stdin, limit, within)).await {
                Ok(answer) => return Ok(answer),
                Err(NoAnswer::TooMuch) => return Err(too_much(host, limit)),
                Err(NoAnswer::Late) => {
                    self.master(host)?.lost(&live).await;
                    return Err(late(host, within));
                }
                Err(NoAnswer::NotOpened(e)) => lost(host).source(e),
                Err(NoAnswer::Lost(answer)) => {
                    // The answer may have been whole all the same; the marker tells.
                    if !answer.stdout.is_empty() {
                        self.master(host)?.lost(&live).await;
                        return Ok(answer);
                    }
                    lost(host)
                }
            };
            self.master(host)?.lost(&live).await;
            if tries == 0 {
                return Err(error);
            }
        }
    }
}

/// Would asking again change anything?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certain {
    /// No.
    Yes,
    /// The connection may have been lost.
    No,
}

fn too_much(host: &Host, limit: usize) -> Error {
    let what = format!("a command printed more than the {limit} bytes that are read");
    Error::new(codes::SSH_TOO_MUCH, what).host(&host.name)
}

fn late(host: &Host, within: Duration) -> Error {
    let what = format!("no answer within {} s", within.as_secs());
    Error::new(codes::SSH_DEADLINE, what)
        .host(&host.name)
        .state("the host was only asked")
        .next("look there at what hangs (ps, dmesg), then: hactl doctor")
}

fn odd(host: &Host, said: &str) -> Error {
    let said = crate::redact::sanitize_for_terminal(&said.chars().take(200).collect::<String>());
    Error::new(codes::SSH_ODD_ANSWER, format!("the host did not carry out what it was asked: {said}"))
        .host(&host.name)
        .state("nothing was changed")
        .next("hactl doctor")
}

fn lost(host: &Host) -> Error {
    Error::new(codes::SSH_LOST, "the connection was lost while the host was asked")
        .host(&host.name)
        .state("nothing was changed")
        .next("hactl doctor")
}

/// The output before our marker, and the exit status in it. The marker must be the very end.
pub(super) fn split_marker<'a>(stdout: &'a [u8], marker: &str) -> Option<(&'a [u8], u8)> {
    let body = stdout.strip_suffix(b"\n")?;
    let end = body.iter().rposition(|b| *b == b'\n')?;
    let (output, line) = body.split_at(end);
    let line = std::str::from_utf8(line.get(1..)?).ok()?;
    let status = line.strip_prefix(marker)?.strip_prefix(' ')?.parse().ok()?;
    Some((output, status))
}

#[cfg(test)]
mod tests {
    use super::split_marker;

    #[test]
    fn only_the_very_end_is_a_marker() {
        assert_eq!(split_marker(b"out\nabc 3\n", "abc"), Some((b"out".as_slice(), 3)));
        assert_eq!(split_marker(b"\nabc 0\n", "abc"), Some((b"".as_slice(), 0)));
        assert_eq!(split_marker(b"abd 0\nabc 1\n", "abc"), Some((b"abd 0".as_slice(), 1)));
        assert_eq!(split_marker(b"out\nabc 0\nmore\n", "abc"), None);
        assert_eq!(split_marker(b"out\nabc 0", "abc"), None);
        assert_eq!(split_marker(b"out\nabc 256\n", "abc"), None);
        assert_eq!(split_marker(b"out\nabcd 0\n", "abc"), None);
    }
}
