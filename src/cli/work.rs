//! What every command that works on a fleet does around its job: enter the lab, open the session, listen for Ctrl-C.
//!
//! Invariant: where the workspace is a lab's, nothing is read from a host and nothing opened before this process is
//! sealed into that lab.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::approver::{Answers, Asker};
use super::{Global, runtime};
use crate::access::{Means, World};
use crate::clock::{Clock as _, SystemClock};
use crate::diagnostic::{Error, Result, codes};
use crate::engine::approver::Answer;
use crate::engine::driver::Driver;
use crate::engine::interrupt::Interrupt;
use crate::engine::seam::StepTasks;
use crate::event::{Event, Listener};
use crate::evidence::EvidenceStore;
use crate::journal::StateDir;
use crate::journal::record::{Epoch, Record};
use crate::notify::{LIMIT, Notifier};
use crate::redact::Redactor;
use crate::render::bars::Waiting;
use crate::render::{Format, Out, Progress};
use crate::runbook;
use crate::session::{Drift, Files, Glance, Here, Session, this_operator, workspace_of};
use crate::status::{Reached, Status};
use crate::step::fleet::Fleet;
use crate::transport::ssh::Owner;
use crate::workspace::Workspace;

/// The driver on the real steps, asking at this terminal.
pub type Work<'a> = Driver<'a, Fleet, Asker, Progress>;

/// How long closing the connections may take; what cannot be closed ends by itself.
pub(super) const CLOSING: Duration = Duration::from_secs(3);

/// How long the mirror may take for the last records; what it lacks then, the next hactl brings.
const LAST_RECORDS: Duration = Duration::from_secs(60);

