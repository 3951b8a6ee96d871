//! `hactl resume`: go on from where the run stands.

use std::str::FromStr;

use super::Global;
use super::from_mirror::FromMirror;
use super::work::{self, Work, on_run, say_next};
use crate::diagnostic::{Error, Exit, Result, codes};
use crate::engine::doubt::{Met, Verdict};
use crate::engine::seam::{StepTasks, Task};
use crate::engine::state::State;
use crate::journal::record::Place;
use crate::name::{HostName, PhaseId, StepId};
use crate::plan::PhaseTasks;
use crate::render::Out;
use crate::session::{Drift, Session};
use crate::status::{PhaseStatus, Reached};

/// Arguments of `hactl resume`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
It replays the journal and carries on with every phase that was begun. A step that
was interrupted in the middle is in doubt: hactl looks at what became of it, and
never runs it again blindly. Only where looking cannot tell, you decide.

Examples:
  hactl resume
  hactl resume --decide wal-archive@node-1=applied
  hactl resume --rebase
  hactl resume --take-over    (the newer journal is lost)

Where the machine that held the run is lost, and the workspace had a mirror, in
an empty folder of another machine:
  hactl resume --from-mirror s3://BUCKET/PREFIX --mirror-endpoint https://…")]
pub struct ResumeArgs {
    /// What you found about a step in doubt: STEP[@HOST]=applied or =not-applied. May be given more than once
    #[arg(long, value_name = "STEP[@HOST]=OUTCOME")]
    decide: Vec<Decision>,
    /// Accept what was changed since the run began (files, or hactl), record that, and go on
    #[arg(long)]
    rebase: bool,
    /// Take hosts over that another copy of this journal changed last; from then on they refuse that one
    #[arg(long)]
    take_over: bool,
    #[command(flatten)]
    mirror: FromMirror,
}

/// A doubt that a person settles.
#[derive(Clone, Debug)]
pub struct Decision {
    place: Place,
    verdict: Verdict,
}

impl FromStr for Decision {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (place, outcome) =
            text.split_once('=').ok_or("write it as STEP=applied, or STEP@HOST=not-applied")?;
        let verdict = match outcome {
            "applied" => Verdict::Applied,
            "not-applied" => Verdict::NotApplied,
            _ => return Err(format!("the outcome is `applied` or `not-applied`, not `{outcome}`")),
        };
        let (step, host) = match place.split_once('@') {
            Some((step, host)) => (step, Some(HostName::new(host).map_err(|e| e.to_string())?)),
            None => (place, None),
        };
        let step = StepId::new(step).map_err(|e| e.to_string())?;
        Ok(Self { place: Place { step, host }, verdict })
    }
}

impl ResumeArgs {
    /// Goes on.
    ///
    /// # Errors
    /// There is no run, or what carrying on could not do.
    pub fn run(&self, global: &Global, out: &Out) -> Result<Exit> {
        self.mirror.run(global, out)?;
        let drift = Drift::rebase_if(self.rebase);
        on_run(global, out, drift, async |session, work, asker| {
            if session.journal.state().run().is_none() {
                let first = session.runbook.phases.first().map_or("0", |phase| phase.id.as_str());
                return Err(Error::new(codes::NO_RUN, "there is no run to go on with")
                    .state("nothing was done")
                    .next(format!("hactl phase run {first}")));
            }
            let steps = touched(session);
            if self.take_over {
                work::take_over(session, asker, &steps).await?;
            }
            work::check_owners(session, &steps).await?;
            session.begin()?;
            for decision in &self.decide {
                decide(session, work, decision, Met::GoingOn).await?;
            }
            go_on(session, work).await?;
            work::tidy(session).await;
            say_next(session, out)
        })?;
        Ok(Exit::Done)
    }
}

/// Records what a person found.
///
/// # Errors
/// There is no such place, or it is not in doubt.
pub async fn decide(session: &Session, work: &Work<'_>, decision: &Decision, met: Met<'_>) -> Result<()> {
    let Decision { place, verdict } = decision;
    let tasks = session.fleet.tasks(session.step(&place.step)?).tasks;
    let hosts: Vec<_> =
        tasks.iter().filter_map(|task| task.place.host.as_ref()).map(ToString::to_string).collect();
    let candidates: Vec<&Task> = match &place.host {
        Some(host) => tasks.iter().filter(|task| task.place.host.as_ref() == Some(host)).collect(),
        None => tasks.iter().collect(),
    };
    match candidates[..] {
        [task] => work.decide_by_person(task, *verdict, met).await,
        [] => Err(Error::new(codes::USAGE, "the step does not run on that host")
            .at(place)
            .state(format!("it runs on: {}", hosts.join(", ")))),
        [_, _, ..] => Err(Error::new(codes::USAGE, "the step runs on several hosts: say which one is meant")
            .at(place)
            .state(format!("it runs on: {}", hosts.join(", ")))
            .next(format!("--decide {}@HOST=…", place.step))),
    }
}

/// The steps of the phases that were begun, or of the first one.
fn touched(session: &Session) -> Vec<StepTasks> {
    let phases = work::status(session).phases;
    let begun =
        phases.iter().enumerate().filter(|(at, phase)| *at == 0 || phase.reached != Reached::NotBegun);
    let begun = begun.filter_map(|(_, phase)| session.phase(&phase.id).ok());
    begun.flat_map(|phase| session.fleet.phase(phase).steps).collect()
}

/// Is there a step whose own taking back was begun and has not ended?
fn begun_and_not_ended(session: &Session, id: &PhaseId) -> Result<bool> {
    let state = session.journal.state();
    let steps = session.fleet.phase(session.phase(id)?).steps;
    let mut places =
        steps.iter().flat_map(|step| &step.tasks).filter_map(|task| state.checkpoint(&task.place));
    Ok(places.any(|checkpoint| matches!(checkpoint.state, State::RollingBack | State::RollbackFailed)))
}

/// Carries on with every phase that was begun and is not done.
async fn go_on(session: &Session, work: &Work<'_>) -> Result<()> {
    let phases = work::status(session).phases;
    if phases.iter().all(|phase| phase.reached == Reached::NotBegun)
        && let Some(first) = session.runbook.phases.first()
    {
        // Only its first phase can have begun a run, so that is what stopped before anything was recorded of a step.
        let PhaseTasks { id, title, steps, .. } = session.fleet.phase(first);
        return work.run_phase(&id, &title, &steps).await;
    }
    for PhaseStatus { id, reached, .. } in phases {
        match reached {
            Reached::NotBegun => continue,
            // It was killed between the last step and the record that the phase is done.
            Reached::Done if !session.journal.state().phase_done(&id) => {}
            Reached::Done => continue,
            Reached::Begun => {}
            Reached::HalfTakenBack => {
                let error = Error::new(codes::ROLLBACK_UNFINISHED, format!("phase {id} is half taken back"))
                    .state("nothing was done")
                    .next(format!("hactl phase rollback {id}    (finishes taking it back)"));
                return Err(match begun_and_not_ended(session, &id)? {
                    // That step would refuse to be run.
                    true => error,
                    false => error.next(format!("or: hactl phase run {id}    (builds it again)")),
                });
            }
        }
        let PhaseTasks { id, title, steps, .. } = session.fleet.phase(session.phase(&id)?);
        work.run_phase(&id, &title, &steps).await?;
    }
    Ok(())
}
