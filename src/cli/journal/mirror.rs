//! `hactl journal mirror`: make the mirror ready, and bring it up to date.

use std::rc::Rc;

use serde::Serialize;

use crate::cli::{Global, runtime, work};
use crate::diagnostic::{Error, Result, codes};
use crate::mirror::{Prepared, prepare};
use crate::redact::Redactor;
use crate::render::{Format, Out};
use crate::session::{Drift, workspace_of};
use crate::transport::s3::{BucketState, Versioning};

#[derive(Serialize)]
struct Told {
    event: &'static str,
    url: String,
    made_bucket: bool,
    versioning: &'static str,
    seq: u64,
}

pub(super) fn run(make_bucket: bool, global: &Global, out: &Out) -> Result<()> {
    let workspace = workspace_of(&global.file()?)?;
    let Some(config) = &workspace.mirror else {
        return Err(Error::new(codes::USAGE, "hactl.toml names no mirror")
            .state("nothing was done")
            .next("write mirror = \"s3://BUCKET/PREFIX\" under [state]"));
    };
    work::enter(&workspace)?;
    let Prepared { made, versioning } = runtime::block_on(async {
        let redactor = Rc::new(Redactor::of_process());
        if !make_bucket {
            let bucket = crate::mirror::connect(config, &workspace.root, Rc::clone(&redactor), None).await?;
            if bucket.client().bucket().await? == BucketState::Missing {
                let what = format!("the bucket {} of the mirror does not exist", config.s3.bucket);
                return Err(Error::new(codes::S3_NO_BUCKET, what)
                    .state("nothing was done")
                    .next("hactl journal mirror --make-bucket"));
            }
        }
        prepare(config, &workspace.root, redactor).await
    })?;
    // Opening the workspace brings the mirror up to date.
    let begun = crate::journal::StateDir::of(&workspace.root).journal().exists();
    let seq = if begun {
        work::on_fleet(global, out, Drift::Refuse, async |session, _work, _asker| {
            Ok(session.journal.state().last().map_or(0, |(seq, _)| seq.0))
        })?
    } else {
        0
    };
    let url = config.url().to_string();
    match out.format() {
        Format::Json => out.object(&Told {
            event: "mirrored",
            url,
            made_bucket: made,
            versioning: versioning.as_str(),
            seq,
        }),
        Format::Human => {
            if made {
                out.say(format!("made the bucket {}", config.s3.bucket))?;
            }
            let kept = match versioning {
                Versioning::Enabled => "",
                Versioning::Suspended | Versioning::Off | Versioning::Unsupported => {
                    "; the bucket keeps no earlier versions, so what somebody deletes there is lost"
                }
            };
            out.say(format!("the mirror {url} holds every record, up to {seq}{kept}"))
        }
    }
}
