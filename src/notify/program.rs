//! One run of the notification command: bounded in time, in what is read of it, and with nothing left behind.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use crate::redact::Redactor;
use crate::secret::SecretRef;
use crate::workspace::{NotifyConfig, Workspace};

/// How long a command may take.
pub const LIMIT: Duration = Duration::from_secs(30);

/// How much it may complain before that counts as a flood.
const FLOOD: usize = 1024 * 1024;

/// How much of its last words is looked at.
const LAST: usize = 4096;

/// How much of its last line is said.
const SAID: usize = 200;

/// How long its last words are waited for once it has ended: a process that it left behind may hold them open.
const LINGER: Duration = Duration::from_millis(500);

/// What is started.
#[derive(Clone, Debug)]
pub(super) struct Program {
    argv: Vec<String>,
    folder: PathBuf,
    /// Variables that hold secrets of the workspace.
    hidden: Vec<String>,
}

impl Program {
    pub(super) fn new(notify: &NotifyConfig, workspace: &Workspace) -> Self {
        let hidden = workspace.secret_refs().into_iter().filter_map(|(_, reference)| match reference {
            SecretRef::Env(name) => Some(name.clone()),
            SecretRef::File(_) | SecretRef::Command(_) | SecretRef::Sops(_) => None,
        });
        Self { argv: notify.command.clone(), folder: workspace.root.clone(), hidden: hidden.collect() }
    }

    /// Runs it on `body`; the error is a fragment that says what went wrong.
    pub(super) async fn run(self, body: Vec<u8>) -> Result<(), String> {
        let Some((name, arguments)) = self.argv.split_first() else { return Ok(()) };
        // A path begins at the workspace, a bare name is looked up in PATH.
        let program = if name.contains('/') { self.folder.join(name) } else { name.into() };
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.folder).kill_on_drop(true).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        self.hidden.iter().for_each(|name| {
            command.env_remove(name);
        });
        let mut child = command.spawn().map_err(|e| format!("{name} could not be started: {e}"))?;
        let mut group = Group::of(&child);
        let ended = timeout(LIMIT, attend(&mut child, body)).await;
        let whole = match ended {
            Ok(Ok(Ended { status, last })) => {
                group.has_ended();
                if status.success() {
                    return Ok(());
                }
                Err(format!(
                    "{name} ended with {status}{}",
                    last.line().map_or(String::new(), |l| format!(": {l}"))
                ))
            }
            Ok(Err(why)) => Err(format!("{name} {why}")),
            Err(_elapsed) => {
                Err(format!("{name} did not end within {} seconds, and was killed", LIMIT.as_secs()))
            }
        };
        drop(group);
        whole
    }
}

struct Ended {
    status: ExitStatus,
    last: Last,
}

/// Feeds the child, reads what it complains, and waits for its end.
async fn attend(child: &mut Child, body: Vec<u8>) -> Result<Ended, String> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let feed = async move {
        if let Some(mut stdin) = stdin {
            // A program need not read what it is told.
            let _ = stdin.write_all(&body).await;
        }
    };
    let mut feed = std::pin::pin!(feed);
    let mut last = Last::default();
    let (mut fed, mut stderr) = (false, stderr);
    let mut buffer = vec![0; 16 * 1024];
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(|e| format!("failed: {e}"))?,
            () = &mut feed, if !fed => fed = true,
            length = read(&mut stderr, &mut buffer) => match length {
                Some(length) => last.add(&buffer[..length])?,
                None => stderr = None,
            },
        }
    };
    let rest = async {
        while let Some(length) = read(&mut stderr, &mut buffer).await {
            last.add(&buffer[..length])?;
        }
        Ok(())
    };
    match timeout(LINGER, rest).await {
        Ok(Err(flood)) => Err(flood),
        Ok(Ok(())) | Err(_) => Ok(Ended { status, last }),
    }
}

/// Some bytes, or none at the end; waits for ever where there is nothing to read any more.
async fn read(stderr: &mut Option<ChildStderr>, buffer: &mut [u8]) -> Option<usize> {
    match stderr {
        Some(stderr) => stderr.read(buffer).await.ok().filter(|length| *length > 0),
        None => std::future::pending().await,
    }
}

/// The end of what it complained.
#[derive(Default)]
struct Last {
    bytes: VecDeque<u8>,
    read: usize,
}

impl Last {
    fn add(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.read = self.read.saturating_add(bytes.len());
        if self.read > FLOOD {
            return Err("complained without end, and was killed".to_owned());
        }
        self.bytes.extend(&bytes[bytes.len().saturating_sub(LAST)..]);
        let surplus = self.bytes.len().saturating_sub(LAST);
        self.bytes.drain(..surplus);
        Ok(())
    }

    fn line(mut self) -> Option<String> {
        let text = String::from_utf8_lossy(self.bytes.make_contiguous()).into_owned();
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
        let line = Redactor::of_process().clean(line);
        Some(line.chars().take(SAID).collect())
    }
}

/// The program and whatever it started; killed where this is dropped before it has ended.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn has_ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Where nothing of it is left there is nothing to end.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
