//! The runbooks that are embedded in the binary.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Error, Result, codes};
use crate::document::{Document, suggest};
use crate::name::RunbookName;

use super::load::folded;

/// Name and text of each.
const ALL: &[(&str, &str)] = &[("cell0", include_str!("../../runbooks/cell0.toml"))];

/// What `hactl runbook list` shows of one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// One line.
    pub title: String,
    /// What it is for.
    pub summary: String,
}

/// The names of all.
#[must_use]
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|(name, _)| *name).collect()
}

/// The text of one.
#[must_use]
pub fn text(name: &RunbookName) -> Option<&'static str> {
    ALL.iter().find(|(known, _)| *known == name.as_str()).map(|(_, text)| *text)
}

/// What each is for.
#[must_use]
pub fn list() -> Vec<Summary> {
    let summary = |(name, text): &(&str, &str)| {
        let document = Document::parse(name, text.as_bytes());
        let read = |key| {
            let node = document.root.get("runbook").and_then(|about| about.get(key));
            folded(node.and_then(|node| node.as_str()).unwrap_or_default())
        };
        Summary { name: (*name).to_owned(), title: read("title"), summary: read("summary") }
    };
    ALL.iter().map(summary).collect()
}

/// The text of one, for `hactl runbook show`.
///
/// # Errors
/// There is none of that name.
pub fn show(name: &str) -> Result<&'static str> {
    let found = RunbookName::new(name).ok().and_then(|name| text(&name));
    found.ok_or_else(|| {
        Error::new(codes::RUNBOOK_NOT_FOUND, format!("there is no bundled runbook {name:?}"))
            .next(suggest(name, &names()))
            .next("hactl runbook list")
    })
}

/// Writes one as `<name>.toml` into `folder`, to be changed; nothing is overwritten.
///
/// # Errors
/// There is none of that name, or the file is there already.
pub fn eject(name: &str, folder: &Path) -> Result<PathBuf> {
    let text = show(name)?;
    let path = folder.join(format!("{name}.toml"));
    let written = std::fs::File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Ok(()) => Ok(path),
        Err(error) => Err(Error::new(codes::IO, format!("{} could not be written", path.display()))
            .state("nothing was overwritten")
            .source(error)
            .next("move the file away, or eject into another folder")),
    }
}

#[cfg(test)]
mod tests {
    use super::{eject, list, names, show};

    #[test]
    fn every_bundled_runbook_is_listed_with_its_title_and_ejected_once() {
        let folder = tempfile::tempdir().unwrap();
        for (summary, name) in list().iter().zip(names()) {
            assert_eq!(summary.name, name);
            assert!(!summary.title.is_empty() && !summary.summary.is_empty(), "{name}");
            let path = eject(name, folder.path()).unwrap();
            assert_eq!(std::fs::read_to_string(path).unwrap(), show(name).unwrap());
            assert!(eject(name, folder.path()).is_err());
        }
        assert!(show("cel0").unwrap_err().next_moves()[0].contains("cell0"));
    }
}
