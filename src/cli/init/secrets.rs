//! Where secrets are kept, and pgBackRest's pass phrase.

use super::ask::{Ask, wrong};
use super::flags::{SecretFlag, reference};
use super::flow::{Flow, Next};
use crate::diagnostic::{Error, Result, codes};
use crate::init::Part;
use crate::secret::SecretRef;

impl Flow<'_> {
    pub(super) async fn cipher_pass(&mut self) -> Result<()> {
        let mut given = self.init.cipher_pass.clone();
        loop {
            let help = "The pass phrase that encrypts pgBackRest's backups.";
            let flag = self
                .secret(
                    "--cipher-pass REF|make",
                    help,
                    given.take(),
                    "a new one, in secrets/pgbackrest-cipher",
                )
                .await?;
            let reference = match flag {
                SecretFlag::Make => {
                    let name = "secrets/pgbackrest-cipher";
                    if let Some(made) = &mut self.made {
                        if let Err(error) = made.pass_phrase(name) {
                            self.taken(name, error)?;
                            continue;
                        }
                        self.say(
                            "made",
                            name,
                            "a pass phrase; without it no backup can be read: keep a copy elsewhere",
                        )?;
                    }
                    SecretRef::File(name.into())
                }
                SecretFlag::At(reference) => reference,
                SecretFlag::Wrong(why) => return Err(wrong("--cipher-pass", &why)),
            };
            self.draft.cipher_pass = Some(reference.clone());
            if self.made.is_none()
                || self.resolves("pgBackRest's pass phrase", Part::PgBackRest, &reference, None).await?
            {
                return Ok(());
            }
        }
    }

    /// What was to be made is there already, and is not replaced: a person may say something else, and loses no answer.
    pub(super) fn taken(&self, name: &str, error: Error) -> Result<()> {
        if error.code() != codes::INIT_EXISTS || !self.asking.somebody_there() {
            return Err(error);
        }
        self.say(
            "note",
            name,
            &format!("{}; name it as it is, or where another one is kept", error.one_line()),
        )
    }

    /// True where the answer stays; a person may want to give another one.
    pub(super) async fn resolves(
        &mut self,
        what: &str,
        part: Part,
        reference: &SecretRef,
        recipients: Option<Vec<String>>,
    ) -> Result<bool> {
        loop {
            let Some(prober) = &self.prober else {
                self.untried(what, part, "nothing was tried out (--offline)")?;
                return Ok(true);
            };
            let tried = self.wait(what, prober.secret(what, reference, recipients.as_deref())).await;
            match tried {
                Ok(()) => {
                    self.say("ok", what, &format!("is at hand, {reference}"))?;
                    return Ok(true);
                }
                Err(error) => match self.after(what, error, part.clone()).await? {
                    Next::Again => {}
                    Next::Change => return Ok(false),
                    Next::Keep => return Ok(true),
                },
            }
        }
    }

    /// Where a secret is kept.
    pub(super) async fn secret(
        &mut self,
        flag: &str,
        help: &str,
        given: Option<SecretFlag>,
        make: &str,
    ) -> Result<SecretFlag> {
        if let Some(given) = given {
            return match given {
                SecretFlag::Make if make.is_empty() => Err(wrong(flag, "only its provider can make one")),
                SecretFlag::Wrong(why) => Err(wrong(flag, &why)),
                given => Ok(given),
            };
        }
        if !self.asking.somebody_there() {
            self.asking.lacks(flag, help);
            return Ok(SecretFlag::At(SecretRef::Env("MISSING".to_owned())));
        }
        let mut items = vec![
            "in a file (mode 0600)",
            "in an environment variable",
            "a program prints it",
            "in a file of sops",
        ];
        if !make.is_empty() {
            items.insert(0, make);
        }
        let texts: Vec<_> = items.iter().map(|item| (*item).to_owned()).collect();
        let help = format!("{help} Where is it kept? (The secret itself is not asked for.)");
        let chosen = self.asking.choose(&help, "Kept", &texts, 0).await?;
        let chosen = if make.is_empty() { chosen + 1 } else { chosen };
        let (kind, prompt) = match chosen {
            0 => return Ok(SecretFlag::Make),
            1 => ("file", "The file's path, from the workspace's folder"),
            2 => ("env", "The variable's name"),
            3 => ("command", "The program and its arguments"),
            _ => ("sops", "FILE#PATH.TO.VALUE"),
        };
        let check: fn(&str) -> Result<(), String> = match kind {
            "env" => |text| reference("env", text).map(drop),
            "command" => |text| reference("command", text).map(drop),
            "sops" => |text| reference("sops", text).map(drop),
            _ => |text| if text.is_empty() { Err("a path is wanted".to_owned()) } else { Ok(()) },
        };
        let text =
            self.asking.text(Ask { flag, prompt, help: "", given: None, default: None, check }).await?;
        reference(kind, &text).map(SecretFlag::At).map_err(|why| wrong(flag, &why))
    }
}
