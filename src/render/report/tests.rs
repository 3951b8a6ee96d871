//! Reports of the golden journal, and of one in which a host said what it should not.

use std::collections::BTreeMap;
use std::rc::Rc;

use insta::assert_snapshot;
use jiff::{SignedDuration, Timestamp};

use super::{to_html, to_markdown};
use crate::digest::Digest;
use crate::evidence::EvidenceStore;
use crate::journal::StateDir;
use crate::journal::line::{self, Tail};
use crate::journal::record::{
    Approval, AttemptNumber, Before, Change, EvidenceRef, Grade, How, Mode, Observed, Operator, Outputs,
    Place, Proof, Record,
};
use crate::name::RunId;
use crate::redact::Redactor;
use crate::report::{Report, to_terraform};

const GOLDEN: &str = include_str!("../../../tests/golden/journal-v1.jsonl");

/// What a host may say to get out of a report.
const HOSTILE: &str = "</pre></td><script>alert(1)</script><img src=http://evil.example/x onerror=a()>\n\
    ![x](http://evil.example) | | `` ``` </code> \u{1b}]0;owned\u{7}\u{1b}[31mred\u{9b}1m \u{202e}gnirts\u{0}";

struct Story {
    folder: tempfile::TempDir,
    text: Vec<u8>,
    tail: Tail,
    at: Timestamp,
}

fn made() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

impl Story {
    fn new() -> Self {
        let at = "2026-11-21T12:00:00Z".parse().unwrap();
        Self { folder: tempfile::tempdir().unwrap(), text: Vec::new(), tail: Tail::EMPTY, at }
    }

    fn dir(&self) -> StateDir {
        StateDir::of(self.folder.path())
    }

    fn keep(&self, name: &str, content: &str) -> EvidenceRef {
        self.dir().create().unwrap();
        EvidenceStore::new(self.dir(), Rc::new(Redactor::new())).put(name, content.as_bytes()).unwrap()
    }

    /// Records something some seconds after the last record.
    fn then(&mut self, seconds: i64, record: Record) {
        self.at += SignedDuration::from_secs(seconds);
        let bytes = line::encode(self.tail, self.at, &record).unwrap();
        self.tail = line::decode(self.tail, &bytes[..bytes.len() - 1]).unwrap().tail();
        self.text.extend(bytes);
    }

    fn report(&self, run: Option<&str>) -> Report {
        self.dir().create().unwrap();
        std::fs::write(self.dir().journal(), &self.text).unwrap();
        let run = run.map(|run| RunId::new(run).unwrap());
        Report::read(&self.dir(), run.as_ref(), made()).unwrap()
    }
}

fn operator() -> Operator {
    Operator { user: "ada".to_owned(), machine: "desk".to_owned() }
}

fn place(step: &str, host: &str) -> Place {
    serde_json::from_value(serde_json::json!({ "step": step, "host": host })).unwrap()
}

fn change() -> Change {
    Change { summary: "restart postgresql@17-main".to_owned(), details: vec!["- off".into(), "+ on".into()] }
}

fn start(story: &Story, run: &str, runbook: &str) -> Record {
    Record::RunStarted {
        run: RunId::new(run).unwrap(),
        fleet: "acme".parse().unwrap(),
        operator: operator(),
        runbook: "small".parse().unwrap(),
        runbook_bytes: story.keep("runbook", runbook),
        workspace: story.keep("workspace", "fleet = \"acme\"\n"),
        hactl: "0.1.0".to_owned(),
        mode: Mode::Production,
    }
}

fn proof(evidence: Vec<EvidenceRef>) -> Proof {
    Proof {
        property: "restore".to_owned(),
        component: "database".to_owned(),
        place: Some(place("restart", "node-1")),
        grade: Grade::SameHost,
        facts: vec!["4 tables equal in count and content".to_owned()],
        measured: BTreeMap::from([("restore_seconds".to_owned(), 3.04)]),
        at: "2026-11-21T12:10:00Z".parse().unwrap(),
        expires: "2026-12-21T12:10:00Z".parse().unwrap(),
        evidence,
    }
}

const RUNBOOK: &str = r#"[runbook]
name = "small"
title = "A <small> runbook"
[[component]]
name = "database"
proven_by = ["restore", "failover"]
[[component]]
name = "cache"
[[phase]]
id = "0"
title = "Backstop"
[[phase.step]]
id = "restart"
title = "Restart PostgreSQL once"
[[phase.step]]
id = "nightly"
title = "Nightly dumps"
"#;

