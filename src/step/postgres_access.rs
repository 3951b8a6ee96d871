//! `postgres_access`: hactl's login may connect as the monitoring role, through the local socket.
//!
//! Two files and one reload are one effect: neither file means anything without the other, and what is observed is the
//! login itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::common::{changed_lines, remember, unverified, wait_for};
use super::kind::{Effect, Evidence, Failure, Findings, Scope, StepKind, WayBack};
use crate::access::reads::{FileFacts, MONITOR, PgAccess};
use crate::access::{FileMode, Hands, HostHands, HostView, Psql, Trial, View};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::{Before, Change, Observed, Outputs};

/// Lets the login of the workspace connect as `hactl_monitor` through the local socket, by peer authentication.
///
/// A marked block goes before the first rule of `pg_hba.conf` and into `pg_ident.conf`; the rule is about that role
/// only. The way back takes exactly these lines out and leaves what others wrote since.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresAccess {}

const BEGIN: &str = "# begin hactl: it reads as hactl_monitor; a rollback takes these lines out";
const END: &str = "# end hactl";

/// A file as it is and as it is wanted.
struct Wanted {
    path: String,
    facts: FileFacts,
    is: String,
    wanted: String,
}

impl Wanted {
    fn differs(&self) -> bool {
        self.is != self.wanted
    }

    async fn write(&self, host: &HostHands<'_>) -> Result<(), Failure> {
        if !self.differs() {
            return Ok(());
        }
        let mode = FileMode::new(&self.facts.owner, &self.facts.group, self.facts.mode);
        host.write_file(&self.path, self.wanted.as_str(), &mode).await
    }
}

/// The text without our block, whatever stands in it. A beginning without an end is not taken for one.
fn without_block(text: &str) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (mut kept, mut at) = (String::new(), 0);
    while let Some(line) = lines.get(at) {
        let rest = lines.get(at..).unwrap_or_default();
        let end = rest.iter().position(|line| line.trim_end() == END);
        match end.filter(|_| line.trim_end() == BEGIN) {
            Some(end) => at += end + 1,
            None => {
                kept.push_str(line);
                at += 1;
            }
        }
    }
    kept
}

/// The text with `line` in our block, before the first line that means something.
fn with_block(text: &str, line: &str) -> String {
    let text = without_block(text);
    let says = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        // A line without an end is the last one, and ours must not be joined to it.
        if says(line) || !line.ends_with('\n') {
            break;
        }
        at += line.len();
    }
    let (head, tail) = text.split_at(at);
    format!("{head}{BEGIN}\n{line}\n{END}\n{tail}")
}

async fn read(host: &HostView<'_>, path: String, edit: impl Fn(&str) -> String) -> Result<Wanted> {
    let seen = host.file(&path).await?.ok_or_else(|| {
        Error::new(
            codes::POSTGRES_ODD_ANSWER,
            format!("PostgreSQL says that it reads {path}, which is not there"),
        )
        .host(host.name())
        .next("put the file back before PostgreSQL is reloaded or started, then: hactl resume")
    })?;
    let is = String::from_utf8(seen.bytes)
        .map_err(|_| Error::new(codes::SSH_READ, format!("{path} is not UTF-8 text")).host(host.name()))?;
    Ok(Wanted { wanted: edit(&is), path, facts: seen.facts, is })
}

/// `pg_ident.conf` and `pg_hba.conf`, in the order in which they are written.
async fn files(host: &HostView<'_>) -> Result<[Wanted; 2]> {
    let files = host.postgres_files().await?;
    let login = &host.host().user;
    let map = format!("hactl    \"{login}\"    {MONITOR}");
    let rule = format!("local   all    {MONITOR}    peer map=hactl");
    let ident = read(host, files.ident, |text| with_block(text, &map)).await?;
    let hba = read(host, files.hba, |text| with_block(text, &rule)).await?;
    Ok([ident, hba])
}

const RELOAD: &str = "select pg_reload_conf();\n";
/// The server reads its files a moment after it was told to.
const RELOADED: Duration = Duration::from_secs(15);
const AGAIN: Duration = Duration::from_millis(200);

