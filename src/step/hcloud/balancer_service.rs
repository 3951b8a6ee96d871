//! A service of a load balancer: a port that it listens on, where that leads, and how it learns whether a target is well.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::balancing::{self, Health};
use super::{Adopt, ObjectName, Undoing};
use crate::access::{Hands, Trial, View};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::{Before, Change, Observed, Outputs};
use crate::step::common::{changed_lines, unverified};
use crate::step::{Effect, Evidence, Failure, Findings, Scope, StepKind, WayBack};
use crate::transport::hcloud::{CheckHttpSeen, CheckSeen, LoadBalancer, Resource as _, ServiceSeen};

/// Makes a load balancer listen on a port. A service that is there on that port becomes as the step says.
///
/// TLS is passed through with the protocol `tcp`; `https`, where the load balancer itself ends TLS, wants a certificate
/// in the project, and hactl makes none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HcloudBalancerService {
    /// The load balancer's name.
    pub balancer: ObjectName,
    /// `tcp` or `http`.
    pub protocol: Protocol,
    /// The port that it listens on.
    pub listen_port: u16,
    /// The port of the targets.
    pub destination_port: u16,
    /// Whether the targets are told who is there, by the PROXY protocol: all of them must expect it.
    #[serde(default)]
    pub proxyprotocol: bool,
    /// How it learns whether a target is well.
    pub health_check: HealthCheck,
    /// What verification wants of the health of the targets.
    #[serde(default)]
    pub health: Health,
    /// Whether a load balancer that hactl did not make is used.
    #[serde(default)]
    pub adopt: Adopt,
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", rename_all = "snake_case")]
pub enum Protocol {
    /// Bytes, whatever they are.
    Tcp,
    /// HTTP.
    Http,
}

impl TryFrom<String> for Protocol {
    type Error = String;
    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "tcp" => Ok(Self::Tcp),
            "http" => Ok(Self::Http),
            "https" => Err("the protocol https is not supported: the load balancer would end TLS with a certificate of \
                            the project, and hactl neither makes nor names one; tcp passes TLS through to the servers, \
                            and tls = true in a health check of the protocol http asks them over TLS"
                .to_owned()),
            other => Err(format!("the protocol is tcp or http, not {other:?}")),
        }
    }
}

impl Protocol {
    fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
        }
    }
}

/// How a load balancer learns whether a target is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// `tcp`: a connection is enough. `http`: an answer is wanted.
    pub protocol: Protocol,
    /// The port that is asked; without one the destination port.
    #[serde(default)]
    pub port: Option<u16>,
    /// Seconds between two of them, 3 to 60.
    #[serde(default = "fifteen")]
    pub interval: u64,
    /// Seconds that one may take, 1 to 60 and no longer than the interval.
    #[serde(default = "ten")]
    pub timeout: u64,
    /// How many must agree before anything changes, 1 to 5.
    #[serde(default = "three")]
    pub retries: u64,
    /// What is asked, for `http`.
    #[serde(default)]
    pub path: Option<String>,
    /// The `Host` header, for `http`.
    #[serde(default)]
    pub domain: Option<String>,
    /// Which statuses are fine, for `http`; `?` stands for one digit.
    #[serde(default)]
    pub status_codes: Option<Vec<String>>,
    /// Whether it is asked over TLS, for `http`. The certificate is not checked.
    #[serde(default)]
    pub tls: Option<bool>,
}

fn fifteen() -> u64 {
    15
}

fn ten() -> u64 {
    10
}

fn three() -> u64 {
    3
}

