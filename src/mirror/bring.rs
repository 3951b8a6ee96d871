//! Bringing a run to a machine that has nothing of it.
//!
//! Invariant: what is brought is checked as a whole (the chain of records, every piece of evidence, every file by its
//! digest) before any of it counts, and it is a workspace's state only once the run was taken over in the bucket, on the
//! condition that nobody wrote there meanwhile. Until then it lies in a folder of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use secrecy::SecretString;

use super::bucket::Bucket;
use super::files::{FILE_AT_MOST, FileList, LIST_AT_MOST, portable, write_private};
use super::object::{self, Header, JOURNAL, LARGEST, damaged};
use super::writer::{Mirror, Source};
use crate::clock::Clock;
use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::journal::dir::{private_folder, sync_folder};
use crate::journal::record::{Epoch, EvidenceRef, Operator, Record, Seq};
use crate::journal::{Holder, Journal, Lock, RunState, StateDir, Tail};
use crate::sealed::Sealed;
use crate::units::Size;
use crate::workspace::{Demand, FILE_NAME};

/// How many objects are read at a time.
const PARALLEL: usize = 8;

/// Where what is brought lies until it counts.
const INCOMING: &str = ".hactl-incoming";

/// A run that was brought, and not taken over yet.
#[derive(Debug)]
pub struct Brought {
    root: PathBuf,
    /// What its journal says.
    pub state: RunState,
    /// Who wrote to the mirror last.
    pub by: Operator,
    /// When.
    pub at: Timestamp,
    /// How many records there are.
    pub records: u64,
    /// How many pieces of evidence.
    pub evidence: usize,
    /// The bytes of `hactl.toml` and of the runbook that the run keeps.
    pub workspace: Vec<u8>,
    /// As above.
    pub runbook: Vec<u8>,
    list: Digest,
}

/// Reads everything that a mirror holds into `root`, and checks it. What stands there already is left alone.
///
/// # Errors
/// The bucket cannot be read, holds no run, is damaged, or `root` holds another run.
pub async fn bring(bucket: &dyn Bucket, root: &Path) -> Result<Brought> {
    if StateDir::of(root).journal().exists() {
        return Err(Error::new(codes::MIRROR_FOLDER, format!("{} holds a run already", root.display()))
            .state("nothing was changed")
            .next("bring it into an empty folder: make one, go there, and type the same command")
            .next("or, where the run here is the one to go on with: hactl resume"));
    }
    let staging = root.join(INCOMING);
    match fs::remove_dir_all(&staging) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(unwritable(&staging, e)),
        Ok(()) | Err(_) => {}
    }
    private_folder(&staging).map_err(|e| unwritable(&staging, e))?;
    let dir = StateDir::of(&staging);
    dir.create()?;

    let Read { header, bytes, evidence, .. } = read_journal(bucket).await?;
    let Some(Header { by, at, files: list, .. }) = header else {
        return Err(Error::new(codes::MIRROR_EMPTY, format!("no run is kept at {}", bucket.url()))
            .state("nothing was changed")
            .next(
                "compare with mirror in [state] of the hactl.toml that was lost: bucket, prefix, endpoint",
            ));
    };
    write_private(&dir.journal(), &bytes)?;
    let replayed = Journal::read(&dir)?;
    let blobs = evidence.values().map(|reference| async move {
        let what = format!("the evidence {:?}", reference.name);
        let bytes = blob(bucket, &reference.digest, &what, Size(reference.bytes)).await?;
        Ok::<_, Error>((reference.digest, bytes))
    });
    let folder = dir.evidence();
    private_folder(&folder).map_err(|e| unwritable(&folder, e))?;
    let mut blobs = stream::iter(blobs).buffered(PARALLEL);
    while let Some((digest, bytes)) = blobs.try_next().await? {
        write_private(&folder.join(digest.to_string()), &bytes)?;
    }
    let Some(run) = replayed.state.run() else {
        return Err(Error::new(
            codes::MIRROR_EMPTY,
            format!("the mirror {} holds records, but no run", bucket.url()),
        )
        .state("nothing was taken over"));
    };
    let kept = |reference: &EvidenceRef| {
        let path = folder.join(reference.digest.to_string());
        fs::read(&path)
            .map_err(|e| Error::new(codes::IO, format!("cannot read {}", path.display())).source(e))
    };
    let (workspace, runbook) = (kept(&run.workspace)?, kept(&run.runbook_bytes)?);
    fetch_files(bucket, &list, root, &staging).await?;
    put_beside(root, FILE_NAME, &workspace)?;
    if let Some(path) = runbook_path(&workspace) {
        put_beside(root, &path, &runbook)?;
    }
    Ok(Brought {
        root: root.to_owned(),
        records: replayed.lines,
        state: replayed.state,
        by,
        at,
        evidence: evidence.len(),
        workspace,
        runbook,
        list,
    })
}

