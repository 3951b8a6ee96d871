//! The project in the Hetzner Cloud, by what one may do with it: [`HcloudView`] reads, [`HcloudHands`] makes and
//! removes objects.
//!
//! Invariant: whose an object is says its label alone, and the project is the one that the journal knows: a token of
//! another one is refused before anything is looked at.

mod hands;
pub(crate) mod project;
mod refused;

pub use self::hands::HcloudHands;
pub use self::refused::{Wanted, not_ours};

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;

use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use self::project::{KnownProject, token_digest, vouch};
use crate::costs::{Item, Order};
use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::name::FleetName;
use crate::redact::Redactor;
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

/// So much of a token's digest is shown: enough to tell two tokens from each other.
const TOKEN_SHOWN: usize = 12;

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

    /// What an approval of a change in the project binds beside the change, which names the token by its digest: the token
    /// itself is not known yet where this is asked.
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

    /// Where the API is, and by which token's digest. A change says it, and so an approval of that change holds for this
    /// token alone: nobody can tell by anything else, before the first object is made, which project a token opens.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let digest = self.token.to_string();
        let short = digest.get(..TOKEN_SHOWN).unwrap_or(&digest);
        format!("{}, by the token known as {short}", self.client.endpoint())
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
