//! Entering a lab: from here on this process can reach the lab and nothing else.
//!
//! Invariant: a rehearsal cannot reach production by accident. A network namespace alone does not hide unix sockets,
//! so the sealed process also has a mount namespace of its own, in which /run, /tmp, every home and the like are
//! empty, and an environment that was made, not inherited: an SSH agent, a ControlMaster, a docker.sock or a cloud
//! token lying around cannot be used because it cannot be found. What it is *not*: a wall against a program that runs
//! as root and wants out.
//!
//! It takes two steps, because a process cannot move itself without unsafe code: [`enter`] executes hactl again
//! through `unshare` and `nsenter`, and the new one, finding itself there, covers the folders before anything else.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_bind, mount_change,
    move_mount, open_tree,
};

use super::exec::io;
use super::{Lab, exec, host, machine};
use crate::diagnostic::{Error, Result, codes};

/// Says to the second step which lab it is in, and which mount namespace it left.
const VARIABLE: &str = "HACTL_SEALED";
/// Written last: where it is, the sealing is complete.
const MARK: &str = "/run/hactl-sealed";
/// What goes in from the environment, beside what begins with `LC_`.
const KEPT: &[&str] = &[
    "TERM",
    "LANG",
    "COLUMNS",
    "NO_COLOR",
    "RUST_BACKTRACE",
    "SUDO_UID",
    "SUDO_GID",
    "SUDO_USER",
    "USER",
    "LOGNAME",
    super::DIR_VARIABLE,
];
/// Folders in which sockets, keys and tokens lie around. Each is covered by an empty one.
const COVERED: &[&str] = &["/run", "/tmp", "/var/tmp", "/dev/shm", "/home", "/root", "/mnt", "/media"];
/// The sealed process's home.
const HOME: &str = "/root";

/// Enters the lab. Where this process is outside, it is replaced by a new hactl with the same arguments inside, and
/// this does not return; where it is inside already, this returns.
///
/// `visible` are the folders and files that stay where they are, such as the workspace. Call it before there is a
/// second thread.
///
/// # Errors
/// The lab is not up, a tool is missing, or the seal is not what it should be: then nothing may go on.
pub fn enter(lab: &Lab, visible: &[PathBuf]) -> Result<()> {
    if let Some(said) = std::env::var_os(VARIABLE) {
        return arrive(lab, &said, visible);
    }
    host::become_root()?;
    lab.state()?;
    narrow(lab, visible)?;
    let here = inode("/proc/self/ns/mnt")?;
    let folder = std::env::current_dir().map_err(io("find", Path::new(".")))?;
    let own = std::env::current_exe().map_err(io("find", Path::new("hactl")))?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--", "nsenter"]);
    command.arg(format!("--net={}", lab.namespace_path().display())).arg("--").arg(own);
    command.args(std::env::args_os().skip(1)).current_dir(folder);
    command.env_clear().envs(kept(std::env::vars_os())).env("PATH", exec::PATH).env("HOME", HOME);
    command.env(VARIABLE, format!("{} {here}", lab.name()));
    Err(refused(lab, "cannot be entered").source(command.exec()))
}

/// Refuses to keep so much visible that the seal would hide nothing: a covered folder as a whole, or somebody's home.
fn narrow(lab: &Lab, visible: &[PathBuf]) -> Result<()> {
    let homes = homes(&fs::read_to_string("/etc/passwd").unwrap_or_default(), std::env::var_os("HOME"));
    for path in visible {
        let path = path.canonicalize().map_err(io("find", path))?;
        if let Some(wide) = too_wide(&path, &homes) {
            return Err(refused(
                lab,
                &format!("cannot hide what is beside the workspace: {} is {wide}", path.display()),
            )
            .next("move hactl.toml and what it names into a folder of its own, then try again there"));
        }
    }
    Ok(())
}

/// What a folder is, where keeping it visible would show what the seal must hide.
fn too_wide(path: &Path, homes: &[PathBuf]) -> Option<String> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if let Some(covered) = COVERED.iter().find(|covered| real(Path::new(covered)).starts_with(path)) {
        return Some(format!("or holds {covered}, which the seal hides"));
    }
    homes.iter().any(|home| real(home).starts_with(path)).then(|| "a home, or holds one".to_owned())
}

/// Every home of this computer: keys and tokens lie there.
fn homes(passwd: &str, own: Option<OsString>) -> Vec<PathBuf> {
    let all = passwd.lines().filter_map(|line| line.split(':').nth(5)).map(PathBuf::from);
    // Users that nobody logs in as live at the root of the file system, or nowhere.
    let all = all.filter(|home| home.parent().is_some());
    all.chain(own.map(PathBuf::from)).filter(|home| home.is_absolute()).collect()
}

/// Is this process one that [`enter`] started? Whether the seal is whole is [`enter`]'s to check.
#[must_use]
pub fn is_sealed() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

fn kept(all: impl Iterator<Item = (OsString, OsString)>) -> impl Iterator<Item = (OsString, OsString)> {
    all.filter(|(name, _)| {
        let name = name.to_string_lossy();
        KEPT.contains(&name.as_ref()) || name.starts_with("LC_")
    })
}

fn refused(lab: &Lab, what: &str) -> Error {
    Error::new(codes::LAB_SEAL, format!("lab {} {what}", lab.name())).state("nothing was carried out")
}

