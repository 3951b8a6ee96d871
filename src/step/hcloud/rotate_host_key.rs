//! Another SSH host key than the one that user data brought: made on the host, known to nobody else.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::access::{Become, Hands, HostView, Trial, View};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::{Before, Change, Observed, OutputValue, Outputs};
use crate::step::common::{output, unverified, wait_for};
use crate::step::{Effect, Evidence, Failure, Findings, OutputType, Scope, StepKind, WayBack};
use crate::transport::ssh::host_key::HostKey;

/// The public half of the key that sshd shows.
const PUBLIC: &str = "/etc/ssh/ssh_host_ed25519_key.pub";

/// What the comment of a key says that this step made.
const OURS: &str = "hactl-rotated";

/// Makes a new host key beside the old one, unless one is there; prints its public half. Killed between the two files'
/// being put in place, it puts the second one in place.
const MAKE: &str =
    "set -eu; export LC_ALL=C; now=/etc/ssh/ssh_host_ed25519_key; new=/etc/ssh/hactl_new_host_key
if [ -e \"$new.pub\" ] && [ ! -e \"$new\" ]; then
  if [ \"$(ssh-keygen -y -f \"$now\" | cut -d' ' -f1,2)\" = \"$(cut -d' ' -f1,2 \"$new.pub\")\" ]; then
    mv -f \"$new.pub\" \"$now.pub\"; sync -f /etc/ssh; cat \"$now.pub\"; exit 0
  fi
  rm -f \"$new.pub\"
fi
if [ ! -e \"$new.pub\" ] || ! ssh-keygen -y -P '' -f \"$new\" >/dev/null 2>&1; then
  rm -f \"$new\" \"$new.pub\"; ssh-keygen -q -t ed25519 -N '' -C \"$1\" -f \"$new\"; sync -f /etc/ssh
fi
cat \"$new.pub\"";

/// Puts the new key in the old one's place, if that was not done yet, and has sshd read it.
const SWAP: &str = "set -eu; now=/etc/ssh/ssh_host_ed25519_key; new=/etc/ssh/hactl_new_host_key
if [ -e \"$new\" ]; then mv -f \"$new\" \"$now\"; mv -f \"$new.pub\" \"$now.pub\"; sync -f /etc/ssh; fi
systemctl try-reload-or-restart ssh.service";

/// How long sshd may take to show the new key.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);

/// Gives a host a new SSH host key, over the connection that the old one checks. The first key of a server in the cloud
/// came with its user data, which its metadata service still shows to whoever gets onto it. While the host changes, both
/// keys are pinned, so that whichever it shows is known; then the old one is not accepted any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HcloudRotateHostKey {}

impl StepKind for HcloudRotateHostKey {
    const NAME: &'static str = "hcloud_rotate_host_key";
    const SUMMARY: &'static str = "gives a host a new SSH host key, made on the host itself, and pins that";

    fn scope(&self) -> Scope {
        Scope::EachHost
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn way_back(&self) -> WayBack {
        let how = "the new key stays, and stays pinned: the old one can be read in the server's user data";
        WayBack::Compensate(how.to_owned())
    }

    fn outputs(&self) -> Vec<(&str, OutputType)> {
        vec![("host-key", OutputType::String)]
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        let host = view.here()?;
        let pinned = view.pinned_keys(host.name())?;
        // One whose server is not made yet has no key at all; looking at it says so.
        let is_made = host.host().reached_at().is_some();
        if is_made && pinned.iter().all(|key| key.algorithm() != "ssh-ed25519") {
            findings.block(
                "the host is known by another key than its ed25519 one, which is the one that is made anew",
            );
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let host = view.here()?;
        let Some((key, whose)) = shown(&host).await? else {
            return Ok(Observed::Indeterminate(format!("{PUBLIC} is not there, or is no public key")));
        };
        let pinned = view.pinned_keys(host.name())?;
        if whose == OURS && pinned == [key.clone()] {
            return Ok(Observed::Applied(outputs_of(&key)?));
        }
        let mut details: Vec<_> = pinned
            .iter()
            .map(|key| format!("pinned now: {} {}", key.algorithm(), key.fingerprint()))
            .collect();
        details.push("both keys are pinned until the new one is seen".to_owned());
        let summary =
            format!("give {} a new SSH host key, made there, and accept the old one no more", host.name());
        Ok(Observed::NotApplied { change: Change { summary, details }, before: Before::default() })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let host = hands.here()?;
        let name = host.name().clone();
        let (now, whose) = shown(&host).await.map_err(Failure::NotStarted)?.ok_or_else(|| {
            let text = format!("{PUBLIC} is not there, or is no public key");
            Failure::NotStarted(
                Error::new(codes::NOT_VERIFIED, text).host(&name).state("nothing was changed"),
            )
        })?;
        let root = Become::Root;
        let minute = Duration::from_secs(60);
        let new = if whose == OURS {
            now
        } else {
            let made = host.script(MAKE, &[OURS], "", root.clone(), minute).await?;
            let made = made.ok("cannot make a new host key")?;
            made.text().parse::<HostKey>().map_err(|e| {
                Failure::Unclear(
                    Error::new(codes::NOT_VERIFIED, "the host made no usable key").host(&name).source(e),
                )
            })?
        };
        // Before the host can show it: whichever of the two it shows from now on is known.
        hands.pin_beside(&name, &new).map_err(Failure::Unclear)?;
        host.script(SWAP, &[], "", root, minute)
            .await?
            .ok("cannot put the new host key in place")
            .map(drop)?;
        let seen =
            wait_for("sshd to show its new key", SHOWN_WITHIN, Duration::from_millis(500), async || {
                Ok(hands.shown_key(&name).await.ok().filter(|shown| *shown == new))
            });
        if seen.await?.is_none() {
            let error = Error::new(codes::NOT_VERIFIED, "sshd does not show its new key").host(&name);
            return Err(Failure::Unclear(error.state("both keys are pinned: whichever it shows is known")));
        }
        hands.unpin_all_but(&name, &new).map_err(Failure::Unclear)?;
        outputs_of(&new).map_err(Failure::Unclear)
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let name = trial.view().here()?.name().clone();
        let (pinned, shown) = (trial.pinned_keys(&name)?, trial.shown_key(&name).await?);
        if pinned != [shown.clone()] {
            return Err(unverified(format!(
                "{name} shows the key {}, which is not the only pinned one",
                shown.fingerprint()
            )));
        }
        let mut evidence = Evidence::facts([format!(
            "{name} shows the key {}, made on it, and no other one is accepted",
            shown.fingerprint()
        )]);
        evidence.outputs = outputs_of(&shown)?;
        Ok(evidence)
    }

    async fn undo(&self, _hands: &Hands<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

/// The key that sshd reads when it starts, and its comment.
async fn shown(host: &HostView<'_>) -> Result<Option<(HostKey, String)>> {
    let Some(file) = host.file(PUBLIC).await? else { return Ok(None) };
    let text = String::from_utf8_lossy(&file.bytes).into_owned();
    let comment = text.split_whitespace().nth(2).unwrap_or_default().to_owned();
    Ok(text.parse().ok().map(|key| (key, comment)))
}

fn outputs_of(key: &HostKey) -> Result<Outputs> {
    Ok(Outputs::from([(output("host-key")?, OutputValue::String(key.to_string()))]))
}
