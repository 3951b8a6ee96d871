#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::Path;
use std::rc::Rc;

use super::{LIMIT, News, Notifier, Occasion};
use crate::event::{Collect, Event, Listener};
use crate::journal::record::Operator;
use crate::redact::Redactor;
use crate::workspace::{NotifyConfig, Workspace, load};

/// A workspace whose notification command is a shell's script.
fn workspace(folder: &Path, script: &str) -> Workspace {
    let text = "runbook = \"cell0\"\nfleet = \"pair\"\n[pgbackrest]\ncipher_pass = { env = \"PATH\" }\n";
    let mut workspace = load::read(&folder.join("hactl.toml"), text.as_bytes()).workspace;
    let words = ["sh", "-c", script].map(ToOwned::to_owned);
    workspace.notify = Some(NotifyConfig { command: words.into() });
    workspace
}

fn notifier(workspace: &Workspace) -> (Notifier, Rc<Collect>) {
    let heard = Rc::new(Collect::default());
    let operator = Operator { user: "alice".into(), machine: "laptop".into() };
    let listener = Rc::clone(&heard) as Rc<dyn Listener>;
    (Notifier::of(workspace, operator, "hactl phase run 0".into(), listener), heard)
}

fn news(text: &str) -> News {
    News { text: text.into(), ..News::default() }
}

fn said(heard: &Collect) -> Vec<String> {
    let heard = heard.0.borrow();
    let why = |event: &Event| match event {
        Event::NotifyFailed { why } => why.clone(),
        other => panic!("{other:?}"),
    };
    heard.iter().map(why).collect()
}

/// What the command wrote down.
async fn told(script: &str) -> (Vec<String>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (notifier, heard) = notifier(&workspace(folder.path(), script));
    notifier.tell(Occasion::Ended, news("one"));
    notifier.settle().await;
    (said(&heard), folder)
}

#[tokio::test(flavor = "current_thread")]
async fn what_happened_comes_on_standard_input_without_secrets() {
    Redactor::of_process().learn("a test's", &"correct-horse-notify".to_owned().into());
    let folder = tempfile::tempdir().unwrap();
    // The variable that hactl.toml names as a secret is not there any more.
    let script = "/bin/cat > told; echo \"${PATH-unset}\" > path; echo \"$0 $*\" > argv";
    let (notifier, heard) = notifier(&workspace(folder.path(), script));
    notifier.tell(Occasion::GateWaits, news("it said correct-horse-notify\u{1b}[2J"));
    notifier.settle().await;
    assert_eq!(said(&heard), [""; 0]);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let told: serde_json::Value = serde_json::from_str(&read("told")).unwrap();
    assert_eq!(told["notification"], "gate_waits");
    assert_eq!(told["fleet"], "pair");
    assert_eq!(told["command"], "hactl phase run 0");
    let text = told["text"].as_str().unwrap();
    assert!(text.starts_with("it said [secret a test's]") && !text.contains('\u{1b}'), "{text}");
    // A shell that lacks PATH makes up its own; it is not the one of this process.
    assert_ne!(read("path").trim(), std::env::var("PATH").unwrap());
    assert_eq!(read("argv").trim(), "sh");
}

#[tokio::test(flavor = "current_thread")]
async fn a_command_that_fails_is_said_once_with_its_last_line() {
    let folder = tempfile::tempdir().unwrap();
    let (notifier, heard) =
        notifier(&workspace(folder.path(), "echo first >&2; echo 'no route' >&2; exit 7"));
    for _ in 0..3 {
        notifier.tell(Occasion::Failed, news("x"));
    }
    notifier.settle().await;
    assert_eq!(said(&heard), ["sh ended with exit status: 7: no route"]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_command_that_is_missing_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut workspace = workspace(folder.path(), "");
    workspace.notify = Some(NotifyConfig { command: vec!["./not-there".into()] });
    let (notifier, heard) = notifier(&workspace);
    notifier.tell(Occasion::Failed, news("x"));
    notifier.settle().await;
    let said = said(&heard);
    assert!(said.len() == 1 && said[0].starts_with("./not-there could not be started"), "{said:?}");
}

/// Time is paused: the limit is reached as soon as there is nothing but the command to wait for.
#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_command_that_hangs_is_killed_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let (notifier, heard) = notifier(&workspace(folder.path(), "/bin/sleep 600 & echo $! > child; wait"));
    let began = tokio::time::Instant::now();
    notifier.tell(Occasion::Failed, news("x"));
    let child = folder.path().join("child");
    // Real time passes here, until the command has started its own.
    while !std::fs::read_to_string(&child).is_ok_and(|text| text.ends_with('\n')) {
        std::thread::sleep(std::time::Duration::from_millis(2));
        tokio::task::yield_now().await;
    }
    notifier.settle().await;
    assert_eq!(said(&heard), ["sh did not end within 30 seconds, and was killed"]);
    assert_eq!(began.elapsed().as_secs(), LIMIT.as_secs());
    let pid = std::fs::read_to_string(&child).unwrap().trim().to_owned();
    let gone = |pid: &str| match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    };
    for _ in 0..5000 {
        if gone(&pid) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    panic!("process {pid} lives on");
}

#[tokio::test(flavor = "current_thread")]
async fn a_command_that_floods_is_killed() {
    let (said, _folder) = told("while :; do echo flood >&2; echo flood; done").await;
    assert_eq!(said, ["sh complained without end, and was killed"]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_command_that_reads_nothing_and_leaves_something_behind_is_no_failure() {
    let (said, _folder) = told("exec <&-; /bin/sleep 5 & exit 0").await;
    assert_eq!(said, [""; 0]);
}
