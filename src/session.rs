//! A workspace opened for work: lock, journal, the runbook that its run carries out, and the fleet.
//!
//! Invariant: whoever holds a [`Session`] holds the workspace's lock. A run carries out the bytes that were kept when it
//! began. Where `hactl.toml`, the runbook's file or hactl itself has changed since, nothing is done before the operator
//! says `--rebase`; where a file of now cannot be read at all, nothing is done either, and the error says how to put back
//! what the run keeps. Reading without the lock is [`Glance`], which then shows what the run keeps.

use std::fmt::Display;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use crate::access::{Means, World};
use crate::changes::Changes;
use crate::clock::Clock;
use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::engine::approver::Person;
use crate::event::{Event, Listener};
use crate::evidence::EvidenceStore;
use crate::journal::record::{EvidenceRef, Mode, Operator, Record};
use crate::journal::{Holder, Journal, Lock, Report, Run, RunState, StateDir};
use crate::mirror::{LateBucket, Mirror};
use crate::name::{PhaseId, RunId, StepId};
use crate::redact::Redactor;
use crate::runbook::{self, Loaded, Origin, Phase, Runbook, Step};
use crate::sealed::Sealed;
use crate::step::fleet::Fleet;
use crate::step::table::Table;
use crate::transport::faulty::Faulty;
use crate::workspace::{Demand, RunbookChoice, Workspace};

/// The version of this hactl.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What to do where something has changed since the run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drift {
    /// Stop and say so.
    Refuse,
    /// Go on with what the files say now, and record that.
    Rebase,
}

impl Drift {
    /// As `--rebase` was given.
    #[must_use]
    pub fn rebase_if(rebase: bool) -> Self {
        if rebase { Self::Rebase } else { Self::Refuse }
    }
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
    /// What became of the files since the run began.
    pub files: Files,
}

/// What became of the files since a run began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// What they say differently.
    pub changes: Changes,
    /// Why they cannot be read any more; then nothing goes on.
    pub unreadable: Option<String>,
}

impl Glance {
    /// Reads a workspace.
    ///
    /// # Errors
    /// Every problem of its files, or a damaged journal.
    pub fn at(file: &Path) -> Result<Self> {
        let dir = StateDir::of(folder(file));
        let state = Journal::read(&dir)?.state;
        let evidence = EvidenceStore::new(dir, Rc::new(Redactor::of_process()));
        let Found { now, kept, files, .. } = load(file, state.run(), &evidence)?;
        // Where the files changed, what matters is what they say now: nothing goes on with the old ones.
        let loaded = match (now, kept) {
            (Some(now), _) if !files.changes.is_empty() => now,
            (_, Some(loaded)) | (Some(loaded), None) => loaded,
            (None, None) => return Err(Error::new(codes::INTERNAL, "neither files nor what a run keeps")),
        };
        Ok(Self { workspace: Rc::new(loaded.workspace), runbook: Rc::new(loaded.runbook), state, files })
    }
}

/// What `hactl.toml` says, or said when the run began, where it cannot be read now.
///
/// # Errors
/// Every problem of the files, where there is no run that keeps others.
pub fn workspace_of(file: &Path) -> Result<Workspace> {
    match runbook::load::<Table>(file) {
        Ok(loaded) => Ok(loaded.workspace),
        Err(error) => match Glance::at(file) {
            Ok(glance) => Ok(Rc::unwrap_or_clone(glance.workspace)),
            Err(_) => Err(error),
        },
    }
}

/// What of this process a session uses.
pub struct Here {
    /// The wall clock.
    pub clock: Rc<dyn Clock>,
    /// Who does by hand what only a person can do.
    pub person: Rc<dyn Person>,
    /// Who is told what became of the files.
    pub listener: Rc<dyn Listener>,
    /// What makes effects go wrong; nothing, but in tests.
    pub faulty: Option<Faulty>,
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
    workspace_bytes: Arc<[u8]>,
    /// What has changed and is accepted, not recorded yet by itself.
    accepted: Option<Changes>,
}

