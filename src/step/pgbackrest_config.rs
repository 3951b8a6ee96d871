//! `pgbackrest_config`: pgBackRest on the database's host knows the repository, and nobody else may read how.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::common::{changed_lines, instance, recall, remember, unverified};
use super::kind::{Effect, Evidence, Failure, Findings, Scope, StepKind, WayBack};
use super::pgbackrest::{RepoPath, Stanza, info_of};
use crate::access::reads::FileSeen;
use crate::access::{Become, FileMode, Hands, Input, Trial, View};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::{Before, Change, Observed, Outputs};
use crate::workspace::Addressing;

mod conf;
mod others;

use conf::{Conf, WRITTEN_BY};
pub(super) use others::others;

/// Writes `/etc/pgbackrest/pgbackrest.conf` from what the workspace says under `[s3]` and `[pgbackrest]`, with mode
/// 0640 for the group `postgres`, and beside it the certificate authority of the S3 server where it has one of its own.
///
/// The repository is encrypted (aes-256-cbc) with the workspace's pass phrase, which cannot be changed later. A
/// configuration that somebody else wrote is never overwritten, put out of force (`/etc/pgbackrest.conf`) or mixed with
/// ours (`/etc/pgbackrest/conf.d`, `PGBACKREST_…` in PostgreSQL's environment): the step then stops and says what it found.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PgBackRestConfig {
    /// The name of the stanza.
    #[serde(default = "Stanza::main")]
    stanza: Stanza,
    /// The data folder of the cluster, such as `${steps.inspect.data-directory}`.
    data_directory: String,
    /// The folder within the bucket.
    #[serde(default = "RepoPath::usual")]
    repo_path: RepoPath,
    /// So many full backups are kept, with the WAL that they need.
    #[serde(default = "seven")]
    retention_full: u32,
    /// So many processes compress and send.
    #[serde(default = "two")]
    process_max: u32,
}

fn two() -> u32 {
    2
}

fn seven() -> u32 {
    7
}

const FOLDER: &str = "/etc/pgbackrest";
const CONFIG: &str = "/etc/pgbackrest/pgbackrest.conf";
const CA: &str = "/etc/pgbackrest/s3-ca.pem";

/// What was there before anything was written.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct There {
    folder: bool,
    config: bool,
    ca: bool,
}

/// Keeps what a path holds beside it, once: a later attempt must not overwrite the original by our own.
const KEEP: &str = r#"set -eu
for path; do
  if [ -e "$path" ] && [ ! -e "$path.before-hactl" ]; then
    cp -p -- "$path" "$path.before-hactl.new"
    sync -- "$path.before-hactl.new"
    mv -fT -- "$path.before-hactl.new" "$path.before-hactl"
  fi
done"#;

/// Brings back what was kept, or removes. Arguments: what to do with the configuration and with the authority.
const RESTORE: &str = r#"set -eu
folder=$1 config=$2 ca=$3
back() {
  case $1 in
    kept) if [ -e "$2.before-hactl" ]; then mv -fT -- "$2.before-hactl" "$2"; fi ;;
    absent) rm -f -- "$2" "$2.before-hactl" ;;
  esac
}
back "$config" /etc/pgbackrest/pgbackrest.conf
back "$ca" /etc/pgbackrest/s3-ca.pem
case $folder in absent) rmdir --ignore-fail-on-non-empty /etc/pgbackrest 2>/dev/null || : ;; esac"#;

/// The files as they are and as they are wanted.
struct Files {
    folder: bool,
    config: Option<FileSeen>,
    ca: Option<FileSeen>,
    wanted: Conf,
    wanted_ca: Option<Vec<u8>>,
}

