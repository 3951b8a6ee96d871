//! The project on the disk: replaced as a whole before a request is answered.

use std::path::Path;

use super::model::Project;
use crate::diagnostic::{Error, Result, codes};
use crate::lab::exec::io;
use crate::lab::state::replace;

/// Reads it; `None` where there is none yet.
pub(crate) fn load(path: &Path) -> Result<Option<Project>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io("read", path)(e)),
    };
    let unreadable = |why: String| {
        Error::new(codes::LAB_STATE, format!("{} cannot be read by this hactl", path.display()))
            .state("the lab's cloud was not started")
            .source(why)
    };
    let project: Project = serde_json::from_slice(&bytes).map_err(|e| unreadable(e.to_string()))?;
    if !project.is_known_version() {
        return Err(unreadable("it was written by another version".to_owned()));
    }
    Ok(Some(project))
}

/// Replaces it. Only its owner may read it: user data can hold keys.
pub(crate) fn save(path: &Path, project: &Project) -> Result<()> {
    let json = serde_json::to_vec(project)
        .map_err(|e| Error::new(codes::INTERNAL, "the lab cloud's project has no JSON form").source(e))?;
    replace(path, &json, 0o600)
}
