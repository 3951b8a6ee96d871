//! Changes of the project: objects are made, brought to a state, and removed.
//!
//! Invariant: an object that is made carries the labels of its fleet and its run, and its name is its claim. Whatever
//! becomes of a request, the object is looked for by name and label before it is asked for again, so there is never a
//! second one; and only what carries the labels of the very run is ever deleted.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::refused::{Wanted, in_use, not_ours};
use super::{FLEET_LABEL, HcloudView, Owner, RUN_LABEL};
use crate::diagnostic::{Code, Error, Result, codes};
use crate::event::{Event, Listener};
use crate::journal::record::Place;
use crate::name::RunId;
use crate::step::Failure;
use crate::transport::hcloud::{Action, Deadlines, Resource};
use crate::waiting::{Await, awaited};

/// How often an object is asked for in all, where no answer says what became of it.
const ASKED: usize = 3;

/// Changes of the project, in the name of an attempt.
pub struct HcloudHands {
    view: HcloudView,
    run: RunId,
    place: Place,
    listener: Rc<dyn Listener>,
    asked: Cell<bool>,
}

impl std::ops::Deref for HcloudHands {
    type Target = HcloudView;
    fn deref(&self) -> &HcloudView {
        &self.view
    }
}

impl std::fmt::Debug for HcloudHands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HcloudHands")
            .field("view", &self.view)
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

impl HcloudHands {
    pub(in crate::access) fn new(
        view: HcloudView,
        run: RunId,
        place: Place,
        listener: Rc<dyn Listener>,
    ) -> Self {
        Self { view, run, place, listener, asked: Cell::new(false) }
    }

    /// Makes an object under its unique name, with our labels, and waits until the cloud has finished it. One of that
    /// name that carries our labels already is the one.
    ///
    /// # Errors
    /// `NotStarted` where the API refused it before anything was made; else `Unclear`.
    pub async fn make<R: Resource>(&self, name: &str, request: &impl Serialize) -> Result<R, Failure> {
        let body = self.labelled(request).map_err(|e| self.failure(e))?;
        let mut lost = None;
        for _ in 0..ASKED {
            match self.view.client.create::<R>(name, body.clone()).await {
                Ok((object, actions)) => {
                    self.has_begun();
                    self.finish(actions).await?;
                    return Ok(object);
                }
                // Somebody has the name: an earlier request that arrived after all, or somebody else.
                Err(error) if error.code() == codes::HCLOUD_TAKEN => {
                    return match self.view.wait_for::<R>(name).await? {
                        Some(object) => self.finished(object).await,
                        None => Err(self.failure(lost.unwrap_or(error))),
                    };
                }
                Err(error) if error.code() == codes::HCLOUD_UNKNOWN => {
                    self.has_begun();
                    if let Some(object) = self.view.wait_for::<R>(name).await? {
                        return self.finished(object).await;
                    }
                    // Asking again is safe: the name lets in only one of the two.
                    lost = Some(error);
                }
                Err(error) => return Err(self.failure(error)),
            }
        }
        Err(Failure::Unclear(lost.unwrap_or_else(|| Error::new(codes::INTERNAL, "it was never asked for"))))
    }

    /// What was found under the name, once the cloud has finished it.
    async fn finished<R: Resource>(&self, object: R) -> Result<R, Failure> {
        match self.view.owner(object.head()) {
            Owner::Fleet(_) => {}
            owner @ (Owner::OtherFleet(_) | Owner::Nobody) => {
                return Err(Failure::NotStarted(not_ours::<R>(object.head(), &owner, Wanted::Used)));
            }
        }
        self.has_begun();
        let under_way = self.view.under_way(&object).await?;
        self.finish(under_way).await?;
        Ok(object)
    }

