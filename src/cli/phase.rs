//! `hactl phase …`: look at a phase, carry it out, verify it again, take it back.

use clap::Subcommand;
use serde::Serialize;

use super::Global;
use super::approver::Asker;
use super::resume::{Decision, decide};
use super::work::{self, Work, on_run, say_next};
use crate::diagnostic::{Error, Exit, Result, codes};
use crate::engine::approver::Answer;
use crate::engine::doubt::Met;
use crate::engine::driver::finish_rollback;
use crate::engine::state::State;
use crate::engine::unwind::{Fate, Retreat};
use crate::lacks::{self, Lack};
use crate::name::{PhaseId, StepId};
use crate::plan::PhaseTasks;
use crate::render::{Format, Out, words};
use crate::runbook::{Call, Gate, Phase, Step};
use crate::session::{Drift, Glance, Session, phase_of};
use crate::status::{PhaseStatus, Reached, Status, places};
use crate::workspace::Workspace;

/// Arguments of `hactl phase`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  hactl phase list
  hactl phase show 0
  hactl phase run 0
  hactl phase run 0 --skip nightly --reason 'the old cron job stays until May'
  hactl phase run 0 --step nightly     (in May)
  hactl phase verify 0
  hactl phase rollback 0")]
pub struct PhaseArgs {
    #[command(subcommand)]
    command: PhaseCommand,
}

#[derive(Debug, Subcommand)]
enum PhaseCommand {
    /// List the phases and how far each is
    List,
    /// Show a phase's steps, where they act, and their gates
    Show {
        /// The phase's id
        phase: PhaseId,
    },
    /// Carry out a phase, asking at each gate
    ///
    /// What is done and verified already is looked at again and left alone. The first Ctrl-C finishes the current
    /// action and stops; the second one stops now, and `hactl resume` finds out what became of it.
    Run {
        /// The phase's id
        phase: PhaseId,
        /// Leave this step out; it stays unproven. May be given more than once
        #[arg(long, value_name = "STEP", requires = "reason")]
        skip: Vec<StepId>,
        /// Why, for the journal
        #[arg(long, value_name = "TEXT", requires = "skip")]
        reason: Option<String>,
        /// Carry out only this step, also where it was left out before
        #[arg(long, value_name = "STEP", conflicts_with_all = ["skip", "take_over"])]
        step: Option<StepId>,
        /// Accept what was changed since the run began (files, or hactl), record that, and go on
        #[arg(long)]
        rebase: bool,
        /// Take hosts over that another workspace changed last; from then on they refuse that one
        #[arg(long)]
        take_over: bool,
    },
    /// Look at what was made and verify it again; proofs are taken anew
    Verify {
        /// The phase's id
        phase: PhaseId,
    },
    /// Take a phase back, its steps in reverse order
    ///
    /// Only what this run made is taken back. What cannot be is said before you are asked. A step in doubt is looked
    /// at first; it is never carried out for that.
    Rollback {
        /// The phase's id
        phase: PhaseId,
        /// What you found about a step in doubt: STEP[@HOST]=applied or =not-applied. May be given more than once
        #[arg(long, value_name = "STEP[@HOST]=OUTCOME")]
        decide: Vec<Decision>,
    },
}

impl PhaseArgs {
    /// Runs it.
    ///
    /// # Errors
    /// What could not be done.
    pub fn run(&self, global: &Global, out: &Out) -> Result<Exit> {
        match &self.command {
            PhaseCommand::List => list(global, out)?,
            PhaseCommand::Show { phase } => show(global, out, phase)?,
            PhaseCommand::Run { phase, step: Some(step), rebase, .. } => {
                on_run(global, out, Drift::rebase_if(*rebase), async |session, work, _asker| {
                    run_step(session, work, phase, step).await?;
                    say_next(session, out)
                })?;
            }
            PhaseCommand::Run { phase, skip, reason, step: None, rebase, take_over } => {
                on_run(global, out, Drift::rebase_if(*rebase), async |session, work, asker| {
                    if *take_over {
                        let steps = session.fleet.phase(session.phase(phase)?).steps;
                        work::take_over(session, asker, &steps).await?;
                    }
                    run(session, work, phase, skip, reason.as_deref().unwrap_or_default()).await?;
                    say_next(session, out)
                })?;
            }
            PhaseCommand::Verify { phase } => {
                on_run(global, out, Drift::Refuse, async |session, work, _asker| {
                    verify(session, work, phase).await?;
                    say_next(session, out)
                })?;
            }
            PhaseCommand::Rollback { phase, decide } => {
                on_run(global, out, Drift::Refuse, async |session, work, asker| {
                    roll_back(session, work, asker, phase, decide).await?;
                    say_next(session, out)
                })?;
            }
        }
        Ok(Exit::Done)
    }
}

