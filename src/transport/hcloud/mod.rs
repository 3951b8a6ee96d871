//! The Hetzner Cloud API, for one project: the one that the token belongs to.
//!
//! Invariant: every call ends within its [`Deadlines`], checks the server's certificate, and fails with an error that
//! says whether something may have changed. A read is tried again; a change is sent again only where it certainly was
//! not done (no connection, too many requests, a locked object). An answer that cannot be understood is an unknown
//! outcome, never a failure. Who may call what is [`crate::access`]'s business.
//!
//! Requests are written with the crate `hcloud`'s types. Its calls are not used, for they drop the headers that say
//! how fast one may ask, and its answers are not, for one new word in a list makes the whole list unreadable there.

mod action;
mod answer;
mod balancer;
mod connect;
mod exchange;
mod floating;
mod model;
mod pace;
mod parts;
mod permission;
mod pricing;
mod server;

use std::rc::Rc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;

pub use self::action::{Action, ActionError};
pub use self::balancer::{
    AlgorithmSeen, CheckHttpSeen, CheckSeen, HealthSeen, LoadBalancer, ServiceSeen, TargetSeen,
};
pub(crate) use self::connect::is_private;
pub use self::floating::FloatingIp;
pub use self::model::{
    Actions, AppliedTo, Firewall, Head, Network, PlacementGroup, Resource, RuleSeen, SshKey, SubnetSeen,
};
pub use self::parts::{Address, FirewallOn, Named, Numbered, PrivateNet, Protection, PublicNet};
pub use self::permission::MayWrite;
pub use self::pricing::{Price, PriceAt, PriceList, Priced};
pub use self::server::{OfferedAt, Server, ServerType};

use self::answer::Doing;
use self::exchange::Request;
use self::pace::Pace;
use crate::diagnostic::{Error, Result, codes};

/// Where the API is.
pub const ENDPOINT: &str = "https://api.hetzner.cloud/v1";

/// The most that one page may hold.
const PER_PAGE: &str = "50";

/// More pages than any project has: a list that never ends is no list.
const PAGES: usize = 200;

/// Where the API is and whom to trust.
#[derive(Clone, Debug)]
pub struct HcloudSettings {
    /// Its address with the version, without a slash at the end.
    pub endpoint: String,
    /// The only certificate authorities to trust, as PEM; without them those of this machine.
    pub ca_pem: Option<Vec<u8>>,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// To connect, TLS included.
    pub connect: Duration,
    /// One request with its answer.
    pub request: Duration,
    /// A whole call, with what is tried again and waited for.
    pub call: Duration,
    /// The first pause before a call is tried again; each one after it is twice as long.
    pub pause: Duration,
    /// Until an object that was made or deleted is, or is no longer, in the lists: they may be some seconds old.
    pub settle: Duration,
    /// Between two looks at an action or a list; the first ones at an action come sooner.
    pub poll: Duration,
    /// Until an action ends.
    pub action: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(20),
            call: Duration::from_secs(60),
            pause: Duration::from_secs(1),
            settle: Duration::from_secs(10),
            poll: Duration::from_secs(1),
            action: Duration::from_secs(600),
        }
    }
}

/// A client for one project. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct HcloudClient(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: HcloudSettings,
    deadlines: Deadlines,
    http: reqwest::Client,
    pace: Pace,
}

impl HcloudClient {
    /// A client; nothing is connected to yet.
    ///
    /// # Errors
    /// The endpoint, the certificate authority or the token cannot be used.
    pub fn new(settings: HcloudSettings, token: &SecretString, deadlines: Deadlines) -> Result<Self> {
        let http = connect::client(&settings, token, deadlines)?;
        Ok(Self(Rc::new(Inner { settings, deadlines, http, pace: Pace::default() })))
    }