    /// Brings an object to a state by one of the API's actions, unless it is there already, and waits until the cloud has
    /// finished it. Where no answer says what became of it, the object itself does.
    ///
    /// # Errors
    /// `NotStarted` where the API refused it before anything was done; else `Unclear`.
    pub async fn bring<R: Resource>(
        &self,
        object: &R,
        action: &str,
        body: &Value,
        there: impl Fn(&R) -> bool,
    ) -> Result<R, Failure> {
        let settle = self.view.client.deadlines().settle;
        self.bring_within(object, action, body, settle, there).await
    }

    /// The same, for what is there only some time after the API has finished with it: for at most `limit`.
    ///
    /// # Errors
    /// As [`Self::bring`].
    pub async fn bring_within<R: Resource>(
        &self,
        object: &R,
        action: &str,
        body: &Value,
        limit: Duration,
        there: impl Fn(&R) -> bool,
    ) -> Result<R, Failure> {
        let (mut now, mut lost) = (object.clone(), None);
        for _ in 0..ASKED {
            if there(&now) {
                return Ok(now);
            }
            match self.view.client.act(&now, action, body.clone()).await {
                // It was answered: looking again tells how far it is; sending it again would tell nothing.
                Ok(actions) => {
                    self.has_begun();
                    self.finish(actions).await?;
                    return self.seen(&now, action, limit, there).await;
                }
                Err(error) if error.code() == codes::HCLOUD_UNKNOWN => {
                    self.has_begun();
                    let under_way = self.view.under_way(&now).await?;
                    self.finish(under_way).await?;
                    lost = Some(error);
                }
                Err(error) => return Err(self.failure(error)),
            }
            now = self.again(&now).await?;
        }
        if there(&now) {
            return Ok(now);
        }
        Err(Failure::Unclear(lost.unwrap_or_else(|| Error::new(codes::INTERNAL, "it was never asked for"))))
    }

    /// Looks at an object until it is as it was asked for.
    async fn seen<R: Resource>(
        &self,
        object: &R,
        action: &str,
        limit: Duration,
        there: impl Fn(&R) -> bool,
    ) -> Result<R, Failure> {
        let until = Instant::now() + limit;
        let look = async {
            loop {
                let now = self.again(object).await?;
                if there(&now) {
                    return Ok(now);
                }
                if Instant::now() >= until {
                    let (words, name) = (R::WORDS, &object.head().name);
                    let text = format!(
                        "the cloud answered that {action} of the {words} {name} is done, and the {words} is not so \
                         after {}",
                        humantime::format_duration(limit)
                    );
                    let error = Error::new(codes::HCLOUD_UNKNOWN, text)
                        .state("it was not sent a second time; looking again decides");
                    return Err(Failure::Unclear(error));
                }
                sleep(self.view.client.deadlines().poll).await;
            }
        };
        let what = format!("the {} {} to be as it was asked for", R::WORDS, object.head().name);
        awaited(Await::new(what).within(limit), look).await
    }

    async fn again<R: Resource>(&self, object: &R) -> Result<R, Failure> {
        let gone = || {
            let text = format!("the {} {} is gone", R::WORDS, object.head().name);
            Failure::Unclear(Error::new(codes::HCLOUD_NOT_FOUND, text))
        };
        self.view.get::<R>(object.head().id).await?.ok_or_else(gone)
    }

    /// Whether this very run made the object and nobody uses it: then [`Self::unmake`] deletes it.
    pub fn may_unmake<R: Resource>(&self, object: &R) -> bool {
        self.view.owner(object.head()) == Owner::Fleet(self.run.to_string()) && object.used_by().is_empty()
    }

