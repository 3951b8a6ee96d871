//! The lab itself: it comes up, its machines answer, and nothing of it is left when it is taken down.

use std::fs;
use std::path::Path;

use crate::Test;
use crate::common::lab::{Lab, Scene, lab_of};

pub(crate) const TESTS: &[Test] = &[("machines::answer_and_leave_nothing_behind", answer_and_leave_nothing)];

fn answer_and_leave_nothing() {
    let lab = Lab::up("machines", Scene::Nodes(2));
    let name = lab.name().to_owned();
    for node in ["node-1", "node-2"] {
        assert_eq!(lab.read(node, "hostname"), node);
        assert_eq!(lab.read(node, "cat /proc/1/comm"), "systemd");
        assert_eq!(lab.read(node, "sudo -n id -u"), "0");
        assert_eq!(lab.read(node, "ip route show default"), "", "there is no route out");
    }
    lab.read("node-1", "timeout 5 bash -c ': </dev/tcp/node-2/22'");
    let status = lab.lab(&["status"]);
    assert!(status.stdout.contains("node-2") && status.stdout.contains("stand-in"), "{status}");
    let beside = traces(&name);
    assert!(!beside.is_empty(), "the check below must be able to see a lab");
    drop(lab);
    assert_eq!(traces(&name), Vec::<String>::new());
    assert_eq!(lab_of(&name, &["status"]).status, 1);
}

/// Everything on this computer that belongs to a lab, found by its name without hactl.
fn traces(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    let needles = [format!("hactl-{name}"), format!("labs/{name}"), format!("hactl-lab/{name}")];
    let ours = |text: &str| needles.iter().any(|n| text.contains(n.as_str()));
    let entries = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().collect::<Vec<_>>();
    for dir in ["/run/netns", "/var/lib/hactl-lab/labs"] {
        let there = entries(Path::new(dir)).into_iter().map(|e| e.path().display().to_string());
        found.extend(there.filter(|p| ours(p)));
    }
    for process in entries(Path::new("/proc")) {
        let read = |file: &str| fs::read(process.path().join(file)).unwrap_or_default();
        let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let cgroup = String::from_utf8_lossy(&read("cgroup")).into_owned();
        // One that has ended, and that nobody has waited for, holds nothing any more.
        let ended = read("stat").rsplit(|b| *b == b')').next().is_some_and(|rest| rest.starts_with(b" Z"));
        if !ended
            && process.file_name().to_string_lossy().parse::<u32>().is_ok()
            && (ours(&command) || ours(&cgroup))
        {
            found.push(command);
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    found.extend(mounts.lines().filter(|l| ours(l)).map(str::to_owned));
    found
}
