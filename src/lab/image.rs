//! The image: what every machine's disk begins as, cached by the digest of its recipe.
//!
//! Invariant: a folder named after a digest is complete. It is made under another name and renamed at the end, so a
//! killed build leaves nothing that looks like an image. One builder at a time; the others wait for it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::build::{self, RECIPE};
use super::exec::io;
use super::progress::Progress;
use crate::diagnostic::Result;
use crate::digest::Digest;

/// A complete image.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// The digest of the recipe it was made by.
    pub(crate) digest: Digest,
    /// Its folder: `base`, `repo`, `bin` and further layers.
    pub(crate) dir: PathBuf,
}

fn images() -> PathBuf {
    super::home().join("images")
}

fn wanted() -> Image {
    let digest = Digest::of(RECIPE.join("\n--\n"));
    Image { digest, dir: images().join(digest.short()) }
}

/// Whether the image that this hactl wants is there.
pub(crate) fn is_built() -> bool {
    wanted().dir.is_dir()
}

/// The image, built now where it is not there yet.
pub(crate) fn ensure(progress: &dyn Fn(Progress)) -> Result<Image> {
    let image = wanted();
    if image.dir.is_dir() {
        return Ok(image);
    }
    let images = images();
    fs::create_dir_all(&images).map_err(io("make", &images))?;
    let path = images.join("build.lock");
    let lock =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(io("open", &path))?;
    if lock.try_lock().is_err() {
        progress(Progress::WaitingForBuilder);
        lock.lock().map_err(io("lock", &path))?;
    }
    if image.dir.is_dir() {
        return Ok(image);
    }
    let began = Instant::now();
    let building = images.join("building");
    discard(&building)?;
    build::build(&building, progress)?;
    // What was written must be there before the name says that it is complete.
    super::exec::Tool::new("sync").arg("--file-system").arg(&building).within(super::exec::SLOW).run()?;
    fs::rename(&building, &image.dir).map_err(io("name", &image.dir))?;
    forget_others(&image)?;
    progress(Progress::Built(began.elapsed().as_secs()));
    Ok(image)
}

/// Removes images of other recipes that no lab stands on.
fn forget_others(new: &Image) -> Result<()> {
    let entries = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten();
    let labs = entries(super::home().join("labs"));
    let used: Vec<PathBuf> = labs.filter_map(|lab| fs::read_link(lab.path().join("image")).ok()).collect();
    for entry in entries(images()) {
        let path = entry.path();
        if entry.file_type().is_ok_and(|t| t.is_dir()) && path != new.dir && !used.contains(&path) {
            fs::remove_dir_all(&path).map_err(io("remove", &path))?;
        }
    }
    Ok(())
}

/// Removes what a killed build left. Its mounts were in a namespace of its own and went with it.
fn discard(building: &Path) -> Result<()> {
    match fs::remove_dir_all(building) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(io("remove", building)(e)),
    }
}
