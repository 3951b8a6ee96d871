//! SSH signatures, made and checked by `ssh-keygen -Y`, so that any SSH key (also one in an agent or on a token) can sign.
//!
//! Invariant: a signature counts only in hactl's own namespace, by a key that the allowed signers name for a principal
//! and that was valid at the time asked about. Nothing here knows what is signed.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::diagnostic::{Error, Result, codes};

/// What separates these signatures from any other use of the same key (`ssh-keygen -Y sign -n`).
pub const NAMESPACE: &str = "hactl-approval";

/// Who signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The principal, as the allowed signers name it.
    pub principal: String,
    /// The key's fingerprint, `SHA256:…`.
    pub key: String,
}

/// Signs `text` with the key at `key` (the private key, or the public one where an agent holds the private). A pass
/// phrase is asked for by `ssh-keygen` at the terminal.
///
/// # Errors
/// There is no `ssh-keygen`, or it did not sign.
pub fn sign(text: &str, key: &Path) -> Result<String> {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"]).arg(key);
    let ended = run(command, text)?;
    match String::from_utf8(ended.stdout) {
        Ok(signature) if ended.status.success() && !signature.is_empty() => Ok(signature),
        _ => Err(Error::new(codes::SIGNATURE, format!("ssh-keygen did not sign with {}", key.display()))
            .state("nothing was signed")
            .source(last_line(&ended.stderr))
            .next("name a key with --key: the private one, or the public one of a key in your agent")),
    }
}

/// Checks that `signature` is one of `text`, by a key that `signers` (the bytes of an `allowed_signers` file) allowed
/// at the time `at`. Days in the file are days in UTC.
///
/// # Errors
/// It is not, or there is no `ssh-keygen`.
pub fn verify(text: &str, signature: &str, signers: &[u8], at: Timestamp) -> Result<Signer> {
    let folder = tempfile::tempdir().map_err(cannot_try)?;
    let (allowed, file) = (folder.path().join("allowed_signers"), folder.path().join("signature"));
    std::fs::write(&file, signature).map_err(cannot_try)?;
    let at = at.to_zoned(TimeZone::UTC).strftime("-Overify-time=%Y%m%d%H%M%S").to_string();
    let keygen = |action: &str, signers: &[u8]| {
        std::fs::write(&allowed, signers).map_err(cannot_try)?;
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", action, "-n", NAMESPACE, &at, "-f"]).arg(&allowed).arg("-s").arg(&file);
        Ok(command)
    };

    // Asked of the whole file, `find-principals` names only the first line that fits, and a key may stand on several.
    let mut names = BTreeSet::new();
    let mut why_not = String::new();
    for line in signers.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let found = run(keygen("find-principals", line)?, text)?;
        if found.status.success() {
            let said = String::from_utf8_lossy(&found.stdout).into_owned();
            names.extend(said.split([',', '\n']).map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()));
        } else {
            why_not = last_line(&found.stderr);
        }
    }
    let principal = match names.pop_first() {
        Some(one) if names.is_empty() && !one.contains(['*', '?', '!']) => one,
        Some(one) => {
            let why =
                "the allowed signers name this key for several people or a pattern: nobody knows who signed";
            return Err(refused(why).source(std::iter::once(one).chain(names).collect::<Vec<_>>().join(", ")));
        }
        None => {
            let why = "the key that signed is not among the allowed signers, or was not at that time";
            return Err(refused(why).source(why_not));
        }
    };
    let mut command = keygen("verify", signers)?;
    command.args(["-I", &principal]);
    let ended = run(command, text)?;
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    let key = said.split_whitespace().find(|word| word.starts_with("SHA256:"));
    match key.filter(|_| ended.status.success()) {
        Some(key) => Ok(Signer { principal, key: key.to_owned() }),
        None => Err(refused("the signature is not one of this text for approvals of hactl")
            .source(last_line(&ended.stderr))),
    }
}

