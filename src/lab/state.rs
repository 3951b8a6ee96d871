//! What a lab was asked to be, in one file: `labs/<name>/state.json`.
//!
//! Invariant: the file is replaced as a whole and holds no process id, mount or anything else that a restart of the
//! computer would make a lie; what is running is asked of the kernel.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::exec::io;
use super::image::Image;
use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::name::{HostName, NameError, RoleName};

/// The version of the state file that this hactl writes and reads.
const VERSION: u32 = 4;
/// The second octet of every lab's network, `10.77.<slot>.0/24`.
const NETWORK: u8 = 77;
/// How many slots there are; two labs at once never have the same one.
const SLOTS: u8 = 250;
/// Longest lab name: it becomes part of a machine name, which systemd-nspawn limits to 64.
const MAX_LAB_NAME: usize = 20;

/// A lab's name: `a-z`, `0-9` and `-`, at most 20, no dot.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabName(String);

impl LabName {
    /// Checks and wraps a text.
    ///
    /// # Errors
    /// What is wrong with it as a name.
    pub fn new(text: &str) -> Result<Self, NameError> {
        HostName::new(text)?;
        if text.contains('.') {
            return Err(NameError::Character('.'));
        }
        if text.len() > MAX_LAB_NAME {
            return Err(NameError::TooLong(text.len()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl FromStr for LabName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for LabName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<LabName> for String {
    fn from(name: LabName) -> Self {
        name.0
    }
}

/// Which machines a lab begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Scene {
    /// So many plain Debian machines, `node-1` and on.
    Empty {
        /// How many.
        nodes: u8,
    },
    /// What most plans begin with: `node-1` with PostgreSQL 17, the business's and the workflow engine's databases
    /// and a writer at about 20 transactions a second; beside it the empty `prover`.
    SingleServer,
}

impl Scene {
    /// Whether the lab has a cloud, in which `node-1` is a server.
    pub(crate) fn has_cloud(&self) -> bool {
        match self {
            Self::Empty { .. } => false,
            Self::SingleServer => true,
        }
    }
}

/// What a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MachineKind {
    /// A Debian machine with systemd and SSH.
    Debian,
    /// The S3 server; it is a process with a disk and an address, without a system around it.
    ObjectStore,
}

/// Whether a machine is meant to be running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// It was started.
    On,
    /// It was killed or shut down.
    Off,
}

/// Whether a machine's port of the bridge is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// It reaches the others.
    Connected,
    /// It reaches nobody and nobody reaches it.
    Cut,
}

/// Whether the last thing that was done to a lab as a whole came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// It did.
    Finished,
    /// It goes on, or hactl was killed in it: what is there is not to be trusted.
    Unfinished,
}

/// One machine of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineState {
    /// Its host name.
    pub name: HostName,
    /// What it is.
    pub kind: MachineKind,
    /// Its roles in the workspace that the lab writes.
    pub roles: Vec<RoleName>,
    /// Its address on the bridge.
    pub address: Ipv4Addr,
    /// The read-only layers of its disk, lowest first, as paths below the lab's folder.
    pub layers: Vec<PathBuf>,
    /// Whether it is meant to run.
    pub power: Power,
    /// Whether it is meant to be connected.
    pub link: Link,
}

/// A snapshot: which layers each machine's disk had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// When it was taken.
    pub at: jiff::Timestamp,
    pub(crate) layers: BTreeMap<HostName, Vec<PathBuf>>,
}

/// A lab, as `state.json` holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// The lab's name.
    pub name: LabName,
    /// Which of the labs' networks is its own.
    pub slot: u8,
    /// The digest of the image's recipe.
    pub image: Digest,
    /// What it began with.
    pub scene: Scene,
    /// Whether it was made, snapshotted or restored to the end.
    pub work: Work,
    /// Its machines.
    pub machines: Vec<MachineState>,
    /// What it can be put back to.
    pub snapshots: Vec<Snapshot>,
}

