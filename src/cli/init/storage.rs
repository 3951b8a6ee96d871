//! The object storage, and who reads what is encrypted.

use super::ask::{Ask, wrong};
use super::flags::SecretFlag;
use super::flow::{Flow, Next};
use crate::diagnostic::Result;
use crate::init::{AgeDraft, Part, S3Draft};
use crate::secret::SecretRef;

impl Flow<'_> {
    pub(super) async fn s3(&mut self) -> Result<()> {
        // What the flags say is taken once; who changes their mind is asked.
        let mut flags = true;
        loop {
            self.ask_s3(flags).await?;
            if self.try_s3().await? {
                return Ok(());
            }
            flags = false;
        }
    }

    async fn ask_s3(&mut self, flags: bool) -> Result<()> {
        let init = self.init;
        let before = self.draft.s3.clone();
        let given = |flag: &Option<String>| flag.clone().filter(|_| flags);
        let was = |read: fn(&S3Draft) -> String| before.as_ref().map(read);
        let endpoint = self
            .asking
            .text(Ask {
                flag: "--s3-endpoint URL",
                prompt: "Where the object storage answers",
                help: "Backups go to a bucket of an S3 server.",
                given: given(&init.s3_endpoint),
                default: was(|s3| s3.endpoint.clone()),
                check: |text| {
                    let fits = text
                        .strip_prefix("https://")
                        .is_some_and(|host| !host.is_empty() && !host.contains(char::is_whitespace));
                    if fits {
                        Ok(())
                    } else {
                        Err("write it like https://objects.example; pgBackRest speaks only HTTPS to S3"
                            .to_owned())
                    }
                },
            })
            .await?;
        let region = self
            .ask("--s3-region NAME", "Its region", given(&init.s3_region), was(|s3| s3.region.clone()))
            .await?;
        let ca = match given(&init.s3_ca) {
            None if self.asking.somebody_there() => {
                let help = "Where the server's certificate is by an authority of its own, name the file of that one.";
                let ask = Ask {
                    flag: "--s3-ca PATH",
                    prompt: "Its certificate authority (Enter: those of this machine)",
                    help,
                    given: None,
                    default: was(|s3| s3.ca.clone().unwrap_or_default()).filter(|ca| !ca.is_empty()),
                    check: |_| Ok(()),
                };
                Some(self.asking.text(ask).await?).filter(|ca| !ca.is_empty())
            }
            given => given,
        };
        let proposed = was(|s3| s3.bucket.clone()).or_else(|| {
            Some(format!("{}-backups", self.draft.fleet)).filter(|_| self.asking.somebody_there())
        });
        let bucket =
            self.ask("--s3-bucket NAME", "The bucket for backups", given(&init.s3_bucket), proposed).await?;
        let access = init.s3_access_key.clone().filter(|_| flags);
        let access = self.key("--s3-access-key REF", "The access key that writes backups.", access).await?;
        let secret = init.s3_secret_key.clone().filter(|_| flags);
        let secret = self.key("--s3-secret-key REF", "Its secret key.", secret).await?;
        let restorer = if self.needs.restore_key {
            let access = init.s3_restore_access_key.clone().filter(|_| flags);
            let help = "The access key that restores; it must be able to read and nothing else.";
            let access = self.key("--s3-restore-access-key REF", help, access).await?;
            let secret = init.s3_restore_secret_key.clone().filter(|_| flags);
            Some((access, self.key("--s3-restore-secret-key REF", "Its secret key.", secret).await?))
        } else {
            None
        };
        self.draft.s3 = Some(S3Draft {
            endpoint,
            region,
            bucket,
            path_style: !init.s3_virtual_host,
            ca,
            writer: (access, secret),
            restorer,
        });
        Ok(())
    }

    pub(super) async fn key(
        &mut self,
        flag: &str,
        help: &str,
        given: Option<SecretFlag>,
    ) -> Result<SecretRef> {
        match self.secret(flag, help, given, "").await? {
            SecretFlag::At(reference) => Ok(reference),
            SecretFlag::Make => Err(wrong(flag, "only its provider can make one")),
            SecretFlag::Wrong(why) => Err(wrong(flag, &why)),
        }
    }

    /// True where the answers stay.
    async fn try_s3(&mut self) -> Result<bool> {
        if self.made.is_none() {
            return Ok(true);
        }
        let what = "the object storage";
        loop {
            let Some(prober) = &self.prober else {
                self.untried(what, Part::S3, "nothing was tried out (--offline)")?;
                return Ok(true);
            };
            let mut tried = self.wait(what, prober.bucket(&self.draft, self.needs)).await;
            if tried.is_err() && !self.init.s3_virtual_host {
                // Some servers know buckets by host names only.
                let mut other = self.draft.clone();
                if let Some(s3) = &mut other.s3 {
                    s3.path_style = false;
                }
                if let Ok(answer) = self.wait(what, prober.bucket(&other, self.needs)).await {
                    self.draft = other;
                    tried = Ok(answer);
                }
            }
            match tried {
                Ok((seen, untried)) => {
                    let way = if self.draft.s3.as_ref().is_some_and(|s3| s3.path_style) {
                        "path"
                    } else {
                        "host name"
                    };
                    self.say(
                        "ok",
                        what,
                        &format!("{}; the bucket is addressed by its {way}", seen.join("; ")),
                    )?;
                    untried.into_iter().try_for_each(|why| self.untried(what, Part::S3, &why))?;
                    return Ok(true);
                }
                Err(error) => match self.after(what, error, Part::S3).await? {
                    Next::Again => {}
                    Next::Change => return Ok(false),
                    Next::Keep => return Ok(true),
                },
            }
        }
    }

    pub(super) async fn age(&mut self) -> Result<()> {
        let mut given = self.init.age_identity.clone();
        let mut recipients = self.init.age_recipient.clone();
        loop {
            let help =
                "Dumps are encrypted with age; its identity decrypts them, and is needed to prove a restore.";
            let flag = self
                .secret("--age-identity REF|make", help, given.take(), "a new one, in secrets/age-identity")
                .await?;
            let identity = match flag {
                SecretFlag::Make => {
                    let name = "secrets/age-identity";
                    if let Some(made) = &mut self.made {
                        match made.age_identity(name) {
                            Ok(recipient) => recipients.push(recipient),
                            Err(error) => {
                                self.taken(name, error)?;
                                continue;
                            }
                        }
                        self.say(
                            "made",
                            name,
                            "an identity of age; without it no dump can be read: keep a copy elsewhere",
                        )?;
                    }
                    SecretRef::File(name.into())
                }
                SecretFlag::At(reference) => {
                    if recipients.is_empty() {
                        let text =
                            self.ask("--age-recipient age1…", "Its public key (age1…)", None, None).await?;
                        recipients.push(text);
                    }
                    reference
                }
                SecretFlag::Wrong(why) => return Err(wrong("--age-identity", &why)),
            };
            self.draft.age =
                Some(AgeDraft { recipients: recipients.clone(), identity: Some(identity.clone()) });
            if self.made.is_none()
                || self.resolves("the age identity", Part::Age, &identity, Some(recipients.clone())).await?
            {
                return Ok(());
            }
            recipients.clear();
        }
    }
}
