//! Secrets: not in the arguments or the environment of any process, on neither end, and nowhere in what is kept or shown,
//! even where a server prints all that it knows.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::Test;
use crate::common::lab::{Lab, Scene, Workspace};

pub(crate) const TESTS: &[Test] = &[("secrets::are_seen_nowhere", are_seen_nowhere)];

/// Every secret text of a workspace, with its name.
fn secrets(workspace: &Workspace<'_>) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(workspace.path().join("secrets")).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        // An access key is a name, and is shown by design.
        if name.ends_with(".key") || name.ends_with(".pub") {
            continue;
        }
        let text = fs::read_to_string(entry.path()).unwrap();
        let lines = text.lines().map(str::trim).filter(|line| line.len() > 15 && !line.starts_with("-----"));
        all.extend(lines.map(|line| (name.clone(), line.to_owned())));
    }
    assert!(all.len() > 4, "{} secrets", all.len());
    all
}

/// Looks at the arguments and the environment of every process of this computer, the machines' own included, as often as
/// it can.
struct Sampler {
    stop: Arc<AtomicBool>,
    looks: Arc<AtomicUsize>,
    thread: JoinHandle<BTreeSet<String>>,
}

impl Sampler {
    fn start(secrets: Vec<(String, String)>) -> Self {
        let (stop, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (ended, looked) = (Arc::clone(&stop), Arc::clone(&looks));
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !ended.load(Ordering::Relaxed) {
                let began = Instant::now();
                for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
                    if entry.file_name().to_string_lossy().parse::<u32>().is_ok() {
                        look(&entry.path(), &secrets, &mut seen);
                    }
                }
                looked.fetch_add(1, Ordering::Relaxed);
                // Others work here too: as long as it looks, it leaves the processor alone.
                sleep(began.elapsed());
            }
            seen
        });
        Self { stop, looks, thread }
    }

    /// Everything that it saw, and how often it looked.
    fn end(self) -> (BTreeSet<String>, usize) {
        self.stop.store(true, Ordering::Relaxed);
        (self.thread.join().unwrap(), self.looks.load(Ordering::Relaxed))
    }
}

fn look(process: &Path, secrets: &[(String, String)], seen: &mut BTreeSet<String>) {
    for part in ["cmdline", "environ"] {
        let Ok(bytes) = fs::read(process.join(part)) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        for (name, secret) in secrets {
            if text.contains(secret.as_str()) {
                let command = fs::read_to_string(process.join("comm")).unwrap_or_default();
                seen.insert(format!("{name} in the {part} of {}", command.trim()));
            }
        }
    }
}

