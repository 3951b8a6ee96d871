//! What lies beside the journal in a mirror: the key of digests as recipients change, sizes, what is missing.

use super::*;
use crate::mirror::object::LARGEST;

fn key_pair() -> (SecretString, Vec<String>) {
    let identity = age::x25519::Identity::generate();
    (identity.to_string(), vec![identity.to_public().to_string()])
}

fn sealing(dir: &StateDir, recipients: &[String]) -> Sealing {
    Sealing::new(Sealed::new(dir.secrets()), recipients.to_vec(), Redactor::new())
}

#[tokio::test(start_paused = true)]
async fn the_key_of_digests_is_encrypted_anew_for_new_recipients() {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (first, to_first) = key_pair();
    let (second, to_second) = key_pair();
    let bucket = MemoryBucket::default();
    let root = folders[0].path();
    let machine = Machine::at(root, "desk").with_files_of(&bucket, &workspace(root, to_first.clone()));
    let value = SecretString::from("correct horse battery");
    let name = SecretName::new("repo-pass").unwrap();
    let digest = sealing(&machine.dir, &to_first).seal(&name, &value).unwrap();
    machine.begin();
    machine.journal.mirrored().await.unwrap();
    // The same recipients: not encrypted again, so only the record is sent.
    let calls = bucket.calls();
    machine.go_on();
    machine.journal.mirrored().await.unwrap();
    assert_eq!(bucket.calls(), calls + 1);

    let machine = machine.with_files_of(&bucket, &workspace(root, to_second));
    machine.go_on();
    machine.journal.mirrored().await.unwrap();
    let brought = bring(&bucket, folders[1].path()).await.unwrap();
    // Whom it is not for, it stays closed to, and that is no reason to let the run be lost.
    let why = brought.open_digest_key(Some(&first)).unwrap().unwrap();
    assert!(why.contains("encrypted to others") && !why.contains("AGE-SECRET-KEY"), "{why}");
    let why = brought.open_digest_key(Some(&SecretString::from("nonsense"))).unwrap().unwrap();
    assert!(why.contains("AGE-SECRET-KEY-1…") && !why.contains("nonsense"), "{why}");
    assert_eq!(brought.open_digest_key(Some(&second)).unwrap(), None);
    assert_eq!(Sealed::new(brought.dir().secrets()).digest_of(&value).unwrap(), digest);
}

#[tokio::test(start_paused = true)]
async fn a_key_of_digests_that_nobody_opened_goes_on_to_the_next_machine() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let [one, two, three] = folders.each_ref().map(tempfile::TempDir::path);
    let (identity, recipients) = key_pair();
    let bucket = MemoryBucket::default();
    let machine = Machine::at(one, "desk").with_files_of(&bucket, &workspace(one, recipients.clone()));
    let value = SecretString::from("correct horse battery");
    let name = SecretName::new("repo-pass").unwrap();
    let digest = sealing(&machine.dir, &recipients).seal(&name, &value).unwrap();
    machine.begin();
    machine.journal.mirrored().await.unwrap();

    let brought = bring(&bucket, two).await.unwrap();
    let why = brought.open_digest_key(None).unwrap().unwrap();
    assert!(why.contains("names no identity"), "{why}");
    brought.take_over(Rc::new(bucket.clone()), operator("laptop"), clock()).await.unwrap();
    let laptop = Machine::at(two, "laptop").with_files_of(&bucket, &workspace(two, recipients.clone()));
    laptop.go_on();
    laptop.journal.mirrored().await.unwrap();
    // No second key is made beside it: under that one the secret of before would look damaged.
    let here = sealing(&laptop.dir, &recipients);
    let other = SecretName::new("other").unwrap();
    for error in [here.seal(&other, &value).unwrap_err(), here.digest_of(&value).unwrap_err()] {
        assert_eq!(error.code(), codes::SECRET_MISSING, "{error:?}");
        assert!(error.next_moves().iter().any(|next| next.contains("identity in [age]")), "{error:?}");
    }
    assert!(!laptop.dir.secrets().join(".key").exists());
    assert_eq!(here.digest(&other).unwrap(), None);

    let brought = bring(&bucket, three).await.unwrap();
    assert_eq!(brought.open_digest_key(Some(&identity)).unwrap(), None);
    assert_eq!(Sealed::new(brought.dir().secrets()).digest_of(&value).unwrap(), digest);
    // And here, once there is an identity.
    here.open_key(&identity).unwrap();
    assert_eq!(here.seal(&other, &value).unwrap(), digest);
}

