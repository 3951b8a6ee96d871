//! A load balancer: HAProxy in a namespace of its own, with a public address and real health checks.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::super::super::model::{Algorithm, Balancer, Id, Protocol, Service};
use super::super::super::wire::Health;
use super::super::Project;
use super::Machines;
use super::ground::Leg;
use super::seed::remove_folder;
use crate::diagnostic::{Error, Result, codes};
use crate::lab::exec::{Tool, io, wait_until};
use crate::lab::state::replace;
use crate::lab::{cgroup, machine, network};

/// The layers of its root, uppermost first, in the lab's folder.
const LAYERS: &str = "image/balancer:image/base";
/// How long it may take until it answers.
const START: Duration = Duration::from_secs(20);
/// How long its answer about health may take.
const ASK: Duration = Duration::from_secs(2);

fn folder(id: Id) -> PathBuf {
    Path::new("cloud/balancers").join(id.to_string())
}

impl Machines {
    /// Makes the load balancer what the project says; away, where it is no more.
    pub(crate) fn balance(&self, project: &Project, id: Id) -> Result<()> {
        let _held = Self::held(&self.balancers);
        let namespace = self.namespace_of(id);
        let own = self.dir().join(folder(id));
        let Some(balancer) = project.balancers.get(&id) else {
            self.end(&namespace)?;
            network::delete(&namespace)?;
            return remove_folder(&own);
        };
        for part in ["upper", "work", "root", "run"] {
            let path = own.join(part);
            fs::create_dir_all(&path).map_err(io("make", &path))?;
        }
        let legs: Vec<Leg> = balancer
            .private
            .iter()
            .map(|(network, ip)| Leg { network: *network, mac: None, ip: *ip })
            .collect();
        let addresses = {
            let _held = Self::held(&self.network);
            let public = balancer.public.then_some(balancer.ipv4);
            self.interfaces(project, &namespace, id, Some(public), &legs)?
        };
        Tool::new("ip").args(["-n", &namespace, "-force", "-batch", "-"]).input(addresses).run()?;
        replace(&own.join("run/haproxy.cfg"), configuration(project, balancer).as_bytes(), 0o600)?;
        if machine::in_namespace(&namespace).is_empty() {
            self.begin(id, &namespace)?;
        } else {
            reload(&namespace)?;
        }
        let asked = || self.ask_balancer(id).is_some_and(|said| is_current(&said, balancer));
        if wait_until(START, asked) {
            return Ok(());
        }
        let log = fs::read_to_string(own.join("log")).unwrap_or_default();
        let last = log.lines().last().unwrap_or_default().to_owned();
        let what = format!("load balancer {} does not start: {last}", balancer.meta.name);
        Err(Error::new(codes::LAB_BOOT, what))
    }

    fn begin(&self, id: Id, namespace: &str) -> Result<()> {
        let group = super::power::group(id)?;
        let mut command = Command::new("setsid");
        command.args(["--fork", "unshare", "--mount", "--propagation", "private", "--", "sh", "-euc"]);
        command.args([include_str!("../../../recipe/start-balancer.sh"), "hactl-lab", LAYERS]);
        command.arg(folder(id)).arg(namespace).args(cgroup::prepare(self.name(), &group));
        self.run(command, &folder(id).join("log"))
    }

    /// What HAProxy says of its servers, as comma-separated values.
    fn ask_balancer(&self, id: Id) -> Option<String> {
        let mut stream = UnixStream::connect(self.dir().join(folder(id)).join("run/stats.sock")).ok()?;
        stream.set_read_timeout(Some(ASK)).ok()?;
        stream.set_write_timeout(Some(ASK)).ok()?;
        stream.write_all(b"show stat\n").ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).ok()?;
        Some(said)
    }

    /// The health of each target, by the port that is listened on.
    pub(super) fn health(&self, balancer: &Balancer) -> BTreeMap<(Id, u16, Ipv4Addr), Health> {
        let said = self.ask_balancer(balancer.meta.id).unwrap_or_default();
        let rows = rows(&said).into_iter().filter_map(|row| {
            let listen = row.get("# pxname")?.strip_prefix("to-")?.parse().ok()?;
            let address = row.get("svname")?.parse().ok()?;
            let health = match (row.get("status")?.as_str(), row.get("check_status")?.as_str()) {
                // Before its first check a server counts as up, and nobody knows.
                (_, "" | "INI") => Health::Unknown,
                (status, _) if status.starts_with("UP") => Health::Healthy,
                _ => Health::Unhealthy,
            };
            Some(((balancer.meta.id, listen, address), health))
        });
        rows.collect()
    }
}

