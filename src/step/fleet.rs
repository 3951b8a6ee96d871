//! The steps of a runbook on a real fleet: what the driver drives in production and in the lab.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use futures_util::future::join_all;
use tokio::time::{Duration, sleep};

use super::kind::{Evidence, Failure, Findings, StepKind as _};
use super::manual::Manual;
use super::table::{Action, Table};
use crate::access::World;
use crate::costs::{Book, Order};
use crate::diagnostic::{Code, Error, Result, codes};
use crate::digest::Digest;
use crate::engine::seam::{Resolved, Signers, StepTasks, Steps, Task};
use crate::engine::state::State;
use crate::journal::record::{Before, Epoch, Observed, Outputs, Place};
use crate::journal::{AttemptLabel, IntentRecorded, RollbackRecorded, RunState, TrialRecorded};
use crate::lacks::lacks;
use crate::name::{HostName, StepId};
use crate::plan::PhaseTasks;
use crate::probe::{Probe, Verdict};
use crate::runbook::{Bindings, Phase, Runbook, SignedBy, Step};
use crate::transport::ssh::{AttemptId, AttemptState, Owner, Standing};
use crate::waiting::{Await, begin};
use crate::workspace::{Host, Workspace};

/// How long a person may take to do something by hand.
const A_PERSONS_TIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// How often a command that still runs is looked at.
const AGAIN: Duration = Duration::from_millis(500);

/// A runbook, the fleet it is carried out on, and the connections to it.
#[derive(Debug)]
pub struct Fleet {
    runbook: Rc<Runbook>,
    workspace: Rc<Workspace>,
    world: World,
    /// Where each step stands in the runbook: the phase and the step in it.
    index: BTreeMap<StepId, (usize, usize)>,
}

/// A resolved action with its probes.
#[derive(Clone, Debug)]
pub struct Call {
    action: Action,
    require: Vec<Probe>,
    verify: Vec<Probe>,
}

impl Fleet {
    /// Joins them.
    #[must_use]
    pub fn new(runbook: Rc<Runbook>, workspace: Rc<Workspace>, world: World) -> Self {
        let mut index = BTreeMap::new();
        for (p, phase) in runbook.phases.iter().enumerate() {
            index.extend(phase.steps.iter().enumerate().map(|(s, step)| (step.id.clone(), (p, s))));
        }
        Self { runbook, workspace, world, index }
    }

    /// The connections.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The places of a phase's steps, in order.
    #[must_use]
    pub fn phase(&self, phase: &Phase) -> PhaseTasks {
        let steps = phase.steps.iter().map(|step| self.tasks(step)).collect();
        let lacks = lacks(&self.workspace, &self.runbook, phase);
        PhaseTasks { id: phase.id.clone(), title: phase.title.clone(), lacks, steps }
    }

    /// The places of a step: every host of its role, or none. (Loading refuses what happens once on several hosts.)
    #[must_use]
    pub fn tasks(&self, step: &Step) -> StepTasks {
        let hosts: Vec<Option<HostName>> = match &step.on {
            None => vec![None],
            Some(role) => self.workspace.hosts_in(role).map(|host| Some(host.name.clone())).collect(),
        };
        let task = |host| Task {
            place: Place { step: step.id.clone(), host },
            title: step.title.clone(),
            why: step.why.clone(),
            gate: step.gate,
            signers: match (step.signed_by, &self.workspace.approvals) {
                (SignedBy::AnotherPerson, Some(approvals)) => Signers::AllBut(approvals.operators.clone()),
                (SignedBy::AnotherPerson | SignedBy::Anyone, _) => Signers::Anyone,
            },
            // A person takes as long as it takes; nothing else waits for them.
            timeout: if step.action.kind == Manual::NAME { A_PERSONS_TIME } else { step.timeout.into() },
            retries: step.retries,
        };
        StepTasks {
            step: step.id.clone(),
            parallel: step.parallel,
            tasks: hosts.into_iter().map(task).collect(),
        }
    }

    /// Makes sure that the hosts of these steps were changed last by this very journal, or by none, before anything is
    /// begun. A host that cannot be asked now is asked again by whatever wants to change it.
    ///
    /// # Errors
    /// One was changed by another workspace, or by another copy of this journal.
    pub async fn check_owners(&self, steps: &[StepTasks], state: &RunState) -> Result<()> {
        let standing = Standing::of(&self.workspace.fleet, state);
        let hosts = self.hosts_of(steps, state);
        let asked = hosts.iter().map(|host| self.world.check_owner(host, &standing));
        let refused =
            join_all(asked).await.into_iter().filter_map(Result::err).find(|e| is_refusal(e.code()));
        refused.map_or(Ok(()), |error| Err(error.state("nothing was begun, on any host")))
    }

