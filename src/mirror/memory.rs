//! A [`Bucket`] in memory whose calls can fail, for tests of what becomes of a mirror. It is held against a real server by
//! one suite: `tests/s3_contract/mirror.rs`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use super::bucket::{Bucket, Put};
use super::object::too_large;
use crate::diagnostic::{Error, Result, codes};
use crate::units::Size;

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing was done.
    DropBefore,
    /// It was done, and its answer is lost.
    DropAfter,
}

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<String, Vec<u8>>,
    calls: usize,
    fault: Option<(usize, Fault)>,
    away: bool,
    overwrites: bool,
}

/// The bucket; clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct MemoryBucket(Rc<RefCell<Inner>>);

impl MemoryBucket {
    /// A bucket that holds these objects.
    #[must_use]
    pub fn holding(objects: BTreeMap<String, Vec<u8>>) -> Self {
        Self(Rc::new(RefCell::new(Inner { objects, ..Inner::default() })))
    }

    /// Lets the call with this index, from 0, meet a fault.
    pub fn fail_at(&self, call: usize, fault: Fault) {
        self.0.borrow_mut().fault = Some((call, fault));
    }

    /// From now on nobody answers, or somebody does again.
    pub fn away(&self, away: bool) {
        self.0.borrow_mut().away = away;
    }

    /// From now on it overwrites what is there, as some servers do.
    pub fn overwrite(&self) {
        self.0.borrow_mut().overwrites = true;
    }

    /// How many calls there were.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.0.borrow().calls
    }

    /// What it holds, by name.
    #[must_use]
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.borrow().objects.clone()
    }

    /// Puts or removes an object, whatever is there.
    pub fn set(&self, name: &str, bytes: Option<Vec<u8>>) {
        let mut inner = self.0.borrow_mut();
        match bytes {
            Some(bytes) => inner.objects.insert(name.to_owned(), bytes),
            None => inner.objects.remove(name),
        };
    }

    fn call<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> Result<T> {
        let mut inner = self.0.borrow_mut();
        let index = inner.calls;
        inner.calls += 1;
        let fault = inner.fault.filter(|(at, _)| *at == index).map(|(_, fault)| fault);
        if inner.away {
            return Err(Error::new(codes::S3_UNREACHABLE, "nobody answers"));
        }
        let lost = || Error::new(codes::S3_UNKNOWN, "no answer came");
        match fault {
            Some(Fault::DropBefore) => Err(lost()),
            Some(Fault::DropAfter) => {
                work(&mut inner);
                Err(lost())
            }
            None => Ok(work(&mut inner)),
        }
    }
}

impl Bucket for MemoryBucket {
    fn url(&self) -> String {
        "s3://memory/run".to_owned()
    }

    fn server(&self) -> String {
        "memory".to_owned()
    }

    fn put_new<'a>(&'a self, name: &'a str, bytes: &'a [u8]) -> LocalBoxFuture<'a, Result<Put>> {
        Box::pin(async move {
            self.call(|inner| {
                if inner.objects.contains_key(name) && !inner.overwrites {
                    return Put::NameTaken;
                }
                inner.objects.insert(name.to_owned(), bytes.to_vec());
                Put::Written
            })
        })
    }

    fn get<'a>(&'a self, name: &'a str, at_most: Size) -> LocalBoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async move {
            match self.call(|inner| inner.objects.get(name).cloned())? {
                Some(bytes) if bytes.len() as u64 > at_most.bytes() => Err(too_large(name, at_most)),
                bytes => Ok(bytes),
            }
        })
    }

    fn list<'a>(&'a self, under: &'a str, after: Option<&'a str>) -> LocalBoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            self.call(|inner| {
                let names = inner.objects.keys().filter(|name| name.starts_with(under));
                names.filter(|name| after.is_none_or(|after| name.as_str() > after)).cloned().collect()
            })
        })
    }
}
