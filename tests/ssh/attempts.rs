//! Changing a host: what becomes of commands when things go wrong.

use std::time::{Duration, Instant};

use hactl::access::{Command, Input, Status};
use hactl::diagnostic::codes;
use hactl::transport::faulty::{OnAttempt, Waiting};
use hactl::transport::ssh::{AttemptState, MAX_OUTPUT, Seam};

use crate::hostile::forced;
use crate::sshd::until;
use crate::{Test, attempt, not_started, one, sh, torture, unclear};

pub(crate) const TESTS: &[Test] = tests![
    arguments_arrive_as_they_are,
    an_attempt_runs_once_with_all_it_needs,
    an_attempt_survives_a_cut_link,
    an_attempt_on_a_dead_host_is_unclear_and_found_later,
    a_host_that_refuses_to_be_asked_leaves_a_command_unclear,
    a_void_claim_can_never_start,
    voiding_and_claiming_race_to_one_answer,
    commands_go_in_order,
    a_timeout_ends_even_what_ignores_it,
    endless_output_is_bounded,
    markers_cannot_be_forged,
    a_killed_wrapper_is_unknown,
    a_command_whose_wrapper_is_killed_still_counts_as_running,
    many_requests_share_one_session,
    a_clerk_that_is_killed_is_followed_by_another,
    a_host_without_perl_is_named_as_such,
    a_service_that_keeps_the_pipes_holds_nobody_up,
    injected_faults_are_what_they_say,
    secrets_are_not_left_behind,
];

async fn arguments_arrive_as_they_are() {
    let (_sshd, ssh, host) = one();
    let words = torture();
    let command = sh("printf '%s\\0' \"$@\"").arg("name").args(words.clone());
    let finished = ssh.perform(&host, &attempt(1), 1, &command).await.unwrap();
    let expected: Vec<u8> = words.iter().flat_map(|w| w.bytes().chain([0])).collect();
    assert!(finished.stdout.bytes == expected, "{:?}", String::from_utf8_lossy(&finished.stderr.bytes));
    // The environment and the input too, as another user.
    let command =
        sh("printf %s \"$V\"; cat; id -un; pwd").env("V", "a\n'$(id)'").stdin("in\nput").as_user("nobody");
    let finished = ssh.perform(&host, &attempt(1), 2, &command).await.unwrap();
    assert_eq!(finished.stdout.text(), "a\n'$(id)'in\nputnobody\n/\n", "{finished:?}");
    let error = not_started(ssh.perform(&host, &attempt(1), 3, &Command::new("echo").arg("a\0b")).await);
    assert_eq!(error.code(), codes::SSH_ARGUMENT);
    let long = Command::new("echo").arg("x".repeat(200 * 1024));
    assert_eq!(not_started(ssh.perform(&host, &attempt(1), 3, &long).await).code(), codes::SSH_ARGUMENT);
    assert!(!std::path::Path::new("/tmp/hactl-was-here").exists());
}

async fn an_attempt_runs_once_with_all_it_needs() {
    let (sshd, ssh, host) = one();
    let proof = sshd.dir.path().join("proof");
    let command =
        sh("echo once >>\"$1\"; echo out; echo err >&2; exit 3").arg("name").arg(proof.to_str().unwrap());
    let finished = ssh.perform(&host, &attempt(1), 1, &command).await.unwrap();
    assert_eq!(finished.status, Status::Exited(3));
    assert_eq!((finished.stdout.text().as_ref(), finished.stderr.text().as_ref()), ("out\n", "err\n"));
    assert!(
        finished.clone().ok("cannot").is_err_and(|f| f.error().one_line().contains("exit status 3: err"))
    );
    let error = unclear(ssh.perform(&host, &attempt(1), 1, &command).await);
    assert_eq!(error.code(), codes::ATTEMPT_CLAIMED);
    assert_eq!(std::fs::read_to_string(&proof).unwrap(), "once\n");
    // 127, 255 and a signal are statuses like others.
    for (number, script, status) in
        [(2, "exit 127", 127), (3, "exit 255", 255), (4, "kill -9 $$", 137), (5, "exit 124", 124)]
    {
        let finished = ssh.perform(&host, &attempt(1), number, &sh(script)).await.unwrap();
        assert_eq!(finished.status, Status::Exited(status), "{script}");
    }
    let none = ssh.perform(&host, &attempt(1), 6, &Command::new("no-such-program")).await.unwrap();
    assert_eq!(none.status, Status::Exited(127));
    let state = ssh.settle(&host, &attempt(1)).await.unwrap();
    assert_eq!(state, AttemptState::Finished { command: 6, status: Status::Exited(127) });
}

