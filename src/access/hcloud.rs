//! The project in the Hetzner Cloud, by what one may do with it: [`HcloudView`] reads, [`HcloudHands`] makes and
//! removes objects.
//!
//! Invariant: an object that is made carries the labels of its fleet and its run, and its name is its claim. Whatever
//! becomes of a request, the object is looked for by name and label before it is asked for again, so there is never a
//! second one; and only what carries the labels of the very run is ever deleted.

pub(crate) mod project;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use self::project::{KnownProject, token_digest, vouch};
use crate::costs::{Item, Order};
use crate::diagnostic::{Code, Error, Result, codes};
use crate::digest::Digest;
use crate::event::{Event, Listener};
use crate::journal::record::Place;
use crate::name::{FleetName, RunId};
use crate::redact::Redactor;
use crate::step::Failure;
use crate::transport::hcloud::{
    Action, Actions, Deadlines, FloatingIp, HcloudClient, HcloudSettings, Head, LoadBalancer, MayWrite,
    Named, PriceList, Resource, Server,
};
use crate::waiting::{Await, awaited};
use crate::workspace::{HcloudConfig, Workspace};

/// The label that says which fleet an object belongs to.
pub const FLEET_LABEL: &str = "hactl-fleet";

/// The label that says which run made an object.
pub const RUN_LABEL: &str = "hactl-run";

/// How often an object is asked for in all, where no answer says what became of it.
const ASKED: usize = 3;

/// The way to a workspace's project. The token is resolved when a client is first wanted.
#[derive(Debug)]
pub(crate) struct HcloudAccess {
    config: HcloudConfig,
    root: PathBuf,
    redactor: Rc<Redactor>,
    deadlines: Deadlines,
    client: OnceCell<(HcloudClient, Digest)>,
    /// What the journal says of the project.
    known: RefCell<KnownProject>,
    /// Was the token's project seen to be that one?
    vouched: Cell<bool>,
}

impl HcloudAccess {
    pub(crate) fn new(workspace: &Workspace, redactor: Rc<Redactor>) -> Option<Self> {
        workspace.hcloud.clone().map(|config| Self {
            config,
            root: workspace.root.clone(),
            redactor,
            deadlines: Deadlines::default(),
            client: OnceCell::new(),
            known: RefCell::default(),
            vouched: Cell::new(false),
        })
    }

    pub(crate) fn with_deadlines(self, deadlines: Deadlines) -> Self {
        Self { deadlines, ..self }
    }

    /// What an approval of a change in the project binds.
    pub(crate) fn identity(&self) -> String {
        format!("cloud project of the token in hactl.toml at {}", self.config.endpoint)
    }

    pub(crate) async fn view(&self, fleet: &FleetName) -> Result<HcloudView> {
        let (client, token) = self.client.get_or_try_init(|| self.connect(fleet)).await?.clone();
        let view = HcloudView { client, fleet: fleet.clone(), token };
        let known = self.known.borrow().clone();
        if !self.vouched.get() && !known.is_empty() {
            vouch(&view, &known).await?;
            self.vouched.set(true);
        }
        Ok(view)
    }

    /// What the journal knows of the project by now; nothing more is wanted where the token was found to open it.
    pub(crate) fn know(&self, known: impl FnOnce() -> KnownProject) {
        if !self.vouched.get() {
            self.known.replace(known());
        }
    }

    async fn connect(&self, fleet: &FleetName) -> Result<(HcloudClient, Digest)> {
        let token = self.config.token.resolve("cloud token", &self.root, &self.redactor).await?;
        let ca_pem = match &self.config.ca {
            None => None,
            Some(path) => Some(std::fs::read(path).map_err(|e| {
                let text = format!("cannot read the cloud's certificate authority {}", path.display());
                Error::new(codes::IO, text).state("nothing was sent").source(e)
            })?),
        };
        let settings = HcloudSettings { endpoint: self.config.endpoint.clone(), ca_pem };
        let digest = token_digest(fleet, &self.config.endpoint, &token);
        Ok((HcloudClient::new(settings, &token, self.deadlines)?, digest))
    }
}

