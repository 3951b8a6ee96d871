use secrecy::SecretString;

use super::Redactor;

fn knowing(secret: &str) -> Redactor {
    let redactor = Redactor::new();
    redactor.learn("s3-key", &SecretString::from(secret.to_owned()));
    redactor
}

/// An encoder of its own, so that the one under test is not its own witness.
fn base64(bytes: &[u8]) -> String {
    let table: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let word = group.iter().chain([0, 0].iter()).take(3).fold(0, |w, b| (w << 8) | usize::from(*b));
        for position in 0..=group.len() {
            text.push(table[(word >> (18 - 6 * position)) & 63]);
        }
        text.extend(std::iter::repeat_n('=', 3 - group.len()));
    }
    text
}

#[test]
fn a_secret_is_found_as_it_is_and_encoded() {
    let secret = "p@ss/w+rd \"x\" ~9";
    let redactor = knowing(&format!("{secret}\n"));
    for text in [
        format!("key={secret}."),
        "key=p%40ss%2Fw%2Brd%20%22x%22%20~9.".to_owned(),
        "key=p%40ss%2fw%2brd%20%22x%22%20~9.".to_owned(),
        r#"{"key":"p@ss/w+rd \"x\" ~9"}"#.to_owned(),
    ] {
        let clean = redactor.redact_text(&text);
        assert!(clean.contains("[secret s3-key]") && !clean.contains("~9"), "{clean}");
    }
    assert_eq!(redactor.redact_text("nothing here"), "nothing here");
    assert_eq!(redactor.redact(b"\xff\xfe"), &b"\xff\xfe"[..]);
}

#[test]
fn a_secret_is_found_in_base64_wherever_it_begins_in_it() {
    let secret = "hunter2-hunter2";
    let redactor = knowing(secret);
    for before in ["", "u", "us", "user:", "user2:"] {
        for after in ["", "!", "!!"] {
            let text = base64(format!("{before}{secret}{after}").as_bytes());
            for text in [text.clone(), text.replace('+', "-").replace('/', "_")] {
                let clean = redactor.redact_text(&format!("Authorization: Basic {text}"));
                assert!(clean.contains("[secret s3-key]"), "{before}…{after}: {clean}");
            }
        }
    }
}

#[test]
fn a_key_of_several_lines_is_found_line_by_line_and_the_longer_secret_wins() {
    let redactor = knowing("-----BEGIN KEY-----\nabcdefgh\nijklmnop\n-----END KEY-----\n");
    assert_eq!(redactor.redact_text("x ijklmnop y"), "x [secret s3-key] y");
    assert_eq!(redactor.redact_text("-----END KEY-----"), "-----END KEY-----");
    redactor.learn("longer", &SecretString::from("abcdefgh-and-more".to_owned()));
    assert_eq!(redactor.redact_text("abcdefgh-and-more"), "[secret longer]");
    assert!(!format!("{redactor:?}").contains("abcdefgh"));
}

#[test]
fn what_is_too_short_is_left_alone() {
    assert_eq!(knowing("abc").redact_text("abc"), "abc");
}

#[test]
fn it_does_not_matter_how_its_characters_are_written() {
    let redactor = knowing("p@ss/w+rd \"x\" ~9");
    for text in [
        // Only some of what could be escaped is, and in either case.
        "key=p@ss/w%2Brd+%22x%22+%7E9.",
        "key=p%40ss/w%2brd%20\"x\"%20~9.",
        r#"key=p\u0040ss\/w+rd \"x\" ~9."#,
        r#"key=p@ss\x2fw+rd \'x"#,
    ] {
        let clean = redactor.redact_text(text);
        let whole = text.contains('9');
        assert_eq!(clean.contains("[secret s3-key]"), whole, "{text} became {clean}");
    }
    let hex = redactor.redact_text("\\x704073732f772b726420227822207e39");
    assert_eq!(hex, "\\x[secret s3-key]");
    assert!(redactor.redact_text("704073732F772B726420227822207E39").starts_with("[secret"));
}

