//! How much memory a process uses at most.

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What became of a process.
pub(crate) struct Measured {
    pub(crate) status: ExitStatus,
    /// What it printed, and then what it complained.
    pub(crate) said: String,
    /// The most memory that it used, in KiB, as far as it was there to be looked at: every few milliseconds.
    pub(crate) peak: u64,
}

/// Runs a process to its end.
pub(crate) fn measured(command: &mut Command, within: Duration) -> Measured {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (out, err) = (collect(child.stdout.take().unwrap()), collect(child.stderr.take().unwrap()));
    let mut peak = 0;
    let until = Instant::now() + within;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        peak = peak.max(high(child.id()));
        if Instant::now() > until {
            child.kill().unwrap();
            panic!("it does not end: {command:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let mut said = out.join().unwrap();
    said.extend(err.join().unwrap());
    Measured { status, said: String::from_utf8(said).unwrap(), peak }
}

fn collect(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// The most that a process has used until now; 0 where it has ended.
fn high(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let high = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    high.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
