//! `postgres_monitor`: the role that hactl reads PostgreSQL as exists.

use serde::{Deserialize, Serialize};

use super::common::{instance, remember, unit, unverified};
use super::kind::{Effect, Evidence, Failure, Findings, Scope, StepKind, WayBack};
use crate::access::reads::{MONITOR, PgRole};
use crate::access::{Hands, Psql, Trial, View};
use crate::diagnostic::Result;
use crate::journal::record::{Before, Change, Observed, Outputs};
use crate::workspace::PostgresConfig;

/// Makes the role `hactl_monitor`: it may log in and read statistics and settings (`pg_monitor`), and no table.
///
/// A role of that name which may do more, or less, is somebody else's: the step then stops and says so.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresMonitor {}

const MAKE: &str = "create role hactl_monitor login;
grant pg_monitor to hactl_monitor;
alter role hactl_monitor set default_transaction_read_only = on;
comment on role hactl_monitor is 'hactl reads as this role: statistics and settings, no table';
";

const UNMAKE: &str = "drop role if exists hactl_monitor;\n";

/// What about a role is not as this step would have made it.
fn foreign(role: &PgRole) -> Vec<String> {
    let mut odd: Vec<String> = role.powers.iter().map(|power| format!("is {power}")).collect();
    odd.extend(role.member_of.iter().filter(|r| *r != "pg_monitor").map(|r| format!("is a member of {r}")));
    if !role.login {
        odd.push("may not log in".to_owned());
    }
    if !role.member_of.iter().any(|r| r == "pg_monitor") {
        odd.push("is no member of pg_monitor".to_owned());
    }
    odd
}

impl StepKind for PostgresMonitor {
    const NAME: &'static str = "postgres_monitor";
    const SUMMARY: &'static str = "make the role that hactl reads PostgreSQL as";

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
        // The first step of all that asks the server: what comes after it would fail in odder words.
        if let Some(why) = PostgresConfig::too_old(view.here()?.postgres_major().await?) {
            findings.block(why);
        }
        if let Some(role) = view.here()?.postgres_role(MONITOR).await? {
            let odd = foreign(&role);
            if !odd.is_empty() {
                findings.block(format!(
                    "there is a role {MONITOR} already, and it {}: rename or drop it, it is not hactl's",
                    odd.join(" and ")
                ));
            }
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let host = view.here()?;
        match host.postgres_role(MONITOR).await? {
            Some(role) if foreign(&role).is_empty() => Ok(Observed::Applied(Outputs::new())),
            Some(role) => Ok(Observed::Indeterminate(format!(
                "there is a role {MONITOR}, and it {}",
                foreign(&role).join(" and ")
            ))),
            None => {
                let on = unit(instance(view)?);
                let on = on.trim_end_matches(".service");
                let change = Change {
                    summary: format!("make the role {MONITOR} in {on} on {}", host.name()),
                    details: MAKE.lines().map(str::to_owned).collect(),
                };
                Ok(Observed::NotApplied { change, before: remember(&())? })
            }
        }
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let host = hands.here()?;
        let _answer = host.psql(&Psql::new("postgres", MAKE).in_one_transaction()).await?;
        Ok(Outputs::new())
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        match trial.here()?.postgres_role(MONITOR).await? {
            Some(role) if foreign(&role).is_empty() => Ok(Evidence::facts([format!(
                "{MONITOR} may log in, is a member of {} and of nothing else",
                role.member_of.join(", ")
            )])),
            Some(role) => Err(unverified(format!("{MONITOR} {}", foreign(&role).join(" and ")))),
            None => Err(unverified(format!("there is no role {MONITOR}"))),
        }
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let host = hands.here()?;
        host.psql(&Psql::new("postgres", UNMAKE)).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::foreign;
    use crate::access::reads::PgRole;

    #[test]
    fn a_role_that_may_do_more_or_less_is_not_ours() {
        let role = |login: bool, powers: &[&str], member_of: &[&str]| PgRole {
            login,
            powers: powers.iter().map(ToString::to_string).collect(),
            member_of: member_of.iter().map(ToString::to_string).collect(),
        };
        assert!(foreign(&role(true, &[], &["pg_monitor"])).is_empty());
        assert_eq!(foreign(&role(true, &["superuser"], &["pg_monitor"])), ["is superuser"]);
        assert_eq!(foreign(&role(true, &[], &["app", "pg_monitor"])), ["is a member of app"]);
        assert_eq!(foreign(&role(false, &[], &[])), ["may not log in", "is no member of pg_monitor"]);
    }
}