impl StepKind for PostgresAccess {
    const NAME: &'static str = "postgres_access";
    const SUMMARY: &'static str = "let hactl's login connect as its monitoring role through the local socket";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn way_back(&self) -> WayBack {
        WayBack::Undo
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        let host = view.here()?;
        let errors = match host.postgres_access_errors().await {
            Ok(errors) => errors,
            Err(error) => {
                // PostgreSQL's own words about a file that is gone name no way on.
                files(&host).await?;
                return Err(error);
            }
        };
        for error in errors {
            findings.block(format!(
                "PostgreSQL takes no change of its access files because of a mistake in them: {error}"
            ));
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let host = view.here()?;
        let files = files(&host).await?;
        let mut details = Vec::new();
        for file in files.iter().filter(|file| file.differs()) {
            details.push(format!("{}:", file.path));
            details.extend(changed_lines(&file.is, &file.wanted));
        }
        if details.is_empty() && matches!(host.postgres("postgres").await?, PgAccess::Ready(_)) {
            return Ok(Observed::Applied(Outputs::new()));
        }
        details.push("reload PostgreSQL's configuration".to_owned());
        let summary =
            format!("let {} connect to PostgreSQL as {MONITOR} on {}", host.host().user, host.name());
        Ok(Observed::NotApplied { change: Change { summary, details }, before: remember(&())? })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let host = hands.here()?;
        for file in files(&host).await? {
            file.write(&host).await?;
        }
        let _answer = host.psql(&Psql::new("postgres", RELOAD)).await?;
        Ok(Outputs::new())
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let host = trial.view().here()?;
        let mut said = String::new();
        let ready = wait_for("PostgreSQL to read its access files", RELOADED, AGAIN, async || {
            match host.postgres("postgres").await? {
                PgAccess::Ready(pg) => Ok(Some(pg)),
                PgAccess::NotYet(why) => {
                    said = why;
                    Ok(None)
                }
                gone @ (PgAccess::Moving(_) | PgAccess::NoServer(_)) => gone.ready().map(Some),
            }
        })
        .await?;
        let Some(pg) = ready else {
            return Err(unverified(format!("PostgreSQL does not let {MONITOR} in: {said}")).host(host.name()));
        };
        let row = pg.query_one("select current_user::text, pg_has_role('pg_monitor', 'member')", &[]).await?;
        let (user, monitor): (String, bool) = (row.get(0), row.get(1));
        if user != MONITOR || !monitor {
            return Err(unverified(format!("the login ends up as {user}")).host(host.name()));
        }
        Ok(Evidence::facts([format!("{} connects as {user}, by peer authentication", host.host().user)]))
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let host = hands.here()?;
        // The other way round: the rule goes before the map that it names.
        for file in files(&host).await?.into_iter().rev() {
            let wanted = without_block(&file.is);
            Wanted { wanted, ..file }.write(&host).await?;
        }
        host.psql(&Psql::new("postgres", RELOAD)).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{BEGIN, END, with_block, without_block};

    #[test]
    fn the_rule_comes_before_all_others_and_after_the_opening_comment() {
        let text =
            "# PostgreSQL Client Authentication\n\n# TYPE\nlocal all postgres peer\nlocal all all peer\n";
        let with = with_block(text, "rule");
        assert_eq!(
            with,
            format!(
                "# PostgreSQL Client Authentication\n\n# TYPE\n{BEGIN}\nrule\n{END}\nlocal all postgres peer\nlocal all all peer\n"
            )
        );
        assert_eq!(with_block(&with, "rule"), with);
        assert_eq!(with_block("", "rule"), format!("{BEGIN}\nrule\n{END}\n"));
        assert_eq!(with_block("# no end", "rule"), format!("{BEGIN}\nrule\n{END}\n# no end"));
    }

    #[test]
    fn lines_of_others_survive_the_way_back() {
        let with = with_block("local all all peer\n", "rule").replace("all all", "all app");
        assert_eq!(without_block(&format!("{with}# later\n")), "local all app peer\n# later\n");
        let torn = format!("{BEGIN}\nlocal all all peer\n");
        assert_eq!(without_block(&torn), torn);
    }

    proptest! {
        #[test]
        fn taking_the_block_out_restores_the_bytes(text in "([#a-z \\t]{0,6}\n?){0,6}") {
            prop_assert_eq!(without_block(&with_block(&text, "rule")), text);
        }
    }
}
