//! What is to be run on a host, and how it ended.

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

use super::argv::Argv;
use crate::diagnostic::{Error, codes};
use crate::name::HostName;
use crate::redact::sanitize_for_terminal;
use crate::step::Failure;

/// How long a command may take where nothing else is said.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest input of a command.
pub const MAX_INPUT: usize = 64 * 1024 * 1024;

/// As whom a command runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Become {
    /// As the user that logs in.
    Login,
    /// As root: by `sudo -n` where another user logs in.
    Root,
    /// As this user.
    User(String),
}

/// What a command gets on its standard input, or a file as its content. It may hold secrets: `Debug` shows none of it.
#[derive(Clone)]
pub struct Input(SecretSlice<u8>);

impl Input {
    /// Nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self(Vec::new().into())
    }

    /// The bytes themselves.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Input({} bytes)", self.expose().len())
    }
}

impl From<&str> for Input {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec().into())
    }
}

impl From<String> for Input {
    fn from(text: String) -> Self {
        Self(text.into_bytes().into())
    }
}

impl From<Vec<u8>> for Input {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&SecretString> for Input {
    fn from(secret: &SecretString) -> Self {
        secret.expose_secret().into()
    }
}

/// A program to run, with everything it needs.
#[derive(Clone, Debug)]
pub struct Command {
    pub(crate) argv: Argv,
    pub(crate) stdin: Input,
    pub(crate) run_as: Become,
    pub(crate) within: Duration,
    pub(crate) env: Vec<(String, String)>,
}

impl Command {
    /// A program, found in the usual system path, without arguments yet; it runs as root for at most
    /// [`DEFAULT_TIMEOUT`].
    #[must_use]
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            argv: Argv::new(program),
            stdin: Input::nothing(),
            run_as: Become::Root,
            within: DEFAULT_TIMEOUT,
            env: Vec::new(),
        }
    }

    /// Adds an argument. Everybody on the host can read it: never a secret.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.argv = self.argv.arg(argument);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: Into<String>>(mut self, arguments: I) -> Self {
        self.argv = self.argv.args(arguments);
        self
    }

    /// What it reads from its standard input; secrets go here.
    #[must_use]
    pub fn stdin(mut self, input: impl Into<Input>) -> Self {
        self.stdin = input.into();
        self
    }

    /// The same program, which is killed on the host so long after it began, with what it started.
    #[must_use]
    pub(crate) fn killed_after(&self, time: Duration) -> Self {
        let killed =
            Argv::new("timeout").args(["--signal=KILL", "--"]).arg(format!("{}", time.as_secs_f64()));
        Self { argv: killed.args(self.argv.words().iter().cloned()), ..self.clone() }
    }

    /// One that does nothing in its place, until it is ended after so long.
    #[must_use]
    pub(crate) fn hanging(&self, time: Duration) -> Self {
        Self { argv: Argv::new("sleep").arg("infinity"), within: time, ..self.clone() }
    }

    /// As whom it runs.
    #[must_use]
    pub fn run_as(mut self, user: Become) -> Self {
        self.run_as = user;
        self
    }

    /// Runs it as this user.
    #[must_use]
    pub fn as_user(self, user: impl Into<String>) -> Self {
        self.run_as(Become::User(user.into()))
    }

    /// How long it may take; then it is terminated, and killed ten seconds later.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// Sets a variable of its environment, which is otherwise clean. Never a secret.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// With this exit status; 128 and more is the shell's way of naming a signal.
    Exited(u8),
    /// It took longer than it may and was terminated.
    TimedOut,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exit status {status}"),
            Self::TimedOut => f.write_str("it took too long and was terminated"),
        }
    }
}

/// A captured stream of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Its beginning, at most [`super::MAX_OUTPUT`] bytes.
    pub bytes: Vec<u8>,
    /// How many bytes there were beyond that.
    pub cut: u64,
}

impl Captured {
    /// The text, with what is not UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

/// A command that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a command may have failed"]
pub struct Finished {
    /// Where.
    pub host: HostName,
    /// Its program, for messages.
    pub program: String,
    /// How.
    pub status: Status,
    /// What it printed.
    pub stdout: Captured,
    /// What it complained.
    pub stderr: Captured,
}

impl Finished {
    /// Did it end with status 0?
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status == Status::Exited(0)
    }

    /// The standard output as text, with the white space at its end removed.
    #[must_use]
    pub fn text(&self) -> String {
        self.stdout.text().trim_end().to_owned()
    }

    /// The error that this end is, with the last lines of what it complained.
    #[must_use]
    pub fn error(&self, what: impl fmt::Display) -> Error {
        let stderr = self.stderr.text();
        let said = if stderr.trim().is_empty() { self.stdout.text() } else { stderr };
        let lines: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        let tail = lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join("; ");
        let mut message = match self.status {
            Status::Exited(status) => format!("{what}: {} ended with exit status {status}", self.program),
            Status::TimedOut => format!("{what}: {} took too long and was terminated", self.program),
        };
        if !tail.is_empty() {
            message.push_str(": ");
            message.push_str(&sanitize_for_terminal(&tail));
        }
        Error::new(codes::ATTEMPT_FAILED, message).host(&self.host)
    }

    /// Itself where it succeeded. `what` says what it was for: "cannot restart PostgreSQL".
    ///
    /// # Errors
    /// It ended otherwise, after it began: whether it had an effect is for observing to say.
    pub fn ok(self, what: impl fmt::Display) -> Result<Self, Failure> {
        if self.succeeded() { Ok(self) } else { Err(Failure::Unclear(self.error(what))) }
    }
}
