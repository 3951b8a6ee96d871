//! The order of the questions, what is tried out when, and what follows where that fails.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Init;
use super::ask::{Ask, Asking, wrong};
use super::hosts::Clusters;
use crate::clock::SystemClock;
use crate::diagnostic::{Error, Result, codes};
use crate::init::probe::{Prober, SeenServer};
use crate::init::{Draft, Made, Needs, Part, write};
use crate::name::{FleetName, HostName, RunbookName};
use crate::render::bars::Waiting;
use crate::render::{Format, Out};
use crate::runbook::{Origin, Runbook, Value, bundled, parse};
use crate::step::Table;
use crate::transport::ssh::host_key::HostKey;
use crate::workspace::UserName;

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Again,
    Change,
    Keep,
}

/// The answers so far, and what they were tried out with.
pub(super) struct Flow<'a> {
    pub(super) init: &'a Init,
    pub(super) asking: &'a Asking,
    pub(super) out: &'a Out,
    pub(super) folder: PathBuf,
    pub(super) draft: Draft,
    pub(super) needs: Needs,
    /// None where nothing is tried out.
    pub(super) prober: Option<Prober>,
    /// None where only what is missing is looked for.
    pub(super) made: Option<Made>,
    pub(super) keys: Vec<(HostName, HostKey)>,
    /// What of PostgreSQL was found on the hosts.
    pub(super) clusters: Clusters,
    /// What the cloud's project is seen to hold.
    pub(super) seen: Vec<SeenServer>,
    /// Inputs that were answered before all others.
    pub(super) answered: BTreeMap<String, Value>,
    pub(super) next: Vec<String>,
}

#[derive(Serialize)]
struct Probed<'a> {
    event: &'static str,
    what: &'a str,
    verdict: &'a str,
    text: &'a str,
}

#[derive(Serialize)]
struct Written<'a> {
    event: &'static str,
    file: &'a Path,
    next: &'a [String],
}

impl<'a> Flow<'a> {
    pub(super) fn new(init: &'a Init, asking: &'a Asking, folder: &Path, out: &'a Out) -> Result<Self> {
        let prober = if init.offline { None } else { Some(Prober::new(folder)?) };
        Ok(Self { prober, made: Some(Made::in_folder(folder)), ..Self::dry(init, asking, folder, out)? })
    }

    /// Tries nothing out and makes nothing: it only finds what is missing.
    pub(super) fn dry(init: &'a Init, asking: &'a Asking, folder: &Path, out: &'a Out) -> Result<Self> {
        Ok(Self {
            init,
            asking,
            out,
            folder: folder.to_owned(),
            draft: Draft { lab: init.lab_name(), ..Draft::default() },
            needs: Needs::default(),
            prober: None,
            made: None,
            keys: Vec::new(),
            clusters: Clusters::new(),
            seen: Vec::new(),
            answered: BTreeMap::new(),
            next: Vec::new(),
        })
    }

    pub(super) async fn answers(&mut self) -> Result<()> {
        let runbook = self.runbook().await?;
        self.needs = Needs::of(&runbook);
        self.draft.title.clone_from(&runbook.title);
        self.fleet().await?;
        self.login().await?;
        self.cloud(&runbook).await?;
        self.hosts(&runbook).await?;
        self.servers(&runbook).await?;
        if self.needs.postgres {
            self.postgres(&runbook).await?;
        }
        if self.needs.s3 {
            self.s3().await?;
            self.mirror().await?;
        }
        if self.needs.pgbackrest {
            self.cipher_pass().await?;
        }
        if self.needs.age {
            self.age().await?;
        }
        if self.needs.signers {
            self.signers().await?;
        }
        self.inputs(&runbook).await
    }

