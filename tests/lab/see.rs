//! Steps that look and change nothing: each holds where it is so, and fails where it is not.

use std::time::Duration;

use crate::Test;
use crate::common::lab::{Lab, Scene, Workspace, eventually};

pub(crate) const TESTS: &[Test] = &[("see::each_look_fails_where_what_it_claims_is_not_so", each_look)];

/// Carries a phase out that has to hold, and says what it found.
fn holds(workspace: &Workspace<'_>, phase: &str) -> String {
    workspace.must(&["phase", "run", phase, "--yes"]);
    let verified = workspace.must(&["phase", "verify", phase]);
    let lines = workspace.journal().lines();
    let facts = lines.iter().rev().find_map(|line| line["record"]["verified"]["facts"].as_array());
    let facts = facts.unwrap_or_else(|| panic!("nothing was found: {verified}"));
    facts.iter().map(|fact| fact.as_str().unwrap()).collect::<Vec<_>>().join("; ")
}

/// A phase that must not hold, and says why in these words.
fn fails(workspace: &Workspace<'_>, command: &str, phase: &str, why: &[&str]) {
    let ran = workspace.hactl(&["phase", command, phase, "--yes"]);
    assert_eq!(ran.status, 1, "{phase} holds: {ran}");
    let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in why {
        assert!(said.contains(part), "{phase} does not say {part:?}: {said}");
    }
}

fn each_look() {
    let lab = Lab::up("see", Scene::Nodes(3));
    let workspace = lab.workspace("see.toml");
    let own = lab.read("node-2", "hostname -I");
    let net = own.split_whitespace().find_map(|ip| ip.strip_suffix(".12")).unwrap().to_owned();
    let (subnet, address, operator) = (format!("{net}.0/24"), format!("{net}.200"), format!("{net}.1"));
    workspace.edit("hactl.toml", |text| {
        let front = text.replace(
            &format!("private_address = \"{net}.12\"\nroles = [\"node\"]"),
            &format!("private_address = \"{net}.12\"\nroles = [\"node\", \"front\"]"),
        );
        format!("{front}\n[inputs]\nsubnet = \"{subnet}\"\naddress = \"{address}\"\n")
    });

    // Full-size packets, in both directions between every two; then one machine that takes smaller ones only.
    let found = holds(&workspace, "network");
    assert!(found.contains("packets of 1500 bytes came back whole"), "{found}");
    lab.read("node-3", "sudo ip link set eth0 mtu 1400");
    fails(
        &workspace,
        "verify",
        "network",
        &["packets of 1500 bytes do not come back from node-3", "and small ones do"],
    );
    lab.read("node-3", "sudo ip link set eth0 mtu 1500");
    holds(&workspace, "network");

    // Nothing is blocked; blocked outside; blocked inside too, where a closed port says nothing.
    fails(
        &workspace,
        "run",
        "firewall",
        &["TCP port 30080 of node-2 is open from outside", "no firewall blocks it"],
    );
    let nft = |line: &str| {
        lab.read("node-2", &format!("sudo nft '{line}'"));
    };
    nft("add table inet test");
    nft("add chain inet test in { type filter hook input priority 0; }");
    nft(&format!("add rule inet test in ip saddr {operator} tcp dport 30080 drop"));
    let found = holds(&workspace, "firewall");
    assert!(
        found.contains("reached TCP port 30080") && found.contains("was let through to port 22"),
        "{found}"
    );
    nft("add rule inet test in tcp dport 30080 drop");
    fails(
        &workspace,
        "verify",
        "firewall",
        &["is not open inside", "that it is closed outside says nothing"],
    );
    nft("flush chain inet test in");
    // A service of the machine's own on that port is looked at as it is.
    let own = "sudo systemd-run -q --unit own systemd-socket-activate --listen=30080 --accept --inetd cat";
    lab.read("node-2", own);
    fails(&workspace, "verify", "firewall", &["is open from outside"]);
    nft(&format!("add rule inet test in ip saddr {operator} tcp dport 30080 reject"));
    let found = holds(&workspace, "firewall");
    assert!(found.contains("systemd-socket") && found.contains("was refused"), "{found}");

    // One machine shows a time that is two seconds ahead.
    let found = holds(&workspace, "clocks");
    assert!(found.contains("node-3: ") && found.contains("measured to ± "), "{found}");
    let ahead = "printf '#!/bin/sh\\nexec /usr/bin/date --date=\"+2 seconds\" \"$@\"\\n' | sudo tee /usr/local/bin/date >/dev/null; \
                 sudo chmod 755 /usr/local/bin/date";
    lab.read("node-2", ahead);
    fails(
        &workspace,
        "verify",
        "clocks",
        &["the clocks of node-1 and node-2 are ", "at most 500ms are wanted"],
    );
    lab.read("node-2", "sudo rm /usr/local/bin/date");
    holds(&workspace, "clocks");

    // Nobody has the address, then the right one, then another.
    let neighbours = || lab.must(&["enter", "--", "ip", "neigh", "flush", "all"]);
    fails(&workspace, "run", "address", &["nobody answers at "]);
    lab.read("node-2", &format!("sudo ip addr add {address}/32 dev eth0"));
    neighbours();
    let found = holds(&workspace, "address");
    assert!(found.contains("node-2 answers with its pinned key SHA256:"), "{found}");
    lab.read("node-2", &format!("sudo ip addr del {address}/32 dev eth0"));
    lab.read("node-3", &format!("sudo ip addr add {address}/32 dev eth0"));
    neighbours();
    fails(
        &workspace,
        "verify",
        "address",
        &["somebody answers with the key SHA256:", "not pinned for node-2"],
    );

    lab.read("node-3", &format!("sudo ip addr del {address}/32 dev eth0"));
    lab.read("node-2", &format!("sudo ip addr add {address}/32 dev eth0"));
    neighbours();
    holds(&workspace, "address");

    // It starts anew once, is waited for, and not again.
    let boot = || lab.read("node-2", "cat /proc/sys/kernel/random/boot_id");
    let before = boot();
    let refused = workspace.hactl(&["phase", "run", "reboot"]);
    assert_eq!((refused.status, boot()), (3, before.clone()), "{refused}");
    workspace.must(&["phase", "run", "reboot", "--yes"]);
    let after = boot();
    assert_ne!(before, after);
    let found = holds(&workspace, "reboot");
    assert!(found.contains("node-2 is in another boot than before"), "{found}");
    assert_eq!(boot(), after, "it was started anew twice");

    // hactl dies between asking and the end of that boot, and the next one asks no second time.
    let boots = || lab.read("node-2", "sudo journalctl --quiet --no-pager --list-boots | wc -l");
    let count: u32 = boots().parse().unwrap();
    let running = workspace.start(&["phase", "run", "again", "--yes"]);
    eventually("it is asked", Duration::from_secs(60), || {
        let asked = lab.lab(&["ssh", "node-2", "--", "test", "-e", "/run/hactl-reboot"]);
        // Where it cannot be logged in to any more, it was asked as well.
        asked.status != 1
    });
    running.kill();
    eventually("it is settled", Duration::from_secs(120), || {
        let ran = workspace.hactl(&["resume", "--yes"]);
        assert!(ran.status == 0 || ran.stderr.contains("hactl resume"), "{ran}");
        ran.status == 0
    });
    let found = holds(&workspace, "again");
    assert!(found.contains("node-2 is in another boot than before"), "{found}");
    assert_eq!(boots().parse::<u32>().unwrap(), count + 1);
}
