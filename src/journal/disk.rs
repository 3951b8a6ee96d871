//! The journal's way to the disk, as a seam: few calls, so that tests can fail each of them and can lose what was not
//! yet durable.
//!
//! Contract: `append` hands the bytes to the file in one write and says how many it took; they are durable only after
//! `sync`. `cut` shortens the file and is durable only after `sync` too. No call is retried in here.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::dir::sync_folder;

/// Where the journal's bytes are.
pub trait Disk: fmt::Debug {
    /// Reads the whole file from its beginning.
    ///
    /// # Errors
    /// The file cannot be read.
    fn read(&mut self) -> io::Result<Box<dyn Read + '_>>;

    /// One write at the end; how many bytes it took.
    ///
    /// # Errors
    /// Nothing was written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Makes everything so far durable.
    ///
    /// # Errors
    /// It is not known what is durable. Trying again would say nothing about it.
    fn sync(&mut self) -> io::Result<()>;

    /// Shortens the file to `length` bytes.
    ///
    /// # Errors
    /// The file is as it was.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

/// A real file.
#[derive(Debug)]
pub struct RealFile(File);

impl RealFile {
    /// Opens the journal's file for appending; makes it, durably and for its owner only, where it is missing.
    ///
    /// # Errors
    /// It cannot be opened or made.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        // Also where it was there already: whoever made it may have been killed before the fsync.
        sync_folder(path.parent().unwrap_or(Path::new(".")))?;
        Ok(Self(file))
    }
}

impl Disk for RealFile {
    fn read(&mut self) -> io::Result<Box<dyn Read + '_>> {
        self.0.seek(SeekFrom::Start(0))?;
        Ok(Box::new(&self.0))
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
}
