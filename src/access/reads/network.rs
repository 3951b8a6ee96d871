//! What listens on a host, and what it answers by HTTP.

use std::time::Duration;

use super::HostView;
use crate::diagnostic::Result;
use crate::transport::ssh::Command;

/// A socket that waits for TCP connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address; `*` and `[::]` are all of them.
    pub address: String,
    /// The port.
    pub port: u16,
    /// The process, where it is known.
    pub process: Option<String>,
}

/// The answer to an HTTP GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// Its status, such as 200.
    pub status: u16,
    /// Its body, at most 1 MiB.
    pub body: Vec<u8>,
}

impl HostView<'_> {
    /// The sockets that wait for TCP connections.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn listening(&self) -> Result<Vec<Listener>> {
        let text = self.ask_ok(&Command::new("ss").arg("-Hltnp"), "cannot see what listens").await?.text();
        text.lines().map(|line| parse_ss(line).ok_or_else(|| self.odd("ss", line))).collect()
    }

    /// What an HTTP server that the host itself reaches answers to a GET. Redirects are not followed; TLS
    /// certificates are checked against the host's own authorities.
    ///
    /// # Errors
    /// Nobody answers within ten seconds.
    pub async fn http_get(&self, url: &str) -> Result<HttpAnswer> {
        let get = Command::new("curl")
            .args(["--silent", "--show-error", "--disable", "--noproxy", "*", "--proto", "=http,https"])
            .args(["--max-time", "10", "--max-filesize", "1048576", "--output", "-"])
            .args(["--write-out", "\n%{http_code}", "--url", url])
            .within(Duration::from_secs(15));
        let mut body = self.ask_ok(&get, &format!("no answer from {url}")).await?.stdout.bytes;
        let cut = body.iter().rposition(|b| *b == b'\n').unwrap_or(0);
        let status = String::from_utf8_lossy(&body.split_off(cut)).trim().to_owned();
        let status = status.parse().map_err(|_| self.odd("an HTTP status", &status))?;
        Ok(HttpAnswer { status, body })
    }
}

fn parse_ss(line: &str) -> Option<Listener> {
    let mut fields = line.split_whitespace().skip(3);
    let (address, port) = fields.next()?.rsplit_once(':')?;
    let process = fields.nth(1).and_then(|users| users.split('"').nth(1)).map(str::to_owned);
    Some(Listener { address: address.to_owned(), port: port.parse().ok()?, process })
}

#[cfg(test)]
mod tests {
    use super::parse_ss;

    #[test]
    fn a_listener_is_read() {
        let l = parse_ss(r#"LISTEN 0 244 127.0.0.1:5432 0.0.0.0:* users:(("postgres",pid=1,fd=6))"#).unwrap();
        assert_eq!((l.address.as_str(), l.port, l.process.as_deref()), ("127.0.0.1", 5432, Some("postgres")));
        let l = parse_ss("LISTEN 0 128 [::]:22 [::]:*").unwrap();
        assert_eq!((l.address.as_str(), l.port, l.process), ("[::]", 22, None));
        assert_eq!(parse_ss("odd"), None);
    }
}
