//! References to secrets, and their resolution.
//!
//! Invariant: `hactl.toml`, runbooks, plans and journals hold references only; a value exists in memory alone, as a
//! [`SecretString`], from just before it is used. No error and no `Debug` of this module shows a value.

use std::ffi::OsStr;
use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use secrecy::SecretString;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::diagnostic::{Error, Result, codes};
use crate::redact::Redactor;
use crate::waiting::{Await, awaited};

/// Where a secret comes from. Its JSON and `Debug` forms show the reference, which is no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file that only its owner may read; a relative path begins at the workspace.
    File(PathBuf),
    /// What a program prints, without the newline at its end.
    Command(Vec<String>),
    /// `file#path.to.value`, decrypted by sops.
    Sops(String),
}

/// What is said where a secret stands in clear. The value itself is never part of a message.
pub const IN_CLEAR: &str = "a secret stands here in clear; a reference to it is wanted";

/// How a reference is written.
pub const HOW_TO_REFER: &str = "write { file = \"secrets/…\" }, { env = \"NAME\" }, { command = [\"program\", \"argument\"] } or \
     { sops = \"file#path.to.value\" }, and change the secret: it has been in a file";

/// No secret is longer; what is longer is the wrong file.
const MAX_BYTES: u64 = 64 * 1024;

/// Long enough for a person to unlock a password manager.
const PROGRAM_DEADLINE: Duration = Duration::from_secs(120);

impl SecretRef {
    /// The secret, which `redactor` takes out of what is kept and shown from now on, under the name `name`. Relative paths
    /// begin at `root`, the workspace's folder.
    ///
    /// # Errors
    /// The reference gives no value, or the file could be read by others. The error never shows a value.
    pub async fn resolve(&self, name: &str, root: &Path, redactor: &Redactor) -> Result<SecretString> {
        let secret = self.value(root).await?;
        redactor.learn(name, &secret);
        Ok(secret)
    }

    /// Private, so that there is no way to a value past the redactor.
    async fn value(&self, root: &Path) -> Result<SecretString> {
        match self {
            Self::Env(name) => match std::env::var(name) {
                Ok(value) if !value.is_empty() => Ok(value.into()),
                Ok(_) => Err(self.unresolved("the variable is empty")),
                Err(std::env::VarError::NotPresent) => Err(self.unresolved("the variable is not set")),
                Err(std::env::VarError::NotUnicode(_)) => Err(self.unresolved("the variable is not UTF-8")),
            },
            Self::File(path) => self.read_file(&root.join(path)),
            Self::Command(argv) => {
                let Some((program, arguments)) = argv.split_first() else {
                    return Err(self.unresolved("the command is empty"));
                };
                let printed = self.run(root, program, arguments).await?;
                self.text(printed)
            }
            Self::Sops(place) => {
                let Some((file, path)) = place.split_once('#') else {
                    return Err(self.unresolved("it lacks '#' between the file and the path of the value"));
                };
                let file = root.join(file);
                // Only `sops --version` asks for a newer version, so nothing need be switched off here.
                let arguments = ["decrypt", "--output-type", "json"].map(OsStr::new);
                let arguments = arguments.into_iter().chain([file.as_os_str()]);
                let printed = self.run(root, "sops", arguments).await?;
                let json =
                    serde_json::from_slice(&printed).map_err(|_| self.unresolved("sops printed no JSON"))?;
                self.find(&json, path)
            }
        }
    }

