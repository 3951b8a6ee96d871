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
use super::state::{Scene, State, replace};
use super::{Lab, cloud, store};
use crate::diagnostic::{Error, Result, codes};

/// Where the token of the lab's cloud is kept, in the workspace's folder.
const CLOUD_TOKEN: &str = "secrets/hcloud-token";

/// The bundled runbook that makes servers in the cloud.
const CELL0: &str = "cell0";

/// Its roles of the machine that is a server of the cloud from the start, beside those of the scene.
const CELL0_FIRST: (&str, &[&str]) = ("node-1", &["node"]);

/// The hosts whose servers it makes: their names, those of the servers, and their roles.
const CELL0_MADE: &[(&str, &str, &[&str])] =
    &[("node-2", "cell0-node-2", &["node", "new", "front"]), ("node-3", "cell0-node-3", &["node", "new"])];

/// Its input for the key that its servers let in.
const CELL0_KEY: &str = "operator_key";

/// What a lab's workspace is for.
#[derive(Debug, Clone)]
pub struct WorkspaceFor {
    /// The bundled runbook's name, or a path.
    pub runbook: String,
    /// The runbook's inputs.
    pub inputs: BTreeMap<String, Value>,
}

impl WorkspaceFor {
    /// Whether the lab's workspace has hosts whose servers a step makes.
    fn makes_servers(&self, state: &State) -> bool {
        state.scene.has_cloud() && purpose_name(self) == CELL0
    }
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
        let cloud = state.scene.has_cloud().then(|| cloud::Access::of(self)).transpose()?;
        if let Some(cloud) = &cloud {
            replace(&dir.join(CLOUD_TOKEN), cloud.token.expose_secret().as_bytes(), 0o600)?;
        }
        let recipient = age_identity(&dir.join("secrets/age-identity"))?;
        let mut purpose = purpose.clone();
        if purpose.makes_servers(&state) {
            let path = keys.join("id_ed25519.pub");
            let key = fs::read_to_string(&path).map_err(io("read", &path))?;
            let key = Value::String(key.trim().to_owned());
            purpose.inputs.entry(CELL0_KEY.to_owned()).or_insert(key);
        }
        let file = hactl_toml(&state, &purpose, &recipient, cloud.as_ref());
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
        .next("name another folder with --workspace, or move this one away"))
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

fn hactl_toml(
    state: &State,
    purpose: &WorkspaceFor,
    recipient: &str,
    cloud: Option<&cloud::Access>,
) -> String {
    let quoted = |text: &str| Value::String(text.to_owned()).to_string();
    let secret = |file: &str| format!("{{ file = \"secrets/{file}\" }}");
    let mut file = format!(
        "# Written by `hactl lab` for lab {lab}. A run here is a rehearsal: it reaches the lab and nothing else.\n\
         runbook = {}\nfleet = \"lab-{lab}\"\n\n[lab]\nname = \"{lab}\"\n",
        quoted(&purpose.runbook),
        lab = state.name,
    );
    if !purpose.inputs.is_empty() {
        file.push_str("\n[inputs]\n");
        for (name, value) in &purpose.inputs {
            file.push_str(&format!("{name} = {value}\n"));
        }
    }
    let makes_servers = purpose.makes_servers(state);
    file.push_str("\n[ssh]\nuser = \"ops\"\nidentity = \"secrets/id_ed25519\"\n");
    for machine in state.nodes() {
        let more = match CELL0_FIRST {
            (first, more) if makes_servers && machine.name.as_str() == first => more,
            _ => &[],
        };
        let roles = machine.roles.iter().map(|r| r.as_str()).chain(more.iter().copied());
        let roles: Vec<String> = roles.map(quoted).collect();
        file.push_str(&format!(
            "\n[[host]]\nname = \"{}\"\naddress = \"{address}\"\nprivate_address = \"{address}\"\nroles = [{}]\n",
            machine.name,
            roles.join(", "),
            address = machine.address,
        ));
    }
    for (name, server, roles) in CELL0_MADE.iter().filter(|_| makes_servers) {
        let roles: Vec<String> = roles.iter().copied().map(quoted).collect();
        file.push_str(&format!(
            "\n[[host]]\nname = \"{name}\"\nserver = \"{server}\"\nuser = \"root\"\nroles = [{}]\n",
            roles.join(", ")
        ));
    }
    file.push_str(&format!(
        "\n[s3]\nendpoint = \"https://{}:{}\"\nregion = \"lab\"\nbucket = {}\npath_style = true\nca = \"lab-ca.pem\"\n\
         access_key = {}\nsecret_key = {}\nrestore_access_key = {}\nrestore_secret_key = {}\n",
        store::NAME,
        store::PORT,
        quoted(&format!("{}-backups", purpose_name(purpose))),
        secret("s3-operator.key"),
        secret("s3-operator.secret"),
        secret("s3-restore.key"),
        secret("s3-restore.secret"),
    ));
    if let Some(cloud) = cloud {
        let endpoint = quoted(&cloud.endpoint);
        file.push_str(&format!(
            "\n[hcloud]\nendpoint = {endpoint}\nca = \"lab-ca.pem\"\ntoken = {{ file = \"{CLOUD_TOKEN}\" }}\n"
        ));
    }
    match state.scene {
        Scene::Empty { .. } => {}
        Scene::SingleServer => file.push_str(
            "\n[postgres]\ninstance = \"systemd\"\nrole = \"postgres\"\nversion = \"17\"\ncluster = \"main\"\n",
        ),
    }
    file.push_str(&format!(
        "\n[pgbackrest]\ncipher_pass = {}\n\n[age]\nrecipients = [{}]\nidentity = {}\n",
        secret("pgbackrest-cipher"),
        quoted(recipient),
        secret("age-identity"),
    ));
    file
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