/// Opens the workspace for work, does `job`, and closes it again.
///
/// # Errors
/// What opening or the job could not do, or that the operator stopped it.
pub fn on_fleet<T>(
    global: &Global,
    out: &Out,
    drift: Drift,
    job: impl AsyncFnOnce(&Session, &Work<'_>, &Asker) -> Result<T>,
) -> Result<T> {
    at_work(global, out, drift, Absent::KnowNothing, job)
}

/// The same where the run itself is carried out or taken back: `[notify]` tells what becomes of it.
///
/// # Errors
/// As [`on_fleet`].
pub fn on_run<T>(
    global: &Global,
    out: &Out,
    drift: Drift,
    job: impl AsyncFnOnce(&Session, &Work<'_>, &Asker) -> Result<T>,
) -> Result<T> {
    at_work(global, out, drift, Absent::AreTold, job)
}

/// Those who are not at the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absent {
    KnowNothing,
    AreTold,
}

fn at_work<T>(
    global: &Global,
    out: &Out,
    drift: Drift,
    absent: Absent,
    job: impl AsyncFnOnce(&Session, &Work<'_>, &Asker) -> Result<T>,
) -> Result<T> {
    let file = global.file()?;
    let workspace = workspace_of(&file)?;
    let answers = Answers::new(global.yes, &workspace)?;
    enter(&workspace)?;
    let result = runtime::block_on(async {
        let progress = Rc::new(Progress::new(out));
        let interrupt = Interrupt::default();
        let listener = Rc::clone(&progress) as Rc<dyn Listener>;
        let notifier = Rc::new(match absent {
            Absent::KnowNothing => Notifier::silent(listener),
            Absent::AreTold => Notifier::of(&workspace, this_operator(), typed(), listener),
        });
        let asker = Asker::new(answers, Rc::clone(&progress), out.clone(), interrupt.clone());
        let asker = asker.notifying(Rc::clone(&notifier));
        let here = Here {
            clock: Rc::new(SystemClock),
            person: Rc::new(asker.clone()),
            listener: Rc::clone(&progress) as Rc<dyn Listener>,
            faulty: global.faulty.clone(),
        };
        let (session, report) = Session::open(&file, &typed(), here, drift)?;
        if let (Some(bytes), Some((seq, at))) = (report.torn, session.journal.state().last()) {
            // It was recorded before anybody could listen.
            progress.event(Event::Recorded { seq: seq.0, at, record: Record::TornTail { bytes } });
        }
        session.journal.listen(Rc::clone(&notifier) as Rc<dyn Listener>);
        notifier.of_run(session.journal.state().run().map(|run| run.run.clone()));
        session.fleet.world().listen(Rc::clone(&progress) as Rc<dyn Listener>);
        let driver = Driver {
            steps: &session.fleet,
            journal: &session.journal,
            evidence: &session.evidence,
            approver: &asker,
            listener: progress.as_ref(),
            clock: &SystemClock,
            interrupt: interrupt.clone(),
            operator: session.operator.clone(),
        };
        let job = async {
            session.open_digest_key().await;
            session.mirror().await?;
            job(&session, &driver, &asker).await
        };
        let result = runtime::interruptible(&interrupt, progress.as_ref(), job).await;
        let result = last_records(&session, result).await;
        notifier.tell_outcome(result.as_ref().map(|_| status(&session).next));
        let _ = tokio::time::timeout(CLOSING, session.fleet.world().close()).await;
        // Nobody has to wait for the workspace until somebody was told.
        drop(session);
        told(&notifier, &progress, out).await;
        result
    });
    give_back(&workspace);
    result
}

/// Waits for the notification commands that are still under way, which is bounded; Ctrl-C ends them.
async fn told(notifier: &Notifier, progress: &Progress, out: &Out) {
    if !notifier.is_under_way() {
        return;
    }
    let _hushed = progress.hush();
    let limit = LIMIT.as_secs();
    let what = format!("the notification command to end, at most {limit} s; Ctrl-C ends it now");
    let _waiting = out.is_watched().then(|| Waiting::new(what));
    tokio::select! {
        () = notifier.settle() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Brings the mirror up to the last record. Why the job failed, where it did, matters more than that this failed too.
async fn last_records<T>(session: &Session, result: Result<T>) -> Result<T> {
    let done = tokio::time::timeout(LAST_RECORDS, session.journal.mirrored()).await;
    match (result, done) {
        (Ok(result), Ok(Ok(())) | Err(_)) => Ok(result),
        (Ok(_), Ok(Err(error))) => Err(error),
        (Err(error), _) => Err(error),
    }
}

/// Looks at the fleet without the lock and without a trace.
///
/// # Errors
/// What opening or the job could not do.
pub fn looking<T>(
    global: &Global,
    out: &Out,
    job: impl AsyncFnOnce(&Glance, &Fleet) -> Result<T>,
) -> Result<T> {
    let glance = Glance::at(&global.file()?)?;
    enter(&glance.workspace)?;
    runtime::block_on(async {
        let progress = Rc::new(Progress::new(out));
        let redactor = Rc::new(Redactor::of_process());
        let dir = StateDir::of(&glance.workspace.root);
        let means = Means {
            clock: Rc::new(SystemClock),
            evidence: Rc::new(EvidenceStore::new(dir, Rc::clone(&redactor))),
            redactor,
            person: Rc::new(Asker::new(Answers::Operator, progress, out.clone(), Interrupt::default())),
        };
        let world = World::new(Rc::clone(&glance.workspace), means)?;
        let fleet = Fleet::new(Rc::clone(&glance.runbook), Rc::clone(&glance.workspace), world);
        fleet.locate(&glance.state)?;
        let result = job(&glance, &fleet).await;
        let _ = tokio::time::timeout(CLOSING, fleet.world().close()).await;
        result
    })
}

/// Moves this process into the workspace's lab, where it names one. Outside the lab this does not return: hactl is
/// executed again inside.
///
/// # Errors
/// The lab is not up or cannot be entered.
#[cfg(all(feature = "lab", target_os = "linux"))]
pub fn enter(workspace: &Workspace) -> Result<()> {
    let Some(name) = &workspace.lab else { return Ok(()) };
    let mut visible = vec![workspace.root.clone()];
    if let runbook::Origin::File(path) = origin(workspace) {
        visible.push(path);
    }
    enter_lab(name, &visible)
}

/// The same for a lab by its name; `visible` stays where it is.
///
/// # Errors
/// As [`enter`].
#[cfg(all(feature = "lab", target_os = "linux"))]
pub fn enter_lab(name: &str, visible: &[PathBuf]) -> Result<()> {
    use crate::lab::{Lab, LabName};

    let name = LabName::new(name)
        .map_err(|e| Error::new(codes::LAB_NOT_UP, format!("{name:?} is not the name of a lab")).source(e))?;
    crate::lab::enter(&Lab::named(name), visible)
}

/// There are no labs here.
///
/// # Errors
/// Always.
#[cfg(not(all(feature = "lab", target_os = "linux")))]
pub fn enter_lab(name: &str, _visible: &[PathBuf]) -> Result<()> {
    Err(Error::new(
        codes::LAB_UNSUPPORTED,
        format!("lab {name} cannot be entered: this hactl was built without labs"),
    )
    .state("nothing was done")
    .next("use a hactl for Linux with the cargo feature `lab`"))
}

/// Can the workspace's servers be looked at from here? Those of a lab that is down cannot.
#[cfg(all(feature = "lab", target_os = "linux"))]
pub fn is_there(workspace: &Workspace) -> bool {
    use crate::lab::{Lab, LabName, is_sealed};

    let Some(name) = &workspace.lab else { return true };
    is_sealed() || LabName::new(name).is_ok_and(|name| Lab::named(name).is_up().unwrap_or(false))
}

/// Can the workspace's servers be looked at from here? Without labs, those of a lab cannot.
#[cfg(not(all(feature = "lab", target_os = "linux")))]
pub fn is_there(workspace: &Workspace) -> bool {
    workspace.lab.is_none()
}

/// A rehearsal needs a lab, and this hactl has none.
///
/// # Errors
/// The workspace is a lab's.
#[cfg(not(all(feature = "lab", target_os = "linux")))]
pub fn enter(workspace: &Workspace) -> Result<()> {
    match &workspace.lab {
        None => Ok(()),
        Some(lab) => Err(Error::new(
            codes::LAB_UNSUPPORTED,
            format!("this workspace rehearses in lab {lab}, and this hactl was built without labs"),
        )
        .state("nothing was done")
        .next("use a hactl for Linux with the cargo feature `lab`")),
    }
}

#[cfg(all(feature = "lab", target_os = "linux"))]
fn origin(workspace: &Workspace) -> runbook::Origin {
    match &workspace.runbook {
        crate::workspace::RunbookChoice::Bundled(_) => runbook::Origin::Bundled,
        crate::workspace::RunbookChoice::File(path) => runbook::Origin::File(path.clone()),
    }
}

/// After sudo, what the workspace holds belongs to whoever called it.
#[cfg(all(feature = "lab", target_os = "linux"))]
fn give_back(workspace: &Workspace) {
    if workspace.is_rehearsal() {
        // Files that stay root's are a nuisance, not a failure of the run.
        let _ = crate::lab::give_back(&workspace.root);
    }
}

#[cfg(not(all(feature = "lab", target_os = "linux")))]
fn give_back(_workspace: &Workspace) {}

/// The command as it was typed, for the lock and the journal.
fn typed() -> String {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    shell_words::join(std::iter::once("hactl".to_owned()).chain(words))
}

/// Refuses to begin where a host was changed by another workspace, or by another copy of this journal. Where this machine
/// took the run over, every host is told so before anything else.
///
/// # Errors
/// One was, or one that answers cannot be told.
pub async fn check_owners(session: &Session, steps: &[StepTasks]) -> Result<()> {
    let state = session.journal.state();
    session.fleet.check_owners(steps, &state).await?;
    session.fleet.raise_epoch(steps, &state).await
}

/// Takes hosts over from another workspace, or from another copy of this journal, after asking. From then on they refuse
/// whatever the former one sends.
///
/// # Errors
/// A host belongs to another fleet or cannot be asked, or the answer was no.
pub async fn take_over(session: &Session, asker: &Asker, steps: &[StepTasks]) -> Result<()> {
    let state = session.journal.state();
    let owners = session.fleet.owners(steps, &state).await?;
    let fleet = &session.workspace.fleet;
    if let Some((host, owner)) = owners.iter().find(|(_, owner)| owner.fleet != *fleet) {
        let what =
            format!("the host belongs to the fleet {}, which is not taken over by {fleet}", owner.fleet);
        return Err(Error::new(codes::ATTEMPT_OTHER_FLEET, what).host(host).state("nothing was done"));
    }
    let Some(highest) = owners.iter().map(|(_, owner)| owner.epoch).max() else {
        return Err(Error::new(
            codes::USAGE,
            "no host was changed by anybody, so there is nothing to take over",
        )
        .state("nothing was done"));
    };
    let told = owners.iter().map(|(host, Owner { run, line, epoch, .. })| {
        format!("  {host}: by run {run}, under record {} (epoch {epoch})", line.seq)
    });
    let text = format!(
        "Taking over the hosts that were changed last\n{}\nThey refuse the former journal from then on. What it holds \
         and this one lacks is unknown here: hactl looks, and asks where looking cannot tell.",
        told.collect::<Vec<_>>().join("\n")
    );
    match asker.confirm(&text, "  Take them over?").await? {
        Answer::Yes(_) => {}
        Answer::No => {
            return Err(Error::new(codes::APPROVAL_REFUSED, "taking over was refused")
                .state("nothing was done; the hosts are still the other journal's")
                .next("go on in the workspace that changed the hosts last"));
        }
        Answer::NobodyThere => {
            return Err(Error::new(
                codes::APPROVAL_NEEDED,
                "taking over is confirmed at a terminal, and there is none here",
            )
            .state("nothing was done"));
        }
    }
    let epoch = Epoch(highest.max(state.epoch()).0.saturating_add(1));
    session.journal.append(Record::TakenOver { by: session.operator.clone(), epoch })?;
    // Before a host is told.
    session.journal.mirrored().await
}

/// Once every phase is done, or none is begun any more, nothing of the run's attempts is needed on the hosts.
pub async fn tidy(session: &Session) {
    let phases = status(session).phases;
    let finished = [Reached::Done, Reached::NotBegun]
        .into_iter()
        .any(|reached| phases.iter().all(|phase| phase.reached == reached));
    if finished {
        let steps: Vec<_> = session.runbook.steps().map(|(_, step)| session.fleet.tasks(step)).collect();
        session.fleet.prune(&steps, &session.journal.state()).await;
    }
}

/// Where the session's run stands now.
#[must_use]
pub fn status(session: &Session) -> Status {
    let now = SystemClock.now();
    Status::of(&session.workspace, &session.runbook, &session.journal.state(), &Files::default(), now)
}

/// Says what to type next, for people.
///
/// # Errors
/// Standard output cannot be written.
pub fn say_next(session: &Session, out: &Out) -> Result<()> {
    match out.format() {
        Format::Json => Ok(()),
        Format::Human => {
            status(session).next.iter().try_for_each(|next| out.say(out.next_move("next: ", next)))
        }
    }
}