    async fn runbook(&mut self) -> Result<Runbook> {
        let all = bundled::list();
        let given = match &self.init.runbook {
            Some(given) => given.clone(),
            None if self.asking.somebody_there() => {
                let mut items: Vec<_> =
                    all.iter().map(|one| format!("{}: {}", one.name, one.title)).collect();
                items.push("one of my own, in a file".to_owned());
                let chosen =
                    self.asking.choose("Which runbook is to be carried out?", "Runbook", &items, 0).await?;
                match all.get(chosen) {
                    Some(one) => one.name.clone(),
                    None => {
                        self.ask("--runbook PATH", "Its path, from the workspace's folder", None, None)
                            .await?
                    }
                }
            }
            None => {
                self.ask(
                    "--runbook NAME",
                    "one of hactl runbook list, or a path",
                    None,
                    all.first().filter(|_| all.len() == 1).map(|one| one.name.clone()),
                )
                .await?
            }
        };
        let runbook = if given.ends_with(".toml") {
            let path = self.folder.join(&given);
            let bytes = std::fs::read(&path)
                .map_err(|e| wrong("--runbook", &format!("{} cannot be read: {e}", path.display())))?;
            parse::<Table>(&given, &bytes, Origin::File(path))?
        } else {
            RunbookName::new(&given).map_err(|e| wrong("--runbook", &e.to_string()))?;
            parse::<Table>(&given, bundled::show(&given)?.as_bytes(), Origin::Bundled)?
        };
        self.draft.runbook =
            if given.ends_with(".toml") && !given.contains('/') { format!("./{given}") } else { given };
        Ok(runbook)
    }

    async fn fleet(&mut self) -> Result<()> {
        let folder =
            self.folder.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        let default = FleetName::new(&folder).ok().map(|name| name.to_string());
        self.draft.fleet = self
            .asking
            .text(Ask {
                flag: "--fleet NAME",
                prompt: "The fleet's name",
                help: "Every host that is changed remembers the name of this fleet, and refuses another one's changes.",
                given: self.init.fleet.clone(),
                // A folder's name is a proposal for a person, not an answer.
                default: default.filter(|_| self.asking.somebody_there()),
                check: |text| FleetName::new(text).map(drop).map_err(|e| e.to_string()),
            })
            .await?;
        Ok(())
    }

    async fn login(&mut self) -> Result<()> {
        self.draft.user = self
            .asking
            .text(Ask {
                flag: "--user NAME",
                prompt: "Who logs in to the hosts",
                help: "hactl logs in over SSH. Any other user than root needs sudo without a password.",
                given: self.init.user.clone(),
                default: Some("root".to_owned()).filter(|_| self.asking.somebody_there()),
                check: |text| text.parse::<UserName>().map(drop).map_err(|e| e.to_string()),
            })
            .await?;
        let mut given = self.init.identity.clone();
        while !self.takes_key(given.take()).await? {}
        Ok(())
    }

    /// False where it has to be answered again.
    async fn takes_key(&mut self, given: Option<String>) -> Result<bool> {
        let given = match given {
            Some(given) => Some(given),
            None if self.asking.somebody_there() => {
                let items =
                    ["a key that is there, in a file", "a new key for this workspace", "ssh's own default"];
                let help = "Which SSH key logs in? Your agent and your own configuration are not used.";
                match self.asking.choose(help, "Key", &items.map(ToOwned::to_owned), 0).await? {
                    0 => Some(
                        self.ask("--identity PATH", "Its path, from the workspace's folder", None, None)
                            .await?,
                    ),
                    1 => Some("make".to_owned()),
                    _ => None,
                }
            }
            None => None,
        };
        self.draft.identity = match given.as_deref() {
            Some("make") => {
                let name = "secrets/id_ed25519";
                if let Some(made) = &mut self.made {
                    let public = match made.ssh_key(name) {
                        Ok(public) => public,
                        Err(error) => return self.taken(name, error).map(|()| false),
                    };
                    let text = format!(
                        "The new key must be let in: add this line to ~{}/.ssh/authorized_keys on every host.\n{public}",
                        self.draft.user
                    );
                    self.say("made", name, &text)?;
                    if self.asking.somebody_there()
                        && !self.asking.agree("", "Is it there? (it is tried out next)").await?
                    {
                        self.say("note", name, "it is tried out all the same")?;
                    }
                }
                Some(name.to_owned())
            }
            Some(path) => Some(path.to_owned()),
            None => None,
        };
        Ok(true)
    }

