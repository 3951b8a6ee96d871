//! Every text of `hactl.toml`, whatever it holds, is refused by name or stays data: nothing of it is carried out.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::cli::Place;

/// The texts of a workspace: the table they stand in and their key.
const TEXTS: &[(&str, &str)] = &[
    ("top", "runbook"),
    ("top", "fleet"),
    ("ssh", "user"),
    ("ssh", "identity"),
    ("host", "name"),
    ("host", "address"),
    ("host", "private_address"),
    ("host", "user"),
    ("host", "jump"),
    ("host", "identity"),
    ("s3", "endpoint"),
    ("s3", "region"),
    ("s3", "bucket"),
    ("s3", "ca"),
    ("postgres", "role"),
    ("postgres", "version"),
    ("postgres", "cluster"),
    ("postgres", "socket_dir"),
];

fn hostile(canary: &str) -> Vec<String> {
    vec![
        format!("$(touch {canary})"),
        format!("`touch {canary}`"),
        format!("x; touch {canary}"),
        format!("x' ; touch {canary} ; '"),
        format!("x\" ; touch {canary} ; \""),
        format!("x\n  ProxyCommand touch {canary}"),
        format!("x\n  LocalCommand touch {canary}\n  PermitLocalCommand yes"),
        format!("-oProxyCommand=touch {canary}"),
        format!("%h|touch {canary}"),
        format!("${{HOME}}/../$(touch {canary})"),
        "\u{1b}]0;owned\u{7}".to_owned(),
        "x".repeat(100 * 1024),
        String::new(),
    ]
}

fn write(place: &Place, table: &str, key: &str, text: &str) {
    let mut all = vec![
        ("top", "runbook", "./small.toml".to_owned()),
        ("top", "fleet", "pair".to_owned()),
        ("ssh", "user", "ops".to_owned()),
        ("host", "name", "node-1".to_owned()),
        ("host", "address", "127.0.0.1".to_owned()),
        ("s3", "endpoint", "https://127.0.0.1:9".to_owned()),
        ("s3", "region", "r".to_owned()),
        ("s3", "bucket", "backups".to_owned()),
        ("postgres", "instance", "systemd".to_owned()),
        ("postgres", "role", "web".to_owned()),
        ("postgres", "version", "17".to_owned()),
        ("postgres", "cluster", "main".to_owned()),
    ];
    all.retain(|(t, k, _)| (*t, *k) != (table, key));
    all.push(match TEXTS.iter().find(|(t, k)| (*t, *k) == (table, key)) {
        Some((table, key)) => (table, key, text.to_owned()),
        None => return,
    });
    let part = |wanted: &str| -> String {
        let of = all.iter().filter(|(table, ..)| *table == wanted);
        of.map(|(_, key, text)| format!("{key} = {}\n", toml::Value::String(text.clone()))).collect()
    };
    let secret = "{ file = \"secrets/none\" }";
    let text = format!(
        "{}[ssh]\nport = 9\n{}[[host]]\nroles = [\"web\"]\n{}[s3]\naccess_key = {secret}\nsecret_key = {secret}\n\
         restore_access_key = {secret}\nrestore_secret_key = {secret}\n{}[postgres]\n{}",
        part("top"),
        part("ssh"),
        part("host"),
        part("s3"),
        part("postgres"),
    );
    place.write("hactl.toml", &text);
}

#[test]
fn no_text_of_a_workspace_is_carried_out() {
    let place = common::cli::small();
    let canary = place.path().join("canary");
    let (mut refused, mut kept) = (0, 0);
    for (table, key) in TEXTS {
        for text in hostile(canary.to_str().unwrap()) {
            write(&place, table, key, &text);
            let check = place.hactl(&["check"]);
            let what = format!("{table}.{key} = {:?}", text.chars().take(60).collect::<String>());
            assert!(!check.to_string().contains('\u{1b}'), "{what}: {check}");
            assert!([0, 2].contains(&check.status), "{what}: {check}");
            if check.status == 2 {
                refused += 1;
                assert!(check.stderr.contains(key), "{what} is refused by name: {check}");
            } else {
                kept += 1;
                for args in [&["doctor"][..], &["plan", "--dry-run"]] {
                    let ran = place.hactl(args);
                    assert!(!ran.to_string().contains('\u{1b}'), "{what}: {ran}");
                    assert!(!ran.stderr.contains("made a mistake"), "{what}: {ran}");
                }
            }
            assert!(!canary.exists(), "{what} was carried out");
        }
    }
    assert!(refused > 100 && kept > 5, "{refused} refused, {kept} kept");
}
