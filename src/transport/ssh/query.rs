//! Queries: commands that read.
//!
//! Invariant: a query runs under a remote timeout, and its end is known from our own marker, which stands at the very
//! end of its output: 127, 255, a kill and a dead link are never taken for each other. A query may be sent twice.

use std::time::Duration;

use super::command::{Captured, Command, Finished, Status};
use super::exchange::{Answer, NoAnswer, line};
use super::{MAX_OUTPUT, Runner, Ssh};
use crate::access::reads::ReadOnly;
use crate::diagnostic::{Error, Result, codes};
use crate::waiting::{Await, awaited};
use crate::workspace::Host;

const QUERY: &str = include_str!("query.sh");

/// Beyond its own time: killing it, and the way there and back.
const GRACE: Duration = Duration::from_secs(10);

impl Ssh {
    /// Runs a reading command. Its exit status is data.
    ///
    /// # Errors
    /// The host cannot be reached, the command prints more than [`MAX_OUTPUT`], or its end cannot be learnt.
    pub async fn query(&self, _key: &ReadOnly, host: &Host, command: &Command) -> Result<Finished> {
        command.argv.check().map_err(|e| e.host(&host.name))?;
        let marker = self.marker()?;
        let seconds = command.within.as_secs().max(1);
        let words = self.words(host, command, Runner::AsAsked);
        let script = ["sh", "-c", QUERY, "hactl-query", &marker, &seconds.to_string()].map(str::to_owned);
        let script = script.into_iter().chain(words.words().iter().cloned());
        let line = line(self.sudo(host, command).into_iter().map(str::to_owned).chain(script));
        let began = tokio::time::Instant::now();
        let answer =
            self.ask_twice(host, &line, command.stdin.expose(), MAX_OUTPUT, command.within + GRACE).await?;
        let Some((stdout, status)) = split_marker(&answer.stdout, &marker) else {
            return Err(self.no_marker(host, &answer).unwrap_or_else(|| lost(host)));
        };
        let cut_short = (status == 124 || status == 137) && began.elapsed() >= Duration::from_secs(seconds);
        Ok(Finished {
            host: host.name.clone(),
            program: command.argv.program().to_owned(),
            status: if cut_short { Status::TimedOut } else { Status::Exited(status) },
            stdout: Captured { bytes: stdout.to_vec(), cut: 0 },
            stderr: Captured { bytes: answer.stderr, cut: 0 },
        })
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
                Err(NoAnswer::TooMuch) => {
                    let what = format!("a command printed more than the {limit} bytes that are read");
                    return Err(Error::new(codes::SSH_TOO_MUCH, what).host(&host.name));
                }
                Err(NoAnswer::Late) => {
                    self.master(host)?.lost(&live).await;
                    let what = format!("no answer within {} s", within.as_secs());
                    return Err(Error::new(codes::SSH_DEADLINE, what).host(&host.name).next("hactl doctor"));
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
