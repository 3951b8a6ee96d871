//! The sweep over a disk that fails and leaves the process alive: it must notice, stop, and try nothing again.

use hactl::diagnostic::codes;
use hactl::journal::fake::{Call, FakeDisk, Fault as DiskFault};

use super::{Crash, End, Job, Sweep};
use crate::world::Model;

/// What a call to the disk meets without the process being killed.
const DISK_FAULTS: [DiskFault; 5] =
    [DiskFault::Io, DiskFault::NoSpace, DiskFault::Short(0), DiskFault::Short(100), DiskFault::Interrupted];

impl Sweep {
    /// Every fault that every call to the disk can meet: the process must stop at once, before any effect that its
    /// record was for, and whoever goes on afterwards must come to the same end.
    fn explore_disk(&self, model: &Model, bytes: &[u8], job: Job, story: &str) {
        for fault in DISK_FAULTS {
            for call in 0.. {
                let (disk, mut after) = (FakeDisk::holding(bytes), model.clone());
                disk.fail_at(call, fault);
                let (end, disk) = self.process_on(disk, &mut after, job, Crash::Never);
                let calls = disk.calls();
                let Some(met) = calls.get(call) else { break };
                let story = format!("{story}, {fault:?} in disk call {call} ({met:?})");
                // A signal before a write took anything is the one thing that may be tried again.
                let harmless = fault == DiskFault::Interrupted && *met == Call::Append;
                let stopped = match &end {
                    End::Stopped(error) => {
                        [codes::JOURNAL_WRITE, codes::JOURNAL_POISONED].contains(&error.code())
                    }
                    End::Done | End::Killed => false,
                };
                if stopped == harmless {
                    self.blame(&story, format!("stopped for the disk: {stopped}"));
                }
                if !harmless && calls.len() > call + 1 {
                    self.blame(&story, format!("the disk was tried again: {:?}", &calls[call..]));
                }
                self.go_on(after, &disk, job, 1, &story);
            }
        }
    }

    /// Runs a whole sweep of the faults of the disk, and gives what was wrong.
    pub(crate) fn sweep_disk(&self, model: &Model, job: Job) -> Vec<String> {
        let story = format!("{:?} {job:?}", self.kinds.values().next());
        match job {
            Job::Run | Job::GiveUp | Job::GivingUp | Job::Decide => {
                self.explore_disk(model, &[], job, &story)
            }
            Job::Verify | Job::RollBack => {
                let mut done = model.clone();
                let bytes = self.carry_through(&mut done, &[], Job::Run, &story);
                self.explore_disk(&done, &bytes, job, &story);
            }
        }
        self.wrong.take()
    }
}
