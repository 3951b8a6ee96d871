//! What a process that knows a secret says, whatever it is made to say.

use std::process::{Command, Output};

use hactl::diagnostic::{Error, codes};
use hactl::event::{Event, Listener as _};
use hactl::redact::Redactor;
use hactl::render::{Format, Out, Progress, error, panic};
use secrecy::SecretString;

use crate::{Test, place};

pub(crate) const TESTS: &[Test] = tests![no_way_out_of_the_process_shows_a_secret];

/// Set in a process that is to say something: in which way.
pub(crate) const INNER: &str = "HACTL_TEST_INNER_QUIET";

const SECRET: &str = "Tr0ub4dor/and+3 \"quoted\"";

/// The secret as it is, encoded and broken, and what a terminal would obey.
fn hostile() -> String {
    let url = "Tr0ub4dor%2Fand%2B3%20%22quoted%22";
    let base64 = "VHIwdWI0ZG9yL2FuZCszICJxdW90ZWQi";
    let json = serde_json::to_string(SECRET).unwrap();
    let broken = SECRET.replace("and", "an\nd");
    let wrapped = base64.replace("ZG9y", "ZG\n9y");
    format!(
        "\u{1b}]0;title\u{7}{SECRET} | {url} | {base64} | {json} | {broken} | {wrapped} | \u{1b}[2J\u{9b}31m\u{202e} end"
    )
}

/// What must not be seen anywhere.
fn assert_quiet(what: &str, said: &str) {
    let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.matches("[secret password]").count() >= 6, "{what}: {said}");
    for part in ["Tr0ub4dor", "quoted", "VHIwdWI0", "xdW90ZWQi"] {
        assert!(!said.contains(part), "{what}: {part} in {said}");
    }
    let controls = said.chars().filter(|c| *c != '\n' && !hactl::redact::is_plain(*c)).count();
    assert_eq!(controls, 0, "{what}: {said:?}");
    assert!(!said.contains("\\u00") && !said.contains("\\u20"), "{what}: {said}");
}

pub(crate) fn inner(what: &str) {
    panic::install();
    Redactor::of_process().learn("password", &SecretString::from(SECRET.to_owned()));
    let format = if what.contains("json") { Format::Json } else { Format::Human };
    let out = Out::new(format);
    let failure = || {
        Error::new(codes::IO, hostile())
            .source(std::io::Error::other(hostile()))
            .state(hostile())
            .next(hostile())
            .host("node-1")
    };
    match what {
        "event lines" | "event json" => {
            let progress = Progress::new(&out);
            progress.event(Event::Busy { place: place(), doing: hostile() });
            progress.event(Event::Found { place: place(), weight: "warning", text: hostile() });
        }
        "error" => print!("{}", error::text(&failure(), error::Look::Plain, &out)),
        "error json" => out.object(&error::ErrorEvent::new(&failure(), &out)).unwrap(),
        "panic" => panic!("{}", hostile()),
        "panic elsewhere" => {
            let _ = std::thread::spawn(|| panic!("{}", hostile())).join();
        }
        other => panic!("{other}?"),
    }
}

async fn no_way_out_of_the_process_shows_a_secret() {
    for what in ["event lines", "event json", "error", "error json", "panic", "panic elsewhere"] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let ran = command.env(INNER, what).env_remove("RUST_BACKTRACE").output();
        let Output { stdout, stderr, .. } = ran.unwrap();
        let said = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
        assert_quiet(what, &said);
    }
}