/// A journal as the bucket holds it, each line of it checked, and the chain between them.
pub(super) struct Read {
    pub(super) tail: Tail,
    pub(super) objects: usize,
    header: Option<Header>,
    bytes: Vec<u8>,
    evidence: BTreeMap<Digest, EvidenceRef>,
}

/// Reads the whole journal in a bucket; one that holds none is empty.
pub(super) async fn read_journal(bucket: &dyn Bucket) -> Result<Read> {
    let names = bucket.list(JOURNAL, None).await?;
    let objects = names.iter().map(|name| async move {
        let bytes = bucket.get(name, LARGEST).await?;
        let bytes = bytes.ok_or_else(|| damaged(name, "it was listed, and is gone"))?;
        object::decode(name, &bytes)
    });
    let mut objects = stream::iter(objects).buffered(PARALLEL);
    let mut read =
        Read { tail: Tail::EMPTY, objects: 0, header: None, bytes: Vec::new(), evidence: BTreeMap::new() };
    while let Some(object) = objects.try_next().await? {
        if object.follows != read.tail {
            let name = object::name(Seq(object.follows.seq.0 + 1));
            let why = format!("it does not follow record {}, which comes before it", read.tail.seq);
            return Err(damaged(&name, &why));
        }
        read.tail = object.tail();
        read.objects += 1;
        read.bytes.extend_from_slice(&object.bytes);
        for reference in object.lines.iter().flat_map(|line| line.record.evidence()) {
            read.evidence.insert(reference.digest, reference.clone());
        }
        read.header = Some(object.header);
    }
    Ok(read)
}

impl Read {
    /// Sees that everything is there which the journal and the list of files name, and counts it. Nothing of it is read
    /// but that list.
    pub(super) async fn blobs(&self, bucket: &dyn Bucket) -> Result<usize> {
        let there: BTreeSet<String> = bucket.list(object::BLOB, None).await?.into_iter().collect();
        let evidence = self.evidence.values();
        let mut named: BTreeMap<Digest, String> =
            evidence.map(|it| (it.digest, format!("the evidence {:?}", it.name))).collect();
        if let Some(Header { files: list, .. }) = &self.header {
            for (path, digest) in file_list(bucket, list).await? {
                named.entry(digest).or_insert_with(|| format!("the file {path}"));
            }
            named.insert(*list, "the list of files".to_owned());
        }
        let mut missing = named.iter().filter(|(digest, _)| !there.contains(&object::blob(digest)));
        match missing.next() {
            None => Ok(named.len()),
            Some((digest, what)) => {
                let more = match missing.count() {
                    0 => String::new(),
                    more => format!(", and {more} more that the journal needs"),
                };
                Err(damaged(&object::blob(digest), &format!("{what} is missing{more}")))
            }
        }
    }
}

async fn blob(bucket: &dyn Bucket, digest: &Digest, what: &str, at_most: Size) -> Result<Vec<u8>> {
    let name = object::blob(digest);
    let bytes =
        bucket.get(&name, at_most).await?.ok_or_else(|| damaged(&name, &format!("{what} is missing")))?;
    if Digest::of(&bytes) == *digest {
        Ok(bytes)
    } else {
        Err(damaged(&name, &format!("{what} is another text")))
    }
}

/// The list of files that go along.
async fn file_list(bucket: &dyn Bucket, list: &Digest) -> Result<FileList> {
    let text = blob(bucket, list, "the list of files", LIST_AT_MOST).await?;
    serde_json::from_slice(&text).map_err(|e| damaged(&object::blob(list), &e.to_string()))
}

async fn fetch_files(bucket: &dyn Bucket, list: &Digest, root: &Path, staging: &Path) -> Result<()> {
    for (path, digest) in file_list(bucket, list).await? {
        let Some(path) = portable(Path::new(&path)) else {
            return Err(damaged(&object::blob(list), &format!("{path:?} leads out of the folder")));
        };
        let bytes = blob(bucket, &digest, &format!("the file {path}"), FILE_AT_MOST).await?;
        if path.starts_with(".hactl/") {
            let to = staging.join(&path);
            make_parents(staging, &to)?;
            write_private(&to, &bytes)?;
        } else {
            put_beside(root, &path, &bytes)?;
        }
    }
    Ok(())
}

