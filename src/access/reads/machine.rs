//! The machine itself: disk, memory, clock, boot, users.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::HostView;
use crate::diagnostic::Result;
use crate::transport::ssh::Command;

/// A file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Where it is mounted.
    pub mount: String,
    /// Its size in bytes.
    pub size: u64,
    /// What is free for users, in bytes.
    pub free: u64,
}

/// The memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What programs could still get.
    pub available: u64,
}

/// How far a host's clock is from ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset {
    /// The host's time minus ours.
    pub offset: SignedDuration,
    /// The measurement is not more exact than this.
    pub within: Duration,
}

/// A user of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub uid: u32,
    /// Its group's number.
    pub gid: u32,
    /// Its home.
    pub home: String,
    /// Its shell.
    pub shell: String,
}

impl HostView<'_> {
    /// The file system that a path is on.
    ///
    /// # Errors
    /// The path does not exist.
    pub async fn disk(&self, path: &str) -> Result<Disk> {
        let df =
            Command::new("df").args(["-B1", "--output=size,avail,target", "--", path]).env("LC_ALL", "C");
        let text = self.ask_ok(&df, &format!("cannot see the free space of {path}")).await?.text();
        parse_df(&text).ok_or_else(|| self.odd("df", &text))
    }

    /// The memory.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn memory(&self) -> Result<Memory> {
        let text =
            self.ask_ok(&Command::new("cat").arg("/proc/meminfo"), "cannot read the memory").await?.text();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
        };
        match (field("MemTotal:"), field("MemAvailable:")) {
            (Some(total), Some(available)) => Ok(Memory { total, available }),
            (None, _) | (_, None) => Err(self.odd("/proc/meminfo", &text)),
        }
    }

    /// How far its clock is from ours.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn clock_offset(&self) -> Result<ClockOffset> {
        self.reach().await?;
        let (began, us) = (Instant::now(), Timestamp::now());
        let text = self.ask_ok(&Command::new("date").arg("+%s %N"), "cannot read the clock").await?.text();
        let took = began.elapsed();
        let them = text
            .split_once(' ')
            .and_then(|(s, n)| Timestamp::new(s.parse().ok()?, n.parse().ok()?).ok())
            .ok_or_else(|| self.odd("the clock", &text))?;
        let half = SignedDuration::try_from(took / 2).unwrap_or(SignedDuration::ZERO);
        Ok(ClockOffset { offset: them.duration_since(us) - half, within: took / 2 })
    }

    /// The id of this boot.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn boot_id(&self) -> Result<String> {
        let cat = Command::new("cat").arg("/proc/sys/kernel/random/boot_id");
        Ok(self.ask_ok(&cat, "cannot read the boot id").await?.text())
    }

    /// The processors.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn processors(&self) -> Result<u32> {
        let text = self.ask_ok(&Command::new("nproc"), "cannot count the processors").await?.text();
        text.parse().map_err(|_| self.odd("nproc", &text))
    }

    /// The system's name and version, such as `Debian GNU/Linux 13 (trixie)`.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn system(&self) -> Result<String> {
        let text = self.text("/etc/os-release").await?.unwrap_or_default();
        let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        Ok(name.unwrap_or("unknown").trim_matches('"').to_owned())
    }

    /// A user, if there is one of that name.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn user(&self, name: &str) -> Result<Option<Account>> {
        let answer = self.ask(&Command::new("getent").args(["passwd", "--", name])).await?;
        if !answer.succeeded() {
            return Ok(None);
        }
        let text = answer.text();
        parse_passwd(&text).map(Some).ok_or_else(|| self.odd("getent passwd", &text))
    }

    /// The programs of a list that are not in the system path.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn missing_programs(&self, programs: &[&str]) -> Result<Vec<String>> {
        const LOOK: &str = r#"for p; do command -v "$p" >/dev/null || printf '%s\n' "$p"; done"#;
        let look = Command::new("sh").args(["-c", LOOK, "hactl-look"]).args(programs.iter().copied());
        let text = self.ask_ok(&look, "cannot look for programs").await?.text();
        Ok(text.lines().map(str::to_owned).collect())
    }
}

fn parse_df(text: &str) -> Option<Disk> {
    let mut fields = text.lines().nth(1)?.split_whitespace();
    let (size, free) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Disk { mount: fields.collect::<Vec<_>>().join(" "), size, free })
}

fn parse_passwd(line: &str) -> Option<Account> {
    let fields: Vec<_> = line.split(':').collect();
    match fields.as_slice() {
        [_name, _password, uid, gid, _gecos, home, shell] => Some(Account {
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: (*home).to_owned(),
            shell: (*shell).to_owned(),
        }),
        _other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{parse_df, parse_passwd};

    #[test]
    fn what_programs_print_is_read_strictly() {
        let disk = parse_df("1B-blocks Avail Mounted on\n 1000 400 /mnt/my disk").unwrap();
        assert_eq!((disk.size, disk.free, disk.mount.as_str()), (1000, 400, "/mnt/my disk"));
        assert_eq!(parse_df("nothing"), None);
        let user = parse_passwd("postgres:x:109:117:,,,:/var/lib/postgresql:/bin/bash").unwrap();
        assert_eq!((user.uid, user.home.as_str()), (109, "/var/lib/postgresql"));
        assert_eq!(parse_passwd("postgres:x:109"), None);
    }
}