impl HealthCheck {
    /// Why it is none, where it is none.
    fn wrong(&self) -> Option<&'static str> {
        let only_http =
            self.path.is_some() || self.domain.is_some() || self.status_codes.is_some() || self.tls.is_some();
        if !(3..=60).contains(&self.interval) {
            return Some("the interval of a health check is 3 to 60 seconds");
        }
        if self.timeout < 1 || self.timeout > self.interval {
            return Some("the timeout of a health check is 1 second to its interval");
        }
        if !(1..=5).contains(&self.retries) {
            return Some("the retries of a health check are 1 to 5");
        }
        match self.protocol {
            Protocol::Tcp if only_http => {
                Some("path, domain, status_codes and tls are for health checks of the protocol http")
            }
            Protocol::Tcp | Protocol::Http => None,
        }
    }

    fn wanted(&self, destination: u16) -> CheckSeen {
        let http = match self.protocol {
            Protocol::Tcp => None,
            Protocol::Http => Some(CheckHttpSeen {
                domain: Some(self.domain.clone().unwrap_or_default()),
                path: self.path.clone().unwrap_or_else(|| "/".to_owned()),
                response: Some(String::new()),
                status_codes: self
                    .status_codes
                    .clone()
                    .unwrap_or_else(|| vec!["2??".to_owned(), "3??".to_owned()]),
                tls: self.tls.unwrap_or(false),
            }),
        };
        CheckSeen {
            protocol: self.protocol.word().to_owned(),
            port: self.port.unwrap_or(destination),
            interval: self.interval,
            timeout: self.timeout,
            retries: self.retries,
            http,
        }
    }
}

/// A service in lines that say all of it that a step can say.
fn lines(service: &ServiceSeen) -> String {
    let ServiceSeen { protocol, listen_port, destination_port, proxyprotocol, health_check: check, .. } =
        service;
    let proxy = if *proxyprotocol { ", with the PROXY protocol" } else { "" };
    let mut text = format!("{protocol} {listen_port} to port {destination_port}{proxy}\n");
    let CheckSeen { protocol, port, interval, timeout, retries, http } = check;
    text += &format!(
        "health check {protocol} on port {port}, every {interval} s, at most {timeout} s, {retries} must agree\n"
    );
    if let Some(http) = http {
        let tls = if http.tls { "https" } else { "http" };
        let host = http.domain.as_deref().filter(|domain| !domain.is_empty());
        let host = host.map(|domain| format!(", host {domain}")).unwrap_or_default();
        let says = http.response.as_deref().filter(|response| !response.is_empty());
        let says = says.map(|response| format!(", saying {response:?}")).unwrap_or_default();
        let codes = http.status_codes.join(" ");
        text += &format!("health check asks {tls} {}{host}, expects {codes}{says}\n", http.path);
    }
    text
}

fn on(balancer: &LoadBalancer, port: u16) -> Option<&ServiceSeen> {
    balancer.services.iter().find(|service| service.listen_port == port)
}

fn body(service: &ServiceSeen) -> Result<Value> {
    let none = |e| Error::new(codes::INTERNAL, "a service without a JSON form").source(e);
    serde_json::to_value(service).map_err(none)
}

