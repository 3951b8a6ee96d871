//! A private sshd on 127.0.0.1 with its own keys, and a fleet of one or two hosts that it plays.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hactl::digest::Digest;
use hactl::journal::record::Seq;
use hactl::journal::{Hold, StateDir, Tail};
use hactl::name::HostName;
use hactl::transport::ssh::{Ssh, Timing};
use hactl::workspace::Host;
use tempfile::TempDir;

/// Why there cannot be one here, if there cannot.
pub(crate) fn cannot() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root: it runs a private sshd and logs in to it as root".into());
    }
    if !Path::new("/usr/sbin/sshd").exists() {
        return Some("needs /usr/sbin/sshd: install openssh-server".into());
    }
    None
}

/// A running sshd.
pub(crate) struct Sshd {
    pub(crate) dir: TempDir,
    pub(crate) port: u16,
    daemon: Child,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.signal_all("CONT");
        self.signal_all("KILL");
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

pub(crate) fn keygen(path: &Path) {
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status().unwrap();
    assert!(made.success());
}

/// The host that an sshd on `port` with its files in `dir` plays.
pub(crate) fn host(name: &str, port: u16, dir: &Path) -> Host {
    Host {
        name: HostName::new(name).unwrap(),
        address: "127.0.0.1".parse().unwrap(),
        private_address: None,
        server: None,
        roles: Vec::new(),
        port,
        user: "root".parse().unwrap(),
        identity: Some(dir.join("id")),
        jump: None,
    }
}

/// What a process holds of a journal of ten lines.
pub(crate) fn hold(dir: &Path) -> Rc<Hold> {
    let last = Tail { seq: Seq(10), sum: Digest::of("line 10") };
    Rc::new(Hold::new("h1", StateDir::of(dir), last))
}

/// Waits until a daemon listens; says why where it does not, and ends it.
fn listens(port: u16, daemon: &mut Child) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let there = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        if let Some(status) = daemon.try_wait().unwrap() {
            return Err(format!("sshd ended with {status}"));
        }
        if there {
            return Ok(());
        }
        if began.elapsed() > Duration::from_secs(10) {
            let _ = daemon.kill();
            let _ = daemon.wait();
            return Err("sshd does not listen".to_owned());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("log")).unwrap_or_default()
}

