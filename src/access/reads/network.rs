//! What listens on a host, and what it answers by HTTP.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::HostView;
use crate::diagnostic::Result;
use crate::transport::ssh::{Become, Command, Status};

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

/// How many packets were sent to be sent back, and how many were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinged {
    /// Sent.
    pub sent: u32,
    /// Come back.
    pub received: u32,
}

impl HostView<'_> {
    /// The host's own IPv4 addresses, those of the loopback left out.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn addresses(&self) -> Result<Vec<Ipv4Addr>> {
        let ip = Command::new("ip").args(["-4", "-o", "addr", "show", "scope", "global"]);
        let text = self.ask_ok(&ip, "cannot see the addresses").await?.text();
        text.lines().map(|line| parse_address(line).ok_or_else(|| self.odd("ip", line))).collect()
    }

    /// Sends three packets with so much in them from this host, none of which may be taken apart on its way.
    ///
    /// # Errors
    /// The host has no `ping`, or cannot be asked.
    pub async fn ping(&self, address: Ipv4Addr, payload: u16) -> Result<Pinged> {
        let ping = Command::new("ping")
            .args(["-n", "-q", "-M", "do", "-c", "3", "-i", "0.3", "-W", "2"])
            .args(["-s", &payload.to_string(), "--", &address.to_string()])
            .env("LC_ALL", "C")
            .run_as(Become::Root)
            .within(Duration::from_secs(20));
        let said = self.ask(&ping).await?;
        let text = said.text();
        match parse_ping(&text) {
            Some(pinged) => Ok(pinged),
            // Without a route nothing is sent and nothing is summed up.
            None if matches!(said.status, Status::Exited(1 | 2)) => Ok(Pinged { sent: 0, received: 0 }),
            None => Err(said.error("cannot ping").next("apt-get install iputils-ping    (on the host)")),
        }
    }

    /// Connects from this host to a TCP port, says a line, and reads one; nothing where nobody accepts.
    ///
    /// # Errors
    /// The host cannot be asked.
    pub async fn tcp_says(&self, address: Ipv4Addr, port: u16, line: &str) -> Result<Option<String>> {
        const SPEAK: &str = r#"exec 3<>"/dev/tcp/$1/$2" && printf '%s\n' "$3" >&3 && { IFS= read -r -t 2 said <&3 || :; printf '%s' "$said"; }"#;
        let speak = Command::new("timeout").args([
            "5",
            "bash",
            "-c",
            SPEAK,
            "hactl-look",
            &address.to_string(),
            &port.to_string(),
            line,
        ]);
        let said = self.ask(&speak).await?;
        Ok(said.succeeded().then(|| said.text().trim().to_owned()))
    }

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

/// `2: eth0    inet 10.0.1.2/24 brd … scope global eth0`.
fn parse_address(line: &str) -> Option<Ipv4Addr> {
    let mut words = line.split_whitespace().skip_while(|word| *word != "inet").skip(1);
    words.next()?.split('/').next()?.parse().ok()
}

/// `3 packets transmitted, 2 received, 33.3333% packet loss, time 402ms`.
fn parse_ping(text: &str) -> Option<Pinged> {
    let line = text.lines().find(|line| line.contains(" packets transmitted, "))?;
    let number = |part: &str| part.split_whitespace().next()?.parse::<u32>().ok();
    let (sent, rest) = line.split_once(" packets transmitted, ")?;
    let received = rest.split(", ").find(|part| part.ends_with(" received"))?;
    Some(Pinged { sent: number(sent)?, received: number(received)? })
}

fn parse_ss(line: &str) -> Option<Listener> {
    let mut fields = line.split_whitespace().skip(3);
    let (address, port) = fields.next()?.rsplit_once(':')?;
    let process = fields.nth(1).and_then(|users| users.split('"').nth(1)).map(str::to_owned);
    Some(Listener { address: address.to_owned(), port: port.parse().ok()?, process })
}

#[cfg(test)]
mod tests {
    use super::{Pinged, parse_address, parse_ping, parse_ss};

    #[test]
    fn what_ip_and_ping_print_is_read_strictly() {
        let line = "2: eth0    inet 10.0.1.2/24 brd 10.0.1.255 scope global eth0\\       valid_lft forever";
        assert_eq!(parse_address(line), Some([10, 0, 1, 2].into()));
        assert_eq!(parse_address("2: eth0    inet6 fd00::1/64 scope global"), None);
        let lost = "3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 2003ms";
        assert_eq!(parse_ping(lost), Some(Pinged { sent: 3, received: 0 }));
        let some = "x\n3 packets transmitted, 2 received, 33.3333% packet loss, time 402ms\nrtt";
        assert_eq!(parse_ping(some), Some(Pinged { sent: 3, received: 2 }));
        assert_eq!(parse_ping("ping: connect: Network is unreachable"), None);
    }

    #[test]
    fn a_listener_is_read() {
        let l = parse_ss(r#"LISTEN 0 244 127.0.0.1:5432 0.0.0.0:* users:(("postgres",pid=1,fd=6))"#).unwrap();
        assert_eq!((l.address.as_str(), l.port, l.process.as_deref()), ("127.0.0.1", 5432, Some("postgres")));
        let l = parse_ss("LISTEN 0 128 [::]:22 [::]:*").unwrap();
        assert_eq!((l.address.as_str(), l.port, l.process), ("[::]", 22, None));
        assert_eq!(parse_ss("odd"), None);
    }
}
