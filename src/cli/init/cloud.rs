//! The project in the cloud: its token, the servers that steps make or use there, and the key that the new ones let in.

use std::path::Path;
use std::process::Stdio;

use super::ask::{Ask, wrong};
use super::flow::{Flow, Next};
use crate::diagnostic::{Error, Result, codes};
use crate::init::probe::SeenServer;
use crate::init::{CloudNeeds, HcloudDraft, HostDraft, Needs, Part};
use crate::name::HostName;
use crate::runbook::{Input, Runbook, ServerStep, Value};
use crate::step::hcloud::ssh_key::PublicKey;
use crate::transport::hcloud::is_private;

/// What is tried out.
const WHAT: &str = "the cloud";

impl Flow<'_> {
    /// The token. Where there is none yet, the file says what is to be added before the phase that needs it.
    pub(super) async fn cloud(&mut self, runbook: &Runbook) -> Result<()> {
        let first = runbook.steps().find(|(_, step)| Needs::of_kind(&step.action.kind).hcloud);
        let Some((phase, _)) = first else { return Ok(()) };
        self.draft.cloud = Some(CloudNeeds { phase: phase.id.to_string(), ..CloudNeeds::default() });
        let mut given = self.init.hcloud_token.clone();
        if given.is_none() && !self.has_token(phase.id.as_str()).await? {
            return Ok(());
        }
        let endpoint = self.init.hcloud_endpoint.clone();
        if endpoint.as_ref().is_some_and(|endpoint| !is_private(endpoint)) {
            return Err(wrong("--hcloud-endpoint", "an https address without a slash at its end is wanted"));
        }
        loop {
            let help = "An API token of the project, which may read and write.";
            let token = self.key("--hcloud-token REF", help, given.take()).await?;
            let ca = self.init.hcloud_ca.clone();
            self.draft.hcloud = Some(HcloudDraft { endpoint: endpoint.clone(), ca, token });
            if self.made.is_none() || self.try_cloud().await? {
                return Ok(());
            }
        }
    }

    async fn has_token(&self, phase: &str) -> Result<bool> {
        let text = format!(
            "Phase {phase} works in a project of the Hetzner Cloud, with a token that is made in its console (Security, \
             API tokens). Without one the file says what is to be added before that phase."
        );
        Ok(self.asking.somebody_there() && self.asking.agree(&text, "Is there a token already?").await?)
    }

    /// True where the answer stays.
    async fn try_cloud(&mut self) -> Result<bool> {
        loop {
            let Some(prober) = &self.prober else {
                self.untried(WHAT, Part::Hcloud, "nothing was tried out (--offline)")?;
                return Ok(true);
            };
            match self.wait(WHAT, prober.project(&self.draft)).await {
                Ok(servers) => {
                    let mut names: Vec<_> = servers.iter().map(shown).collect();
                    names.sort();
                    let there = if names.is_empty() {
                        "a project without servers".to_owned()
                    } else {
                        format!("the project of {}", names.join(", "))
                    };
                    self.say(
                        "ok",
                        WHAT,
                        &format!("the token opens {there}; whether it may write shows when it does"),
                    )?;
                    self.seen = servers;
                    return Ok(true);
                }
                Err(error) => match self.after(WHAT, error, Part::Hcloud).await? {
                    Next::Again => {}
                    Next::Change => return Ok(false),
                    Next::Keep => return Ok(true),
                },
            }
        }
    }

    /// The hosts of the servers that steps make or use: known only now, for those that are there are hosts already.
    pub(super) async fn servers(&mut self, runbook: &Runbook) -> Result<()> {
        let Some(mut needs) = self.draft.cloud.take() else { return Ok(()) };
        for server in runbook.servers() {
            let Some(name) = runbook.with_inputs(&server.named, |input| self.given(input)) else { continue };
            if server.adopted && self.draft.hcloud.is_some() {
                self.adopted(runbook, &server, name).await?;
            } else if server.adopted {
                let has = |role: &String| self.draft.hosts.iter().any(|host| host.roles.contains(role));
                let lacking = roles(&server).into_iter().filter(|role| !has(role)).collect();
                needs.adopted.push((name, lacking));
            } else if let Some(host) = self.made(&server, &name) {
                needs.hosts.push(host);
            }
        }
        if self.draft.hcloud.is_some() {
            self.draft.hosts.append(&mut needs.hosts);
            for (_, input) in runbook.key_inputs() {
                self.operator_key(input).await?;
            }
        } else {
            let phase = &needs.phase;
            needs.keys = runbook.key_inputs().map(|(_, input)| input.name.clone()).collect();
            let text = format!(
                "phase {phase} needs a token, hosts and a key; hactl.toml says which, to be added before it"
            );
            if self.made.is_some() {
                self.say("note", WHAT, &text)?;
            }
        }
        self.draft.cloud = Some(needs);
        Ok(())
    }

    /// The host of a server that a step makes; none where there is one already.
    fn made(&mut self, server: &ServerStep, name: &str) -> Option<HostDraft> {
        let there = self.draft.hosts.iter_mut().find(|host| host.name == name);
        if let Some(host) = there {
            have(host, &roles(server));
            return None;
        }
        HostName::new(name).ok()?;
        Some(HostDraft {
            name: name.to_owned(),
            server: Some(name.to_owned()),
            user: server.user().map(str::to_owned).filter(|user| *user != self.draft.user),
            roles: roles(server),
            ..HostDraft::default()
        })
    }

    /// Which host the server is that a step uses as it is: the one that has its address.
    async fn adopted(&mut self, runbook: &Runbook, server: &ServerStep, name: String) -> Result<()> {
        let Some(name) = self.seen_in_project(runbook, server, name).await? else { return Ok(()) };
        let wanted = roles(server);
        let address = self.seen.iter().find(|seen| seen.name == name).and_then(|seen| seen.ipv4.clone());
        let by_address = |host: &HostDraft| Some(&host.address) == address.as_ref() || host.name == name;
        let by_role =
            |host: &HostDraft| !wanted.is_empty() && wanted.iter().all(|role| host.roles.contains(role));
        let hosts = &self.draft.hosts;
        let at = hosts.iter().position(by_address).or_else(|| hosts.iter().position(by_role));
        let at = match at {
            None if self.asking.somebody_there() && !hosts.is_empty() => {
                let items = hosts.iter().map(|host| format!("{}, at {}", host.name, host.address));
                let items: Vec<_> = items.chain(["none of them".to_owned()]).collect();
                let help = format!("Which host is the server {name}? No host has its public address.");
                let chosen = self.asking.choose(&help, "Host", &items, 0).await?;
                Some(chosen).filter(|chosen| *chosen < hosts.len())
            }
            at => at,
        };
        match at.and_then(|at| self.draft.hosts.get_mut(at)) {
            Some(host) => {
                have(host, &wanted);
                let text = format!("the server {name} is the host {}", host.name);
                if self.made.is_some() {
                    self.say("ok", WHAT, &text)?;
                }
                Ok(())
            }
            None => {
                let why = format!("which host is the server {name}? Give it the roles {}", wanted.join(", "));
                self.untried(WHAT, Part::Hcloud, &why)
            }
        }
    }

    /// The server's name, once the project is seen to have it or somebody keeps it all the same.
    async fn seen_in_project(
        &mut self,
        runbook: &Runbook,
        server: &ServerStep,
        name: String,
    ) -> Result<Option<String>> {
        if self.seen.is_empty() || self.seen.iter().any(|seen| seen.name == name) {
            return Ok(Some(name));
        }
        let there: Vec<_> = self.seen.iter().map(|seen| seen.name.clone()).collect();
        let text = format!("the project has no server {name}, which phase {} uses as it is", server.phase);
        let error = || Error::new(codes::HCLOUD_NOT_FOUND, format!("{text}; it has {}", there.join(", ")));
        let Some(input) = runbook.input_of(&server.named) else {
            return self.after(WHAT, error(), Part::Hcloud).await.map(|_| Some(name));
        };
        loop {
            let error = error().next(format!("--input {}=NAME", input.name));
            match self.after(WHAT, error, Part::Hcloud).await? {
                Next::Again => {
                    if !self.try_cloud().await? || self.seen.iter().any(|seen| seen.name == name) {
                        return Ok(Some(name));
                    }
                }
                Next::Keep => return Ok(Some(name)),
                Next::Change => {
                    let items: Vec<_> = self.seen.iter().map(shown).collect();
                    let chosen = self.asking.choose(&input.help, "Server", &items, 0).await?;
                    let Some(chosen) = there.get(chosen) else { continue };
                    self.answered.insert(input.name.clone(), Value::Text(chosen.clone()));
                    return Ok(Some(chosen.clone()));
                }
            }
        }
    }

    /// What was said of an input so far.
    fn given(&self, input: &Input) -> Option<Value> {
        let flag = self.init.input.iter().find(|named| named.name == input.name);
        flag.map(|named| Value::Text(named.value.clone())).or_else(|| self.answered.get(&input.name).cloned())
    }

    /// The public key that new servers let in: that of the key which logs in, unless another one is named.
    async fn operator_key(&mut self, input: &Input) -> Result<()> {
        let empty = input.default.as_ref().is_none_or(|value| *value == Value::Text(String::new()));
        if !empty || self.given(input).is_some() || self.draft.hcloud.is_none() {
            return Ok(());
        }
        let own = match &self.draft.identity {
            Some(identity) => public_key(&self.folder.join(identity)).await,
            None => None,
        };
        if self.made.is_none()
            && own.is_none()
            && self.draft.identity.is_some()
            && self.init.identity.as_deref() == Some("make")
        {
            // It is made when the answers are complete.
            return Ok(());
        }
        let flag = format!("--input {}=VALUE", input.name);
        let somebody = self.asking.somebody_there();
        let ask = Ask {
            flag: &flag,
            prompt: "The public key that new servers let in",
            help: &input.help,
            given: own.clone().filter(|_| !somebody),
            default: own,
            check: |text| match PublicKey::try_from(text.to_owned()) {
                Ok(_) if !text.is_empty() => Ok(()),
                Ok(_) => Err("a public key is wanted".to_owned()),
                Err(why) => Err(why),
            },
        };
        let key = self.asking.text(ask).await?;
        self.answered.insert(input.name.clone(), Value::Text(key));
        Ok(())
    }
}

fn shown(server: &SeenServer) -> String {
    match &server.ipv4 {
        Some(ipv4) => format!("{} ({ipv4})", server.name),
        None => server.name.clone(),
    }
}

fn roles(server: &ServerStep) -> Vec<String> {
    server.roles.iter().map(ToString::to_string).collect()
}

fn have(host: &mut HostDraft, roles: &[String]) {
    for role in roles {
        if !host.roles.contains(role) {
            host.roles.push(role.clone());
        }
    }
}

/// The public half of a private key that is in a file and has no pass phrase, or whose public half is beside it.
async fn public_key(identity: &Path) -> Option<String> {
    let beside = identity.with_added_extension("pub");
    if let Ok(text) = std::fs::read_to_string(beside) {
        return Some(text.trim().to_owned());
    }
    let mut keygen = tokio::process::Command::new("ssh-keygen");
    keygen.args(["-y", "-P", "", "-f"]).arg(identity).stdin(Stdio::null()).kill_on_drop(true);
    let ran = keygen.output().await.ok().filter(|ran| ran.status.success())?;
    Some(String::from_utf8(ran.stdout).ok()?.trim().to_owned())
}
