//! Actions: what was asked for and takes time.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::answer::{Answer, Answered, Refusal};
use super::super::list;
use super::super::request::Request;
use super::object::{Context, stamp};
use super::{Id, Project};

/// What has to be done in the world. Each says what to make true, so doing it twice is doing it once; the exceptions are
/// a reset and a reboot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Effect {
    /// Nothing: the objects alone changed.
    Nothing,
    /// A machine for a new server: its disk and its first boot's seed.
    Create(Id),
    /// Power on.
    Start(Id),
    /// Power taken.
    PowerOff(Id),
    /// Its system asked to shut down.
    Shutdown(Id),
    /// Power taken and given again.
    Reset(Id),
    /// Its system asked to reboot.
    Reboot(Id),
    /// The machine and its disk away.
    Remove(Id),
    /// A server's private interfaces.
    Interfaces(Id),
    /// The filters on these servers' public interfaces.
    Filters(Vec<Id>),
    /// A load balancer as it is described now; away where it is no more.
    Balance(Id),
    /// All floating IPs' routes.
    Routes,
}

/// Where an action stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stage {
    Running,
    Success,
    Error,
}

/// How an effect ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Failed { code: String, message: String },
}

impl Outcome {
    pub(crate) fn failed(code: &str, message: impl Into<String>) -> Self {
        Self::Failed { code: code.to_owned(), message: message.into() }
    }
}

/// One action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Action {
    pub(crate) id: Id,
    pub(crate) command: String,
    pub(crate) stage: Stage,
    pub(crate) started: Timestamp,
    pub(crate) finished: Option<Timestamp>,
    /// The objects it concerns: id and kind.
    pub(crate) resources: Vec<(Id, String)>,
    pub(crate) error: Option<(String, String)>,
    pub(crate) effect: Effect,
    /// The action that must have ended well before this one begins.
    pub(crate) after: Option<Id>,
    /// Not shown: the request that it belongs to is answered without an action.
    pub(crate) hidden: bool,
    /// A fault that was asked for: it stays running for ever, or fails.
    pub(crate) fault: Option<ActionFault>,
}

/// What a fault makes of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ActionFault {
    Held,
    Fails { code: String, message: String },
}

impl Action {
    pub(crate) fn end(&mut self, outcome: &Outcome, now: Timestamp) {
        self.finished = Some(now);
        match outcome {
            Outcome::Done => self.stage = Stage::Success,
            Outcome::Failed { code, message } => {
                self.stage = Stage::Error;
                self.error = Some((code.clone(), message.clone()));
            }
        }
    }

    pub(crate) fn view(&self, now: Timestamp) -> Value {
        let status = match self.stage {
            Stage::Running => "running",
            Stage::Success => "success",
            Stage::Error => "error",
        };
        // Nobody knows how far a boot is; time is what there is to show.
        let elapsed = now.duration_since(self.started).as_millis().clamp(0, 20_000);
        let progress = if self.stage == Stage::Running { elapsed * 95 / 20_000 } else { 100 };
        let error = self.error.as_ref().map(|(code, message)| json!({ "code": code, "message": message }));
        let resources = self.resources.iter().map(|(id, kind)| json!({ "id": id, "type": kind }));
        json!({
            "id": self.id, "command": self.command, "status": status, "progress": progress,
            "started": stamp(self.started), "finished": self.finished.map(stamp),
            "resources": resources.collect::<Vec<_>>(), "error": error,
        })
    }
}

impl Project {
    /// Notes what has to be done; who carries out actions finds it.
    pub(crate) fn act(
        &mut self,
        context: Context<'_>,
        command: &str,
        resources: &[(&str, Id)],
        effect: Effect,
    ) -> Id {
        let id = self.new_id();
        let action = Action {
            id,
            command: command.to_owned(),
            stage: Stage::Running,
            started: context.now,
            finished: None,
            resources: resources.iter().map(|(kind, id)| (*id, (*kind).to_owned())).collect(),
            error: None,
            effect,
            after: None,
            hidden: false,
            fault: None,
        };
        self.actions.insert(id, action);
        id
    }

