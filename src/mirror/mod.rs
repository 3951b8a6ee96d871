//! The mirror: the journal, and all that it takes to go on with a run elsewhere, in a bucket.
//!
//! Invariant: what the bucket holds is a beginning of this journal, or this hactl writes nothing there and begins nothing.
//! A record goes into the bucket after it is durable here: so the journal here is never behind by its own doing, and
//! where the bucket holds a line that is not in it, somebody else wrote it. What a record names (evidence, pinned
//! keys, encrypted secrets) goes before it. Each object is written once, on the condition that its name is free, and
//! the name of an object of the journal is the number of its first line: of two machines that follow the same line, one
//! gets the name.
//!
//! The token that lets anything touch a host is made only once its record is in the bucket: see
//! [`crate::journal::Journal::mirrored`].

pub mod bring;
mod bucket;
mod files;
mod late;
pub mod memory;
mod note;
mod object;
mod position;
mod probe;
#[cfg(test)]
mod tests;
mod writer;

pub use bucket::{Bucket, Put, S3Bucket, connect};
pub use late::LateBucket;
pub use note::Note;
pub use probe::{Checked, Prepared, check, honours_conditions, prepare};
pub use writer::{Mirror, Source};

use crate::diagnostic::Code;

/// Is this an error of the way to the bucket, and not of what stands in it?
#[must_use]
pub fn is_out_of_reach(code: Code) -> bool {
    code.name().starts_with("s3::") || code.name().starts_with("secret::")
}
