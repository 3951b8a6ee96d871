//! At a terminal: questions, wrong answers, and being interrupted.

use crate::terminal::Terminal;
use crate::{Case, Scene, assert_good, assert_untouched, by_flags, endpoint, fingerprint, place};

pub(crate) const CASES: &[Case] = &[
    ("at_terminal::a_wrong_answer_is_asked_again_and_the_file_passes_check", dialogue),
    ("at_terminal::what_fails_can_be_answered_anew", anew),
    ("at_terminal::ctrl_c_in_the_midst_leaves_nothing", interrupted),
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
    // The first that is offered is a new one.
    terminal.answer("Kept", "");
    terminal.answer("  tool:", "jq");
    let (status, seen) = terminal.end();
    assert_eq!(status, 0, "{seen}");
    assert!(seen.contains("next: hactl check"), "{seen}");
    let text = assert_good(&place, scene);
    assert!(text.contains("bucket = \"init-dialogue\"") && text.contains("fleet = \"pair\""), "{text}");
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
    assert!(seen.contains("stopped at the question") && seen.contains("nothing was written"), "{seen}");
    assert_untouched(&place);
    // Also where something else than a question goes on.
    let mut terminal = start(&place, &flags);
    terminal.answer("Is it there?", "y");
    terminal.then("What now?");
    terminal.press("\u{3}");
    let (_shells, _seen) = terminal.end();
    assert_untouched(&place);
}
