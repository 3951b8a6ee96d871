//! Where the run is kept a second time.

use super::ask::{Ask, wrong};
use super::flow::{Flow, Next};
use crate::diagnostic::Result;
use crate::init::Part;
use crate::transport::s3::Versioning;
use crate::workspace::MirrorUrl;

/// What says that there is to be none.
const NONE: &str = "none";

impl Flow<'_> {
    /// With the server and the key of the object storage, which must be known. Without a terminal no answer is none.
    pub(super) async fn mirror(&mut self) -> Result<()> {
        let mut given = self.init.mirror.clone();
        loop {
            if given.is_none() && !self.asking.somebody_there() {
                return Ok(());
            }
            let flag = "--mirror S3-URL|none";
            let text = self
                .asking
                .text(Ask {
                    flag,
                    prompt: "Where the run is kept a second time (none: nowhere)",
                    help: "In a bucket of its own, which is made now if it is missing: whoever loses this machine then goes on from \
                           there with hactl resume --from-mirror.",
                    given: given.take(),
                    default: Some(format!("s3://{}-state", self.draft.fleet)),
                    check: |text| url(text).map(drop),
                })
                .await?;
            self.draft.mirror = url(&text).map_err(|why| wrong(flag, &why))?;
            if self.draft.mirror.is_none() || self.made.is_none() || self.try_mirror().await? {
                return Ok(());
            }
        }
    }

    /// True where the answer stays.
    async fn try_mirror(&mut self) -> Result<bool> {
        let what = "the mirror";
        loop {
            let Some(prober) = &self.prober else {
                self.untried(what, Part::State, "nothing was tried out (--offline)")?;
                self.next.push("hactl journal mirror --make-bucket".to_owned());
                return Ok(true);
            };
            match self.wait(what, prober.mirror(&self.draft)).await {
                Ok(prepared) => {
                    let bucket = if prepared.made { "its bucket was made" } else { "its bucket is there" };
                    let versions = match prepared.versioning {
                        Versioning::Enabled => "keeps earlier versions",
                        Versioning::Suspended | Versioning::Off | Versioning::Unsupported => {
                            "keeps no earlier versions"
                        }
                    };
                    self.say("ok", what, &format!("{bucket}, honours conditional writes, {versions}"))?;
                    return Ok(true);
                }
                Err(error) => match self.after(what, error, Part::State).await? {
                    Next::Again => {}
                    Next::Change => return Ok(false),
                    Next::Keep => return Ok(true),
                },
            }
        }
    }
}

fn url(text: &str) -> std::result::Result<Option<MirrorUrl>, String> {
    if text == NONE {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|e| format!("{e}; write it like s3://BUCKET/PREFIX, or none"))
}
