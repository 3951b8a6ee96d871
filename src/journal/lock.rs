//! One hactl at a time in a workspace.
//!
//! Invariant: the lock is a type that the journal's writer needs, and the operating system releases it when its
//! process ends, however it ends. What stands in the file only names the holder; it never decides anything.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::dir::StateDir;
use super::record::Operator;
use crate::diagnostic::{Error, Result, codes};

/// How long a refused hactl waits for the holder's name to be written.
const NAMED_WITHIN: Duration = Duration::from_millis(500);

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Who, on which machine.
    #[serde(flatten)]
    pub operator: Operator,
    /// The process.
    pub pid: u32,
    /// Since when.
    pub since: Timestamp,
    /// The command that they typed.
    pub command: String,
}

impl Holder {
    /// This process.
    #[must_use]
    pub fn this_process(operator: Operator, since: Timestamp, command: impl Into<String>) -> Self {
        Self { operator, pid: std::process::id(), since, command: command.into() }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operator, pid, since, command } = self;
        write!(f, "{operator} (process {pid}), since {since}, with: {command}")
    }
}

/// The lock, held until it is dropped or the process ends.
#[derive(Debug)]
#[must_use = "the lock is released when it is dropped"]
pub struct Lock {
    // Held for the lock that the open file carries.
    file: File,
    dir: StateDir,
    holder: Holder,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A program that is just being started has a copy of the descriptor for a moment: closing ours alone would leave
        // the lock with it. What cannot be unlocked ends with the process.
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Takes the workspace's lock, making the state folder where it is missing.
    ///
    /// # Errors
    /// Somebody else holds it (the error names them), or the file cannot be used.
    pub fn take(dir: &StateDir, holder: Holder) -> Result<Self> {
        dir.create()?;
        let broken = |e: io::Error| {
            Error::new(codes::LOCK_IO, format!("failed to lock {}", dir.path().display())).source(e)
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.lock())
            .map_err(broken)?;
        // A holder that took the lock just now may not have written its name yet, and what stands there may be of one that
        // was killed: so a name is believed once its process is seen to live. One that ended meanwhile holds nothing.
        let until = Instant::now() + NAMED_WITHIN;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(e)) => return Err(broken(e)),
                Err(TryLockError::WouldBlock) => {}
            }
            let named: Option<Holder> =
                std::fs::read(dir.lock()).ok().and_then(|text| serde_json::from_slice(&text).ok());
            match named {
                Some(holder) if lives(&holder) => return Err(held(&holder.to_string())),
                Some(holder) if Instant::now() >= until => {
                    let why = "it has not said who it is; the last one known was";
                    return Err(held(&format!("{why} {holder}, which is not to be seen")));
                }
                None if Instant::now() >= until => return Err(held("it has not said who it is")),
                Some(_) | None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        let text = serde_json::to_string(&holder)
            .map_err(|e| Error::new(codes::INTERNAL, "a lock's holder has no JSON form").source(e))?;
        // Emptied first, so that the holder before us is never taken for us.
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(text.as_bytes()))
            .map_err(broken)?;
        Ok(Self { file, dir: dir.clone(), holder })
    }

    /// The state folder that it locks.
    #[must_use]
    pub fn dir(&self) -> &StateDir {
        &self.dir
    }

    /// Who holds it.
    #[must_use]
    pub fn holder(&self) -> &Holder {
        &self.holder
    }
}

/// The refusal.
fn held(who: &str) -> Error {
    Error::new(codes::LOCK_HELD, format!("another hactl works here: {who}"))
        .state("nothing was changed by this one")
        .next("wait for it, or end it with Ctrl-C where it runs")
        .next("meanwhile: hactl status")
}

/// Is that process alive, as far as can be told from this machine?
fn lives(holder: &Holder) -> bool {
    let pid = i32::try_from(holder.pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}
