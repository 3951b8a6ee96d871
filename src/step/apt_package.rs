//! `apt_package`: packages of the distribution are installed.

use serde::{Deserialize, Serialize};

use super::common::{output, recall, remember, unverified};
use super::kind::{Effect, Evidence, Failure, Findings, OutputType, Scope, StepKind, WayBack};
use crate::access::reads::AptPlan;
use crate::access::{Become, Hands, Trial, View};
use crate::diagnostic::Result;
use crate::journal::record::{Before, Change, Observed, OutputValue, Outputs};
use crate::units::HumanDuration;

/// Installs packages with apt, without recommended ones and without removing any other.
///
/// A package counts as there in whatever version it is: this kind never upgrades what works. No service is restarted
/// behind the operator's back (needrestart is told to keep still), and what would be upgraded along the way is shown
/// before. PostgreSQL is installed without the cluster that Debian would make; taken back, it is purged only where no
/// cluster would go with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AptPackage {
    /// The packages.
    packages: Vec<PackageName>,
    /// How long apt may take, at most the step's own timeout.
    #[serde(default = "ten_minutes")]
    within: HumanDuration,
}

fn ten_minutes() -> HumanDuration {
    HumanDuration::from_secs(600)
}

/// The name of a package, which apt cannot take for an option or an expression.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct PackageName(String);

impl TryFrom<String> for PackageName {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
        let first = name.chars().next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        // apt takes a trailing '-' for "remove" and a trailing '+' after a name for "install".
        if first && name.len() >= 2 && name.chars().all(inner) && !name.ends_with('-') {
            Ok(Self(name))
        } else {
            Err(format!("{name:?} is not the name of a package"))
        }
    }
}

impl From<PackageName> for String {
    fn from(name: PackageName) -> Self {
        name.0
    }
}

/// What was not there before: all that undoing may remove.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Absent {
    /// Of the wanted packages.
    wanted: Vec<String>,
    /// Of those that come with them, as far as apt could tell.
    along: Vec<String>,
}

/// Where Debian's PostgreSQL is told to make no cluster, as long as hactl installs it.
const NO_CLUSTER: &str = "/etc/postgresql-common/createcluster.d/hactl.conf";
/// The same, where a configuration of one's own does not look into that folder, and how our line in it ends.
const OWN_CONF: &str = "/etc/postgresql-common/createcluster.conf";
const OUR_LINE: &str = "# hactl, while installing";

const INSTALL: &str = include_str!("apt_package/install.sh");
const REMOVE: &str = include_str!("apt_package/remove.sh");

impl AptPackage {
    fn names(&self) -> Vec<String> {
        self.packages.iter().map(|p| p.0.clone()).collect()
    }

    async fn missing(&self, view: &View<'_>) -> Result<(Outputs, Vec<String>)> {
        let names = self.names();
        let states = view.here()?.package_states(&names).await?;
        let (mut versions, mut missing) = (Vec::new(), Vec::new());
        for name in names {
            match states.get(&name).filter(|state| state.is_installed()) {
                Some(state) => versions.push(format!("{name}={}", state.version)),
                None => missing.push(name),
            }
        }
        Ok((Outputs::from([(output("versions")?, OutputValue::List(versions))]), missing))
    }
}

impl AptPackage {
    /// Did an installation that was killed leave PostgreSQL told to make no cluster?
    async fn left_behind(&self, view: &View<'_>) -> Result<bool> {
        let postgresql = |name: &String| {
            name.strip_prefix("postgresql").is_some_and(|rest| {
                rest.is_empty()
                    || rest.strip_prefix('-').is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit()))
            })
        };
        if !self.names().iter().any(postgresql) {
            return Ok(false);
        }
        let host = view.here()?;
        if host.file_facts(NO_CLUSTER).await?.is_some() {
            return Ok(true);
        }
        let own = host.text(OWN_CONF).await?.unwrap_or_default();
        Ok(own.lines().any(|line| line.ends_with(OUR_LINE)))
    }
}

fn details(plan: Option<&AptPlan>, missing: &[String]) -> Vec<String> {
    let Some(plan) = plan else {
        return vec![
            "the lists of packages are read anew first; what comes along is known only then".to_owned(),
        ];
    };
    let line = |install: &crate::access::reads::AptInstall| match &install.from {
        Some(from) => format!("upgrades {} from {from} to {}", install.name, install.to),
        None if missing.contains(&install.name) => format!("installs {} {}", install.name, install.to),
        None => format!("installs {} {}, which it needs", install.name, install.to),
    };
    plan.installs.iter().map(line).collect()
}

