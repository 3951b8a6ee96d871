//! A probe of a path.

use serde::{Deserialize, Serialize};

use super::kind::{Measured, ProbeKind};
use crate::access::View;
use crate::diagnostic::Result;

/// A path exists on the host, and, where that is said, holds a text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    path: String,
    #[serde(default)]
    contains: Option<String>,
}

impl ProbeKind for File {
    const NAME: &'static str = "file";
    const SUMMARY: &'static str = "a path exists and, where that is said, contains a text";

    async fn measure(&self, view: &View<'_>) -> Result<Measured> {
        let here = view.here()?;
        let path = &self.path;
        Ok(match &self.contains {
            None => match here.file_facts(path).await? {
                Some(_) => Measured::holds(format!("{path} is there")),
                None => Measured::fails(format!("{path} is not there")),
            },
            Some(wanted) => match here.text(path).await? {
                None => Measured::fails(format!("{path} is not there")),
                Some(text) => {
                    let found = text.contains(wanted.as_str());
                    Measured::within(
                        found,
                        format!("{path} {} {wanted:?}", if found { "contains" } else { "does not contain" }),
                    )
                }
            },
        })
    }
}
