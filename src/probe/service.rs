//! Probes of what runs on a host: units, packages, ports, HTTP.

use serde::{Deserialize, Serialize};

use super::kind::{Measured, ProbeKind};
use crate::access::View;
use crate::diagnostic::{Result, codes};

/// A systemd unit is active.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitActive {
    name: String,
}

impl ProbeKind for UnitActive {
    const NAME: &'static str = "unit_active";
    const SUMMARY: &'static str = "a systemd unit is active";

    async fn measure(&self, view: &View<'_>) -> Result<Measured> {
        let unit = view.here()?.unit(&self.name).await?;
        let text = format!("{} is {} ({})", self.name, unit.active_state, unit.sub_state);
        Ok(Measured::within(unit.is_active(), text))
    }
}

/// A Debian package is installed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageInstalled {
    name: String,
}

impl ProbeKind for PackageInstalled {
    const NAME: &'static str = "package_installed";
    const SUMMARY: &'static str = "a Debian package is installed";

    async fn measure(&self, view: &View<'_>) -> Result<Measured> {
        Ok(match view.here()?.package(&self.name).await?.installed {
            Some(version) => Measured::holds(format!("{} {version} is installed", self.name)),
            None => Measured::fails(format!("the package {} is not installed", self.name)),
        })
    }
}

/// Something on the host waits for TCP connections on a port.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortListening {
    port: u16,
}

impl ProbeKind for PortListening {
    const NAME: &'static str = "port_listening";
    const SUMMARY: &'static str = "something on the host waits for TCP connections on a port";

    async fn measure(&self, view: &View<'_>) -> Result<Measured> {
        let listening = view.here()?.listening().await?;
        Ok(match listening.iter().find(|l| l.port == self.port) {
            Some(found) => Measured::holds(format!("port {} is listened on at {}", self.port, found.address)),
            None => Measured::fails(format!("nothing listens on port {}", self.port)),
        })
    }
}

/// An HTTP server, asked from the host, answers with a status.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    url: String,
    #[serde(default = "ok")]
    status: u16,
}

fn ok() -> u16 {
    200
}

impl ProbeKind for Http {
    const NAME: &'static str = "http";
    const SUMMARY: &'static str = "an HTTP server, asked from the host, answers with a status";

    async fn measure(&self, view: &View<'_>) -> Result<Measured> {
        match view.here()?.http_get(&self.url).await {
            Ok(answer) => {
                let text = format!("{} answers {} ({} wanted)", self.url, answer.status, self.status);
                Ok(Measured::within(answer.status == self.status, text))
            }
            // That nobody answers is the measurement; that the host cannot be asked is not.
            Err(error) if error.code() == codes::ATTEMPT_FAILED => {
                Ok(Measured::fails(format!("{} does not answer", self.url)))
            }
            Err(error) => Err(error),
        }
    }
}