    /// Tells every host of these steps which epoch counts, where the run was ever taken over: from then on it refuses what the
    /// former machine sends. A host that cannot be asked now is told by the first claim there.
    ///
    /// # Errors
    /// One belongs to somebody else.
    pub async fn raise_epoch(&self, steps: &[StepTasks], state: &RunState) -> Result<()> {
        if state.epoch() == Epoch::FIRST {
            return Ok(());
        }
        let standing = Standing::of(&self.workspace.fleet, state);
        let hosts = self.hosts_of(steps, state);
        let raised = hosts.iter().map(|host| async {
            match self.world.owner(host).await? {
                Some(owner) if owner.epoch >= standing.epoch => Ok(()),
                Some(_) | None => self.world.raise(host, &standing).await,
            }
        });
        let refused =
            join_all(raised).await.into_iter().filter_map(Result::err).find(|e| is_refusal(e.code()));
        refused.map_or(Ok(()), |error| Err(error.state("nothing was begun, on any host")))
    }

    /// Who changed the hosts of these steps last, where somebody did.
    ///
    /// # Errors
    /// A host cannot be asked: then it is not known whether it would be taken over.
    pub async fn owners(&self, steps: &[StepTasks], state: &RunState) -> Result<Vec<(HostName, Owner)>> {
        let mut owners = Vec::new();
        for host in self.hosts_of(steps, state) {
            match self.world.owner(&host).await {
                Ok(Some(owner)) => owners.push((host, owner)),
                Ok(None) => {}
                // Nobody changed a server that is not made yet.
                Err(error) if error.code() == codes::SSH_NO_SERVER => {}
                Err(error) => return Err(error),
            }
        }
        Ok(owners)
    }

    /// Removes from the hosts of these steps what the attempts of a finished run left. A host that cannot be asked keeps
    /// it until the next time.
    pub async fn prune(&self, steps: &[StepTasks], state: &RunState) {
        let standing = Standing::of(&self.workspace.fleet, state);
        let hosts = self.hosts_of(steps, state);
        join_all(hosts.iter().map(|host| self.world.prune(host, &standing))).await;
    }

    /// Every host that these steps act on, as far as that is known by now.
    fn hosts_of(&self, steps: &[StepTasks], state: &RunState) -> BTreeSet<HostName> {
        let tasks = steps.iter().flat_map(|step| &step.tasks);
        let hosts = |task: &Task| match self.resolve(task, state) {
            Ok(resolved) => resolved.hosts,
            Err(_not_yet) => task.place.host.iter().cloned().collect(),
        };
        tasks.flat_map(hosts).collect()
    }

    /// The actions that are verified, each with its place.
    ///
    /// # Errors
    /// One of them cannot be resolved any more.
    pub fn verified(&self, state: &RunState) -> Result<Vec<(Place, Action)>> {
        let mut verified = Vec::new();
        for (_, step) in self.runbook.steps() {
            for task in self.tasks(step).tasks {
                if state.checkpoint(&task.place).is_some_and(|c| c.state == State::Verified) {
                    let action = step.resolve::<Table>(&self.bindings(&task, state))?;
                    verified.push((task.place, action));
                }
            }
        }
        Ok(verified)
    }

    /// Tells hosts whose servers are made by steps where those are.
    ///
    /// # Errors
    /// The pinned keys cannot be read or written.
    pub fn locate(&self, state: &RunState) -> Result<()> {
        for host in &self.workspace.hosts {
            if let Some(server) = &host.server {
                let made = super::hcloud::made_server(&self.runbook, state, &server.name);
                let newer = super::hcloud::rotated_key(&self.runbook, state, &host.name);
                self.world.locate(host, made.map(|(found, first)| (found, newer.or(first))))?;
            }
        }
        Ok(())
    }

    fn bindings<'a>(&'a self, task: &Task, state: &'a RunState) -> Bindings<'a> {
        let (workspace, runbook) = (&self.workspace, &self.runbook);
        Bindings { workspace, runbook, host: self.host(task), outputs: state }
    }

    fn step(&self, task: &Task) -> Result<&Step> {
        let found = self.index.get(&task.place.step);
        found
            .and_then(|(p, s)| self.runbook.phases.get(*p)?.steps.get(*s))
            .ok_or_else(|| Error::new(codes::INTERNAL, "the runbook has no such step").at(&task.place))
    }

    fn host(&self, task: &Task) -> Option<&Host> {
        task.place.host.as_ref().and_then(|name| self.workspace.host(name))
    }

    /// The probes that do not hold.
    async fn failing(&self, place: &Place, probes: &[Probe]) -> Result<(Vec<String>, Vec<String>)> {
        let view = self.world.view(place);
        let (mut holding, mut failing) = (Vec::new(), Vec::new());
        for probe in probes {
            let measured = probe.measure(&view).await?;
            match measured.verdict {
                Verdict::Holds => holding.push(measured.text),
                Verdict::Fails => failing.push(measured.text),
            }
        }
        Ok((holding, failing))
    }
}

impl Steps for Fleet {
    type Action = Call;

