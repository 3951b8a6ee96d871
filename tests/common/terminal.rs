//! The same binary at a terminal: `script` gives it a pseudo-terminal.
#![allow(dead_code, reason = "not every test binary uses all of it")]

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// hactl at a terminal.
pub(crate) struct Terminal {
    child: Child,
    output: Receiver<Vec<u8>>,
    pub(crate) seen: String,
    /// Where what was waited for last ends.
    from: usize,
}

impl Terminal {
    pub(crate) fn start(folder: &Path, path: &str, words: &str) -> Self {
        let mut command = Command::new("script");
        command.args(["-qec", &format!("{} {words}", env!("CARGO_BIN_EXE_hactl")), "/dev/null"]);
        command.current_dir(folder).env_clear().env("PATH", path).env("TERM", "xterm");
        command.env("HOME", folder).env("SHELL", "/bin/sh");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (send, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut buffer) {
                let _ = send.send(buffer[..length].to_vec());
            }
        });
        Self { child, output, seen: String::new(), from: 0 }
    }

    /// Waits until the terminal has shown this.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        while !self.seen.contains(text) {
            let left = until.saturating_duration_since(Instant::now());
            let bytes = self.output.recv_timeout(left);
            let bytes = bytes.unwrap_or_else(|_| panic!("no {text:?} in {}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    /// Waits until the terminal shows this, after what was waited for last.
    pub(crate) fn then(&mut self, text: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while !self.seen[self.from..].contains(text) {
            let left = until.saturating_duration_since(Instant::now());
            let bytes = self.output.recv_timeout(left);
            let bytes = bytes.unwrap_or_else(|_| panic!("no {text:?} in {}", &self.seen[self.from..]));
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        self.from += self.seen[self.from..].find(text).unwrap_or_default() + text.len();
    }

    /// Waits for a question, and answers it.
    pub(crate) fn answer(&mut self, question: &str, answer: &str) {
        self.then(question);
        self.press(&format!("{answer}\r"));
    }

    /// Waits until something elsewhere has come about.
    pub(crate) fn wait_until(&self, mut there: impl FnMut() -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        while !there() {
            assert!(Instant::now() < until, "it did not come about; seen: {}", self.seen);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// The terminal is gone, as when its window is closed.
    pub(crate) fn hang_up(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end: the exit status, and all that was seen.
    pub(crate) fn end(mut self) -> (i32, String) {
        while let Ok(bytes) = self.output.recv_timeout(Duration::from_secs(20)) {
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        (self.child.wait().unwrap().code().unwrap_or(-1), self.seen)
    }
}