impl Session {
    /// Opens a workspace: takes the lock, replays the journal, loads the files.
    ///
    /// # Errors
    /// Someone else holds the lock, the journal is damaged, the files have problems, or they changed since the run began
    /// and `drift` says to refuse that.
    pub fn open(file: &Path, command: &str, here: Here, drift: Drift) -> Result<(Self, Report)> {
        let operator = this_operator();
        let dir = StateDir::of(folder(file));
        if !dir.journal().exists() {
            // A problem in the files is said before anything is made on disk.
            runbook::load::<Table>(file)?;
        }
        let holder = Holder::this_process(operator.clone(), here.clock.now(), command);
        let lock = Lock::take(&dir, holder)?;
        let (journal, report) = Journal::open(lock, Rc::clone(&here.clock))?;
        let redactor = Rc::new(Redactor::of_process());
        let evidence = Rc::new(EvidenceStore::new(dir, Rc::clone(&redactor)));
        let Found { now, kept, files, unreadable } = load(file, journal.state().run(), &evidence)?;
        if let Some(problems) = unreadable {
            return Err(problems);
        }
        let changed = !files.changes.is_empty();
        if changed {
            here.listener.event(Event::FilesChanged(files.changes.clone()));
        }
        let (loaded, accepted) = match (drift, now, kept) {
            (Drift::Refuse, ..) if changed => return Err(drifted(&files.changes)),
            (Drift::Rebase, Some(now), Some(_)) => (now, Some(files.changes)),
            (_, _, Some(loaded)) | (_, Some(loaded), None) => (loaded, None),
            (_, None, None) => return Err(Error::new(codes::INTERNAL, "neither files nor what a run keeps")),
        };
        let workspace = Rc::new(loaded.workspace);
        let runbook = Rc::new(loaded.runbook);
        let world = World::new(
            Rc::clone(&workspace),
            Means { clock: here.clock, evidence: Rc::clone(&evidence), redactor, person: here.person },
        )?;
        let world = match here.faulty {
            None => world,
            Some(faulty) => world.under(faulty)?,
        };
        world.stand_on(journal.hold());
        let fleet = Fleet::new(Rc::clone(&runbook), Rc::clone(&workspace), world);
        fleet.locate(&journal.state())?;
        Ok((
            Self {
                workspace,
                runbook,
                journal,
                evidence,
                fleet,
                operator,
                command: command.to_owned(),
                workspace_bytes: loaded.workspace_bytes,
                accepted,
            },
            report,
        ))
    }

    /// Keeps the journal in the workspace's mirror too, where it has one, and brings that up to date.
    ///
    /// # Errors
    /// The mirror cannot be brought up to date, or somebody else went on from it.
    pub async fn mirror(&self) -> Result<()> {
        let Some(config) = &self.workspace.mirror else { return Ok(()) };
        let bucket = LateBucket::new(config.clone(), &self.workspace.root, Rc::new(Redactor::of_process()));
        match config.demand {
            Demand::Required => bucket
                .connected()
                .await
                .map(drop)
                .map_err(|e| e.state("nothing was begun").default_next("hactl doctor"))?,
            // Where its secret is not to be had, it is as one that is not to be reached: that is said, and tried again.
            Demand::Wanted => {}
        }
        let by = self.operator.clone();
        self.journal.mirror_to(Mirror::new(Rc::new(bucket), &self.workspace, by, config.demand));
        self.journal.mirrored().await
    }

    /// Opens the key of the secrets' digests, where it came here encrypted, from a mirror, and the workspace's identity is
    /// at hand by now. Where that fails, whatever needs the key says so, and what to type.
    pub async fn open_digest_key(&self) {
        let sealed = Sealed::new(StateDir::of(&self.workspace.root).secrets());
        let identity = self.workspace.age.as_ref().and_then(|age| age.identity.as_ref());
        let Some(identity) = identity.filter(|_| sealed.key_is_closed()) else { return };
        let redactor = Redactor::of_process();
        if let Ok(identity) = identity.resolve("age identity", &self.workspace.root, &redactor).await {
            let _ = sealed.open_key(&identity);
        }
    }

    /// Begins the run, or goes on with it; either is recorded.
    ///
    /// # Errors
    /// The journal or the evidence could not be made durable.
    pub fn begin(&self) -> Result<()> {
        if self.journal.state().run().is_none() {
            return self.begin_anew();
        }
        self.rebase()?;
        let (operator, command) = (self.operator.clone(), self.command.clone());
        self.journal.append(Record::Resumed { operator, command }).map(drop)
    }

