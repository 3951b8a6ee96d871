//! Snapshots: the disks of all machines at one moment, so that a test can begin just before the step it is about.
//!
//! Invariant: a snapshot is of every machine, the object store and the cloud together, taken while all are stopped, so the
//! world in it is consistent. Nothing of a machine is copied: its own layer becomes a read-only one, and an empty layer is
//! laid over it. Restoring throws the uppermost layers away. What the cloud made is copied, with its project.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::cloud::Whole;
use super::exec::io;
use super::progress::Progress;
use super::state::{Link, MachineState, Power, Snapshot, State, Work};
use super::{BOOT_DEADLINE, Lab, lock, machine, network};
use crate::diagnostic::{Error, Result, codes};
use crate::name::HostName;

/// How long a machine may take to shut down before its power is taken.
const SHUTDOWN: Duration = Duration::from_secs(30);

impl Lab {
    /// Shuts all machines down, keeps their disks under a name, and starts them again. A snapshot of the same name is
    /// replaced. Connections into the lab end.
    ///
    /// # Errors
    /// There is no such lab, or a machine does not come back.
    pub fn snapshot(&self, name: &str, at: jiff::Timestamp, progress: &dyn Fn(Progress)) -> Result<()> {
        HostName::new(name).map_err(|e| {
            Error::new(codes::USAGE, format!("{name:?} cannot be a snapshot's name")).source(e)
        })?;
        let _held = lock::hold(&self.name)?;
        let mut state = self.state()?;
        state.save_as(Work::Unfinished, &self.dir)?;
        if let Some(cloud) = Whole::of(self, &state) {
            cloud.pause()?;
            cloud.keep(name)?;
        }
        machine::shut_down(&state, SHUTDOWN)?;
        let count = self.layer_count()?;
        for (n, there) in state.machines.iter_mut().enumerate() {
            let own = self.dir.join(machine::folder(there));
            let layer = PathBuf::from("layers").join(format!("{}", count + n));
            let (from, to) = (own.join("upper"), self.dir.join(&layer));
            fs::rename(&from, &to).map_err(io("keep", &from))?;
            there.layers.push(layer);
            self.empty(there)?;
        }
        let layers = state.machines.iter().map(|m| (m.name.clone(), m.layers.clone())).collect();
        state.snapshots.retain(|s| s.name != name);
        state.snapshots.push(Snapshot { name: name.to_owned(), at, layers });
        state.save(&self.dir)?;
        self.go_on(&state, progress)?;
        state.save_as(Work::Finished, &self.dir)
    }

    /// Takes every machine's power, puts the disks back to what the snapshot holds, connects and starts all machines.
    ///
    /// # Errors
    /// There is no such lab or snapshot, or a machine does not come back.
    pub fn restore(&self, name: &str, progress: &dyn Fn(Progress)) -> Result<()> {
        let _held = lock::hold(&self.name)?;
        let mut state = self.state()?;
        let Some(snapshot) = state.snapshots.iter().find(|s| s.name == name).cloned() else {
            let names: Vec<&str> = state.snapshots.iter().map(|s| s.name.as_str()).collect();
            return Err(Error::new(
                codes::LAB_NO_SNAPSHOT,
                format!("lab {} has no snapshot {name}", self.name),
            )
            .state(format!(
                "nothing was done; its snapshots: {}",
                if names.is_empty() { "none".into() } else { names.join(", ") }
            ))
            .next(format!("hactl lab status --name {}", self.name)));
        };
        if let Some(cloud) = Whole::of(self, &state) {
            cloud.has(name)?;
        }
        state.save_as(Work::Unfinished, &self.dir)?;
        if let Some(cloud) = Whole::of(self, &state) {
            cloud.pause()?;
            cloud.put_back(name)?;
        }
        for there in &state.machines {
            machine::kill(&state, there)?;
        }
        for there in &mut state.machines {
            self.empty(there)?;
            if let Some(layers) = snapshot.layers.get(&there.name) {
                there.layers.clone_from(layers);
            }
            there.power = Power::On;
            there.link = Link::Connected;
        }
        state.save(&self.dir)?;
        self.forget_unused(&state)?;
        self.go_on(&state, progress)?;
        state.save_as(Work::Finished, &self.dir)
    }

    /// Starts what is meant to run, and waits for it.
    fn go_on(&self, state: &State, progress: &dyn Fn(Progress)) -> Result<()> {
        let meant = || state.machines.iter().filter(|m| m.power == Power::On);
        for there in meant() {
            network::set_link(state, there, there.link)?;
            machine::start(&self.dir, state, there)?;
            progress(Progress::Starting(there.name.clone()));
        }
        for there in meant().filter(|m| m.link == Link::Connected) {
            machine::wait_ready(&self.dir, state, there, BOOT_DEADLINE)?;
            progress(Progress::Ready(there.name.clone()));
        }
        Whole::of(self, state).map_or(Ok(()), |cloud| cloud.go_on())
    }

    /// Gives a machine an empty layer of its own.
    fn empty(&self, machine: &MachineState) -> Result<()> {
        let own = self.dir.join(machine::folder(machine));
        for part in ["upper", "work"].map(|p| own.join(p)) {
            if part.exists() {
                fs::remove_dir_all(&part).map_err(io("remove", &part))?;
            }
            fs::create_dir(&part).map_err(io("make", &part))?;
        }
        Ok(())
    }

    /// One more than the highest number a layer has.
    fn layer_count(&self) -> Result<usize> {
        let path = self.dir.join("layers");
        let entries = fs::read_dir(&path).map_err(io("read", &path))?;
        let numbers = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<usize>().ok());
        Ok(numbers.max().map_or(1, |n| n + 1))
    }

    /// Removes layers that neither a machine nor a snapshot has any more.
    fn forget_unused(&self, state: &State) -> Result<()> {
        let path = self.dir.join("layers");
        let used: Vec<&PathBuf> = state
            .machines
            .iter()
            .flat_map(|m| &m.layers)
            .chain(state.snapshots.iter().flat_map(|s| s.layers.values().flatten()))
            .collect();
        for entry in fs::read_dir(&path).map_err(io("read", &path))?.flatten() {
            let layer = PathBuf::from("layers").join(entry.file_name());
            if !used.contains(&&layer) {
                fs::remove_dir_all(entry.path()).map_err(io("remove", &entry.path()))?;
            }
        }
        Ok(())
    }
}
