//! The binary in a hermetic place: an empty environment and a folder of its own.
#![allow(dead_code, reason = "not every test binary uses all of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A folder of its own, and how hactl is started in it.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file, with the folders it needs.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// hactl with these arguments, nobody at its terminal.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hactl"));
        command.args(args);
        self.hermetic(command)
    }

    fn hermetic(&self, mut command: Command) -> Command {
        command
            .current_dir(self.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.path())
            .env("TZ", "UTC")
            .env("USER", "tester")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn hactl(&self, args: &[&str]) -> Ran {
        self.ran(self.command(args))
    }

    /// Another program, that starts hactl in its own way.
    pub(crate) fn run(&self, command: Command) -> Ran {
        self.ran(self.hermetic(command))
    }

    fn ran(&self, mut command: Command) -> Ran {
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec()).unwrap().replace(self.path().to_str().unwrap(), "[DIR]")
        };
        Ran {
            status: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

/// What became of it.
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "exit {}", self.status)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                writeln!(f, "--- {name}\n{}", text.trim_end())?;
            }
        }
        Ok(())
    }
}

/// A workspace of two hosts and a small runbook of its own.
pub(crate) fn small() -> Place {
    let place = Place::new();
    place.write("hactl.toml", HACTL_TOML);
    place.write("small.toml", SMALL_TOML);
    place
}

pub(crate) const HACTL_TOML: &str = r#"runbook = "./small.toml"
fleet = "pair"

[ssh]
user = "ops"

[[host]]
name = "node-1"
address = "192.0.2.1"
roles = ["web"]

[[host]]
name = "node-2"
address = "192.0.2.2"
roles = ["web"]
"#;

pub(crate) const SMALL_TOML: &str = r#"[runbook]
name = "small"
title = "Two tools on two hosts"
summary = "For tests."

[roles.web]
help = "where the tools go"

[[component]]
name = "tools"
tier = "none"
replicas = 2
survives = ["loss of a host"]
proven_by = ["failover"]

[[phase]]
id = "0"
title = "Tools"

[[phase.step]]
id = "jq"
title = "Install jq"
on = "web"
gate = "confirm"
[phase.step.action.apt_package]
packages = ["jq"]

[[phase]]
id = "1"
title = "More tools"

[[phase.step]]
id = "zstd"
title = "Install zstd"
on = "web"
[phase.step.action.apt_package]
packages = ["zstd"]
"#;

/// Hosts at whose port nobody listens.
pub(crate) fn unreachable() -> Place {
    let place = small();
    let text = HACTL_TOML.replace("192.0.2.1", "127.0.0.1").replace("192.0.2.2", "127.0.0.1");
    place.write("hactl.toml", &text.replace("[ssh]", "[ssh]\nport = 9"));
    place
}
