//! The clerk: one small Perl program on a host that answers the requests of a connection, one after the other.
//!
//! Invariant: nothing is asked before the clerk has said that it is there, so what goes wrong until then has certainly
//! begun nothing. Its answers are framed: what a command prints can neither end an answer nor be taken for one. A clerk
//! whose answer did not come whole is never asked again, and no more is kept of an answer than its limit.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use openssh::{Child, ChildStdin, ChildStdout, Session, Stdio};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::time::{Instant, timeout};

use super::Ssh;
use super::command::{Become, Command};
use super::exchange::{Answer, line};
use super::master::Live;
use crate::diagnostic::{Error, Result, codes};
use crate::workspace::Host;

/// The program. It starts after the line that a login shell is given.
pub(super) const PROGRAM: &str = concat!(include_str!("clerk.pl"), include_str!("claim.pl"));

/// How long one may wait to be asked again: much less than the five minutes after which it ends by itself.
const FRESH: Duration = Duration::from_secs(60);

/// What a login may say before the clerk begins, on each stream.
const NOISE: usize = 1024 * 1024;

/// The longest line of an answer that is not what a command printed.
const LINE: u64 = 8 * 1024;

/// A clerk that waits for a request.
#[derive(Debug)]
pub(super) struct Clerk {
    // It ends with this.
    _child: Child<Arc<Session>>,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    since: Instant,
}

/// A whole answer.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// What a command printed.
    pub(super) stdout: Vec<u8>,
    /// What it complained.
    pub(super) stderr: Vec<u8>,
    /// How it ended, or why it was not begun.
    pub(super) how: String,
}

/// Why there is no clerk. Nothing was asked.
#[derive(Debug)]
pub(super) enum NoClerk {
    /// The master would not open a session.
    NotOpened(openssh::Error),
    /// It ended before it said anything, with what was said instead.
    Ended(Answer),
    /// The deadline passed.
    Late,
    /// The host says more than any login.
    TooMuch,
}

/// Why there is no whole answer to what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The connection ended, or what came was no answer.
    Lost,
    /// The deadline passed.
    Late,
    /// More came than may.
    TooMuch,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoReply {
    /// Nothing was asked.
    NotAsked(NoClerk),
    /// It was asked.
    Asked(Broken),
}

/// What a clerk is asked.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// `query` or `claim`.
    pub(super) kind: &'static str,
    /// What it needs to know; none holds a NUL.
    pub(super) fields: Vec<String>,
    /// What the command reads.
    pub(super) input: &'a [u8],
}

impl Request<'_> {
    /// Refuses what would be taken apart otherwise than it was put together.
    pub(super) fn check(&self, host: &Host) -> Result<()> {
        match self.fields.iter().position(|field| field.contains('\0')) {
            None => Ok(()),
            Some(index) => {
                Err(Error::new(codes::SSH_ARGUMENT, format!("a command has a NUL in word {index}"))
                    .host(&host.name)
                    .state("nothing was sent"))
            }
        }
    }

    pub(super) fn head(&self) -> Vec<u8> {
        let fields: Vec<u8> = self.fields.iter().flat_map(|field| field.bytes().chain([0])).collect();
        let mut head = format!("{} {} {}\n", self.kind, fields.len(), self.input.len()).into_bytes();
        head.extend(fields);
        head
    }
}

impl Clerk {
    /// Starts one by `line` (already quoted), which makes it say `marker` first.
    pub(super) async fn start(
        session: Arc<Session>,
        line: &str,
        marker: &str,
        until: Instant,
    ) -> Result<Self, NoClerk> {
        match tokio::time::timeout_at(until, Self::begin(session, line, marker)).await {
            Ok(started) => started,
            Err(_elapsed) => Err(NoClerk::Late),
        }
    }