#[test]
fn a_secret_on_two_lines_is_found() {
    let secret = "hunter2-hunter2-hunter2-and more of it-hunter2-hunter2-hunter2-hunter2";
    let redactor = knowing(secret);
    let mut wrapped = base64(secret.as_bytes());
    wrapped.insert(40, '\n');
    for text in [
        wrapped.clone(),
        wrapped.replace('\n', "\r\n"),
        // As JSON, as a URL, and as hactl joins lines.
        wrapped.replace('\n', "\\n"),
        wrapped.replace('\n', "%0D%0A"),
        wrapped.replace('\n', "; "),
        secret.replace("-and", "-\n   and"),
        secret.replace(" more", "\n      more"),
        secret.replace(" more", "+more"),
    ] {
        let clean = redactor.redact_text(&format!("it is {text} there"));
        assert!(clean.starts_with("it is [secret s3-key]") && clean.ends_with(" there"), "{clean}");
        assert!(clean.len() < 40, "{clean}");
    }
    // Two halves with something else between them are no secret that could be found.
    assert_eq!(redactor.redact_text("hunter2- a"), "hunter2- a");
}

#[test]
fn what_was_cut_in_the_midst_of_a_secret_is_found() {
    let redactor = knowing("correct-horse-battery-staple");
    for (text, clean) in [
        ("the password is correct-horse-b", "the password is [secret s3-key]"),
        ("the password is correct-horse-b…", "the password is [secret s3-key]…"),
        ("battery-staple is it", "[secret s3-key] is it"),
        ("exit status 1: attery-staple; more", "exit status 1: [secret s3-key]; more"),
        ("tty says ect-horse-batt!", "tty says [secret s3-key]!"),
        ("a correct horse", "a correct horse"),
        ("a staple", "a staple"),
    ] {
        assert_eq!(redactor.redact_text(text), clean);
    }
}

#[test]
fn of_a_short_secret_half_is_found_where_the_text_was_cut_and_only_there() {
    let redactor = knowing("Tr0ub4dor&3");
    for (text, clean) in [
        ("it is Tr0ub4", "it is [secret s3-key]"),
        ("4dor&3 it is", "[secret s3-key] it is"),
        ("it is Tr0ub4 so", "it is Tr0ub4 so"),
        ("it is Tr0u", "it is Tr0u"),
    ] {
        assert_eq!(redactor.redact_text(text), clean);
    }
}

#[test]
fn secrets_that_overlap_leave_nothing_standing() {
    let redactor = knowing("abcdefgh");
    redactor.learn("other", &SecretString::from("efghijkl".to_owned()));
    assert_eq!(redactor.redact_text("x abcdefghijkl y"), "x [secret s3-key] y");
}

#[test]
fn clean_text_has_neither_secrets_nor_controls() {
    let redactor = knowing("hunter2-hunter2");
    assert_eq!(redactor.clean("a\u{1b}[31m hunter2\u{1b}[0m-hunter2\u{9b}J!"), "a [secret s3-key]!");
    let mut value = serde_json::json!({"a": ["hunter2-hunter2", 5, {"b": "\u{1b}]0;t\u{7}x"}], "c": null});
    redactor.clean_json(&mut value);
    assert_eq!(value, serde_json::json!({"a": ["[secret s3-key]", 5, {"b": "x"}], "c": null}));
}

#[test]
fn a_clone_learns_what_the_original_learns() {
    let one = Redactor::new();
    let other = one.clone();
    one.learn("x", &SecretString::from("hunter2-hunter2".to_owned()));
    assert_eq!(other.redact_text("hunter2-hunter2"), "[secret x]");
    assert_eq!(Redactor::new().redact_text("hunter2-hunter2"), "hunter2-hunter2");
}