/// Waits for a condition, at most 20 s.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Sshd {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// The same with more lines of configuration.
    pub(crate) fn start_with(more: &str) -> Self {
        Self::listening(more, Self::spawn)
    }

    /// One that has /var/lib and /run for itself, as another machine has.
    #[allow(dead_code, reason = "only a fleet of many needs it")]
    pub(crate) fn start_apart() -> Self {
        Self::listening("", |dir| {
            std::fs::create_dir(dir.join("lib")).unwrap();
            let apart = "mount --bind \"$1/lib\" /var/lib && mount -t tmpfs none /run && \
                         mkdir -m 0755 /run/sshd && exec /usr/sbin/sshd -D -e -f \"$1/sshd_config\"";
            let mut unshare = Command::new("unshare");
            unshare.args(["--mount", "--", "sh", "-c", apart, "sh"]).arg(dir);
            Self::spawned(unshare, dir)
        })
    }

    fn listening(more: &str, spawn: impl Fn(&Path) -> Child) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        keygen(&at("host_key"));
        keygen(&at("id"));
        std::fs::copy(at("id.pub"), at("authorized_keys")).unwrap();
        std::fs::create_dir(at("root")).unwrap();
        std::fs::create_dir_all("/run/sshd").unwrap();
        let mut tries = 5;
        let (port, daemon) = loop {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            let config = format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {d}/host_key\n\
                 AuthorizedKeysFile {d}/authorized_keys\nPidFile none\nStrictModes no\nUsePAM no\n\
                 PermitRootLogin prohibit-password\nPasswordAuthentication no\n\
                 KbdInteractiveAuthentication no\nLogLevel VERBOSE\n{more}",
                d = dir.path().display()
            );
            std::fs::write(at("sshd_config"), config).unwrap();
            let mut daemon = spawn(dir.path());
            tries -= 1;
            match listens(port, &mut daemon) {
                Ok(()) => break (port, daemon),
                // Somebody else may have taken the port meanwhile.
                Err(why) => assert!(tries > 0, "{why}: {}", log(dir.path())),
            }
        };
        Self { dir, port, daemon }
    }

    fn spawn(dir: &Path) -> Child {
        let mut sshd = Command::new("/usr/sbin/sshd");
        sshd.args(["-D", "-e", "-f"]).arg(dir.join("sshd_config"));
        Self::spawned(sshd, dir)
    }

    fn spawned(mut sshd: Command, dir: &Path) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).unwrap();
        sshd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// Ends the daemon, and its connections.
    pub(crate) fn stop(&mut self) {
        self.signal_all("KILL");
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }

    /// Starts it again on the same port.
    pub(crate) fn restart(&mut self) {
        self.daemon = Self::spawn(self.dir.path());
        listens(self.port, &mut self.daemon).unwrap_or_else(|why| panic!("{why}: {}", self.log()));
    }

    pub(crate) fn log(&self) -> String {
        log(self.dir.path())
    }

    /// The processes of its connections; not what they run.
    pub(crate) fn connections(&self) -> Vec<u32> {
        let all = Command::new("ps").args(["-eo", "pid=,ppid=,comm="]).output().unwrap();
        let text = String::from_utf8(all.stdout).unwrap();
        let processes: Vec<(u32, u32, String)> = text
            .lines()
            .map(|line| {
                let mut words = line.split_whitespace();
                let mut number = || words.next().unwrap().parse().unwrap();
                (number(), number(), words.next().unwrap_or_default().to_owned())
            })
            .collect();
        let mut family = vec![self.daemon.id()];
        loop {
            let more: Vec<u32> = processes
                .iter()
                .filter(|(pid, parent, name)| {
                    name.starts_with("sshd") && family.contains(parent) && !family.contains(pid)
                })
                .map(|(pid, ..)| *pid)
                .collect();
            if more.is_empty() {
                break;
            }
            family.extend(more);
        }
        family.split_off(1)
    }

    /// Sends a signal to the daemon's connections (and with STOP and CONT, to the daemon).
    pub(crate) fn signal_all(&self, signal: &str) {
        let mut pids = self.connections();
        if signal != "KILL" {
            pids.push(self.daemon.id());
        }
        for pid in pids {
            let _ = Command::new("kill")
                .arg(format!("-{signal}"))
                .arg(pid.to_string())
                .stderr(Stdio::null())
                .status();
        }
    }

    /// Cuts every connection, as a dead link does, without touching what runs.
    pub(crate) fn cut(&self) {
        self.signal_all("KILL");
    }

    /// Its host, with a name.
    pub(crate) fn host(&self, name: &str) -> Host {
        host(name, self.port, self.dir.path())
    }

    pub(crate) fn public_key(&self) -> String {
        let text = std::fs::read_to_string(self.dir.path().join("host_key.pub")).unwrap();
        text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.dir.path().join("known_hosts")
    }

    /// Pins its true key for a name.
    pub(crate) fn pin(&self, name: &str) {
        let line = format!("{name} {}\n", self.public_key());
        let mut text = std::fs::read_to_string(self.known_hosts()).unwrap_or_default();
        text.push_str(&line);
        std::fs::write(self.known_hosts(), text).unwrap();
    }

    /// The folder that stands for /var/lib/hactl.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// Connections to it, with short times.
    pub(crate) fn ssh(&self, hosts: Vec<Host>) -> Ssh {
        let timing = Timing {
            connect: Duration::from_secs(3),
            alive: Duration::from_secs(1),
            recover: Duration::from_secs(4),
        };
        let ssh = Ssh::with(hosts, self.known_hosts(), self.root().display().to_string(), timing);
        ssh.stand_on(hold(self.dir.path()));
        ssh
    }
}