/// A run with an approval, a doubt that a resume settles, hostile output, a skipped step and a proof.
fn story() -> Story {
    let mut story = Story::new();
    let node = place("restart", "node-1");
    let attempt = AttemptNumber(1);
    let see = Observed::NotApplied { change: change(), before: Before(serde_json::json!(1)) };
    story.then(0, start(&story, "run-1", RUNBOOK));
    story.then(1, Record::Observed { place: node.clone(), observed: see });
    let binding = Digest::of("binding");
    story.then(0, Record::AwaitingApproval { place: node.clone(), binding });
    let shown = story.keep("what the gate showed", "restart on node-1\n  change: restart postgresql@17-main");
    let expires = "2026-11-22T12:00:00Z".parse().unwrap();
    let approval = Approval { place: node.clone(), binding, by: operator(), how: How::Typed, shown, expires };
    story.then(95, Record::Approved(approval));
    story.then(
        0,
        Record::Intended {
            place: node.clone(),
            attempt,
            action: Digest::of("action"),
            change: change(),
            before: Before(serde_json::json!(1)),
        },
    );
    story.then(7200, Record::Resumed { operator: operator(), command: "hactl resume".to_owned() });
    story.then(1, Record::InDoubt { place: node.clone(), attempt, why: "hactl was killed".to_owned() });
    let observed = Observed::Applied(Outputs::new());
    story.then(1, Record::Decided { place: node.clone(), attempt, observed, by: None });
    story.then(0, Record::Trial { place: node.clone(), attempt });
    let evidence = vec![story.keep("psql", HOSTILE)];
    let facts = vec![HOSTILE.to_owned(), "archive_mode is on".to_owned()];
    story.then(12, Record::Verified { place: node, evidence, facts, outputs: Outputs::new() });
    let nightly = place("nightly", "node-1");
    story
        .then(1, Record::Skipped { place: nightly, reason: "the cron job stays".to_owned(), by: operator() });
    let evidence = vec![story.keep("pgbackrest info", "stanza: main\n    status: ok\n")];
    story.then(1, Record::Proven(proof(evidence)));
    story.then(1, Record::PhaseDone { phase: "0".parse().unwrap() });
    story
}

#[test]
fn a_run_is_told_in_markdown() {
    assert_snapshot!(to_markdown(&story().report(None)));
}

#[test]
fn the_golden_journal_is_told_without_its_evidence() {
    let mut story = Story::new();
    story.text = GOLDEN.as_bytes().to_vec();
    let markdown = to_markdown(&story.report(None));
    assert_snapshot!(markdown.replace(story.folder.path().to_str().unwrap(), "[DIR]"));
    assert!(!markdown.contains('\u{1b}'));
}

/// The elements of a page below its head. None of them fetches or runs anything.
const TAGS: [&str; 25] = [
    "style", "head", "html", "body", "main", "h1", "h2", "h3", "p", "ul", "li", "dl", "dt", "dd", "table",
    "thead", "tbody", "tr", "th", "td", "code", "pre", "strong", "svg", "rect",
];

