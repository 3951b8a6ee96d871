//! The mirror: is its bucket there, does its server honour conditional writes, does it hold this journal as a
//! whole, with everything that the journal names?

use std::rc::Rc;

use super::{Found, LIMIT, Verdict};
use crate::diagnostic::{Result, codes};
use crate::journal::RunState;
use crate::mirror::{Checked, check, connect};
use crate::redact::Redactor;
use crate::workspace::Workspace;

pub(super) async fn examine(workspace: &Workspace, state: &RunState) -> Option<Found> {
    let config = workspace.mirror.as_ref()?;
    let what = format!("mirror {}", config.url());
    let asked = async {
        let bucket = connect(config, &workspace.root, Rc::new(Redactor::of_process()), None).await?;
        check(&bucket, &workspace.root).await
    };
    let checked: Result<Checked> = match tokio::time::timeout(LIMIT, asked).await {
        Ok(checked) => checked,
        Err(_elapsed) => return Some(Found::new(what, Verdict::Fail, "does not answer")),
    };
    Some(match checked {
        Ok(Checked { seq, objects, blobs }) => {
            let behind = state.last().map_or(0, |(last, _)| last.0).saturating_sub(seq.0);
            let there = format!(
                "honours conditional writes, holds {} records in {objects} objects and the {blobs} pieces of evidence \
                 and files that they need",
                seq.0
            );
            match behind {
                0 => Found::ok(what, format!("{there}: every record is there")),
                behind => {
                    Found::new(what, Verdict::Warn, format!("{there}, and lacks {behind} of the records"))
                        .next("hactl journal mirror    (brings it up to date)")
                }
            }
        }
        Err(error) if error.code() == codes::S3_NO_BUCKET => {
            Found::fail(what, &error).next("hactl journal mirror --make-bucket")
        }
        Err(error) => Found::fail(what, &error),
    })
}
