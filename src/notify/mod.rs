//! Telling somebody who is not at the terminal: `[notify] command` of `hactl.toml`.
//!
//! Invariant: a notification decides nothing. Its command may fail, hang, be missing or flood, and the run goes on as if
//! there were none; that it went wrong is said once. It gets one JSON object on standard input, cleaned of secrets, and
//! nothing of ours in its arguments; variables that `hactl.toml` names as secrets are not in its environment.

mod program;

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;

use jiff::Timestamp;
use serde::Serialize;
use tokio::task::JoinSet;

use self::program::Program;
use crate::clock::Clock as _;
use crate::clock::SystemClock;
use crate::diagnostic::{Error, Exit, codes};
use crate::event::{Event, Listener};
use crate::journal::record::{Operator, Place, Record};
use crate::name::{FleetName, RunId};
use crate::redact::Redactor;
use crate::workspace::Workspace;

pub use self::program::LIMIT;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// A gate, or a step that a person does by hand, waits for somebody.
    GateWaits,
    /// The run stopped at a failure.
    Failed,
    /// The run stopped, and a step is in doubt.
    InDoubt,
    /// The run was stopped by Ctrl-C or a signal.
    Interrupted,
    /// What was asked for is done.
    Ended,
}

/// What the command reads.
#[derive(Clone, Debug, Serialize)]
struct Notification<'a> {
    notification: Occasion,
    at: Timestamp,
    fleet: &'a FleetName,
    #[serde(skip_serializing_if = "Option::is_none")]
    lab: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<RunId>,
    workspace: &'a str,
    operator: &'a Operator,
    command: &'a str,
    #[serde(flatten)]
    news: News,
}

/// The part that differs from one occasion to the next.
#[derive(Clone, Debug, Default, Serialize)]
pub struct News {
    /// The sentence.
    pub text: String,
    /// The step that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The host that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The error's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How things stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
    /// What to type next.
    pub next: Vec<String>,
}

impl News {
    /// A gate that waits on a place.
    #[must_use]
    pub fn of_gate(place: &Place, text: String, next: Vec<String>) -> Self {
        Self {
            text,
            step: Some(place.step.to_string()),
            host: place.host.as_ref().map(ToString::to_string),
            next,
            ..Self::default()
        }
    }

    fn of_error(error: &Error) -> Self {
        Self {
            text: error.one_line(),
            step: error.step_name().map(ToOwned::to_owned),
            host: error.host_name().map(ToOwned::to_owned),
            code: Some(error.code().name().to_owned()),
            now: error.state_now().map(ToOwned::to_owned),
            next: error.next_moves(),
        }
    }
}

/// What is known of the run while it goes on.
#[derive(Debug)]
struct About {
    program: Program,
    fleet: FleetName,
    lab: Option<String>,
    workspace: PathBuf,
    operator: Operator,
    command: String,
}

/// Starts the command, and hears of its end without waiting for it.
pub struct Notifier {
    about: Option<About>,
    run: RefCell<Option<RunId>>,
    listener: Rc<dyn Listener>,
    under_way: RefCell<JoinSet<Result<(), String>>>,
    said: Cell<bool>,
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").field("about", &self.about).finish_non_exhaustive()
    }
}

impl Notifier {
    /// Tells nobody.
    #[must_use]
    pub fn silent(listener: Rc<dyn Listener>) -> Self {
        let (run, under_way, said) = Default::default();
        Self { about: None, run, listener, under_way, said }
    }

    /// Tells by the command of this workspace, where it has one, about what `command`, as it was typed, does.
    #[must_use]
    pub fn of(
        workspace: &Workspace,
        operator: Operator,
        command: String,
        listener: Rc<dyn Listener>,
    ) -> Self {
        let about = workspace.notify.as_ref().map(|notify| About {
            program: Program::new(notify, workspace),
            fleet: workspace.fleet.clone(),
            lab: workspace.lab.clone(),
            workspace: workspace.root.clone(),
            operator,
            command,
        });
        Self { about, ..Self::silent(listener) }
    }

    /// The run that goes on, where one has begun.
    pub fn of_run(&self, run: Option<RunId>) {
        *self.run.borrow_mut() = run;
    }

    /// Starts the command. Needs the runtime; waits for nothing.
    pub fn tell(&self, occasion: Occasion, news: News) {
        self.sweep();
        let Some(about) = &self.about else { return };
        let notification = Notification {
            notification: occasion,
            at: SystemClock.now(),
            fleet: &about.fleet,
            lab: about.lab.as_deref(),
            run: self.run.borrow().clone(),
            workspace: &about.workspace.to_string_lossy(),
            operator: &about.operator,
            command: &about.command,
            news,
        };
        // Names and texts always have a JSON form.
        let Ok(mut value) = serde_json::to_value(&notification) else { return };
        Redactor::of_process().clean_json(&mut value);
        let program = about.program.clone();
        let body = format!("{value}\n").into_bytes();
        self.under_way.borrow_mut().spawn(async move { program.run(body).await });
    }

    /// The occasion that an outcome is, if it is one. What the operator is told on the spot, because the command was
    /// refused before it began or they said no themselves, is none; of a gate its own notification went out.
    pub fn tell_outcome(&self, outcome: Result<Vec<String>, &Error>) {
        match outcome {
            Ok(next) => {
                let command = self.about.as_ref().map_or("", |about| about.command.as_str());
                self.tell(
                    Occasion::Ended,
                    News { text: format!("done: {command}"), next, ..News::default() },
                );
            }
            Err(error) => {
                let occasion = match error.code().exit() {
                    Exit::Failed | Exit::OutOfDate | Exit::Done => Occasion::Failed,
                    Exit::InDoubt => Occasion::InDoubt,
                    Exit::Interrupted => Occasion::Interrupted,
                    Exit::Usage | Exit::ApprovalNeeded | Exit::Locked => return,
                };
                if error.code() != codes::APPROVAL_REFUSED {
                    self.tell(occasion, News::of_error(error));
                }
            }
        }
    }

    /// Is a command still under way?
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.sweep();
        !self.under_way.borrow().is_empty()
    }

    /// Waits until every command has ended, which each does within [`LIMIT`]. Dropping this ends them.
    pub async fn settle(&self) {
        let mut under_way = self.under_way.take();
        let mut failures = Vec::new();
        while let Some(ended) = under_way.join_next().await {
            failures.extend(ended.ok().and_then(Result::err));
        }
        failures.into_iter().for_each(|why| self.say(why));
    }

    /// Says what went wrong with commands that have ended.
    pub fn sweep(&self) {
        while let Some(ended) = { self.under_way.borrow_mut().try_join_next() } {
            if let Ok(Err(why)) = ended {
                self.say(why);
            }
        }
    }

    fn say(&self, why: String) {
        if !self.said.replace(true) {
            self.listener.event(Event::NotifyFailed { why });
        }
    }
}

/// Passes events on, and learns from them which run it is.
impl Listener for Notifier {
    fn event(&self, event: Event) {
        if let Event::Recorded { record: Record::RunStarted { run, .. }, .. } = &event {
            self.of_run(Some(run.clone()));
        }
        self.listener.event(event);
    }
}

#[cfg(test)]
mod tests;
