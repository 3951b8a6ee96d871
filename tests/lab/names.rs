//! Names that PostgreSQL allows, whatever they hold: databases, roles, schemas, tables and columns are looked at, dumped,
//! restored and compared like any others, and nothing of their names is carried out.

use std::fmt::Write as _;

use crate::Test;
use crate::common::lab::{Lab, Scene};
use crate::outside::psql;
use crate::proof_fails::{apart, assert_nothing_is_left};

pub(crate) const TESTS: &[Test] = &[("names::whatever_they_hold_are_names", whatever_they_hold)];

/// Each would do something, or become something else, where a shell, an option parser, psql or libpq read it.
fn hostile() -> Vec<String> {
    let mut names: Vec<String> = [
        "-d postgres",
        "--version",
        "it's \"quoted\"",
        "back\\slash \\! touch /tmp/executed",
        "new\nline\n\\! touch /tmp/executed",
        ":'x' :\"y\" %s%n",
        "$$ $tag$ $(touch /tmp/executed)",
        "`touch /tmp/executed`; touch /tmp/executed #",
        "host=127.0.0.1 port=9 dbname=postgres",
        "postgresql://127.0.0.1:9/postgres",
        "tab\t*?~{a,b} \u{e9}\u{4e16}",
    ]
    .map(str::to_owned)
    .to_vec();
    // As long as a name can be.
    names.push("x".repeat(63));
    names
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn sql(lab: &Lab, database: &str, statements: &str) -> String {
    assert!(!statements.contains("EOF"));
    let run =
        format!("sudo -u postgres psql -XAtq -v ON_ERROR_STOP=1 -d {database} <<'EOF'\n{statements}\nEOF");
    lab.read("node-1", &run)
}

fn whatever_they_hold() {
    let lab = Lab::up("names", Scene::SingleServer);
    let names = hostile();
    let (mut inside, mut databases) = (String::new(), String::new());
    // The names of databases too, but for those that a backup could not hold: pgBackRest keeps them as lines of a file.
    // Each takes its time, so those that differ in who would trip over them.
    let kept = [
        "-d postgres",
        "it's \"quoted\"",
        "$$ $tag$ $(touch /tmp/executed)",
        "host=127.0.0.1 port=9 dbname=postgres",
    ];
    for (number, plain) in names.iter().enumerate() {
        let name = quoted(plain);
        if kept.contains(&plain.as_str()) {
            let _ = writeln!(databases, "CREATE DATABASE {name} TEMPLATE odd;");
        }
        let _ = writeln!(
            inside,
            "CREATE ROLE {name} LOGIN; CREATE SCHEMA {name}; CREATE TABLE {name}.{name} ({name} int PRIMARY KEY);\n\
             INSERT INTO {name}.{name} SELECT generate_series(1, {});\nGRANT SELECT ON {name}.{name} TO {name};",
            number + 10
        );
    }
    sql(&lab, "postgres", "CREATE DATABASE odd;");
    sql(&lab, "odd", &inside);
    sql(&lab, "postgres", &databases);

    let workspace = apart(&lab);
    for phase in ["0", "1", "2"] {
        workspace.must(&["phase", "run", phase, "--yes"]);
    }
    workspace.must(&["phase", "verify", "0"]);
    // Each of them was compared in every table, in both proofs.
    let rows: usize = (0..names.len()).map(|number| number + 10).sum();
    for proof in ["cell-postgres/restore", "cell-postgres/dump"] {
        let shown = workspace.must(&["proof", "show", proof, "--output", "json"]).stdout;
        let shown: serde_json::Value = serde_json::from_str(shown.lines().next().unwrap()).unwrap();
        let facts = shown.to_string();
        assert!(facts.matches(&format!("{rows} rows")).count() > kept.len(), "{proof}: {facts}");
    }
    assert_eq!(psql(&lab, "postgres", "SELECT count(*) FROM pg_database WHERE datname ~ $$executed$$"), "1");
    for node in ["node-1", "prover"] {
        lab.read(node, "test ! -e /tmp/executed && test ! -e /executed");
    }
    assert!(!std::path::Path::new("/tmp/executed").exists());
    assert_nothing_is_left(&lab);
    workspace.must(&["phase", "rollback", "0", "--yes"]);
}
