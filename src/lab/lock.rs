//! The lock of a lab: one hactl at a time changes it.
//!
//! Invariant: the lock is an open file's, so it ends with whoever held it; the file beside the lab's folder says nothing.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use super::exec::{io, wait_until};
use super::state::LabName;
use crate::diagnostic::{Error, Result, codes};

/// A held lock; it ends when this is dropped, or when hactl ends in whatever way.
#[must_use]
pub(crate) struct Held(#[expect(dead_code, reason = "the open file is the lock")] File);

/// Takes the lab's lock, or says who has it.
pub(crate) fn hold(name: &LabName) -> Result<Held> {
    let labs = super::home().join("labs");
    fs::create_dir_all(&labs).map_err(io("make", &labs))?;
    let path = labs.join(format!("{name}.lock"));
    loop {
        let file = File::options().create(true).truncate(false).write(true).read(true).open(&path);
        let file = file.map_err(io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(Error::new(codes::LAB_BUSY, format!("another hactl is working on lab {name}"))
                    .state("nothing was done")
                    .next("wait for it to end, then the same command again")
                    .next(format!("who it is: sudo fuser -v {}", path.display())));
            }
            Err(fs::TryLockError::Error(e)) => return Err(io("lock", &path)(e)),
        }
        // `down` removes the file while it holds it: a lock on a removed file is nobody's.
        let ours = file.metadata().map_err(io("read", &path))?;
        if fs::metadata(&path).is_ok_and(|there| there.ino() == ours.ino()) {
            return Ok(Held(file));
        }
    }
}

/// Takes the lab's lock when whoever has it lets go of it, for at most so long.
pub(crate) fn wait(name: &LabName, within: Duration) -> Result<Held> {
    let mut held = hold(name);
    wait_until(within, || {
        if held.is_err() {
            held = hold(name);
        }
        held.is_ok()
    });
    held
}

/// Removes the lab's lock file, while it is held.
pub(crate) fn forget(name: &LabName) {
    let _ = fs::remove_file(super::home().join("labs").join(format!("{name}.lock")));
}
