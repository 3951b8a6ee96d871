//! The fleet as one object: what the workspace says of it, and the connections to it.
//!
//! Invariant: it opens nothing until something is asked, and hands out [`View`]s freely, but [`Trial`]s and [`Hands`]
//! for the journal's tokens only.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use secrecy::SecretString;

use super::View;
use super::hands::{Grounds, Hands};
use super::hcloud::HcloudAccess;
use super::hcloud::project::KnownProject;
use super::s3::S3Access;
use super::trial::Trial;
use crate::clock::Clock;
use crate::diagnostic::{Error, Result, codes};
use crate::engine::approver::Person;
use crate::event::{Listener, Nobody};
use crate::evidence::EvidenceStore;
use crate::journal::record::Place;
use crate::journal::{Hold, IntentRecorded, RollbackRecorded, TrialRecorded};
use crate::name::HostName;
use crate::redact::Redactor;
use crate::secret::SecretRef;
use crate::transport::faulty::Faulty;
use crate::transport::ssh::{
    AttemptId, AttemptState, Owner, Seam, Ssh, Standing, host_key, host_key::HostKey,
};
use crate::workspace::{Found, Host, Workspace};

/// What of this machine steps may use.
pub struct Means {
    /// The wall clock.
    pub clock: Rc<dyn Clock>,
    /// Where captured output is kept.
    pub evidence: Rc<EvidenceStore>,
    /// What takes secrets out of what is kept and shown.
    pub redactor: Rc<Redactor>,
    /// Who does by hand what only a person can do.
    pub person: Rc<dyn Person>,
}

/// A fleet and the connections to it.
pub struct World {
    workspace: Rc<Workspace>,
    seam: Seam,
    s3: Option<S3Access>,
    hcloud: Option<HcloudAccess>,
    means: Means,
    /// Who is told how far something is that takes long.
    listener: RefCell<Rc<dyn Listener>>,
}

impl World {
    /// The fleet of a workspace; nothing is opened yet.
    ///
    /// # Errors
    /// Never now; connections may need preparing one day.
    pub fn new(workspace: Rc<Workspace>, means: Means) -> Result<Self> {
        let ssh = Ssh::new(&workspace);
        Ok(Self::over(workspace, means, ssh))
    }

    /// The fleet of a workspace over connections that were set up otherwise.
    #[must_use]
    pub fn over(workspace: Rc<Workspace>, means: Means, ssh: Ssh) -> Self {
        let s3 = S3Access::new(&workspace, means.redactor.clone());
        let hcloud = HcloudAccess::new(&workspace, means.redactor.clone());
        let listener: Rc<dyn Listener> = Rc::new(Nobody);
        Self { workspace, seam: Seam::new(ssh), s3, hcloud, means, listener: RefCell::new(listener) }
    }

    /// From now on tells this listener how far something is that takes long.
    pub fn listen(&self, listener: Rc<dyn Listener>) {
        self.listener.replace(listener);
    }

    /// Looks at the fleet from a place.
    #[must_use]
    pub fn view<'a>(&'a self, place: &'a Place) -> View<'a> {
        View { world: self, place }
    }

    /// What verifying may do.
    #[must_use]
    pub fn trial<'a>(&'a self, token: &'a TrialRecorded) -> Trial<'a> {
        Trial::new(self.view(token.place()), Grounds::of(token))
    }

    /// What an action may do.
    #[must_use]
    pub fn hands<'a>(&'a self, token: &'a IntentRecorded) -> Hands<'a> {
        Hands::new(self.view(token.place()), Grounds::of(token))
    }

    /// What undoing may do.
    #[must_use]
    pub fn undoing<'a>(&'a self, token: &'a RollbackRecorded) -> Hands<'a> {
        Hands::new(self.view(token.place()), Grounds::of(token))
    }

    /// Makes sure that nothing of an attempt can start late on a host, and says what became of it.
    ///
    /// # Errors
    /// The host could not be asked, or it belongs to another fleet.
    pub async fn settle(&self, host: &HostName, attempt: &AttemptId) -> Result<AttemptState> {
        self.seam.settle(self.host(host)?, attempt).await
    }

    /// Shows hosts this hold on the journal with every claim. Without one nothing can be claimed.
    pub fn stand_on(&self, hold: Rc<Hold>) {
        self.seam.ssh().stand_on(hold);
    }

    /// Makes sure that a host was changed last by this very journal, or by none, before anything is begun there.
    ///
    /// # Errors
    /// It was changed by another one, or it cannot be asked.
    pub async fn check_owner(&self, host: &HostName, standing: &Standing) -> Result<()> {
        self.seam.ssh().check_owner(self.host(host)?, standing).await
    }

    /// Who changed a host last; nobody where hactl never did.
    ///
    /// # Errors
    /// The host cannot be asked, or what it remembers cannot be understood.
    pub async fn owner(&self, host: &HostName) -> Result<Option<Owner>> {
        self.seam.ssh().owner(self.host(host)?).await
    }

