//! The sweep with a mirror: killed in every call to the bucket too, cut off there, and after every kill also with the
//! machine lost, so that what goes on is what the bucket holds.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use hactl::diagnostic::{Result, codes};
use hactl::journal::Journal;
use hactl::journal::fake::FakeDisk;
use hactl::mirror::memory::{Fault, MemoryBucket};
use hactl::mirror::{Bucket, Mirror, Put, Source};
use hactl::units::Size;
use hactl::workspace::Demand;
use tokio::sync::Notify;

use super::{Crash, End, Job, Sweep, operator};
use crate::world::{Guard, Model, When};

/// What a bucket holds.
pub(crate) type Objects = BTreeMap<String, Vec<u8>>;

/// A bucket in one of whose calls the process is killed.
#[derive(Clone, Debug)]
pub(super) struct Deadly {
    pub(super) inner: MemoryBucket,
    at: Option<(usize, When)>,
    calls: Rc<Cell<usize>>,
    killed: Rc<Notify>,
    pub(super) was_killed: Rc<RefCell<bool>>,
}

impl Deadly {
    pub(super) fn new(objects: Objects, crash: Crash, killed: Rc<Notify>) -> Self {
        let at = match crash {
            Crash::Bucket(call, when) => Some((call, when)),
            Crash::Never | Crash::Disk(..) | Crash::Seam(..) => None,
        };
        let inner = MemoryBucket::holding(objects);
        Self { inner, at, calls: Rc::default(), killed, was_killed: Rc::default() }
    }

    async fn deadly<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let index = self.calls.replace(self.calls.get() + 1);
        self.moment(index, When::Before).await;
        let answer = call.await;
        self.moment(index, When::After).await;
        answer
    }

    async fn moment(&self, index: usize, when: When) {
        if self.at == Some((index, when)) {
            *self.was_killed.borrow_mut() = true;
            self.killed.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

impl Bucket for Deadly {
    fn url(&self) -> String {
        self.inner.url()
    }
    fn server(&self) -> String {
        self.inner.server()
    }
    fn put_new<'a>(&'a self, name: &'a str, bytes: &'a [u8]) -> LocalBoxFuture<'a, Result<Put>> {
        Box::pin(self.deadly(self.inner.put_new(name, bytes)))
    }
    fn get<'a>(&'a self, name: &'a str, at_most: Size) -> LocalBoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(self.deadly(self.inner.get(name, at_most)))
    }
    fn list<'a>(&'a self, under: &'a str, after: Option<&'a str>) -> LocalBoxFuture<'a, Result<Vec<String>>> {
        Box::pin(self.deadly(self.inner.list(under, after)))
    }
}

/// The journal that a bucket holds.
pub(crate) fn journal_in(objects: &Objects) -> Vec<u8> {
    let objects = objects.iter().filter(|(name, _)| name.starts_with("journal/"));
    objects.flat_map(|(_, bytes)| bytes.split_inclusive(|b| *b == b'\n').skip(1).flatten().copied()).collect()
}

impl Sweep {
    /// Keeps the journal in the model's bucket too.
    pub(super) fn mirror(&self, journal: &Journal, disk: &FakeDisk, bucket: &Deadly, without: Option<Guard>) {
        let disk = disk.clone();
        let source = Source::new(move |offset| {
            let live = disk.live().split_off(usize::try_from(offset).unwrap());
            Ok(Box::new(std::io::Cursor::new(live)))
        });
        let demand = if without == Some(Guard::Mirror) {
            bucket.inner.away(true);
            Demand::Wanted
        } else {
            Demand::Required
        };
        journal.mirror_to(Mirror::bare(
            Rc::new(bucket.clone()),
            self.dir.clone(),
            source,
            operator(),
            demand,
        ));
    }

    /// What the bucket holds in the end is the journal.
    pub(super) fn check_mirror(&self, model: &Model, bytes: &[u8], story: &str) {
        if let Some(objects) = model.mirror.as_ref().filter(|_| model.without != Some(Guard::Mirror))
            && journal_in(objects) != bytes
        {
            self.blame(story, "the mirror is not the journal in the end".to_owned());
        }
    }

    /// The machine is lost with its disk: somebody goes on with what the bucket holds.
    pub(super) fn lose_machine(&self, model: &Model, job: Job, story: &str) {
        if let Some(objects) = &model.mirror {
            let bytes = journal_in(objects);
            self.explore(model, &bytes, job, 0, &format!("{story} and the machine was lost"));
        }
    }

    /// Every way to be killed in a call to the bucket.
    pub(super) fn explore_bucket(&self, model: &Model, bytes: &[u8], job: Job, depth: usize, story: &str) {
        if model.mirror.is_none() {
            return;
        }
        for when in [When::Before, When::After] {
            for call in 0.. {
                let Some((after, disk)) = self.kill(model, bytes, job, Crash::Bucket(call, when)) else {
                    break;
                };
                self.go_on(after, &disk, job, depth, &format!("{story}, killed {when:?} bucket call {call}"));
            }
        }
    }

    /// A bucket that is not reached in any one call: the process stops, and whoever goes on comes to the same end.
    pub(crate) fn sweep_bucket(&self, model: &Model, job: Job) -> Vec<String> {
        let story = format!("{:?} {job:?}", self.kinds.values().next());
        let (mut model, mut bytes) = (model.clone(), Vec::new());
        if job != Job::Run {
            bytes = self.carry_through(&mut model, &[], Job::Run, &story);
        }
        for fault in [Fault::DropBefore, Fault::DropAfter] {
            for call in 0.. {
                let mut after = model.clone();
                after.bucket_fault = Some((call, fault));
                let (end, disk) = self.process(&mut after, &bytes, job, Crash::Never);
                if after.bucket_calls <= call {
                    break;
                }
                after.bucket_fault = None;
                let story = format!("{story}, {fault:?} in bucket call {call}");
                match &end {
                    End::Stopped(error) if error.code() == codes::MIRROR_BEHIND => {}
                    End::Stopped(error) => self.blame(&story, format!("stopped with {error:?}")),
                    End::Done | End::Killed => self.blame(&story, "did not stop".to_owned()),
                }
                self.go_on(after, &disk, job, 1, &story);
            }
        }
        self.wrong.take()
    }
}