fn inode(path: &str) -> Result<u64> {
    fs::metadata(path).map(|m| m.ino()).map_err(io("read", Path::new(path)))
}

/// The second step: this process believes to be in the lab.
fn arrive(lab: &Lab, said: &OsStr, visible: &[PathBuf]) -> Result<()> {
    let said = said.to_string_lossy();
    let (name, outside) = said.split_once(' ').unwrap_or((&said, ""));
    let network = inode("/proc/self/ns/net")?;
    if name != lab.name().as_str() {
        return Err(refused(lab, &format!("cannot be entered from inside lab {name}")));
    }
    if let Ok(mark) = fs::read_to_string(MARK) {
        let sealed = mark == format!("{name} {network}\n");
        return if sealed { Ok(()) } else { Err(refused(lab, "has a seal that is not its own")) };
    }
    let there = lab.namespace_path();
    if fs::metadata(&there).map(|m| m.ino()).ok() != Some(network) {
        return Err(refused(lab, &format!("is not where this process is, whatever {VARIABLE} says")));
    }
    if outside.parse() == Ok(inode("/proc/self/ns/mnt")?) || outside.is_empty() {
        return Err(refused(lab, "was entered without a mount namespace of its own"));
    }
    cover(lab, visible)?;
    fs::write(MARK, format!("{name} {network}\n")).map_err(io("write", Path::new(MARK)))
}

/// Covers what could lead outside, and puts back what must stay visible.
fn cover(lab: &Lab, visible: &[PathBuf]) -> Result<()> {
    narrow(lab, visible)?;
    let hosts = machine::hosts(&lab.state()?);
    let folder = std::env::current_dir().ok();
    let failed = |what: &str, path: &Path, e: rustix::io::Errno| {
        refused(lab, &format!("could not be sealed: {what} {}", path.display()))
            .source(std::io::Error::from(e))
    };
    let root = Path::new("/");
    mount_change(root, MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|e| failed("detach", root, e))?;
    let mut kept: Vec<(PathBuf, OwnedFd)> = Vec::new();
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    for path in visible {
        let path = path.canonicalize().map_err(io("find", path))?;
        let tree = open_tree(CWD, &path, flags).map_err(|e| failed("keep", &path, e))?;
        kept.push((path, tree));
    }
    for path in COVERED.iter().map(Path::new).filter(|p| p.is_dir()) {
        let path = path.canonicalize().map_err(io("find", path))?;
        mount("hactl-seal", &path, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0755")
            .map_err(|e| failed("cover", &path, e))?;
    }
    for (path, tree) in &kept {
        if !COVERED.iter().any(|covered| path.starts_with(covered)) {
            continue;
        }
        stand_in(path, tree).map_err(io("make a place for", path))?;
        move_mount(tree, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .map_err(|e| failed("keep", path, e))?;
    }
    for (at, text) in [("/etc/hosts", hosts.as_str()), ("/etc/resolv.conf", "")] {
        let own = Path::new("/run").join(format!("hactl-{}", at.trim_start_matches("/etc/")));
        fs::write(&own, text).map_err(io("write", &own))?;
        if Path::new(at).exists() {
            mount_bind(&own, at).map_err(|e| failed("replace", Path::new(at), e))?;
        }
    }
    // The folder we were in may be covered now; the same path, where it is still visible, is the same folder.
    let folder = folder.filter(|f| f.is_dir()).unwrap_or_else(|| PathBuf::from("/"));
    std::env::set_current_dir(&folder).map_err(io("go to", &folder))
}

/// An empty file or folder on which a kept one is mounted.
fn stand_in(path: &Path, tree: &OwnedFd) -> std::io::Result<()> {
    let kind = rustix::fs::fstat(tree)?;
    if rustix::fs::FileType::from_raw_mode(kind.st_mode) == rustix::fs::FileType::Directory {
        return fs::create_dir_all(path);
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    // Never truncated: where a folder above it is kept too, this is already the kept file itself.
    fs::OpenOptions::new().create(true).append(true).open(path).map(drop)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{homes, kept, too_wide};

    #[test]
    fn what_would_leave_the_seal_open_is_too_wide() {
        let homes = homes(
            "root:x:0:0::/root:/bin/sh\nnobody:x:9:9::/:/bin/false\nada:x:1:1::/srv/ada:/bin/sh\n",
            Some("/data/h".into()),
        );
        assert_eq!(homes, ["/root", "/srv/ada", "/data/h"].map(PathBuf::from));
        for wide in [
            "/", "/root", "/tmp", "/run", "/var", "/var/tmp", "/home", "/srv", "/srv/ada", "/data/h", "/data",
        ] {
            assert!(too_wide(Path::new(wide), &homes).is_some(), "{wide}");
        }
        for narrow in ["/root/cell0", "/tmp/a", "/srv/ada/rehearsal", "/data/h/x", "/opt/cell0", "/runbooks"]
        {
            assert_eq!(too_wide(Path::new(narrow), &homes), None, "{narrow}");
        }
    }

    #[test]
    fn what_leads_outside_stays_outside() {
        let all =
            ["PATH", "TERM", "LC_ALL", "HCLOUD_TOKEN", "AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK", "HOME"];
        let names: Vec<String> = kept(all.iter().map(|n| ((*n).into(), "x".into())))
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["TERM", "LC_ALL"]);
    }
}
