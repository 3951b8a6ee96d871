//! A link that is cut, or goes dead, after any number of bytes; and a host on which anything may be killed.
//!
//! Whatever happens, a command runs at most once, "finished" is said of nothing that did not finish, what was said not to
//! have begun never begins, and no input stays behind once the attempt is settled.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hactl::access::{Command, Status};
use hactl::digest::Digest;
use hactl::step::Failure;
use hactl::transport::ssh::{AttemptState, Finished, Ssh};
use hactl::workspace::Host;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::sshd::{Sshd, until};
use crate::{Test, attempt, one, sh};

pub(crate) const TESTS: &[Test] = tests![
    a_link_cut_after_any_byte_to_the_host,
    a_link_cut_after_any_byte_from_the_host,
    a_link_gone_dead_after_any_byte,
    a_host_on_which_anything_is_killed,
    a_command_that_fails_because_nobody_takes_its_output,
    a_command_that_goes_on_when_all_are_killed_who_wait_for_it,
];

/// Which way, and after how many bytes, and how.
#[derive(Clone, Copy, Debug)]
struct Cut {
    way: Way,
    after: u64,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Up,
    Down,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    /// Both ends see it.
    Closed,
    /// Nobody sees anything: nothing comes through any more.
    Dead,
}

/// A link through which the first connection is cut; later ones are whole.
struct Link {
    port: u16,
    up: Arc<AtomicU64>,
    down: Arc<AtomicU64>,
}

impl Link {
    async fn to(sshd: u16, cut: Option<Cut>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (up, down) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let link = Self { port, up: Arc::clone(&up), down: Arc::clone(&down) };
        tokio::spawn(async move {
            let mut cut = cut;
            while let Ok((here, _)) = listener.accept().await {
                let Ok(there) = TcpStream::connect((Ipv4Addr::LOCALHOST, sshd)).await else { continue };
                let left = |way| match cut {
                    Some(cut) if cut.way == way => i64::try_from(cut.after).unwrap(),
                    Some(_) | None => i64::MAX,
                };
                let (stop, stopped) = watch::channel(());
                let stop = Arc::new(stop);
                let (from_here, to_here) = here.into_split();
                let (from_there, to_there) = there.into_split();
                let how = cut.map_or(How::Closed, |cut| cut.how);
                let counts = [(left(Way::Up), &up), (left(Way::Down), &down)];
                for ((left, count), (from, to)) in
                    counts.into_iter().zip([(from_here, to_there), (from_there, to_here)])
                {
                    let pass = Pass {
                        left: AtomicI64::new(left),
                        count: Arc::clone(count),
                        how,
                        stop: Arc::clone(&stop),
                        stopped: stopped.clone(),
                    };
                    tokio::spawn(pass.along(from, to));
                }
                cut = None;
            }
        });
        link
    }
}

struct Pass {
    left: AtomicI64,
    count: Arc<AtomicU64>,
    how: How,
    stop: Arc<watch::Sender<()>>,
    stopped: watch::Receiver<()>,
}

impl Pass {
    async fn along(
        mut self,
        mut from: tokio::net::tcp::OwnedReadHalf,
        mut to: tokio::net::tcp::OwnedWriteHalf,
    ) {
        let mut buffer = [0; 16 * 1024];
        loop {
            let read = tokio::select! {
                read = from.read(&mut buffer) => read,
                _ = self.stopped.changed() => break,
            };
            let Ok(length @ 1..) = read else { break };
            let left = self.left.fetch_sub(i64::try_from(length).unwrap(), Ordering::Relaxed);
            let pass = length.min(usize::try_from(left.max(0)).unwrap());
            self.count.fetch_add(pass as u64, Ordering::Relaxed);
            if to.write_all(&buffer[..pass]).await.is_err() {
                break;
            }
            if pass < length {
                break;
            }
        }
        if self.left.load(Ordering::Relaxed) < 0 {
            let _ = self.stop.send(());
        }
        if self.how == How::Dead {
            // Both ends stay open, and hear nothing.
            tokio::time::sleep(Duration::from_secs(80)).await;
        }
    }
}