fn run(mut command: Command, input: &str) -> Result<std::process::Output> {
    // Days without a zone in allowed_signers are read in the zone of the process: they must mean the same everywhere.
    let child = command.env("TZ", "UTC").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().map_err(|e| {
        Error::new(codes::SIGNATURE, "ssh-keygen could not be run")
            .state("nothing was signed or checked")
            .source(e)
            .next("install OpenSSH's client (Debian: openssh-client)")
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that refuses early need not read what it refuses; its exit status tells.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output().map_err(cannot_try)
}

fn refused(why: &str) -> Error {
    Error::new(codes::SIGNATURE, why)
        .state("nothing was approved")
        .next("look at allowed_signers and at who signed; hactl approve --help shows the way of a request")
}

fn cannot_try(e: std::io::Error) -> Error {
    Error::new(codes::SIGNATURE, "the signature could not be tried")
        .state("nothing was approved")
        .source(e)
        .next("look after the disk of /tmp, then the same command again")
}

fn last_line(said: &[u8]) -> String {
    String::from_utf8_lossy(said).trim().lines().last().unwrap_or("ssh-keygen said nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use jiff::Timestamp;

    use super::{NAMESPACE, sign, verify};

    fn key(folder: &Path, name: &str) -> (PathBuf, String) {
        let path = folder.join(name);
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]);
        assert!(made_by(&mut command, &path));
        let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        (path, public.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
    }

    fn made_by(command: &mut Command, path: &Path) -> bool {
        command.arg(path).status().unwrap().success()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn it_counts_for_this_text_in_this_namespace_by_this_key_at_that_time() {
        let folder = tempfile::tempdir().unwrap();
        let (alice, alice_public) = key(folder.path(), "alice");
        let (mallory, _) = key(folder.path(), "mallory");
        let signers = format!(
            "alice@acme namespaces=\"{NAMESPACE}\",valid-after=\"20260101\",valid-before=\"20270101\" {alice_public}\n"
        );
        let signers = signers.as_bytes();
        let (now, text) = (at("2026-06-01T12:00:00Z"), "do it\n");
        let signature = sign(text, &alice).unwrap();
        let signer = verify(text, &signature, signers, now).unwrap();
        assert_eq!(signer.principal, "alice@acme");
        assert!(signer.key.starts_with("SHA256:"));

        let refused = |text: &str, signature: &str, signers: &[u8], now: &str| {
            assert!(verify(text, signature, signers, at(now)).is_err(), "{text:?} at {now}");
        };
        refused("do it \n", &signature, signers, "2026-06-01T12:00:00Z");
        refused(text, &signature, signers, "2025-12-31T23:59:59Z");
        refused(text, &signature, signers, "2027-01-01T00:00:01Z");
        refused(text, &sign(text, &mallory).unwrap(), signers, "2026-06-01T12:00:00Z");
        refused(text, "nonsense", signers, "2026-06-01T12:00:00Z");
        let pattern = format!("*@acme {alice_public}\n");
        refused(text, &signature, pattern.as_bytes(), "2026-06-01T12:00:00Z");
        let two = format!("alice@acme,bob@acme {alice_public}\n");
        refused(text, &signature, two.as_bytes(), "2026-06-01T12:00:00Z");
        let two = format!("alice@acme {alice_public}\nbob@acme {alice_public}\n");
        refused(text, &signature, two.as_bytes(), "2026-06-01T12:00:00Z");
        let for_files = format!("alice@acme namespaces=\"file\" {alice_public}\n");
        refused(text, &signature, for_files.as_bytes(), "2026-06-01T12:00:00Z");

        // The same key's signature for another purpose is not an approval.
        let path = folder.path().join("text");
        std::fs::write(&path, text).unwrap();
        let sign = |namespace: &str| {
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(&alice);
            assert!(made_by(&mut command, &path));
            let signature = std::fs::read_to_string(folder.path().join("text.sig")).unwrap();
            std::fs::remove_file(folder.path().join("text.sig")).unwrap();
            signature
        };
        let anybody = format!("alice@acme {alice_public}\n");
        assert!(verify(text, &sign(NAMESPACE), anybody.as_bytes(), now).is_ok());
        refused(text, &sign("git"), anybody.as_bytes(), "2026-06-01T12:00:00Z");
    }
}
