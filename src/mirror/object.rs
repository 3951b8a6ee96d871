//! An object of the journal: one line that says who wrote it, and then lines of the journal, byte for byte.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::journal::line::LONGEST;
use crate::journal::record::{Operator, Seq};
use crate::journal::{Line, Lines, Tail};
use crate::units::Size;

/// What the names of objects of the journal begin with.
pub(super) const JOURNAL: &str = "journal/";

/// What the names of everything else begin with, but the mark.
pub(super) const BLOB: &str = "blob/";

/// No object of the journal is larger: its header, and either [`BYTES_AT_MOST`] of lines or one line.
pub(super) const LARGEST: Size = Size(LONGEST as u64 + HEADER_AT_MOST);

/// As many bytes of lines go into one object, or one line.
pub(super) const BYTES_AT_MOST: usize = 4 << 20;

/// No header is longer: names of a user and of a machine, a time, a digest.
const HEADER_AT_MOST: u64 = 64 << 10;

/// The format that this hactl writes.
const VERSION: u32 = 1;

/// Who wrote an object, and what stood beside the journal then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    /// The format.
    pub(super) mirror: u32,
    /// Who.
    pub(super) by: Operator,
    /// When.
    pub(super) at: Timestamp,
    /// The list of files that belong to the run, which is a blob.
    pub(super) files: Digest,
}

impl Header {
    pub(super) fn new(by: Operator, at: Timestamp, files: Digest) -> Self {
        Self { mirror: VERSION, by, at, files }
    }
}

/// An object that was read: its lines have been checked, from the first to the last.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) header: Header,
    /// What its first line follows.
    pub(super) follows: Tail,
    pub(super) lines: Vec<Line>,
    /// Their bytes.
    pub(super) bytes: Vec<u8>,
}

impl Object {
    /// The end of the chain after its last line.
    pub(super) fn tail(&self) -> Tail {
        self.lines.last().map_or(self.follows, Line::tail)
    }
}

/// The name of the object whose first line has this number. Names sort as numbers do.
pub(super) fn name(first: Seq) -> String {
    format!("{JOURNAL}{:012}", first.0)
}

/// The number in a name.
pub(super) fn number(name: &str) -> Option<Seq> {
    name.strip_prefix(JOURNAL)?.parse().ok().map(Seq)
}

/// The name of what is kept under its digest.
pub(super) fn blob(digest: &Digest) -> String {
    format!("{BLOB}{digest}")
}

pub(super) fn encode(header: &Header, lines: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(header)
        .map_err(|e| Error::new(codes::INTERNAL, "a header without a JSON form").source(e))?;
    bytes.push(b'\n');
    bytes.extend_from_slice(lines);
    Ok(bytes)
}

/// Reads an object, and checks every line of it.
pub(super) fn decode(name: &str, bytes: &[u8]) -> Result<Object> {
    let end = bytes.iter().position(|b| *b == b'\n').ok_or_else(|| damaged(name, "it has no header"))?;
    let (header, rest) = bytes.split_at(end);
    let header: Header = serde_json::from_slice(header).map_err(|e| damaged(name, &e.to_string()))?;
    if header.mirror != VERSION {
        return Err(Error::new(
            codes::JOURNAL_NEWER,
            format!("{name} in the mirror has format {}", header.mirror),
        )
        .state("nothing was changed")
        .next("use the hactl that wrote it, or a newer one"));
    }
    let body = rest.get(1..).unwrap_or_default().to_vec();
    let follows = first(&body).ok_or_else(|| damaged(name, "it holds no line of a journal"))?;
    if number(name) != Some(Seq(follows.seq.0 + 1)) {
        return Err(damaged(name, "its first line has another number than its name"));
    }
    let mut read = Lines::following(follows, body.as_slice());
    let mut lines = Vec::new();
    while let Some(line) =
        read.next_line().map_err(|e| damaged(name, "a line of it cannot be trusted").source(e))?
    {
        lines.push(line);
    }
    if read.torn().is_some() {
        return Err(damaged(name, "its last line is cut off"));
    }
    Ok(Object { header, follows, lines, bytes: body })
}

/// What the first line says that it follows; whether that is so is seen by whoever has the line before.
fn first(lines: &[u8]) -> Option<Tail> {
    #[derive(Deserialize)]
    struct Envelope {
        seq: u64,
        prev: Digest,
    }
    let line = lines.split(|b| *b == b'\n').next()?;
    let Envelope { seq, prev } = serde_json::from_slice(line).ok()?;
    Some(Tail { seq: Seq(seq.checked_sub(1)?), sum: prev })
}

/// The refusal of an object that has more bytes than whoever wants it expects.
pub(super) fn too_large(name: &str, at_most: Size) -> Error {
    damaged(name, &format!("it is larger than the {at_most} that it may have"))
}

pub(super) fn damaged(name: &str, why: &str) -> Error {
    Error::new(codes::MIRROR_DAMAGED, format!("{name} in the mirror is not what hactl wrote there: {why}"))
        .state("nothing was changed")
        .next("where the bucket keeps earlier versions, bring that object's first one back")
        .next("or give the mirror another prefix in [state], then: hactl resume --rebase")
}