impl StepKind for HcloudBalancerService {
    const NAME: &'static str = "hcloud_balancer_service";
    const SUMMARY: &'static str =
        "makes a load balancer in the cloud project listen on a port, with a health check";

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
        super::objects::<LoadBalancer>(view, &self.balancer)
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        if let Some(why) = self.health_check.wrong() {
            findings.block(why);
        }
        if self.listen_port == 0 || self.destination_port == 0 || self.health_check.port == Some(0) {
            findings.block("a port is 1 to 65535");
        }
        let cloud = view.hcloud().await?;
        super::check_usable::<LoadBalancer>(&cloud, &self.balancer, self.adopt, &mut findings).await?;
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let cloud = view.hcloud().await?;
        let wanted = lines(&self.wanted());
        let found = super::usable::<LoadBalancer>(&cloud, &self.balancer, self.adopt).await?;
        let was = found.as_ref().and_then(|balancer| on(balancer, self.listen_port)).cloned();
        let details = changed_lines(&was.as_ref().map(lines).unwrap_or_default(), &wanted);
        let Some(found) = found else {
            return Ok(Observed::NotApplied {
                change: self.add(details),
                before: super::nothing_stood(&cloud)?,
            });
        };
        if let Some(running) = super::running(&cloud, &found).await? {
            return Ok(Observed::Running(running));
        }
        let change = match &was {
            Some(_) if details.is_empty() => return Ok(Observed::Applied(Outputs::new())),
            Some(_) => Change {
                summary: format!(
                    "change what the load balancer {} does on port {}",
                    self.balancer, self.listen_port
                ),
                details,
            },
            None => self.add(details),
        };
        Ok(Observed::NotApplied { change, before: super::stood(&cloud, found.head(), was)? })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let cloud = hands.hcloud().await?;
        let balancer: LoadBalancer = super::usable_by_now(&cloud, &self.balancer, self.adopt).await?;
        let wanted = self.wanted();
        let action = match on(&balancer, self.listen_port) {
            Some(_) => "update_service",
            None => "add_service",
        };
        let is_so =
            |now: &LoadBalancer| on(now, self.listen_port).is_some_and(|s| lines(s) == lines(&wanted));
        cloud.bring(&balancer, action, &body(&wanted).map_err(Failure::NotStarted)?, is_so).await?;
        Ok(Outputs::new())
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let cloud = trial.hcloud().await?;
        let balancer: LoadBalancer = super::there(&cloud, &self.balancer).await?;
        let (port, name) = (self.listen_port, &self.balancer);
        let wanted = lines(&self.wanted());
        match on(&balancer, port) {
            Some(seen) if lines(seen) == wanted => {}
            Some(_) => {
                return Err(unverified(format!(
                    "the load balancer {name} does something else on port {port} than the step says"
                )));
            }
            None => {
                return Err(unverified(format!("the load balancer {name} does not listen on port {port}")));
            }
        }
        let mut facts: Vec<String> =
            wanted.lines().map(|line| format!("the load balancer {name}: {line}")).collect();
        let of_this = balancing::health(&cloud, &balancer, self.health, |_, seen| seen.listen_port == port);
        facts.extend(of_this.await?);
        Ok(Evidence::facts(facts))
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let undoing = super::to_undo::<LoadBalancer, ServiceSeen>(hands, &self.balancer).await?;
        let Some(Undoing { cloud, stood, object: balancer }) = undoing else { return Ok(()) };
        match stood.was {
            None => {
                let gone = |now: &LoadBalancer| on(now, self.listen_port).is_none();
                let body = json!({ "listen_port": self.listen_port });
                cloud.bring(&balancer, "delete_service", &body, gone).await.map(drop)
            }
            Some(was) => {
                let restored =
                    |now: &LoadBalancer| on(now, self.listen_port).is_some_and(|s| lines(s) == lines(&was));
                let body = body(&was).map_err(Failure::NotStarted)?;
                cloud.bring(&balancer, "update_service", &body, restored).await.map(drop)
            }
        }
    }
}

impl HcloudBalancerService {
    fn wanted(&self) -> ServiceSeen {
        ServiceSeen {
            protocol: self.protocol.word().to_owned(),
            listen_port: self.listen_port,
            destination_port: self.destination_port,
            proxyprotocol: self.proxyprotocol,
            health_check: self.health_check.wanted(self.destination_port),
            http: None,
        }
    }

    fn add(&self, details: Vec<String>) -> Change {
        Change {
            summary: format!("make the load balancer {} listen on port {}", self.balancer, self.listen_port),
            details,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HcloudBalancerService;

    fn wrong(check: &str) -> Option<&'static str> {
        let text = format!(
            "balancer = \"lb\"\nprotocol = \"tcp\"\nlisten_port = 443\ndestination_port = 30443\n\
             health_check = {{ {check} }}"
        );
        toml::from_str::<HcloudBalancerService>(&text).unwrap().health_check.wrong()
    }

    #[test]
    fn a_health_check_that_the_api_would_refuse_is_told_before() {
        assert_eq!(wrong("protocol = \"tcp\""), None);
        assert_eq!(
            wrong("protocol = \"http\", path = \"/healthz\", tls = true, interval = 3, timeout = 3"),
            None
        );
        for check in [
            "protocol = \"tcp\", path = \"/healthz\"",
            "protocol = \"tcp\", interval = 2, timeout = 1",
            "protocol = \"tcp\", interval = 61",
            "protocol = \"tcp\", interval = 5, timeout = 6",
            "protocol = \"tcp\", timeout = 0",
            "protocol = \"tcp\", retries = 6",
        ] {
            assert!(wrong(check).is_some(), "{check}");
        }
    }
}