/// What is sent with every command, so that it can be looked for afterwards.
fn secret() -> String {
    format!("input-of-the-cut-test-{} ", std::process::id()).repeat(3000)
}

/// What arrived for attempts, or holds their input, and still lies on this host.
fn leftovers(sshd: &Sshd, attempts: impl IntoIterator<Item = u32>) -> Vec<PathBuf> {
    let needle = &secret()[..20];
    let root = sshd.root();
    let name = |number| Digest::of(format!("{}/run1/step/a{number}", root.display())).short();
    let names: Vec<String> = attempts.into_iter().map(|n| format!("hactl-in.{}", name(n))).collect();
    let mut places = Vec::new();
    let mut found = Vec::new();
    for folder in [Path::new("/run"), Path::new("/dev/shm"), &root] {
        for path in std::fs::read_dir(folder).unwrap().filter_map(Result::ok).map(|entry| entry.path()) {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if names.iter().any(|name| file.starts_with(name)) {
                found.push(path);
            } else if folder == root {
                places.push(path);
            }
        }
    }
    while let Some(path) = places.pop() {
        if path.is_dir() {
            places.extend(std::fs::read_dir(&path).unwrap().filter_map(Result::ok).map(|e| e.path()));
        } else if path.is_file()
            && std::fs::read(&path).is_ok_and(|b| String::from_utf8_lossy(&b).contains(needle))
        {
            found.push(path);
        }
    }
    found
}

fn command(proof: &Path) -> Command {
    sh("cat >/dev/null; echo once >>\"$1\"; echo done")
        .arg("name")
        .arg(proof.to_str().unwrap())
        .stdin(secret())
        .within(Duration::from_secs(5))
}

/// How often it ran.
fn runs(proof: &Path) -> usize {
    std::fs::read_to_string(proof).unwrap_or_default().lines().count()
}