impl State {
    /// What a new lab of this scene will be.
    pub(crate) fn plan(name: &LabName, scene: &Scene, image: &Image) -> Result<Self> {
        let slot = free_slot(name);
        let node = |name: &str, role: &str, last: u8, layers: &[&str]| -> Result<MachineState> {
            Ok(MachineState {
                name: HostName::new(name).map_err(bad_name)?,
                kind: MachineKind::Debian,
                roles: vec![RoleName::new(role).map_err(bad_name)?],
                address: Ipv4Addr::new(10, NETWORK, slot, last),
                layers: layers.iter().map(PathBuf::from).collect(),
                power: Power::On,
                link: Link::Connected,
            })
        };
        let store = MachineState {
            kind: MachineKind::ObjectStore,
            roles: Vec::new(),
            ..node("s3", "store", 5, &["image/empty"])?
        };
        let mut machines = vec![store];
        match scene {
            Scene::Empty { nodes } => {
                for n in 1..=*nodes {
                    machines.push(node(&format!("node-{n}"), "node", 10 + n, &["image/base"])?);
                }
            }
            Scene::SingleServer => {
                machines.push(node("node-1", "postgres", 11, &["image/base", "image/single-server"])?);
                machines.push(node("prover", "prover", 20, &["image/base"])?);
            }
        }
        Ok(Self {
            version: VERSION,
            name: name.clone(),
            slot,
            image: image.digest,
            scene: scene.clone(),
            work: Work::Unfinished,
            machines,
            snapshots: Vec::new(),
        })
    }

    /// The bridge's own address, from which the operator's computer speaks to the machines.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, NETWORK, self.slot, 1)
    }

    /// The Debian machines, without the object store.
    pub fn nodes(&self) -> impl Iterator<Item = &MachineState> {
        self.machines.iter().filter(|m| m.kind == MachineKind::Debian)
    }

    /// A machine by its name.
    ///
    /// # Errors
    /// There is none; the error lists those there are.
    pub fn machine(&self, name: &HostName) -> Result<&MachineState> {
        self.machines.iter().find(|m| m.name == *name).ok_or_else(|| {
            let names: Vec<&str> = self.machines.iter().map(|m| m.name.as_str()).collect();
            Error::new(codes::LAB_NO_MACHINE, format!("lab {} has no machine {name}", self.name))
                .state(format!("nothing was done; its machines are {}", names.join(", ")))
                .next(format!("hactl lab status --name {}", self.name))
        })
    }

    /// Reads the file; `None` where there is no lab.
    pub(crate) fn load(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join("state.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io("read", &path)(e)),
        };
        let unreadable = |why: String| {
            // The folder's name is the lab's.
            let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            Error::new(codes::LAB_STATE, format!("{} cannot be read by this hactl", path.display()))
                .state(format!("lab {name} was left as it is"))
                .next(format!("hactl lab --name {name} down    (takes down what there is of it)"))
                .source(why)
        };
        let state: Self = serde_json::from_slice(&bytes).map_err(|e| unreadable(e.to_string()))?;
        if state.version != VERSION {
            return Err(unreadable(format!("it has version {}, this hactl knows {VERSION}", state.version)));
        }
        Ok(Some(state))
    }

    /// Replaces the file, and says whether the work on the lab has come to its end.
    pub(crate) fn save_as(&mut self, work: Work, dir: &Path) -> Result<()> {
        self.work = work;
        self.save(dir)
    }

    /// Replaces the file.
    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        let path = dir.join("state.json");
        let json = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::new(codes::INTERNAL, "the lab's state has no JSON form").source(e))?;
        replace(&path, &json, 0o600)
    }
}

fn bad_name(e: NameError) -> Error {
    Error::new(codes::INTERNAL, "a machine's name is not a name").source(e)
}

/// A slot that no other lab has; labs of the same name get the same one again where they can.
fn free_slot(name: &LabName) -> u8 {
    let labs = super::home().join("labs");
    let others = fs::read_dir(labs).into_iter().flatten().flatten();
    let taken: Vec<u8> = others
        .filter(|e| e.file_name() != name.as_str())
        .filter_map(|e| State::load(&e.path()).ok().flatten().map(|s| s.slot))
        .collect();
    let first = u8::from_str_radix(&Digest::of(name.as_str()).short()[..2], 16).unwrap_or(0) % SLOTS;
    (0..SLOTS).map(|n| (first + n) % SLOTS).find(|slot| !taken.contains(slot)).unwrap_or(first)
}

/// Writes a file as a whole, with its mode.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    use std::io::Write as _;
    let write = || -> std::io::Result<()> {
        let mut file = atomic_write_file::AtomicWriteFile::open(path)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.commit()
    };
    write().map_err(io("write", path))
}

#[cfg(test)]
mod tests {
    use super::LabName;

    #[test]
    fn a_lab_name_cannot_be_mistaken_for_a_machine_of_another_lab() {
        assert!(LabName::new("default").is_ok());
        assert!(LabName::new("a.node-1").is_err());
        assert!(LabName::new("../x").is_err());
        assert!(LabName::new("a-name-that-is-too-long-for-it").is_err());
    }
}
