//! `nightly_dump`: the script that dumps every database, with all it needs, as one folder that is replaced as a whole.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::common::{instance, recall, remember, unverified};
use super::kind::{Effect, Evidence, Failure, Scope, StepKind, WayBack};
use super::prover::{DIGEST_SQL, SEQUENCES_SQL, rclone};
use crate::access::s3::S3Identity;
use crate::access::{Become, FileMode, Hands, HostView, Input, Trial, TrialCommand, View};
use crate::diagnostic::{Error, Result, codes};
use crate::dumps;
use crate::journal::record::{Before, Change, Observed, Outputs};
use crate::units::HumanDuration;

/// Puts `/etc/hactl/dump` on the database's host: a script that dumps every database and the globals, encrypts them with
/// age to the recipients of the workspace and streams them to the bucket by rclone; its settings; the key that may
/// write (mode 0600, for `postgres`). Beside each dump it puts digests of every table, taken in the dump's own
/// snapshot. The folder is swapped as a whole, so a dump never runs half of an old one and half of a new one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NightlyDump {
    /// Dumps older than this are removed.
    #[serde(default = "fortnight")]
    keep: HumanDuration,
    /// But never the newest few, however old they are.
    #[serde(default = "three")]
    keep_least: u32,
}

fn fortnight() -> HumanDuration {
    HumanDuration::from_secs(14 * 24 * 3600)
}

fn three() -> u32 {
    3
}

/// Where the script is: a symbolic link to a folder beside it.
const FOLDER: &str = "/etc/hactl/dump";

/// Points the link at another folder, in one move, and removes the folders that are neither this nor the former one.
/// Arguments: link, folder, former folder or nothing.
const SWAP: &str = r#"set -eu
link=$1 folder=$2 former=$3
ln -sfn -- "$folder" "$link.new"
mv -fT -- "$link.new" "$link"
for other in "$link".*; do
  case $other in "$folder" | "$former") ;; *) rm -rf -- "$other" ;; esac
done
sync -f -- "$(dirname -- "$link")""#;

/// Removes the link and every folder beside it.
const REMOVE: &str = r#"set -eu
rm -f -- "$1"
rm -rf -- "$1".*
rmdir --ignore-fail-on-non-empty -- "$(dirname -- "$1")" 2>/dev/null || :"#;

/// What was there before: the folder that the link pointed to.
#[derive(Debug, Default, Serialize, Deserialize)]
struct There {
    folder: Option<String>,
}

/// A file of the folder.
struct Wanted {
    name: &'static str,
    mode: FileMode,
    content: Input,
}

impl Wanted {
    fn new(name: &'static str, mode: u32, content: impl Into<Input>) -> Self {
        Self { name, mode: FileMode::new("root", "root", mode), content: content.into() }
    }
}

/// A text as one word of a shell.
fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

impl NightlyDump {
    async fn wanted(&self, view: &View<'_>) -> Result<Vec<Wanted>> {
        let (s3, postgres) = (rclone::s3(view)?, instance(view)?);
        let none =
            || Error::new(codes::SECRET_UNRESOLVED, "hactl.toml has no [age] recipients").next("hactl check");
        let age = view.workspace().age.as_ref().filter(|age| !age.recipients.is_empty()).ok_or_else(none)?;
        let days = self.keep.get().as_secs().div_ceil(24 * 3600);
        let settings = [
            ("BUCKET", s3.bucket.clone()),
            ("PREFIX", dumps::PREFIX.to_owned()),
            ("KEEP_DAYS", days.to_string()),
            ("KEEP_LEAST", self.keep_least.to_string()),
            ("PGVERSION", postgres.version.clone()),
            ("PGHOST", postgres.socket_dir.display().to_string()),
            ("PGPORT", postgres.port.to_string()),
        ];
        let settings: String =
            settings.iter().map(|(name, value)| format!("{name}={}\n", word(value))).collect();
        let rclone = rclone::configuration(view, S3Identity::Writer).await?;
        let mut files = vec![
            Wanted::new("dump.sh", 0o755, include_str!("nightly_dump/dump.sh")),
            Wanted::new("digest.sql", 0o644, DIGEST_SQL),
            Wanted::new("sequences.sql", 0o644, SEQUENCES_SQL),
            Wanted::new("settings", 0o644, settings),
            Wanted::new("recipients", 0o644, format!("{}\n", age.recipients.join("\n"))),
        ];
        files.extend(rclone::authority(view)?.map(|ca| Wanted::new("ca.pem", 0o644, ca)));
        files.push(Wanted {
            name: "rclone.conf",
            mode: FileMode::new("postgres", "postgres", 0o600),
            content: Input::from(&rclone),
        });
        Ok(files)
    }

