//! At a terminal: questions, wrong answers, and being interrupted.

use std::time::{Duration, Instant};

use crate::terminal::Terminal;
use crate::{Case, Scene, assert_good, assert_untouched, by_flags, endpoint, fingerprint, place};

pub(crate) const CASES: &[Case] = &[
    ("at_terminal::a_wrong_answer_is_asked_again_and_the_file_passes_check", dialogue),
    ("at_terminal::what_fails_can_be_answered_anew", anew),
    ("at_terminal::ctrl_c_in_the_midst_leaves_nothing", interrupted),
    ("at_terminal::a_closed_terminal_leaves_nothing", hung_up),
    ("at_terminal::a_secret_that_is_there_is_not_replaced_and_no_answer_is_lost", there_already),
];

fn start(place: &crate::Place, words: &str) -> Terminal {
    Terminal::start(place.path(), "/usr/bin:/bin", &format!("init {words}"))
}

fn dialogue(scene: &Scene) {
    let place = place(scene);
    let mut terminal = start(&place, "");
    // Down, and Enter: the last that is offered is one's own.
    terminal.then("Runbook");
    terminal.press("\u{1b}[B\r");
    terminal.answer("Its path", "mine.toml");
    terminal.answer("The fleet's name", "Not A Name");
    terminal.answer("is not allowed here", "pair");
    terminal.answer("Who logs in", "");
    terminal.answer("Key", "");
    terminal.answer("Its path", "id");
    terminal.answer("Name of a host with the role web", "node-1");
    terminal.answer("Address of node-1", "not an address");
    terminal.answer("not an address:", &format!("127.0.0.1:{}", scene.sshd.port));
    terminal.answer("Another host with the role web?", "n");
    terminal.then(&fingerprint(scene));
    terminal.answer("Pin it?", "y");
    terminal.answer("object storage answers", &endpoint(scene));
    terminal.answer("Its region", "us-east-1");
    terminal.answer("Its certificate authority", "ca.pem");
    terminal.answer("The bucket for backups", "init-dialogue");
    for file in ["writer.key", "writer.secret", "restorer.key", "restorer.secret"] {
        // The first that is offered is a file.
        terminal.answer("Kept", "");
        terminal.answer("The file's path", file);
    }
    terminal.answer("kept a second time", "somewhere");
    terminal.answer("does not begin with s3://", "s3://init-dialogue-state/pair");
    // The first that is offered is a new one.
    terminal.answer("Kept", "");
    terminal.answer("  tool:", "jq");
    let (status, seen) = terminal.end();
    assert_eq!(status, 0, "{seen}");
    assert!(seen.contains("next: hactl check"), "{seen}");
    let text = assert_good(&place, scene);
    assert!(text.contains("bucket = \"init-dialogue\"") && text.contains("fleet = \"pair\""), "{text}");
    assert!(text.contains("mirror = \"s3://init-dialogue-state/pair\""), "{text}");
    assert!(seen.contains("its bucket was made"), "{seen}");
}

/// The flags of everything but the host.
fn all_but(scene: &Scene, host: &str) -> String {
    let mut flags = by_flags::flags(scene, "init-anew");
    let at = flags.iter().position(|word| word == "--host").unwrap();
    flags[at + 1] = host.to_owned();
    shell_words::join(flags)
}

fn anew(scene: &Scene) {
    let place = place(scene);
    // Nobody listens on port 9.
    let mut terminal = start(&place, &all_but(scene, "node-1=127.0.0.1:9"));
    terminal.then("FAIL");
    terminal.then("What now?");
    // Down, and Enter: another answer.
    terminal.press("\u{1b}[B\r");
    // The former one is offered, and typed over.
    terminal.then("Address of node-1");
    terminal.press(&format!("127.0.0.1:{}\r", scene.sshd.port));
    let (status, seen) = terminal.end();
    assert_eq!(status, 0, "{seen}");
    let text = assert_good(&place, scene);
    assert!(
        text.contains(&format!("port = {}", scene.sshd.port)) && !text.contains("NOT PROBED: node-1"),
        "{text}"
    );
}

fn interrupted(scene: &Scene) {
    let place = place(scene);
    let flags = format!("{} --cipher-pass make", all_but(scene, "node-1=127.0.0.1:9"))
        .replace("--identity id", "--identity make");
    let mut terminal = start(&place, &flags);
    // The new key is there by now.
    terminal.then("Is it there?");
    assert!(place.path().join("secrets/id_ed25519").exists());
    terminal.press("\u{3}");
    let (_shells, seen) = terminal.end();
    // At the question, or a moment before it reads keys.
    let stopped = ["stopped at the question", "stopped as you asked"].iter().any(|text| seen.contains(text));
    assert!(stopped && seen.contains("nothing was written"), "{seen}");
    assert_untouched(&place);
    // Also where something else than a question goes on.
    let mut terminal = start(&place, &flags);
    terminal.answer("Is it there?", "y");
    terminal.then("What now?");
    terminal.press("\u{3}");
    let (_shells, _seen) = terminal.end();
    assert_untouched(&place);
}

/// The flags of everything, with some changed.
fn changed(scene: &Scene, changes: &[(&str, &str)]) -> String {
    let flags = shell_words::join(by_flags::flags(scene, "init-changed"));
    changes.iter().fold(flags, |flags, (from, to)| {
        assert!(flags.contains(from), "{from}: {flags}");
        flags.replace(from, to)
    })
}

fn hung_up(scene: &Scene) {
    let place = place(scene);
    let flags = changed(scene, &[("--identity id", "--identity make")]);
    let mut terminal = start(&place, &flags);
    terminal.then("Is it there?");
    assert!(place.path().join("secrets/id_ed25519").exists());
    terminal.hang_up();
    let until = Instant::now() + Duration::from_secs(20);
    while place.path().join("secrets").exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_untouched(&place);
}

fn there_already(scene: &Scene) {
    let place = place(scene);
    let old = "AGE-SECRET-KEY-OF-AN-EARLIER-TIME";
    std::fs::create_dir(place.path().join("secrets")).unwrap();
    crate::secret(&place, "secrets/age-identity", old);
    let mut terminal = start(&place, &changed(scene, &[]));
    terminal.then("replaced");
    // What is there is named; it is no identity, and another one is.
    let identity = age::x25519::Identity::generate();
    let text = age::secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned();
    crate::secret(&place, "secrets/other-identity", &text);
    terminal.then("Kept");
    terminal.press("\u{1b}[B\r");
    terminal.answer("The file's path", "secrets/other-identity");
    terminal.answer("Its public key", &identity.to_public().to_string());
    let (status, seen) = terminal.end();
    assert_eq!(status, 0, "{seen}");
    assert_eq!(std::fs::read_to_string(place.path().join("secrets/age-identity")).unwrap(), old);
    let file = std::fs::read_to_string(place.path().join("hactl.toml")).unwrap();
    assert!(file.contains("identity = { file = \"secrets/other-identity\" }"), "{file}");
}
