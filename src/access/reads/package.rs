//! Debian packages.

use super::HostView;
use crate::diagnostic::Result;
use crate::transport::ssh::Command;

/// What is known of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// The installed version.
    pub installed: Option<String>,
    /// The version that installing would bring.
    pub candidate: Option<String>,
}

impl HostView<'_> {
    /// The installed version of a package, and the one that could be had.
    ///
    /// # Errors
    /// dpkg or apt do not answer.
    pub async fn package(&self, name: &str) -> Result<Package> {
        let query =
            Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status} ${Version}", "--", name]);
        let installed = self.ask(&query).await?;
        let policy = Command::new("apt-cache").args(["policy", "--", name]).env("LC_ALL", "C");
        let candidate = self.ask_ok(&policy, &format!("cannot ask apt about {name}")).await?.text();
        Ok(Package {
            installed: installed.text().strip_prefix("installed ").map(str::to_owned),
            candidate: candidate
                .lines()
                .find_map(|line| line.trim().strip_prefix("Candidate: "))
                .filter(|version| *version != "(none)")
                .map(str::to_owned),
        })
    }
}
