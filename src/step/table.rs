//! The table of step kinds: from it come the enum, the parsing, the dispatch, `hactl kinds` and the docs.
//!
//! A new kind is one new file and two lines here.

use serde::{Deserialize as _, Serialize};
use toml::de::ValueDeserializer;

use super::kind::{Effect, Evidence, Failure, Findings, OutputType, Scope, StepKind, WayBack};
use crate::access::{Hands, Trial, View};
use crate::costs::Order;
use crate::diagnostic::Result;
use crate::journal::record::{Before, Observed, Outputs};
use crate::name::HostName;
use crate::probe::Probe;
use crate::runbook::Kinds;

/// A step kind in the list that `hactl kinds` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindInfo {
    /// The key in the TOML.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
}

macro_rules! step_kinds {
    ($($variant:ident = $kind:ty;)*) => {
        /// A typed action: one of the kinds.
        #[derive(Clone, Debug, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Action {
            $(#[doc = concat!("A [`", stringify!($kind), "`].")] $variant($kind),)*
        }

        impl Action {
            /// Every kind.
            pub const KINDS: &[KindInfo] = &[
                $(KindInfo { name: <$kind>::NAME, summary: <$kind>::SUMMARY },)*
            ];

            /// The action of kind `name`, from the table of its parameters.
            ///
            /// # Errors
            /// The parameters do not fit, or there is no such kind.
            pub fn parse(name: &str, parameters: ValueDeserializer<'_>) -> Result<Self, toml::de::Error> {
                $(if name == <$kind>::NAME {
                    return <$kind>::deserialize(parameters).map(Self::$variant);
                })*
                Err(serde::de::Error::custom(format!("there is no step kind {name:?}")))
            }

            /// The key in the TOML.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => <$kind>::NAME,)* }
            }

            /// How often it happens.
            #[must_use]
            pub fn scope(&self) -> Scope {
                match self { $(Self::$variant(kind) => kind.scope(),)* }
            }

            /// What a second execution would do.
            #[must_use]
            pub fn effect(&self) -> Effect {
                match self { $(Self::$variant(kind) => kind.effect(),)* }
            }

            /// How it is taken back.
            #[must_use]
            pub fn way_back(&self) -> WayBack {
                match self { $(Self::$variant(kind) => kind.way_back(),)* }
            }

            /// The declared outputs.
            #[must_use]
            pub fn outputs(&self) -> Vec<(&str, OutputType)> {
                match self { $(Self::$variant(kind) => kind.outputs(),)* }
            }

            /// Hosts beside the place's own that it may change.
            #[must_use]
            pub fn further_hosts(&self, view: &View<'_>) -> Vec<HostName> {
                match self { $(Self::$variant(kind) => kind.further_hosts(view),)* }
            }

            /// Objects beside hosts that it touches.
            #[must_use]
            pub fn objects(&self, view: &View<'_>) -> Vec<String> {
                match self { $(Self::$variant(kind) => kind.objects(view),)* }
            }

            /// What it would order that is paid by the month.
            ///
            /// # Errors
            /// The world could not be read.
            pub async fn orders(&self, view: &View<'_>) -> Result<Vec<Order>> {
                match self { $(Self::$variant(kind) => kind.orders(view).await,)* }
            }

            /// Looks at preconditions.
            ///
            /// # Errors
            /// The world could not be read.
            pub async fn check(&self, view: &View<'_>) -> Result<Findings> {
                match self { $(Self::$variant(kind) => kind.check(view).await,)* }
            }

            /// Is the change there?
            ///
            /// # Errors
            /// The world could not be read.
            pub async fn observe(&self, view: &View<'_>, before: Option<&Before>) -> Result<Observed> {
                match self { $(Self::$variant(kind) => kind.observe(view, before).await,)* }
            }

            /// Makes the change.
            ///
            /// # Errors
            /// By what is known of its effect.
            pub async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
                match self { $(Self::$variant(kind) => kind.apply(hands).await,)* }
            }

            /// Measures that the change does what it is for.
            ///
            /// # Errors
            /// It does not.
            pub async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
                match self { $(Self::$variant(kind) => kind.verify(trial).await,)* }
            }

            /// Takes the change back.
            ///
            /// # Errors
            /// By what is known of its effect.
            pub async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
                match self { $(Self::$variant(kind) => kind.undo(hands).await,)* }
            }
        }
    };
}

