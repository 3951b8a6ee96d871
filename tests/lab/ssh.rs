//! SSH and PostgreSQL as a fleet has them: a login that is no root, sudo, a real server behind a forwarded socket.

use std::collections::BTreeMap;
use std::fs::File;
use std::future::Future;
use std::os::fd::AsFd as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use hactl::access::reads::PgAccess;
use hactl::access::{Become, Command, Means, Status, World};
use hactl::clock::SystemClock;
use hactl::diagnostic::{Result, codes};
use hactl::digest::Digest;
use hactl::engine::approver::{Asked, Person};
use hactl::evidence::EvidenceStore;
use hactl::journal::record::{AttemptNumber, Epoch, Place, Seq};
use hactl::journal::{AttemptLabel, Hold, Purpose, StateDir, Tail};
use hactl::name::{HostName, OutputName, RunId, StepId};
use hactl::redact::Redactor;
use hactl::step::{Failure, Table};
use hactl::transport::ssh::{AttemptId, AttemptState, ROOT, Ssh, Timing};
use hactl::workspace::Workspace;

use crate::Test;
use crate::common::lab::{Lab, Scene};

pub(crate) const TESTS: &[Test] = &[
    ("ssh::changes_and_reads_as_a_user_with_sudo", changes_and_reads),
    ("ssh::a_rebooted_machine_leaves_an_unknown_end", rebooted),
    ("ssh::a_machine_cut_off_is_unclear_within_a_bound", cut_off),
    ("ssh::postgres_is_read_through_its_socket", postgres),
];

/// A fleet in a lab, seen from within the lab's network.
struct Seen {
    world: World,
    ssh: Ssh,
    workspace: Rc<Workspace>,
    place: Place,
}

/// Times that make a test short; the bounds are the same otherwise.
const SHORT: Timing = Timing {
    connect: Duration::from_secs(4),
    alive: Duration::from_secs(1),
    recover: Duration::from_secs(12),
};

struct Nobody;

impl Person for Nobody {
    fn ask<'a>(&'a self, _: &'a str, _: &'a BTreeMap<OutputName, String>) -> Asked<'a> {
        panic!("nobody is asked here")
    }
}

/// Runs a test within the lab's network, on a thread of its own: joining a network concerns one thread only.
fn within<F: Future<Output = ()>>(lab: &Lab, runbook: &str, test: impl FnOnce(Seen) -> F + Send) {
    let workspace = lab.workspace(runbook);
    let (name, file) = (lab.name().to_owned(), workspace.path().join("hactl.toml"));
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let namespace = File::open(format!("/run/netns/hactl-{name}")).unwrap();
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let loaded = hactl::runbook::load::<Table>(&file).unwrap();
                let workspace = Rc::new(loaded.workspace);
                let redactor = Rc::new(Redactor::new());
                let evidence = EvidenceStore::new(StateDir::of(&workspace.root), Rc::clone(&redactor));
                let means = Means {
                    clock: Rc::new(SystemClock),
                    evidence: Rc::new(evidence),
                    redactor,
                    person: Rc::new(Nobody),
                };
                let world = World::new(Rc::clone(&workspace), means).unwrap();
                let known_hosts = workspace.state_dir().join("known_hosts");
                let ssh = Ssh::with(workspace.hosts.clone(), known_hosts, ROOT, SHORT);
                let last = Tail { seq: Seq(10), sum: Digest::of("line 10") };
                ssh.stand_on(Rc::new(Hold::new("h1", StateDir::of(&workspace.root), last)));
                let host = Some(HostName::new("node-1").unwrap());
                let place = Place { step: StepId::new("step").unwrap(), host };
                let test = test(Seen { world, ssh, workspace, place });
                tokio::time::timeout(Duration::from_secs(180), test).await.unwrap();
            });
        });
        thread.join().unwrap();
    });
}

impl Seen {
    fn attempt(&self, number: u32) -> AttemptId {
        AttemptId {
            fleet: self.workspace.fleet.clone(),
            run: RunId::new("run1").unwrap(),
            epoch: Epoch(1),
            step: self.place.step.clone(),
            place_host: self.place.host.clone(),
            label: AttemptLabel { purpose: Purpose::Action, number: AttemptNumber(number) },
        }
    }

