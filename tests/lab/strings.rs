//! Strings of a runbook, whatever they hold, arrive on a server as data, through every way there: arguments, standard
//! input, a probe's path, a setting of PostgreSQL.

use std::fmt::Write as _;

use crate::Test;
use crate::common::lab::{Lab, Scene};
use crate::outside::psql;

pub(crate) const TESTS: &[Test] = &[("strings::arrive_as_data", arrive_as_data)];

/// Each would do something, or become something else, where a shell, an option parser or SQL read it.
fn odd() -> Vec<String> {
    let mut all: Vec<String> = [
        "",
        " ",
        "-n",
        "--help",
        "-oProxyCommand=touch /tmp/executed",
        "$(touch /tmp/executed)",
        "`touch /tmp/executed`",
        "; touch /tmp/executed #",
        "\n touch /tmp/executed\n",
        "' || touch /tmp/executed; '",
        "\"; touch /tmp/executed; \"",
        "'; DROP TABLE slots; --",
        "$$; $tag$ :'x' :\"y\" \\! touch /tmp/executed",
        "\\",
        "\\'",
        "%s%n",
        "* ? ~ {a,b} !!",
        "äöü €",
        "\t\r\n",
        "a=b",
    ]
    .map(str::to_owned)
    .to_vec();
    all.push("x'\"$".repeat(25 * 1024));
    all
}

fn toml(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn arrive_as_data() {
    let lab = Lab::up("strings", Scene::SingleServer);
    let odd = odd();
    // What PostgreSQL shows of a setting, and what a path can be.
    let setting: String =
        odd.iter().filter(|s| s.len() < 100).map(|s| s.replace(['\n', '\r', '\t'], " ")).collect();
    let path = "/srv/odd/-n $(touch executed) `id` '\"; x\\";
    let mut runbook = "[runbook]\nname = \"strings\"\ntitle = \"Odd strings\"\nsummary = \"For tests.\"\n\
         [roles.postgres]\nhelp = \"the server\"\n[[phase]]\nid = \"0\"\ntitle = \"All\"\n"
        .to_owned();
    let mut step = |id: &str, argv: &[String], stdin: &str, path: &str| {
        let argv: Vec<String> = argv.iter().map(|word| toml(word)).collect();
        let _ = write!(
            runbook,
            "[[phase.step]]\nid = \"{id}\"\ntitle = \"{id}\"\non = \"postgres\"\n[phase.step.action.command]\n\
             argv = [{}]\nstdin = {}\nchange = {}\neffect = \"idempotent\"\nundo = [\"true\"]\n\
             observe = {{ file = {{ path = {} }} }}\n",
            argv.join(", "),
            toml(stdin),
            toml(&odd[13]),
            toml(path),
        );
    };
    let own = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let short: Vec<String> = odd.iter().filter(|s| s.len() < 1000).cloned().collect();
    let script = own(&["sh", "-c", "mkdir -p /srv/odd; printf '%s\\0' \"$@\" >/srv/odd/words", "name"]);
    step("words", &[script, short.clone()].concat(), "", "/srv/odd/words");
    // One argument of 100 KiB, and one that no program can be given.
    let long = own(&["sh", "-c", "printf %s \"$1\" >/srv/odd/long", "name", odd[odd.len() - 1].as_str()]);
    step("long", &long, "", "/srv/odd/long");
    let input = odd.concat();
    step("input", &own(&["sh", "-c", "cat >/srv/odd/input"]), &input, "/srv/odd/input");
    step("path", &own(&["touch", "--", path]), "", path);
    for (id, kind) in [("monitor-role", "postgres_monitor"), ("monitor-access", "postgres_access")] {
        let _ = write!(
            runbook,
            "[[phase.step]]\nid = \"{id}\"\ntitle = \"{id}\"\non = \"postgres\"\naction.{kind} = {{}}\n"
        );
    }
    let _ = write!(
        runbook,
        "[[phase.step]]\nid = \"setting\"\ntitle = \"setting\"\non = \"postgres\"\n\
         [phase.step.action.postgres_settings.settings]\nlog_line_prefix = {}\n",
        toml(&setting),
    );
    let workspace = lab.workspace_of("strings.toml", &runbook);
    workspace.must(&["phase", "run", "0", "--yes"]);

    let kept = |file: &str| {
        let hex = lab.read("node-1", &format!("od -An -v -tx1 {file} | tr -d ' \\n'"));
        let bytes: Vec<u8> =
            (0..hex.len() / 2).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap()).collect();
        String::from_utf8(bytes).unwrap()
    };
    let words: String = short.iter().map(|word| format!("{word}\0")).collect();
    assert!(kept("/srv/odd/words") == words);
    assert!(kept("/srv/odd/long") == odd[odd.len() - 1]);
    assert!(kept("/srv/odd/input") == input);
    assert_eq!(lab.read("node-1", "ls /srv/odd | wc -l"), "4");
    assert_eq!(psql(&lab, "cell", "SHOW log_line_prefix"), setting.trim());
    // Nothing of it was carried out, there or here.
    lab.read("node-1", "test ! -e /tmp/executed && test ! -e /executed");
    assert!(!std::path::Path::new("/tmp/executed").exists());
    assert!(psql(&lab, "cell", "SELECT count(*) FROM slots").parse::<u64>().unwrap() > 0);
    workspace.must(&["phase", "verify", "0"]);
}
