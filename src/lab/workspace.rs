//! The workspace that a lab writes: `hactl.toml` and everything it refers to.
//!
//! Invariant: it names the lab, so that hactl enters it; every secret in it was made for this lab, is in a file of
//! its own with mode 0600, and reaches nothing outside. What belongs to a production workspace never comes here.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::path::Path;

use secrecy::ExposeSecret as _;
use toml::{Table, Value};

use super::exec::io;
use super::state::{MachineKind, State, replace};
use super::{Lab, store};
use crate::diagnostic::{Error, Result, codes};

/// What a lab's workspace is for.
#[derive(Debug, Clone)]
pub struct WorkspaceFor {
    /// The bundled runbook's name, or a path.
    pub runbook: String,
    /// The runbook's inputs.
    pub inputs: BTreeMap<String, Value>,
}

impl Lab {
    /// Writes a workspace for this lab into `dir`, which is made where it is missing. A workspace of the same lab that
    /// is already there keeps its age identity and its cipher pass: what they have encrypted must stay readable.
    ///
    /// # Errors
    /// The lab is not up, `dir` holds a workspace that is not this lab's, or a file cannot be written.
    pub fn write_workspace(&self, dir: &Path, purpose: &WorkspaceFor) -> Result<()> {
        let state = self.state()?;
        self.refuse_foreign(dir)?;
        let keys = self.dir.join("keys");
        for folder in [dir.to_owned(), dir.join("secrets"), dir.join(".hactl")] {
            fs::create_dir_all(&folder).map_err(io("make", &folder))?;
        }
        for folder in ["secrets", ".hactl"].map(|f| dir.join(f)) {
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))
                .map_err(io("protect", &folder))?;
        }
        let copy = |from: &str, to: &str, mode: u32| -> Result<()> {
            let from = keys.join(from);
            replace(&dir.join(to), &fs::read(&from).map_err(io("read", &from))?, mode)
        };
        copy("id_ed25519", "secrets/id_ed25519", 0o600)?;
        copy("lab-ca.pem", "lab-ca.pem", 0o644)?;
        for name in [store::OPERATOR, store::RESTORE] {
            for part in ["key", "secret"] {
                copy(&format!("s3-{name}.{part}"), &format!("secrets/s3-{name}.{part}"), 0o600)?;
            }
        }
        copy("../known_hosts", ".hactl/known_hosts", 0o600)?;
        let cipher = dir.join("secrets/pgbackrest-cipher");
        if !cipher.exists() {
            replace(&cipher, store::random::<32>()?.as_bytes(), 0o600)?;
        }
        let recipient = age_identity(&dir.join("secrets/age-identity"))?;
        let file = hactl_toml(&state, purpose, &recipient)?;
        replace(&dir.join("hactl.toml"), file.as_bytes(), 0o644)?;
        give_back(dir)
    }

    fn refuse_foreign(&self, dir: &Path) -> Result<()> {
        let path = dir.join("hactl.toml");
        let Ok(text) = fs::read_to_string(&path) else { return Ok(()) };
        let table: Table = toml::from_str(&text).unwrap_or_default();
        let lab = table.get("lab").and_then(|l| l.get("name")).and_then(Value::as_str);
        if lab == Some(self.name.as_str()) {
            return Ok(());
        }
        Err(Error::new(
            codes::LAB_WORKSPACE,
            format!("{} is not a workspace of lab {}", path.display(), self.name),
        )
        .state("nothing in it was changed")
        .next("give another folder"))
    }
}

/// Makes the age identity where it is missing, and says its recipient.
fn age_identity(path: &Path) -> Result<String> {
    if let Ok(text) = fs::read_to_string(path)
        && let Some(identity) = text.lines().find_map(|l| l.parse::<age::x25519::Identity>().ok())
    {
        return Ok(identity.to_public().to_string());
    }
    let identity = age::x25519::Identity::generate();
    replace(path, format!("{}\n", identity.to_string().expose_secret()).as_bytes(), 0o600)?;
    Ok(identity.to_public().to_string())
}

