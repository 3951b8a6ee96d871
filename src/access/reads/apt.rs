//! What apt and dpkg would do, by simulation: it takes no lock and needs no root.

use std::collections::BTreeMap;

use super::HostView;
use crate::diagnostic::Result;
use crate::transport::ssh::Command;

/// How far a package is installed, in dpkg's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageState {
    /// `installed`, `half-configured`, `unpacked`, `config-files`, …
    pub status: String,
    /// The version, where one is there.
    pub version: String,
}

impl PackageState {
    /// Is it completely installed?
    #[must_use]
    pub fn is_installed(&self) -> bool {
        self.status == "installed"
    }
}

/// One package that an installation would bring or change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AptInstall {
    /// Its name.
    pub name: String,
    /// The version that is there now.
    pub from: Option<String>,
    /// The version that comes.
    pub to: String,
}

/// What an installation would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AptPlan {
    /// What comes or changes, in apt's order.
    pub installs: Vec<AptInstall>,
    /// What goes.
    pub removes: Vec<String>,
}

impl HostView<'_> {
    /// How far packages are installed; those that dpkg never heard of are left out.
    ///
    /// # Errors
    /// dpkg does not answer.
    pub async fn package_states(&self, names: &[String]) -> Result<BTreeMap<String, PackageState>> {
        // dpkg-query ends with 1 where it does not know one of the names, so its status says nothing.
        let query = Command::new("dpkg-query")
            .args(["-W", "-f", "${Package}\t${db:Status-Status}\t${Version}\n", "--"])
            .args(names.iter().cloned())
            .env("LC_ALL", "C");
        let text = self.ask(&query).await?.text();
        Ok(parse_states(&text))
    }

    /// What installing packages would do; none where apt's lists do not know how.
    ///
    /// # Errors
    /// The host does not answer.
    pub async fn apt_simulate(&self, names: &[String]) -> Result<Option<AptPlan>> {
        let simulate = Command::new("apt-get")
            .args(["--simulate", "--quiet", "--no-install-recommends", "install", "--"])
            .args(names.iter().cloned())
            .env("LC_ALL", "C");
        let finished = self.ask(&simulate).await?;
        Ok(finished.succeeded().then(|| parse_plan(&finished.stdout.text())))
    }
}

fn parse_states(text: &str) -> BTreeMap<String, PackageState> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split('\t');
            let (name, status, version) = (fields.next()?, fields.next()?, fields.next()?);
            let state = PackageState { status: status.to_owned(), version: version.to_owned() };
            Some((name.to_owned(), state))
        })
        .collect()
}

/// Reads `Inst name [from] (to …)` and `Remv name [from]`.
fn parse_plan(text: &str) -> AptPlan {
    let mut plan = AptPlan::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("Inst"), Some(name)) => {
                let mut from = None;
                let mut to = String::new();
                for word in words {
                    if let Some(version) = word.strip_prefix('[') {
                        from.get_or_insert_with(|| version.trim_end_matches(']').to_owned());
                    } else if let Some(version) = word.strip_prefix('(') {
                        version.clone_into(&mut to);
                        break;
                    }
                }
                plan.installs.push(AptInstall { name: name.to_owned(), from, to });
            }
            (Some("Remv" | "Purg"), Some(name)) => plan.removes.push(name.to_owned()),
            (Some(_) | None, _) => {}
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::{AptInstall, parse_plan, parse_states};

    #[test]
    fn a_simulation_is_read() {
        let plan = parse_plan(
            "NOTE: This is only a simulation!\n\
             Inst libssh2-1t64 (1.11.1-1+deb13u2 localhost [amd64])\n\
             Inst libpq5 [17.5-0] (17.6-0 Debian:13 [amd64])\n\
             Remv exim4 [4.98]\n\
             Conf libssh2-1t64 (1.11.1-1+deb13u2 localhost [amd64])\n",
        );
        let install = |name: &str, from: Option<&str>, to: &str| AptInstall {
            name: name.into(),
            from: from.map(str::to_owned),
            to: to.into(),
        };
        assert_eq!(
            plan.installs,
            [install("libssh2-1t64", None, "1.11.1-1+deb13u2"), install("libpq5", Some("17.5-0"), "17.6-0")]
        );
        assert_eq!(plan.removes, ["exim4"]);
    }

    #[test]
    fn states_are_read() {
        let states = parse_states("pgbackrest\tinstalled\t2.55.1-1\nage\tconfig-files\t1.2\nodd\n");
        assert!(states["pgbackrest"].is_installed() && !states["age"].is_installed());
        assert_eq!(states.len(), 2);
    }
}