#[tokio::test(start_paused = true)]
async fn what_is_larger_than_it_may_be_is_damage_and_is_not_sent() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bucket = MemoryBucket::default();
    let machine = Machine::at(one.path(), "desk").with_files_of(&bucket, &workspace(one.path(), vec![]));
    fs::write(machine.dir.known_hosts(), "node-1 ssh-ed25519 AAAA\n").unwrap();
    machine.begin();
    machine.journal.mirrored().await.unwrap();
    let whole = bucket.objects();
    let mut tried = Vec::new();
    for (name, bytes) in whole.iter().filter(|(name, _)| name.contains('/')) {
        let mut larger = bytes.clone();
        // No longer than the journal's objects, the list and files may be, but longer than the evidence was.
        larger.push(b' ');
        bucket.set(name, Some(larger));
        let error = bring(&bucket, two.path()).await.unwrap_err();
        assert_eq!(error.code(), codes::MIRROR_DAMAGED, "{name}: {error:?}");
        tried.push(error.to_string().contains(&format!("larger than the {}B", bytes.len())));
        bucket.set(name, Some(bytes.clone()));
    }
    assert_eq!(tried.iter().filter(|by_size| **by_size).count(), 2, "the two pieces of evidence: {tried:?}");

    // Also where the mirror may be away: what stands there is no matter of reaching.
    let machine = machine.mirrored_in(&bucket, Demand::Wanted);
    let first = whole.keys().find(|name| name.starts_with("journal/")).unwrap();
    bucket.set(first, Some(vec![b'x'; usize::try_from(LARGEST.bytes()).unwrap() + 1]));
    for error in
        [machine.journal.mirrored().await.unwrap_err(), bring(&bucket, two.path()).await.unwrap_err()]
    {
        assert_eq!(error.code(), codes::MIRROR_DAMAGED, "{error:?}");
        assert!(error.to_string().contains(&format!("larger than the {LARGEST}")), "{error}");
    }
    bucket.set(first, whole.get(first).cloned());

    // What could not be brought again is not sent.
    let machine = machine.with_files_of(&bucket, &workspace(one.path(), vec![]));
    fs::write(machine.dir.known_hosts(), vec![b'#'; (16 << 20) + 1]).unwrap();
    machine.go_on();
    let error = machine.journal.mirrored().await.unwrap_err();
    assert_eq!(error.code(), codes::MIRROR_BEHIND, "{error:?}");
    assert!(format!("{error:?}").contains("known_hosts is larger than the 16MiB"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_check_sees_what_the_journal_names_and_the_bucket_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = MemoryBucket::default();
    let root = folder.path();
    let machine = Machine::at(root, "desk").with_files_of(&bucket, &workspace(root, vec![]));
    assert_eq!(check(&bucket, root).await.unwrap().blobs, 0);
    fs::write(machine.dir.known_hosts(), "node-1 ssh-ed25519 AAAA\n").unwrap();
    machine.begin();
    machine.journal.mirrored().await.unwrap();
    // The runbook, hactl.toml, the pinned keys, the list of files.
    assert_eq!(check(&bucket, root).await.unwrap().blobs, 4);
    let blobs: Vec<_> = bucket.objects().into_iter().filter(|(name, _)| name.starts_with("blob/")).collect();
    for (name, bytes) in &blobs {
        bucket.set(name, None);
        let error = check(&bucket, root).await.unwrap_err();
        assert_eq!(error.code(), codes::MIRROR_DAMAGED, "{error:?}");
        assert!(error.to_string().contains(name) && error.to_string().contains("is missing"), "{error}");
        bucket.set(name, Some(bytes.clone()));
    }
    // What the run needs is there; evidence is listed, and not read: no more calls than without it.
    let calls = bucket.calls();
    check(&bucket, root).await.unwrap();
    assert_eq!(bucket.calls() - calls, 7);
    let evidence =
        blobs.iter().filter(|(_, bytes)| bytes.starts_with(b"the runbook") || bytes.starts_with(b"runbook"));
    let evidence: Vec<_> = evidence.collect();
    assert_eq!(evidence.len(), 2);
    evidence.iter().for_each(|(name, _)| bucket.set(name, None));
    let error = check(&bucket, root).await.unwrap_err();
    assert!(error.to_string().contains("and 1 more that the journal needs"), "{error}");
}
