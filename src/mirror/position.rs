//! How far the bucket is, compared with the journal here.

use super::bucket::Bucket;
use super::object::{self, JOURNAL, LARGEST, Object};
use super::writer::Source;
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::{Record, Seq};
use crate::journal::{Lines, Tail};

/// Up to where the bucket holds this journal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    /// The last line that it holds.
    pub(super) tail: Tail,
    /// Where the next one begins in the file here.
    pub(super) offset: u64,
    /// The first line of the last object; none where there is none.
    pub(super) object: Option<Seq>,
}

impl Position {
    const EMPTY: Self = Self { tail: Tail::EMPTY, offset: 0, object: None };
}

/// Looks up to where the bucket holds this journal. `near` is the object that was written last, as far as that is known.
///
/// # Errors
/// The bucket holds a line that is not in this journal: somebody else went on, or this is an older copy.
pub(super) async fn locate(bucket: &dyn Bucket, source: &Source, near: Option<Seq>) -> Result<Position> {
    let before = near.map(|near| object::name(Seq(near.0.saturating_sub(1))));
    let mut names = bucket.list(JOURNAL, before.as_deref()).await?;
    if before.is_some() && names.first().and_then(|name| object::number(name)) != near {
        // What was noted here is of another bucket, or that one lost something.
        names = bucket.list(JOURNAL, None).await?;
    }
    let Some(last) = names.last() else { return Ok(Position::EMPTY) };
    let bytes = bucket.get(last, LARGEST).await?;
    let bytes = bytes.ok_or_else(|| object::damaged(last, "it was listed, and is gone"))?;
    let there = object::decode(last, &bytes)?;
    let mut here = Lines::new(source.from(0)?);
    while here.tail().seq < there.tail().seq {
        if here.next_line()?.is_none() {
            break;
        }
    }
    if here.tail() != there.tail() {
        return Err(ahead(bucket, &there, here.tail()));
    }
    Ok(Position { tail: here.tail(), offset: here.length(), object: object::number(last) })
}

/// The refusal of a machine that does not know all that the mirror knows.
fn ahead(bucket: &dyn Bucket, there: &Object, here: Tail) -> Error {
    let (by, at) = (&there.header.by, there.header.at);
    let taken = there.lines.iter().rev().find_map(|line| match &line.record {
        Record::TakenOver { by, epoch } => Some(format!(", after {by} took the run over (epoch {epoch})")),
        _other => None,
    });
    let what = format!(
        "the mirror {} holds record {} by {by}, written at {at}{}, and this journal does not: it ends at record {}, or says \
         something else there",
        bucket.url(),
        there.tail().seq,
        taken.unwrap_or_default(),
        here.seq
    );
    Error::new(codes::MIRROR_AHEAD, what)
        .state("nothing was begun; what this folder holds is out of date")
        .next("go on where the run was gone on with: hactl resume there")
        .next(format!(
            "where that machine is lost: hactl resume --from-mirror {}    (in an empty folder)",
            bucket.url()
        ))
}