    /// The same, behind another action.
    pub(crate) fn act_after(
        &mut self,
        context: Context<'_>,
        command: &str,
        resources: &[(&str, Id)],
        effect: Effect,
        after: Id,
    ) -> Id {
        let id = self.act(context, command, resources, effect);
        if let Some(action) = self.actions.get_mut(&id) {
            action.after = Some(after);
        }
        id
    }

    /// Something to do that the API shows no action for.
    pub(crate) fn chore(&mut self, context: Context<'_>, command: &str, effect: Effect) {
        let id = self.act(context, command, &[], effect);
        if let Some(action) = self.actions.get_mut(&id) {
            action.hidden = true;
        }
    }

    pub(crate) fn action_view(&self, context: Context<'_>, id: Id) -> Value {
        self.actions.get(&id).map_or(Value::Null, |a| a.view(context.now))
    }

    /// The usual answer of what takes time: 201 and the action.
    pub(crate) fn acting(&self, context: Context<'_>, id: Id) -> Answer {
        Answer::created(json!({ "action": self.action_view(context, id) }))
    }

    /// `GET …/actions`: of all objects of a kind, or of one of them.
    pub(crate) fn list_actions(
        &self,
        context: Context<'_>,
        request: &Request,
        kind: Option<&str>,
        of: Option<Id>,
    ) -> Answered {
        if kind.is_none() && request.parameter("id").is_none() {
            return Err(Refusal::invalid("id", "is required"));
        }
        let concerns = |a: &&super::Action| {
            let one = |r: &(Id, String)| kind.is_none_or(|k| r.1 == k) && of.is_none_or(|id| r.0 == id);
            !a.hidden && a.resources.iter().any(one)
        };
        let views = self.actions.values().filter(concerns).map(|a| a.view(context.now)).collect();
        let mut answer = list::page("actions", views, request)?;
        if kind.is_none()
            && let Some(Value::Object(body)) = &mut answer.body
        {
            // Those that were asked for by their ids come without pages.
            body.remove("meta");
        }
        Ok(answer)
    }

    /// `GET …/actions/{id}`.
    pub(crate) fn one_action(&self, context: Context<'_>, id: Id, of: Option<(&str, Id)>) -> Answered {
        let found = self.actions.get(&id).filter(|a| {
            !a.hidden && of.is_none_or(|(kind, of)| a.resources.iter().any(|r| r.0 == of && r.1 == kind))
        });
        let action = found.ok_or_else(|| Refusal::not_found("action", id))?;
        Ok(Answer::ok(json!({ "action": action.view(context.now) })))
    }

    /// What follows from an effect for the objects.
    pub(super) fn after(&mut self, effect: &Effect, succeeded: bool) {
        use super::Phase;
        let (server, done, otherwise) = match effect {
            Effect::Create(id) => (*id, Phase::Off, Phase::Off),
            Effect::Start(id) | Effect::Reset(id) | Effect::Reboot(id) => (*id, Phase::Running, Phase::Off),
            // A system that does not listen to a request to shut down goes on running.
            Effect::PowerOff(id) | Effect::Shutdown(id) => (*id, Phase::Off, Phase::Running),
            Effect::Remove(id) => {
                if succeeded {
                    self.servers.remove(id);
                    return;
                }
                (*id, Phase::Off, Phase::Off)
            }
            Effect::Nothing
            | Effect::Interfaces(_)
            | Effect::Filters(_)
            | Effect::Balance(_)
            | Effect::Routes => return,
        };
        if let Some(server) = self.servers.get_mut(&server) {
            server.phase = if succeeded { done } else { otherwise };
            if succeeded && matches!(effect, Effect::Create(_)) {
                // It may hold keys, and the machine has it by now.
                server.user_data = None;
            }
        }
    }
}
