//! `reboot`: a machine starts anew, once.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::common::{recall, remember, unverified, wait_for};
use super::kind::{Effect, Evidence, Failure, Scope, StepKind, WayBack};
use crate::access::{Command, Hands, Trial, View};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::{Before, Change, Observed, Outputs};
use crate::units::HumanDuration;

/// Asks a machine's system to start anew, and waits until it can be logged in to again. It is asked only while it is in the
/// very boot that was seen before, so it never starts anew twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reboot {
    /// How long it may take until it can be logged in to again.
    #[serde(default = "some_minutes")]
    within: HumanDuration,
}

fn some_minutes() -> HumanDuration {
    HumanDuration::from_secs(300)
}

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// Says that a machine was asked in the boot that it is in: what is there is gone with that boot.
const ASKED: &str = "/run/hactl-reboot";

/// Asks once, and only in the boot `$1`, and leaves the mark `$2` before. The answer must be home before the system begins
/// to stop.
const ASK: &str = r#"set -e
[ "$(cat /proc/sys/kernel/random/boot_id)" = "$1" ] || exit 0
: > "$2"
exec systemd-run --quiet --collect --on-active=1 --timer-property=AccuracySec=100ms systemctl reboot"#;

/// Which boot a machine was in.
#[derive(Debug, Serialize, Deserialize)]
struct Boot {
    boot: String,
}

impl StepKind for Reboot {
    const NAME: &'static str = "reboot";
    const SUMMARY: &'static str = "start a machine anew, once, and wait until it can be logged in to again";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::OneShot
    }

    fn way_back(&self) -> WayBack {
        WayBack::Nothing
    }

    async fn observe(&self, view: &View<'_>, before: Option<&Before>) -> Result<Observed> {
        let before: Option<Boot> = recall(before)?;
        let here = view.here()?;
        let seen = async { Ok((here.boot_id().await?, here.file_facts(ASKED).await?.is_some())) };
        let (now, asked) = match (seen.await, &before) {
            (Ok(seen), _) => seen,
            (Err(error), None) => return Err(error),
            (Err(error), Some(_)) => {
                let text =
                    format!("{} cannot be asked in which boot it is: {}", here.name(), error.one_line());
                return Ok(Observed::Running(text));
            }
        };
        match before {
            Some(before) if before.boot != now => Ok(Observed::Applied(Outputs::new())),
            // It stops some time after it was asked, and until then it answers as if nothing were to come.
            Some(_) if asked => Ok(Observed::Running(format!(
                "{} was asked to start anew, and is still in the same boot",
                here.name()
            ))),
            Some(_) | None => Ok(Observed::NotApplied {
                change: Change {
                    summary: format!(
                        "start {} anew: what runs there stops, and starts again with the system",
                        here.name()
                    ),
                    details: vec![format!("it may take {} until it answers", self.within)],
                },
                before: remember(&Boot { boot: now })?,
            }),
        }
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let before: Option<Boot> = recall(hands.before()).map_err(Failure::NotStarted)?;
        let Some(Boot { boot }) = before else {
            let text = "the journal does not say in which boot the machine was";
            return Err(Failure::NotStarted(Error::new(codes::INTERNAL, text)));
        };
        let host = hands.here()?;
        let ask = Command::new("sh").args(["-c", ASK, "hactl-reboot", &boot, ASKED]);
        let _asked = host.run(&ask).await?.ok("cannot ask the system to start anew")?;
        let back = wait_for(
            &format!("{} to start anew", host.name()),
            self.within.get(),
            EVERY,
            // While it starts it cannot be asked, in whatever way.
            async || Ok(host.boot_id().await.ok().filter(|now| *now != boot)),
        )
        .await?;
        if back.is_some() {
            return Ok(Outputs::new());
        }
        let text = format!("{} did not start anew within {}", host.name(), self.within);
        Err(Failure::Unclear(
            Error::new(codes::STEP_TIMEOUT, text)
                .host(host.name())
                .state("it was asked to, and cannot be logged in to, or is still in the same boot")
                .next("look at its console; when it answers again: hactl resume"),
        ))
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let before: Option<Boot> = recall(trial.before())?;
        let here = trial.view().here()?;
        let now = here.boot_id().await?;
        match before {
            Some(before) if before.boot != now => Ok(Evidence::facts([format!(
                "{} is in another boot than before, and lets hactl in",
                here.name()
            )])),
            Some(_) | None => Err(unverified(format!("{} is in the same boot as before", here.name()))),
        }
    }
}
