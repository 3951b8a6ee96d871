//! The directory for sockets and the generated ssh configuration of this process.
//!
//! Invariant: it is 0700, ours alone, has a path short enough for unix sockets, and is removed at the end. What a
//! killed hactl left is swept by the next one, which knows it by a lock that nobody holds.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::exchange::random;
use crate::diagnostic::{Error, Result, codes};

/// A control socket below it gets some fifty bytes more while ssh makes it, and the kernel takes 107.
const LONGEST: usize = 50;

/// A directory younger than this may belong to a hactl that has not locked it yet.
const YOUNG: Duration = Duration::from_secs(60);

const PREFIX: &str = "hactl-";

/// The directory, as long as this lives.
#[derive(Debug)]
pub(super) struct Runtime {
    dir: PathBuf,
    _lock: File,
}

impl Runtime {
    /// Makes it, and sweeps what dead ones left.
    pub(super) fn create() -> Result<Self> {
        let base = base();
        sweep(&base);
        let made = || -> io::Result<Self> {
            let dir = base.join(format!("{PREFIX}{}", random::<4>()?));
            DirBuilder::new().mode(0o700).create(&dir)?;
            let lock = File::create(dir.join("lock"))?;
            lock.try_lock()?;
            Ok(Self { dir, _lock: lock })
        };
        made().map_err(|e| {
            let what = format!("cannot make a directory for connections in {}", base.display());
            Error::new(codes::SSH_RUNTIME, what)
                .state("nothing was sent")
                .source(e)
                .next("set XDG_RUNTIME_DIR to a directory of yours")
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    /// Writes a private file.
    pub(super) fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        let written = || -> io::Result<()> {
            let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            file.write_all(content.as_bytes())
        };
        match written() {
            Ok(()) => Ok(path),
            Err(e) => Err(Error::new(codes::SSH_RUNTIME, format!("cannot write {}", path.display()))
                .state("nothing was sent")
                .source(e)
                .next("look after the disk under it (df)")),
        }
    }

    /// Makes a private directory of a short, new name.
    pub(super) fn subdir(&self, prefix: &str) -> Result<PathBuf> {
        let made = || -> io::Result<PathBuf> {
            let dir = self.dir.join(format!("{prefix}{}", random::<3>()?));
            DirBuilder::new().mode(0o700).create(&dir)?;
            Ok(dir)
        };
        made().map_err(|e| {
            Error::new(codes::SSH_RUNTIME, format!("cannot make a directory in {}", self.dir.display()))
                .state("nothing was sent")
                .source(e)
                .next("look after the disk under it (df)")
        })
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // Nothing can be done where this fails, and the next hactl sweeps it.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn base() -> PathBuf {
    let uid = rustix::process::getuid().as_raw();
    let own = |path: &Path| {
        path.as_os_str().len() + PREFIX.len() + 9 <= LONGEST
            // It stands in a proxy command, which a shell reads.
            && path.to_str().is_some_and(|p| p.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)))
            && fs::metadata(path).is_ok_and(|m| m.is_dir() && m.uid() == uid && m.mode() & 0o022 == 0)
    };
    let candidates =
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute()).into_iter();
    candidates
        .chain([PathBuf::from(format!("/run/user/{uid}")), PathBuf::from("/run")])
        .find(|path| own(path))
        .unwrap_or_else(|| PathBuf::from("/tmp"))
}

fn sweep(base: &Path) {
    let uid = rustix::process::getuid().as_raw();
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.filter_map(std::result::Result::ok) {
        let path = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && fs::symlink_metadata(&path).is_ok_and(|m| {
                let old = m.modified().ok().and_then(|t| SystemTime::now().duration_since(t).ok());
                m.is_dir() && m.uid() == uid && old.is_some_and(|age| age > YOUNG)
            });
        if !ours {
            continue;
        }
        let Ok(lock) = File::open(path.join("lock")) else { continue };
        if lock.try_lock().is_ok() {
            // Its masters end by themselves once they are idle.
            let _ = fs::remove_dir_all(&path);
        }
    }
}