    async fn run(&self, number: u32, command: &Command) -> Result<hactl::access::Finished, Failure> {
        let host = self.workspace.host(self.place.host.as_ref().unwrap()).unwrap();
        self.ssh.perform(host, &self.attempt(number), 1, command).await
    }

    async fn settle(&self, number: u32) -> Result<AttemptState> {
        let host = self.workspace.host(self.place.host.as_ref().unwrap()).unwrap();
        self.ssh.settle(host, &self.attempt(number)).await
    }
}

fn changes_and_reads() {
    let lab = Lab::up("ssh", Scene::Nodes(1));
    within(&lab, "idle.toml", async |seen| {
        let whoami = |user: Become| Command::new("id").arg("-un").run_as(user);
        assert_eq!(seen.run(1, &whoami(Become::Root)).await.unwrap().text(), "root");
        assert_eq!(seen.run(2, &whoami(Become::Login)).await.unwrap().text(), "ops");
        assert_eq!(seen.run(3, &whoami(Become::User("daemon".into()))).await.unwrap().text(), "daemon");
        let bytes: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
        let back = seen.run(4, &Command::new("cat").stdin(bytes.clone())).await.unwrap();
        assert!(back.stdout.bytes == bytes, "sudo changed the bytes");
        let here = seen.world.view(&seen.place).here().unwrap();
        here.reach().await.unwrap();
        assert_eq!(here.owner().await.unwrap().unwrap().hold, "h1");
        let unit = here.unit("ssh.service").await.unwrap();
        assert!(unit.exists() && unit.is_active() && unit.started_monotonic > 0, "{unit:?}");
        assert!(!here.unit("no-such.service").await.unwrap().exists());
        let timer = here.timer("apt-daily.timer").await.unwrap();
        assert!(
            !timer.unit.exists() || timer.unit.load_state == "masked" || timer.next.is_some(),
            "{timer:?}"
        );
        assert!(here.listening().await.unwrap().iter().any(|l| l.port == 22));
        assert!(here.package("openssh-server").await.unwrap().installed.is_some());
        assert!(here.package("pgbackrest").await.unwrap().candidate.is_some());
        // A restarted sshd is no lost command.
        let restart = Command::new("systemctl").args(["restart", "ssh.service"]);
        assert!(seen.run(5, &restart).await.unwrap().succeeded());
        let again = here.unit("ssh.service").await.unwrap();
        assert!(again.started_monotonic > unit.started_monotonic);
        seen.world.close().await;
    });
}

fn rebooted() {
    let lab = Lab::up("sshboot", Scene::Nodes(1));
    within(&lab, "idle.toml", async |seen| {
        let kill = async {
            let running = || {
                let ran = lab.on("node-1", "sudo test -e /var/lib/hactl/run1/step/a1/1/begun");
                ran.status == 0
            };
            while !running() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            lab.must(&["kill", "node-1"]);
            lab.must(&["start", "node-1"]);
        };
        let command = Command::new("sleep").arg("60").within(Duration::from_secs(90));
        let (outcome, ()) = tokio::join!(seen.run(1, &command), kill);
        let Err(Failure::Unclear(error)) = outcome else { panic!("{outcome:?}") };
        assert!([codes::ATTEMPT_UNKNOWN, codes::SSH_LOST].contains(&error.code()), "{error:?}");
        assert_eq!(seen.settle(1).await.unwrap(), AttemptState::Unknown { command: 1 });
    });
}

