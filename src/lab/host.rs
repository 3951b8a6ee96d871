//! What this computer must have before a lab can be made, and how it gets it.
//!
//! Invariant: everything that is missing is named in one error, with the one command that installs it, before
//! anything is created.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::exec::{Tool, search_path};
use crate::diagnostic::{Error, Result, codes};

/// CAP_SYS_ADMIN's bit, from `capability.h`.
const SYS_ADMIN: u32 = 21;

/// The tools that are run, and the Debian package each is in.
const TOOLS: &[(&str, &str)] = &[
    ("debootstrap", "debootstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("ip", "iproute2"),
    ("mount", "mount"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setsid", "util-linux"),
    ("setpriv", "util-linux"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("openssl", "openssl"),
    ("python3", "python3"),
];

/// A tool that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The program.
    pub tool: &'static str,
    /// The Debian package that brings it.
    pub package: &'static str,
}

/// What a lab is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Build the image too.
    Image,
    /// Start machines of an image that is there.
    Machines,
}

/// Every tool that this computer lacks.
#[must_use]
pub fn missing_packages(need: Need) -> Vec<Missing> {
    let there = |tool: &str| search_path().split(':').any(|dir| Path::new(dir).join(tool).is_file());
    let mut missing: Vec<Missing> = TOOLS
        .iter()
        .filter(|(tool, _)| !there(tool))
        .map(|(tool, package)| Missing { tool, package })
        .collect();
    let pip = || {
        let asked = Tool::new("python3").args(["-m", "pip", "--version"]).ended();
        asked.is_ok_and(|e| e.status.success())
    };
    match need {
        Need::Image if !pip() => missing.push(Missing { tool: "pip", package: "python3-pip" }),
        Need::Image | Need::Machines => {}
    }
    missing
}

fn install_words(missing: &[Missing]) -> Vec<&'static str> {
    let mut packages: Vec<&str> = missing.iter().map(|m| m.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Installs what is missing with this computer's apt-get. The caller has asked the operator.
///
/// # Errors
/// apt-get is not there or fails.
pub fn install_packages(missing: &[Missing]) -> Result<()> {
    let apt = |args: &[&str]| {
        let tool = Tool::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive");
        tool.within(Duration::from_secs(600)).run().map(drop)
    };
    apt(&["update", "-q"])?;
    let mut args = vec!["install", "-y", "-q", "--no-install-recommends"];
    args.extend(install_words(missing));
    apt(&args)
}

/// Whether a lab can be made here at all.
///
/// # Errors
/// What this computer lacks; nothing was created.
pub fn require(need: Need) -> Result<()> {
    let unsupported = |what: &str| {
        Err(Error::new(codes::LAB_UNSUPPORTED, format!("a lab cannot be made here: {what}"))
            .state("nothing was created")
            .next("use a computer or a virtual machine of your own, as root; only rehearsals need a lab"))
    };
    if !rustix::process::geteuid().is_root() {
        return unsupported("it needs root");
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let capabilities = status.lines().find_map(|l| l.strip_prefix("CapEff:"));
    let capabilities = capabilities.and_then(|c| u64::from_str_radix(c.trim(), 16).ok()).unwrap_or(0);
    if capabilities >> SYS_ADMIN & 1 == 0 {
        return unsupported("root has no CAP_SYS_ADMIN (a container without --privileged?)");
    }
    let overlay = || std::fs::read_to_string("/proc/filesystems").is_ok_and(|t| t.contains("\toverlay"));
    if !overlay() {
        // It may be a module that nobody has needed yet; whether that helped is asked again below.
        let _ = Tool::new("modprobe").arg("overlay").run();
    }
    if !overlay() {
        return unsupported("the kernel has no overlay file system");
    }
    let missing = missing_packages(need);
    if missing.is_empty() {
        return Ok(());
    }
    let tools: Vec<&str> = missing.iter().map(|m| m.tool).collect();
    Err(Error::new(codes::LAB_MISSING, format!("this computer lacks {}", tools.join(", ")))
        .state("nothing was created")
        .next(format!("apt-get install {}", install_words(&missing).join(" "))))
}

/// Starts this hactl again as root through sudo, with the same arguments. Returns at once where it is root already.
///
/// # Errors
/// There is no sudo.
pub fn become_root() -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let own = std::env::current_exe()
        .map_err(|e| Error::new(codes::LAB_UNSUPPORTED, "cannot find this hactl's own file").source(e))?;
    let keep = format!("--preserve-env={},NO_COLOR,TERM,COLUMNS", super::DIR_VARIABLE);
    let why = Command::new("sudo").arg(keep).arg("--").arg(own).args(std::env::args_os().skip(1)).exec();
    Err(Error::new(codes::LAB_UNSUPPORTED, "a lab needs root, and sudo could not be started")
        .state("nothing was created")
        .source(why)
        .next("the same command as root"))
}
