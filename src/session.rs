//! A workspace opened for work: lock, journal, the runbook that its run carries out, and the fleet.
//!
//! Invariant: whoever holds a [`Session`] holds the workspace's lock. A run carries out the runbook's bytes that were
//! kept when it began; where `hactl.toml` or the runbook's file has changed since, nothing is done before the operator
//! says `--rebase`. Reading without the lock is [`Glance`].

use std::fmt::Display;
use std::path::Path;
use std::rc::Rc;

use crate::access::{Means, World};
use crate::clock::Clock;
use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::engine::approver::Person;
use crate::evidence::EvidenceStore;
use crate::journal::record::{EvidenceRef, Mode, Operator, Record};
use crate::journal::{Holder, Journal, Lock, Report, Run, RunState, StateDir};
use crate::name::{PhaseId, RunId, StepId};
use crate::redact::Redactor;
use crate::runbook::{self, Loaded, Origin, Phase, Runbook, Step};
use crate::step::fleet::Fleet;
use crate::step::table::Table;
use crate::workspace::Workspace;

/// What to do where files have changed since the run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drift {
    /// Stop and say so.
    Refuse,
    /// Go on with what the files say now, and record that.
    Rebase,
}

/// A workspace as it can be read without the lock.
#[derive(Clone, Debug)]
pub struct Glance {
    /// What `hactl.toml` says.
    pub workspace: Rc<Workspace>,
    /// The runbook: the one that the run carries out, or the one that the next run would.
    pub runbook: Rc<Runbook>,
    /// What the journal says.
    pub state: RunState,
    /// What changed since the run began, one sentence each.
    pub drift: Vec<String>,
}

impl Glance {
    /// Reads a workspace.
    ///
    /// # Errors
    /// Every problem of its files, or a damaged journal.
    pub fn at(file: &Path) -> Result<Self> {
        let dir = StateDir::of(folder(file));
        let state = Journal::read(&dir)?.state;
        let evidence = EvidenceStore::new(dir, Rc::new(Redactor::new()));
        let (kept, drift) = load(file, state.run(), &evidence, Drift::Refuse)?;
        // Where the files changed, what matters is what they say now: nothing goes on with the old ones.
        let loaded =
            if drift.is_empty() { kept } else { load(file, state.run(), &evidence, Drift::Rebase)?.0 };
        Ok(Self { workspace: Rc::new(loaded.workspace), runbook: Rc::new(loaded.runbook), state, drift })
    }
}

/// What of this process a session uses.
pub struct Here {
    /// The wall clock.
    pub clock: Rc<dyn Clock>,
    /// Who does by hand what only a person can do.
    pub person: Rc<dyn Person>,
}

/// A workspace opened for work.
#[derive(Debug)]
pub struct Session {
    /// What `hactl.toml` says.
    pub workspace: Rc<Workspace>,
    /// The runbook that is carried out.
    pub runbook: Rc<Runbook>,
    /// The journal, locked by this process.
    pub journal: Journal,
    /// Where captured output is kept.
    pub evidence: Rc<EvidenceStore>,
    /// The steps on the real fleet.
    pub fleet: Fleet,
    /// Who types.
    pub operator: Operator,
    /// The command that they typed.
    command: String,
    rebase: Option<EvidenceRef>,
}

impl Session {
    /// Opens a workspace: takes the lock, replays the journal, loads the files.
    ///
    /// # Errors
    /// Someone else holds the lock, the journal is damaged, the files have problems, or they changed since the run
    /// began and `drift` says to refuse that.
    pub fn open(file: &Path, command: &str, here: Here, drift: Drift) -> Result<(Self, Report)> {
        let operator = this_operator();
        let dir = StateDir::of(folder(file));
        // A problem in the files is said before anything is made on disk.
        runbook::load::<Table>(file)?;
        let holder = Holder::this_process(operator.clone(), here.clock.now(), command);
        let lock = Lock::take(&dir, holder)?;
        let (journal, report) = Journal::open(lock, Rc::clone(&here.clock))?;
        let redactor = Rc::new(Redactor::new());
        let evidence = Rc::new(EvidenceStore::new(dir, Rc::clone(&redactor)));
        let (loaded, changed) = load(file, journal.state().run(), &evidence, drift)?;
        let rebase = match (changed.is_empty(), drift) {
            (true, _) => None,
            (false, Drift::Refuse) => return Err(drifted(&changed)),
            (false, Drift::Rebase) => Some(evidence.put("runbook", &loaded.runbook.bytes)?),
        };
        let workspace = Rc::new(loaded.workspace);
        let runbook = Rc::new(loaded.runbook);
        let world = World::new(
            Rc::clone(&workspace),
            Means { clock: here.clock, evidence: Rc::clone(&evidence), redactor, person: here.person },
        )?;
        let fleet = Fleet::new(Rc::clone(&runbook), Rc::clone(&workspace), world);
        Ok((
            Self {
                workspace,
                runbook,
                journal,
                evidence,
                fleet,
                operator,
                command: command.to_owned(),
                rebase,
            },
            report,
        ))
    }