step_kinds! {
    AptPackage = super::apt_package::AptPackage;
    Command = super::command::RunCommand;
    DumpNow = super::dump_now::DumpNow;
    FloatingIpAddress = super::floating_ip_address::FloatingIpAddress;
    HcloudApplyFirewall = super::hcloud::apply_firewall::HcloudApplyFirewall;
    HcloudAssignFloatingIp = super::hcloud::assign_floating_ip::HcloudAssignFloatingIp;
    HcloudAttach = super::hcloud::attach::HcloudAttach;
    HcloudBalancerService = super::hcloud::balancer_service::HcloudBalancerService;
    HcloudBalancerTarget = super::hcloud::balancer_target::HcloudBalancerTarget;
    HcloudFirewall = super::hcloud::firewall::HcloudFirewall;
    HcloudFloatingIp = super::hcloud::floating_ip::HcloudFloatingIp;
    HcloudJoinGroup = super::hcloud::join_group::HcloudJoinGroup;
    HcloudLoadBalancer = super::hcloud::load_balancer::HcloudLoadBalancer;
    HcloudNetwork = super::hcloud::network::HcloudNetwork;
    HcloudPlacementGroup = super::hcloud::placement_group::HcloudPlacementGroup;
    HcloudPower = super::hcloud::power::HcloudPower;
    HcloudProtection = super::hcloud::protection::HcloudProtection;
    HcloudRotateHostKey = super::hcloud::rotate_host_key::HcloudRotateHostKey;
    HcloudServer = super::hcloud::server::HcloudServer;
    HcloudSshKey = super::hcloud::ssh_key::HcloudSshKey;
    Manual = super::manual::Manual;
    PgBackRestBackup = super::pgbackrest_backup::PgBackRestBackup;
    PgBackRestConfig = super::pgbackrest_config::PgBackRestConfig;
    PgBackRestStanza = super::pgbackrest_stanza::PgBackRestStanza;
    PostgresAccess = super::postgres_access::PostgresAccess;
    PostgresInspect = super::postgres_inspect::PostgresInspect;
    PostgresMonitor = super::postgres_monitor::PostgresMonitor;
    PostgresRestart = super::postgres_restart::PostgresRestart;
    PostgresSettings = super::postgres_settings::PostgresSettings;
    PostgresWalArchive = super::postgres_wal_archive::PostgresWalArchive;
    NightlyDump = super::nightly_dump::NightlyDump;
    NightlyTimer = super::nightly_timer::NightlyTimer;
    ProveDump = super::prove_dump::ProveDump;
    ProveRestore = super::prove_restore::ProveRestore;
    Reboot = super::reboot::Reboot;
    S3Bucket = super::s3_bucket::S3Bucket;
    S3RestoreCredential = super::s3_restore_credential::S3RestoreCredential;
    Secret = super::secret::Secret;
    SeeClocks = super::see::clocks::SeeClocks;
    SeeFirewall = super::see::firewall::SeeFirewall;
    SeeFloatingIp = super::see::floating_ip::SeeFloatingIp;
    SeePrivateNetwork = super::see::private_network::SeePrivateNetwork;
    SeeSpread = super::see::spread::SeeSpread;
}

/// The table, as loading runbooks needs it.
#[derive(Clone, Copy, Debug)]
pub struct Table;

impl Kinds for Table {
    type Action = Action;
    type Probe = Probe;

    fn action_names() -> Vec<&'static str> {
        Action::KINDS.iter().map(|kind| kind.name).collect()
    }

    fn probe_names() -> Vec<&'static str> {
        Probe::KINDS.iter().map(|kind| kind.name).collect()
    }

    fn parse_action(kind: &str, parameters: ValueDeserializer<'_>) -> Result<Action, toml::de::Error> {
        Action::parse(kind, parameters)
    }

    fn parse_probe(kind: &str, parameters: ValueDeserializer<'_>) -> Result<Probe, toml::de::Error> {
        Probe::parse(kind, parameters)
    }

    fn outputs(action: &Action) -> Vec<(&str, OutputType)> {
        action.outputs()
    }

    fn way_back(action: &Action) -> WayBack {
        action.way_back()
    }

    fn scope(action: &Action) -> Scope {
        action.scope()
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Probe};
    use crate::name::OutputName;
    use crate::runbook::{Origin, bundled, parse};

    #[test]
    fn names_are_unique_and_said_in_one_line() {
        for kinds in [Action::KINDS, Probe::KINDS] {
            let mut names: Vec<_> = kinds.iter().map(|kind| kind.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), kinds.len());
            assert!(kinds.iter().all(|kind| !kind.summary.is_empty() && !kind.summary.contains('\n')));
        }
    }

    #[test]
    fn the_example_of_a_plan_that_is_not_ours_is_sound() {
        let text = include_str!("../../runbooks/examples/static-site.toml");
        let runbook = parse::<super::Table>("static-site.toml", text.as_bytes(), Origin::Bundled).unwrap();
        let kinds: Vec<_> = runbook.steps().map(|(_, step)| step.action.kind.as_str()).collect();
        assert_eq!(kinds, ["command", "command", "manual"]);
    }

    #[test]
    fn every_bundled_runbook_is_sound_by_itself() {
        for name in bundled::names() {
            let text = bundled::show(name).unwrap();
            let runbook = parse::<super::Table>(name, text.as_bytes(), Origin::Bundled).unwrap();
            assert_eq!(runbook.name.as_str(), name);
        }
        assert!(OutputName::new("versions").is_ok());
    }
}
