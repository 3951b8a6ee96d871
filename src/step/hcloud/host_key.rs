//! The SSH host key that a new server is given, so that the very first connection to it can be checked.
//!
//! Invariant: the private key is in memory, encrypted in the workspace, or in the request that makes the server; it is
//! made once for a server's name, and never replaced while it is in use.

use std::fmt::Write as _;

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroizing};

use super::ObjectName;
use crate::access::{Hands, View};
use crate::diagnostic::{Error, Result, codes};
use crate::name::SecretName;
use crate::sealed;
use crate::step::Failure;
use crate::transport::ssh::host_key::{HostKey, base64};

const ALGORITHM: &[u8] = b"ssh-ed25519";

/// The name under which the key of a server is kept.
pub(super) fn secret_name(server: &ObjectName) -> Result<SecretName> {
    SecretName::new(&format!("host-key.{server}")).map_err(|e| {
        let text = format!("the server name {server:?} cannot be a part of a secret's name: {e}");
        Error::new(codes::FILE_BAD_VALUE, text)
    })
}

/// A private host key in OpenSSH's own format, and its public half.
pub(super) struct MadeKey {
    pub(super) private: SecretString,
    pub(super) public: HostKey,
}

/// The key of a server: the one that is kept, else a new one, which is kept before anybody else sees it. What is kept is
/// its seed alone: the public half is told to everybody, and would be taken out of that where it is a part of the secret.
pub(super) async fn kept_or_made(hands: &Hands<'_>, server: &ObjectName) -> Result<MadeKey, Failure> {
    let name = secret_name(server).map_err(Failure::NotStarted)?;
    let sealing = hands.sealing();
    if sealing.digest(&name).map_err(Failure::NotStarted)?.is_none() {
        let mut seed = Zeroizing::new([0_u8; 32]);
        sealed::random(&mut *seed).map_err(Failure::NotStarted)?;
        let text = SecretString::from(hex::encode(*seed));
        sealing.seal(&name, &text).map_err(Failure::NotStarted)?;
    }
    // As a resume will find it, not as it was made: a key that cannot be opened again is noticed now.
    kept(hands, server).await.map_err(Failure::NotStarted)?.ok_or_else(|| {
        Failure::NotStarted(Error::new(codes::SECRET_MISSING, format!("the secret {name} was not kept")))
    })
}

/// The key of a server, where one is kept.
pub(super) async fn kept(view: &View<'_>, server: &ObjectName) -> Result<Option<MadeKey>> {
    let name = secret_name(server)?;
    if view.sealed().digest(&name)?.is_none() {
        return Ok(None);
    }
    let text = view.kept_secret(&name).await?;
    let mut seed = Zeroizing::new([0_u8; 32]);
    hex::decode_to_slice(text.expose_secret(), &mut *seed).map_err(|_| {
        Error::new(codes::SECRET_DAMAGED, format!("the secret {name} is no seed of a host key"))
    })?;
    from_seed(&seed, server.as_str()).map(Some)
}

/// OpenSSH's format of a private key that is not encrypted: a header, the public key, and a block of both.
fn from_seed(seed: &[u8; 32], comment: &str) -> Result<MadeKey> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed)
        .map_err(|e| Error::new(codes::INTERNAL, format!("no key can be made: {e}")))?;
    let point = pair.public_key().as_ref();
    let mut public = Vec::new();
    put(&mut public, ALGORITHM);
    put(&mut public, point);
    let mut block = Zeroizing::new(Vec::new());
    // The same number twice: by it a reader knows that it decrypted rightly. Here nothing is encrypted.
    block.extend([0_u8; 8]);
    put(&mut block, ALGORITHM);
    put(&mut block, point);
    put(&mut block, &Zeroizing::new([seed.as_slice(), point].concat()));
    put(&mut block, comment.as_bytes());
    let missing = (8 - block.len() % 8) % 8;
    block.extend((1_u8..).take(missing));
    let mut whole = Zeroizing::new(b"openssh-key-v1\0".to_vec());
    put(&mut whole, b"none");
    put(&mut whole, b"none");
    put(&mut whole, b"");
    whole.extend(1_u32.to_be_bytes());
    put(&mut whole, &public);
    put(&mut whole, &block);
    let encoded = Zeroizing::new(base64(&whole));
    let mut text = Zeroizing::new(String::from("-----BEGIN OPENSSH PRIVATE KEY-----\n"));
    for line in encoded.as_bytes().chunks(70) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str("-----END OPENSSH PRIVATE KEY-----\n");
    let line = format!("ssh-ed25519 {}", base64(&public));
    let public = line.parse().map_err(|e| Error::new(codes::INTERNAL, "the made key is none").source(e))?;
    Ok(MadeKey { private: SecretString::from(text.as_str()), public })
}

