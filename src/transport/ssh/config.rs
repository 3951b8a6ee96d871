//! The generated ssh configuration.
//!
//! Invariant: it is complete: with `-F` neither the user's nor the system's configuration is read, no agent is used,
//! host keys are checked strictly by the host's name in `hactl.toml`, and a jump host obeys the same rules, because
//! it is reached by this very configuration.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::diagnostic::{Error, Result, codes};
use crate::workspace::Host;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Connecting, by TCP, and again as long for the login.
    pub connect: Duration,
    /// After this much silence a sign of life is asked for; after three in vain the connection counts as lost.
    pub alive: Duration,
    /// For how long a lost connection is opened again to learn what became of a command.
    pub recover: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            alive: Duration::from_secs(5),
            recover: Duration::from_secs(45),
        }
    }
}

/// The name of the configuration's file.
pub(super) const FILE: &str = "config";

/// Where the ssh that goes through a host's jump host complains.
pub(super) fn jump_log(runtime: &Path, host: &Host) -> PathBuf {
    runtime.join(format!("jump-{}", host.name))
}

/// How often a sign of life is asked for in vain.
const ALIVE_COUNT: u32 = 3;

/// The configuration for all hosts of a fleet.
///
/// A jump is written as a proxy command, because `ProxyJump` throws away what the jump host's ssh complains.
pub(super) fn generate(hosts: &[Host], known_hosts: &Path, runtime: &Path, timing: Timing) -> Result<String> {
    let mut text = String::from("# Made by hactl for this process. Nothing else is read.\n");
    for host in hosts {
        // Writing to a String cannot fail.
        // One whose server is not made yet is left out: nothing connects to it.
        let Some(address) = host.reached_at() else { continue };
        let _ = writeln!(text, "Host {}", host.name);
        let _ = writeln!(text, "  HostName {address}");
        let _ = writeln!(text, "  HostKeyAlias {}", host.name);
        let _ = writeln!(text, "  Port {}", host.port);
        let _ = writeln!(text, "  User {}", host.user);
        if let Some(identity) = &host.identity {
            let _ = writeln!(text, "  IdentityFile {}", path(identity)?);
        }
        if let Some(jump) = &host.jump {
            let (config, log) = (runtime.join(FILE), jump_log(runtime, host));
            let (config, log) = (config.display(), log.display());
            let _ = writeln!(text, "  ProxyCommand ssh -F {config} -E {log} -W [%h]:%p -- {jump}");
        }
    }
    let _ = writeln!(text, "Host *");
    let _ = writeln!(text, "  UserKnownHostsFile {}", path(known_hosts)?);
    let _ = writeln!(text, "  ConnectTimeout {}", timing.connect.as_secs().max(1));
    let _ = writeln!(text, "  ServerAliveInterval {}", timing.alive.as_secs().max(1));
    let _ = writeln!(text, "  ServerAliveCountMax {ALIVE_COUNT}");
    for line in [
        "GlobalKnownHostsFile /dev/null",
        "StrictHostKeyChecking yes",
        "UpdateHostKeys no",
        "CheckHostIP no",
        "VerifyHostKeyDNS no",
        "HashKnownHosts no",
        "IdentitiesOnly yes",
        "IdentityAgent none",
        "AddKeysToAgent no",
        "ForwardAgent no",
        "ForwardX11 no",
        "PreferredAuthentications publickey",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "BatchMode yes",
        "ControlPath none",
        "PermitLocalCommand no",
        "CanonicalizeHostname no",
        "RequestTTY no",
        "StreamLocalBindMask 0177",
        "StreamLocalBindUnlink yes",
        "Compression no",
    ] {
        let _ = writeln!(text, "  {line}");
    }
    Ok(text)
}

/// A path as ssh reads it from a configuration: quoted, with its `%` tokens taken literally.
fn path(path: &Path) -> Result<String> {
    let refuse = |why: &str| {
        Err(Error::new(codes::SSH_RUNTIME, format!("ssh cannot be told the path {}: {why}", path.display()))
            .next("move it to a path of plain characters"))
    };
    let Some(text) = path.to_str() else { return refuse("it is not UTF-8") };
    if text.contains(['"', '\\']) || text.contains("${") || text.chars().any(char::is_control) {
        return refuse("it holds a character that ssh would interpret");
    }
    Ok(format!("\"{}\"", text.replace('%', "%%")))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::path;

    #[test]
    fn a_path_keeps_its_meaning_or_is_refused() {
        assert_eq!(path(Path::new("/a b/100%")).unwrap(), "\"/a b/100%%\"");
        assert!(path(Path::new("/a\"b")).is_err());
        assert!(path(Path::new("/a\nHost *")).is_err());
        assert!(path(Path::new("/${HOME}")).is_err());
    }
}