/// Asks the running one to read its file again; connections that are open go on.
fn reload(namespace: &str) -> Result<()> {
    let there = machine::in_namespace(namespace);
    let parent = |pid: &Pid| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        stat.rsplit_once(") ")
            .and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok())
            .and_then(Pid::from_raw)
    };
    // The master is the one whose parent is none of them.
    let master = there.iter().find(|pid| parent(pid).is_none_or(|parent| !there.contains(&parent)));
    let master = master.ok_or_else(|| Error::new(codes::LAB_TOOL, "a load balancer has no process"))?;
    kill_process(*master, Signal::USR2).map_err(|e| {
        Error::new(codes::LAB_TOOL, "a load balancer cannot be told").source(std::io::Error::from(e))
    })
}

/// Whether what is running is what the file says.
fn is_current(said: &str, balancer: &Balancer) -> bool {
    let there = rows(said);
    let services: Vec<String> = there.iter().filter_map(|r| r.get("# pxname").cloned()).collect();
    balancer.services.iter().all(|s| services.contains(&format!("to-{}", s.listen)))
        && services
            .iter()
            .filter_map(|s| s.strip_prefix("to-")?.parse::<u16>().ok())
            .all(|listen| balancer.services.iter().any(|s| s.listen == listen))
}

fn rows(said: &str) -> Vec<BTreeMap<String, String>> {
    let mut lines = said.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let row = |line: &str| {
        names.iter().zip(line.split(',')).map(|(n, v)| ((*n).to_owned(), v.to_owned())).collect()
    };
    lines.filter(|l| !l.is_empty()).map(row).collect()
}

fn configuration(project: &Project, balancer: &Balancer) -> String {
    let mut text = "global\n  stats socket /run/balancer/stats.sock mode 600 level admin\n  maxconn 10000\n\
                      no strict-limits\n\
                    defaults\n  timeout connect 5s\n  timeout client 5m\n  timeout server 5m\n"
        .to_owned();
    let public = balancer.public.then_some(balancer.ipv4);
    let own: Vec<Ipv4Addr> = public.into_iter().chain(balancer.private.iter().map(|p| p.1)).collect();
    let algorithm = match balancer.algorithm {
        Algorithm::RoundRobin => "roundrobin",
        Algorithm::LeastConnections => "leastconn",
    };
    for service in &balancer.services {
        let mode = mode(service.protocol);
        let _ = writeln!(text, "frontend at-{}\n  mode {mode}", service.listen);
        for ip in &own {
            let _ = writeln!(text, "  bind {ip}:{}", service.listen);
        }
        let _ = writeln!(
            text,
            "  default_backend to-{0}\nbackend to-{0}\n  mode {mode}\n  balance {algorithm}",
            service.listen
        );
        checks(&mut text, service);
        for address in balancer.addresses(project) {
            let check = &service.check;
            let proxy = if service.proxyprotocol { " send-proxy" } else { "" };
            let tls = check.http.as_ref().is_some_and(|h| h["tls"] == true);
            let tls = if tls { " check-ssl verify none" } else { "" };
            let _ = writeln!(
                text,
                "  server {address} {address}:{} check port {} inter {}s fall {} rise 1{proxy}{tls}",
                service.destination, check.port, check.interval, check.retries
            );
        }
    }
    text
}

fn mode(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Http => "http",
    }
}

fn checks(text: &mut String, service: &Service) {
    let check = &service.check;
    let _ = writeln!(text, "  timeout check {}s", check.timeout);
    let Some(http) = &check.http else { return };
    let plain = |value: &Value, otherwise: &str| {
        let said = value.as_str().filter(|t| !t.is_empty()).unwrap_or(otherwise);
        said.chars().filter(|c| !c.is_whitespace() && !c.is_control() && *c != '"').collect::<String>()
    };
    let _ = write!(text, "  option httpchk\n  http-check send meth GET uri {}", plain(&http["path"], "/"));
    let domain = plain(&http["domain"], "");
    if !domain.is_empty() {
        let _ = write!(text, " ver HTTP/1.1 hdr Host {domain}");
    }
    let codes = http["status_codes"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let ranges: Vec<String> = codes
        .filter(|c| c.len() == 3)
        .map(|c| format!("{}-{}", c.replace(['?', '*'], "0"), c.replace(['?', '*'], "9")))
        .collect();
    let ranges = if ranges.is_empty() { "200-399".to_owned() } else { ranges.join(",") };
    let _ = writeln!(text, "\n  http-check expect status {ranges}");
    let response = plain(&http["response"], "");
    if !response.is_empty() {
        let _ = writeln!(text, "  http-check expect string {response}");
    }
}
