//! A control group per machine.
//!
//! Invariant: two machines never share a group. systemd-nspawn with `--keep-unit` puts its payload below the group
//! it is started in; without groups of our own, the systemds of all machines would manage one and the same tree.

use std::fs;
use std::path::{Path, PathBuf};

use super::state::LabName;
use crate::name::HostName;

/// Where the hierarchies are that systemd uses: unified, hybrid, or legacy with a named one.
fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.procs").exists() {
        return vec![root.to_owned()];
    }
    ["unified", "systemd"].iter().map(|h| root.join(h)).filter(|h| h.join("cgroup.procs").exists()).collect()
}

fn lab_groups(lab: &LabName) -> Vec<PathBuf> {
    hierarchies().into_iter().map(|h| h.join("hactl-lab").join(lab.as_str())).collect()
}

/// The `cgroup.procs` files into which a machine's first process writes itself; the groups are made here.
pub(crate) fn prepare(lab: &LabName, machine: &HostName) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for lab_group in lab_groups(lab) {
        let group = lab_group.join(machine.as_str());
        if !make(&group) {
            continue;
        }
        // Controllers (memory, pids) are handed down where the kernel offers them; limits in the lab need that.
        let parents: Vec<&Path> = group.ancestors().skip(1).take(3).collect();
        for parent in parents.into_iter().rev() {
            for controller in ["+memory", "+pids", "+cpu", "+io"] {
                let _ = fs::write(parent.join("cgroup.subtree_control"), controller);
            }
        }
        files.push(group.join("cgroup.procs"));
    }
    files
}

/// Makes a group. Another lab that ends takes the empty group above it away, perhaps between the making of the two: then
/// it is made again, for a machine without a group of its own would share one with its neighbours.
fn make(group: &Path) -> bool {
    const TRIES: u32 = 1000;
    for _ in 0..TRIES {
        match fs::create_dir_all(group) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            made => return made.is_ok(),
        }
    }
    false
}

/// Every process in any group of the lab.
pub(crate) fn processes(lab: &LabName) -> Vec<i32> {
    processes_in(lab_groups(lab))
}

/// Every process in the groups of one machine: those of its system, and what holds it.
pub(crate) fn processes_of(lab: &LabName, machine: &HostName) -> Vec<i32> {
    processes_in(lab_groups(lab).into_iter().map(|group| group.join(machine.as_str())).collect())
}

fn processes_in(groups: Vec<PathBuf>) -> Vec<i32> {
    let mut all = Vec::new();
    for group in groups {
        collect(&group, &mut |group| {
            let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            all.extend(text.lines().filter_map(|l| l.trim().parse::<i32>().ok()).filter(|pid| *pid > 0));
        });
    }
    all
}

/// Removes the lab's groups, deepest first; false where one would not go.
pub(crate) fn remove(lab: &LabName) -> bool {
    for group in lab_groups(lab) {
        collect(&group, &mut |group| {
            let _ = fs::remove_dir(group);
        });
        if let Some(parent) = group.parent() {
            // It goes with the last lab.
            let _ = fs::remove_dir(parent);
        }
    }
    lab_groups(lab).iter().all(|g| !g.exists())
}

fn collect(group: &Path, visit: &mut dyn FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(group) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            collect(&entry.path(), visit);
        }
    }
    visit(group);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::make;

    #[test]
    fn a_group_is_made_while_another_lab_takes_the_one_above_away() {
        let place = tempfile::tempdir().unwrap();
        let labs = place.path().join("hactl-lab");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _ = fs::remove_dir(&labs);
                }
            });
            let made: Vec<bool> = (0..300)
                .map(|n| {
                    let lab = labs.join(format!("lab-{n}"));
                    let made = make(&lab.join("node-1")) && lab.join("node-1").is_dir();
                    let _ = fs::remove_dir_all(&lab);
                    made
                })
                .collect();
            done.store(true, Ordering::Relaxed);
            assert!(made.iter().all(|made| *made), "{} were not made", made.iter().filter(|m| !**m).count());
        });
    }
}
