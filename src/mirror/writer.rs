//! Keeping the bucket up to date with the journal here.
//!
//! Invariant: one writer at a time, lines in order, each object under the number of its first line. Whatever is told of
//! an earlier write (nothing, a refusal because the name is taken), what is in the bucket decides: it is read, and
//! either it is a beginning of this journal, or this hactl writes nothing more.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::bucket::{Bucket, Put};
use super::files::{Companions, FileList, LIST_AT_MOST, fits};
use super::note::Note;
use super::object::{self, BYTES_AT_MOST, Header};
use super::position::{Position, locate};
use super::probe::honours_conditions;
use crate::clock::Clock;
use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::journal::record::{EvidenceRef, Operator, Seq};
use crate::journal::{Lines, StateDir, Tail};
use crate::workspace::{Demand, Workspace};

/// As many lines go into one object at most.
const LINES_AT_MOST: usize = 512;
/// How often a name may turn out to be taken without anything new in the bucket.
const TAKEN_AT_MOST: u32 = 4;
/// A mirror that the run goes on without is tried again after this long.
const REST: Duration = Duration::from_secs(30);

/// Where the journal is read from.
#[derive(Clone)]
pub struct Source(Rc<dyn Fn(u64) -> io::Result<Box<dyn Read>>>);

impl Source {
    /// Reads by this function, which is given where to begin.
    pub fn new(read: impl Fn(u64) -> io::Result<Box<dyn Read>> + 'static) -> Self {
        Self(Rc::new(read))
    }

    /// The journal of a workspace.
    #[must_use]
    pub fn of(dir: &StateDir) -> Self {
        let path = dir.journal();
        Self::new(move |offset| {
            let mut file = File::open(&path)?;
            // A hactl that was killed may have left a line that is written and not durable; the bucket must not know more.
            file.sync_data()?;
            file.seek(SeekFrom::Start(offset))?;
            Ok(Box::new(file))
        })
    }