    fn read_file(&self, path: &Path) -> Result<SecretString> {
        let failed = |e: std::io::Error| self.unresolved("the file could not be read").source(e);
        // Looked at before opening as well: opening a named pipe would wait for ever.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(self.unresolved("it is not a regular file"));
        }
        let file = std::fs::File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 {
            let text = format!("{} can be read or changed by others (mode {mode:04o})", path.display());
            return Err(Error::new(codes::SECRET_READABLE, text)
                .state("the secret was not read")
                .next(format!("chmod 600 {}", quoted(path))));
        }
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        self.text(bytes)
    }

    async fn run<I>(&self, root: &Path, program: &str, arguments: I) -> Result<Vec<u8>>
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let child = tokio::process::Command::new(program)
            .args(arguments)
            .current_dir(root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| self.unresolved(format!("{program} could not be started")).source(e))?;
        let printed = Await::new(format!("{program} to print a secret")).within(PROGRAM_DEADLINE);
        let ended = awaited(printed, child.wait_with_output());
        let ended = tokio::time::timeout(PROGRAM_DEADLINE, ended).await;
        let output = match ended {
            Err(_) => return Err(self.unresolved(format!("{program} did not end within 2 minutes"))),
            Ok(output) => output.map_err(|e| self.unresolved(format!("{program} failed")).source(e))?,
        };
        if output.status.success() {
            return Ok(output.stdout);
        }
        // What it printed may have been the secret all the same, and its complaint may quote it.
        let here = Redactor::new();
        here.learn("it printed", &String::from_utf8_lossy(&output.stdout).into_owned().into());
        let said = here.clean(&String::from_utf8_lossy(&output.stderr));
        let said: String = said.trim().chars().take(200).collect();
        Err(self.unresolved(format!("{program} ended with {}: {said}", output.status)))
    }

    fn find(&self, json: &serde_json::Value, path: &str) -> Result<SecretString> {
        let mut at = json;
        for part in path.split('.') {
            let next = match at {
                serde_json::Value::Array(items) => part.parse().ok().and_then(|i: usize| items.get(i)),
                serde_json::Value::Object(map) => map.get(part),
                serde_json::Value::Null
                | serde_json::Value::Bool(_)
                | serde_json::Value::Number(_)
                | serde_json::Value::String(_) => None,
            };
            at = next.ok_or_else(|| self.unresolved(format!("the file has nothing at {part:?}")))?;
        }
        match at {
            serde_json::Value::String(text) if !text.is_empty() => Ok(text.clone().into()),
            serde_json::Value::Number(number) => Ok(number.to_string().into()),
            serde_json::Value::String(_)
            | serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_) => Err(self.unresolved("the value there is no text")),
        }
    }

    fn text(&self, bytes: Vec<u8>) -> Result<SecretString> {
        if bytes.len() as u64 > MAX_BYTES {
            return Err(self.unresolved("it is longer than 64 KiB"));
        }
        // The error of from_utf8 holds the bytes, so it is not passed on.
        let mut text = String::from_utf8(bytes).map_err(|_| self.unresolved("it is not UTF-8"))?;
        while text.ends_with(['\n', '\r']) {
            text.pop();
        }
        if text.is_empty() {
            return Err(self.unresolved("it is empty"));
        }
        Ok(text.into())
    }

    fn unresolved(&self, why: impl fmt::Display) -> Error {
        Error::new(codes::SECRET_UNRESOLVED, format!("the secret {self} cannot be had: {why}"))
            .state("nothing was done with it")
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "${name}"),
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Command(argv) => write!(f, "printed by {}", argv.first().map_or("", String::as_str)),
            Self::Sops(place) => write!(f, "in {place} (sops)"),
        }
    }
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reference)
    }
}

/// By hand, because serde's own messages quote the value that does not fit, and that would be the secret.
struct Reference;

