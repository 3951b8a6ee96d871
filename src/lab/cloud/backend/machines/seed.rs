//! What a new server's first boot finds: its name, who may log in, and the user data, for cloud-init.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::super::super::model::Server;
use super::super::Project;
use super::Machines;
use crate::diagnostic::Result;
use crate::lab::exec::io;
use crate::lab::machine;

impl Machines {
    /// Makes the server's disk, its namespace and its seed. One that was begun already is begun anew.
    pub(super) fn create(&self, project: &Project, server: &Server) -> Result<()> {
        self.remove(server)?;
        let own = self.dir().join(Self::folder(server.meta.id));
        for part in ["upper/var/lib/cloud/seed/nocloud", "upper/etc", "work", "root"] {
            let path = own.join(part);
            fs::create_dir_all(&path).map_err(io("make", &path))?;
        }
        let put = |at: &str, text: &str, mode: u32| {
            let path = own.join("upper").join(at);
            fs::write(&path, text).map_err(io("write", &path))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(io("protect", &path))
        };
        let name = &server.meta.name;
        let meta = serde_json::json!({
            "instance-id": server.meta.id.to_string(), "local-hostname": name, "public-keys": server.keys,
        });
        put("var/lib/cloud/seed/nocloud/meta-data", &meta.to_string(), 0o600)?;
        let data = server.user_data.as_deref().unwrap_or("#cloud-config\n{}\n");
        put("var/lib/cloud/seed/nocloud/user-data", data, 0o600)?;
        put("etc/hostname", &format!("{name}\n"), 0o644)?;
        let hosts = machine::hosts(&self.lab.state()?);
        put("etc/hosts", &format!("{hosts}127.0.1.1 {name}\n"), 0o644)?;
        if let Some(ip) = server.ipv4 {
            self.by_networkd(&own.join("upper"), ip)?;
        }
        self.connect(project, server)
    }

    /// Has the system configure its public interface itself, as those of the provider's images do: whoever adds an address
    /// there for the next boot finds whom to tell.
    fn by_networkd(&self, upper: &Path, ip: Ipv4Addr) -> Result<()> {
        let folder = upper.join("etc/systemd/network");
        let wants = upper.join("etc/systemd/system/multi-user.target.wants");
        for path in [&folder, &wants] {
            fs::create_dir_all(path).map_err(io("make", path))?;
        }
        let (range, gateway) = (self.floating_range()?, self.lab.state()?.gateway());
        let text = format!(
            "[Match]\nName=eth0\n\n[Network]\nAddress={ip}/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n\n\
             [Route]\nDestination={range}\nGateway={gateway}\n"
        );
        let path = folder.join("10-eth0.network");
        fs::write(&path, text).map_err(io("write", &path))?;
        let link = wants.join("systemd-networkd.service");
        symlink("/usr/lib/systemd/system/systemd-networkd.service", &link).map_err(io("make", &link))
    }

    /// Takes the machine, its namespace and its disk away.
    pub(crate) fn remove(&self, server: &Server) -> Result<()> {
        self.power_off(server)?;
        if server.existing.is_some() {
            // Its disk is the lab's, as its scene made it.
            return Ok(());
        }
        let own = self.dir().join(Self::folder(server.meta.id));
        let _held = Self::held(&self.network);
        crate::lab::network::delete(&self.namespace(server))?;
        remove_folder(&own)
    }
}

pub(super) fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io("remove", path)(e)),
        _ => Ok(()),
    }
}
