//! The configuration of rclone: one remote named `s3`, with one of the workspace's two keys.

use secrecy::{ExposeSecret as _, SecretString};

use crate::access::View;
use crate::access::s3::S3Identity;
use crate::diagnostic::{Error, Result, codes};
use crate::workspace::{Addressing, S3Config};

/// The workspace's `[s3]`.
pub(in crate::step) fn s3<'a>(view: &View<'a>) -> Result<&'a S3Config> {
    let none = || Error::new(codes::S3_SETTINGS, "hactl.toml has no [s3]").next("hactl check");
    view.workspace().s3.as_ref().ok_or_else(none)
}

/// The two halves of a key.
pub(in crate::step) async fn key(view: &View<'_>, who: S3Identity) -> Result<(SecretString, SecretString)> {
    let s3 = s3(view)?;
    let (access, secret) = match (who, &s3.restore) {
        (S3Identity::Writer, _) => (&s3.access_key, &s3.secret_key),
        (S3Identity::Restorer, Some(key)) => (&key.access_key, &key.secret_key),
        (S3Identity::Restorer, None) => {
            let what = "the workspace has no credential for restores";
            let next = "make a key that can only read, and name it in [s3.restore]";
            return Err(Error::new(codes::S3_SETTINGS, what).next(next));
        }
    };
    Ok((view.secret("S3 access key", access).await?, view.secret("S3 secret key", secret).await?))
}

/// The certificate authority of the S3 server, where it has one of its own.
pub(in crate::step) fn authority(view: &View<'_>) -> Result<Option<Vec<u8>>> {
    let Some(path) = &s3(view)?.ca else { return Ok(None) };
    std::fs::read(view.workspace().path(path)).map(Some).map_err(|e| {
        let what = format!("cannot read the S3 server's certificate authority {}", path.display());
        Error::new(codes::IO, what).state("nothing was changed").source(e)
    })
}

/// The text of `rclone.conf`.
pub(in crate::step) async fn configuration(view: &View<'_>, who: S3Identity) -> Result<SecretString> {
    let s3 = s3(view)?;
    let (access, secret) = key(view, who).await?;
    let path_style = match s3.addressing {
        Addressing::Path => "true",
        Addressing::VirtualHost => "false",
    };
    let lines = [
        ("type", "s3"),
        ("provider", "Other"),
        ("access_key_id", access.expose_secret()),
        ("secret_access_key", secret.expose_secret()),
        ("endpoint", &s3.endpoint),
        ("region", &s3.region),
        ("force_path_style", path_style),
        // The key for restores may not make buckets, and the one that writes need not.
        ("no_check_bucket", "true"),
    ];
    let mut text = String::from("[s3]\n");
    for (name, value) in lines {
        if value.is_empty() || value.trim() != value || value.contains(['\n', '\r', '\0']) {
            let what = format!("the value of {name} is empty, has spaces around it, or more than one line");
            return Err(Error::new(codes::S3_SETTINGS, what).state("nothing was changed"));
        }
        text.push_str(&format!("{name} = {value}\n"));
    }
    Ok(text.into())
}

/// Host and port of an endpoint. Only HTTPS is spoken to it.
pub(in crate::step) fn endpoint(url: &str) -> Result<(String, u16)> {
    let refuse = |why: &str| {
        Error::new(
            codes::S3_SETTINGS,
            format!("the S3 endpoint {url:?} cannot be used from the prover: {why}"),
        )
        .state("nothing was changed")
    };
    let rest = url.strip_prefix("https://").ok_or_else(|| refuse("it is not HTTPS"))?.trim_end_matches('/');
    if rest.contains('/') {
        return Err(refuse("it has a path"));
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            (host, port.parse().map_err(|_| refuse("its port is no port"))?)
        }
        Some(_) | None => (rest, 443),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() { Err(refuse("it has no host")) } else { Ok((host.to_owned(), port)) }
}

#[cfg(test)]
mod tests {
    use super::endpoint;

    #[test]
    fn endpoints_are_taken_apart() {
        let parts = |url: &str| endpoint(url).map_err(|e| e.to_string());
        assert_eq!(parts("https://s3.lab:8443"), Ok(("s3.lab".into(), 8443)));
        assert_eq!(parts("https://objects.example/"), Ok(("objects.example".into(), 443)));
        assert_eq!(parts("https://[::1]:8443"), Ok(("::1".into(), 8443)));
        for bad in ["http://s3.lab", "https://", "https://s3.lab/path", "https://s3.lab:x"] {
            assert!(parts(bad).is_err(), "{bad}");
        }
    }
}