    pub(super) fn from(&self, offset: u64) -> Result<Box<dyn Read>> {
        (self.0)(offset).map_err(|e| {
            Error::new(codes::JOURNAL_READ, "failed to read the journal for its mirror")
                .source(e)
                .state("nothing was begun")
        })
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// The mirror of the journal in a workspace.
#[derive(Debug)]
pub struct Mirror {
    bucket: Rc<dyn Bucket>,
    dir: StateDir,
    source: Source,
    companions: Beside,
    by: Operator,
    demand: Demand,
    turn: Mutex<Turn>,
}

/// The files that go along.
#[derive(Debug)]
enum Beside {
    /// Those of this workspace.
    Of(Companions),
    /// Those of a list that is in the bucket already.
    Listed(Digest),
    /// None.
    Nothing,
}

/// What whoever writes knows.
#[derive(Debug, Default)]
struct Turn {
    at: Option<Position>,
    honest: bool,
    /// The blobs that are known to be there.
    sent: BTreeSet<Digest>,
    /// Why the last try failed, and when the next one is worth it.
    failed: Option<(Error, Instant)>,
}

/// Lines that go into one object.
struct Batch {
    first: Seq,
    bytes: Vec<u8>,
    evidence: Vec<EvidenceRef>,
    end: Tail,
}

impl Mirror {
    /// The mirror in `bucket` of the journal in the workspace's state folder.
    #[must_use]
    pub fn new(bucket: Rc<dyn Bucket>, workspace: &Workspace, by: Operator, demand: Demand) -> Self {
        let dir = StateDir::of(&workspace.root);
        let source = Source::of(&dir);
        Self {
            companions: Beside::Of(Companions::of(workspace)),
            ..Self::bare(bucket, dir, source, by, demand)
        }
    }

    /// The same of a journal that is read otherwise, without the files that a workspace has beside it.
    #[must_use]
    pub fn bare(bucket: Rc<dyn Bucket>, dir: StateDir, source: Source, by: Operator, demand: Demand) -> Self {
        Self { bucket, dir, source, companions: Beside::Nothing, by, demand, turn: Mutex::default() }
    }

    /// Leaves the list of files as it was left by whoever wrote last.
    #[must_use]
    pub(super) fn with_files_as_listed(self, list: Digest) -> Self {
        Self { companions: Beside::Listed(list), ..self }
    }

    /// What happens where it cannot be reached.
    #[must_use]
    pub fn demand(&self) -> Demand {
        self.demand
    }

    /// Its address, as it is typed.
    #[must_use]
    pub fn url(&self) -> String {
        self.bucket.url()
    }

    /// Brings the bucket up to line `wanted` at least, and says how far it is.
    ///
    /// # Errors
    /// The bucket cannot be written, holds what is not in this journal, or its server overwrites.
    pub async fn reach(&self, wanted: Seq, clock: &dyn Clock) -> Result<Seq> {
        let mut turn = self.turn.lock().await;
        if let Some(at) = turn.at.filter(|at| at.tail.seq >= wanted) {
            return Ok(at.tail.seq);
        }
        if let (Demand::Wanted, Some((error, until))) = (self.demand, &turn.failed)
            && Instant::now() < *until
        {
            return Err(Error::new(error.code(), error.message()));
        }
        let reached = self.write(&mut turn, wanted, clock).await;
        turn.failed = None;
        if let Err(error) = &reached {
            // Known again once it was looked at again.
            let known = turn.at.take();
            let short = Error::new(error.code(), error.one_line());
            self.note(known, Some(short.message().to_owned()), clock);
            turn.failed = Some((short, Instant::now() + REST));
        }
        reached
    }

    async fn write(&self, turn: &mut Turn, wanted: Seq, clock: &dyn Clock) -> Result<Seq> {
        let mut taken = 0;
        loop {
            let at = match turn.at {
                Some(at) => at,
                None => {
                    let near = Note::of(&self.dir).filter(|note| note.address == self.bucket.url());
                    let at = locate(self.bucket.as_ref(), &self.source, near.map(|note| note.object)).await?;
                    self.note(Some(at), None, clock);
                    *turn.at.insert(at)
                }
            };
            // After the bucket was seen to be there: some servers make one for whoever writes.
            if !turn.honest {
                honours_conditions(self.bucket.as_ref()).await?;
                turn.honest = true;
            }
            if at.tail.seq >= wanted {
                return Ok(at.tail.seq);
            }
            let Some(batch) = self.batch(at, wanted)? else { return Ok(at.tail.seq) };
            for reference in &batch.evidence {
                self.send_evidence(turn, reference).await?;
            }
            let files = self.send_files(turn).await?;
            let header = Header::new(self.by.clone(), clock.now(), files);
            let object = object::encode(&header, &batch.bytes)?;
            match self.bucket.put_new(&object::name(batch.first), &object).await? {
                Put::Written => {
                    let offset = at.offset + batch.bytes.len() as u64;
                    let at = Position { tail: batch.end, offset, object: Some(batch.first) };
                    turn.at = Some(at);
                    self.note(Some(at), None, clock);
                    taken = 0;
                }
                // By an earlier try of ours whose answer was lost, or by somebody else: what is there decides.
                Put::NameTaken => {
                    turn.at = None;
                    taken += 1;
                    if taken > TAKEN_AT_MOST {
                        let name = object::name(batch.first);
                        return Err(object::damaged(&name, "its name is taken, and it is not to be seen"));
                    }
                }
            }
        }
    }

    /// The lines that come next, as many as go into one object, and none behind `wanted`: what stands there may not be
    /// durable, and a line that the bucket holds and a power cut took from here would be somebody else's.
    fn batch(&self, at: Position, wanted: Seq) -> Result<Option<Batch>> {
        let mut lines = Lines::following(at.tail, self.source.from(at.offset)?);
        let mut batch: Option<Batch> = None;
        let mut count = 0;
        while count < LINES_AT_MOST {
            let Some(line) = lines.next_line()?.filter(|line| line.seq <= wanted) else { break };
            let raw = lines.raw();
            let batch = batch.get_or_insert_with(|| Batch {
                first: line.seq,
                bytes: Vec::new(),
                evidence: Vec::new(),
                end: at.tail,
            });
            if !batch.bytes.is_empty() && batch.bytes.len() + raw.len() > BYTES_AT_MOST {
                break;
            }
            batch.bytes.extend_from_slice(raw);
            batch.bytes.push(b'\n');
            batch.evidence.extend(line.record.evidence().into_iter().cloned());
            batch.end = line.tail();
            count += 1;
        }
        Ok(batch)
    }

    async fn send_evidence(&self, turn: &mut Turn, reference: &EvidenceRef) -> Result<()> {
        if turn.sent.contains(&reference.digest) {
            return Ok(());
        }
        let path = self.dir.evidence().join(reference.digest.to_string());
        let bytes = std::fs::read(&path).map_err(|e| {
            let what = format!(
                "failed to read the evidence {:?} for the mirror: {}",
                reference.name,
                path.display()
            );
            Error::new(codes::EVIDENCE_READ, what)
                .source(e)
                .state("nothing was begun")
                .next("restore .hactl from a copy")
        })?;
        self.send_blob(turn, reference.digest, &bytes).await
    }

    async fn send_blob(&self, turn: &mut Turn, digest: Digest, bytes: &[u8]) -> Result<()> {
        if turn.sent.contains(&digest) {
            return Ok(());
        }
        if Digest::of(bytes) != digest {
            return Err(Error::new(
                codes::EVIDENCE_READ,
                format!("the evidence {digest} is not what was kept"),
            )
            .state("nothing was begun")
            .next("restore .hactl from a copy"));
        }
        // Where the name is taken, it is taken by these very bytes: it is their digest.
        match self.bucket.put_new(&object::blob(&digest), bytes).await? {
            Put::Written | Put::NameTaken => turn.sent.insert(digest),
        };
        Ok(())
    }

    /// Sends the files that belong to the run, where they have changed, and gives the digest of their list.
    async fn send_files(&self, turn: &mut Turn) -> Result<Digest> {
        let files = match &self.companions {
            Beside::Of(companions) => companions.gather()?,
            Beside::Listed(list) => return Ok(*list),
            Beside::Nothing => Vec::new(),
        };
        let list: FileList = files.iter().map(|(path, bytes)| (path.clone(), Digest::of(bytes))).collect();
        let text = serde_json::to_vec(&list)
            .map_err(|e| Error::new(codes::INTERNAL, "a list of files without a JSON form").source(e))?;
        let text = fits("the list of files that belong to the run", text, LIST_AT_MOST)?;
        let digest = Digest::of(&text);
        if !turn.sent.contains(&digest) {
            for (_, bytes) in &files {
                self.send_blob(turn, Digest::of(bytes), bytes).await?;
            }
            self.send_blob(turn, digest, &text).await?;
        }
        Ok(digest)
    }

    /// Notes how far the mirror is, or that it is not to be reached.
    fn note(&self, at: Option<Position>, trouble: Option<String>, clock: &dyn Clock) {
        let address = self.bucket.url();
        let old = Note::of(&self.dir).filter(|note| note.address == address);
        let (object, seq) = match (at, &old) {
            (Some(at), _) => (at.object.unwrap_or_default(), at.tail.seq),
            (None, Some(old)) => (old.object, old.seq),
            (None, None) => (Seq::default(), Seq::default()),
        };
        Note { address, object, seq, at: clock.now(), trouble }.keep(&self.dir);
    }
}
