//! What can be reached from the operator's machine itself, which stands outside every private network of the fleet.
//!
//! Invariant: nothing is sent but what it takes to connect, and, to an sshd, to be told its key. Every look has a deadline.

use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::View;
use crate::diagnostic::{Error, Result, codes};
use crate::transport::ssh::host_key::HostKey;
use crate::workspace::Host;

/// How long an answer may take. A packet that is dropped is sent again after 1 s and after 3 s.
const ANSWER: Duration = Duration::from_secs(5);

/// What came of a TCP connection that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knock {
    /// Somebody accepted it.
    Accepted,
    /// Somebody said no at once, or the network said that there is no way.
    Refused,
    /// Nobody said anything, as where a firewall drops packets.
    Silence,
}

impl View<'_> {
    /// Where hactl reaches a host, as an IP address.
    ///
    /// # Errors
    /// Its name cannot be looked up, or its server is not made yet.
    pub async fn ip_of(&self, host: &Host) -> Result<IpAddr> {
        let Some(address) = host.reached_at() else {
            let text = format!("the server of the host {} is not made yet", host.name);
            return Err(Error::new(codes::SSH_NO_SERVER, text).host(&host.name).state("nothing was changed"));
        };
        let to = (address.as_str(), host.port);
        let found = match timeout(ANSWER, lookup_host(to)).await {
            Ok(Ok(mut found)) => found.next(),
            Ok(Err(_)) | Err(_) => None,
        };
        found.map(|found| found.ip()).ok_or_else(|| {
            let text = format!("{address} cannot be looked up");
            Error::new(codes::SSH_UNREACHABLE, text).host(&host.name).state("nothing was changed")
        })
    }

    /// Tries one TCP connection from the operator's machine, and closes it.
    pub async fn knock(&self, address: IpAddr, port: u16) -> Knock {
        match timeout(ANSWER, TcpStream::connect((address, port))).await {
            Ok(Ok(_)) => Knock::Accepted,
            Ok(Err(_)) => Knock::Refused,
            Err(_elapsed) => Knock::Silence,
        }
    }

    /// The key of the wanted algorithm with which an sshd answers there; none where nobody answers. An sshd shuts out whoever
    /// often comes and does not log in: this is one connection, to be made some seconds apart.
    ///
    /// # Errors
    /// `ssh-keyscan` cannot be run.
    pub async fn ssh_key_at(&self, address: IpAddr, port: u16, like: &HostKey) -> Result<Option<HostKey>> {
        let failed = |e| Error::new(codes::SSH_RUNTIME, "cannot run ssh-keyscan").source(e);
        let seconds = ANSWER.as_secs().to_string();
        let mut scan = tokio::process::Command::new("ssh-keyscan");
        let algorithm = match like.algorithm() {
            "ssh-rsa" => "rsa",
            other if other.starts_with("ecdsa-") => "ecdsa",
            _ => "ed25519",
        };
        scan.args(["-T", &seconds, "-t", algorithm, "-p", &port.to_string(), "--", &address.to_string()]);
        scan.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let said = match timeout(ANSWER * 3, scan.output()).await {
            Ok(said) => said.map_err(failed)?.stdout,
            Err(_elapsed) => return Ok(None),
        };
        let said = String::from_utf8_lossy(&said);
        let mut lines = said.lines().filter(|line| !line.starts_with('#'));
        Ok(lines.find_map(|line| line.split_once(' ')?.1.trim().parse().ok()))
    }
}
