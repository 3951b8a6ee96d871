//! A firewall: the rules alone; servers are put behind it where they are made.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hcloud::models::{CreateFirewallRequest, Rule as RuleRequest, rule};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Adopt, ObjectName, Undoing};
use crate::access::{Hands, Trial, View};
use crate::diagnostic::{Error, Result, codes};
use crate::journal::record::{Before, Change, Observed, Outputs};
use crate::step::common::{changed_lines, unverified};
use crate::step::{Effect, Evidence, Failure, Findings, OutputType, Scope, StepKind, WayBack};
use crate::transport::hcloud::{Firewall, Resource as _, RuleSeen};

/// Makes a firewall with exactly these rules; one that exists gets them instead of its own. It filters what comes over
/// public addresses only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HcloudFirewall {
    /// Its name.
    pub name: ObjectName,
    /// What is let through. Without a rule for a direction: nothing comes in, everything goes out.
    pub rules: Vec<Rule>,
    /// Whether one that hactl did not make is used, and its rules replaced.
    #[serde(default)]
    pub adopt: Adopt,
}

/// What is let through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// `in` or `out`.
    pub direction: Direction,
    /// `tcp`, `udp`, `icmp`, `esp` or `gre`.
    pub protocol: Protocol,
    /// One port, or a range such as `80-85`; for tcp and udp only, and wanted there.
    #[serde(default)]
    pub port: Option<Ports>,
    /// From where (`in`) or to where (`out`): ranges such as `0.0.0.0/0`.
    pub addresses: Vec<Range>,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To the server.
    In,
    /// From the server.
    Out,
}

/// Which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP.
    Icmp,
    /// ESP.
    Esp,
    /// GRE.
    Gre,
}

/// A range of addresses of either family, with its prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Range(String);

impl TryFrom<String> for Range {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            let (address, prefix): (IpAddr, u32) = (address.parse().ok()?, number(prefix)?);
            let first = match address {
                IpAddr::V4(v4) => {
                    let host_bits = 32_u32.checked_sub(prefix)?;
                    let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
                    IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
                }
                IpAddr::V6(v6) => {
                    let host_bits = 128_u32.checked_sub(prefix)?;
                    let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
                    IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
                }
            };
            Some((address, format!("{first}/{prefix}"), first))
        });
        match parsed {
            Some((address, range, first)) if address == first => Ok(Self(range)),
            // The API refuses it; which of the two is meant, only its author knows.
            Some((_, range, _)) => {
                Err(format!("{text:?} has bits behind its prefix: the range that holds it is {range}"))
            }
            None => Err(format!("{text:?} is no range of addresses such as 0.0.0.0/0 or ::/0")),
        }
    }
}

/// A number without signs and zeros in front of it: the API writes them so, and what it shows is compared.
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    let plain = text.chars().all(|c| c.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

/// One port, or a range of them, as the API writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ports(String);

impl TryFrom<String> for Ports {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let port = |text: &str| number::<u16>(text).filter(|port| *port > 0);
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        match port(first).zip(port(last)) {
            Some((first, last)) if first == last => Ok(Self(first.to_string())),
            Some((first, last)) if first < last => Ok(Self(format!("{first}-{last}"))),
            Some(_) | None => {
                Err(format!("{text:?} is no port such as 22 (1 to 65535), and no range such as 80-85"))
            }
        }
    }
}

impl From<Ports> for String {
    fn from(ports: Ports) -> String {
        ports.0
    }
}

impl From<Range> for String {
    fn from(range: Range) -> String {
        range.0
    }
}

impl Rule {
    /// Why it is none, where it is none.
    fn wrong(&self) -> Option<String> {
        let has_ports = matches!(self.protocol, Protocol::Tcp | Protocol::Udp);
        let why = match &self.port {
            None if has_ports => "a rule for tcp or udp wants a port",
            Some(_) if !has_ports => "only rules for tcp and udp have a port",
            Some(_) | None if self.addresses.is_empty() => "a rule without addresses lets nothing through",
            Some(_) | None => return None,
        };
        Some(format!("the rule \"{}\": {why}", self.line()))
    }

    fn request(&self) -> RuleRequest {
        let direction = match self.direction {
            Direction::In => rule::Direction::In,
            Direction::Out => rule::Direction::Out,
        };
        let protocol = match self.protocol {
            Protocol::Tcp => rule::Protocol::Tcp,
            Protocol::Udp => rule::Protocol::Udp,
            Protocol::Icmp => rule::Protocol::Icmp,
            Protocol::Esp => rule::Protocol::Esp,
            Protocol::Gre => rule::Protocol::Gre,
        };
        let addresses = Some(self.addresses.iter().map(|range| range.0.clone()).collect());
        let mut request = RuleRequest::new(direction, protocol);
        match self.direction {
            Direction::In => request.source_ips = addresses,
            Direction::Out => request.destination_ips = addresses,
        }
        request.port = self.port.clone().map(|ports| Some(ports.0));
        request.description = self.description.clone().map(Some);
        request
    }