/// Carries out a phase, after leaving out what the operator wants left out.
///
/// # Errors
/// An earlier phase is not done, there is no such step, or what carrying it out could not do.
pub async fn run(
    session: &Session,
    work: &Work<'_>,
    id: &PhaseId,
    skip: &[StepId],
    reason: &str,
) -> Result<()> {
    let phase = session.phase(id)?;
    earlier_phases_are_done(session, phase)?;
    let PhaseTasks { id, title, lacks, steps } = session.fleet.phase(phase);
    nothing_lacks(session, phase, &lacks)?;
    for step in skip {
        if !steps.iter().any(|tasks| tasks.step == *step) {
            return Err(no_step(&id, step));
        }
    }
    work::check_owners(session, &steps).await?;
    session.begin()?;
    for task in steps.iter().filter(|tasks| skip.contains(&tasks.step)).flat_map(|tasks| &tasks.tasks) {
        work.skip(task, reason)?;
    }
    work.run_phase(&id, &title, &steps).await?;
    work::tidy(session).await;
    Ok(())
}

/// Carries out one step of a phase, also one that was left out before.
async fn run_step(session: &Session, work: &Work<'_>, id: &PhaseId, step: &StepId) -> Result<()> {
    let phase = session.phase(id)?;
    earlier_phases_are_done(session, phase)?;
    let PhaseTasks { steps, lacks, .. } = session.fleet.phase(phase);
    nothing_lacks(session, phase, &lacks)?;
    let Some(at) = steps.iter().position(|tasks| tasks.step == *step) else {
        return Err(no_step(id, step));
    };
    let (before, rest) = steps.split_at(at);
    let ended = |state| matches!(state, State::Verified | State::Skipped);
    let mut tasks = before.iter().flat_map(|step| &step.tasks);
    let state = session.journal.state();
    if let Some(task) = tasks.find(|task| !state.checkpoint(&task.place).is_some_and(|c| ended(c.state))) {
        let what = format!("step {step} builds on {}, which is not done", task.place);
        return Err(Error::new(codes::PHASE_ORDER, what)
            .state("nothing was done")
            .next(format!("hactl phase run {id}")));
    }
    work::check_owners(session, rest.get(..1).unwrap_or_default()).await?;
    session.begin()?;
    for tasks in rest.iter().take(1) {
        work.run_skipped_step(tasks).await.map_err(|error| finish_rollback(error, id))?;
    }
    work::tidy(session).await;
    Ok(())
}

fn no_step(phase: &PhaseId, step: &StepId) -> Error {
    Error::new(codes::USAGE, format!("phase {phase} has no step {step}"))
        .state("nothing was done")
        .next(format!("hactl phase show {phase}"))
}

/// What a phase lacks to be carried to its end is said before anything of it is ordered.
fn nothing_lacks(session: &Session, phase: &Phase, lacks: &[Lack]) -> Result<()> {
    if lacks.is_empty() {
        return Ok(());
    }
    let error = lacks::refusal(phase, lacks).next("write that into hactl.toml, then: hactl check");
    Err(match session.journal.state().run() {
        None => error.next(format!("hactl phase run {}", phase.id)),
        // What was written is a change since the run began.
        Some(_) => error.next(format!("hactl phase run {} --rebase    (accepts that change)", phase.id)),
    })
}

