//! The object store: SeaweedFS as an S3 server over TLS, with a certificate authority of the lab's own.
//!
//! Invariant: only the S3 port listens on the bridge, and it wants a signature; its other parts listen on the
//! loopback of its own namespace. Two credentials exist: one that may do everything, one that may only read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::cloud;
use super::exec::{Tool, io};
use super::state::{MachineState, replace};
use crate::diagnostic::{Error, Result, codes};

/// Its name in every machine's /etc/hosts, and in its certificate.
pub(crate) const NAME: &str = "s3.lab";
/// The one bucket that every machine also finds by a name of its own, for addressing it by that: `backups`.
pub(crate) const BUCKET_NAME: &str = "backups.s3.lab";
/// Where it answers.
pub(crate) const PORT: u16 = 8443;
/// How long the lab's certificates are valid, in days.
const DAYS: &str = "825";

/// A pair of credentials, by whom it is for.
pub(crate) const OPERATOR: &str = "operator";
/// The credential with which a restore reads, and which must not be able to write.
pub(crate) const RESTORE: &str = "restore";

/// Makes the certificates and the credentials in the lab's `keys`.
pub(crate) fn prepare(keys: &Path, machine: &MachineState, gateway: std::net::Ipv4Addr) -> Result<()> {
    certificates(keys, machine, gateway)?;
    let mut identities = Vec::new();
    for (name, actions) in
        [(OPERATOR, &["Admin", "Read", "Write", "List", "Tagging"][..]), (RESTORE, &["Read", "List"][..])]
    {
        let (key, secret) = (format!("lab{}", random::<8>()?), random::<20>()?);
        replace(&keys.join(format!("s3-{name}.key")), key.as_bytes(), 0o600)?;
        replace(&keys.join(format!("s3-{name}.secret")), secret.as_bytes(), 0o600)?;
        identities.push(serde_json::json!({
            "name": name,
            "credentials": [{ "accessKey": key, "secretKey": secret }],
            "actions": actions,
        }));
    }
    let config = serde_json::json!({ "identities": identities }).to_string();
    replace(&keys.join("s3.json"), config.as_bytes(), 0o600)
}

/// So many random bytes, in hexadecimal.
pub(crate) fn random<const BYTES: usize>() -> Result<String> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|e| {
        Error::new(codes::INTERNAL, "this computer gives no random numbers").source(e.to_string())
    })?;
    Ok(hex::encode(bytes))
}

fn certificates(keys: &Path, machine: &MachineState, gateway: std::net::Ipv4Addr) -> Result<()> {
    let extensions = format!(
        "[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n\
         subjectKeyIdentifier=hash\n\
         [server]\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
         extendedKeyUsage=serverAuth\nsubjectAltName=DNS:{NAME},DNS:*.{NAME},DNS:{},IP:{}\n\
         [cloud]\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
         extendedKeyUsage=serverAuth\nsubjectAltName=DNS:{},IP:{gateway}\n",
        machine.name,
        machine.address,
        cloud::NAME
    );
    let file = keys.join("extensions.cnf");
    fs::write(&file, extensions).map_err(io("write", &file))?;
    let openssl = |line: &str| Tool::new("openssl").folder(keys).args(super::exec::words(line)).run();
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for (name, subject) in [("lab-ca", "/CN=lab-ca"), ("s3", "/CN=s3.lab"), ("cloud", "/CN=cloud.lab")] {
        openssl(&format!("req -new {new} -keyout {name}.key -out {name}.csr -subj {subject}"))?;
        let key = keys.join(format!("{name}.key"));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).map_err(io("protect", &key))?;
    }
    let sign = format!("-sha256 -days {DAYS} -extfile extensions.cnf");
    openssl(&format!("x509 -req -in lab-ca.csr -key lab-ca.key {sign} -extensions ca -out lab-ca.pem"))?;
    let by = "-CA lab-ca.pem -CAkey lab-ca.key -CAcreateserial";
    openssl(&format!("x509 -req -in s3.csr {by} {sign} -extensions server -out s3.pem"))?;
    openssl(&format!("x509 -req -in cloud.csr {by} {sign} -extensions cloud -out cloud.pem")).map(drop)
}