    /// Deletes an object if this very run made it and nobody uses it, and sees it gone. It is the one of this number,
    /// where the journal knows it; else, or where that one is gone, the one of this name. One that is not there is gone.
    ///
    /// # Errors
    /// It is there and not ours, is used, or could not be deleted.
    pub async fn unmake<R: Resource>(&self, id: Option<i64>, name: &str) -> Result<(), Failure> {
        let by_number = match id {
            Some(id) => self.view.get::<R>(id).await.map_err(|e| self.failure(e))?,
            None => None,
        };
        let object = match by_number {
            Some(object) => object,
            None => {
                let Some(listed) = self.view.wait_for::<R>(name).await.map_err(|e| self.failure(e))? else {
                    return Ok(());
                };
                // A list may be some seconds old, and somebody may have begun to use it since.
                match self.view.get::<R>(listed.head().id).await.map_err(|e| self.failure(e))? {
                    Some(object) => object,
                    None => return self.gone::<R>(name).await,
                }
            }
        };
        let owner = self.view.owner(object.head());
        if owner != Owner::Fleet(self.run.to_string()) {
            return Err(self.failure(not_ours::<R>(object.head(), &owner, Wanted::Deleted)));
        }
        let users = object.used_by();
        if !users.is_empty() {
            return Err(self.failure(in_use::<R>(object.head(), &users)));
        }
        let mut asked = 0;
        loop {
            asked += 1;
            match self.view.client.delete(&object).await {
                Ok(actions) => {
                    self.has_begun();
                    self.finish(actions).await?;
                    break;
                }
                Err(error) if error.code() == codes::HCLOUD_UNKNOWN => {
                    self.has_begun();
                    if self.view.get::<R>(object.head().id).await?.is_none() {
                        break;
                    }
                    if asked == ASKED {
                        return Err(Failure::Unclear(error));
                    }
                }
                Err(error) => return Err(self.failure(error)),
            }
        }
        self.gone::<R>(&object.head().name).await
    }

    /// Waits until a deleted object is no longer in the list, so that the next look does not take it for there.
    async fn gone<R: Resource>(&self, name: &str) -> Result<(), Failure> {
        let Deadlines { settle, poll, .. } = self.view.client.deadlines();
        let until = Instant::now() + settle;
        let look = async {
            while self.view.find::<R>(name).await?.is_some() {
                if Instant::now() >= until {
                    let text = format!("the {} {name} is still there after it was deleted", R::WORDS);
                    return Err(Failure::Unclear(Error::new(codes::HCLOUD_UNKNOWN, text)));
                }
                sleep(poll).await;
            }
            Ok(())
        };
        awaited(Await::new(format!("the {} {name} to leave the list", R::WORDS)).within(settle), look).await
    }

    async fn finish(&self, actions: Vec<Action>) -> Result<(), Failure> {
        let told = |doing: &str| {
            self.listener.event(Event::Busy { place: self.place.clone(), doing: doing.to_owned() });
        };
        self.view.client.wait(actions, told).await.map_err(Failure::Unclear)
    }

    fn labelled(&self, request: &impl Serialize) -> Result<Value> {
        let labels =
            BTreeMap::from([(FLEET_LABEL, self.view.fleet.as_str()), (RUN_LABEL, self.run.as_str())]);
        let mut body = serde_json::to_value(request)
            .map_err(|e| Error::new(codes::INTERNAL, "a request without a JSON form").source(e))?;
        match body.as_object_mut() {
            Some(fields) => {
                let all = fields.entry("labels").or_insert_with(|| serde_json::json!({}));
                for (label, value) in labels {
                    all[label] = serde_json::json!(value);
                }
                Ok(body)
            }
            None => Err(Error::new(codes::INTERNAL, "a request that is no object")),
        }
    }

    fn has_begun(&self) {
        self.asked.set(true);
    }

    /// Of a request that failed: what certainly changed nothing is told from what may have changed something, also by
    /// an earlier request of the same attempt.
    fn failure(&self, error: Error) -> Failure {
        const UNSURE: [Code; 3] = [codes::HCLOUD_UNKNOWN, codes::HCLOUD_ACTION, codes::INTERNAL];
        if self.asked.get() || UNSURE.contains(&error.code()) {
            Failure::Unclear(error)
        } else {
            Failure::NotStarted(error)
        }
    }
}