impl PgBackRestConfig {
    async fn wanted(&self, view: &View<'_>) -> Result<(Conf, Option<Vec<u8>>)> {
        let workspace = view.workspace();
        let missing = |what: &str| {
            Error::new(codes::S3_SETTINGS, format!("hactl.toml has no {what}")).next("hactl check")
        };
        let s3 = workspace.s3.as_ref().ok_or_else(|| missing("[s3]"))?;
        let pgbackrest = workspace.pgbackrest.as_ref().ok_or_else(|| missing("[pgbackrest]"))?;
        let instance = instance(view)?;
        let (host, port) = conf::endpoint(&s3.endpoint)?;
        let ca = match &s3.ca {
            None => None,
            Some(path) => Some(std::fs::read(workspace.path(path)).map_err(|e| {
                Error::new(codes::IO, format!("cannot read the S3 server's authority {}", path.display()))
                    .source(e)
            })?),
        };
        let mut conf = Conf::new(view.workspace().fleet.as_str());
        conf.section("global");
        conf.set("repo1-type", "s3")?;
        conf.set("repo1-path", self.repo_path.as_str())?;
        conf.set("repo1-s3-endpoint", &host)?;
        conf.set("repo1-storage-port", &port.to_string())?;
        conf.set("repo1-s3-bucket", &s3.bucket)?;
        conf.set("repo1-s3-region", &s3.region)?;
        conf.set(
            "repo1-s3-uri-style",
            match s3.addressing {
                Addressing::Path => "path",
                Addressing::VirtualHost => "host",
            },
        )?;
        if ca.is_some() {
            conf.set("repo1-storage-ca-file", CA)?;
        }
        conf.secret("repo1-s3-key", &view.secret("s3.access_key", &s3.access_key).await?)?;
        conf.secret("repo1-s3-key-secret", &view.secret("s3.secret_key", &s3.secret_key).await?)?;
        conf.set("repo1-cipher-type", "aes-256-cbc")?;
        let pass = view.secret("pgbackrest.cipher_pass", &pgbackrest.cipher_pass).await?;
        conf.secret("repo1-cipher-pass", &pass)?;
        conf.set("repo1-retention-full", &self.retention_full.to_string())?;
        conf.set("process-max", &self.process_max.to_string())?;
        conf.set("compress-type", "zst")?;
        // A checkpoint at once instead of within checkpoint_timeout: the backup begins when it is asked for.
        conf.set("start-fast", "y")?;
        conf.set("log-level-console", "warn")?;
        conf.set("log-level-file", "info")?;
        conf.section(self.stanza.as_str());
        conf.set("pg1-path", &self.data_directory)?;
        conf.set("pg1-port", &instance.port.to_string())?;
        conf.set("pg1-socket-path", &instance.socket_dir.display().to_string())?;
        Ok((conf, ca))
    }

    async fn files(&self, view: &View<'_>) -> Result<Files> {
        let host = view.here()?;
        let (wanted, wanted_ca) = self.wanted(view).await?;
        Ok(Files {
            folder: host.file_facts(FOLDER).await?.is_some(),
            config: host.file(CONFIG).await?,
            ca: host.file(CA).await?,
            wanted,
            wanted_ca,
        })
    }
}

impl Files {
    fn config_is_right(&self) -> bool {
        self.config.as_ref().is_some_and(|seen| {
            seen.bytes == self.wanted.text().expose_secret().as_bytes()
                && (seen.facts.mode, seen.facts.group.as_str()) == (0o640, "postgres")
                && seen.facts.owner == "root"
        })
    }

    fn ca_is_right(&self) -> bool {
        match (&self.ca, &self.wanted_ca) {
            (_, None) => true,
            (Some(seen), Some(wanted)) => seen.bytes == *wanted && seen.facts.mode == 0o644,
            (None, Some(_)) => false,
        }
    }