    async fn begin(session: Arc<Session>, line: &str, marker: &str) -> Result<Self, NoClerk> {
        let mut command = session.arc_raw_command(line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().await.map_err(NoClerk::NotOpened)?;
        let (Some(to), Some(from), Some(mut complaints)) =
            (child.stdin().take(), child.stdout().take(), child.stderr().take())
        else {
            return Err(NoClerk::Late);
        };
        let mut from = BufReader::new(from);
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let hello = format!("{marker} ready\n");
        let there = tokio::select! {
            there = greeted(&mut from, hello.as_bytes(), &mut stdout) => there,
            () = flooded(&mut complaints, &mut stderr) => return Err(NoClerk::TooMuch),
        };
        if there {
            // From here on nothing is read from its standard error, and the clerk writes nothing there.
            return Ok(Self { _child: child, to, from, since: Instant::now() });
        }
        if stdout.len() > NOISE {
            return Err(NoClerk::TooMuch);
        }
        let left = (NOISE - stderr.len().min(NOISE)) as u64;
        let _ = complaints.take(left).read_to_end(&mut stderr).await;
        drop(to);
        let exit = match child.wait().await {
            Ok(status) => status.code(),
            // The crate makes an error of 127.
            Err(openssh::Error::Remote(e)) if e.kind() == std::io::ErrorKind::NotFound => Some(127),
            Err(_lost) => None,
        };
        Err(NoClerk::Ended(Answer { stdout, stderr, exit }))
    }

    /// Can it be asked again? One whose connection is known to have ended cannot.
    pub(super) async fn is_fresh(&mut self) -> bool {
        self.since.elapsed() < FRESH
            // What it says without being asked is the end, or nothing that one could understand.
            && timeout(Duration::ZERO, self.from.fill_buf()).await.is_err()
    }

    /// Asks it. Each stream of the answer may have `limit` bytes. Only one that answered whole comes back.
    pub(super) async fn ask(
        mut self,
        request: &Request<'_>,
        limit: usize,
        until: Instant,
    ) -> (Result<Reply, Broken>, Option<Self>) {
        let head = request.head();
        let sent = Cell::new(false);
        let answer = {
            let (to, from) = (&mut self.to, &mut self.from);
            let feed = async {
                if to.write_all(&head).await.is_ok() && to.write_all(request.input).await.is_ok() {
                    sent.set(to.flush().await.is_ok());
                }
                // What ends the exchange is the end of what comes back.
                std::future::pending::<std::convert::Infallible>().await
            };
            let answer = async {
                tokio::select! {
                    never = feed => match never {},
                    answer = reply(from, limit) => answer,
                }
            };
            tokio::time::timeout_at(until, answer).await.unwrap_or(Err(Broken::Late))
        };
        let again = answer.is_ok() && sent.get();
        self.since = Instant::now();
        (answer, again.then_some(self))
    }
}

impl Ssh {
    /// Asks a clerk of a host: one that waits, or a new one.
    pub(super) async fn ask_clerk(
        &self,
        host: &Host,
        live: &Live,
        marker: &str,
        request: &Request<'_>,
        (limit, within): (usize, Duration),
    ) -> Result<Reply, NoReply> {
        let until = Instant::now() + within;
        let clerk = match live.take_clerk() {
            Some(waiting) => waiting,
            None => {
                let line = self.clerk_line(host, marker);
                Clerk::start(Arc::clone(&live.session), &line, marker, until)
                    .await
                    .map_err(NoReply::NotAsked)?
            }
        };
        let (answer, again) = clerk.ask(request, limit, until).await;
        if let Some(clerk) = again {
            live.keep_clerk(clerk);
        }
        answer.map_err(NoReply::Asked)
    }

    /// What starts a clerk as root, whatever environment the login has.
    fn clerk_line(&self, host: &Host, marker: &str) -> String {
        const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let sudo: &[&str] = if host.user.as_str() == "root" { &[] } else { &["sudo", "-n", "--"] };
        let clean =
            ["env", "-i", "LC_ALL=C", PATH, "perl", "-e", PROGRAM, "hactl-clerk", self.root(), marker];
        line(sudo.iter().chain(&clean))
    }

