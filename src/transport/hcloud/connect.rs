//! Building the HTTP client: one TLS stack, a trust store that is either the workspace's CA or this machine's, no
//! proxy, no redirects, and the token in every request.

use std::net::IpAddr;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Deadlines, HcloudSettings};
use crate::diagnostic::{Error, Result, codes};

pub(super) fn client(
    settings: &HcloudSettings,
    token: &SecretString,
    deadlines: Deadlines,
) -> Result<reqwest::Client> {
    check_endpoint(settings)?;
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| refused(settings, "TLS cannot be set up").source(e))?
        .with_root_certificates(roots(settings)?)
        .with_no_client_auth();
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(|_| {
        // The error would hold the token.
        Error::new(codes::HCLOUD_SETTINGS, "the token holds characters that no token has")
            .state("nothing was sent")
            .next("look at what `token` in [hcloud] refers to: one line, nothing else")
    })?;
    bearer.set_sensitive(true);
    reqwest::Client::builder()
        .use_preconfigured_tls(tls)
        .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
        .user_agent(concat!("hactl/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(deadlines.connect)
        .timeout(deadlines.request)
        .redirect(Policy::none())
        .no_proxy()
        .build()
        .map_err(|e| refused(settings, "the HTTP client cannot be made").source(e.without_url()))
}

/// True where a token may travel there: over TLS, or without leaving this machine.
pub(crate) fn is_private(endpoint: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(endpoint) else { return false };
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && !endpoint.ends_with('/');
    let here = url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
    match url.scheme() {
        "https" => plain,
        "http" => plain && here.is_some_and(|address| address.is_loopback()),
        _ => false,
    }
}

fn check_endpoint(settings: &HcloudSettings) -> Result<()> {
    if is_private(&settings.endpoint) {
        return Ok(());
    }
    Err(refused(settings, "https is wanted (http only to this machine itself), and no slash at the end"))
}

fn roots(settings: &HcloudSettings) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(pem) = &settings.ca_pem else {
        // Without TLS nobody is trusted, and reading whom this machine trusts takes longer than many requests.
        if !settings.endpoint.starts_with("https:") {
            return Ok(roots);
        }
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(refused(settings, "this machine trusts no certificate authority")
                .next("install the package ca-certificates, or set `ca` in [hcloud]"));
        }
        return Ok(roots);
    };
    let wrong = |why: String| {
        refused(settings, &why).next("point `ca` in [hcloud] at the PEM file of the certificate authority")
    };
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| wrong(format!("the CA file is not PEM: {e}")))?;
        roots.add(certificate).map_err(|e| wrong(format!("the CA file holds no usable certificate: {e}")))?;
    }
    if roots.is_empty() { Err(wrong("the CA file holds no certificate".into())) } else { Ok(roots) }
}

fn refused(settings: &HcloudSettings, why: &str) -> Error {
    let text = format!("cannot use the cloud endpoint {}: {why}", settings.endpoint);
    Error::new(codes::HCLOUD_SETTINGS, text).state("nothing was sent")
}

#[cfg(test)]
mod tests {
    use super::is_private;

    #[test]
    fn a_token_goes_over_tls_or_stays_on_this_machine() {
        for fine in [super::super::ENDPOINT, "http://127.0.0.1:8080/v1", "http://[::1]:1/v1"] {
            assert!(is_private(fine), "{fine}");
        }
        for wrong in [
            "http://api.hetzner.cloud/v1",
            "http://localhost.example/v1",
            "http://10.0.0.1/v1",
            "ftp://127.0.0.1/v1",
            "https://user:pass@api.example/v1",
            "https://api.example/v1/",
            "https://api.example/v1?x=1",
            "api.example",
            "",
        ] {
            assert!(!is_private(wrong), "{wrong}");
        }
    }
}