impl StepKind for AptPackage {
    const NAME: &'static str = "apt_package";
    const SUMMARY: &'static str = "install packages of the distribution";

    fn scope(&self) -> Scope {
        Scope::EachHost
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn way_back(&self) -> WayBack {
        WayBack::Undo
    }

    fn outputs(&self) -> Vec<(&str, OutputType)> {
        vec![("versions", OutputType::List)]
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        let (_, missing) = self.missing(view).await?;
        if missing.is_empty() {
            return Ok(findings);
        }
        if let Some(plan) = view.here()?.apt_simulate(&missing).await? {
            for removed in &plan.removes {
                findings
                    .block(format!("installing would remove the package {removed}, which hactl does not do"));
            }
            for upgraded in plan.installs.iter().filter(|i| i.from.is_some()) {
                let text = format!(
                    "installing upgrades {}; programs that use it keep the old one until they start anew",
                    upgraded.name
                );
                findings.warn(text);
            }
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let (outputs, missing) = self.missing(view).await?;
        let host = view.here()?;
        if missing.is_empty() {
            if !self.left_behind(view).await? {
                return Ok(Observed::Applied(outputs));
            }
            let change = Change {
                summary: format!("let PostgreSQL's packages make clusters again on {}", host.name()),
                details: vec!["an installation that was cut off left them told not to".to_owned()],
            };
            return Ok(Observed::NotApplied { change, before: remember(&Absent::default())? });
        }
        let plan = host.apt_simulate(&missing).await?;
        let along = plan.iter().flat_map(|p| &p.installs).filter(|i| i.from.is_none());
        let along = along.map(|i| i.name.clone()).filter(|name| !missing.contains(name)).collect();
        let change = Change {
            summary: format!("install {} on {}", missing.join(", "), host.name()),
            details: details(plan.as_ref(), &missing),
        };
        Ok(Observed::NotApplied { change, before: remember(&Absent { wanted: missing, along })? })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let names = self.names();
        let arguments: Vec<&str> = names.iter().map(String::as_str).collect();
        let host = hands.here()?;
        let _finished = host
            .script(INSTALL, &arguments, "", Become::Root, self.within.get())
            .await?
            .ok(format!("cannot install {}", names.join(", ")))?;
        Ok(self.missing(hands).await?.0)
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let (_, missing) = self.missing(trial).await?;
        if !missing.is_empty() {
            return Err(unverified(format!("not completely installed: {}", missing.join(", "))));
        }
        if self.left_behind(trial).await? {
            return Err(unverified("PostgreSQL's packages are still told to make no cluster"));
        }
        let host = trial.here()?;
        let states = host.package_states(&self.names()).await?;
        Ok(Evidence::facts(
            states
                .iter()
                .map(|(name, state)| format!("{name} {} is installed on {}", state.version, host.name())),
        ))
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let absent: Absent = recall(hands.before())?.unwrap_or_default();
        if absent.wanted.is_empty() {
            return Ok(());
        }
        let mut arguments: Vec<&str> = absent.wanted.iter().map(String::as_str).collect();
        arguments.push("--");
        arguments.extend(absent.along.iter().map(String::as_str));
        let host = hands.here()?;
        host.script(REMOVE, &arguments, "", Become::Root, self.within.get())
            .await?
            .ok("cannot remove what was installed")
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::{AptPackage, details};
    use crate::access::reads::{AptInstall, AptPlan};

    #[test]
    fn a_name_cannot_become_an_option_or_a_removal() {
        let parse = |text: &str| toml::from_str::<AptPackage>(text).map(|p| p.names());
        assert_eq!(parse("packages = ['pgbackrest', 'g++']").unwrap(), ["pgbackrest", "g++"]);
        for bad in ["-o=x", "postgresql-", "a b", "Age", "x", "age=1", "postgres*", "./x.deb"] {
            assert!(parse(&format!("packages = ['{bad}']")).is_err(), "{bad}");
        }
        assert!(parse("packages = ['age']\nversion = '1'").is_err());
    }

    #[test]
    fn what_comes_along_is_told_apart() {
        let install = |name: &str, from: Option<&str>| AptInstall {
            name: name.into(),
            from: from.map(str::to_owned),
            to: "2".into(),
        };
        let plan = AptPlan {
            installs: vec![
                install("libssh2", None),
                install("libpq5", Some("1")),
                install("pgbackrest", None),
            ],
            removes: Vec::new(),
        };
        assert_eq!(
            details(Some(&plan), &["pgbackrest".to_owned()]),
            ["installs libssh2 2, which it needs", "upgrades libpq5 from 1 to 2", "installs pgbackrest 2"]
        );
    }
}