    /// A command as a clerk runs it: its user, how many variables, the variables, and the words.
    pub(super) fn words(&self, host: &Host, command: &Command) -> Vec<String> {
        let user = match &command.run_as {
            Become::Root => "root",
            Become::User(user) => user,
            Become::Login => host.user.as_str(),
        };
        let mut words = vec![user.to_owned(), command.env.len().to_string()];
        words.extend(command.env.iter().map(|(name, value)| format!("{name}={value}")));
        words.extend(command.argv.words().iter().cloned());
        words
    }
}

/// Reads until the clerk greets; false where that ended without it. What came before is kept.
async fn greeted(from: &mut (impl AsyncBufRead + Unpin), hello: &[u8], noise: &mut Vec<u8>) -> bool {
    loop {
        let begin = noise.len();
        let left = (NOISE + 1 - begin) as u64;
        match (&mut *from).take(left).read_until(b'\n', noise).await {
            Ok(1..) if noise.get(begin..) == Some(hello) => return true,
            Ok(1..) if noise.len() <= NOISE => {}
            Ok(_) | Err(_) => return false,
        }
    }
}

/// Keeps what is complained, and ends only where that is too much.
async fn flooded(from: &mut (impl AsyncRead + Unpin), kept: &mut Vec<u8>) {
    let _ = from.take(NOISE as u64 + 1).read_to_end(kept).await;
    if kept.len() <= NOISE {
        std::future::pending().await
    }
}

/// Reads one answer.
async fn reply(from: &mut (impl AsyncBufRead + Unpin), limit: usize) -> Result<Reply, Broken> {
    let mut reply = Reply::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut *from).take(LINE).read_until(b'\n', &mut line).await;
        let (Ok(_), Some(text)) = (read, line.strip_suffix(b"\n")) else { return Err(Broken::Lost) };
        let text = String::from_utf8_lossy(text);
        let stream = match text.split_once(' ') {
            Some(("=", how)) => {
                how.clone_into(&mut reply.how);
                return Ok(reply);
            }
            Some(("o", length)) => (&mut reply.stdout, length),
            Some(("e", length)) => (&mut reply.stderr, length),
            Some(_) | None => return Err(Broken::Lost),
        };
        let (kept, length) = (stream.0, stream.1.parse::<usize>().map_err(|_| Broken::Lost)?);
        if length > limit.saturating_sub(kept.len()) {
            return Err(Broken::TooMuch);
        }
        match (&mut *from).take(length as u64).read_to_end(kept).await {
            Ok(read) if read == length => {}
            Ok(_) | Err(_) => return Err(Broken::Lost),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Broken, NOISE, Request, greeted, reply};

    #[tokio::test]
    async fn an_answer_is_taken_whole_or_not_at_all() {
        let whole = b"o 3\na\nbe 2\n= o 1\nx= exited 0\n= late\n";
        let mut from = whole.as_slice();
        let answer = reply(&mut from, 4).await.unwrap();
        assert_eq!(
            (answer.stdout.as_slice(), answer.stderr.as_slice()),
            (b"a\nbx".as_slice(), b"= ".as_slice())
        );
        assert_eq!((answer.how.as_str(), from), ("exited 0", b"= late\n".as_slice()));
        assert_eq!(reply(&mut whole.as_slice(), 3).await.unwrap_err(), Broken::TooMuch);
        for cut in 0..whole.len() - b"\n= late\n".len() {
            assert_eq!(reply(&mut whole.get(..cut).unwrap(), 4).await.unwrap_err(), Broken::Lost, "{cut}");
        }
        for odd in ["o -1\n", "o 1x\na", "o 99999999999999999999\n", "x 1\na", "=\n", "finished 0\n", "\n"] {
            assert_eq!(reply(&mut odd.as_bytes(), 4).await.unwrap_err(), Broken::Lost, "{odd:?}");
        }
        let endless = vec![b'='; 1 << 20];
        assert_eq!(reply(&mut endless.as_slice(), 4).await.unwrap_err(), Broken::Lost);
    }

    #[tokio::test]
    async fn only_a_line_of_its_own_greets() {
        let mut noise = Vec::new();
        assert!(greeted(&mut b"welcome\nabc ready\nmore".as_slice(), b"abc ready\n", &mut noise).await);
        for other in ["'abc ready\n", "abc ready", "abc ready!\n", ""] {
            assert!(!greeted(&mut other.as_bytes(), b"abc ready\n", &mut Vec::new()).await, "{other:?}");
        }
        let mut noise = Vec::new();
        let endless = vec![b'\n'; 2 * NOISE];
        assert!(
            !greeted(&mut endless.as_slice(), b"abc ready\n", &mut noise).await && noise.len() == NOISE + 1
        );
    }

    #[test]
    fn a_request_says_how_much_follows() {
        let fields = vec!["a b".to_owned(), String::new(), "ü\n".to_owned()];
        let request = Request { kind: "query", fields, input: b"in" };
        assert_eq!(request.head(), "query 9 2\na b\0\0ü\n\0".as_bytes());
    }
}