    /// One line that says all of it, in the words of [`seen_line`].
    fn line(&self) -> String {
        let addresses = self.addresses.iter().map(|range| range.0.clone()).collect();
        let (direction, protocol) = match (self.direction, self.protocol) {
            (Direction::In, protocol) => ("in", protocol),
            (Direction::Out, protocol) => ("out", protocol),
        };
        let protocol = match protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Icmp => "icmp",
            Protocol::Esp => "esp",
            Protocol::Gre => "gre",
        };
        let ports = self.port.as_ref().map(|ports| ports.0.as_str());
        line(direction, protocol, ports, addresses, self.description.as_deref())
    }
}

fn line(
    direction: &str,
    protocol: &str,
    port: Option<&str>,
    mut addresses: Vec<String>,
    description: Option<&str>,
) -> String {
    addresses.sort();
    addresses.dedup();
    let port = port.map(|port| format!(" {port}")).unwrap_or_default();
    let way = if direction == "in" { "from" } else { "to" };
    let what = description.map(|text| format!("  # {text}")).unwrap_or_default();
    format!("{direction} {protocol}{port} {way} {}{what}", addresses.join(" "))
}

/// A rule as the API shows it, in one line that says all of it.
pub(super) fn seen_line(rule: &RuleSeen) -> String {
    let addresses =
        if rule.direction == "in" { rule.source_ips.clone() } else { rule.destination_ips.clone() };
    // Written as we write them, where they can be read; else as they are.
    let canonical = |text: String| Range::try_from(text.clone()).map_or(text, |range| range.0);
    let addresses = addresses.into_iter().map(canonical).collect();
    let ports = rule.port.clone().map(|text| Ports::try_from(text.clone()).map_or(text, |ports| ports.0));
    line(&rule.direction, &rule.protocol, ports.as_deref(), addresses, rule.description.as_deref())
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

impl StepKind for HcloudFirewall {
    const NAME: &'static str = "hcloud_firewall";
    const SUMMARY: &'static str = "makes a firewall with its rules in the cloud project";

    fn scope(&self) -> Scope {
        Scope::Once
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn way_back(&self) -> WayBack {
        WayBack::Undo
    }

    fn outputs(&self) -> Vec<(&str, OutputType)> {
        super::output_types()
    }

    fn objects(&self, view: &View<'_>) -> Vec<String> {
        super::objects::<Firewall>(view, &self.name)
    }

    async fn check(&self, view: &View<'_>) -> Result<Findings> {
        let mut findings = Findings::default();
        for why in self.rules.iter().filter_map(Rule::wrong) {
            findings.block(why);
        }
        let cloud = view.hcloud().await?;
        super::check_usable::<Firewall>(&cloud, &self.name, self.adopt, &mut findings).await?;
        Ok(findings)
    }

    async fn observe(&self, view: &View<'_>, _before: Option<&Before>) -> Result<Observed> {
        let cloud = view.hcloud().await?;
        let Some(found) = super::usable::<Firewall>(&cloud, &self.name, self.adopt).await? else {
            let mut details = self.lines();
            details.push(format!("at {}", cloud.endpoint()));
            let change = Change { summary: format!("make the firewall {}", self.name), details };
            return Ok(Observed::NotApplied { change, before: super::nothing_stood(&cloud)? });
        };
        if let Some(running) = super::running(&cloud, &found).await? {
            return Ok(Observed::Running(running));
        }
        if self.is(&found) {
            return Ok(Observed::Applied(super::outputs(found.head())?));
        }
        let now = sorted(found.rules.iter().map(seen_line).collect());
        let change = Change {
            summary: format!("change the rules of the firewall {} (number {})", self.name, found.head().id),
            details: changed_lines(&now.join("\n"), &self.lines().join("\n")),
        };
        let before = super::stood(&cloud, found.head(), Some(found.rules.clone()))?;
        Ok(Observed::NotApplied { change, before })
    }

    async fn apply(&self, hands: &Hands<'_>) -> Result<Outputs, Failure> {
        let cloud = hands.hcloud().await?;
        let rules: Vec<RuleRequest> = self.rules.iter().map(Rule::request).collect();
        let usable = super::usable::<Firewall>(&cloud, &self.name, self.adopt).await;
        let firewall = match usable.map_err(Failure::NotStarted)? {
            Some(firewall) => firewall,
            None => {
                let request = CreateFirewallRequest {
                    rules: Some(rules.clone()),
                    ..CreateFirewallRequest::new(self.name.to_string())
                };
                cloud.make(self.name.as_str(), &request).await?
            }
        };
        let body = json!({ "rules": rules });
        let firewall = cloud.bring(&firewall, "set_rules", &body, |now| self.is(now)).await?;
        super::outputs(firewall.head()).map_err(Failure::Unclear)
    }

    async fn verify(&self, trial: &Trial<'_>) -> Result<Evidence> {
        let cloud = trial.hcloud().await?;
        let found: Firewall = super::there(&cloud, &self.name).await?;
        if !self.is(&found) {
            let (name, id) = (&self.name, found.head().id);
            return Err(unverified(format!("the firewall {name} (number {id}) has other rules")));
        }
        let mut evidence = Evidence::facts([
            format!(
                "the firewall {} (number {}) has exactly the rules of the step",
                self.name,
                found.head().id
            ),
            super::made_by(&cloud, found.head()),
        ]);
        evidence.outputs = super::outputs(found.head())?;
        Ok(evidence)
    }

    async fn undo(&self, hands: &Hands<'_>) -> Result<(), Failure> {
        let restoring = super::to_restore::<Firewall, Vec<RuleSeen>>(hands, &self.name).await?;
        let Some(Undoing { cloud, stood, object: firewall }) = restoring else { return Ok(()) };
        let was = stood.was.ok_or_else(|| {
            let text = "the journal does not say what the firewall's rules were";
            Failure::NotStarted(Error::new(codes::INTERNAL, text))
        })?;
        let lines = sorted(was.iter().map(seen_line).collect());
        let restored = |now: &Firewall| sorted(now.rules.iter().map(seen_line).collect()) == lines;
        cloud.bring(&firewall, "set_rules", &json!({ "rules": was }), restored).await.map(drop)
    }
}

impl HcloudFirewall {
    fn lines(&self) -> Vec<String> {
        sorted(self.rules.iter().map(Rule::line).collect())
    }

    fn is(&self, found: &Firewall) -> bool {
        sorted(found.rules.iter().map(seen_line).collect()) == self.lines()
    }
}

#[cfg(test)]
mod tests {
    use super::{HcloudFirewall, Ports, Range};

    fn wrong(rule: &str) -> Option<String> {
        let text = format!("name = \"f\"\nrules = [{{ {rule} }}]");
        toml::from_str::<HcloudFirewall>(&text).unwrap().rules[0].wrong()
    }

    #[test]
    fn a_rule_that_the_api_would_refuse_is_told_before() {
        let any = "addresses = [\"0.0.0.0/0\", \"::/0\"]";
        let fine = ["\"22\"", "\"80-85\""];
        for port in fine {
            assert_eq!(wrong(&format!("direction = \"in\", protocol = \"tcp\", port = {port}, {any}")), None);
        }
        assert_eq!(wrong(&format!("direction = \"out\", protocol = \"icmp\", {any}")), None);
        for rule in [
            format!("direction = \"in\", protocol = \"tcp\", {any}"),
            format!("direction = \"in\", protocol = \"icmp\", port = \"22\", {any}"),
            "direction = \"in\", protocol = \"tcp\", port = \"22\", addresses = []".to_owned(),
        ] {
            assert!(wrong(&rule).is_some(), "{rule}");
        }
        for range in ["0.0.0.0", "0.0.0.0/33", "10.0.0/8", "::/129", "any", "10.0.0.0/+8", "10.0.0.0/08"] {
            assert!(Range::try_from(range.to_owned()).is_err(), "{range}");
        }
    }

    /// What the API shows is compared with what was asked for: both are written in one way, or refused by name.
    #[test]
    fn what_can_be_written_in_two_ways_is_written_in_one() {
        let ports = |text: &str| Ports::try_from(text.to_owned()).map(String::from);
        assert_eq!(ports("80-80").as_deref(), Ok("80"));
        assert_eq!(ports("80-85").as_deref(), Ok("80-85"));
        for wrong in ["022", "+22", "0", "85-80", "80-", "-80", "65536", "any", "80-085", ""] {
            let error = ports(wrong).unwrap_err();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
        let range = |text: &str| Range::try_from(text.to_owned()).map(String::from);
        assert_eq!(range("0.0.0.0/0").as_deref(), Ok("0.0.0.0/0"));
        assert_eq!(range("192.0.2.7/32").as_deref(), Ok("192.0.2.7/32"));
        assert_eq!(range("2001:DB8:0::/48").as_deref(), Ok("2001:db8::/48"));
        let error = range("10.1.2.3/8").unwrap_err();
        assert!(error.contains("\"10.1.2.3/8\"") && error.contains("10.0.0.0/8"), "{error}");
        let error = range("2001:db8::1/32").unwrap_err();
        assert!(error.contains("2001:db8::/32"), "{error}");
    }
}
