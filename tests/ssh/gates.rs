//! What an approval binds of a host, on real hosts.

use std::rc::Rc;

use hactl::access::{Means, World};
use hactl::clock::SystemClock;
use hactl::diagnostic::{Result, codes};
use hactl::engine::approver::{Answer, Approver, Question};
use hactl::engine::driver::Driver;
use hactl::engine::interrupt::Interrupt;
use hactl::event::Nobody as Deaf;
use hactl::evidence::EvidenceStore;
use hactl::journal::record::{How, Mode, Operator, Record};
use hactl::journal::{Holder, Journal, Lock, StateDir};
use hactl::name::RunId;
use hactl::redact::Redactor;
use hactl::step::Table;
use hactl::step::fleet::Fleet;

use crate::sshd::{Sshd, keygen};
use crate::{Nobody, Test};

pub(crate) const TESTS: &[Test] = tests![a_key_that_is_pinned_anew_voids_an_approval];

/// Says this to every question.
struct Says(Answer);

impl Approver for Says {
    async fn ask(&self, _question: &Question<'_>) -> Result<Answer> {
        Ok(self.0.clone())
    }
}

async fn a_key_that_is_pinned_anew_voids_an_approval() {
    let sshd = Sshd::start();
    sshd.pin("node-1");
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str| folder.path().join(name);
    let step = |name: &str| {
        let path = made(name).display().to_string();
        format!(
            "[[phase.step]]\nid = \"{name}\"\ntitle = \"Make {name}\"\non = \"node\"\ngate = \"confirm\"\n\
             [phase.step.action.command]\nargv = [\"touch\", \"{path}\"]\nchange = \"makes {path}\"\n\
             effect = \"idempotent\"\nundo = [\"rm\", \"{path}\"]\nobserve = {{ file = {{ path = \"{path}\" }} }}\n"
        )
    };
    let runbook = format!(
        "[runbook]\nname = \"two\"\ntitle = \"Two\"\n[roles.node]\nhelp = \"where\"\n\
         [[phase]]\nid = \"0\"\ntitle = \"Two\"\n{}{}",
        step("one"),
        step("two")
    );
    std::fs::write(made("two.toml"), runbook).unwrap();
    let identity = sshd.dir.path().join("id");
    let text = format!(
        "runbook = \"./two.toml\"\nfleet = \"cell0\"\n[ssh]\nuser = \"root\"\nport = {}\nidentity = \"{}\"\n\
         [[host]]\nname = \"node-1\"\naddress = \"127.0.0.1\"\nroles = [\"node\"]\n",
        sshd.port,
        identity.display()
    );
    std::fs::write(made("hactl.toml"), text).unwrap();
    let loaded = hactl::runbook::load::<Table>(&made("hactl.toml")).unwrap();

    let dir = StateDir::of(folder.path());
    let operator = Operator { user: "ada".to_owned(), machine: "desk".to_owned() };
    let holder = Holder::this_process(operator.clone(), jiff::Timestamp::now(), "test");
    let (journal, _) = Journal::open(Lock::take(&dir, holder).unwrap(), Rc::new(SystemClock)).unwrap();
    let redactor = Rc::new(Redactor::new());
    let evidence = Rc::new(EvidenceStore::new(dir, Rc::clone(&redactor)));
    journal
        .append(Record::RunStarted {
            run: RunId::generate(),
            fleet: loaded.workspace.fleet.clone(),
            operator: operator.clone(),
            runbook: loaded.runbook.name.clone(),
            runbook_bytes: evidence.put("runbook", &loaded.runbook.bytes).unwrap(),
            workspace: evidence.put("hactl.toml", &loaded.workspace_bytes).unwrap(),
            hactl: "0.1.0".to_owned(),
            mode: Mode::Production,
        })
        .unwrap();
    let means = Means {
        clock: Rc::new(SystemClock),
        evidence: Rc::clone(&evidence),
        redactor,
        person: Rc::new(Nobody),
    };
    let ssh = sshd.ssh(loaded.workspace.hosts.clone());
    let workspace = Rc::new(loaded.workspace);
    let world = World::over(Rc::clone(&workspace), means, ssh);
    let fleet = Fleet::new(Rc::new(loaded.runbook.clone()), workspace, world);
    let driver = |approver| Driver {
        steps: &fleet,
        journal: &journal,
        evidence: &evidence,
        approver,
        listener: &Deaf,
        clock: &SystemClock,
        interrupt: Interrupt::default(),
        operator: operator.clone(),
    };
    let steps: Vec<_> = loaded.runbook.steps().map(|(_, step)| fleet.tasks(step)).collect();
    let (yes, nobody) = (Says(Answer::Yes(How::Confirmed)), Says(Answer::NobodyThere));
    for step in &steps {
        driver(&yes).approve_ahead(&step.tasks[0]).await.unwrap();
    }
    // With the key that was approved the approval lets it through, with nobody there.
    driver(&nobody).run_step(&steps[0]).await.unwrap();
    assert!(made("one").exists());

    // Another key is pinned for the host as well, so that it can still be reached.
    keygen(&made("another"));
    let another = std::fs::read_to_string(made("another.pub")).unwrap();
    let mut pinned = std::fs::read_to_string(sshd.known_hosts()).unwrap();
    pinned.push_str(&format!("node-1 {another}"));
    std::fs::write(sshd.known_hosts(), pinned).unwrap();
    let error = driver(&nobody).run_step(&steps[1]).await.unwrap_err();
    assert_eq!(error.code(), codes::APPROVAL_NEEDED, "{error:?}");
    assert!(!made("two").exists());
    driver(&yes).run_step(&steps[1]).await.unwrap();
    assert!(made("two").exists());
    fleet.world().close().await;
}
