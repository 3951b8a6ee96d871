//! One command over a master connection: bytes in, bounded bytes out, an end within a deadline.
//!
//! Invariant: what comes back says whether the command certainly was not sent, whether it was sent and its answer is
//! whole, or whether nobody knows. The exit status that ssh reports is a hint only: scripts print their own marker.

use std::io;
use std::time::Duration;

use openssh::{Session, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

/// What a command sent back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    /// The remote exit status, as far as ssh knows it.
    pub(super) exit: Option<i32>,
}

/// Why there is no whole answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The master would not open a session; it cannot be told whether the host saw the command.
    NotOpened(openssh::Error),
    /// The connection ended, with what had come by then.
    Lost(Answer),
    /// The deadline passed.
    Late,
    /// More came than may.
    TooMuch,
}

/// Runs `line` (already quoted) and feeds it `stdin`. Each of its streams may have `limit` bytes.
pub(super) async fn exchange(
    session: &Session,
    line: &str,
    stdin: &[u8],
    limit: usize,
    within: Duration,
) -> Result<Answer, NoAnswer> {
    let deadline = Instant::now() + within;
    let mut command = session.raw_command(line);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let opened = timeout_at(deadline, command.spawn()).await;
    let mut child = match opened {
        Ok(Ok(child)) => child,
        Ok(Err(e)) => return Err(NoAnswer::NotOpened(e)),
        Err(_elapsed) => return Err(NoAnswer::Late),
    };
    let (to, from, complaints) = (child.stdin().take(), child.stdout().take(), child.stderr().take());
    let feed = async {
        if let Some(mut to) = to {
            // A command that reads no input, or only part of it, is no failure.
            let _ = to.write_all(stdin).await;
            let _ = to.shutdown().await;
        }
        // What ends an exchange is the end of what comes back.
        std::future::pending::<std::convert::Infallible>().await
    };
    let streams = async {
        tokio::select! {
            never = feed => match never {},
            read = async { tokio::try_join!(bounded(from, limit), bounded(complaints, limit)) } => read,
        }
    };
    let (stdout, stderr) = match timeout_at(deadline, streams).await {
        Err(_elapsed) => return Err(NoAnswer::Late),
        Ok(Err(TooMuch)) => return Err(NoAnswer::TooMuch),
        Ok(Ok(streams)) => streams,
    };
    match timeout_at(deadline, child.wait()).await {
        Err(_elapsed) => Err(NoAnswer::Late),
        Ok(Ok(status)) => Ok(Answer { stdout, stderr, exit: status.code() }),
        // The crate makes an error of 127.
        Ok(Err(openssh::Error::Remote(e))) if e.kind() == io::ErrorKind::NotFound => {
            Ok(Answer { stdout, stderr, exit: Some(127) })
        }
        Ok(Err(_lost)) => Err(NoAnswer::Lost(Answer { stdout, stderr, exit: None })),
    }
}

struct TooMuch;

async fn bounded(from: Option<impl AsyncRead + Unpin>, limit: usize) -> Result<Vec<u8>, TooMuch> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // An error in reading is an end of reading; the marker tells whether it came too early.
        let _ = from.take(limit as u64 + 1).read_to_end(&mut bytes).await;
    }
    if bytes.len() > limit { Err(TooMuch) } else { Ok(bytes) }
}

/// A word as a POSIX shell reads it literally.
pub(super) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The words of a command line, quoted.
pub(super) fn line<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    let words: Vec<_> = words.into_iter().map(|word| quote(word.as_ref())).collect();
    words.join(" ")
}

/// 128 random bits in hexadecimal digits: what begins our own lines, so that nothing that a host prints by itself can
/// be taken for one.
pub(super) fn nonce() -> io::Result<String> {
    random::<16>()
}

/// Random bytes in hexadecimal digits.
pub(super) fn random<const BYTES: usize>() -> io::Result<String> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|e| io::Error::other(e.to_string()))?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::{TooMuch, bounded, line};

    #[tokio::test]
    async fn what_a_host_sends_is_bounded() {
        assert!(matches!(bounded(Some(tokio::io::repeat(7)), 1 << 20).await, Err(TooMuch)));
        assert!(matches!(bounded(Some([7; 9].as_slice()), 9).await, Ok(bytes) if bytes == [7; 9]));
        assert!(matches!(bounded(Some([7; 10].as_slice()), 9).await, Err(TooMuch)));
    }

    #[test]
    fn words_are_quoted_whatever_they_are() {
        assert_eq!(line(["echo", "", "it's", "$(id)\n`id`"]), "'echo' '' 'it'\\''s' '$(id)\n`id`'");
    }
}