fn hactl_toml(state: &State, purpose: &WorkspaceFor, recipient: &str) -> Result<String> {
    let mut file = Table::new();
    let text = |t: &str| Value::String(t.to_owned());
    let table = |pairs: &[(&str, Value)]| {
        Value::Table(pairs.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect())
    };
    let secret = |path: &str| table(&[("file", text(path))]);
    file.insert("runbook".into(), text(&purpose.runbook));
    file.insert("fleet".into(), text(&format!("lab-{}", state.name)));
    file.insert("lab".into(), table(&[("name", text(state.name.as_str()))]));
    if !purpose.inputs.is_empty() {
        file.insert("inputs".into(), Value::Table(purpose.inputs.clone().into_iter().collect()));
    }
    file.insert("ssh".into(), table(&[("user", text("ops")), ("identity", text("secrets/id_ed25519"))]));
    let hosts = state.nodes().map(|machine| {
        let address = text(&machine.address.to_string());
        let roles = machine.roles.iter().map(|r| text(r.as_str())).collect();
        table(&[
            ("name", text(machine.name.as_str())),
            ("address", address.clone()),
            ("private_address", address),
            ("roles", Value::Array(roles)),
        ])
    });
    file.insert("host".into(), Value::Array(hosts.collect()));
    if state.machines.iter().any(|m| m.kind == MachineKind::ObjectStore) {
        let mut s3 = Table::new();
        s3.insert("endpoint".into(), text(&format!("https://{}:{}", store::NAME, store::PORT)));
        s3.insert("region".into(), text("lab"));
        s3.insert("bucket".into(), text(&format!("{}-backups", purpose_name(purpose))));
        s3.insert("path_style".into(), Value::Boolean(true));
        s3.insert("ca".into(), text("lab-ca.pem"));
        for (name, file) in [
            ("access_key", "operator.key"),
            ("secret_key", "operator.secret"),
            ("restore_access_key", "restore.key"),
            ("restore_secret_key", "restore.secret"),
        ] {
            s3.insert(name.into(), secret(&format!("secrets/s3-{file}")));
        }
        file.insert("s3".into(), Value::Table(s3));
    }
    let postgres = [("instance", "systemd"), ("role", "postgres"), ("version", "17"), ("cluster", "main")];
    if state.nodes().any(|m| m.roles.iter().any(|r| r.as_str() == "postgres")) {
        file.insert("postgres".into(), table(&postgres.map(|(k, v)| (k, text(v)))));
    }
    file.insert("pgbackrest".into(), table(&[("cipher_pass", secret("secrets/pgbackrest-cipher"))]));
    let recipients = Value::Array(vec![text(recipient)]);
    file.insert(
        "age".into(),
        table(&[("recipients", recipients), ("identity", secret("secrets/age-identity"))]),
    );
    let body = toml::to_string(&file)
        .map_err(|e| Error::new(codes::INTERNAL, "the lab's workspace has no TOML form").source(e))?;
    Ok(format!(
        "# Written by `hactl lab` for lab {}; it is sealed, and reaches nothing outside.\n{body}",
        state.name
    ))
}

/// The runbook's name as part of a bucket's name.
fn purpose_name(purpose: &WorkspaceFor) -> String {
    let stem = Path::new(&purpose.runbook).file_stem().map(|s| s.to_string_lossy().into_owned());
    let stem = stem.unwrap_or_default().to_lowercase();
    let kept: String = stem.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    if kept.is_empty() { "lab".to_owned() } else { kept }
}

/// Gives what hactl wrote as root back to whoever called it through sudo. Without sudo there is nothing to do.
///
/// # Errors
/// Something in the folder cannot be given away.
pub fn give_back(dir: &Path) -> Result<()> {
    let id = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let (Some(user), Some(group)) = (id("SUDO_UID"), id("SUDO_GID")) else { return Ok(()) };
    give(dir, user, group)
}

fn give(path: &Path, user: u32, group: u32) -> Result<()> {
    // A link is given away itself; what it points to is not followed.
    lchown(path, Some(user), Some(group)).map_err(io("give away", path))?;
    let kind = fs::symlink_metadata(path).map_err(io("read", path))?;
    if !kind.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(io("read", path))? {
        give(&entry.map_err(io("read", path))?.path(), user, group)?;
    }
    Ok(())
}