/// Writes a file of the workspace itself; one of the same text may be there already.
fn put_beside(root: &Path, path: &str, bytes: &[u8]) -> Result<()> {
    let to = root.join(path);
    match fs::read(&to) {
        Ok(there) if there == bytes => return Ok(()),
        Ok(_) => {
            return Err(Error::new(
                codes::MIRROR_FOLDER,
                format!("{} is another one than the run's", to.display()),
            )
            .state("nothing was taken over, and that file was left as it is")
            .next("bring the run into an empty folder"));
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(unwritable(&to, e)),
    }
    make_parents(root, &to)?;
    write_private(&to, bytes)
}

fn make_parents(root: &Path, file: &Path) -> Result<()> {
    let Some(parent) = file.parent().filter(|parent| *parent != root) else { return Ok(()) };
    make_parents(root, parent)?;
    private_folder(parent).map_err(|e| unwritable(parent, e))
}

/// Where the runbook's file lies, where it has one in the workspace's folder.
fn runbook_path(workspace: &[u8]) -> Option<String> {
    let table: toml::Table = toml::from_str(std::str::from_utf8(workspace).ok()?).ok()?;
    let path = table.get("runbook")?.as_str().filter(|path| path.ends_with(".toml"))?;
    portable(Path::new(path))
}

impl Brought {
    /// The state folder that it has until it is taken over.
    #[must_use]
    pub fn dir(&self) -> StateDir {
        StateDir::of(&self.root.join(INCOMING))
    }

    /// Opens the key under which the secrets' digests were made, where it came along. Says why it stays encrypted, where
    /// it does: the run can go on without it, and it goes on to the next machine as it is.
    ///
    /// # Errors
    /// It cannot be read or written here.
    pub fn open_digest_key(&self, identity: Option<&SecretString>) -> Result<Option<String>> {
        let sealed = Sealed::new(self.dir().secrets());
        match identity.map(|identity| sealed.open_key(identity)) {
            None if sealed.key_is_closed() => Ok(Some("[age] of hactl.toml names no identity".to_owned())),
            None | Some(Ok(())) => Ok(None),
            Some(Err(error)) if error.code() == codes::IO => Err(error.state("nothing was taken over")),
            Some(Err(error)) => Ok(Some(error.one_line())),
        }
    }

    /// Takes the run over: raises the epoch in the bucket, on the condition that nobody wrote there since it was
    /// read, and lets what was brought be the workspace's state.
    ///
    /// # Errors
    /// Somebody wrote meanwhile, or the bucket cannot be reached: then the run is as it was.
    pub async fn take_over(self, bucket: Rc<dyn Bucket>, by: Operator, clock: Rc<dyn Clock>) -> Result<()> {
        let (dir, url) = (self.dir(), bucket.url());
        let source = Source::of(&dir);
        let mirror = Mirror::bare(bucket, dir.clone(), source, by.clone(), Demand::Required);
        let holder = Holder::this_process(by.clone(), clock.now(), "taking over from the mirror");
        let (journal, _) = Journal::open(Lock::take(&dir, holder)?, clock)?;
        journal.mirror_to(mirror.with_files_as_listed(self.list));
        let epoch = Epoch(self.state.epoch().0.saturating_add(1));
        journal.append(Record::TakenOver { by, epoch })?;
        if let Err(error) = journal.mirrored().await {
            let error = match error.code() {
                code if code == codes::MIRROR_AHEAD => Error::new(
                    codes::MIRROR_AHEAD,
                    "somebody wrote to the mirror while it was taken over",
                )
                .source(Error::new(error.code(), error.one_line()))
                .next(
                    "is the former machine still at work? end it there (Ctrl-C), then the same command here",
                ),
                _other => error.next(format!("hactl resume --from-mirror {url}")),
            };
            return Err(error.state("nothing was taken over here"));
        }
        drop(journal);
        let target = StateDir::of(&self.root);
        // A folder without a journal, such as one that only has pinned keys, is no state of a run.
        let aside = self.root.join(INCOMING).join("former");
        if target.path().exists() {
            fs::rename(target.path(), &aside).map_err(|e| unwritable(target.path(), e))?;
        }
        fs::rename(dir.path(), target.path()).map_err(|e| unwritable(target.path(), e))?;
        sync_folder(&self.root).map_err(|e| unwritable(&self.root, e))?;
        let _ = fs::remove_dir_all(self.root.join(INCOMING));
        Ok(())
    }
}

fn unwritable(path: &Path, error: std::io::Error) -> Error {
    Error::new(codes::IO, format!("cannot make or change {}", path.display()))
        .source(error)
        .state("nothing was taken over")
}
