//! The command line, in an empty environment and without a terminal.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use clap::CommandFactory as _;
use clap_complete::Shell;
use common::cli::{HACTL_TOML, Place, small, unreachable};
use hactl::cli::{Cli, completions};
use insta::assert_snapshot;
use secrecy::ExposeSecret as _;

/// Every command with its help, as the binary prints it: what is shown here is what people and scripts rely on.
#[test]
#[cfg_attr(not(feature = "lab"), ignore = "the tree is that of the default features")]
fn the_whole_help() {
    let place = Place::new();
    let mut text = String::new();
    let mut command = Cli::command();
    command.build();
    collect(&place, &command, &mut Vec::new(), &mut text);
    assert_snapshot!("help", text);
}

fn collect(place: &Place, command: &clap::Command, path: &mut Vec<String>, text: &mut String) {
    let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
    args.push("--help");
    let ran = place.hactl(&args);
    assert_eq!(ran.status, 0, "{ran}");
    let _ = writeln!(text, "$ hactl {}\n{}", args.join(" "), ran.stdout);
    for sub in command.get_subcommands() {
        path.push(sub.get_name().to_owned());
        collect(place, sub, path, text);
        path.pop();
    }
}

/// `completions/` is generated. Where it drifted: `UPDATE_COMPLETIONS=1 cargo test --test cli completions`.
#[test]
#[cfg_attr(not(feature = "lab"), ignore = "the completions are those of the default features")]
fn the_completions_are_those_of_the_commands() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("completions");
    for (shell, name) in [(Shell::Bash, "hactl.bash"), (Shell::Zsh, "_hactl"), (Shell::Fish, "hactl.fish")] {
        let path = folder.join(name);
        let now = completions::generate(shell);
        if std::env::var_os("UPDATE_COMPLETIONS").is_some() {
            std::fs::write(&path, &now).unwrap();
        }
        let kept = std::fs::read(&path).unwrap_or_default();
        assert!(kept == now, "completions/{name} is not what `hactl completions` prints now");
    }
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    assert_snapshot!(Place::new().hactl(&["statsu"]), @"
    exit 2
    --- stderr
    error: unrecognized subcommand 'statsu'

      tip: a similar subcommand exists: 'status'

    Usage: hactl [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
}

#[test]
fn without_a_workspace_the_error_says_where_it_was_looked_for() {
    assert_snapshot!(Place::new().hactl(&["check"]), @"
    exit 2
    --- stderr
    error[workspace::not_found]: there is no hactl.toml in [DIR] or a
      folder above it
      next:    go to the folder with hactl.toml, or name it: hactl --workspace DIR …
      next:    to try a runbook in a lab first: hactl rehearse
    ");
}

#[test]
fn a_sound_workspace_is_told_in_short() {
    assert_snapshot!(small().hactl(&["check"]), @"
    exit 0
    --- stdout
    runbook  small (small.toml): Two tools on two hosts
    fleet    pair, the real servers
    role     web: node-1, node-2
    phase    0: Tools (1 step, 1 gate)
    phase    1: More tools (1 step, 0 gates)
    no problems found
    ");
    assert_snapshot!(small().hactl(&["check", "--output", "json"]), @r#"
    exit 0
    --- stdout
    {"event":"checked","runbook":"small","fleet":"pair","rehearsal":null,"phases":2,"steps":2,"hosts":["node-1","node-2"]}
    "#);
}

#[test]
fn every_problem_is_shown_at_once_for_people_and_for_programs() {
    let place = small();
    place.write("hactl.toml", &HACTL_TOML.replace("\"web\"", "\"wbe\"").replace("fleet", "flet"));
    assert_snapshot!(place.hactl(&["check"]), @r#"
    exit 2
    --- stderr
    file::missing_key

      x hactl.toml lacks fleet
       ,-[hactl.toml:1:1]
     1 | runbook = "./small.toml"
       : ^
       : `-- fleet belongs here
     2 | flet = "pair"
       `----

    runbook::role_hosts

      x no host has the role web
       ,-[hactl.toml:1:11]
     1 | runbook = "./small.toml"
       :           ^^^^^^^|^^^^^^
       :                  `-- small wants it
     2 | flet = "pair"
       `----
      help: web: where the tools go; roles = ["web"] in a [[host]] gives it

    file::unknown_key

      x hactl.toml has no key "flet"
       ,-[hactl.toml:2:1]
     1 | runbook = "./small.toml"
     2 | flet = "pair"
       : ^^|^
       :   `-- not known
     3 | 
       `----
      help: did you mean "fleet"? Known: runbook, inputs, fleet, lab, ssh, host,
            s3, hcloud, postgres, pgbackrest, age, approvals, notify, state

    error[file::invalid]: 3 problems in hactl.toml
      next:    mend them, then: hactl check
    "#);
    let ran = place.hactl(&["check", "--output", "json"]);
    assert_snapshot!(ran.stdout, @r#"{"event":"error","code":"file::invalid","exit":2,"message":"3 problems in hactl.toml","causes":[],"next":["mend them, then: hactl check"],"problems":[{"code":"file::missing_key","message":"hactl.toml lacks fleet","file":"hactl.toml","line":1,"column":1},{"code":"runbook::role_hosts","message":"no host has the role web","file":"hactl.toml","line":1,"column":11,"help":"web: where the tools go; roles = [\"web\"] in a [[host]] gives it"},{"code":"file::unknown_key","message":"hactl.toml has no key \"flet\"","file":"hactl.toml","line":2,"column":1,"help":"did you mean \"fleet\"? Known: runbook, inputs, fleet, lab, ssh, host, s3, hcloud, postgres, pgbackrest, age, approvals, notify, state"}]}"#);
}

#[test]
fn a_journal_that_does_not_exist_yet_is_empty() {
    assert_snapshot!(small().hactl(&["journal", "show"]), @"
    exit 0
    --- stdout
    nothing was recorded yet
    ");
    assert_snapshot!(small().hactl(&["journal", "verify"]), @"
    exit 0
    --- stdout
    0 records, each whole and following on the one before
    0 pieces of evidence, each as it was kept
    ");
    assert_snapshot!(small().hactl(&["proof", "list"]), @"
    exit 0
    --- stdout
    nothing was proven yet
    ");
    assert_snapshot!(small().hactl(&["proof", "show", "tools/failover"]), @"
    exit 2
    --- stderr
    error[no_proof]: there is no proof tools/failover
      next:    hactl proof list
    ");
}

#[test]
fn the_golden_journal_is_told_in_words() {
    let place = small();
    place.write(".hactl/journal.jsonl", include_str!("golden/journal-v1.jsonl"));
    assert_snapshot!(place.hactl(&["journal", "show"]), @"
    exit 0
    --- stdout
        1  2026-11-21 12:00:00  the journal's last line was incomplete (17 bytes)
                                and was cut off
        2  2026-11-21 12:00:01  plan 64879f7d6b96 recorded
        3  2026-11-21 12:00:03  run run-1 of cell0, a rehearsal in lab lab, fleet
                                cell0, begun by ada@desk
        4  2026-11-21 12:00:04  ada@desk took the journal over from another machine
                                (epoch 2)
        5  2026-11-21 12:00:06  bucket: cannot tell: no answer
        6  2026-11-21 12:00:07  bucket: nothing to change
        7  2026-11-21 12:00:09  bucket: verifying
        8  2026-11-21 12:00:10  bucket: verified
                                  versioning is on
        9  2026-11-21 12:00:12  wal-archive on node-1: will change: restart
                                postgresql@17-main
       10  2026-11-21 12:00:13  wal-archive on node-1: waits for approval
       11  2026-11-21 12:00:15  wal-archive on node-1: approved by ada@desk (name
                                typed at the prompt)
       12  2026-11-21 12:00:16  wal-archive on node-1: approved by ada@desk
                                (answered by --yes in a rehearsal)
       13  2026-11-21 12:00:18  wal-archive on node-1: changing: restart
                                postgresql@17-main
       14  2026-11-21 12:00:19  wal-archive on node-1: did not begin, nothing was
                                changed: claim refused
       15  2026-11-21 12:00:21  wal-archive on node-1: under way: a restart
       16  2026-11-21 12:00:22  wal-archive on node-1: will change: restart
                                postgresql@17-main
       17  2026-11-21 12:00:24  wal-archive on node-1: changing, attempt 2: restart
                                postgresql@17-main
       18  2026-11-21 12:00:25  stopped as you asked
       19  2026-11-21 12:00:27  ada@desk goes on with: hactl resume
       20  2026-11-21 12:00:28  wal-archive on node-1: IN DOUBT: hactl was
                                interrupted
       21  2026-11-21 12:00:30  wal-archive on node-1: decided by ada@desk: it had
                                its effect
       22  2026-11-21 12:00:31  wal-archive on node-2: will change: restart
                                postgresql@17-main
       23  2026-11-21 12:00:33  wal-archive on node-2: changing: restart
                                postgresql@17-main
       24  2026-11-21 12:00:34  wal-archive on node-2: changed
       25  2026-11-21 12:00:36  wal-archive on node-2: FAILED: no segment in the
                                bucket
       26  2026-11-21 12:00:37  ada@desk accepted what has changed; approvals given
                                before count no more
       27  2026-11-21 12:00:39  wal-archive on node-2: taking back
       28  2026-11-21 12:00:40  wal-archive on node-2: TAKING BACK FAILED: unit is
                                masked
       29  2026-11-21 12:00:42  wal-archive on node-2: taking back
       30  2026-11-21 12:00:43  wal-archive on node-2: taken back
       31  2026-11-21 12:00:45  drill: skipped by ada@desk, stays unproven: not
                                tonight
       32  2026-11-21 12:00:46  proven: restore of cell-postgres (complete, on
                                another host), counts until 2026-12-21
       33  2026-11-21 12:00:48  phase 0: done
    ");
    assert_snapshot!(place.hactl(&["journal", "show", "--last", "1", "--output", "json"]), @r#"
    exit 0
    --- stdout
    {"event":"recorded","seq":33,"at":"2026-11-21T12:00:48Z","record":{"phase_done":{"phase":"0"}}}
    "#);
    assert_snapshot!(place.hactl(&["journal", "verify"]), @r#"
    exit 1
    --- stderr
    error[evidence::read]: failed to read the evidence "hactl.toml 2":
      [DIR]/.hactl/evidence/37760caebcb7ee96d2463436cab4c423d5d38bc357fdf6d0a333078f865f0460:
      No such file or directory (os error 2)
    failed to read the evidence "runbook 2":
      [DIR]/.hactl/evidence/3c05d6cfd58719bfc04b27c5289870bceaeaed34bfbcb7ec031205b9c5dc96be:
      No such file or directory (os error 2)
    failed to read the evidence "hactl.toml":
      [DIR]/.hactl/evidence/975369657befac2c89fa6c4cbb7629feb4a27aeed9e18f9eb771a08c0d20da2c:
      No such file or directory (os error 2)
    failed to read the evidence "head":
      [DIR]/.hactl/evidence/9f2e6d33a3717ee826353a404ba4618d1aeeb6879ad7936bce8ed5f46814924d:
      No such file or directory (os error 2)
    failed to read the evidence "pgbackrest info":
      [DIR]/.hactl/evidence/cadb6ccae241a493590cc2f76f24d4dc921be219f3b7f9f20ea22bec6979ffbd:
      No such file or directory (os error 2)
    failed to read the evidence "runbook":
      [DIR]/.hactl/evidence/e95a2edc459c5ba34b244df70403dd6981f11aa1bca8e325206d1cc5bc43180e:
      No such file or directory (os error 2)
    failed to read the evidence "what the gate showed":
      [DIR]/.hactl/evidence/f856f79a7029a3c60ca68061628dce1456f3a57962d9c312d473adfc592f56a6:
      No such file or directory (os error 2)
      now:     the journal's 33 records are whole; what they name as evidence is not
      next:    restore .hactl/evidence from a copy
    "#);
}

#[test]
fn a_report_is_written_from_the_journal_alone() {
    let place = small();
    assert_snapshot!(place.hactl(&["report"]), @"
    exit 2
    --- stderr
    error[no_run]: there is no run to report
      next:    hactl phase run 0
    ");
    place.write(".hactl/journal.jsonl", include_str!("golden/journal-v1.jsonl"));
    assert_snapshot!(place.hactl(&["report"]), @"
    exit 0
    --- stdout
    wrote [DIR]/reports/run-1.md
    wrote [DIR]/reports/run-1.html
    ");
    let read = |name: &str| std::fs::read_to_string(place.path().join(name)).unwrap();
    assert!(read("reports/run-1.md").starts_with("# cell0 on cell0: report of a run\n"));
    assert!(read("reports/run-1.html").starts_with("<!DOCTYPE html>"));
    let mode = |name: &str| std::fs::metadata(place.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("reports/run-1.md"), mode("reports/run-1.html")), (0o600, 0o600));
    assert_snapshot!(place.hactl(&["report", "--to", "audit", "--output", "json"]), @r#"
    exit 0
    --- stdout
    {"event":"report_written","run":"run-1","markdown":"audit/run-1.md","html":"audit/run-1.html"}
    "#);
    assert_snapshot!(place.hactl(&["report", "--run", "run-2"]), @"
    exit 2
    --- stderr
    error[usage]: the journal has no run run-2
      now:     its runs are: run-1
      next:    hactl report    (of the last one)
    ");
    // hactl.toml names the folder, and need not be valid any more.
    place.write("hactl.toml", "");
    assert_eq!(place.hactl(&["report"]).status, 0);
}

#[test]
fn a_damaged_journal_is_shown_up_to_the_damage() {
    let place = small();
    let text = include_str!("golden/journal-v1.jsonl").replacen("fleet", "fleeT", 1);
    place.write(".hactl/journal.jsonl", &text);
    assert_snapshot!(place.hactl(&["journal", "show"]), @"
    exit 1
    --- stdout
        1  2026-11-21 12:00:00  the journal's last line was incomplete (17 bytes)
                                and was cut off
        2  2026-11-21 12:00:01  plan 64879f7d6b96 recorded
    --- stderr
    error[journal::damaged]: line 3 of the journal cannot be trusted: bad checksum
      now:     nothing was changed; what the lines before it say still holds
      next:    restore .hactl/journal.jsonl from a copy; never edit it
    ");
}

#[test]
fn a_runbook_is_ejected_once() {
    let place = Place::new();
    assert_snapshot!(place.hactl(&["runbook", "eject", "cell0"]), @r#"
    exit 0
    --- stdout
    wrote ./cell0.toml
    next: runbook = "./cell0.toml" in hactl.toml, then: hactl check
    "#);
    assert_snapshot!(place.hactl(&["runbook", "eject", "cell0"]), @"
    exit 1
    --- stderr
    error[io]: ./cell0.toml could not be written
      because: File exists (os error 17)
      now:     nothing was overwritten
      next:    move the file away, or eject into another folder
    ");
    assert_snapshot!(place.hactl(&["runbook", "show", "cel0"]), @r#"
    exit 2
    --- stderr
    error[runbook::not_found]: there is no bundled runbook "cel0"
      next:    did you mean "cell0"? Known: cell0
      next:    hactl runbook list
    "#);
    let shown = place.hactl(&["runbook", "show", "cell0"]).stdout;
    assert_eq!(shown, std::fs::read_to_string(place.path().join("cell0.toml")).unwrap());
}

#[test]
fn status_says_what_to_type_next_before_anything_was_begun() {
    assert_snapshot!(small().hactl(&["status"]), @"
    exit 0
    --- stdout
    small on pair, the real servers
    no run was begun

    phase 0: Tools: not begun
    phase 1: More tools: not begun

    components
      tools: redundant, UNPROVEN (2 replicas; none)
        failover: never proven

    next:  hactl plan --phase 0    (looks, changes nothing)
           hactl phase run 0
    ");
    assert_snapshot!(small().hactl(&["status", "--output", "json"]), @r#"
    exit 0
    --- stdout
    {"event":"status","runbook":"small","fleet":"pair","rehearsal":null,"run":null,"drift":[],"phases":[{"id":"0","title":"Tools","reached":"not_begun","places":[{"place":{"step":"jq","host":"node-1"},"state":"pending","since":null,"why":null},{"place":{"step":"jq","host":"node-2"},"state":"pending","since":null,"why":null}]},{"id":"1","title":"More tools","reached":"not_begun","places":[{"place":{"step":"zstd","host":"node-1"},"state":"pending","since":null,"why":null},{"place":{"step":"zstd","host":"node-2"},"state":"pending","since":null,"why":null}]}],"components":[{"name":"tools","tier":"none","replicas":2,"standing":"unproven","wants":[{"property":"failover","proof":null}]}],"next":["hactl plan --phase 0    (looks, changes nothing)","hactl phase run 0"]}
    "#);
}

#[test]
fn phases_are_listed_and_shown() {
    assert_snapshot!(small().hactl(&["phase", "list"]), @"
    exit 0
    --- stdout
    0    not begun  Tools
    1    not begun  More tools
    ");
    assert_snapshot!(small().hactl(&["phase", "show", "0"]), @"
    exit 0
    --- stdout
    phase 0: Tools

      jq: Install jq
        does      apt_package on node-1, node-2, within 1m
        gate      asks for a yes
    ");
    assert_snapshot!(small().hactl(&["phase", "show", "9"]), @"
    exit 2
    --- stderr
    error[usage]: the runbook small has no phase 9
      now:     its phases are: 0, 1
      next:    hactl phase list
    ");
}

#[test]
fn yes_answers_nothing_on_the_real_servers() {
    assert_snapshot!(small().hactl(&["phase", "run", "0", "--yes"]), @"
    exit 2
    --- stderr
    error[yes_in_production]: --yes is only for rehearsals, and this workspace is a
      real fleet
      now:     nothing was done
      next:    the same command without --yes asks you at each gate
      next:    hactl rehearse tries the runbook out in a lab first
    ");
}

#[test]
fn a_dry_run_leaves_nothing_on_disk() {
    let place = unreachable();
    place.hactl(&["plan", "--dry-run", "--phase", "0"]);
    assert!(!place.path().join(".hactl").exists());
}

#[test]
fn the_doctor_examines_every_host_and_never_stops_at_the_first() {
    let ran = unreachable().hactl(&["doctor"]);
    assert_eq!(ran.status, 1, "{ran}");
    for host in ["node-1", "node-2"] {
        assert!(ran.stdout.contains(&format!("FAIL  {host}: cannot be reached")), "{ran}");
    }
    assert!(ran.stdout.contains("2 failures"), "{ran}");
}

#[test]
fn a_key_is_not_pinned_for_a_host_that_is_not_there() {
    assert_snapshot!(unreachable().hactl(&["host", "trust", "node-1"]), @"
    exit 1
    --- stderr
    error[ssh::unreachable]: node-1: cannot be reached: ssh: connect to host
      127.0.0.1 port 9: Connection refused
      next:    hactl doctor
    ");
    assert_snapshot!(unreachable().hactl(&["host", "trust", "node-3"]), @r#"
    exit 2
    --- stderr
    error[usage]: hactl.toml has no host node-3
      now:     nothing was pinned
      next:    did you mean "node-2"? Known: node-1, node-2
    "#);
}

#[test]
fn what_was_not_begun_cannot_be_taken_back_verified_or_built_upon() {
    let place = unreachable();
    assert_snapshot!(place.hactl(&["phase", "run", "1"]), @"
    exit 1
    --- stderr
    error[phase_order]: phase 1 builds on phase 0, which is not done
      now:     nothing was done
      next:    hactl phase run 0
    ");
    assert_snapshot!(place.hactl(&["phase", "run", "0", "--skip", "nothing", "--reason", "why"]), @"
    exit 2
    --- stderr
    error[usage]: phase 0 has no step nothing
      now:     nothing was done
      next:    hactl phase show 0
    ");
    assert_snapshot!(place.hactl(&["phase", "rollback", "0"]), @"
    exit 2
    --- stderr
    error[nothing_to_roll_back]: nothing of phase 0 can be taken back
      now:     nothing was taken back
      next:    hactl status
    ");
    assert_snapshot!(place.hactl(&["phase", "verify", "0"]), @"
    exit 2
    --- stderr
    error[nothing_to_verify]: nothing of phase 0 was done yet
      next:    hactl phase run 0
    ");
    assert_snapshot!(place.hactl(&["resume"]), @"
    exit 2
    --- stderr
    error[no_run]: there is no run to go on with
      now:     nothing was done
      next:    hactl phase run 0
    ");
    assert_snapshot!(place.hactl(&["resume", "--decide", "jq@node-1=perhaps"]), @"
    exit 2
    --- stderr
    error: invalid value 'jq@node-1=perhaps' for '--decide <STEP[@HOST]=OUTCOME>': the outcome is `applied` or `not-applied`, not `perhaps`

    For more information, try '--help'.
    ");
    assert_snapshot!(place.hactl(&["journal", "show"]), @"
    exit 0
    --- stdout
    nothing was recorded yet
    ");
}

#[test]
fn two_hactls_do_not_work_in_one_workspace() {
    let place = unreachable();
    place.write(".hactl/lock", r#"{"user":"ada","machine":"desk","pid":1,"since":"2026-11-21T12:00:00Z","command":"hactl phase run 0"}"#);
    let lock = std::fs::File::open(place.path().join(".hactl/lock")).unwrap();
    lock.lock().unwrap();
    assert_snapshot!(place.hactl(&["phase", "run", "0"]), @"
    exit 4
    --- stderr
    error[lock::held]: another hactl works here: ada@desk (process 1), since
      2026-11-21T12:00:00Z, with: hactl phase run 0
      now:     nothing was changed by this one
      next:    wait for it, or end it with Ctrl-C where it runs
      next:    meanwhile: hactl status
    ");
    assert_eq!(place.hactl(&["status"]).status, 0);
}

#[test]
fn a_run_as_json_is_one_object_a_line_with_the_error_last() {
    let ran = unreachable().hactl(&["--output", "json", "phase", "run", "0"]);
    let events: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names.first(), Some(&"recorded"), "{ran}");
    assert_eq!(names.last(), Some(&"error"), "{ran}");
    let error = events.last().unwrap();
    assert_eq!((&error["code"], &error["exit"]), (&"ssh::unreachable".into(), &1.into()), "{ran}");
    assert_eq!((&error["step"], &error["host"]), (&"jq".into(), &"node-1".into()), "{ran}");
    assert!(ran.stderr.contains("error[ssh::unreachable]"), "{ran}");
}

/// `[state]` with these lines, in a workspace that has no `[s3]` to take anything from.
fn with_state(lines: &str) -> Place {
    let place = small();
    place.write("hactl.toml", &format!("{HACTL_TOML}\n[state]\n{lines}"));
    place
}

const MIRROR: &str = "mirror = \"s3://state/pair\"\nendpoint = \"https://127.0.0.1:9\"\nregion = \"eu\"\n\
                      access_key = { env = \"HACTL_TEST_NONE\" }\nsecret_key = { env = \"HACTL_TEST_NONE\" }\n";

#[test]
fn a_mirror_without_a_credential_or_with_a_bad_address_is_shown() {
    let place = with_state(
        "mirror = \"https://state/pair\"\nendpoint = \"http://s3.example\"\nmirror_reqired = false\n",
    );
    assert_snapshot!(place.hactl(&["check"]), @r#"
    exit 2
    --- stderr
    file::missing_key

      x [state] lacks region, and there is no [s3] to take it from
        ,-[hactl.toml:17:1]
     16 | 
     17 | [state]
        : ^^^|^^^
        :    `-- region belongs here
     18 | mirror = "https://state/pair"
        `----

    file::missing_key

      x [state] has no credential for the mirror, and there is no [s3] to take it
      | from
        ,-[hactl.toml:17:1]
     16 | 
     17 | [state]
        : ^^^|^^^
        :    `-- access_key and secret_key belong here
     18 | mirror = "https://state/pair"
        `----
      help: write access_key = { env = "NAME" } and secret_key = { env = "NAME" },
            or { file = "secrets/…" }

    file::bad_value

      x [state] mirror: it does not begin with s3://
        ,-[hactl.toml:18:10]
     17 | [state]
     18 | mirror = "https://state/pair"
        :          ^^^^^^^^^^|^^^^^^^^^
        :                    `-- not usable
     19 | endpoint = "http://s3.example"
        `----
      help: write it like "s3://bucket/prefix"

    file::bad_value

      x [state] endpoint: an https address is wanted
        ,-[hactl.toml:19:12]
     18 | mirror = "https://state/pair"
     19 | endpoint = "http://s3.example"
        :            ^^^^^^^^^|^^^^^^^^^
        :                     `-- not usable
     20 | mirror_reqired = false
        `----
      help: write it like "https://s3.example:8443"; pgBackRest speaks only HTTPS
            to S3

    file::unknown_key

      x [state] has no key "mirror_reqired"
        ,-[hactl.toml:20:1]
     19 | endpoint = "http://s3.example"
     20 | mirror_reqired = false
        : ^^^^^^^|^^^^^^
        :        `-- not known
        `----
      help: did you mean "mirror_required"? Known: mirror, mirror_required,
            endpoint, region, path_style, ca, access_key, secret_key

    error[file::invalid]: 5 problems in hactl.toml
      next:    mend them, then: hactl check
    "#);
    let place = with_state("region = \"eu\"\naccess_key = \"AKIAEXAMPLE\"\n");
    assert_snapshot!(place.hactl(&["check"]), @r#"
    exit 2
    --- stderr
    file::missing_key

      x [state] lacks mirror
        ,-[hactl.toml:17:1]
     16 | 
     17 | [state]
        : ^^^|^^^
        :    `-- mirror belongs here
     18 | region = "eu"
        `----
      help: write mirror = "s3://BUCKET/PREFIX", or leave [state] out

    file::missing_key

      x [state] has one half of the mirror's key only
        ,-[hactl.toml:17:1]
     16 | 
     17 | [state]
        : ^^^|^^^
        :    `-- access_key and secret_key belong together
     18 | region = "eu"
        `----

    file::missing_key

      x [state] lacks endpoint, and there is no [s3] to take it from
        ,-[hactl.toml:17:1]
     16 | 
     17 | [state]
        : ^^^|^^^
        :    `-- endpoint belongs here
     18 | region = "eu"
        `----

    secret::in_clear

      x [state] access_key: a secret stands here in clear; a reference to it is
      | wanted
        ,-[hactl.toml:19:14]
     18 | region = "eu"
     19 | access_key = *************
        :              ^^^^^^|^^^^^^
        :                    `-- not shown
        `----
      help: write { file = "secrets/…" }, { env = "NAME" }, { command =
            ["program", "argument"] } or { sops = "file#path.to.value" }, and
            change the secret: it has been in a file

    error[file::invalid]: 4 problems in hactl.toml
      next:    mend them, then: hactl check
    "#);
    assert_eq!(with_state(MIRROR).hactl(&["check"]).status, 0);
}

#[test]
fn a_run_is_brought_from_a_mirror_that_is_named_whole_into_a_folder_that_has_none() {
    let place = Place::new();
    let ran = place.hactl(&["resume", "--from-mirror", "s3://state/pair"]);
    assert!(ran.status == 2 && ran.stderr.contains("--mirror-endpoint <URL>"), "{ran}");
    let ran =
        place.hactl(&["resume", "--from-mirror", "state/pair", "--mirror-endpoint", "https://127.0.0.1:9"]);
    assert!(ran.status == 2 && ran.stderr.contains("it does not begin with s3://"), "{ran}");
    assert_snapshot!(
        place.hactl(&["resume", "--from-mirror", "s3://state/pair", "--mirror-endpoint", "https://127.0.0.1:9"]),
        @r#"
    exit 1
    --- stderr
    error[secret::unresolved]: the secret $AWS_ACCESS_KEY_ID cannot be had: the
      variable is not set
      now:     nothing was done with it
      next:    export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
               (read -rs NAME keeps a secret out of the history)
      next:    or give files: --mirror-access-key FILE --mirror-secret-key FILE
    "#
    );
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn a_mirror_that_is_not_named_or_not_reached_is_said_before_anything_is_begun() {
    assert_snapshot!(small().hactl(&["journal", "mirror"]), @r#"
    exit 2
    --- stderr
    error[usage]: hactl.toml names no mirror
      now:     nothing was done
      next:    write mirror = "s3://BUCKET/PREFIX" under [state]
    "#);
    let place = with_state(MIRROR);
    assert_snapshot!(place.hactl(&["phase", "run", "0"]), @r#"
    exit 1
    --- stderr
    error[secret::unresolved]: the secret $HACTL_TEST_NONE cannot be had: the
      variable is not set
      now:     nothing was begun
      next:    hactl doctor
    "#);
    let ran = place.hactl(&["status"]);
    assert!(ran.stdout.contains("mirror s3://state/pair"), "{ran}");
}

#[test]
fn a_run_goes_on_without_a_mirror_that_is_not_required_and_whose_secret_is_missing() {
    let place = unreachable();
    let text = std::fs::read_to_string(place.path().join("hactl.toml")).unwrap();
    place.write("hactl.toml", &format!("{text}\n[state]\n{MIRROR}mirror_required = false\n"));
    let ran = place.hactl(&["phase", "run", "0"]);
    // As far as it would have come without one, and that is said.
    assert!(ran.status == 1 && ran.stderr.contains("error[ssh::unreachable]"), "{ran}");
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("the run goes on without it") && said.contains("$HACTL_TEST_NONE"), "{ran}");
    let ran = place.hactl(&["status"]);
    assert!(ran.stdout.contains("LACKS") && ran.stdout.contains("hactl journal mirror"), "{ran}");
}

#[test]
fn a_key_of_digests_that_came_encrypted_is_opened_once_there_is_an_identity() {
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    let sealed =
        hactl::sealed::encrypt(std::slice::from_ref(&recipient), "07".repeat(32).as_bytes()).unwrap();
    let place = unreachable();
    let without = std::fs::read_to_string(place.path().join("hactl.toml")).unwrap();
    let secrets = place.path().join(".hactl/secrets");
    std::fs::create_dir_all(&secrets).unwrap();
    std::fs::write(secrets.join(".key.age"), sealed).unwrap();
    let key = secrets.join(".key");
    let doctor = place.hactl(&["doctor"]);
    assert!(doctor.stdout.contains("WARN  key of the secrets' digests: is here only encrypted"), "{doctor}");
    place.hactl(&["phase", "run", "0"]);
    assert!(!key.exists());

    place.write("identity", identity.to_string().expose_secret());
    std::fs::set_permissions(place.path().join("identity"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let age = format!("\n[age]\nrecipients = [\"{recipient}\"]\nidentity = {{ file = \"identity\" }}\n");
    place.write("hactl.toml", &format!("{without}{age}"));
    let ran = place.hactl(&["plan", "--rebase"]);
    assert_eq!(std::fs::read(&key).unwrap(), [7; 32], "{ran}");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let doctor = place.hactl(&["doctor"]);
    assert!(!doctor.stdout.contains("key of the secrets' digests"), "{doctor}");
}
