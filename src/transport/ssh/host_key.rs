//! Host keys: fetched without logging in, pinned in the workspace's own file.
//!
//! Invariant: a key is pinned only on request, and never over another one. Pinning is atomic and durable. ssh itself
//! compares; nothing here decides whether a connection is good.

use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::str::FromStr;

use atomic_write_file::AtomicWriteFile;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::Ssh;
use super::master::{Late, Way};
use crate::diagnostic::{Error, Result, codes};
use crate::name::HostName;
use crate::workspace::Host;

/// Nobody can log in as this user: it is named only because ssh must name somebody before it can be refused.
const NOBODY: &str = "hactl-fetches-the-host-key";

/// A host's public key.
#[derive(Clone, PartialEq, Eq)]
pub struct HostKey {
    algorithm: String,
    blob: Vec<u8>,
}

/// What pinning did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinned {
    /// The key is pinned now.
    New,
    /// The same key was pinned already.
    Already,
}

impl HostKey {
    /// Its algorithm, such as `ssh-ed25519`.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// Its fingerprint as ssh shows it: `SHA256:…`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", base64(&Sha256::digest(&self.blob)).trim_end_matches('='))
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm, base64(&self.blob))
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm, self.fingerprint())
    }
}

/// The text is no public key.
#[derive(Debug, thiserror::Error)]
#[error("not a public key: an algorithm and base64 are wanted")]
pub struct NotAKey;

impl FromStr for HostKey {
    type Err = NotAKey;
    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let mut words = text.split_whitespace();
        let (algorithm, encoded) = words.next().zip(words.next()).ok_or(NotAKey)?;
        let blob = unbase64(encoded).ok_or(NotAKey)?;
        // The blob begins with the length and the name of the algorithm.
        let inner = blob.get(4..4 + algorithm.len()).ok_or(NotAKey)?;
        if inner == algorithm.as_bytes() {
            Ok(Self { algorithm: algorithm.to_owned(), blob })
        } else {
            Err(NotAKey)
        }
    }
}

/// The keys that are pinned for a host, by its name in `hactl.toml`.
///
/// # Errors
/// The file cannot be read.
pub fn pinned(known_hosts: &Path, host: &HostName) -> Result<Vec<HostKey>> {
    Ok(entries(&read(known_hosts)?, host))
}

fn entries(text: &str, host: &HostName) -> Vec<HostKey> {
    let keys = text.lines().filter(|line| !line.starts_with(['#', '@'])).filter_map(|line| {
        let (names, key) = line.trim().split_once(char::is_whitespace)?;
        names.split(',').any(|name| name == host.as_str()).then(|| key.parse().ok())?
    });
    keys.collect()
}