    /// Where the API is.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.0.settings.endpoint
    }

    /// How long things may take.
    #[must_use]
    pub fn deadlines(&self) -> Deadlines {
        self.0.deadlines
    }

    /// All objects of a kind that the query lets through, from all pages.
    ///
    /// # Errors
    /// No usable answer came; the objects are not known then.
    pub async fn list<R: Resource>(&self, query: &[(&str, &str)]) -> Result<Vec<R>> {
        let mut found = Vec::new();
        let mut page = 1_u64;
        for _ in 0..PAGES {
            let doing = Doing::read(format!("list the {}s", R::WORDS));
            let number = page.to_string();
            let query = [query, &[("page", number.as_str()), ("per_page", PER_PAGE)]].concat();
            let mut answer = self.send(&doing, &Request::get(R::MANY, &query)).await?;
            let next = answer.pointer("/meta/pagination/next_page").and_then(Value::as_u64);
            let objects: Vec<R> = self.understood(&doing, answer.get_mut(R::MANY).map(Value::take))?;
            found.extend(objects);
            match next {
                Some(next) if next > page => page = next,
                Some(_) | None => return Ok(found),
            }
        }
        let text = format!("cannot list the {}s: the list does not end", R::WORDS);
        Err(Error::new(codes::HCLOUD_UNANSWERED, text).state("nothing was changed"))
    }

    /// The object of this name, which is unique in a project.
    ///
    /// # Errors
    /// No usable answer came.
    pub async fn find<R: Resource>(&self, name: &str) -> Result<Option<R>> {
        let found = self.list::<R>(&[("name", name)]).await?;
        Ok(found.into_iter().find(|object| object.head().name == name))
    }

    /// The object of this number.
    ///
    /// # Errors
    /// No usable answer came.
    pub async fn get<R: Resource>(&self, id: i64) -> Result<Option<R>> {
        let doing = Doing::read(format!("look at the {} number {id}", R::WORDS));
        let path = format!("{}/{id}", R::MANY);
        match self.send(&doing, &Request::get(&path, &[])).await {
            Ok(mut answer) => self.understood(&doing, answer.get_mut(R::ONE).map(Value::take)).map(Some),
            Err(error) if error.code() == codes::HCLOUD_NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Is there an object of this number, whatever it looks like?
    ///
    /// # Errors
    /// No usable answer came.
    pub(crate) async fn exists(&self, many: &str, words: &str, id: i64) -> Result<bool> {
        let doing = Doing::read(format!("look for the {words} number {id}"));
        match self.send(&doing, &Request::get(&format!("{many}/{id}"), &[])).await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == codes::HCLOUD_NOT_FOUND => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Is there any object of a kind with these labels, whatever it looks like?
    ///
    /// # Errors
    /// No usable answer came.
    pub(crate) async fn has_any(&self, many: &str, selector: &str) -> Result<bool> {
        let doing = Doing::read(format!("look for {many} labelled {selector}"));
        let query = [("label_selector", selector), ("per_page", "1")];
        let mut answer = self.send(&doing, &Request::get(many, &query)).await?;
        let objects: Vec<Value> = self.understood(&doing, answer.get_mut(many).map(Value::take))?;
        Ok(!objects.is_empty())
    }

    /// Asks once for an object to be made. What it is, if the answer says so, and the actions that were begun.
    ///
    /// # Errors
    /// As the module says.
    pub async fn create<R: Resource>(&self, name: &str, body: Value) -> Result<(R, Vec<Action>)> {
        let doing = Doing::write(format!("make the {} {name}", R::WORDS));
        let mut answer = self.send(&doing, &Request::post(R::MANY, body)).await?;
        let object = self.understood(&doing, answer.get_mut(R::ONE).map(Value::take))?;
        Ok((object, self.begun(&doing, &mut answer)?))
    }

    /// Asks once for something to be done with an object. The actions that were begun.
    ///
    /// # Errors
    /// As the module says.
    pub async fn act<R: Resource>(&self, object: &R, action: &str, body: Value) -> Result<Vec<Action>> {
        let Head { id, name, .. } = object.head();
        let doing = Doing::write(format!("{} of the {} {name}", action.replace('_', " "), R::WORDS));
        let path = format!("{}/{id}/actions/{action}", R::MANY);
        let mut answer = self.send(&doing, &Request::post(&path, body)).await?;
        self.begun(&doing, &mut answer)
    }

    /// Deletes an object; one that does not exist is deleted already.
    ///
    /// # Errors
    /// As the module says.
    pub async fn delete<R: Resource>(&self, object: &R) -> Result<Vec<Action>> {
        let Head { id, name, .. } = object.head();
        let doing = Doing::write(format!("delete the {} {name}", R::WORDS));
        match self.send(&doing, &Request::delete(&format!("{}/{id}", R::MANY))).await {
            Ok(mut answer) => self.begun(&doing, &mut answer),
            Err(error) if error.code() == codes::HCLOUD_NOT_FOUND => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}
