//! The cloud as a process of a lab: started by `lab up`, inside the lab's network namespace, gone with the lab.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::backend::Machines;
use super::keep;
use super::model::{Existing, Ground, Project};
use super::serve::{Cloud, CloudSettings, Tls};
use crate::diagnostic::{Error, Result, codes};
use crate::lab::exec::{PATH, io, wait_until};
use crate::lab::state::{MachineKind, State, replace};
use crate::lab::status::{CloudSeen, CloudServer, Reality, Running};
use crate::lab::{DIR_VARIABLE, Lab, machine, network, store};

/// Its name in every machine's /etc/hosts, and in its certificate.
pub(crate) const NAME: &str = "cloud.lab";
/// Where it answers, on the bridge's own address.
const PORT: u16 = 8444;
/// How long it may take until it answers.
const START: Duration = Duration::from_secs(20);
/// The second octet of the floating IPs' range; the others are those of the lab's own range.
const FLOATING: u8 = 78;
/// The last octets of what it gives: behind those of the scene's own machines.
const OCTETS: (u8, u8) = (100, 249);

pub(super) fn project_file(lab: &Lab) -> PathBuf {
    lab.dir.join("cloud/project.json")
}

fn token_file(dir: &Path) -> PathBuf {
    dir.join("keys/cloud.token")
}

/// Makes what it needs before it starts: its folder, its token.
pub(crate) fn prepare(dir: &Path) -> Result<()> {
    let own = dir.join("cloud");
    fs::create_dir_all(&own).map_err(io("make", &own))?;
    replace(&token_file(dir), store::random::<32>()?.as_bytes(), 0o600)
}

/// The first address of the range of floating IPs, from the lab's own gateway.
pub(crate) fn floating_ground(gateway: Ipv4Addr) -> Ipv4Addr {
    let [a, _, c, _] = gateway.octets();
    Ipv4Addr::new(a, FLOATING, c, 0)
}

/// What a client needs.
#[derive(Debug)]
pub struct Access {
    /// The API's endpoint, with `/v1`.
    pub endpoint: String,
    /// A token that may do everything.
    pub token: SecretString,
    /// The file of the certificate authority that signed its certificate.
    pub ca: PathBuf,
}

impl Access {
    /// That of a lab.
    ///
    /// # Errors
    /// There is no such lab, or it has no cloud.
    pub fn of(lab: &Lab) -> Result<Self> {
        let state = lab.state()?;
        if !state.scene.has_cloud() {
            return Err(Error::new(codes::LAB_NO_MACHINE, format!("lab {} has no cloud", lab.name))
                .state("a lab of plain machines has none; the one of the single server has"));
        }
        let path = token_file(&lab.dir);
        let token = fs::read_to_string(&path).map_err(io("read", &path))?;
        Ok(Self {
            endpoint: format!("https://{NAME}:{PORT}/v1"),
            token: token.into(),
            ca: lab.dir.join("keys/lab-ca.pem"),
        })
    }
}

/// The scene's own servers that the project begins with.
fn existing(state: &State) -> Vec<Existing> {
    let own = state.machines.iter().filter(|m| m.kind == MachineKind::Debian && m.name.as_str() == "node-1");
    own.map(|m| Existing {
        name: format!("cell0-{}", m.name),
        machine: m.name.to_string(),
        ipv4: m.address,
        location: "hel1".to_owned(),
        server_type: "cx33".to_owned(),
    })
    .collect()
}

