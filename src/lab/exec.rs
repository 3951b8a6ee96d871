//! Running this computer's own tools, each with a deadline.
//!
//! Invariant: no call here can hang for ever, and a tool that fails shows the end of what it said. A tool never
//! reads our terminal.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::diagnostic::{Error, Result, codes};

/// Enough for any tool that only asks the kernel for something.
const QUICK: Duration = Duration::from_secs(20);
/// Enough for a tool that downloads and installs.
pub(crate) const SLOW: Duration = Duration::from_secs(900);
/// How much of a failed tool's output goes into the error.
const TAIL_LINES: usize = 12;

/// Where tools are looked for; an operator's own PATH often lacks the sbin folders.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The operator's PATH, and after it the folders that it may lack.
pub(crate) fn search_path() -> String {
    std::env::var("PATH").map_or_else(|_| PATH.to_owned(), |own| format!("{own}:{PATH}"))
}

/// One call of a tool.
pub(crate) struct Tool {
    command: Command,
    /// How many words stand before the tool's own.
    wrapping: usize,
    input: Vec<u8>,
    deadline: Duration,
}

/// Which network a contained tool has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// This computer's.
    Host,
    /// None at all.
    None,
}

/// What a tool ended with.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Tool {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.env("PATH", search_path());
        Self { command, wrapping: 0, input: Vec::new(), deadline: QUICK }
    }

    /// A tool that works for long and starts others: they see no processes but their own, mount for themselves alone,
    /// and end with hactl, also when that is killed.
    pub(crate) fn contained(program: impl AsRef<OsStr>, network: Network) -> Self {
        let tool =
            Self::new("setpriv").args(["--pdeathsig", "KILL", "--", "unshare", "--mount", "--propagation"]);
        let tool = tool.args(["private", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        let tool = match network {
            Network::Host => tool,
            Network::None => tool.arg("--net"),
        };
        let mut tool = tool.arg("--");
        tool.wrapping = 1 + tool.command.get_args().count();
        tool.arg(program).within(SLOW)
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn folder(mut self, folder: &std::path::Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub(crate) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    pub(crate) fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    fn title(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        words.skip(self.wrapping).take(6).collect::<Vec<&OsStr>>().join(OsStr::new(" ")).display().to_string()
    }

    /// Runs it; any exit status is an answer.
    pub(crate) fn ended(mut self) -> Result<Ended> {
        let title = self.title();
        let failed = |what: &str| Error::new(codes::LAB_TOOL, format!("{what}: {title}"));
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = self.command.spawn().map_err(|e| failed("cannot run").source(e))?;
        let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
        if let Some(mut stdin) = child.stdin.take() {
            // A tool that does not want its input closes it, which is no failure of ours.
            let _ = stdin.write_all(&self.input);
        }
        let status = wait(&mut child, self.deadline).map_err(|e| failed("cannot wait for").source(e))?;
        let Some(status) = status else {
            return Err(failed("ended because it took too long")
                .state(format!("it had {} s and was killed", self.deadline.as_secs())));
        };
        let text = |reader: JoinHandle<Vec<u8>>| {
            reader.join().map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
        };
        Ok(Ended { status, stdout: text(stdout), stderr: text(stderr) })
    }

    /// Runs it and wants success; what it printed is the answer.
    pub(crate) fn run(self) -> Result<String> {
        let title = self.title();
        let ended = self.ended()?;
        if ended.status.success() {
            return Ok(ended.stdout);
        }
        let said = if ended.stderr.trim().is_empty() { &ended.stdout } else { &ended.stderr };
        let lines: Vec<&str> = said.lines().filter(|l| !l.trim().is_empty()).collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        Err(Error::new(codes::LAB_TOOL, format!("{title} failed ({})", ended.status))
            .state("the lab may be half changed; your own computer is as it was")
            .source(tail)
            .next("hactl lab status    (shows what is there; hactl lab down takes away what is broken)"))
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn wait(child: &mut Child, deadline: Duration) -> std::io::Result<Option<ExitStatus>> {
    let end = Instant::now() + deadline;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            if let Ok(Some(group)) = i32::try_from(child.id()).map(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Waits until `holds` says yes; false when the deadline came first.
pub(crate) fn wait_until(deadline: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The words of a fixed command line, for `Tool::args`.
pub(crate) fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

/// Says which file could not be read or written.
pub(crate) fn io(what: &str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
    let message = format!("cannot {what} {}", path.display());
    move |e| Error::new(codes::IO, message).source(e)
}
