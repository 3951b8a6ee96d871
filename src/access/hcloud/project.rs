//! Which project a token opens. The API does not say, so the journal does: by keyed digests of the tokens that were
//! used, and by the numbers of the objects that are there, for no two projects share a number.
//!
//! Invariant: nothing is looked for, made or deleted before the project is known to be the one that the run works in. A
//! token that was used before opens the same project; another one does where an object of the run is there.

use std::collections::BTreeSet;

use secrecy::{ExposeSecret as _, SecretString};

use super::{FLEET_LABEL, HcloudView, RUN_LABEL};
use crate::diagnostic::{Error, Result, codes};
use crate::digest::Digest;
use crate::name::{FleetName, RunId};

/// What the journal knows of the project that a run works in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KnownProject {
    /// The run that works in it.
    pub(crate) run: Option<RunId>,
    /// The tokens that it was changed with, as [`token_digest`] gives them.
    pub(crate) tokens: BTreeSet<Digest>,
    /// Objects that were seen there.
    pub(crate) objects: Vec<KnownObject>,
}

/// An object that the journal knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KnownObject {
    /// The path of its kind.
    pub(crate) many: &'static str,
    /// What its kind is called.
    pub(crate) words: &'static str,
    /// Its number.
    pub(crate) id: i64,
}

impl KnownProject {
    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.objects.is_empty()
    }
}

/// The digest of a token, by which the journal knows it again. Its key is the fleet's name and the endpoint: a token is
/// random and long, so that nobody finds it by its digest, and one in two workspaces has two digests.
pub(super) fn token_digest(fleet: &FleetName, endpoint: &str, token: &SecretString) -> Digest {
    let key = Digest::of(format!("token of the cloud project of {fleet} at {endpoint}"));
    Digest::keyed(key.bytes(), token.expose_secret())
}

/// Makes sure that the token opens the project that is known.
///
/// # Errors
/// It does not, or nobody can tell.
pub(super) async fn vouch(view: &HcloudView, known: &KnownProject) -> Result<()> {
    if known.tokens.contains(&view.token) {
        return Ok(());
    }
    for object in &known.objects {
        if view.client.exists(object.many, object.words, object.id).await? {
            return Ok(());
        }
    }
    if let Some(run) = &known.run {
        let ours = format!("{FLEET_LABEL}=={},{RUN_LABEL}=={run}", view.fleet);
        for many in [
            "servers",
            "load_balancers",
            "floating_ips",
            "networks",
            "firewalls",
            "placement_groups",
            "ssh_keys",
        ] {
            if view.client.has_any(many, &ours).await? {
                return Ok(());
            }
        }
    }
    Err(another_project(view, known))
}

fn another_project(view: &HcloudView, known: &KnownProject) -> Error {
    let there: Vec<_> = known.objects.iter().map(|known| format!("{} {}", known.words, known.id)).collect();
    let (none, missing) = match there.as_slice() {
        [] => ("nothing of this run is there".to_owned(), "what the run began to make there"),
        [one] => (format!("{one} is not there"), "it"),
        all => (format!("none of {} is there", all.join(", ")), "all of them"),
    };
    let text = format!("the cloud token is not the one that this run began with, and {none}");
    let error = Error::new(codes::HCLOUD_OTHER_PROJECT, text)
        .state("it opens another project, or they were deleted by hand; nothing was changed")
        .next("put a token of the run's own project where `token` in [hcloud] says, then the same command again");
    match &known.run {
        None => error,
        Some(run) => error.next(format!(
            "if it is that project and somebody deleted {missing}: give any SSH key there the labels \
             {FLEET_LABEL}={} and {RUN_LABEL}={run}",
            view.fleet
        )),
    }
}
