//! Taking a lab away by its name alone.
//!
//! Invariant: this needs neither the state file nor any process of the lab to be alive, and running it twice is the
//! same as running it once. It never deletes a folder in which something is still mounted.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, kill_process};

use super::exec::{Tool, io, wait_until};
use super::state::LabName;
use super::{cgroup, machine, network, seal};
use crate::diagnostic::{Error, Result, codes};

/// How long killed processes may take to be gone.
const DEATH: Duration = Duration::from_secs(15);

/// Removes processes, namespaces, control groups, mounts and files of a lab.
pub(crate) fn remove(name: &LabName, dir: &Path) -> Result<()> {
    let left = |what: String| {
        Error::new(codes::LAB_LEFTOVERS, format!("lab {name} could not be removed: {what}"))
            .state("what could be removed is gone; the rest is still there")
            .next(format!("hactl lab down --name {name}    (again; running it twice does no harm)"))
    };
    // Where it is sealed, namespaces and their processes are hidden from it, and only half of the lab would go.
    if seal::is_sealed() || processes(name).contains(&getpid()) {
        return Err(Error::new(
            codes::LAB_LEFTOVERS,
            format!("lab {name} could not be removed: this hactl runs inside a lab"),
        )
        .state("nothing of it was touched")
        .next(format!("outside of it: hactl lab down --name {name}")));
    }
    let gone = wait_until(DEATH, || {
        let alive = processes(name);
        for pid in &alive {
            let _ = kill_process(*pid, Signal::KILL);
        }
        alive.is_empty()
    });
    if !gone {
        return Err(left(format!("processes {:?} do not end", processes(name))));
    }
    for namespace in network::existing(name) {
        network::delete(&namespace)?;
    }
    if !wait_until(Duration::from_secs(5), || cgroup::remove(name)) {
        return Err(left("its control groups are still busy".to_owned()));
    }
    if !dir.exists() {
        return Ok(());
    }
    for mount in mounts_below(dir) {
        Tool::new("umount").arg("--lazy").arg(&mount).run()?;
    }
    if !mounts_below(dir).is_empty() {
        return Err(left(format!("something is mounted below {}", dir.display())));
    }
    fs::remove_dir_all(dir).map_err(io("remove", dir))
}

/// Every living process of the lab: those in its namespaces and those in its control groups.
fn processes(name: &LabName) -> Vec<Pid> {
    let namespaces = network::existing(name);
    let mut all: Vec<Pid> = namespaces.iter().flat_map(|n| machine::in_namespace(n)).collect();
    all.extend(cgroup::processes(name).into_iter().filter_map(Pid::from_raw));
    all.retain(|pid| !is_zombie(*pid));
    all.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
    all.dedup();
    all
}

/// An ended process that nobody has waited for: there is nothing left of it to end.
fn is_zombie(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z') || rest.starts_with('X'))
}

/// Mount points below a folder in our own mount namespace, deepest first.
fn mounts_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = text.lines().filter_map(|l| l.split(' ').nth(4)).map(std::path::PathBuf::from);
    let mut below: Vec<_> = points.filter(|p| p.starts_with(dir)).collect();
    below.sort_by_key(|p| std::cmp::Reverse(p.components().count()));
    below
}