/// Whose an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This fleet's; the run that made it.
    Fleet(String),
    /// Another fleet's.
    OtherFleet(String),
    /// Nobody's that hactl knows of.
    Nobody,
}

/// Reads of the project.
#[derive(Clone, Debug)]
pub struct HcloudView {
    client: HcloudClient,
    fleet: FleetName,
    token: Digest,
}

impl HcloudView {
    /// A keyed digest of the token, by which the journal knows the project again.
    #[must_use]
    pub fn token(&self) -> Digest {
        self.token
    }

    /// Where the API is.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.client.endpoint()
    }

    /// The object of this name.
    ///
    /// # Errors
    /// No usable answer came.
    pub async fn find<R: Resource>(&self, name: &str) -> Result<Option<R>> {
        self.client.find(name).await
    }

    /// All objects of a kind that the query lets through.
    ///
    /// # Errors
    /// No usable answer came.
    pub async fn list<R: Resource>(&self, query: &[(&str, &str)]) -> Result<Vec<R>> {
        self.client.list(query).await
    }

    /// The object of this number. Unlike a list, this is never some seconds old.
    ///
    /// # Errors
    /// No usable answer came.
    pub async fn get<R: Resource>(&self, id: i64) -> Result<Option<R>> {
        self.client.get(id).await
    }

    /// Whether the token may change anything; an order without content is sent, of which nothing can come.
    ///
    /// # Errors
    /// It may not, or no usable answer came.
    pub async fn may_write(&self) -> Result<MayWrite> {
        self.client.may_write().await
    }

    /// How many requests the project has left this hour, and of how many.
    #[must_use]
    pub fn requests_left(&self) -> Option<(u64, u64)> {
        self.client.requests_left()
    }

    /// The price list.
    ///
    /// # Errors
    /// No usable answer came.
    pub async fn prices(&self) -> Result<PriceList> {
        self.client.prices().await
    }

    /// What in the project is paid by the month, as far as hactl orders such things.
    ///
    /// # Errors
    /// No usable answer came.
    pub async fn costing(&self) -> Result<Vec<Order>> {
        let mut there = Vec::new();
        // What has no name, or stands nowhere, has no price in the list either: it is told as such, never left out.
        let order = |item, at: Option<&Named>| {
            let location = at.map_or("none", Named::word).to_owned();
            Order { item, location }
        };
        for server in self.list::<Server>(&[]).await? {
            let (kind, at) = (server.server_type.word().to_owned(), server.location.as_ref());
            there.push(order(Item::Server(kind), at));
            there.extend(server.ipv4().map(|_| order(Item::PrimaryIpv4, at)));
        }
        for balancer in self.list::<LoadBalancer>(&[]).await? {
            let kind = balancer.load_balancer_type.word().to_owned();
            there.push(order(Item::LoadBalancer(kind), Some(&balancer.location)));
        }
        for ip in self.list::<FloatingIp>(&[]).await? {
            there.extend((ip.kind == "ipv4").then(|| order(Item::FloatingIpv4, Some(&ip.home_location))));
        }
        Ok(there)
    }

    /// What the cloud is doing with an object now.
    ///
    /// # Errors
    /// No usable answer came.
    pub async fn under_way<R: Resource>(&self, object: &R) -> Result<Vec<Action>> {
        match R::ACTIONS {
            Actions::Some => self.client.under_way(object).await,
            Actions::Never => Ok(Vec::new()),
        }
    }

    /// Whose an object is.
    #[must_use]
    pub fn owner(&self, head: &Head) -> Owner {
        match (head.labels.get(FLEET_LABEL), head.labels.get(RUN_LABEL)) {
            (Some(fleet), run) if fleet == self.fleet.as_str() => {
                Owner::Fleet(run.cloned().unwrap_or_default())
            }
            (Some(fleet), _) => Owner::OtherFleet(fleet.clone()),
            (None, _) => Owner::Nobody,
        }
    }

    /// The object once it is in the list, which may be some seconds old; nothing where it is not there by then.
    ///
    /// # Errors
    /// No usable answer came.
    pub async fn wait_for<R: Resource>(&self, name: &str) -> Result<Option<R>> {
        let Deadlines { settle, poll, .. } = self.client.deadlines();
        let until = Instant::now() + settle;
        let look = async {
            loop {
                let found = self.client.find(name).await?;
                if found.is_some() || Instant::now() >= until {
                    return Ok(found);
                }
                sleep(poll).await;
            }
        };
        awaited(Await::new(format!("the {} {name} to be in the list", R::WORDS)).within(settle), look).await
    }
}

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
    pub(super) fn new(view: HcloudView, run: RunId, place: Place, listener: Rc<dyn Listener>) -> Self {
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

/// An object is to be deleted, and others would lose it.
fn in_use<R: Resource>(head: &Head, users: &[String]) -> Error {
    let (id, name, words, users) = (head.id, &head.name, R::WORDS, users.join(", "));
    Error::new(codes::HCLOUD_IN_USE, format!("the {words} {name} (number {id}) is still used by {users}"))
        .state("it was left as it is: deleting it would take it away from them without asking")
        .next("take them out of it, then: hactl phase rollback N    (N is the phase's id)")
}

/// What a step wanted with an object that is not its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To use it.
    Used,
    /// To delete it, in a rollback.
    Deleted,
}