/// How it stands when it has ended: a command goes on for a moment after all were killed who waited for it.
async fn settled(ssh: &Ssh, host: &Host, number: u32) -> AttemptState {
    let began = Instant::now();
    loop {
        match ssh.settle(host, &attempt(number)).await.unwrap() {
            AttemptState::Running { .. } => {
                assert!(began.elapsed() < Duration::from_secs(30), "it does not end")
            }
            state => return state,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Holds what was said against what happened, settles, and says how often it may have run for good.
async fn judge(
    what: &str,
    outcome: Result<Finished, Failure>,
    proof: &Path,
    (ssh, host, number): (&Ssh, &Host, u32),
) -> usize {
    let before = runs(proof);
    assert!(before <= 1, "{what}: it ran {before} times");
    match &outcome {
        Ok(finished) => {
            assert_eq!((finished.text().as_str(), finished.succeeded(), before), ("done", true, 1), "{what}")
        }
        Err(Failure::NotStarted(error)) => assert_eq!(before, 0, "{what}: {error:?}"),
        Err(Failure::Unclear(error)) => {
            assert!(error.to_string().contains("node-1"), "{what}: {error:?}");
            assert!(error.state_now().is_some() && !error.next_moves().is_empty(), "{what}: {error:?}");
        }
    }
    let state = settled(ssh, host, number).await;
    match state {
        AttemptState::Never => assert_eq!(runs(proof), 0, "{what}"),
        AttemptState::Finished { command: 1, status: Status::Exited(0) } => {
            assert_eq!(runs(proof), 1, "{what}")
        }
        AttemptState::Finished { .. } | AttemptState::Running { .. } => panic!("{what}: {state:?}"),
        AttemptState::Unknown { .. } => assert!(outcome.is_err(), "{what}"),
    }
    runs(proof)
}

/// Cuts at each place, and judges.
async fn sweep(cuts: Vec<Cut>, at_once: bool) {
    let (sshd, direct, host) = one();
    let cases = cuts.iter().zip(1..).map(|(cut, number)| {
        let (sshd, direct, host) = (&sshd, &direct, &host);
        async move {
            let link = Link::to(sshd.port, Some(*cut)).await;
            let through = Host { port: link.port, ..host.clone() };
            let ssh = sshd.ssh(vec![through.clone()]);
            let proof = sshd.dir.path().join(format!("proof-{number}"));
            let began = Instant::now();
            let outcome = ssh.perform(&through, &attempt(number), 1, &command(&proof)).await;
            let what = format!("{cut:?}: {outcome:?}");
            assert!(began.elapsed() < Duration::from_secs(45), "{what}: {:?}", began.elapsed());
            let kind = match &outcome {
                Ok(_) => 0,
                Err(Failure::NotStarted(_)) => 1,
                Err(Failure::Unclear(_)) => 2,
            };
            (kind, judge(&what, outcome, &proof, (direct, host, number)).await, proof)
        }
    });
    let done: Vec<_> = if at_once {
        futures_util::future::join_all(cases).await
    } else {
        let mut done = Vec::new();
        for case in cases {
            done.push(case.await);
        }
        done
    };
    // Nothing begins late.
    for (_, ran, proof) in &done {
        assert_eq!(runs(proof), *ran);
    }
    let count = |kind| done.iter().filter(|(k, ..)| *k == kind).count();
    eprintln!("{} cuts: {} finished, {} did not begin, {} unclear", done.len(), count(0), count(1), count(2));
    assert!(count(1) > 0, "some cut came before the beginning");
    assert_eq!(leftovers(&sshd, 1..=done.len() as u32), Vec::<PathBuf>::new());
}

/// How many bytes pass in an exchange without a cut, each way.
async fn whole() -> (u64, u64) {
    let (sshd, _direct, host) = one();
    let link = Link::to(sshd.port, None).await;
    let through = Host { port: link.port, ..host };
    let ssh = sshd.ssh(vec![through.clone()]);
    let proof = sshd.dir.path().join("proof");
    assert!(ssh.perform(&through, &attempt(1), 1, &command(&proof)).await.unwrap().succeeded());
    (link.up.load(Ordering::Relaxed), link.down.load(Ordering::Relaxed))
}

/// So many places of a way, its beginning and its end among them.
fn spread(way: Way, all: u64, places: u64, how: How) -> Vec<Cut> {
    (0..places).map(|n| Cut { way, after: n * all.saturating_sub(8) / (places - 1), how }).collect()
}

async fn a_link_cut_after_any_byte_to_the_host() {
    let (up, _) = whole().await;
    sweep(spread(Way::Up, up, 28, How::Closed), false).await;
}

async fn a_link_cut_after_any_byte_from_the_host() {
    let (_, down) = whole().await;
    let mut cuts = spread(Way::Down, down, 14, How::Closed);
    // The report comes at the end.
    cuts.extend((1..10).map(|n| Cut { way: Way::Down, after: down - n * 60, how: How::Closed }));
    sweep(cuts, false).await;
}

async fn a_link_gone_dead_after_any_byte() {
    let (up, down) = whole().await;
    let mut cuts = spread(Way::Up, up, 7, How::Dead);
    cuts.extend(spread(Way::Down, down, 7, How::Dead));
    sweep(cuts, true).await;
}

async fn a_host_on_which_anything_is_killed() {
    let (sshd, ssh, host) = one();
    let root = sshd.root().display().to_string();
    let (mut died, mut ran) = (0, 0);
    const TIMES: u32 = 36;
    for number in 1..=TIMES {
        let proof = sshd.dir.path().join(format!("proof-{number}"));
        let id = attempt(number);
        let killing = async {
            tokio::time::sleep(Duration::from_millis(u64::from(number) * 3)).await;
            kill_all_of(&root);
        };
        let command = command(&proof);
        let (outcome, ()) = tokio::join!(ssh.perform(&host, &id, 1, &command), killing);
        died += usize::from(outcome.is_err());
        ran += judge(
            &format!("killed after {} ms: {outcome:?}", number * 3),
            outcome,
            &proof,
            (&ssh, &host, number),
        )
        .await;
        assert_eq!(leftovers(&sshd, [number]), Vec::<PathBuf>::new(), "killed after {} ms", number * 3);
    }
    eprintln!("{died} of {TIMES} were killed on their way, {ran} ran");
    assert!(died > 0);
}

/// What it says of itself then says nothing about its effect.
async fn a_command_that_fails_because_nobody_takes_its_output() {
    let (sshd, ssh, host) = one();
    let (go, proof) = (sshd.dir.path().join("go"), sshd.dir.path().join("proof"));
    let begun = sshd.root().join("run1/step/a1/1/begun");
    let words = "while [ ! -e \"$1\" ]; do sleep 0.02; done; echo once >>\"$2\"; echo done";
    let command = sh(words).arg("name").args([go.to_str().unwrap(), proof.to_str().unwrap()]);
    let killing = async {
        let runner = || std::fs::read_to_string(&begun).ok()?.split(' ').next()?.parse().ok();
        until("the command is at work", || runner().is_some()).await;
        let runner = rustix::process::Pid::from_raw(runner().unwrap()).unwrap();
        // Before it has started a watcher, nothing of the command would start.
        let watched = || {
            let children = format!("/proc/{0}/task/{0}/children", runner.as_raw_nonzero());
            std::fs::read_to_string(children).is_ok_and(|children| !children.trim().is_empty())
        };
        until("it is watched", watched).await;
        rustix::process::kill_process(runner, rustix::process::Signal::KILL).unwrap();
        std::fs::write(&go, "").unwrap();
    };
    let id = attempt(1);
    let (outcome, ()) = tokio::join!(ssh.perform(&host, &id, 1, &command), killing);
    assert!(matches!(&outcome, Err(Failure::Unclear(_))), "{outcome:?}");
    let state = ssh.settle(&host, &id).await.unwrap();
    assert!(matches!(state, AttemptState::Unknown { .. }), "{state:?}");
    assert_eq!(runs(&proof), 1);
}

/// It has not ended as long as it is at work, and nobody looks at what it does before.
async fn a_command_that_goes_on_when_all_are_killed_who_wait_for_it() {
    let (sshd, ssh, host) = one();
    let (begun, go) = (sshd.dir.path().join("begun"), sshd.dir.path().join("go"));
    let words = "touch \"$1\"; while [ ! -e \"$2\" ]; do sleep 0.02; done";
    let command = sh(words).arg("name").args([begun.to_str().unwrap(), go.to_str().unwrap()]);
    let id = attempt(1);
    let killing = async {
        until("the command is at work", || begun.exists()).await;
        kill_all_of(&sshd.root().display().to_string());
        for _ in 0..5 {
            assert_eq!(ssh.settle(&host, &id).await.unwrap(), AttemptState::Running { command: 1 });
        }
        std::fs::write(&go, "").unwrap();
    };
    let (outcome, ()) = tokio::join!(ssh.perform(&host, &id, 1, &command), killing);
    assert!(matches!(&outcome, Err(Failure::Unclear(_))), "{outcome:?}");
    assert_eq!(settled(&ssh, &host, 1).await, AttemptState::Unknown { command: 1 });
}

/// Kills every process of the host that has to do with attempts, as an out-of-memory killer would.
pub(crate) fn kill_all_of(root: &str) {
    for entry in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let Ok(words) = std::fs::read(entry.path().join("cmdline")) else { continue };
        if String::from_utf8_lossy(&words).contains(root) {
            let pid = entry.file_name().into_string().unwrap().parse().ok();
            if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}