fn read(known_hosts: &Path) -> Result<String> {
    match std::fs::read_to_string(known_hosts) {
        Ok(text) => Ok(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(Error::new(codes::IO, format!("cannot read {}", known_hosts.display())).source(e)),
    }
}

/// Pins a key. Its file is replaced as a whole, durably.
///
/// # Errors
/// Another key is pinned already: both fingerprints are said, and nothing is changed. Or the file cannot be written.
pub fn pin(known_hosts: &Path, host: &HostName, key: &HostKey) -> Result<Pinned> {
    let mut text = read(known_hosts)?;
    let there = entries(&text, host);
    if there.contains(key) {
        return Ok(Pinned::Already);
    }
    if !there.is_empty() {
        let pinned: Vec<_> = there.iter().map(HostKey::fingerprint).collect();
        let what = format!("shows the key {}, but {} is pinned", key.fingerprint(), pinned.join(", "));
        return Err(Error::new(codes::SSH_KEY_CHANGED, what)
            .host(host)
            .state("the pinned key was kept, and nothing connects to this host")
            .next("compare at the host's own console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
            .next(format!(
                "if the host was really rebuilt: remove its line with ssh-keygen -R {host} -f {}, then: hactl host trust {host}",
                known_hosts.display()
            )));
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&format!("{host} {key}\n"));
    write(known_hosts, &text).map(|()| Pinned::New)
}

/// Pins a key beside those that are pinned already: the host is about to have this one, or one of the others.
///
/// # Errors
/// The file cannot be read or written.
pub fn pin_beside(known_hosts: &Path, host: &HostName, key: &HostKey) -> Result<()> {
    let mut text = read(known_hosts)?;
    if entries(&text, host).contains(key) {
        return Ok(());
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&format!("{host} {key}\n"));
    write(known_hosts, &text)
}

/// Unpins those keys of a host that `which` names. Lines that name other hosts too are left alone.
///
/// # Errors
/// The file cannot be read or written.
pub fn unpin(known_hosts: &Path, host: &HostName, which: impl Fn(&HostKey) -> bool) -> Result<()> {
    let text = read(known_hosts)?;
    let goes = |line: &&str| {
        line.trim().split_once(char::is_whitespace).is_some_and(|(name, key)| {
            name == host.as_str() && key.parse().is_ok_and(|key: HostKey| which(&key))
        })
    };
    if !text.lines().any(|line| goes(&line)) {
        return Ok(());
    }
    let stays: String = text.lines().filter(|line| !goes(line)).map(|line| format!("{line}\n")).collect();
    write(known_hosts, &stays)
}

fn write(known_hosts: &Path, text: &str) -> Result<()> {
    let written = || -> std::io::Result<()> {
        if let Some(folder) = known_hosts.parent() {
            crate::journal::dir::private_folder(folder)?;
        }
        let mut file = AtomicWriteFile::open(known_hosts)?;
        file.write_all(text.as_bytes())?;
        file.commit()
    };
    written().map_err(|e| {
        Error::new(codes::IO, format!("cannot write {}", known_hosts.display()))
            .source(e)
            .state("the pinned keys are as they were")
    })
}

impl Ssh {
    /// Asks a host for its key, through its jump host where it has one (which must be pinned), without logging in.
    ///
    /// # Errors
    /// The host or its jump host cannot be reached.
    pub async fn fetch_host_key(&self, host: &Host) -> Result<HostKey> {
        self.made(host)?;
        let (config, runtime) = self.runtime()?;
        let way = Way { host, jumps: self.jumps(host, runtime), config, runtime, timing: self.timing() };
        let dir = runtime.subdir("k")?;
        let (known, log) = (dir.join("known"), dir.join("log"));
        let failed =
            |e: std::io::Error| Error::new(codes::SSH_RUNTIME, "cannot run ssh").host(&host.name).source(e);
        way.clear();
        let mut ssh = tokio::process::Command::new("ssh");
        ssh.arg("-F").arg(config).arg("-E").arg(&log);
        let mut option = std::ffi::OsString::from("UserKnownHostsFile=");
        option.push(&known);
        ssh.arg("-o").arg(option);
        // Only here may a key be new: it goes into a file of its own, and nothing that could log in is offered.
        for option in [
            "StrictHostKeyChecking=accept-new",
            "PubkeyAuthentication=no",
            "PreferredAuthentications=publickey",
            "IdentityFile=none",
        ] {
            ssh.args(["-o", option]);
        }
        ssh.args(["-N", "-T", "-l", NOBODY, "--", host.name.as_str()]);
        ssh.env_remove("SSH_AUTH_SOCK").env("LC_ALL", "C").process_group(0).kill_on_drop(true);
        ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = ssh.spawn().map_err(failed)?;
        // The key is written before the login is refused, so how ssh ends says nothing.
        let ended = timeout(way.limit(), child.wait()).await;
        match entries(&read(&known)?, &host.name).pop() {
            Some(key) => Ok(key),
            None => Err(match ended {
                Ok(Ok(_)) => way.trouble(&log, Late::No),
                Ok(Err(e)) => failed(e),
                Err(_elapsed) => way.trouble(&log, Late::Yes),
            }),
        }
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, b| word << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = (word >> (18 - 6 * place)) & 63;
            match ALPHABET.get(digit as usize) {
                Some(c) if place <= chunk.len() => text.push(char::from(*c)),
                Some(_) | None => text.push('='),
            }
        }
    }
    text
}

fn unbase64(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.trim_end_matches('=').bytes().collect();
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for chunk in digits.chunks(4) {
        let mut word = 0_u32;
        for digit in chunk {
            word = word << 6 | u32::try_from(ALPHABET.iter().position(|c| c == digit)?).ok()?;
        }
        word <<= 6 * (4 - chunk.len());
        let [_, a, b, c] = word.to_be_bytes();
        match chunk.len() {
            4 => bytes.extend([a, b, c]),
            3 => bytes.extend([a, b]),
            2 => bytes.push(a),
            _other => return None,
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{HostKey, Pinned, base64, pin, pinned, unbase64};
    use crate::diagnostic::codes;
    use crate::name::HostName;

    const ONE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    const TWO: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJK/JF5GxZVE1wR5vuLkLpvtmBYdRd0vnWYsQpb9yHXh";

    #[test]
    fn a_fingerprint_is_what_ssh_shows() {
        // The key of github.com, whose fingerprint is published.
        let key: HostKey = ONE.parse().unwrap();
        assert_eq!(key.fingerprint(), "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU");
        assert_eq!(key.to_string(), ONE);
        assert!(
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
                .parse::<HostKey>()
                .is_err()
        );
        assert!("ssh-ed25519 !!!".parse::<HostKey>().is_err());
    }

    #[test]
    fn base64_goes_there_and_back() {
        for length in 0..20 {
            let bytes: Vec<u8> = (0..length).map(|n: u8| n.wrapping_mul(37)).collect();
            assert_eq!(unbase64(&base64(&bytes)).as_deref(), Some(bytes.as_slice()));
        }
        assert_eq!(base64(b"hello"), "aGVsbG8=");
    }

    #[test]
    fn another_key_is_never_pinned_over_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known_hosts");
        let (one, two): (HostKey, HostKey) = (ONE.parse().unwrap(), TWO.parse().unwrap());
        let name = |text: &str| HostName::new(text).unwrap();
        std::fs::write(&file, format!("# comment\nother,10.0.0.9 {TWO}")).unwrap();
        assert_eq!(pin(&file, &name("node-1"), &one).unwrap(), Pinned::New);
        assert_eq!(pin(&file, &name("node-1"), &one).unwrap(), Pinned::Already);
        let error = pin(&file, &name("node-1"), &two).unwrap_err();
        assert_eq!(error.code(), codes::SSH_KEY_CHANGED);
        assert!(
            error.one_line().contains(&one.fingerprint()) && error.one_line().contains(&two.fingerprint())
        );
        assert_eq!(pinned(&file, &name("node-1")).unwrap().as_slice(), std::slice::from_ref(&one));
        // Beside it, while the host changes from one to the other; then the former one goes.
        super::pin_beside(&file, &name("node-1"), &two).unwrap();
        super::pin_beside(&file, &name("node-1"), &two).unwrap();
        assert_eq!(pinned(&file, &name("node-1")).unwrap(), [one.clone(), two.clone()]);
        super::unpin(&file, &name("node-1"), |key| *key == two).unwrap();
        assert_eq!(pinned(&file, &name("node-1")).unwrap(), [one]);
        assert_eq!(pinned(&file, &name("other")).unwrap(), [two]);
        assert_eq!(pinned(&dir.path().join("none"), &name("other")).unwrap(), []);
    }
}