    /// The files that are not as they are wanted, with the reason.
    async fn differing(&self, host: &HostView<'_>, wanted: &[Wanted]) -> Result<Vec<String>> {
        let Some(entries) = host.directory(FOLDER).await? else {
            return Ok(wanted.iter().map(|file| format!("write {FOLDER}/{}", file.name)).collect());
        };
        let mut differing = Vec::new();
        for file in wanted {
            let path = format!("{FOLDER}/{}", file.name);
            match host.file(&path).await? {
                None => differing.push(format!("write {path}")),
                Some(seen) if seen.bytes != file.content.expose() => differing.push(format!("change {path}")),
                Some(seen) => {
                    let is = FileMode::new(seen.facts.owner, seen.facts.group, seen.facts.mode);
                    if is != file.mode {
                        let mode = &file.mode;
                        differing.push(format!(
                            "give {path} to {}:{} with mode {:04o}",
                            mode.owner, mode.group, mode.mode
                        ));
                    }
                }
            }
        }
        let unknown =
            entries.iter().filter(|e| e.name != "folder" && !wanted.iter().any(|file| file.name == e.name));
        differing.extend(unknown.map(|entry| format!("remove {FOLDER}/{}", entry.name)));
        Ok(differing)
    }
}

impl StepKind for NightlyDump {
    const NAME: &'static str = "nightly_dump";
    const SUMMARY: &'static str =
        "put the script on the database's host that dumps, encrypts and uploads every database";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn way_back(&self) -> WayBack {
        WayBack::Undo
    }

    fn objects(&self, view: &View<'_>) -> Vec<String> {
        view.s3_identity().into_iter().collect()
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let host = view.here()?;
        let wanted = self.wanted(view).await?;
        let details = self.differing(&host, &wanted).await?;
        if details.is_empty() {
            return Ok(Observed::Applied(Outputs::new()));
        }
        let folder = host.text(&format!("{FOLDER}/folder")).await?.map(|text| text.trim().to_owned());
        let change =
            Change { summary: format!("put the nightly dump into {FOLDER} on {}", host.name()), details };
        Ok(Observed::NotApplied { change, before: remember(&There { folder })? })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let wanted = self.wanted(hands).await.map_err(Failure::NotStarted)?;
        let there: There = recall(hands.before()).map_err(Failure::NotStarted)?.unwrap_or_default();
        let host = hands.here()?;
        let attempt = hands.attempt();
        let folder = format!("{FOLDER}.{}-{}", attempt.run, attempt.label);
        host.make_dir("/etc/hactl", &FileMode::new("root", "root", 0o755)).await?;
        host.make_dir(&folder, &FileMode::new("root", "postgres", 0o750)).await?;
        for file in wanted {
            host.write_file(&format!("{folder}/{}", file.name), file.content, &file.mode).await?;
        }
        let own = FileMode::new("root", "root", 0o644);
        host.write_file(&format!("{folder}/folder"), format!("{folder}\n"), &own).await?;
        let arguments = [FOLDER, &folder, there.folder.as_deref().unwrap_or("")];
        let _finished = host
            .script(SWAP, &arguments, "", Become::Root, Duration::from_secs(60))
            .await?
            .ok(format!("cannot swap {FOLDER}"))?;
        Ok(Outputs::new())
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let wanted = self.wanted(trial).await?;
        let host = trial.here()?;
        let differing = self.differing(&host, &wanted).await?;
        if let Some(first) = differing.first() {
            return Err(unverified(format!("{FOLDER} is not as it was written: {first}")).host(host.name()));
        }
        let missing = host.missing_programs(&["age", "rclone", "sha256sum"]).await?;
        if !missing.is_empty() {
            return Err(
                unverified(format!("the nightly dump needs {}", missing.join(", "))).host(host.name())
            );
        }
        let bucket = &rclone::s3(trial)?.bucket;
        let (config, ca) = (format!("{FOLDER}/rclone.conf"), format!("{FOLDER}/ca.pem"));
        let ca = wanted.iter().any(|file| file.name == "ca.pem").then_some(ca.as_str());
        let list = TrialCommand::rclone_list(bucket, &config, ca);
        let listed = host.run(&list).await?.ok("rclone does not get along with the bucket");
        let _listed = listed.map_err(Failure::into_error)?;
        let recipients = trial.workspace().age.as_ref().map_or(0, |age| age.recipients.len());
        Ok(Evidence::facts([
            format!(
                "{FOLDER} holds the dump's script and settings; the key that writes is postgres:postgres 0600"
            ),
            format!(
                "rclone lists the bucket {bucket} as postgres; dumps are encrypted to {recipients} age recipients"
            ),
        ]))
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let there: There = recall(hands.before())?.unwrap_or_default();
        let host = hands.here()?;
        let (script, arguments) = match &there.folder {
            Some(former) => (SWAP, vec![FOLDER, former.as_str(), ""]),
            None => (REMOVE, vec![FOLDER]),
        };
        host.script(script, &arguments, "", Become::Root, Duration::from_secs(60))
            .await?
            .ok(format!("cannot take {FOLDER} back"))
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::{NightlyDump, word};

    #[test]
    fn a_setting_stays_one_word() {
        assert_eq!(word("/var/run/it's"), r"'/var/run/it'\''s'");
    }

    #[test]
    fn retention_has_units_and_defaults() {
        let kind: NightlyDump = toml::from_str("").unwrap();
        assert_eq!((kind.keep.get().as_secs(), kind.keep_least), (14 * 86_400, 3));
        assert!(toml::from_str::<NightlyDump>("keep = 14").is_err());
    }
}