    /// Begins the run, or goes on with it; either is recorded.
    ///
    /// # Errors
    /// The journal or the evidence could not be made durable.
    pub fn begin(&self) -> Result<()> {
        if self.journal.state().run().is_some() {
            if let Some(runbook_bytes) = &self.rebase {
                self.journal.append(Record::Rebased {
                    runbook_bytes: runbook_bytes.clone(),
                    workspace: self.workspace.digest,
                    by: self.operator.clone(),
                })?;
            }
            self.journal
                .append(Record::Resumed { operator: self.operator.clone(), command: self.command.clone() })?;
            return Ok(());
        }
        let runbook_bytes = self.evidence.put("runbook", &self.runbook.bytes)?;
        let mode = match &self.workspace.lab {
            Some(lab) => Mode::Rehearsal { lab: lab.clone() },
            None => Mode::Production,
        };
        self.journal.append(Record::RunStarted {
            run: RunId::generate(),
            fleet: self.workspace.fleet.clone(),
            operator: self.operator.clone(),
            runbook: self.runbook.name.clone(),
            runbook_bytes,
            workspace: self.workspace.digest,
            hactl: env!("CARGO_PKG_VERSION").to_owned(),
            mode,
        })?;
        Ok(())
    }

    /// A phase of the runbook.
    ///
    /// # Errors
    /// There is no such phase; the message lists those that there are.
    pub fn phase(&self, id: &PhaseId) -> Result<&Phase> {
        phase_of(&self.runbook, id)
    }

    /// A step of the runbook.
    ///
    /// # Errors
    /// There is no such step.
    pub fn step(&self, id: &StepId) -> Result<&Step> {
        match self.runbook.step(id) {
            Some((_, step)) => Ok(step),
            None => {
                Err(Error::new(codes::USAGE, format!("the runbook {} has no step {id}", self.runbook.name))
                    .next("hactl phase list    (hactl phase show N shows a phase's steps)"))
            }
        }
    }
}

/// A phase of a runbook.
///
/// # Errors
/// There is no such phase; the message lists those that there are.
pub fn phase_of<'a>(runbook: &'a Runbook, id: &PhaseId) -> Result<&'a Phase> {
    runbook.phase(id).ok_or_else(|| {
        let there: Vec<_> = runbook.phases.iter().map(|phase| phase.id.to_string()).collect();
        Error::new(codes::USAGE, format!("the runbook {} has no phase {id}", runbook.name))
            .state(format!("its phases are: {}", there.join(", ")))
            .next("hactl phase list")
    })
}

fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("."))
}

/// Loads what a run carries out, and says what changed since it began.
fn load(
    file: &Path,
    run: Option<&Run>,
    evidence: &EvidenceStore,
    drift: Drift,
) -> Result<(Loaded, Vec<String>)> {
    let now = runbook::load::<Table>(file)?;
    let Some(run) = run else { return Ok((now, Vec::new())) };
    let mut changed = Vec::new();
    if now.workspace.digest != run.workspace {
        changed.push("hactl.toml was changed after the run began".to_owned());
    }
    let runbook_changed = Digest::of(&now.runbook.bytes) != run.runbook_bytes.digest;
    match (&now.runbook.origin, runbook_changed) {
        (_, false) | (Origin::Kept(_), true) => {}
        (Origin::Bundled, true) => match drift {
            // A newer hactl may embed a newer runbook: the run goes on with the one that it began with.
            Drift::Refuse => {}
            Drift::Rebase => {
                changed.push("this hactl embeds another runbook than the run began with".to_owned())
            }
        },
        (Origin::File(path), true) => {
            changed.push(format!("{} was changed after the run began", path.display()))
        }
    }
    if now.runbook.name != run.runbook {
        return Err(another_run("runbook", &run.runbook, &now.runbook.name));
    }
    if now.workspace.fleet != run.fleet {
        return Err(another_run("fleet", &run.fleet, &now.workspace.fleet));
    }
    match drift {
        Drift::Rebase => Ok((now, changed)),
        Drift::Refuse if runbook_changed => {
            let kept = evidence.get(&run.runbook_bytes)?;
            Ok((runbook::load_kept::<Table>(file, &kept)?, changed))
        }
        Drift::Refuse => Ok((now, changed)),
    }
}

/// Another fleet or another runbook is no change of a run, but another run.
fn another_run(what: &str, began: &impl Display, now: &impl Display) -> Error {
    Error::new(codes::DRIFT, format!("the run began with the {what} {began}, hactl.toml now names {now}"))
        .state("nothing was done")
        .next(format!("name the {what} {began} again, or make a workspace of its own for {now}"))
}

fn drifted(changed: &[String]) -> Error {
    Error::new(codes::DRIFT, changed.join("; "))
        .state("nothing was done; approvals that were given bind the old files")
        .next("hactl plan --dry-run    (shows what would happen now)")
        .next("hactl resume --rebase    (goes on with the changed files, and records that)")
}

/// Who types: the person behind sudo, where there is one.
#[must_use]
pub fn this_operator() -> Operator {
    let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = named("SUDO_USER")
        .or_else(|| named("USER"))
        .or_else(|| named("LOGNAME"))
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Operator { user, machine }
}