    /// Removes what the attempts of a finished run left on a host. What of them might still arrive is refused there.
    ///
    /// # Errors
    /// The host cannot be asked, or belongs to somebody else.
    pub async fn prune(&self, host: &HostName, standing: &Standing) -> Result<()> {
        self.seam.ssh().prune(self.host(host)?, standing).await
    }

    /// Tells a host which epoch counts, so that it refuses whoever holds a lower one.
    ///
    /// # Errors
    /// The host cannot be asked, or belongs to somebody else.
    pub async fn raise(&self, host: &HostName, standing: &Standing) -> Result<()> {
        self.seam.ssh().raise(self.host(host)?, standing).await
    }

    /// Closes every connection; what cannot be closed in time is left to end by itself.
    pub async fn close(&self) {
        self.seam.ssh().close().await;
    }

    /// Tells a host whose server a step makes where that is, and pins the key that the server was given; nothing where
    /// it is not made. A key that is pinned already stays: it may be a newer one.
    ///
    /// # Errors
    /// The pinned keys cannot be read or written.
    pub(crate) fn locate(&self, host: &Host, made: Option<(Found, Option<HostKey>)>) -> Result<()> {
        let Some(server) = &host.server else { return Ok(()) };
        let (found, key) = made.map_or((None, None), |(found, key)| (Some(found), key));
        server.learn(found);
        let known_hosts = self.seam.ssh().known_hosts();
        match key {
            Some(key) if host_key::pinned(known_hosts, &host.name)?.is_empty() => {
                host_key::pin(known_hosts, &host.name, &key).map(drop)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What an approval binds of a host.
    ///
    /// # Errors
    /// The pinned keys cannot be read.
    pub fn identity(&self, name: &HostName) -> Result<String> {
        let keys = host_key::pinned(self.seam.ssh().known_hosts(), name)?;
        if let (true, Some(server)) = (keys.is_empty(), &self.host(name)?.server) {
            return Ok(format!("host {name} on the server {}, which a step makes", server.name));
        }
        let mut keys: Vec<_> = keys.iter().map(host_key::HostKey::fingerprint).collect();
        keys.sort_unstable();
        Ok(format!("host {name} with the key {}", keys.join(", ")))
    }

    pub(super) fn person(&self) -> &dyn Person {
        self.means.person.as_ref()
    }

    pub(super) fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.means.clock.as_ref()
    }

    pub(super) fn evidence(&self) -> &EvidenceStore {
        &self.means.evidence
    }

    pub(super) fn s3(&self) -> Result<&S3Access> {
        self.s3
            .as_ref()
            .ok_or_else(|| Error::new(codes::S3_SETTINGS, "hactl.toml has no [s3]").next("hactl check"))
    }

    /// The same fleet, where effects go wrong, for tests of what hactl does then.
    ///
    /// # Errors
    /// The fleet is not a lab's.
    #[doc(hidden)]
    pub fn under(self, faulty: Faulty) -> Result<Self> {
        if !self.workspace.is_rehearsal() {
            let what = format!(
                "faults are put into rehearsals only, and {} is no lab's fleet",
                self.workspace.fleet
            );
            return Err(Error::new(codes::LAB_SEAL, what)
                .state("nothing was done")
                .next("hactl resume    (with the program hactl itself)"));
        }
        let s3 = self.s3.map(|s3| s3.under(faulty.clone()));
        Ok(Self { seam: self.seam.under(faulty), s3, ..self })
    }

    pub(super) fn listener(&self) -> Rc<dyn Listener> {
        Rc::clone(&self.listener.borrow())
    }

    /// What the journal knows by now of the project in the cloud.
    pub(crate) fn know_project(&self, known: impl FnOnce() -> KnownProject) {
        if let Some(hcloud) = &self.hcloud {
            hcloud.know(known);
        }
    }

    pub(super) fn hcloud(&self) -> Result<&HcloudAccess> {
        self.hcloud.as_ref().ok_or_else(|| {
            Error::new(codes::HCLOUD_SETTINGS, "hactl.toml has no [hcloud]")
                .next("give it one with a token:  token = { file = \"secrets/hcloud-token\" }")
        })
    }

    /// The same fleet, whose cloud is waited for as long as this, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn with_hcloud_deadlines(self, deadlines: crate::transport::hcloud::Deadlines) -> Self {
        let hcloud = self.hcloud.map(|hcloud| hcloud.with_deadlines(deadlines));
        Self { hcloud, ..self }
    }

    pub(super) fn redactor(&self) -> &Redactor {
        &self.means.redactor
    }

    pub(super) async fn secret(&self, name: &str, reference: &SecretRef) -> Result<SecretString> {
        reference.resolve(name, &self.workspace.root, &self.means.redactor).await
    }

    pub(super) fn seam(&self) -> &Seam {
        &self.seam
    }

    pub(super) fn host(&self, name: &HostName) -> Result<&Host> {
        self.workspace.host(name).ok_or_else(|| {
            Error::new(codes::USAGE, format!("there is no host {name} in hactl.toml"))
                .next("hactl check    (lists the hosts)")
        })
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("fleet", &self.workspace.fleet).finish_non_exhaustive()
    }
}
