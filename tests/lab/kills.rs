//! Kills hactl by SIGKILL, again and again, at every record of one way through a phase, and lets it go on each time.
//!
//! Every kind of record on every place is a boundary of its own, and each is hit once: hactl is killed as soon as that
//! record is on the disk, the next hactl passes it and is killed at the next one. Behind an intent it is also killed
//! some time later, while the action is under way. What follows a kill is always the same command: `hactl resume`.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::cli::Ran;
use crate::common::lab::Workspace;

/// How often the journal's length is asked for: much shorter than an SSH round trip.
const WATCH: Duration = Duration::from_micros(300);
/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(420);

/// Which kills are made.
pub(crate) struct Kills {
    /// The delays after a record of this name (`intended STEP HOST`); none where it is not killed there.
    pub(crate) at: fn(&str) -> &'static [Duration],
    /// Whether a hactl that ends by itself, with this status and these words, may be followed by the next.
    pub(crate) may_stop: fn(&Ran) -> bool,
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) kills: usize,
    pub(crate) stops: usize,
    pub(crate) took: Duration,
}

/// Carries out a phase, killed and resumed until it is done.
pub(crate) fn through(workspace: &Workspace<'_>, phase: &str, kills: &Kills) -> Tally {
    let first = ["phase", "run", phase, "--yes"];
    let done = format!("phase_done {phase}");
    let began = Instant::now();
    let mut tally = Tally::default();
    let mut hit = BTreeSet::new();
    let mut args: &[&str] = &first;
    loop {
        assert!(began.elapsed() < LIMIT, "not through after {LIMIT:?}: {tally:?}, killed at {hit:#?}");
        match one(workspace, args, kills, &mut hit) {
            None => tally.kills += 1,
            Some(ran) if ran.status == 0 => {
                if workspace.journal().records().contains(&done) {
                    break;
                }
                // Killed before the phase was begun: there was nothing to go on with.
                args = &first;
                continue;
            }
            Some(ran) => {
                assert!(
                    (kills.may_stop)(&ran),
                    "after {tally:?}: {ran}\n{:#?}",
                    workspace.journal().records()
                );
                tally.stops += 1;
            }
        }
        args = if workspace.journal().lines().is_empty() { &first } else { &["resume", "--yes"] };
    }
    tally.took = began.elapsed();
    tally
}

/// One hactl, killed at the first boundary that was not hit yet; its end where there was none.
fn one(
    workspace: &Workspace<'_>,
    args: &[&str],
    kills: &Kills,
    hit: &mut BTreeSet<(String, Duration)>,
) -> Option<Ran> {
    let journal = workspace.journal();
    let mut seen = journal.lines().len();
    let mut bytes = journal.bytes();
    let mut running = workspace.start(args);
    loop {
        // Asked before the journal is looked at, so that nothing written just before the end is missed.
        let ended = running.ended();
        let now = journal.bytes();
        if now != bytes {
            bytes = now;
            for name in journal.records().into_iter().skip(seen) {
                seen += 1;
                for delay in (kills.at)(&name) {
                    if !ended && hit.insert((name.clone(), *delay)) {
                        sleep(*delay);
                        if running.ended() {
                            // It was faster than this delay; that boundary counts as hit.
                            return Some(running.end());
                        }
                        running.kill();
                        return None;
                    }
                }
            }
        }
        if ended {
            return Some(running.end());
        }
        sleep(WATCH);
    }
}