    /// One plain question that any text but none answers.
    pub(super) async fn ask(
        &self,
        flag: &str,
        prompt: &str,
        given: Option<String>,
        default: Option<String>,
    ) -> Result<String> {
        let check = |text: &str| if text.is_empty() { Err("an answer is wanted".to_owned()) } else { Ok(()) };
        self.asking.text(Ask { flag, prompt, help: "", given, default, check }).await
    }

    /// What follows a failure: a person says; else it is kept with a note where `--keep` was given, or it ends here.
    pub(super) async fn after(&mut self, what: &str, error: Error, part: Part) -> Result<Next> {
        let text = error.one_line();
        if self.asking.somebody_there() {
            self.say("FAIL", what, &text)?;
            let items = ["try again", "give another answer", "keep it anyway"].map(ToOwned::to_owned);
            let next = match self.asking.choose("", "What now?", &items, 0).await? {
                0 => Next::Again,
                1 => Next::Change,
                _ => Next::Keep,
            };
            if next == Next::Keep {
                self.draft.note(part, format!("{what}: {text}"));
            }
            return Ok(next);
        }
        if self.init.keep {
            self.say("KEPT", what, &text)?;
            self.draft.note(part, format!("{what}: {text}"));
            return Ok(Next::Keep);
        }
        let failed = Error::new(codes::INIT_PROBE, format!("{what} failed when it was tried out"))
            .state("nothing was written");
        let failed = error.next_moves().iter().fold(failed, |failed, next| failed.next(next.clone()));
        Err(failed.source(error).next("or add --keep: it is written down all the same, with a note"))
    }

    pub(super) fn untried(&mut self, what: &str, part: Part, why: &str) -> Result<()> {
        if self.made.is_some() {
            self.say("not tried", what, why)?;
        }
        self.draft.note(part, format!("{what}: {why}"));
        Ok(())
    }

    /// Waits for a probe, and says so where a person watches.
    pub(super) async fn wait<T>(&self, what: &str, probe: impl Future<Output = T>) -> T {
        Waiting::during(self.out, &format!("trying out: {what}"), &SystemClock, probe).await
    }

    pub(super) fn say(&self, verdict: &str, what: &str, text: &str) -> Result<()> {
        match self.out.format() {
            Format::Json => self.out.object(&Probed { event: "init_probed", what, verdict, text }),
            Format::Human => self.out.wrapped(&format!("{verdict:<5} {what}: {text}"), 6),
        }
    }

    pub(super) fn write(self) -> Result<()> {
        let Self { out, folder, draft, keys, made, next, .. } = self;
        let Some(made) = made else { return Err(Error::new(codes::INTERNAL, "a dry run writes nothing")) };
        let file = write(&folder, &draft, &keys, made)?;
        let rest = ["hactl check", "hactl doctor", "hactl plan --dry-run"].map(ToOwned::to_owned);
        let next: Vec<_> = next.into_iter().chain(rest).collect();
        match out.format() {
            Format::Json => out.object(&Written { event: "init_written", file: &file, next: &next }),
            Format::Human => {
                let untried = draft.notes.values().map(Vec::len).sum::<usize>();
                let noted = if untried == 0 {
                    String::new()
                } else {
                    format!("; NOT PROBED stands at what was not tried out ({untried})")
                };
                out.wrapped(&format!("wrote {}{noted}", file.display()), 2)?;
                next.iter().try_for_each(|next| out.say(out.next_move("next: ", next)))
            }
        }
    }
}