/// Starts it where the scene has a cloud and it does not run.
pub(crate) fn ensure(lab: &Lab, state: &State) -> Result<()> {
    if !state.scene.has_cloud() || answers(lab, state) {
        return Ok(());
    }
    let failed = |why: String| {
        Error::new(codes::LAB_BOOT, format!("the cloud of lab {} does not start", lab.name)).source(why)
    };
    let own = std::env::current_exe().map_err(io("find", Path::new("hactl")))?;
    let path = lab.dir.join("cloud/log");
    let out = File::options().create(true).append(true).open(&path).map_err(io("open", &path))?;
    let errors = out.try_clone().map_err(io("open", &path))?;
    let mut command = Command::new("setsid");
    command.args(["--fork", "nsenter"]).arg(format!("--net={}", lab.namespace_path().display())).arg("--");
    command.arg(own).args(["lab", "--name", lab.name.as_str(), "cloud-serve"]);
    command.current_dir(&lab.dir).env_clear().env("PATH", PATH);
    if let Some(dir) = std::env::var_os(DIR_VARIABLE) {
        command.env(DIR_VARIABLE, dir);
    }
    command.stdin(Stdio::null()).stdout(out).stderr(errors);
    let status = command.status().map_err(|e| failed(e.to_string()))?;
    if status.success() && wait_until(START, || answers(lab, state)) {
        return Ok(());
    }
    Err(failed(fs::read_to_string(&path).unwrap_or_default()))
}

fn answers(lab: &Lab, state: &State) -> bool {
    network::answers(&lab.name, state.gateway().into(), PORT, Duration::from_millis(200))
}

/// Is the cloud of a lab, until it is ended. The caller is in the lab's network namespace.
///
/// # Errors
/// The lab is not up, or it cannot listen there.
pub fn serve(lab: &Lab) -> Result<()> {
    let state = lab.state()?;
    refuse_elsewhere(lab)?;
    let access = Access::of(lab)?;
    let read = |name: &str| {
        let path = lab.dir.join("keys").join(name);
        fs::read(&path).map_err(io("read", &path))
    };
    let [a, b, c, _] = state.gateway().octets();
    let [fa, fb, fc, _] = floating_ground(state.gateway()).octets();
    let settings = CloudSettings {
        address: (state.gateway(), PORT).into(),
        token: access.token.expose_secret().to_owned(),
        file: Some(project_file(lab)),
        tls: Some(Tls { certificate: read("cloud.pem")?, key: read("cloud.key")? }),
        ground: Ground { public: [a, b, c], octets: OCTETS, floating: [fa, fb, fc] },
        existing: existing(&state),
        ..CloudSettings::local(Machines::of(lab.clone())?)
    };
    Cloud::start(settings)?.wait();
    Ok(())
}

/// Refuses to be a cloud in another network namespace than the lab's: it switches routing on where it is.
fn refuse_elsewhere(lab: &Lab) -> Result<()> {
    let inode = |path: &Path| fs::metadata(path).map(|m| (m.dev(), m.ino())).map_err(io("read", path));
    if inode(Path::new("/proc/self/ns/net"))? == inode(&lab.namespace_path())? {
        return Ok(());
    }
    Err(Error::new(codes::LAB_SEAL, format!("this is not the network of lab {}", lab.name))
        .state("nothing was started, nothing was changed")
        .next(format!("hactl lab --name {} up    (starts the cloud where it belongs)", lab.name)))
}

/// The cloud of a lab as it is now.
pub(crate) fn look(lab: &Lab, state: &State) -> Result<Option<CloudSeen>> {
    if !state.scene.has_cloud() {
        return Ok(None);
    }
    let project = keep::load(&project_file(lab))?.unwrap_or_else(|| Project::new(Ground::default()));
    let yes = |holds| if holds { Running::Yes } else { Running::No };
    let made = project.servers.values().filter(|s| s.existing.is_none());
    let servers = made.map(|s| CloudServer {
        name: s.meta.name.clone(),
        address: s.ipv4,
        running: yes(machine::first_in(&namespace_of(lab, s.meta.id)).is_some()),
    });
    Ok(Some(CloudSeen {
        address: state.gateway(),
        running: yes(answers(lab, state)),
        reality: Reality::StandIn("the Hetzner Cloud API; it makes real machines"),
        servers: servers.collect(),
    }))
}

/// The namespace of what the cloud made for an object.
pub(crate) fn namespace_of(lab: &Lab, id: super::model::Id) -> String {
    format!("{}.c{id}", network::lab_namespace(&lab.name))
}