/// A phase builds on those before it.
fn earlier_phases_are_done(session: &Session, phase: &Phase) -> Result<()> {
    let status = work::status(session);
    let mut before = status.phases.iter().take_while(|earlier| earlier.id != phase.id);
    match before.find(|earlier| earlier.reached != Reached::Done) {
        None => Ok(()),
        Some(earlier) => Err(Error::new(
            codes::PHASE_ORDER,
            format!("phase {} builds on phase {}, which is not done", phase.id, earlier.id),
        )
        .state("nothing was done")
        .next(format!("hactl phase run {}", earlier.id))),
    }
}

async fn verify(session: &Session, work: &Work<'_>, id: &PhaseId) -> Result<()> {
    let PhaseTasks { steps, .. } = session.fleet.phase(session.phase(id)?);
    let made = |step: &crate::engine::seam::StepTasks| {
        let state = session.journal.state();
        step.tasks.iter().any(|task| {
            state
                .checkpoint(&task.place)
                .is_some_and(|c| matches!(c.state, State::Applied | State::Verified | State::Failed))
        })
    };
    if session.journal.state().run().is_none() || !steps.iter().any(made) {
        return Err(Error::new(codes::NOTHING_TO_VERIFY, format!("nothing of phase {id} was done yet"))
            .next(format!("hactl phase run {id}")));
    }
    work::check_owners(session, &steps).await?;
    session.begin()?;
    for step in &steps {
        work.verify_step(step).await?;
    }
    Ok(())
}

async fn roll_back(
    session: &Session,
    work: &Work<'_>,
    asker: &Asker,
    id: &PhaseId,
    decisions: &[Decision],
) -> Result<()> {
    let phase = session.phase(id)?;
    later_phases_are_taken_back(session, phase)?;
    let PhaseTasks { steps, .. } = session.fleet.phase(phase);
    work::check_owners(session, &steps).await?;
    // What is in doubt is looked at, and that is recorded; nothing is carried out.
    let doubtful = work.in_doubt(&steps);
    if doubtful {
        session.begin()?;
        for decision in decisions {
            decide(session, work, decision, Met::TakingBack(id)).await?;
        }
        work.settle_doubts(&steps, id).await?;
    } else if let Some(decision) = decisions.first() {
        decide(session, work, decision, Met::TakingBack(id)).await?;
    }
    let retreats = work.retreat(&steps)?;
    if retreats.iter().all(|retreat| retreat.fate != Fate::Undone) {
        return Err(Error::new(
            codes::NOTHING_TO_ROLL_BACK,
            format!("nothing of phase {id} can be taken back"),
        )
        .state("nothing was taken back")
        .next("hactl status"));
    }
    let text = format!("Taking back phase {id}, {}:\n{}", phase.title, told(&retreats));
    match asker.confirm(&text, "  Take it back?").await? {
        Answer::Yes(_) => {}
        Answer::No => {
            return Err(Error::new(codes::APPROVAL_REFUSED, "the rollback was refused")
                .state("nothing was taken back")
                .next("hactl status"));
        }
        Answer::NobodyThere => {
            return Err(Error::new(
                codes::APPROVAL_NEEDED,
                "a rollback is confirmed at a terminal, and there is none here",
            )
            .state("nothing was taken back")
            .next(format!("at a terminal: hactl phase rollback {id}")));
        }
    }
    if !doubtful {
        session.begin()?;
    }
    work.roll_back(id, &steps).await?;
    work::tidy(session).await;
    Ok(())
}

/// What a later phase built would stand on nothing.
fn later_phases_are_taken_back(session: &Session, phase: &Phase) -> Result<()> {
    let state = session.journal.state();
    let later = session.runbook.phases.iter().skip_while(|p| p.id != phase.id).skip(1);
    let standing = |later: &&Phase| {
        let mut all = later.steps.iter().flat_map(|step| places(&session.workspace, step));
        all.any(|place| state.checkpoint(&place).is_some_and(|c| c.is_ours() && c.state != State::RolledBack))
    };
    match later.filter(standing).last() {
        None => Ok(()),
        Some(later) => Err(Error::new(
            codes::PHASE_ORDER,
            format!("phase {} was built on phase {}, and is still there", later.id, phase.id),
        )
        .state("nothing was taken back")
        .next(format!("hactl phase rollback {}", later.id))),
    }
}