    /// The configuration's text, where somebody else wrote it.
    fn foreign(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.config.as_ref()?.bytes).into_owned();
        let says_something = text.lines().any(|line| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with('#')
        });
        (says_something && !text.starts_with(WRITTEN_BY)).then_some(text)
    }

    fn details(&self) -> Vec<String> {
        let mut details = Vec::new();
        if !self.ca_is_right() {
            details.push(format!("write the S3 server's certificate authority to {CA} (root:root 0644)"));
        }
        if !self.config_is_right() {
            details.push(format!("write {CONFIG} (root:postgres 0640):"));
            let is = self
                .config
                .as_ref()
                .map(|seen| SecretString::from(String::from_utf8_lossy(&seen.bytes).into_owned()));
            let is = is.map(|text| conf::masked(text.expose_secret())).unwrap_or_default();
            details.extend(changed_lines(&is, &self.wanted.masked()));
            let changes = conf::changed_secrets(self.config.as_ref(), &self.wanted);
            details.extend(changes.into_iter().map(|key| format!("the value of {key} changes")));
        }
        details
    }
}

impl StepKind for PgBackRestConfig {
    const NAME: &'static str = "pgbackrest_config";
    const SUMMARY: &'static str = "tell pgBackRest on the database's host where the repository is";

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

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        let files = self.files(view).await?;
        if files.foreign().is_some() {
            findings.block(format!(
                "{CONFIG} was written by somebody else; move it away if it is no longer wanted"
            ));
        } else if conf::changed_secrets(files.config.as_ref(), &files.wanted)
            .iter()
            .any(|key| key == "repo1-cipher-pass")
        {
            findings.block(
                "the pass phrase of the repository differs from the one in use, and pgBackRest cannot change it: what is \
                 in the bucket could no longer be read"
                    .to_owned(),
            );
        }
        for other in others(&view.here()?, instance(view)?).await? {
            findings.block(other);
        }
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let files = self.files(view).await?;
        if files.config_is_right() && files.ca_is_right() {
            return Ok(Observed::Applied(Outputs::new()));
        }
        let there = There { folder: files.folder, config: files.config.is_some(), ca: files.ca.is_some() };
        let bucket = view.s3_identity().unwrap_or_default();
        let change = Change {
            summary: format!("point pgBackRest on {} to {bucket}", view.here()?.name()),
            details: files.details(),
        };
        Ok(Observed::NotApplied { change, before: remember(&there)? })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let (wanted, ca) = self.wanted(hands).await.map_err(Failure::NotStarted)?;
        let host = hands.here()?;
        host.make_dir(FOLDER, &FileMode::new("root", "root", 0o755)).await?;
        let _kept = host
            .script(KEEP, &[CONFIG, CA], "", Become::Root, std::time::Duration::from_secs(60))
            .await?
            .ok("cannot keep the former files")?;
        if let Some(ca) = ca {
            host.write_file(CA, ca, &FileMode::new("root", "root", 0o644)).await?;
        }
        host.write_file(CONFIG, Input::from(&wanted.text()), &FileMode::new("root", "postgres", 0o640))
            .await?;
        Ok(Outputs::new())
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let files = self.files(trial).await?;
        if !(files.config_is_right() && files.ca_is_right()) {
            return Err(unverified(format!("{CONFIG} is not as it was written")));
        }
        let host = trial.view().here()?;
        if let Some(other) = others(&host, instance(trial)?).await?.into_iter().next() {
            return Err(unverified(other).host(host.name()));
        }
        // It has to log in, trust the certificate and list the bucket to say this, whatever it says.
        let info = info_of(&host, &self.stanza).await?;
        if !matches!(info.status.code, 0..=2) {
            return Err(unverified(format!(
                "pgBackRest does not get along with the bucket: {}",
                info.status.message
            ))
            .host(host.name()));
        }
        Ok(Evidence::facts([
            format!("{CONFIG} is root:postgres 0640"),
            format!(
                "pgBackRest reads {}, encrypted with aes-256-cbc",
                trial.s3_identity().unwrap_or_default()
            ),
        ]))
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let Some(there) = recall::<There>(hands.before())? else { return Ok(()) };
        let word = |was: bool| if was { "kept" } else { "absent" };
        let host = hands.here()?;
        host.script(
            RESTORE,
            &[word(there.folder), word(there.config), word(there.ca)],
            "",
            Become::Root,
            std::time::Duration::from_secs(60),
        )
        .await?
        .ok("cannot bring the former files back")
        .map(drop)
    }
}