/// What a server might print in its despair: its configuration, as it is and encoded, broken over lines, and with what a
/// terminal would obey in between.
const ECHO: &str = r#"#!/bin/bash
for key in $(sed -n 's/^repo1-s3-key-secret *= *//p; s/^repo1-cipher-pass *= *//p' /etc/pgbackrest/pgbackrest.conf /etc/pgbackrest.conf 2>/dev/null); do
  both() {
    # Only the last lines of a complaint are kept, so all of it stands on few.
    printf 'raw %s | base64 %s | of more %s | url %s | hex %s | ' "$key" "$(printf %s "$key" | base64 -w0)" \
      "$(printf 'user:%s!' "$key" | base64 -w0)" "$(printf %s "$key" | sed 's/[^A-Za-z0-9]/%2B/g')" "$(printf %s "$key" | od -An -v -tx1 | tr -d ' \n')"
    printf 'wrapped %s | \033]0;owned\007\033[31mred\302\2332J\n' "$(printf %s "$key" | base64 -w 20 | head -c 30)"
    half=$(( ${#key} / 2 ))
    printf 'split %s\n%s end\n' "${key:0:half}" "${key:half}"
  }
  both; both >&2
done
touch /tmp/echoed
exit 1
"#;

/// A part of each form that the echo prints.
fn forms(secret: &str) -> Vec<String> {
    let hex: String = secret.bytes().map(|b| format!("{b:02x}")).collect();
    // By its standard input: the sampler would see it elsewhere.
    let mut base64 =
        Command::new("base64").arg("-w0").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    base64.stdin.take().unwrap().write_all(secret.as_bytes()).unwrap();
    let base64 = String::from_utf8(base64.wait_with_output().unwrap().stdout).unwrap();
    let half = secret.len() / 2;
    vec![
        secret.to_owned(),
        secret[..half].to_owned(),
        secret[half..].to_owned(),
        hex,
        base64[..base64.len() * 2 / 3].to_owned(),
        base64[..20].to_owned(),
    ]
}

fn are_seen_nowhere() {
    let lab = Lab::up("secrets", Scene::SingleServer);
    let workspace = lab.workspace("cell0");
    let secrets = secrets(&workspace);

    // The sampler sees what there is to see.
    let control = Sampler::start(vec![("control".into(), "a-secret-of-the-test".into())]);
    let mut argument = Command::new("sh")
        .args(["-c", "sleep 2", "a-secret-of-the-test"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    lab.read("node-1", "A=a-secret-of-the-test sleep 1");
    argument.wait().unwrap();
    let (seen, _) = control.end();
    let seen: Vec<_> = seen.into_iter().collect();
    assert!(seen.contains(&"control in the cmdline of sh".to_owned()), "{seen:?}");
    assert!(seen.contains(&"control in the environ of sleep".to_owned()), "{seen:?}");

    // A pgBackRest that prints its secrets and fails, on every way out.
    let sampler = Sampler::start(secrets.clone());
    fs::write(workspace.path().join("echo"), ECHO).unwrap();
    let encoded = Command::new("base64").args(["-w0"]).arg(workspace.path().join("echo")).output().unwrap();
    let encoded = String::from_utf8(encoded.stdout).unwrap();
    let install = format!(
        "echo {encoded} | base64 -d | sudo tee /usr/local/bin/pgbackrest >/dev/null; \
         sudo chmod 755 /usr/local/bin/pgbackrest"
    );
    lab.read("node-1", &install);
    let lines = workspace.hactl(&["phase", "run", "0", "--yes"]);
    assert_eq!(lines.status, 1, "{lines}");
    assert_eq!(lab.read("node-1", "ls /tmp/echoed"), "/tmp/echoed", "{lines}");
    let json = workspace.hactl(&["--output", "json", "resume", "--yes"]);
    assert_ne!(json.status, 0, "{json}");
    let typed = format!("{} resume --yes", env!("CARGO_BIN_EXE_hactl"));
    let terminal = Command::new("script")
        .args(["-qec", &typed, "/dev/null"])
        .current_dir(workspace.path())
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let terminal = String::from_utf8_lossy(&terminal.stdout).into_owned();
    let status = workspace.hactl(&["status"]);
    let journal = workspace.hactl(&["journal", "show"]);
    let shown = [
        ("lines", lines.to_string()),
        ("json", json.to_string()),
        ("terminal", terminal),
        ("status", status.to_string()),
        ("journal show", journal.to_string()),
    ];
    for (what, text) in &shown {
        for (name, secret) in &secrets {
            for form in forms(secret) {
                assert!(!text.contains(&form), "{name} as {form} in {what}: {text}");
            }
        }
        assert!(!text.contains("\u{1b}]0;owned") && !text.contains('\u{9b}'), "{what}: {text:?}");
        if *what != "status" {
            assert!(text.contains("[secret"), "what the host printed came through: {what}: {text}");
        }
    }

    // Without that, the phase goes on to its end: the secrets are really used.
    lab.read("node-1", "sudo rm /usr/local/bin/pgbackrest");
    workspace.must(&["resume", "--yes"]);
    assert!(workspace.journal().records().contains(&"phase_done 0".to_owned()));
    let (seen, looks) = sampler.end();
    assert_eq!(seen, BTreeSet::new());
    eprintln!("{looks} looks at every process");
    assert!(looks > 100, "{looks}");

    // Nothing of it is kept, here or there.
    let mut files = vec![workspace.path().join(".hactl")];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        for (name, secret) in &secrets {
            for form in forms(secret) {
                assert!(!text.contains(&form), "{name} as {form} in {}: {text}", path.display());
            }
        }
    }
    sleep(Duration::from_millis(200));
    for node in ["node-1", "prover"] {
        for (name, secret) in &secrets {
            let look = format!(
                "sudo grep -rslF -e '{secret}' /var/lib/hactl /run --include='*' 2>/dev/null || true"
            );
            assert_eq!(lab.read(node, &look), "", "{name} on {node}");
        }
        assert_eq!(lab.read(node, "ls -d /run/hactl-* 2>/dev/null || true"), "", "{node}");
    }
}
