//! Floating IPs by hactl's own steps: the address leads to the server, its system has it, and a reboot changes nothing.

use std::fmt::Write as _;
use std::process::Command;

use serde_json::{Value, json};

use super::Test;
use super::cloud::{LONG, Project, answers};
use super::common::lab::{Lab, Scene, Workspace, eventually};

pub(crate) const TESTS: &[Test] = &[(
    "floating::an_ip_leads_to_a_server_also_after_its_reboot_and_is_taken_back",
    an_ip_leads_to_a_server_also_after_its_reboot_and_is_taken_back,
)];

/// Makes a server of the project a host of the workspace: the operator's user, and its host key pinned.
fn join(project: &Project<'_>, workspace: &Workspace<'_>, name: &str, ip: &str) {
    let identity = workspace.path().join("secrets/id_ed25519");
    let key = Command::new("ssh-keygen").arg("-y").arg("-f").arg(identity).output().unwrap();
    let key = String::from_utf8(key.stdout).unwrap();
    project.on(
        ip,
        &format!(
            "useradd --create-home --shell /bin/bash --password '*' ops
             printf 'ops ALL=(ALL) NOPASSWD: ALL\\n' > /etc/sudoers.d/ops
             chmod 440 /etc/sudoers.d/ops
             install -d -m 700 -o ops -g ops /home/ops/.ssh
             printf '%s\\n' '{}' > /home/ops/.ssh/authorized_keys
             chown ops: /home/ops/.ssh/authorized_keys",
            key.trim()
        ),
    );
    let host = format!("\n[[host]]\nname = \"{name}\"\naddress = \"{ip}\"\nroles = [\"edge\"]\n");
    workspace.edit("hactl.toml", |text| text + &host);
    workspace.edit(".hactl/known_hosts", |mut text| {
        let _ = writeln!(text, "{name} {}", project.read("host.pub"));
        text
    });
}

/// As an image does that leaves its network to systemd-networkd.
fn by_networkd(project: &Project<'_>, ip: &str) {
    project.on(
        ip,
        &format!(
            "printf '[Match]\\nName=eth0\\n[Network]\\nAddress={ip}/24\\nLinkLocalAddressing=no\\nIPv6AcceptRA=no\\n' \
             > /etc/systemd/network/10-eth0.network
             systemctl --quiet enable --now systemd-networkd.service"
        ),
    );
}

fn an_ip_leads_to_a_server_also_after_its_reboot_and_is_taken_back() {
    let lab = Lab::up("floating", Scene::SingleServer);
    let project = Project::of(&lab);
    project.key();
    let (id, ip) = project.server("edge-1", &json!({}));
    let workspace = lab.workspace("floating.toml");
    join(&project, &workspace, "edge-1", &ip);

    project.on(&ip, "systemctl --quiet disable --now systemd-networkd.service");
    // Nobody gives the interface its addresses at the next start: said before the system is changed.
    let refused = workspace.hactl(&["phase", "run", "0", "--yes"]);
    assert_ne!(refused.status, 0, "{refused}");
    assert!(format!("{refused}").contains("none of netplan, systemd-networkd and ifupdown"), "{refused}");

    by_networkd(&project, &ip);
    workspace.must(&["phase", "run", "0", "--yes"]);
    let made = || project.must("GET", "/floating_ips", &Value::Null)["floating_ips"].clone();
    let address = made()[0]["ip"].as_str().unwrap().to_owned();
    assert_eq!((&made()[0]["server"], &made()[0]["protection"]["delete"]), (&json!(id), &json!(true)));
    assert_eq!(project.on(&address, "hostname"), "edge-1");

    let boot = "cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1";
    let before = project.on(&ip, boot);
    // The interface loses its addresses when the server starts: what the system has then comes from its own files.
    project.must("POST", &format!("/servers/{id}/actions/reboot"), &Value::Null);
    eventually("another boot", LONG, || {
        let ran = project.ssh(&ip, boot);
        ran.status == 0 && ran.stdout.trim() != before
    });
    assert_eq!(project.on(&address, "hostname"), "edge-1");
    workspace.must(&["phase", "verify", "0"]);

    workspace.must(&["phase", "rollback", "0", "--yes"]);
    assert_eq!(made(), json!([]));
    assert!(!answers(&project, &address, 22), "the floating IP still answers");
    assert_eq!(project.on(&ip, "ls -A /etc/systemd/network"), "10-eth0.network");
    assert!(!project.on(&ip, "ip -o addr show").contains(&address));
}
