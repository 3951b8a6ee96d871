//! A fleet of many private sshds, each as a machine of its own, and a workspace whose one step runs on all of them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::sshd::Sshd;

/// The fleet and its workspace.
pub(crate) struct Many {
    sshds: Vec<Sshd>,
    workspace: TempDir,
}

impl Many {
    /// So many hosts, and a step of these lines that runs on all of them.
    pub(crate) fn start(hosts: usize, step: &str) -> Self {
        let sshds: Vec<_> = (0..hosts).map(|_| Sshd::start_apart()).collect();
        let many = Self { sshds, workspace: tempfile::tempdir().unwrap() };
        for (index, sshd) in many.sshds.iter().enumerate() {
            std::fs::copy(many.first().join("id.pub"), sshd.dir.path().join("authorized_keys")).unwrap();
            std::fs::write(many.lib(index).join("name"), Self::name(index)).unwrap();
        }
        many.step(step);
        many.begin(hosts);
        many
    }

    /// Makes this the step.
    pub(crate) fn step(&self, step: &str) {
        std::fs::write(
            self.path().join("many.toml"),
            format!(
                "[runbook]\nname = \"many\"\ntitle = \"Many hosts\"\nsummary = \"For tests.\"\n\n\
                 [roles.all]\nhelp = \"every host\"\n\n[[phase]]\nid = \"0\"\ntitle = \"All of them\"\n\n\
                 [[phase.step]]\nid = \"all\"\ntitle = \"The same on every host\"\non = \"all\"\n{step}"
            ),
        )
        .unwrap();
    }

    /// The workspace with so many of the hosts, as it was before any run; on the hosts, what a run left is gone too.
    pub(crate) fn begin(&self, hosts: usize) {
        let state = self.path().join(".hactl");
        let _ = std::fs::remove_dir_all(&state);
        std::fs::create_dir(&state).unwrap();
        let mut toml = format!(
            "runbook = \"./many.toml\"\nfleet = \"many\"\n\n[ssh]\nuser = \"root\"\nidentity = \"{}\"\n",
            self.identity().display()
        );
        for (index, sshd) in self.sshds.iter().enumerate().take(hosts) {
            let (name, port) = (Self::name(index), sshd.port);
            let _ = write!(
                toml,
                "\n[[host]]\nname = \"{name}\"\naddress = \"127.0.0.1\"\nport = {port}\nroles = [\"all\"]\n"
            );
            for left in ["hactl", "done"] {
                let left = self.lib(index).join(left);
                let _ = std::fs::remove_dir_all(&left);
                let _ = std::fs::remove_file(&left);
            }
        }
        std::fs::write(self.path().join("hactl.toml"), toml).unwrap();
        std::fs::write(state.join("known_hosts"), self.known_hosts(hosts)).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.workspace.path()
    }

    pub(crate) fn name(index: usize) -> String {
        format!("host-{index}")
    }

    /// What is /var/lib on a host.
    pub(crate) fn lib(&self, index: usize) -> PathBuf {
        self.sshds[index].dir.path().join("lib")
    }

    /// Where a host's sshd listens on 127.0.0.1.
    #[allow(dead_code, reason = "only the benchmark connects by itself")]
    pub(crate) fn port(&self, index: usize) -> u16 {
        self.sshds[index].port
    }

    /// The key that logs in to every host.
    pub(crate) fn identity(&self) -> PathBuf {
        self.first().join("id")
    }

    /// The host keys of the first so many.
    pub(crate) fn known_hosts(&self, hosts: usize) -> String {
        let hosts = self.sshds.iter().enumerate().take(hosts);
        hosts.map(|(index, sshd)| format!("{} {}\n", Self::name(index), sshd.public_key())).collect()
    }

    fn first(&self) -> &Path {
        self.sshds[0].dir.path()
    }

    /// hactl in the workspace.
    pub(crate) fn hactl(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hactl"));
        command.args(args).current_dir(self.path()).env_clear().env("PATH", "/usr/bin:/bin");
        command.env("HOME", self.path()).env("USER", "tester").stdin(Stdio::null());
        command
    }
}