/// An object has the name that is wanted, and is not ours.
#[must_use]
pub fn not_ours<R: Resource>(head: &Head, owner: &Owner, wanted: Wanted) -> Error {
    let (id, name, words) = (head.id, &head.name, R::WORDS);
    let whose = match owner {
        Owner::Fleet(run) => format!("was made by the run {run} of this fleet, not by this one"),
        Owner::OtherFleet(fleet) => format!("belongs to the fleet {fleet}"),
        Owner::Nobody => "was not made by hactl".to_owned(),
    };
    let error = Error::new(codes::HCLOUD_NOT_OURS, format!("the {words} {name} (number {id}) {whose}"))
        .state("it was left as it is");
    match (wanted, owner) {
        (Wanted::Deleted, _) => error.next(format!(
            "delete or rename the {words} {name} yourself if nobody wants it, then the same rollback again"
        )),
        (Wanted::Used, Owner::Nobody) => error.next(format!(
            "to use it as it is: adopt = true in the step; else rename one of the two ({words} {name})"
        )),
        // What a fleet made, it also deletes: two fleets never share one.
        (Wanted::Used, Owner::OtherFleet(_) | Owner::Fleet(_)) => error.next(format!(
            "another name in the step: what a fleet made is never used by another one ({words} {name})"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{Owner, Wanted, not_ours};
    use crate::diagnostic::codes;
    use crate::transport::hcloud::{Head, SshKey};

    #[test]
    fn whose_an_object_is_is_said_with_its_number() {
        let head = Head { id: 7, name: "ops".into(), labels: Default::default() };
        let said = |owner| {
            let error = not_ours::<SshKey>(&head, &owner, Wanted::Used);
            assert_eq!(error.code(), codes::HCLOUD_NOT_OURS);
            // What another fleet made cannot be adopted, and a rollback adopts nothing.
            let can = error.next_moves().iter().any(|next| next.contains("adopt = true"));
            assert_eq!(can, owner == Owner::Nobody);
            let error = not_ours::<SshKey>(&head, &owner, Wanted::Deleted);
            assert!(error.next_moves().iter().all(|next| !next.contains("adopt")), "{error:?}");
            error.message().to_owned()
        };
        assert_eq!(said(Owner::Nobody), "the SSH key ops (number 7) was not made by hactl");
        assert_eq!(said(Owner::OtherFleet("b".into())), "the SSH key ops (number 7) belongs to the fleet b");
        assert_eq!(
            said(Owner::Fleet("run1".into())),
            "the SSH key ops (number 7) was made by the run run1 of this fleet, not by this one"
        );
    }
}