    fn resolve(&self, task: &Task, state: &RunState) -> Result<Resolved<Call>> {
        let step = self.step(task)?;
        self.world.know_project(|| super::hcloud::known_project(&self.runbook, state));
        self.locate(state)?;
        let bindings = self.bindings(task, state);
        let action = step.resolve::<Table>(&bindings)?;
        let require = step.resolve_require::<Table>(&bindings)?;
        let verify = step.resolve_verify::<Table>(&bindings)?;
        let canonical = serde_json::to_string(&action).map_err(|e| {
            Error::new(codes::INTERNAL, "an action without a JSON form").source(e).at(&task.place)
        })?;

        let view = self.world.view(&task.place);
        let mut hosts: Vec<HostName> = task.place.host.iter().cloned().collect();
        for further in action.further_hosts(&view) {
            if !hosts.contains(&further) {
                hosts.push(further);
            }
        }
        let mut identities =
            hosts.iter().map(|name| self.world.identity(name)).collect::<Result<Vec<_>>>()?;
        let objects = action.objects(&view);
        let typed_name = match (&task.place.host, objects.first()) {
            (Some(host), _) => host.to_string(),
            (None, Some(object)) => object.clone(),
            (None, None) => self.workspace.fleet.to_string(),
        };
        identities.extend(objects);
        Ok(Resolved {
            digest: Digest::of(&canonical),
            canonical,
            effect: action.effect(),
            way_back: action.way_back(),
            hosts,
            identities,
            typed_name,
            action: Call { action, require, verify },
        })
    }

    async fn orders(&self, task: &Task, call: &Call) -> Result<Vec<Order>> {
        call.action.orders(&self.world.view(&task.place)).await
    }

    async fn book(&self) -> Result<Option<Book>> {
        let mut steps = self.runbook.steps();
        let Some((_, step)) = steps.find(|(_, step)| step.action.kind.starts_with("hcloud_")) else {
            return Ok(None);
        };
        let place = Place { step: step.id.clone(), host: None };
        let cloud = self.world.view(&place).hcloud().await?;
        Ok(Some(Book {
            list: cloud.prices().await?,
            there: cloud.costing().await?,
            estimate: self.runbook.estimate(&self.workspace),
        }))
    }

    async fn check(&self, task: &Task, call: &Call) -> Result<Findings> {
        let (holding, failing) = self.failing(&task.place, &call.require).await?;
        let mut findings = Findings::default();
        for text in failing {
            findings.block(text);
        }
        // What the kind itself checks may build on what the probes require.
        if findings.blocking().next().is_none() {
            findings.0.extend(call.action.check(&self.world.view(&task.place)).await?.0);
        }
        for text in holding {
            findings.note(text);
        }
        Ok(findings)
    }

    async fn observe(&self, task: &Task, call: &Call, before: Option<&Before>) -> Result<Observed> {
        call.action.observe(&self.world.view(&task.place), before).await
    }

    async fn apply(&self, _task: &Task, call: &Call, intent: &IntentRecorded) -> Result<Outputs, Failure> {
        call.action.apply(&self.world.hands(intent)).await
    }

    async fn settle(
        &self,
        task: &Task,
        label: AttemptLabel,
        hosts: &[HostName],
        state: &RunState,
    ) -> Result<()> {
        let attempt = attempt_id(state, &task.place, label)?;
        for host in hosts {
            let _waiting = begin(Await::new("the last attempt to end").on(host));
            while let AttemptState::Running { .. } = self.world.settle(host, &attempt).await? {
                sleep(AGAIN).await;
            }
        }
        Ok(())
    }

    async fn verify(&self, task: &Task, call: &Call, trial: &TrialRecorded) -> Result<Evidence> {
        let mut evidence = call.action.verify(&self.world.trial(trial)).await?;
        let (holding, failing) = self.failing(&task.place, &call.verify).await?;
        if failing.is_empty() {
            evidence.facts.extend(holding);
            Ok(evidence)
        } else {
            Err(Error::new(codes::NOT_VERIFIED, failing.join("; ")))
        }
    }

    async fn undo(&self, _task: &Task, call: &Call, rollback: &RollbackRecorded) -> Result<(), Failure> {
        call.action.undo(&self.world.undoing(rollback)).await
    }
}

/// Is this what a host says to somebody who may not change it?
fn is_refusal(code: Code) -> bool {
    [
        codes::ATTEMPT_OTHER_FLEET,
        codes::ATTEMPT_OTHER_RUN,
        codes::ATTEMPT_OLD_EPOCH,
        codes::ATTEMPT_OLD_JOURNAL,
        codes::ATTEMPT_OWNER_DAMAGED,
    ]
    .contains(&code)
}

/// The claim of an attempt that may still be out there.
fn attempt_id(state: &RunState, place: &Place, label: AttemptLabel) -> Result<AttemptId> {
    let Some(run) = state.run() else {
        return Err(Error::new(codes::INTERNAL, "an attempt without a run").at(place));
    };
    Ok(AttemptId {
        fleet: run.fleet.clone(),
        run: run.run.clone(),
        epoch: state.epoch(),
        step: place.step.clone(),
        place_host: place.host.clone(),
        label,
    })
}
