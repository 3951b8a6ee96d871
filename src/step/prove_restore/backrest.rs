//! pgBackRest on the prover: a configuration from the workspace alone, with the key that may only read.

use secrecy::{ExposeSecret as _, SecretString};

use crate::access::View;
use crate::access::s3::S3Identity;
use crate::diagnostic::{Error, Result, codes};
use crate::step::pgbackrest::{RepoPath, Stanza};
use crate::step::prover::{BASE, rclone};
use crate::workspace::Addressing;

/// The text of `pgbackrest.conf`.
pub(super) async fn configuration(view: &View<'_>, stanza: &Stanza, path: &RepoPath) -> Result<SecretString> {
    let s3 = rclone::s3(view)?;
    let none = || Error::new(codes::S3_SETTINGS, "hactl.toml has no [pgbackrest]").next("hactl check");
    let pgbackrest = view.workspace().pgbackrest.as_ref().ok_or_else(none)?;
    let (host, port) = rclone::endpoint(&s3.endpoint)?;
    let port = port.to_string();
    let (access, secret) = rclone::key(view, S3Identity::Restorer).await?;
    let pass = view.secret("pgbackrest.cipher_pass", &pgbackrest.cipher_pass).await?;
    let style = match s3.addressing {
        Addressing::Path => "path",
        Addressing::VirtualHost => "host",
    };
    let (lock, spool, ca) = (format!("{BASE}/lock"), format!("{BASE}/spool"), format!("{BASE}/ca.pem"));
    let mut lines = vec![
        ("lock-path", lock.as_str()),
        ("spool-path", &spool),
        ("log-level-file", "off"),
        ("repo1-type", "s3"),
        ("repo1-path", path.as_str()),
        ("repo1-s3-endpoint", &host),
        ("repo1-storage-port", &port),
        ("repo1-s3-bucket", &s3.bucket),
        ("repo1-s3-region", &s3.region),
        ("repo1-s3-uri-style", style),
        ("repo1-s3-key", access.expose_secret()),
        ("repo1-s3-key-secret", secret.expose_secret()),
        ("repo1-cipher-type", "aes-256-cbc"),
        ("repo1-cipher-pass", pass.expose_secret()),
    ];
    if s3.ca.is_some() {
        lines.push(("repo1-storage-ca-file", &ca));
    }
    let mut text = String::from("[global]\n");
    for (key, value) in lines {
        if value.is_empty() || value.trim() != value || value.contains(['\n', '\r', '\0']) {
            let what = format!("the value of {key} is empty, has spaces around it, or more than one line");
            return Err(Error::new(codes::S3_SETTINGS, what).state("nothing was changed"));
        }
        text.push_str(&format!("{key}={value}\n"));
    }
    text.push_str(&format!("\n[{}]\n", stanza.as_str()));
    Ok(text.into())
}
