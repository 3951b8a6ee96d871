//! Is this a server that a mirror can be kept on?

use std::path::Path;
use std::rc::Rc;

use super::bring::read_journal;
use super::bucket::{Bucket, Put, connect};
use super::position::locate;
use super::writer::Source;
use crate::diagnostic::{Error, Result, codes};
use crate::journal::StateDir;
use crate::journal::record::Seq;
use crate::redact::Redactor;
use crate::transport::s3::{BucketState, Versioning};
use crate::workspace::MirrorConfig;

/// The object that conditional writes are tried on. It is written once, and says whose the rest is.
const MARK: &str = "hactl-mirror.txt";

const MARK_TEXT: &[u8] = b"Here hactl keeps a run a second time: its journal, its evidence, pinned host keys and encrypted secrets.\n\
      Nothing here is ever changed. To go on from it elsewhere: hactl resume --from-mirror\n";

/// Makes sure that the server leaves alone what is there. Some silently overwrite; on those, two machines could both
/// believe that they hold the run.
///
/// # Errors
/// It overwrites, or it could not be asked.
pub async fn honours_conditions(bucket: &dyn Bucket) -> Result<()> {
    // Where it is there already, the first refusal says it all.
    for _ in 0..2 {
        match bucket.put_new(MARK, MARK_TEXT).await? {
            Put::NameTaken => return Ok(()),
            Put::Written => {}
        }
    }
    let what = format!(
        "the S3 server at {} overwrites what a conditional write (If-None-Match) must leave alone",
        bucket.server()
    );
    Err(Error::new(codes::MIRROR_OVERWRITES, what)
        .state("nothing was begun; on this server two machines could both hold the run")
        .next("keep the mirror on a server that honours conditional writes: mirror and endpoint in [state]"))
}

/// What checking a mirror found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The last record that it holds.
    pub seq: Seq,
    /// In how many objects.
    pub objects: usize,
    /// How many pieces of evidence and files they name, each of which is there.
    pub blobs: usize,
}

/// Tries the server's conditional writes, reads the whole journal in the bucket, compares its end with the journal in
/// the workspace at `root`, and sees that everything is there which it names. Evidence and files are listed, and not read.
///
/// # Errors
/// The server cannot be asked or overwrites; what the bucket holds is damaged or incomplete, or is not a beginning of this
/// journal.
pub async fn check(bucket: &dyn Bucket, root: &Path) -> Result<Checked> {
    // Reading first: some servers make a bucket for whoever writes.
    let read = read_journal(bucket).await?;
    honours_conditions(bucket).await?;
    let dir = StateDir::of(root);
    if read.objects > 0 {
        locate(bucket, &Source::of(&dir), None).await?;
    }
    // Each was there before the record that names it, so what was read above names nothing that is still to come.
    let blobs = read.blobs(bucket).await?;
    Ok(Checked { seq: read.tail.seq, objects: read.objects, blobs })
}

/// What making a mirror ready found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Whether the bucket was made now.
    pub made: bool,
    /// Whether it keeps earlier versions of what somebody overwrites or deletes.
    pub versioning: Versioning,
}

/// Makes the mirror's bucket where it is missing, and tries its conditional writes. `hactl init` and
/// `hactl journal mirror --make-bucket` call it; a run never makes it.
///
/// # Errors
/// The server cannot be asked, refuses, or overwrites what it must leave alone.
pub async fn prepare(config: &MirrorConfig, root: &Path, redactor: Rc<Redactor>) -> Result<Prepared> {
    let bucket = connect(config, root, redactor, None).await?;
    let made = match bucket.client().bucket().await? {
        BucketState::Exists => false,
        BucketState::Missing => {
            bucket.client().create_bucket().await?;
            true
        }
    };
    honours_conditions(&bucket).await?;
    // Keeping versions is a help against mistakes; what the mirror needs is the condition.
    let versioning = bucket.client().versioning().await.unwrap_or(Versioning::Unsupported);
    Ok(Prepared { made, versioning })
}
