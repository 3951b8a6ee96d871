//! The folder of a lab as it is first made: its keys, the link to its image, its SSH configuration.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::exec::io;
use super::image::Image;
use super::state::{MachineKind, State, replace};
use super::{cloud, machine, store};
use crate::diagnostic::Result;

/// Makes it.
pub(crate) fn prepare(dir: &Path, state: &State, image: &Image) -> Result<()> {
    for folder in ["", "keys", "machines", "layers"] {
        let path = dir.join(folder);
        fs::create_dir_all(&path).map_err(io("make", &path))?;
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(io("protect", dir))?;
    let link = dir.join("image");
    std::os::unix::fs::symlink(&image.dir, &link).map_err(io("make", &link))?;
    if state.scene.has_cloud() {
        cloud::prepare(dir)?;
    }
    machine::make_key(&dir.join("keys/id_ed25519"), "operator of the lab")?;
    let mut known_hosts = String::new();
    for there in &state.machines {
        match there.kind {
            MachineKind::Debian => {}
            MachineKind::ObjectStore => {
                store::prepare(&dir.join("keys"), there, state.gateway())?;
                continue;
            }
        }
        let key = dir.join("keys").join(format!("{}.host", there.name));
        machine::make_key(&key, there.name.as_str())?;
        let public = key.with_extension("host.pub");
        let public = fs::read_to_string(&public).map_err(io("read", &public))?;
        known_hosts.push_str(&format!("{},{} {}\n", there.name, there.address, public.trim()));
    }
    replace(&dir.join("known_hosts"), known_hosts.as_bytes(), 0o600)?;
    replace(&dir.join("ssh_config"), ssh_config(dir, state).as_bytes(), 0o600)
}

fn ssh_config(dir: &Path, state: &State) -> String {
    let dir = dir.display();
    let mut text = String::new();
    for machine in state.nodes() {
        text.push_str(&format!("Host {}\n  HostName {}\n", machine.name, machine.address));
    }
    text.push_str(&format!(
        "Host *\n  User ops\n  IdentityFile \"{dir}/keys/id_ed25519\"\n  IdentitiesOnly yes\n  IdentityAgent none\n  \
         UserKnownHostsFile \"{dir}/known_hosts\"\n  GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n  \
         ControlPath none\n  ForwardAgent no\n  BatchMode yes\n  ConnectTimeout 5\n  LogLevel ERROR\n"
    ));
    text
}
