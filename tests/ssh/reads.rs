//! Reading a host.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use hactl::access::reads::FileKind;
use hactl::diagnostic::codes;
use hactl::digest::Digest;

use crate::sshd::until;
use crate::{Test, one, place, torture, world};

pub(crate) const TESTS: &[Test] = tests![
    a_host_is_reached_and_read,
    hostile_file_names_and_contents_are_data,
    a_hung_host_is_an_error_within_a_bound,
    a_lost_connection_is_opened_again,
    many_at_once_are_at_most_eight,
];

async fn a_host_is_reached_and_read() {
    let (sshd, ssh, host) = one();
    let world = world(sshd.dir.path(), ssh, vec![host]);
    let place = place();
    let here = world.view(&place).here().unwrap();
    here.reach().await.unwrap();
    let path = sshd.dir.path().join("some file");
    std::fs::write(&path, "content\n").unwrap();
    let path = path.to_str().unwrap();
    let seen = here.file(path).await.unwrap().unwrap();
    assert_eq!((seen.bytes.as_slice(), seen.facts.owner.as_str()), (b"content\n".as_slice(), "root"));
    assert_eq!(here.file("/does/not/exist").await.unwrap(), None);
    assert_eq!(here.file_facts(path).await.unwrap(), Some(seen.facts));
    assert_eq!(seen.digest, Digest::of("content\n"));
    std::fs::set_permissions(sshd.dir.path(), Permissions::from_mode(0o711)).unwrap();
    let (dangling, pipe) = (sshd.dir.path().join("dangling"), sshd.dir.path().join("pipe"));
    std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let facts = async |path: &Path| here.file_facts(path.to_str().unwrap()).await.unwrap();
    assert_eq!(facts(&dangling).await, None);
    assert_eq!(facts(&Path::new(path).join("below")).await, None);
    assert_eq!(facts(&pipe).await.map(|f| f.kind), Some(FileKind::Special));
    assert_eq!(facts(sshd.dir.path()).await.map(|f| (f.kind, f.mode)), Some((FileKind::Directory, 0o711)));
    assert_eq!(here.file(dangling.to_str().unwrap()).await.unwrap(), None);
    let names: Vec<_> = here
        .directory(sshd.dir.path().to_str().unwrap())
        .await
        .unwrap()
        .unwrap()
        .into_iter()
        .map(|e| e.name)
        .collect();
    assert!(names.contains(&"some file".to_owned()));
    assert!(here.memory().await.unwrap().total > 0);
    assert!(here.disk("/").await.unwrap().size > 0);
    assert!(here.clock_offset().await.unwrap().offset.abs() < jiff::SignedDuration::from_secs(1));
    assert_eq!(here.user("root").await.unwrap().unwrap().uid, 0);
    assert_eq!(here.user("nobody-of-that-name").await.unwrap(), None);
    assert!(here.package("bash").await.unwrap().installed.is_some());
    assert_eq!(here.package("no-such-package").await.unwrap().installed, None);
    assert_eq!(here.boot_id().await.unwrap().len(), 36);
    world.close().await;
}

async fn hostile_file_names_and_contents_are_data() {
    let (sshd, ssh, host) = one();
    let world = world(sshd.dir.path(), ssh, vec![host]);
    let place = place();
    let here = world.view(&place).here().unwrap();
    let folder = sshd.dir.path().join("odd");
    std::fs::create_dir(&folder).unwrap();
    for name in ["-rf", "a\nb", "$(id)", "'\"", "a|b|c", " "] {
        let path = folder.join(name);
        let content = format!("{name}\nabcdef 0\n\n");
        std::fs::write(&path, &content).unwrap();
        let seen = here.file(path.to_str().unwrap()).await.unwrap().unwrap();
        assert_eq!(String::from_utf8(seen.bytes).unwrap(), content);
    }
    assert_eq!(here.directory(folder.to_str().unwrap()).await.unwrap().unwrap().len(), 6);
    // Words that reach the host by the command line of a query.
    let mut words = torture();
    words.retain(|w| !w.contains(['\n', '/']) && !w.is_empty() && w != "!!");
    let words: Vec<_> = words.iter().map(String::as_str).filter(|w| w.len() > 2).collect();
    assert_eq!(here.missing_programs(&words).await.unwrap(), words.clone());
    let huge = folder.join("huge");
    std::fs::File::create(&huge).unwrap().set_len(1 << 30).unwrap();
    let error = here.file(huge.to_str().unwrap()).await.unwrap_err();
    assert_eq!(error.code(), codes::SSH_TOO_MUCH);
    let error = here.file("/dev/zero").await.unwrap_err();
    assert_eq!(error.code(), codes::SSH_READ);
    let long = "x".repeat(200 * 1024);
    assert_eq!(here.file(&long).await.unwrap_err().code(), codes::SSH_ARGUMENT);
}

async fn a_hung_host_is_an_error_within_a_bound() {
    let (sshd, ssh, host) = one();
    let world = world(sshd.dir.path(), ssh, vec![host]);
    let place = place();
    let here = world.view(&place).here().unwrap();
    here.reach().await.unwrap();
    sshd.signal_all("STOP");
    let began = Instant::now();
    let error = here.memory().await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!([codes::SSH_LOST, codes::SSH_UNREACHABLE].contains(&error.code()), "{error:?}");
    let began = Instant::now();
    world.close().await;
    assert!(began.elapsed() < Duration::from_secs(6));
    sshd.signal_all("CONT");
    here.reach().await.unwrap();
}

async fn a_lost_connection_is_opened_again() {
    let (sshd, ssh, host) = one();
    let world = world(sshd.dir.path(), ssh, vec![host]);
    let place = place();
    let here = world.view(&place).here().unwrap();
    here.reach().await.unwrap();
    sshd.cut();
    here.reach().await.unwrap();
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 2);
    // When it is dropped, nothing of it stays: no master, no connection.
    drop(world);
    until("the connections end", || sshd.connections().is_empty()).await;
}

async fn many_at_once_are_at_most_eight() {
    let (sshd, ssh, host) = one();
    let world = world(sshd.dir.path(), ssh, vec![host]);
    let place = place();
    let here = world.view(&place).here().unwrap();
    let reads = (0..40).map(|_| here.boot_id());
    for outcome in futures_util::future::join_all(reads).await {
        outcome.unwrap();
    }
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 1);
}
