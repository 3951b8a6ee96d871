//! What pgBackRest says of its repository.

use std::time::Duration;

use serde_json::Value;

use super::HostView;
use crate::diagnostic::Result;
use crate::transport::ssh::Command;

impl HostView<'_> {
    /// `pgbackrest info` of a stanza, or nothing where pgBackRest is not installed.
    ///
    /// # Errors
    /// It complains, or prints no JSON.
    pub async fn pgbackrest_info(&self, stanza: &str) -> Result<Option<Value>> {
        if !self.missing_programs(&["pgbackrest"]).await?.is_empty() {
            return Ok(None);
        }
        let info = Command::new("pgbackrest")
            .args(["info", "--output=json", "--log-level-console=off", "--log-level-file=off"])
            .args(["--log-level-stderr=error", &format!("--stanza={stanza}")])
            .as_user("postgres")
            .within(Duration::from_secs(60));
        let text = self.ask_ok(&info, "pgbackrest info failed").await?.text();
        serde_json::from_str(&text).map(Some).map_err(|_| self.odd("pgbackrest info", &text))
    }
}
