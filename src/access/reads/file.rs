//! Files and folders.

use super::HostView;
use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::transport::ssh::Command;

/// The largest file that is read whole.
pub const MAX_FILE: u64 = 4 * 1024 * 1024;

/// What a path is; symbolic links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A file.
    Regular,
    /// A folder.
    Directory,
    /// A socket, a device, a pipe.
    Special,
}

/// What is known of a file beside its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// What it is.
    pub kind: FileKind,
    /// The owner's name.
    pub owner: String,
    /// The group's name.
    pub group: String,
    /// The permission bits.
    pub mode: u32,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last changed, in seconds since 1970.
    pub modified: i64,
}

/// A file with its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSeen {
    /// What is known beside its content.
    pub facts: FileFacts,
    /// Its content.
    pub bytes: Vec<u8>,
    /// The content's digest.
    pub digest: Digest,
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name.
    pub name: String,
    /// What it is.
    pub facts: FileFacts,
}

const LIST: &str = r#"set -eu; export LC_ALL=C
[ -d "$1" ] || { echo absent; exit 0; }
echo present
find -L "$1" -mindepth 1 -maxdepth 1 -printf '%y|%u|%g|%m|%s|%Ts|%f\0'"#;

impl HostView<'_> {
    /// A file with its content, if it is there.
    ///
    /// # Errors
    /// It is no regular file, is larger than [`MAX_FILE`], or cannot be read.
    pub async fn file(&self, path: &str) -> Result<Option<FileSeen>> {
        let answer = self.ask_file(path, MAX_FILE + 1).await?.stdout.bytes;
        let Some((line, content)) = split_line(&answer) else {
            return Err(self.odd("the facts of a file", &String::from_utf8_lossy(&answer)));
        };
        if line == "absent" || line == "dangling" {
            return Ok(None);
        }
        let facts = FileFacts::parse(&line).ok_or_else(|| self.odd("the facts of a file", &line))?;
        if facts.kind != FileKind::Regular {
            return Err(Error::new(codes::SSH_READ, format!("{path} is no regular file")).host(self.name()));
        }
        if content.len() as u64 > MAX_FILE {
            let what = format!("{path} is larger than the {MAX_FILE} bytes that are read at once");
            return Err(Error::new(codes::SSH_TOO_MUCH, what).host(self.name()));
        }
        Ok(Some(FileSeen { facts, digest: Digest::of(content), bytes: content.to_vec() }))
    }

    /// A file's text, if it is there.
    ///
    /// # Errors
    /// As [`Self::file`]; or it is not UTF-8.
    pub async fn text(&self, path: &str) -> Result<Option<String>> {
        match self.file(path).await? {
            None => Ok(None),
            Some(seen) => String::from_utf8(seen.bytes).map(Some).map_err(|_| {
                Error::new(codes::SSH_READ, format!("{path} is not UTF-8 text")).host(self.name())
            }),
        }
    }

    /// What is known of a path beside what is in it; nothing where it is not there.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub async fn file_facts(&self, path: &str) -> Result<Option<FileFacts>> {
        let line = self.ask_file(path, 0).await?.text();
        if line == "absent" || line == "dangling" {
            return Ok(None);
        }
        FileFacts::parse(&line).map(Some).ok_or_else(|| self.odd("the facts of a file", &line))
    }

    /// What is in a folder, by name; nothing where there is no such folder.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn directory(&self, path: &str) -> Result<Option<Vec<DirEntry>>> {
        let read = Command::new("sh").args(["-c", LIST, "hactl-list", path]);
        let answer = self.ask_ok(&read, &format!("cannot list {path}")).await?.stdout.bytes;
        let Some((line, rest)) = split_line(&answer) else {
            return Err(self.odd("a folder", &String::from_utf8_lossy(&answer)));
        };
        if line == "absent" {
            return Ok(None);
        }
        let rest = String::from_utf8_lossy(rest);
        let mut entries = Vec::new();
        for item in rest.split_terminator('\0') {
            let entry = DirEntry::parse(item).ok_or_else(|| self.odd("an entry of a folder", item))?;
            entries.push(entry);
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Some(entries))
    }
}

/// The first line as text, and what follows it.
fn split_line(bytes: &[u8]) -> Option<(String, &[u8])> {
    let end = bytes.iter().position(|b| *b == b'\n')?;
    let (line, rest) = bytes.split_at(end);
    Some((String::from_utf8_lossy(line).into_owned(), rest.get(1..)?))
}

impl FileFacts {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('|');
        let kind = match fields.next()? {
            "regular file" | "regular empty file" | "f" => FileKind::Regular,
            "directory" | "d" => FileKind::Directory,
            _other => FileKind::Special,
        };
        let (owner, group) = (fields.next()?.to_owned(), fields.next()?.to_owned());
        let mode = u32::from_str_radix(fields.next()?, 8).ok()?;
        let (size, modified) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Self { kind, owner, group, mode, size, modified })
    }
}

impl DirEntry {
    fn parse(item: &str) -> Option<Self> {
        let (index, _) = item.match_indices('|').nth(5)?;
        let (facts, name) = item.split_at(index);
        Some(Self { name: name.get(1..)?.to_owned(), facts: FileFacts::parse(facts)? })
    }
}

#[cfg(test)]
mod tests {
    use super::{DirEntry, FileFacts, FileKind};

    #[test]
    fn facts_are_read_strictly() {
        let facts = FileFacts::parse("regular file|root|postgres|640|12|1700000000").unwrap();
        assert_eq!((facts.kind, facts.mode, facts.size), (FileKind::Regular, 0o640, 12));
        assert_eq!(facts.group, "postgres");
        assert_eq!(FileFacts::parse("regular file|root|postgres|999|12|1"), None);
        assert_eq!(FileFacts::parse("regular file|root"), None);
        let entry = DirEntry::parse("d|root|root|755|4096|1700000000|a|b").unwrap();
        assert_eq!((entry.name.as_str(), entry.facts.kind), ("a|b", FileKind::Directory));
    }
}