async fn an_attempt_survives_a_cut_link() {
    let (sshd, ssh, host) = one();
    let go = sshd.dir.path().join("go");
    let (begun, proof) = (sshd.dir.path().join("begun"), sshd.dir.path().join("proof"));
    let command =
        sh("touch \"$1\"; while [ ! -e \"$2\" ]; do sleep 0.05; done; echo once >>\"$3\"; echo done")
            .arg("name")
            .args([&begun, &go, &proof].map(|p| p.to_str().unwrap()));
    let cutting = async {
        until("it began", || begun.exists()).await;
        sshd.cut();
        until("it is asked after", || sshd.log().matches("Accepted publickey").count() >= 2).await;
        std::fs::write(&go, "").unwrap();
    };
    let id = attempt(1);
    let (outcome, ()) = tokio::join!(ssh.perform(&host, &id, 1, &command), cutting);
    let finished = outcome.unwrap();
    assert_eq!((finished.status, finished.text().as_str()), (Status::Exited(0), "done"));
    assert_eq!(std::fs::read_to_string(&proof).unwrap(), "once\n");
}

async fn an_attempt_on_a_dead_host_is_unclear_and_found_later() {
    let (mut sshd, ssh, host) = one();
    let (begun, go) = (sshd.dir.path().join("begun"), sshd.dir.path().join("go"));
    let command = sh("touch \"$1\"; while [ ! -e \"$2\" ]; do sleep 0.05; done; exit 7")
        .arg("name")
        .args([&begun, &go].map(|p| p.to_str().unwrap()));
    let id = attempt(1);
    let dying = async {
        until("it began", || begun.exists()).await;
        sshd.stop();
    };
    let began = Instant::now();
    let (outcome, ()) = tokio::join!(ssh.perform(&host, &id, 1, &command), dying);
    let error = unclear(outcome);
    assert_eq!(error.code(), codes::SSH_LOST, "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(30));
    sshd.restart();
    assert_eq!(ssh.settle(&host, &id).await.unwrap(), AttemptState::Running { command: 1 });
    std::fs::write(&go, "").unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while ssh.settle(&host, &id).await.unwrap()
        != (AttemptState::Finished { command: 1, status: Status::Exited(7) })
    {
        assert!(Instant::now() < until);
    }
    // Settling has closed the attempt: nothing more of it starts.
    let error = not_started(ssh.perform(&host, &id, 2, &sh("true")).await);
    assert_eq!(error.code(), codes::ATTEMPT_VOID);
}

/// Another command may hold the host's lock for long. That says nothing of the one that was sent before.
async fn a_host_that_refuses_to_be_asked_leaves_a_command_unclear() {
    let (sshd, ssh, host) = one();
    let (begun, go) = (sshd.dir.path().join("begun"), sshd.dir.path().join("go"));
    let command = sh("touch \"$1\"; while [ ! -e \"$2\" ]; do sleep 0.05; done")
        .arg("name")
        .args([&begun, &go].map(|p| p.to_str().unwrap()));
    let id = attempt(1);
    let cutting = async {
        until("it began", || begun.exists()).await;
        let lock = std::fs::File::options().append(true).open(sshd.root().join("lock")).unwrap();
        lock.lock().unwrap();
        sshd.cut();
        lock
    };
    let (outcome, lock) = tokio::join!(ssh.perform(&host, &id, 1, &command), cutting);
    let error = unclear(outcome);
    assert_eq!(error.code(), codes::ATTEMPT_SETUP, "{error:?}");
    drop(lock);
    assert_eq!(ssh.settle(&host, &id).await.unwrap(), AttemptState::Running { command: 1 });
    std::fs::write(&go, "").unwrap();
}

async fn a_void_claim_can_never_start() {
    let (sshd, ssh, host) = one();
    assert_eq!(ssh.settle(&host, &attempt(1)).await.unwrap(), AttemptState::Never);
    let proof = sshd.dir.path().join("proof");
    let command = Command::new("touch").arg(proof.to_str().unwrap());
    let error = not_started(ssh.perform(&host, &attempt(1), 1, &command).await);
    assert_eq!(error.code(), codes::ATTEMPT_VOID);
    assert!(!proof.exists());
    assert_eq!(ssh.settle(&host, &attempt(1)).await.unwrap(), AttemptState::Never);
    assert!(ssh.perform(&host, &attempt(2), 1, &command).await.unwrap().succeeded());
    assert!(proof.exists());
}

async fn voiding_and_claiming_race_to_one_answer() {
    let (sshd, ssh, host) = one();
    let (mut ran, mut void) = (0, 0);
    // By how many milliseconds the claim begins later, so that both can win, depends on the machine: found on the way.
    let mut later: i64 = 0;
    for number in 1..=40 {
        let proof = sshd.dir.path().join(format!("proof-{number}"));
        let command = Command::new("touch").arg(proof.to_str().unwrap());
        let id = attempt(number);
        let settle = async {
            tokio::time::sleep(Duration::from_millis(u64::try_from(-later).unwrap_or(0))).await;
            ssh.settle(&host, &id).await.unwrap()
        };
        let claim = async {
            tokio::time::sleep(Duration::from_millis(u64::try_from(later).unwrap_or(0))).await;
            ssh.perform(&host, &id, 1, &command).await
        };
        let (outcome, state) = tokio::join!(claim, settle);
        match outcome {
            Ok(finished) => {
                assert!(finished.succeeded() && proof.exists() && state != AttemptState::Never);
                ran += 1;
                later += 15;
            }
            Err(failure) => {
                assert_eq!(not_started(Err(failure)).code(), codes::ATTEMPT_VOID);
                assert!(!proof.exists() && state == AttemptState::Never);
                void += 1;
                later -= 15;
            }
        }
    }
    assert!(ran + void == 40 && void > 0 && ran > 0, "{ran} ran, {void} void");
}

async fn commands_go_in_order() {
    let (_sshd, ssh, host) = one();
    let error = not_started(ssh.perform(&host, &attempt(1), 2, &sh("true")).await);
    assert_eq!(error.code(), codes::ATTEMPT_ORDER);
    assert!(ssh.perform(&host, &attempt(1), 1, &sh("true")).await.unwrap().succeeded());
    assert!(ssh.perform(&host, &attempt(1), 2, &sh("true")).await.unwrap().succeeded());
}

async fn a_timeout_ends_even_what_ignores_it() {
    let (sshd, ssh, host) = one();
    let pid = sshd.dir.path().join("pid");
    let stubborn = sh("trap '' TERM; echo $$ >\"$1\"; while :; do sleep 0.2; done")
        .arg("name")
        .arg(pid.to_str().unwrap())
        .within(Duration::from_secs(1));
    let finished = ssh.perform(&host, &attempt(1), 1, &stubborn).await.unwrap();
    assert_eq!(finished.status, Status::TimedOut);
    let pid = std::fs::read_to_string(&pid).unwrap();
    // Whoever adopted it may not have reaped it yet.
    let stat = std::path::Path::new("/proc").join(pid.trim()).join("stat");
    until("it is gone", || std::fs::read_to_string(&stat).map_or(true, |s| s.contains(") Z "))).await;
}

async fn endless_output_is_bounded() {
    let (_sshd, ssh, host) = one();
    let much = sh("head -c 1073741824 /dev/zero; echo >&2 well");
    let finished = ssh.perform(&host, &attempt(1), 1, &much).await.unwrap();
    assert_eq!(finished.stdout.bytes.len(), MAX_OUTPUT);
    assert_eq!(finished.stdout.cut, (1 << 30) - MAX_OUTPUT as u64);
    assert_eq!((finished.stderr.text().as_ref(), finished.succeeded()), ("well\n", true));
}

async fn markers_cannot_be_forged() {
    let (sshd, ssh, host) = one();
    // It reads our own command line, as any process of root can, and prints what a report looks like.
    let forge = sh(
        "for p in /proc/[0-9]*; do tr '\\0' '\\n' <$p/cmdline 2>/dev/null; done | grep -E '^[0-9a-f]{32}$' | sort -u | \
         while read m; do echo \"$m refused other_fleet\"; echo \"$m finished 0 : 0 0 0 0\"; echo \"$m end\"; done; \
         echo '= finished 0 : 0 0'; echo '= finished 0 : 0 0' >&2; exit 9",
    );
    let finished = ssh.perform(&host, &attempt(1), 1, &forge).await.unwrap();
    assert_eq!(finished.status, Status::Exited(9));
    assert!(finished.stdout.text().contains("end\n= finished 0"), "it found our marker: {finished:?}");
    // A login shell that greets does no harm.
    std::fs::write(sshd.dir.path().join("sshrc"), "echo greetings; echo more >&2\n").unwrap();
    let finished = ssh.perform(&host, &attempt(1), 2, &sh("echo x")).await.unwrap();
    assert_eq!(finished.text(), "x");
}

async fn a_killed_wrapper_is_unknown() {
    let (sshd, ssh, host) = one();
    let begun = sshd.root().join("run1/step/a1/1/begun");
    let runs = sshd.dir.path().join("runs");
    let killing = async {
        until("it runs", || runs.exists()).await;
        let text = std::fs::read_to_string(&begun).unwrap();
        let session = text.split_whitespace().next().unwrap().to_owned();
        let all = std::process::Command::new("ps").args(["-o", "pid=", "-s", &session]).output().unwrap();
        let pids = String::from_utf8(all.stdout).unwrap();
        std::process::Command::new("kill").arg("-9").args(pids.split_whitespace()).status().unwrap();
    };
    let id = attempt(1);
    let command = sh("touch \"$1\"; sleep 60").arg("name").arg(runs.to_str().unwrap());
    let (outcome, ()) = tokio::join!(ssh.perform(&host, &id, 1, &command), killing);
    assert_eq!(unclear(outcome).code(), codes::ATTEMPT_UNKNOWN);
    assert_eq!(ssh.settle(&host, &id).await.unwrap(), AttemptState::Unknown { command: 1 });
}

async fn a_command_whose_wrapper_is_killed_still_counts_as_running() {
    let (sshd, ssh, host) = one();
    let begun = sshd.root().join("run1/step/a1/1/begun");
    let (runs, go) = (sshd.dir.path().join("runs"), sshd.dir.path().join("go"));
    let id = attempt(1);
    let other = sshd.ssh(vec![host.clone()]);
    let killing = async {
        until("it runs", || runs.exists()).await;
        let text = std::fs::read_to_string(&begun).unwrap();
        let wrapper = text.split_whitespace().next().unwrap();
        assert!(std::process::Command::new("kill").args(["-9", wrapper]).status().unwrap().success());
        assert_eq!(other.settle(&host, &id).await.unwrap(), AttemptState::Running { command: 1 });
        std::fs::write(&go, "").unwrap();
    };
    let command = sh("touch \"$1\"; while [ ! -e \"$2\" ]; do sleep 0.05; done; exit 7")
        .arg("name")
        .args([&runs, &go].map(|p| p.to_str().unwrap()));
    let (outcome, ()) = tokio::join!(ssh.perform(&host, &id, 1, &command), killing);
    // How it ended, and what it printed, nobody took.
    assert_eq!(unclear(outcome).code(), codes::ATTEMPT_UNKNOWN);
    assert_eq!(ssh.settle(&host, &id).await.unwrap(), AttemptState::Unknown { command: 1 });
}

async fn many_requests_share_one_session() {
    let (sshd, ssh, host) = one();
    for number in 1..=20 {
        assert!(ssh.perform(&host, &attempt(number), 1, &sh("cat").stdin("in")).await.unwrap().succeeded());
    }
    let sessions = || sshd.log().matches("Starting session:").count();
    assert_eq!(sessions(), 1, "{}", sshd.log());
    // One that is asked something while another works starts its own; few of them stay.
    let many = (21..=28).map(|number| {
        let (ssh, host) = (&ssh, &host);
        async move { ssh.perform(host, &attempt(number), 1, &sh("sleep 0.2")).await.unwrap() }
    });
    assert!(futures_util::future::join_all(many).await.iter().all(|finished| finished.succeeded()));
    assert!((2..=8).contains(&sessions()), "{}", sshd.log());
    // What is asked in another way has its place beside those that wait.
    let settled = (1..=8).map(|number| {
        let (ssh, host) = (&ssh, &host);
        async move { ssh.settle(host, &attempt(number)).await.unwrap() }
    });
    let ended = AttemptState::Finished { command: 1, status: Status::Exited(0) };
    assert_eq!(futures_util::future::join_all(settled).await, vec![ended; 8]);
}

async fn a_clerk_that_is_killed_is_followed_by_another() {
    let (sshd, ssh, host) = one();
    let world = crate::world(sshd.dir.path(), sshd.ssh(vec![host.clone()]), vec![host.clone()]);
    let place = crate::place();
    let here = world.view(&place).here().unwrap();
    let proof = sshd.dir.path().join("proof");
    let runs = || std::fs::read_to_string(&proof).unwrap_or_default().lines().count();
    let command = sh("echo once >>\"$1\"").arg("name").arg(proof.to_str().unwrap());
    let mut expected = 0;
    for number in 1..=5 {
        here.reach().await.unwrap();
        assert!(ssh.perform(&host, &attempt(2 * number), 1, &command).await.unwrap().succeeded());
        expected += 1;
        crate::cut::kill_all_of(&sshd.root().display().to_string());
        // What reads is asked again at once. What changes is either not given to the dead one, or certain not to have begun.
        here.reach().await.unwrap();
        match ssh.perform(&host, &attempt(2 * number + 1), 1, &command).await {
            Ok(finished) => {
                assert!(finished.succeeded());
                expected += 1;
            }
            outcome @ Err(_) => drop(not_started(outcome)),
        }
        assert_eq!(runs(), expected);
    }
    world.close().await;
}

async fn a_host_without_perl_is_named_as_such() {
    let sshd = forced(
        "pat=\"'perl'\"; other=\"'no-such-perl'\"; exec sh -c \"${SSH_ORIGINAL_COMMAND/$pat/$other}\"",
    );
    let host = sshd.host("node-1");
    let ssh = sshd.ssh(vec![host.clone()]);
    let error = not_started(ssh.perform(&host, &attempt(1), 1, &sh("true")).await);
    assert_eq!(
        (error.code(), error.state_now()),
        (codes::SSH_PERL, Some("nothing was started")),
        "{error:?}"
    );
    let world = crate::world(sshd.dir.path(), ssh, vec![host]);
    let place = crate::place();
    let error = world.view(&place).here().unwrap().reach().await.unwrap_err();
    assert_eq!(error.code(), codes::SSH_PERL, "{error:?}");
    world.close().await;
}

async fn a_service_that_keeps_the_pipes_holds_nobody_up() {
    let (sshd, ssh, host) = one();
    let (go, proof) = (sshd.dir.path().join("go"), sshd.dir.path().join("proof"));
    // What it prints later must find somebody who reads, or it would be ended by that.
    let service = sh("(while [ ! -e \"$1\" ]; do sleep 0.05; done; echo late; echo late >&2; echo alive >\"$2\") & echo up")
        .arg("name")
        .args([&go, &proof].map(|p| p.to_str().unwrap()));
    let began = Instant::now();
    let finished = ssh.perform(&host, &attempt(1), 1, &service).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!((finished.status, finished.text().as_str()), (Status::Exited(0), "up"));
    std::fs::write(&go, "").unwrap();
    until("it printed and lives on", || std::fs::read_to_string(&proof).is_ok_and(|t| t == "alive\n")).await;
}

async fn injected_faults_are_what_they_say() {
    let (sshd, ssh, host) = one();
    let proof = sshd.dir.path().join("proof");
    let command = sh("echo once >>\"$1\"").arg("name").arg(proof.to_str().unwrap());
    let faults = Waiting::default();
    let seam = Seam::new(ssh).under(faults.faulty());
    let lines = || std::fs::read_to_string(&proof).unwrap_or_default().lines().count();
    for (label, fault, began) in [
        (1, OnAttempt::Refuse, 0),
        (2, OnAttempt::DropBefore, 0),
        (3, OnAttempt::DropAfter, 1),
        (4, OnAttempt::Repeat, 2),
        (5, OnAttempt::Hang(Duration::from_secs(1)), 2),
    ] {
        faults.on_attempt(fault);
        let outcome = seam.perform(&host, &attempt(label), 1, &command).await;
        match fault {
            OnAttempt::Refuse => drop(not_started(outcome)),
            OnAttempt::DropBefore | OnAttempt::DropAfter => drop(unclear(outcome)),
            OnAttempt::Repeat => assert!(outcome.unwrap().succeeded()),
            OnAttempt::Hang(_) => assert_eq!(outcome.unwrap().status, Status::TimedOut),
            OnAttempt::Pass | OnAttempt::Halfway(_) => {}
        }
        assert_eq!(lines(), began, "{fault:?}");
    }
    assert_eq!(seam.settle(&host, &attempt(2)).await.unwrap(), AttemptState::Never);
    let state = seam.settle(&host, &attempt(3)).await.unwrap();
    assert_eq!(state, AttemptState::Finished { command: 1, status: Status::Exited(0) });
    // What it started goes with it.
    faults.on_attempt(OnAttempt::Halfway(Duration::from_secs(2)));
    let long = sh("sleep 55 & sleep 55; echo end >>\"$1\"").arg("name").arg(proof.to_str().unwrap());
    let killed = seam.perform(&host, &attempt(6), 1, &long).await.unwrap();
    assert_eq!((killed.status, killed.program.as_str(), lines()), (Status::Exited(128 + 9), "sh", 2));
}

async fn secrets_are_not_left_behind() {
    let (sshd, ssh, host) = one();
    let secret = Input::from("very-secret-value");
    assert!(!format!("{secret:?}").contains("very"));
    let seen = sh("cat >/dev/null; tr '\\0' ' ' </proc/self/cmdline; tr '\\0' ' ' </proc/self/environ")
        .stdin(secret);
    let finished = ssh.perform(&host, &attempt(1), 1, &seen).await.unwrap();
    assert!(!finished.stdout.text().contains("very-secret"));
    let found =
        std::process::Command::new("grep").args(["-r", "very-secret"]).arg(sshd.root()).status().unwrap();
    assert_eq!(found.code(), Some(1));
}