fn told(retreats: &[Retreat]) -> String {
    let line = |Retreat { place, fate, how }: &Retreat| match fate {
        Fate::Undone => format!("  undo    {place}: {how}"),
        Fate::Stays => format!("  STAYS   {place}: {how}"),
        Fate::Forgotten => format!("  forget  {place}: {how}"),
        Fate::NotOurs => format!("  leave   {place}: {how}"),
    };
    retreats.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[derive(Serialize)]
struct Listed<'a> {
    event: &'static str,
    #[serde(flatten)]
    phase: &'a PhaseStatus,
}

fn list(global: &Global, out: &Out) -> Result<()> {
    let glance = Glance::at(&global.file()?)?;
    let now = jiff::Timestamp::now();
    let status = Status::of(&glance.workspace, &glance.runbook, &glance.state, &glance.files, now);
    for phase in &status.phases {
        match out.format() {
            Format::Json => out.object(&Listed { event: "phase", phase })?,
            Format::Human => {
                let reached = match phase.reached {
                    Reached::NotBegun => "not begun",
                    Reached::Begun => "begun",
                    Reached::HalfTakenBack => "HALF TAKEN BACK",
                    Reached::Done => "done",
                };
                out.wrapped(&format!("{:<4} {reached:<10} {}", phase.id, phase.title), 16)?;
            }
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Shown<'a> {
    event: &'static str,
    step: &'a StepId,
    title: &'a str,
    kind: &'a str,
    gate: Gate,
    hosts: Vec<String>,
    require: Vec<&'a str>,
    verify: Vec<&'a str>,
    timeout: String,
}

fn show(global: &Global, out: &Out, id: &PhaseId) -> Result<()> {
    let glance = Glance::at(&global.file()?)?;
    let phase = phase_of(&glance.runbook, id)?;
    if out.format() == Format::Human {
        out.wrapped(&format!("phase {}: {}", phase.id, phase.title), 2)?;
        if let Some(why) = &phase.why {
            out.wrapped(&format!("  {why}"), 2)?;
        }
    }
    for step in &phase.steps {
        let shown = shown(step, &glance.workspace);
        match out.format() {
            Format::Json => out.object(&shown)?,
            Format::Human => out.say(format!("\n{}", in_words(&shown, step, out.width())))?,
        }
    }
    Ok(())
}

fn shown<'a>(step: &'a Step, workspace: &Workspace) -> Shown<'a> {
    let kinds = |calls: &'a [Call]| calls.iter().map(|call| call.kind.as_str()).collect();
    Shown {
        event: "step",
        step: &step.id,
        title: &step.title,
        kind: &step.action.kind,
        gate: step.gate,
        hosts: places(workspace, step).into_iter().filter_map(|p| p.host).map(|h| h.to_string()).collect(),
        require: kinds(&step.require),
        verify: kinds(&step.verify),
        timeout: step.timeout.to_string(),
    }
}

fn in_words(shown: &Shown<'_>, step: &Step, width: usize) -> String {
    let on = if shown.hosts.is_empty() { "this machine".to_owned() } else { shown.hosts.join(", ") };
    let mut lines = vec![
        format!("  {}: {}", shown.step, shown.title),
        format!("    does      {} on {on}, within {}", shown.kind, shown.timeout),
    ];
    let gate = match shown.gate {
        Gate::None => None,
        Gate::Confirm => Some("asks for a yes"),
        Gate::Type => Some("asks you to type a name"),
        Gate::Sign => Some("asks for a signature"),
    };
    lines.extend(gate.map(|gate| format!("    gate      {gate}")));
    for (label, probes) in [("requires", &shown.require), ("verifies", &shown.verify)] {
        if !probes.is_empty() {
            lines.push(format!("    {label:<9} {}", probes.join(", ")));
        }
    }
    if let Some(why) = &step.why {
        lines.push(format!("    why       {why}"));
    }
    words::wrap(&lines.join("\n"), width, 14)
}
