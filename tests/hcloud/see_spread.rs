//! The look at how servers are spread: it holds where all of them are in a spreading group, and fails where not.

use hactl::diagnostic::codes;
use hactl::journal::fake::FakeDisk;

use crate::bench::{Bench, Job, told};

const RUNBOOK: &str = r#"[runbook]
name = "objects"
title = "Spread servers"
summary = "For tests."

[[phase]]
id = "0"
title = "Spread servers"

[[phase.step]]
id = "group"
title = "The group"
action.hcloud_placement_group = { name = "cell0-spread" }

[[phase.step]]
id = "node-2"
title = "In it"
[phase.step.action.hcloud_server]
name = "cell0-node-2"
type = "cx33"
image = "debian-13"
location = "hel1"
placement_group = "cell0-spread"

[[phase.step]]
id = "node-3"
title = "The third"
[phase.step.action.hcloud_server]
name = "cell0-node-3"
type = "cx33"
image = "debian-13"
location = "hel1"
WHERE

[[phase.step]]
id = "see"
title = "See them spread"
[phase.step.action.see_spread]
group = "cell0-spread"
servers = SERVERS
"#;

/// Carries it out with the third server in the group or not, and says what the look found, or why it fails.
fn look(whether: &str, servers: &str) -> Result<String, String> {
    let bench = Bench::new(&RUNBOOK.replace("WHERE", whether).replace("SERVERS", servers));
    let disk = FakeDisk::default();
    match bench.process(&disk, Job::Run) {
        Ok(()) => Ok(String::from_utf8(disk.live()).unwrap()),
        Err(error) => {
            assert_ne!(error.code(), codes::INTERNAL);
            Err(told(&error))
        }
    }
}

const IN: &str = "placement_group = \"cell0-spread\"";
const BOTH: &str = r#"["cell0-node-2", "cell0-node-3"]"#;

#[test]
fn servers_are_seen_to_be_spread_only_where_the_group_holds_each_of_them() {
    let found = look(IN, BOTH).unwrap();
    assert!(found.contains("2 servers are in the spreading placement group cell0-spread"), "{found}");
    // What the provider does not tell is not claimed.
    assert!(found.contains("on which machines they run, the API does not tell"), "{found}");

    let alone = look("", BOTH).unwrap_err();
    assert!(alone.contains("the server cell0-node-3 is not in the placement group cell0-spread"), "{alone}");
    let twice = look(IN, r#"["cell0-node-2", "cell0-node-2"]"#).unwrap_err();
    assert!(twice.contains("a server is named twice"), "{twice}");
    let missing = look(IN, r#"["cell0-node-2", "cell0-node-9"]"#).unwrap_err();
    assert!(missing.contains("cell0-node-9"), "{missing}");
    let one = look(IN, r#"["cell0-node-2"]"#).unwrap_err();
    assert!(one.contains("fewer than two servers are named"), "{one}");
}