fn cut_off() {
    let lab = Lab::up("sshcut", Scene::Nodes(1));
    within(&lab, "idle.toml", async |seen| {
        let cut = async {
            while lab.on("node-1", "sudo test -e /var/lib/hactl/run1/step/a1/1/begun").status != 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            lab.must(&["cut", "node-1"]);
        };
        let began = Instant::now();
        let command = Command::new("sleep").arg("2");
        let (outcome, ()) = tokio::join!(seen.run(1, &command), cut);
        let Err(Failure::Unclear(error)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(error.code(), codes::SSH_LOST, "{error:?}");
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        lab.must(&["heal", "node-1"]);
        let state = seen.settle(1).await.unwrap();
        assert_eq!(state, AttemptState::Finished { command: 1, status: Status::Exited(0) });
    });
}

fn postgres() {
    let lab = Lab::up("sshpg", Scene::SingleServer);
    within(&lab, "cell0", async |seen| {
        let here = seen.world.view(&seen.place).here().unwrap();
        let clusters = here.postgres_clusters().await.unwrap();
        assert_eq!(clusters.len(), 1, "{clusters:?}");
        let refused = here.postgres("postgres").await.unwrap();
        assert!(matches!(refused, PgAccess::NotYet(_)), "{refused:?}");
        let prepare =
            Command::new("sh").args(["-c", PREPARE, "prepare", &clusters[0].version, &clusters[0].name]);
        let prepared = seen.run(1, &prepare).await.unwrap();
        assert!(prepared.succeeded(), "{prepared:?}");
        let pg = here.postgres("postgres").await.unwrap().ready().unwrap();
        let row = pg.query_one("select current_user::text, $1::int4 + 1", &[&41_i32]).await.unwrap();
        assert_eq!((row.get::<_, String>(0).as_str(), row.get::<_, i32>(1)), ("hactl_monitor", 42));
        // Two at a time on one connection, and more on others.
        let (one, two) = tokio::join!(
            pg.query("select pg_sleep(0.2)", &[]),
            pg.query("select count(*) from pg_stat_activity", &[])
        );
        assert_eq!((one.unwrap().len(), two.unwrap().len()), (1, 1));
        let error = pg.query("create table public.t ()", &[]).await.unwrap_err();
        assert_eq!(error.code(), codes::POSTGRES_QUERY);
        assert!(error.one_line().contains("read-only"), "{error:?}");
        let late = pg.query_within("select pg_sleep(60)", &[], Duration::from_millis(300)).await.unwrap_err();
        assert_eq!(late.code(), codes::POSTGRES_DEADLINE);
        assert_eq!(pg.query("select 1", &[]).await.unwrap().len(), 1);
        let error = here.postgres("no-such-database").await.unwrap_err();
        assert!(error.one_line().contains("no-such-database"), "{error:?}");
        // A psql that is killed leaves its statement running; settling ends it.
        let name = seen.attempt(7).application_name();
        let hang = Command::new("psql")
            .args(["-X", "-c", "select pg_sleep(600)"])
            .env("PGAPPNAME", name.as_str())
            .as_user("postgres")
            .within(Duration::from_secs(1));
        assert_eq!(seen.run(7, &hang).await.unwrap().status, Status::TimedOut);
        let left = async || {
            let sql = "select count(*) from pg_stat_activity where application_name = $1";
            pg.query_one(sql, &[&name]).await.unwrap().get::<_, i64>(0)
        };
        assert_eq!(left().await, 1);
        let state = seen.settle(7).await.unwrap();
        assert_eq!(
            (state, left().await),
            (AttemptState::Finished { command: 1, status: Status::TimedOut }, 0)
        );
        let stop = Command::new("pg_ctlcluster").args([
            &clusters[0].version,
            &clusters[0].name,
            "stop",
            "-m",
            "fast",
        ]);
        assert!(seen.run(8, &stop.args(["--skip-systemctl-redirect"])).await.unwrap().succeeded());
        assert_eq!(pg.query("select 1", &[]).await.unwrap_err().code(), codes::POSTGRES_LOST);
        let nobody = here.postgres("postgres").await.unwrap();
        assert!(matches!(nobody, PgAccess::NoServer(_)), "{nobody:?}");
    });
}

/// Makes the monitoring role, and lets our login in as it.
const PREPARE: &str = r#"set -eu
dir=/etc/postgresql/$1/$2
echo 'hactl ops hactl_monitor' >>$dir/pg_ident.conf
sed -i '1i local all hactl_monitor peer map=hactl' $dir/pg_hba.conf
runuser -u postgres -- psql -X -qc 'create role hactl_monitor login' -c 'grant pg_monitor to hactl_monitor'   -c 'select pg_reload_conf()'"#;
