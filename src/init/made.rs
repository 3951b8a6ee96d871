//! What `init` makes beside `hactl.toml`: keys and pass phrases, as files that their owner alone may read.
//!
//! Invariant: nothing that is there is touched, and what was made here is removed again unless it is [`Made::keep`]ed.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use secrecy::ExposeSecret as _;

use crate::diagnostic::{Error, Result, codes};

/// The files that were made so far.
#[derive(Debug)]
pub struct Made {
    root: PathBuf,
    paths: Vec<PathBuf>,
}

impl Made {
    /// Nothing yet, in this folder.
    #[must_use]
    pub fn in_folder(root: &Path) -> Self {
        Self { root: root.to_owned(), paths: Vec::new() }
    }

    /// A new SSH key at `name`, and the public one as a line.
    ///
    /// # Errors
    /// There is something of that name, or ssh-keygen cannot make it.
    pub fn ssh_key(&mut self, name: &str) -> Result<String> {
        let path = self.free(name)?;
        let public = path.with_extension("pub");
        if public.exists() {
            return Err(taken(&public));
        }
        self.paths.extend([path.clone(), public.clone()]);
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "hactl", "-f"]).arg(&path);
        let made = keygen.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output();
        let failed =
            |what: &str| Error::new(codes::IO, format!("ssh-keygen cannot make {}: {what}", path.display()));
        match made {
            Err(e) => Err(failed("it cannot be run").source(e).next("install openssh-client")),
            Ok(ran) if !ran.status.success() => Err(failed(String::from_utf8_lossy(&ran.stderr).trim())),
            Ok(_) => fs::read_to_string(&public)
                .map(|text| text.trim().to_owned())
                .map_err(|e| failed("no public key").source(e)),
        }
    }

    /// A new age identity at `name`, and its recipient.
    ///
    /// # Errors
    /// There is something of that name, or it cannot be written.
    pub fn age_identity(&mut self, name: &str) -> Result<String> {
        let identity = age::x25519::Identity::generate();
        let recipient = identity.to_public().to_string();
        self.secret(name, &format!("# public key: {recipient}\n{}\n", identity.to_string().expose_secret()))?;
        Ok(recipient)
    }

    /// A new pass phrase of 256 random bits at `name`.
    ///
    /// # Errors
    /// There is something of that name, or it cannot be written.
    pub fn pass_phrase(&mut self, name: &str) -> Result<()> {
        let mut bytes = [0; 32];
        crate::sealed::random(&mut bytes)?;
        self.secret(name, &format!("{}\n", hex::encode(bytes)))
    }

    /// All of it stays.
    pub fn keep(mut self) {
        self.paths.clear();
    }

    fn secret(&mut self, name: &str, text: &str) -> Result<()> {
        let path = self.free(name)?;
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| {
            self.paths.push(path.clone());
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.map_err(|e| Error::new(codes::IO, format!("cannot write {}", path.display())).source(e))
    }

    /// The path of a name that nothing has, with its folder made.
    fn free(&mut self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        if path.symlink_metadata().is_ok() {
            return Err(taken(&path));
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            fs::DirBuilder::new()
                .mode(0o700)
                .create(folder)
                .map_err(|e| Error::new(codes::IO, format!("cannot make {}", folder.display())).source(e))?;
            self.paths.push(folder.to_owned());
        }
        Ok(path)
    }
}

fn taken(path: &Path) -> Error {
    Error::new(codes::INIT_EXISTS, format!("{} is there already, and is not replaced", path.display()))
        .state("nothing was written")
        .next("name it as it is, with file:PATH, or move it away")
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.paths.iter().rev() {
            // What cannot be removed is a file of its own that nothing refers to; a folder goes where it is empty.
            let _ = if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
        }
    }
}
