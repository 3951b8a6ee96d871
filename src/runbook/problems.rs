//! What the operator reads for each problem: one snapshot a case.

use super::synthetic::{RUNBOOK, WORKSPACE, changed, shown};

/// Snapshots the problems of a runbook or a workspace that differs from a good one in one place.
macro_rules! problems {
    ($($name:ident: $file:ident, $from:expr => $to:expr;)*) => {$(
        #[test]
        fn $name() {
            let shown = $file($from, $to);
            insta::assert_snapshot!(stringify!($name), shown);
        }
    )*};
}

fn runbook(from: &str, to: &str) -> String {
    shown(WORKSPACE, &changed(RUNBOOK, from, to))
}

fn workspace(from: &str, to: &str) -> String {
    shown(&changed(WORKSPACE, from, to), RUNBOOK)
}

#[test]
fn the_good_files_have_no_problems() {
    assert_eq!(shown(WORKSPACE, RUNBOOK), "no problems");
}

problems! {
    unknown_kind: runbook, "action.write]" => "action.wirte]";
    unknown_probe: runbook, "disk_free" => "disk_fere";
    unknown_key_of_a_step: runbook, "timeout = " => "timout = ";
    unknown_keys_of_a_kind: runbook, "path = \"/tmp/${host.name}\"" => "path = \"/\"\ntxet = \"a\"\nprot = 1";
    missing_key_of_a_kind: runbook, "path = \"/tmp/${host.name}\"" => "";
    ill_typed_key_of_a_kind: runbook, "port = \"${inputs.port}\"" => "port = true";
    unknown_word: runbook, "port = \"${inputs.port}\"" => "mode = \"apend\"";
    unknown_reference: runbook, "${inputs.port}" => "${inputs.prot}";
    unknown_reference_root: runbook, "${inputs.port}" => "${HOME}";
    unknown_output: runbook, "${steps.inspect.digest}" => "${steps.inspect.digset}";
    unknown_step: runbook, "${steps.inspect.digest}" => "${steps.inspekt.digest}";
    unclosed_reference: runbook, "${inputs.port}" => "${inputs.port";
    ill_typed_reference: runbook, "${inputs.port}" => "${inputs.public_host}";
    list_among_text: runbook, "${steps.inspect.digest}" => "${steps.inspect.names}";
    secret_output: runbook, "old-${steps.inspect.digest}" => "${steps.inspect.pass}";
    forward_reference: runbook, "${s3.bucket}" => "${steps.retire.bytes}";
    role_with_several_hosts: runbook, "${host.name}" => "${role.web}";
    host_of_no_step: runbook, "on = \"postgres\"\n\n[phase.step.action.write]" => "\n[phase.step.action.write]";
    output_of_several_hosts: runbook,
        "title = \"Look around\"\non = \"postgres\"" => "title = \"Look around\"\non = \"web\"";
    two_kinds: runbook, "[[phase.step.require]]" => "[phase.step.action.drop]\ndatabase = \"a\"\n\n[[phase.step.require]]";
    two_kinds_of_probe: runbook, "at_least = \"1GiB\" }" => "at_least = \"1GiB\" }\ntcp = { port = 1 }";
    no_kind: runbook, "[phase.step.action.drop]\ndatabase = \"old-${steps.inspect.digest}\"" => "";
    duplicate_step: runbook, "id = \"retire\"" => "id = \"inspect\"";
    duplicate_phase: runbook, "id = \"1\"" => "id = \"0\"";
    duplicate_input: runbook, "[inputs.port]" => "[inputs.public_host]";
    phase_id_as_number: runbook, "id = \"1\"" => "id = 1";
    bad_step_id: runbook, "id = \"retire\"" => "id = \"Retire all\"";
    gate_too_weak: runbook, "gate = \"type\"" => "gate = \"confirm\"";
    gate_missing_on_irreversible: runbook, "gate = \"type\"\n" => "";
    gate_unknown: runbook, "gate = \"type\"" => "gate = \"tpye\"";
    gate_sign: runbook, "gate = \"type\"" => "gate = \"sign\"";
    unknown_role: runbook, "on = \"postgres\"\ngate" => "on = \"postgers\"\ngate";
    once_on_several_hosts: runbook, "on = \"postgres\"\ngate" => "on = \"web\"\ngate";
    bare_timeout: runbook, "timeout = \"90s\"" => "timeout = 90";
    bare_timeout_text: runbook, "timeout = \"90s\"" => "timeout = \"90\"";
    bare_duration_in_a_kind: runbook, "port = \"${inputs.port}\"" => "every = 30";
    bare_size_in_a_probe: runbook, "\"1GiB\"" => "1073741824";
    ill_typed_default: runbook, "default = 443" => "default = \"https\"";
    unknown_input_type: runbook, "type = \"integer\"" => "type = \"int\"";
    secret_in_clear_in_a_kind: runbook, "port = \"${inputs.port}\"" => "key = \"hunter2\"";
    secret_in_clear_in_a_table_of_a_kind: runbook, "port = \"${inputs.port}\"" => "[phase.step.action.write.key]\nvalue = \"hunter2\"";
    several_syntax_errors: runbook, "title = \"Two phases\"\n" => "title = Two phases\n= 5\nsummary2 = \"unclosed\n";
    no_runbook_table: runbook, "[runbook]\nname = \"synthetic\"\ntitle = \"Two phases\"\nsummary = \"For the tests of loading.\"" => "";
    empty_phase: runbook, "[[phase]]\nid = \"1\"" => "[[phase]]\nid = \"x\"\ntitle = \"Empty\"\n\n[[phase]]\nid = \"1\"";

    missing_input: workspace, "public_host = \"f2.example\"" => "";
    missing_inputs_table: workspace, "[inputs]\npublic_host = \"f2.example\"" => "";
    ill_typed_input: workspace, "public_host = \"f2.example\"" => "public_host = 5";
    unknown_input: workspace, "public_host = \"f2.example\"" => "public_host = \"a\"\npublik_port = 5";
    role_without_hosts: workspace, "roles = [\"postgres\"]" => "roles = []";
    role_with_too_few_hosts: workspace, "roles = [\"web\"]\nport" => "roles = []\nport";
    role_with_too_many_hosts: workspace, "roles = [\"web\"]\nport" => "roles = [\"web\", \"postgres\"]\nport";
    duplicate_host: workspace, "name = \"web-2\"" => "name = \"web-1\"";
    unknown_jump: workspace, "jump = \"node-1\"" => "jump = \"node1\"";
    jump_circle: workspace, "roles = [\"postgres\"]" => "roles = [\"postgres\"]\njump = \"web-1\"";
    address_like_an_option: workspace, "address = \"10.77.0.21\"" => "address = \"-oProxyCommand=sh\"";
    address_with_a_blank: workspace, "address = \"10.77.0.21\"" => "address = \"10.77.0.21 evil\"";
    no_user: workspace, "user = \"ops\"\n" => "";
    old_postgresql: workspace, "version = \"17\"" => "version = \"15\"";
    pod: workspace, "\"systemd\"" => "\"pod\"";
    secret_in_clear: workspace, "secret_key = { env = \"S3_SECRET\" }" => "secret_key = \"hunter2\"";
    secret_in_clear_in_a_table: workspace, "{ file = \"secrets/cipher\" }" => "{ value = \"hunter2\" }";
    secret_in_clear_of_many_lines: workspace, "{ sops = \"secrets.yaml#age.identity\" }" => "\"\"\"\nhunter2\nhunter3\n\"\"\"\nrecipient = \"x\"";
    secret_beside_a_syntax_error: workspace, "secret_key = { env = \"S3_SECRET\" }" => "secret_key = \"hunter2\nregion = \"x\"";
    secret_in_clear_in_a_table_of_its_own: workspace, "secret_key = { env = \"S3_SECRET\" }" => "[s3.secret_key]\nvalue = \"hunter2\"";
    secret_under_a_misspelt_key: workspace, "cipher_pass = { file = \"secrets/cipher\" }" => "ciper_phrase = \"hunter2\"";
    plain_http: workspace, "https://" => "http://";
    half_a_restore_key: workspace, "bucket = \"backups\"" => "bucket = \"backups\"\nrestore_access_key = { env = \"A\" }";
    no_public_key: workspace, "age1ql3" => "AGE-SECRET-KEY-1QL3";
    unknown_table: workspace, "[pgbackrest]" => "[pgbakrest]";
    runbook_file_not_found: workspace, "runbook = \"runbook.toml\"" => "runbook = \"runbok.toml\"";
    bundled_runbook_not_found: workspace, "runbook = \"runbook.toml\"" => "runbook = \"cel0\"";
    no_runbook: workspace, "runbook = \"runbook.toml\"\n" => "";
}

#[test]
fn problems_of_both_files_come_in_one_error() {
    let workspace = changed(WORKSPACE, "fleet = \"acme\"", "fleet = \"ACME\"");
    let workspace = changed(&workspace, "public_host", "public_hots");
    let runbook = changed(RUNBOOK, "action.drop]", "action.drpo]");
    let runbook = changed(&runbook, "timeout = \"90s\"", "timeout = 90");
    insta::assert_snapshot!("problems_of_both_files", shown(&workspace, &runbook));
}

#[test]
fn a_file_that_is_not_utf8_is_a_problem_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hactl.toml");
    std::fs::write(&file, b"fleet = \"\xff\"").unwrap();
    let error = super::load::<super::synthetic::Synthetic>(&file).unwrap_err();
    assert_eq!(error.file_problems()[0].to_string(), "not UTF-8 text");
}

#[test]
fn no_secret_of_a_snapshot_is_ever_shown() {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/runbook/snapshots")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("hunter"), "{text}");
    }
}
