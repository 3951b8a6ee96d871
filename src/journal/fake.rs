//! A [`Disk`] in memory that can fail any of its calls and can lose what was not durable, for tests of crashes.
//!
//! It keeps *live* bytes (what a process that starts again would read) apart from *durable* ones (what is left after a
//! power cut). Killing a process keeps the live bytes; cutting the power keeps the durable ones.

use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;

use super::disk::Disk;

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The device fails.
    Io,
    /// The disk is full.
    NoSpace,
    /// A signal came before anything was done.
    Interrupted,
    /// A write takes only that many bytes.
    Short(usize),
    /// The process is killed after that many bytes of a write, or in the middle of another call.
    Killed(usize),
}

/// The calls that a disk has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`Disk::append`].
    Append,
    /// [`Disk::sync`].
    Sync,
    /// [`Disk::cut`].
    Cut,
}

#[derive(Debug, Default)]
struct Inner {
    live: Vec<u8>,
    durable: usize,
    calls: Vec<Call>,
    fault: Option<(usize, Fault)>,
    dead: bool,
}

/// The disk; clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct FakeDisk(Rc<RefCell<Inner>>);

impl FakeDisk {
    /// A disk that holds `bytes`, durably.
    #[must_use]
    pub fn holding(bytes: impl Into<Vec<u8>>) -> Self {
        let live = bytes.into();
        let durable = live.len();
        Self(Rc::new(RefCell::new(Inner { live, durable, ..Inner::default() })))
    }

    /// Lets the call with this index, from 0, meet a fault.
    pub fn fail_at(&self, call: usize, fault: Fault) {
        self.0.borrow_mut().fault = Some((call, fault));
    }

    /// The calls that changed or synced something so far, failed ones included.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.0.borrow().calls.clone()
    }

    /// What a process reads that starts now.
    #[must_use]
    pub fn live(&self) -> Vec<u8> {
        self.0.borrow().live.clone()
    }

    /// What a power cut leaves.
    #[must_use]
    pub fn durable(&self) -> Vec<u8> {
        let inner = self.0.borrow();
        inner.live.get(..inner.durable).unwrap_or(&inner.live).to_vec()
    }

    /// True once a fault killed the process: every later call fails.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.0.borrow().dead
    }

    fn begin(&self, call: Call) -> io::Result<Option<Fault>> {
        let mut inner = self.0.borrow_mut();
        if inner.dead {
            return Err(io::Error::other("the process is gone"));
        }
        let index = inner.calls.len();
        inner.calls.push(call);
        Ok(inner.fault.filter(|(at, _)| *at == index).map(|(_, fault)| fault))
    }

    fn broken(&self, fault: Fault) -> io::Error {
        match fault {
            Fault::Io => io::Error::from_raw_os_error(5),
            Fault::NoSpace => io::ErrorKind::StorageFull.into(),
            Fault::Interrupted => io::ErrorKind::Interrupted.into(),
            Fault::Short(_) => io::Error::other("short"),
            Fault::Killed(_) => {
                self.0.borrow_mut().dead = true;
                io::Error::other("the process is gone")
            }
        }
    }
}

impl Disk for FakeDisk {
    fn read(&mut self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(io::Cursor::new(self.live())))
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fault = self.begin(Call::Append)?;
        let taken = match fault {
            None => bytes.len(),
            Some(Fault::Short(taken) | Fault::Killed(taken)) => taken.min(bytes.len()),
            Some(Fault::Io | Fault::NoSpace | Fault::Interrupted) => 0,
        };
        self.0.borrow_mut().live.extend_from_slice(bytes.get(..taken).unwrap_or(bytes));
        match fault {
            None | Some(Fault::Short(_)) => Ok(taken),
            Some(fault) => Err(self.broken(fault)),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.begin(Call::Sync)? {
            None => {
                let mut inner = self.0.borrow_mut();
                inner.durable = inner.live.len();
                Ok(())
            }
            Some(fault) => Err(self.broken(fault)),
        }
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        match self.begin(Call::Cut)? {
            None => {
                let mut inner = self.0.borrow_mut();
                inner.live.truncate(usize::try_from(length).unwrap_or(usize::MAX));
                Ok(())
            }
            Some(fault) => Err(self.broken(fault)),
        }
    }
}