#[test]
fn the_page_is_self_contained_and_nothing_of_a_host_is_markup() {
    let html = to_html(&story().report(None));
    assert_snapshot!(html.split_once("</style>").unwrap().1);
    let style = html.split_once("</style>").unwrap().0;
    let page = html.replace(style, "");
    for tag in page.split('<').skip(1).map(|rest| rest.split_once('>').unwrap().0) {
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap();
        assert!(TAGS.contains(&name), "<{tag}>");
        assert!(
            ![" src", " href", " on", " style"].iter().any(|attribute| tag.contains(attribute)),
            "<{tag}>"
        );
    }
    assert!(!style.contains("@import") && !style.contains("url("), "{style}");
    assert!(style.contains("default-src 'none'"), "{style}");
    assert!(html.chars().all(|c| !c.is_control() || c == '\n'), "{html}");
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{html}");
    // Every tag that was opened is closed: a text that broke out would close one too many.
    for tag in ["table", "tbody", "tr", "td", "pre", "dl", "dd", "ul", "li", "code", "main"] {
        let opened = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn an_earlier_run_can_be_told_and_keeps_its_own_end() {
    let mut story = story();
    story.then(60, start(&story, "run-2", RUNBOOK));
    let node = place("restart", "node-1");
    story.then(1, Record::Observed { place: node.clone(), observed: Observed::Indeterminate("?".into()) });
    story.then(1, Record::Failed { place: node, error: "the disk is full".to_owned() });
    let first = to_markdown(&story.report(Some("run-1")));
    assert!(first.contains("| `restart` on node-1 | verified |"), "{first}");
    assert!(first.contains("- Other runs: run-2") && !first.contains("disk is full"), "{first}");
    let second = to_markdown(&story.report(None));
    assert!(second.contains("**FAILED**") && second.contains("the disk is full"), "{second}");
    // What failed since is not proven by what once held, and the proof of the earlier run is gone with it.
    assert!(second.contains("database/restore: never proven"), "{second}");
    let unknown = RunId::new("run-3").unwrap();
    let error = Report::read(&story.dir(), Some(&unknown), made()).unwrap_err();
    assert!(error.state_now().unwrap().contains("run-1, run-2"), "{error:?}");
}

#[test]
fn evidence_that_was_tampered_with_is_said_to_be() {
    let story = story();
    let kept = Digest::of("stanza: main\n    status: ok\n");
    std::fs::write(story.dir().evidence().join(kept.to_string()), "status: forged").unwrap();
    let markdown = to_markdown(&story.report(None));
    assert!(markdown.contains("**MISSING OR DAMAGED**") && !markdown.contains("forged"), "{markdown}");
}

const CLOUD: &str = r#"[runbook]
name = "small"
title = "Objects"
[[phase]]
id = "1"
title = "Nodes"
[[phase.step]]
id = "network"
title = "The network"
action.hcloud_network = { name = "${inputs.net}", ip_range = "10.0.0.0/16", subnet = "10.0.1.0/24" }
[[phase.step]]
id = "node-1"
title = "The server that was there"
[phase.step.action.hcloud_server]
name = "cell0-node-1"
adopt = true
[[phase.step]]
id = "again"
title = "The same once more"
action.hcloud_server = { name = "cell0-node-1", adopt = true }
[[phase.step]]
id = "node-2"
title = "A server that was taken back"
action.hcloud_server = { name = "cell0-node-2" }
[[phase.step]]
id = "attach"
title = "What joins two objects"
action.hcloud_attach = { server = "cell0-node-1", network = "${inputs.net}" }
[[phase.step]]
id = "attach-2"
title = "What was taken back with its server"
action.hcloud_attach = { server = "cell0-node-2", network = "${inputs.net}" }
[[phase.step]]
id = "balancer"
title = "The load balancer"
action.hcloud_load_balancer = { name = "cell0-lb", type = "lb11", location = "hel1", network = "${inputs.net}" }
[[phase.step]]
id = "target"
title = "A target by its number"
action.hcloud_balancer_target = { balancer = "cell0-lb", server = "cell0-node-1" }
[[phase.step]]
id = "outside"
title = "A target by its address"
action.hcloud_balancer_target = { balancer = "cell0-lb", ip = "203.0.113.9" }
[[phase.step]]
id = "service"
title = "A service"
action.hcloud_balancer_service = { balancer = "cell0-lb", protocol = "tcp", listen_port = "${inputs.port}" }
[[phase.step]]
id = "wall"
title = "The firewall"
action.hcloud_firewall = { name = "cell0-wall", adopt = true }
[[phase.step]]
id = "walled"
title = "Who is behind it"
action.hcloud_apply_firewall = { server = "cell0-node-1", firewall = "cell0-wall" }
[[phase.step]]
id = "ip"
title = "The floating IP"
action.hcloud_floating_ip = { name = "cell0-ip" }
[[phase.step]]
id = "leads"
title = "Where it leads"
action.hcloud_assign_floating_ip = { floating_ip = "cell0-ip", server = "cell0-node-1" }
[inputs.net]
type = "string"
default = "2 cells \"x\""
help = "The network."
[inputs.port]
type = "integer"
default = 443
help = "The port."
"#;

#[test]
fn terraform_is_told_of_each_object_that_stands_once() {
    let mut story = Story::new();
    story.then(0, start(&story, "run-1", CLOUD));
    for (step, id, name) in [
        ("network", 4_200_003, "2 cells \"x\""),
        ("node-1", 4_200_001, "cell0-node-1"),
        ("again", 4_200_001, "cell0-node-1"),
        ("node-2", 4_200_002, "cell0-node-2"),
        ("attach", 4_200_001, "cell0-node-1"),
        ("attach-2", 4_200_002, "cell0-node-2"),
        ("balancer", 4_200_004, "cell0-lb"),
        ("target", 4_200_004, "cell0-lb"),
        ("outside", 4_200_004, "cell0-lb"),
        ("service", 4_200_004, "cell0-lb"),
        ("wall", 4_200_005, "cell0-wall"),
        ("walled", 4_200_001, "cell0-node-1"),
        ("ip", 4_200_006, "cell0-ip"),
        ("leads", 4_200_006, "cell0-ip"),
    ] {
        let place: Place = serde_json::from_value(serde_json::json!({ "step": step })).unwrap();
        let outputs: Outputs = serde_json::from_value(
            serde_json::json!({ "id": { "integer": id }, "name": { "string": name } }),
        )
        .unwrap();
        let (attempt, evidence, facts) = (AttemptNumber(1), Vec::new(), Vec::new());
        let see = Observed::NotApplied { change: change(), before: Before(serde_json::json!(1)) };
        story.then(1, Record::Observed { place: place.clone(), observed: see });
        let (action, before) = (Digest::of("action"), Before(serde_json::json!(1)));
        story.then(0, Record::Intended { place: place.clone(), attempt, action, change: change(), before });
        story.then(1, Record::Applied { place: place.clone(), attempt, outputs: outputs.clone() });
        story.then(0, Record::Trial { place: place.clone(), attempt });
        story.then(1, Record::Verified { place: place.clone(), evidence, facts, outputs });
        if step == "node-2" {
            story.then(1, Record::RollingBack { place: place.clone(), attempt });
            story.then(1, Record::RolledBack { place });
        }
    }
    let report = story.report(None);
    assert_snapshot!(to_terraform(&report, &report.imports().unwrap()));
    // Without the runbook nobody knows what the steps made, and nothing is guessed.
    std::fs::remove_dir_all(story.dir().evidence()).unwrap();
    let error = story.report(None).imports().unwrap_err();
    assert_eq!(error.code(), crate::diagnostic::codes::EVIDENCE_READ);
}
