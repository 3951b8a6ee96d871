//! Who may change what, as types: [`View`] reads, [`Trial`] may also create and remove objects marked as ours,
//! [`Hands`] can change the world on the hosts of its intent.
//!
//! Invariant: a `Trial` needs a `TrialRecorded` and `Hands` an `IntentRecorded` or a `RollbackRecorded`, which only the
//! journal makes, after fsync. Nothing here decides whether to act.

mod hands;
pub mod hcloud;
mod outside;
pub mod reads;
pub mod s3;
mod trial;
mod world;

pub use hands::{FileMode, Hands, HostHands, Psql};
pub use outside::Knock;
pub use reads::{HostView, PgAccess};
pub use trial::{HostTrial, SCRATCH, Trial, TrialCommand};
pub use world::{Means, World};

pub use crate::transport::ssh::{Become, Command, Finished, Input, Status};

use secrecy::SecretString;

use self::hcloud::{HcloudAccess, HcloudView};
use self::s3::{S3Access, S3Identity, S3View};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::StateDir;
use crate::journal::record::Place;
use crate::name::{HostName, RoleName, SecretName};
use crate::sealed::Sealed;
use crate::secret::SecretRef;
use crate::transport::ssh::host_key::{self, HostKey};
use crate::workspace::Workspace;

/// Typed reads, and no free command.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    world: &'a World,
    place: &'a Place,
}

impl<'a> View<'a> {
    /// Where the step stands.
    #[must_use]
    pub fn place(&self) -> &'a Place {
        self.place
    }

    /// What `hactl.toml` says.
    #[must_use]
    pub fn workspace(&self) -> &'a Workspace {
        self.world.workspace()
    }

    /// The time by the operator's machine.
    #[must_use]
    pub fn now(&self) -> jiff::Timestamp {
        self.world.clock().now()
    }

    /// A secret, resolved now; from now on it is taken out of what is kept and shown.
    ///
    /// # Errors
    /// The reference gives no value.
    pub async fn secret(&self, name: &str, reference: &SecretRef) -> Result<SecretString> {
        self.world.secret(name, reference).await
    }

    /// Reads of the bucket.
    ///
    /// # Errors
    /// The workspace has no `[s3]`, or a secret of it gives no value.
    pub async fn s3(&self, who: S3Identity) -> Result<S3View> {
        self.world.s3()?.view(who).await
    }

    /// What an approval of a change to the bucket binds, if the workspace has one.
    #[must_use]
    pub fn s3_identity(&self) -> Option<String> {
        self.world.s3().ok().map(S3Access::identity)
    }

    /// Reads of the project in the cloud.
    ///
    /// # Errors
    /// The workspace has no `[hcloud]`, or its token gives no value.
    pub async fn hcloud(&self) -> Result<HcloudView> {
        self.world.hcloud()?.view(&self.workspace().fleet).await
    }

    /// What an approval of a change in the cloud binds, if the workspace has a project there.
    #[must_use]
    pub fn hcloud_identity(&self) -> Option<String> {
        self.world.hcloud().ok().map(HcloudAccess::identity)
    }

    /// The keys that are pinned for a host.
    ///
    /// # Errors
    /// Their file cannot be read.
    pub fn pinned_keys(&self, host: &HostName) -> Result<Vec<HostKey>> {
        host_key::pinned(self.world.seam().ssh().known_hosts(), host)
    }

    /// The key that a host shows now, to whoever asks; it says nothing of who shows it.
    ///
    /// # Errors
    /// The host cannot be reached.
    pub async fn shown_key(&self, host: &HostName) -> Result<HostKey> {
        self.world.seam().ssh().fetch_host_key(self.world.host(host)?).await
    }

    /// The secrets that hactl keeps.
    #[must_use]
    pub fn sealed(&self) -> Sealed {
        Sealed::new(StateDir::of(&self.workspace().root).secrets())
    }

    /// A secret that hactl keeps, decrypted now; from now on it is taken out of what is kept and shown.
    ///
    /// # Errors
    /// There is none of this name, or the workspace's age identity is not at hand or another one.
    pub async fn kept_secret(&self, name: &SecretName) -> Result<SecretString> {
        let age = self.workspace().age.as_ref();
        let Some(identity) = age.and_then(|age| age.identity.as_ref()) else {
            return Err(Error::new(
                codes::SECRET_IDENTITY,
                format!("the secret {name} cannot be decrypted: hactl.toml names no age identity"),
            )
            .state("nothing was decrypted")
            .next("set identity = { file = \"…\" } in [age]"));
        };
        let identity = self.secret("age identity", identity).await?;
        let secret = self.sealed().open(name, &identity)?;
        self.world.redactor().learn(name.as_str(), &secret);
        Ok(secret)
    }

    /// The place's own host.
    ///
    /// # Errors
    /// The place has no host: the step acts on an API.
    pub fn here(&self) -> Result<HostView<'a>> {
        match &self.place.host {
            Some(host) => self.on(host),
            None => Err(Error::new(codes::INTERNAL, format!("the place {} has no host", self.place))),
        }
    }

    /// A host of the fleet.
    ///
    /// # Errors
    /// There is no such host in the workspace.
    pub fn on(&self, name: &HostName) -> Result<HostView<'a>> {
        self.world.host(name).map(|host| HostView::new(self.world, host))
    }

    /// The hosts of a role, in the order of the workspace.
    #[must_use]
    pub fn hosts(&self, role: &RoleName) -> Vec<HostView<'a>> {
        self.workspace().hosts_in(role).map(|host| HostView::new(self.world, host)).collect()
    }
}