fn put(to: &mut Vec<u8>, part: &[u8]) {
    let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
    to.extend(length.to_be_bytes());
    to.extend(part);
}

/// The cloud-config that gives a server its host key, after the operator's own. It holds the private key.
pub(super) fn user_data(own: Option<&str>, key: &MadeKey) -> SecretString {
    let mut text = Zeroizing::new(own.unwrap_or("#cloud-config").trim_end().to_owned());
    text.push_str("\nssh_deletekeys: true\nssh_keys:\n  ed25519_private: |\n");
    for line in key.private.expose_secret().lines() {
        text.push_str("    ");
        text.push_str(line);
        text.push('\n');
    }
    // Writing to a text does not fail.
    let _ = writeln!(text, "  ed25519_public: {}", key.public);
    SecretString::from(text.as_str())
}

/// Why the host key cannot be put behind this user data, where it cannot.
pub(super) fn wrong_user_data(text: &str) -> Option<&'static str> {
    const OURS: [&str; 2] = ["ssh_keys", "ssh_deletekeys"];
    let mut lines = text.lines();
    if lines.next().map(str::trim_end) != Some("#cloud-config") {
        return Some("it must be a cloud-config, whose first line is #cloud-config");
    }
    if text.lines().any(|line| OURS.iter().any(|key| line.trim_matches(['"', '\'']).starts_with(key))) {
        return Some("ssh_keys and ssh_deletekeys are hactl's: it gives the server its host key by them");
    }
    if text.lines().any(|line| line.starts_with(['{', '[', '%']) || line == "---" || line == "...") {
        return Some("it must be plain keys, one below the other: hactl adds its own behind them");
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt as _;
    use std::process::Command;

    use secrecy::ExposeSecret as _;

    use super::{from_seed, user_data, wrong_user_data};

    #[test]
    fn a_key_is_one_that_openssh_reads_and_says_the_same_of() {
        use std::io::Write as _;

        let folder = tempfile::tempdir().unwrap();
        for (number, comment) in ["", "a", "cell0-node-2", "123456"].into_iter().enumerate() {
            let made = from_seed(&[u8::try_from(number).unwrap(); 32], comment).unwrap();
            let path = folder.path().join(format!("key-{comment}"));
            let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            file.unwrap().write_all(made.private.expose_secret().as_bytes()).unwrap();
            let ran = Command::new("ssh-keygen").args(["-y", "-f"]).arg(&path).output().unwrap();
            let said = String::from_utf8(ran.stdout).unwrap();
            assert!(said.starts_with(&made.public.to_string()), "{said}");
        }
    }

    #[test]
    fn user_data_brings_the_key_and_the_operator_s_own() {
        let key = from_seed(&[7; 32], "x").unwrap();
        let data = user_data(Some("#cloud-config\npackages: [jq]\n"), &key);
        let text = data.expose_secret();
        assert!(text.starts_with("#cloud-config\npackages: [jq]\nssh_deletekeys: true\nssh_keys:\n"));
        assert!(text.contains("    -----BEGIN OPENSSH PRIVATE KEY-----\n") && text.ends_with('\n'));
        assert!(text.contains(&format!("  ed25519_public: {}\n", key.public)));
        assert!(user_data(None, &key).expose_secret().starts_with("#cloud-config\nssh_deletekeys"));
        assert_eq!(wrong_user_data("#cloud-config\nusers:\n  - name: ops\n"), None);
        for wrong in [
            "#!/bin/sh\n",
            "#cloud-config\nssh_keys: {}\n",
            "#cloud-config\n{a: b}\n",
            "",
            "#cloud-config\n---\n",
        ] {
            assert!(wrong_user_data(wrong).is_some(), "{wrong}");
        }
    }
}