impl<'de> Visitor<'de> for Reference {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reference to a secret")
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<SecretRef, E> {
        Err(E::custom(IN_CLEAR))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<SecretRef, E> {
        Err(E::custom(IN_CLEAR))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<SecretRef, E> {
        Err(E::custom(IN_CLEAR))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretRef, A::Error> {
        let reference = match map.next_key::<String>()?.as_deref() {
            Some("env") => SecretRef::Env(map.next_value()?),
            Some("file") => SecretRef::File(map.next_value()?),
            Some("command") => SecretRef::Command(map.next_value()?),
            Some("sops") => SecretRef::Sops(map.next_value()?),
            Some(_) | None => {
                return Err(de::Error::custom(
                    "a reference to a secret has one key: env, file, command or sops",
                ));
            }
        };
        if map.next_key::<String>()?.is_some() {
            return Err(de::Error::custom("a reference to a secret has exactly one key"));
        }
        match &reference {
            SecretRef::Command(argv) if argv.is_empty() => Err(de::Error::custom("the command is empty")),
            SecretRef::Sops(place) if !place.contains('#') => {
                Err(de::Error::custom("write { sops = \"file#path.to.value\" }"))
            }
            SecretRef::Env(_) | SecretRef::File(_) | SecretRef::Command(_) | SecretRef::Sops(_) => {
                Ok(reference)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use secrecy::ExposeSecret as _;

    use super::{IN_CLEAR, SecretRef};
    use crate::diagnostic::codes;
    use crate::redact::Redactor;

    #[tokio::test]
    async fn a_file_that_others_can_read_is_refused_with_the_chmod_to_type() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it's");
        fs::write(&path, "hunter2\n").unwrap();
        let reference = SecretRef::File("it's".into());
        for mode in [0o644, 0o640, 0o602] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = reference.value(folder.path()).await.unwrap_err();
            assert_eq!(error.code(), codes::SECRET_READABLE);
            assert!(error.next_moves()[0].starts_with("chmod 600 '"), "{:?}", error.next_moves());
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let redactor = Redactor::new();
        let secret = reference.resolve("password", folder.path(), &redactor).await.unwrap();
        assert_eq!(secret.expose_secret(), "hunter2");
        assert_eq!(redactor.redact_text("it is hunter2."), "it is [secret password].");
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_command_gives_what_it_prints_and_a_failing_one_says_so() {
        let root = std::env::temp_dir();
        let command = |argv: &[&str]| SecretRef::Command(argv.iter().map(ToString::to_string).collect());
        let secret = command(&["printf", "%s\n", "-v a"]).value(&root).await.unwrap();
        assert_eq!(secret.expose_secret(), "-v a");
        let error =
            command(&["sh", "-c", "echo value; echo locked >&2; exit 3"]).value(&root).await.unwrap_err();
        assert!(error.one_line().contains("locked") && !error.one_line().contains("value;"), "{error:?}");
        let quoting = command(&["sh", "-c", "echo hunter2-hunter2; echo bad hunter2-hunter2 >&2; exit 3"]);
        let error = quoting.value(&root).await.unwrap_err();
        assert!(error.one_line().contains("bad [secret it printed]"), "{error:?}");
        let missing = command(&["no-such-program-anywhere"]).value(&root).await.unwrap_err();
        assert_eq!(missing.code(), codes::SECRET_UNRESOLVED);
    }

    #[tokio::test]
    async fn a_missing_variable_is_named() {
        let error = SecretRef::Env("HACTL_TEST_NOT_SET".into()).value("/".as_ref()).await.unwrap_err();
        assert!(error.to_string().contains("$HACTL_TEST_NOT_SET"));
    }

    #[test]
    fn a_value_of_sops_is_found_by_its_path() {
        let json = serde_json::json!({ "s3": { "keys": ["a", "b"] }, "port": 5 });
        let sops = SecretRef::Sops("x#y".into());
        assert_eq!(sops.find(&json, "s3.keys.1").unwrap().expose_secret(), "b");
        assert_eq!(sops.find(&json, "port").unwrap().expose_secret(), "5");
        assert!(sops.find(&json, "s3.nothing").is_err());
        assert!(sops.find(&json, "s3").is_err());
    }

    #[test]
    fn a_secret_in_clear_is_not_quoted() {
        let error = serde_json::from_str::<SecretRef>("\"hunter2\"").unwrap_err().to_string();
        assert!(error.contains(IN_CLEAR) && !error.contains("hunter2"));
        let error = serde_json::from_str::<SecretRef>("{\"value\": \"hunter2\"}").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        assert!(serde_json::from_str::<SecretRef>("{\"env\": \"A\", \"file\": \"b\"}").is_err());
        let reference: SecretRef = serde_json::from_str("{\"file\": \"b\"}").unwrap();
        assert_eq!(serde_json::to_string(&reference).unwrap(), "{\"file\":\"b\"}");
    }
}
