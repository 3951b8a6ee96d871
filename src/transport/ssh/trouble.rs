//! What went wrong with a connection, told apart from what ssh printed.
//!
//! Invariant: "nobody there", "host key unknown", "host key changed" and "login refused" are never mixed up, each
//! names the host it is about (which may be a jump host) and the next command.

use std::time::Duration;

use crate::diagnostic::{Error, codes};
use crate::name::HostName;
use crate::redact::sanitize_for_terminal;
use crate::workspace::{Address, Host};

/// The error behind what ssh printed while connecting. `jumps` are the jump hosts, nearest first, with what the ssh to
/// each of them printed.
pub(super) fn of_connecting(host: &Host, log: &str, jumps: &[(HostName, String)]) -> Error {
    // The trouble of the farthest jump is the cause of all that comes after it.
    let of_jump = jumps.iter().rev().find(|(_, text)| !text.trim().is_empty());
    match of_jump {
        Some((jump, text)) => {
            known(jump.as_str(), None, text).unwrap_or_else(|| unreachable(jump.as_str(), text))
        }
        None => known(host.name.as_str(), host.reached_at().as_ref().map(Address::as_str), log)
            .unwrap_or_else(|| unreachable(host.name.as_str(), log)),
    }
}

fn known(host: &str, address: Option<&str>, text: &str) -> Option<Error> {
    let at = address.map(|a| format!(" ({a})")).unwrap_or_default();
    let said = last_lines(text);
    if text.contains("REMOTE HOST IDENTIFICATION HAS CHANGED")
        || text.contains("has changed and you have requested strict checking")
        || text.contains("has been revoked")
    {
        let error = Error::new(codes::SSH_KEY_CHANGED, format!("the host key{at} is not the pinned one"))
            .state("nothing was sent; somebody may be in between, or the host was rebuilt")
            .next(format!(
                "hactl host trust {host}   (shows both fingerprints; compare at the host's console)"
            ));
        return Some(error.host(host));
    }
    if text.contains("host key is known for") && text.contains("strict checking") {
        let error = Error::new(codes::SSH_KEY_UNKNOWN, format!("the host key{at} is not pinned yet"))
            .state("nothing was sent")
            .next(format!("hactl host trust {host}"));
        return Some(error.host(host));
    }
    let refused =
        ["Permission denied (", "Too many authentication failures", "No supported authentication methods"];
    if refused.iter().any(|phrase| text.contains(phrase)) {
        let error = Error::new(codes::SSH_LOGIN, format!("the login{at} was refused: {said}"))
            .state("nothing was sent")
            .next(format!("see that the key is in authorized_keys of {host}, then: hactl doctor"));
        return Some(error.host(host));
    }
    if text.contains("Host key verification failed") {
        let error = Error::new(codes::SSH_KEY_CHANGED, format!("the host key{at} was not accepted: {said}"))
            .state("nothing was sent")
            .next(format!("hactl host trust {host}"));
        return Some(error.host(host));
    }
    None
}

fn unreachable(host: &str, text: &str) -> Error {
    let said = last_lines(text);
    let said = if said.is_empty() { "ssh said nothing".to_owned() } else { said };
    Error::new(codes::SSH_UNREACHABLE, format!("cannot be reached: {said}")).host(host).next("hactl doctor")
}

/// Connecting took too long.
pub(super) fn slow_connecting(
    host: &Host,
    limit: Duration,
    log: &str,
    jumps: &[(HostName, String)],
) -> Error {
    let of_jump = jumps.iter().rev().find_map(|(jump, text)| known(jump.as_str(), None, text));
    of_jump
        .or_else(|| known(host.name.as_str(), host.reached_at().as_ref().map(Address::as_str), log))
        .unwrap_or_else(|| {
            let limit = limit.as_secs();
            Error::new(codes::SSH_UNREACHABLE, format!("no login within {limit} s, though ssh tried"))
                .host(&host.name)
                .next("hactl doctor")
        })
}

/// The last lines of what a program said, made harmless, on one line.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<_> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('@')).collect();
    let tail = lines.get(lines.len().saturating_sub(3)..).unwrap_or_default().join("; ");
    sanitize_for_terminal(&tail.chars().take(600).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::known;
    use crate::diagnostic::codes;

    #[test]
    fn what_ssh_says_is_told_apart() {
        let code = |text: &str| known("node-1", None, text).map(|e| e.code());
        assert_eq!(
            code(
                "No ED25519 host key is known for node-1 and you have requested strict checking.\r\nHost key verification failed."
            ),
            Some(codes::SSH_KEY_UNKNOWN)
        );
        assert_eq!(
            code(
                "Host key for node-1 has changed and you have requested strict checking.\r\nHost key verification failed."
            ),
            Some(codes::SSH_KEY_CHANGED)
        );
        assert_eq!(code("ops@10.0.0.1: Permission denied (publickey)."), Some(codes::SSH_LOGIN));
        assert_eq!(code("ssh: connect to host 10.0.0.1 port 22: Connection refused"), None);
    }
}
