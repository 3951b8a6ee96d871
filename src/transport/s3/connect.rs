//! Building the clients: one TLS stack, a trust store that is either the workspace's CA or this machine's, deadlines.

use aws_credential_types::Credentials;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_sdk_s3::{Client, Config};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::ExposeSecret as _;

use super::{Addressing, Deadlines, S3Credential, S3Settings};
use crate::diagnostic::{Error, Result, codes};
use crate::transport::faulty::Faulty;

/// Enough to get over a lost connection; a server that is away is reported rather than waited for.
const READ_ATTEMPTS: u32 = 3;

/// The client that tries again, and the one that does not.
pub(super) fn clients(
    settings: &S3Settings,
    credential: &S3Credential,
    deadlines: Deadlines,
    faulty: Option<&Faulty>,
) -> Result<(Client, Client)> {
    if !settings.endpoint.starts_with("https://") {
        return Err(refused(settings, "it does not begin with https://, and pgBackRest speaks nothing else"));
    }
    let mut http = http_client(settings)?;
    if let Some(faulty) = faulty {
        http = faulty.client(http);
    }
    let mut base = config(settings, credential, deadlines).http_client(http);
    if let Some(faulty) = faulty {
        base = base.time_source(faulty.clone());
    }
    let reads = base.clone().retry_config(RetryConfig::standard().with_max_attempts(READ_ATTEMPTS)).build();
    let writes = base.retry_config(RetryConfig::disabled()).build();
    Ok((Client::from_conf(reads), Client::from_conf(writes)))
}

fn config(settings: &S3Settings, credential: &S3Credential, deadlines: Deadlines) -> Builder {
    let credential = Credentials::new(
        credential.access_key.expose_secret(),
        credential.secret_key.expose_secret(),
        None,
        None,
        "hactl workspace",
    );
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(deadlines.connect)
        .operation_attempt_timeout(deadlines.attempt)
        .operation_timeout(deadlines.call)
        .build();
    Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(&settings.endpoint)
        .region(Region::new(settings.region.clone()))
        .credentials_provider(credential)
        .force_path_style(match settings.addressing {
            Addressing::Path => true,
            Addressing::VirtualHost => false,
        })
        // The default trailers are refused by Hetzner Object Storage and some Ceph.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        // Bodies have a deadline of their own, for silence; a slow link is no failure.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(timeouts)
}

fn http_client(settings: &S3Settings) -> Result<SharedHttpClient> {
    let store = match &settings.ca_pem {
        Some(pem) => {
            check_ca(settings, pem)?;
            TrustStore::empty().with_pem_certificate(pem.clone())
        }
        None => {
            let (usable, _) = RootCertStore::empty()
                .add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if usable == 0 {
                return Err(refused(settings, "this machine trusts no certificate authority")
                    .next("install the package ca-certificates, or set `ca` in [s3]"));
            }
            TrustStore::empty().with_native_roots(true)
        }
    };
    let context = TlsContext::builder()
        .with_trust_store(store)
        .build()
        .map_err(|e| refused(settings, "its trust store cannot be made").source(e))?;
    Ok(aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .build_https())
}

/// The connector would panic on what this refuses.
fn check_ca(settings: &S3Settings, pem: &[u8]) -> Result<()> {
    let wrong = |why: String| {
        refused(settings, &why).next("point `ca` in [s3] at the PEM file of the certificate authority")
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| wrong(format!("the CA file is not PEM: {e}")))?;
        roots.add(certificate).map_err(|e| wrong(format!("the CA file holds no usable certificate: {e}")))?;
    }
    if roots.is_empty() { Err(wrong("the CA file holds no certificate".into())) } else { Ok(()) }
}

fn refused(settings: &S3Settings, why: &str) -> Error {
    Error::new(codes::S3_SETTINGS, format!("cannot use the S3 endpoint {}: {why}", settings.endpoint))
        .state("nothing was sent")
}
