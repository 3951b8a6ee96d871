//! The servers: who they are, their keys, their login, and the PostgreSQL on them.

use super::ask::{Ask, wrong};
use super::flags::address;
use super::flow::{Flow, Next};
use crate::access::reads::PgCluster;
use crate::diagnostic::{Error, Result, codes};
use crate::init::{HostDraft, Part, PostgresDraft};
use crate::name::HostName;
use crate::runbook::Runbook;
use crate::transport::ssh::host_key::HostKey;
use crate::workspace::PostgresConfig;

/// What was found on hosts, by their names.
pub(super) type Clusters = Vec<(String, Vec<PgCluster>)>;

impl Flow<'_> {
    pub(super) async fn hosts(&mut self, runbook: &Runbook) -> Result<()> {
        self.hosts_by_flags(runbook)?;
        // Which hosts have the others, the cloud's servers say; what every workspace must have is asked for all the same.
        for role in runbook.roles.iter().filter(|role| role.servers.is_empty() || role.min > 0) {
            let mut count = self
                .draft
                .hosts
                .iter()
                .filter(|host| host.roles.iter().any(|r| r == role.name.as_str()))
                .count();
            if !self.asking.somebody_there() {
                if count < role.min {
                    self.asking.lacks(&format!("--role {}=HOST", role.name), &role.help);
                }
                continue;
            }
            let mut help = format!("The role {}: {}.", role.name, role.help.trim_end_matches('.'));
            while count < role.min
                || (count < role.max.unwrap_or(usize::MAX)
                    && self.one_more(role.name.as_str(), count).await?)
            {
                self.host_of_role(role.name.as_str(), &std::mem::take(&mut help)).await?;
                count += 1;
            }
        }
        if self.draft.hosts.is_empty() {
            self.asking.lacks("--host NAME=ADDRESS", "a fleet has at least one server");
        }
        self.try_hosts().await
    }

    async fn one_more(&self, role: &str, count: usize) -> Result<bool> {
        // With --role it was said which ones.
        if self.init.role.iter().any(|named| named.name == role) {
            return Ok(false);
        }
        self.asking
            .agree(
                "",
                &format!("{} host with the role {role}?", if count == 0 { "Is there a" } else { "Another" }),
            )
            .await
    }

    fn hosts_by_flags(&mut self, runbook: &Runbook) -> Result<()> {
        self.draft.hosts = self.init.host.iter().map(|host| host.0.clone()).collect();
        for jump in &self.init.jump {
            let through = HostName::new(&jump.value).map_err(|e| wrong("--jump", &e.to_string()))?;
            self.host_named("--jump", &jump.name)?.jump = Some(through);
        }
        for named in &self.init.role {
            if !runbook.roles.iter().any(|role| role.name.as_str() == named.name) {
                let roles: Vec<_> = runbook.roles.iter().map(|role| role.name.as_str()).collect();
                return Err(wrong(
                    "--role",
                    &format!("the runbook has no role {:?}, but: {}", named.name, roles.join(", ")),
                ));
            }
            for host in named.value.split(',') {
                let role = named.name.clone();
                self.host_named("--role", host)?.roles.push(role);
            }
        }
        for named in &self.init.fingerprint {
            self.host_named("--fingerprint", &named.name)?;
        }
        Ok(())
    }

    fn host_named(&mut self, flag: &str, name: &str) -> Result<&mut HostDraft> {
        let why = format!("there is no --host {name}=ADDRESS");
        self.draft.hosts.iter_mut().find(|host| host.name == name).ok_or_else(|| wrong(flag, &why))
    }

    async fn host_of_role(&mut self, role: &str, help: &str) -> Result<()> {
        let number = self.draft.hosts.len() + 1;
        let proposed = if role == "prover" { "prover".to_owned() } else { format!("node-{number}") };
        let name = self
            .asking
            .text(Ask {
                flag: "--host",
                prompt: &format!("Name of a host with the role {role}"),
                help,
                given: None,
                default: Some(proposed),
                check: |text| HostName::new(text).map(drop).map_err(|e| e.to_string()),
            })
            .await?;
        if let Some(host) = self.draft.hosts.iter_mut().find(|host| host.name == name) {
            host.roles.push(role.to_owned());
            return Ok(());
        }
        let (address, port) = self.address_of(&name, None).await?;
        self.draft.hosts.push(HostDraft {
            name,
            address,
            port,
            roles: vec![role.to_owned()],
            ..HostDraft::default()
        });
        Ok(())
    }

    async fn address_of(&self, name: &str, default: Option<String>) -> Result<(String, Option<u16>)> {
        let ask = Ask {
            flag: "--host",
            prompt: &format!("Address of {name}, ADDRESS or ADDRESS:PORT"),
            help: "",
            given: None,
            default,
            check: |text| address(text).map(drop),
        };
        let text = self.asking.text(ask).await?;
        address(&text).map_err(|why| wrong("--host", &why))
    }

    /// Every host: its key, then its login and what is on it. A jump host comes before the ones behind it.
    async fn try_hosts(&mut self) -> Result<()> {
        if self.made.is_none() {
            return Ok(());
        }
        let mut names: Vec<_> =
            self.draft.hosts.iter().map(|host| (host.jump.is_some(), host.name.clone())).collect();
        names.sort_by_key(|(behind, _)| *behind);
        let mut unknown = Vec::new();
        for (_, name) in names {
            let name = HostName::new(&name).map_err(|e| wrong("--host", &e.to_string()))?;
            self.try_host(&name, &mut unknown).await?;
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let error = Error::new(
            codes::APPROVAL_NEEDED,
            "a host's key is pinned only when somebody has compared it, and there is no terminal to ask at",
        );
        let error = error
            .state("nothing was written")
            .next("at each host's own console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub");
        Err(unknown.iter().fold(error, |error, (name, key)| {
            error.next(format!("then add: --fingerprint {name}={}", key.fingerprint()))
        }))
    }

    async fn try_host(&mut self, name: &HostName, unknown: &mut Vec<(HostName, HostKey)>) -> Result<()> {
        let part = Part::Host(name.to_string());
        loop {
            if self.prober.is_none() {
                self.untrusted(name);
                return self.untried(name.as_str(), part, "nothing was tried out (--offline)");
            }
            match self.reach(name, unknown).await {
                Ok(Reached::Tried(text)) => return self.say("ok", name.as_str(), &text),
                Ok(Reached::NotTrusted(why)) => {
                    self.untrusted(name);
                    return self.untried(name.as_str(), part, &why);
                }
                Err(error) if error.code() == codes::INTERRUPTED => return Err(error),
                Err(error) => match self.after(name.as_str(), error, part.clone()).await? {
                    Next::Again => {}
                    Next::Keep => {
                        if !self.keys.iter().any(|(host, _)| host == name) {
                            self.untrusted(name);
                        }
                        return Ok(());
                    }
                    Next::Change => self.readdress(name).await?,
                },
            }
        }
    }

    fn untrusted(&mut self, name: &HostName) {
        self.next.push(format!("hactl host trust {name}"));
    }

    /// Another address: what was agreed to for the former one does not count for it.
    async fn readdress(&mut self, name: &HostName) -> Result<()> {
        self.keys.retain(|(host, _)| host != name);
        if let Some(prober) = &self.prober {
            prober.forget(name);
        }
        let before = self.draft.hosts.iter().find(|host| host.name == name.as_str());
        let before = before.map(|host| match host.port {
            Some(port) if host.address.contains(':') => format!("[{}]:{port}", host.address),
            Some(port) => format!("{}:{port}", host.address),
            None => host.address.clone(),
        });
        let (address, port) = self.address_of(name.as_str(), before).await?;
        if let Some(host) = self.draft.hosts.iter_mut().find(|host| host.name == name.as_str()) {
            (host.address, host.port) = (address, port);
        }
        Ok(())
    }

    async fn reach(&mut self, name: &HostName, unknown: &mut Vec<(HostName, HostKey)>) -> Result<Reached> {
        let Some(prober) = &self.prober else { return Ok(Reached::NotTrusted(String::new())) };
        if !self.keys.iter().any(|(host, _)| host == name) {
            let key = self.wait(name.as_str(), prober.key(&self.draft, name)).await?;
            match self.agrees(name, &key).await? {
                Agreed::Yes => {}
                Agreed::No => {
                    return Ok(Reached::NotTrusted("you said that its key is not the right one".to_owned()));
                }
                Agreed::NobodyThere if self.init.keep => {
                    return Ok(Reached::NotTrusted(format!(
                        "nobody has compared its key, {}",
                        key.fingerprint()
                    )));
                }
                Agreed::NobodyThere => {
                    unknown.push((name.clone(), key));
                    return Ok(Reached::Tried("answers; its key is to be compared".to_owned()));
                }
            }
            prober.trust(name, &key)?;
            self.keys.push((name.clone(), key));
        }
        let seen = self.wait(name.as_str(), prober.host(&self.draft, name)).await?;
        self.clusters.retain(|(host, _)| host != name.as_str());
        self.clusters.push((name.to_string(), seen.clusters));
        Ok(Reached::Tried(seen.text))
    }

    async fn agrees(&self, name: &HostName, key: &HostKey) -> Result<Agreed> {
        let shown = key.fingerprint();
        let expected = self.init.fingerprint.iter().find(|named| named.name == name.as_str());
        match expected {
            Some(expected) if expected.value == shown => Ok(Agreed::Yes),
            Some(expected) => Err(Error::new(
                codes::SSH_KEY_CHANGED,
                format!("shows the key {shown}, and you expect {}", expected.value),
            )
            .host(name)
            .next("compare at the host's own console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")),
            None if !self.asking.somebody_there() => Ok(Agreed::NobodyThere),
            None => {
                let text = format!(
                    "{name} shows this key:\n  {} {shown}\nIs it the right one? On the host's own console:\n  \
                     ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
                    key.algorithm()
                );
                Ok(if self.asking.agree(&text, "Pin it?").await? { Agreed::Yes } else { Agreed::No })
            }
        }
    }

    pub(super) async fn postgres(&mut self, runbook: &Runbook) -> Result<()> {
        let roles = || runbook.roles.iter().map(|role| role.name.as_str());
        let role = roles()
            .find(|role| *role == "postgres")
            .or_else(|| roles().next())
            .unwrap_or("postgres")
            .to_owned();
        let host =
            self.draft.hosts.iter().find(|host| host.roles.contains(&role)).map(|host| host.name.clone());
        let found = self
            .clusters
            .iter()
            .find(|(name, _)| Some(name) == host.as_ref())
            .map(|(_, clusters)| clusters.clone());
        let (version, cluster) = (&self.init.postgres_version, &self.init.postgres_cluster);
        let fits = |one: &&PgCluster| {
            version.as_ref().is_none_or(|version| *version == one.version)
                && cluster.as_ref().is_none_or(|name| *name == one.name)
        };
        let fitting: Vec<_> = found.iter().flatten().filter(fits).cloned().collect();
        let chosen = match &fitting[..] {
            [one] => Some(one.clone()),
            [_, _, ..] if self.asking.somebody_there() => {
                let items: Vec<_> = fitting
                    .iter()
                    .map(|c| format!("{}/{} on port {} ({})", c.version, c.name, c.port, c.status))
                    .collect();
                let at = self
                    .asking
                    .choose("There are several clusters of PostgreSQL.", "Cluster", &items, 0)
                    .await?;
                fitting.get(at).cloned()
            }
            _none_or_nobody_to_choose => None,
        };
        if let Some(PgCluster { version, name, port, .. }) = chosen {
            self.say("ok", "PostgreSQL", &format!("{version}/{name} on port {port}"))?;
            self.draft.postgres = Some(PostgresDraft { role, version, cluster: name, port });
            return Ok(());
        }
        let what = "PostgreSQL";
        match &found {
            Some(clusters)
                if version.is_some() || cluster.is_some() || clusters.is_empty() || fitting.len() > 1 =>
            {
                let there: Vec<_> = clusters.iter().map(|c| format!("{}/{}", c.version, c.name)).collect();
                let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
                let error =
                    Error::new(codes::INIT_PROBE, format!("no one cluster is meant by that; there: {there}"))
                        .next("name it: --postgres-version MAJOR --postgres-cluster NAME");
                self.after_all(what, error).await?;
            }
            Some(_) => {}
            // The dry run cannot know what will be found.
            None if self.made.is_none() && !self.init.offline && !self.init.keep => return Ok(()),
            None => self.untried(what, Part::Postgres, "its host was not looked at")?,
        }
        let lowest = PostgresConfig::LOWEST.to_string();
        let default = Some(lowest).filter(|_| self.asking.somebody_there());
        let version = self
            .ask("--postgres-version MAJOR", "PostgreSQL's major version", version.clone(), default)
            .await?;
        let cluster = self
            .ask(
                "--postgres-cluster NAME",
                "Debian's name of its cluster",
                cluster.clone(),
                Some("main".to_owned()),
            )
            .await?;
        self.draft.postgres = Some(PostgresDraft { role, version, cluster, port: 5432 });
        Ok(())
    }

    /// What follows a failure that trying again does not mend: another answer is asked for in any case.
    async fn after_all(&mut self, what: &str, error: Error) -> Result<()> {
        if self.asking.somebody_there() {
            let text = error.one_line();
            self.say("FAIL", what, &text)?;
            self.draft.note(Part::Postgres, text);
            return Ok(());
        }
        self.after(what, error, Part::Postgres).await.map(drop)
    }
}

enum Reached {
    Tried(String),
    NotTrusted(String),
}

enum Agreed {
    Yes,
    No,
    NobodyThere,
}