    /// Records that what has changed is accepted, where something has and `--rebase` was given; nothing else is done.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn rebase(&self) -> Result<()> {
        if self.accepted.is_none() {
            return Ok(());
        }
        self.journal.append(Record::Rebased {
            runbook_bytes: self.evidence.put("runbook", &self.runbook.bytes)?,
            workspace: self.evidence.put("hactl.toml", &self.workspace_bytes)?,
            hactl: VERSION.to_owned(),
            by: self.operator.clone(),
        })?;
        Ok(())
    }

    fn begin_anew(&self) -> Result<()> {
        let runbook_bytes = self.evidence.put("runbook", &self.runbook.bytes)?;
        let workspace = self.evidence.put("hactl.toml", &self.workspace_bytes)?;
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
            workspace,
            hactl: VERSION.to_owned(),
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

/// The files, as they are and as a run keeps them.
struct Found {
    /// As they are now, where they can be read.
    now: Option<Loaded>,
    /// As the run keeps them, where one has begun.
    kept: Option<Loaded>,
    files: Files,
    /// What is wrong with them, where they cannot be read, and how those that the run keeps are put back.
    unreadable: Option<Error>,
}

/// Refuses where the files of a run that has begun cannot be read now.
///
/// # Errors
/// They cannot; what is wrong with them, and how those that the run keeps are put back.
pub fn readable(file: &Path) -> Result<()> {
    let dir = StateDir::of(folder(file));
    let state = Journal::read(&dir)?.state;
    let evidence = EvidenceStore::new(dir, Rc::new(Redactor::of_process()));
    load(file, state.run(), &evidence)?.unreadable.map_or(Ok(()), Err)
}

/// The files of a run that has begun cannot be read: each that is not what the run keeps can be put back.
fn broken(problems: Error, file: &Path, kept: &Workspace, run: &Run) -> Error {
    let evidence = StateDir::of(folder(file)).evidence();
    let differs = |path: &Path, kept: &EvidenceRef| {
        let same = std::fs::read(path).is_ok_and(|bytes| Digest::of(&bytes) == kept.digest);
        let from = evidence.join(kept.digest.to_string());
        let words = ["cp", &*from.to_string_lossy(), &*path.to_string_lossy()].map(str::to_owned);
        (!same).then(|| shell_words::join(words))
    };
    let mut back = vec![differs(file, &run.workspace)];
    if let RunbookChoice::File(path) = &kept.runbook {
        back.push(differs(path, &run.runbook_bytes));
    }
    let error = problems.state("nothing was done; the run keeps the files that it began with");
    let error = back.into_iter().flatten().fold(error, |error, command| {
        error.next(format!("{command}    (puts back the one that the run keeps)"))
    });
    error.next("then: hactl resume")
}

/// Loads what a run carries out and what the files say now, and compares them.
fn load(file: &Path, run: Option<&Run>, evidence: &EvidenceStore) -> Result<Found> {
    let now = runbook::load::<Table>(file);
    let Some(run) = run else {
        return Ok(Found { now: Some(now?), kept: None, files: Files::default(), unreadable: None });
    };
    let keeps = || {
        let (workspace, runbook) = (evidence.get(&run.workspace)?, evidence.get(&run.runbook_bytes)?);
        runbook::load_kept::<Table>(file, &workspace, &runbook)
    };
    let now = match now {
        Ok(now) => now,
        Err(problems) => {
            // Where what was kept cannot be read either, the file at hand is what a person can mend.
            let Ok(kept) = keeps() else { return Err(problems) };
            let files = Files { changes: Changes::default(), unreadable: Some(problems.one_line()) };
            let unreadable = Some(broken(problems, file, &kept.workspace, run));
            return Ok(Found { now: None, kept: Some(kept), files, unreadable });
        }
    };
    if now.runbook.name != run.runbook {
        return Err(another_run("runbook", &run.runbook, &now.runbook.name));
    }
    if now.workspace.fleet != run.fleet {
        return Err(another_run("fleet", &run.fleet, &now.workspace.fleet));
    }
    let same_runbook = Digest::of(&now.runbook.bytes) == run.runbook_bytes.digest;
    if same_runbook && now.workspace.digest == run.workspace.digest && run.hactl == VERSION {
        return Ok(Found { kept: Some(now), now: None, files: Files::default(), unreadable: None });
    }
    let kept = keeps()?;
    let changes = match &now.runbook.origin {
        // The same hactl that embeds another runbook is one that is being worked on.
        Origin::Bundled if run.hactl == VERSION && now.workspace.digest == run.workspace.digest => {
            Changes::default()
        }
        Origin::Bundled | Origin::Kept(_) | Origin::File(_) => {
            Changes::between(&kept, &now, &run.hactl, VERSION)
        }
    };
    Ok(Found {
        now: Some(now),
        kept: Some(kept),
        files: Files { changes, unreadable: None },
        unreadable: None,
    })
}

/// Another fleet or another runbook is no change of a run, but another run.
fn another_run(what: &str, began: &impl Display, now: &impl Display) -> Error {
    Error::new(codes::DRIFT, format!("the run began with the {what} {began}, hactl.toml now names {now}"))
        .state("nothing was done")
        .next(format!("name the {what} {began} again, or make a workspace of its own for {now}"))
}

fn drifted(changes: &Changes) -> Error {
    Error::new(codes::DRIFT, format!("changed since the run began: {}", changes.in_short()))
        .state("nothing was done; approvals that were given bind what was there before")
        .next("hactl plan --dry-run    (shows what would happen now)")
        .next("hactl plan --rebase    (accepts the changes, records that, and only looks)")
        .next("hactl resume --rebase    (accepts them and goes on)")
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
