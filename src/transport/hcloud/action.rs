//! What the API does in the background, and waiting for its end.

use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::answer::Doing;
use super::exchange::Request;
use super::{HcloudClient, Resource};
use crate::diagnostic::{Error, Result, codes};
use crate::waiting::{Await, Waiting, begin};

/// How much sooner than all others the first look at an action comes.
const SOONER: u32 = 8;

/// Something that the API does in the background.
#[derive(Clone, Debug, Deserialize)]
pub struct Action {
    /// Its number.
    pub id: i64,
    /// What it does, such as `create_server`.
    #[serde(default)]
    pub command: String,
    /// `running`, `success`, `error`; a word that is none of these counts as running.
    #[serde(default)]
    pub status: String,
    /// In percent.
    #[serde(default)]
    pub progress: i64,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<ActionError>,
}

/// Why an action failed.
#[derive(Clone, Debug, Deserialize)]
pub struct ActionError {
    /// The API's word for it.
    #[serde(default)]
    pub code: String,
    /// A sentence.
    #[serde(default)]
    pub message: String,
}

impl HcloudClient {
    /// The actions that an answer names, under any of the keys that the API has for them.
    pub(super) fn begun(&self, doing: &Doing, answer: &mut Value) -> Result<Vec<Action>> {
        let mut begun = Vec::new();
        if let Some(one) = answer.get_mut("action").map(Value::take).filter(|one| !one.is_null()) {
            begun.push(self.understood(doing, Some(one))?);
        }
        for key in ["actions", "next_actions"] {
            if let Some(more) = answer.get_mut(key).map(Value::take).filter(|more| !more.is_null()) {
                begun.extend(self.understood::<Vec<Action>>(doing, Some(more))?);
            }
        }
        Ok(begun)
    }

    /// What the API is doing with an object now.
    ///
    /// # Errors
    /// No usable answer came.
    pub async fn under_way<R: Resource>(&self, object: &R) -> Result<Vec<Action>> {
        let doing = Doing::read(format!("see what happens to the {} {}", R::WORDS, object.head().name));
        let path = format!("{}/{}/actions", R::MANY, object.head().id);
        let mut answer = self.send(&doing, &Request::get(&path, &[("status", "running")])).await?;
        let actions: Vec<Action> = self.understood(&doing, answer.get_mut("actions").map(Value::take))?;
        Ok(actions.into_iter().filter(|action| !["success", "error"].contains(&&*action.status)).collect())
    }

    /// Waits until all of these actions have ended, telling `progress` of each look.
    ///
    /// # Errors
    /// One of them failed, or did not end in time, or it cannot be learned how they stand.
    pub async fn wait(&self, actions: Vec<Action>, mut progress: impl FnMut(&str)) -> Result<()> {
        let limit = self.deadlines().action;
        let until = Instant::now() + limit;
        let mut open = actions;
        let mut waiting: Option<Waiting> = None;
        // Most actions end within a moment: the first looks come soon, the later ones as seldom as they may.
        let mut pause = self.deadlines().poll / SOONER;
        loop {
            if let Some(failed) = open.iter().find(|action| action.status == "error") {
                return Err(failed.failure());
            }
            open.retain(|action| action.status != "success");
            if open.is_empty() {
                return Ok(());
            }
            let told: Vec<String> =
                open.iter().map(|action| format!("{} {} %", action.command, action.progress)).collect();
            progress(&told.join(", "));
            let what = format!("the cloud to finish {}", told.join(", "));
            let begun = waiting.get_or_insert_with(|| begin(Await::new(what.clone()).within(limit)));
            begun.is_now(what, until);
            if Instant::now() >= until {
                let limit = humantime::format_duration(limit);
                let text = format!("the cloud did not finish within {limit}: {}", told.join(", "));
                return Err(Error::new(codes::HCLOUD_UNKNOWN, text)
                    .state("it may still end well; looking again decides"));
            }
            sleep(pause).await;
            pause = pause.saturating_mul(2).min(self.deadlines().poll);
            // One question for all of them. What it does not know, it may know a moment later.
            for action in self.actions(&open).await? {
                if let Some(known) = open.iter_mut().find(|known| known.id == action.id) {
                    *known = action;
                }
            }
        }
    }

    async fn actions(&self, of: &[Action]) -> Result<Vec<Action>> {
        let doing = Doing::read("see how far the cloud's actions are");
        let ids: Vec<String> = of.iter().map(|action| action.id.to_string()).collect();
        let query: Vec<(&str, &str)> = ids.iter().map(|id| ("id", id.as_str())).collect();
        let mut answer = self.send(&doing, &Request::get("actions", &query)).await?;
        self.understood(&doing, answer.get_mut("actions").map(Value::take))
    }
}

impl Action {
    fn failure(&self) -> Error {
        let why = match &self.error {
            Some(error) => format!("{}: {}", error.code, error.message),
            None => "it does not say why".to_owned(),
        };
        Error::new(codes::HCLOUD_ACTION, format!("the cloud's action {} failed: {why}", self.command))
            .state("it may have done a part; looking again decides")
    }
}
