//! Every change of every real kind of Phase 0, and its way back, with what can go wrong on its way to the world.
//!
//! This test binary is also a hactl of its own: called with `--faulty=FILE` before the usual arguments, it puts faults
//! into a rehearsal through [`Faulty`]. Each command of an attempt, and each request to the bucket, meets the faults of
//! its list in order, once each; the file remembers which were met, across all the hactls of a test. What follows a stop
//! is what an operator would type: the same command, or `hactl resume`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser as _;
use hactl::cli::{self, Cli};
use hactl::journal::Purpose;
use hactl::name::HostName;
use hactl::render::error::{Look, text};
use hactl::transport::faulty::{Choose, Faulty, OnAttempt, OnRequest, path_of};
use hactl::transport::s3::Deadlines;
use hactl::transport::ssh::AttemptId;

use crate::Test;
use crate::backup::{full_backups, starts};
use crate::common::cli::Ran;
use crate::common::lab::{Lab, Running, Scene, Workspace};
use crate::outside::{Bucket, psql};
use crate::phase0::{assert_the_data_is_backed_up, left_after_rollback, world};

pub(crate) const TESTS: &[Test] = &[
    ("faulty::each_change_of_phase_0_and_of_its_way_back_meets_each_fault", each_change_and_its_way_back),
    ("faulty::each_request_to_the_bucket_meets_each_fault", each_request),
];

const ARGUMENT: &str = "--faulty=";

/// Behaves as hactl does, with faults, where this program was called so.
pub(crate) fn as_hactl() -> Option<ExitCode> {
    let mut args = std::env::args_os();
    let program = args.next()?;
    let file = args.next()?.to_str()?.strip_prefix(ARGUMENT).map(PathBuf::from)?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut cli = Cli::try_parse_from(std::iter::once(program).chain(args)).expect("arguments of hactl");
    cli.global.faulty = Some(Faulty::new(Arc::new(Listed::read(&file))));
    Some(match cli::run(&cli) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprint!("{}", text(&error, Look::Plain, &cli.out()));
            ExitCode::from(error.code().exit() as u8)
        }
    })
}

/// Which faults are put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// Commands: everything after which the same change is made again, and lost answers last. Of requests, what is
    /// asked.
    Commands,
    /// Requests that are not done.
    Undone,
    /// Lost answers only: what was done behind them must be seen, and not done again.
    Done,
    /// Answers 500 to what was done.
    Failed,
    /// No answer to what was done.
    Silent,
}

/// So long after its beginning a command is killed: what writes files or speaks to psql, and what takes seconds.
const QUICK: OnAttempt = OnAttempt::Halfway(Duration::from_millis(6));
const SLOW: OnAttempt = OnAttempt::Halfway(Duration::from_millis(250));
const HANG: OnAttempt = OnAttempt::Hang(Duration::from_secs(1));

/// Of an action, in the order in which they hide one another least. Then of undoing: nothing tries that again by itself.
const ACTION: [&[OnAttempt]; 2] = [
    &[OnAttempt::Refuse, OnAttempt::DropBefore, HANG, QUICK, OnAttempt::DropAfter],
    &[OnAttempt::Refuse, OnAttempt::DropBefore, HANG, SLOW, OnAttempt::DropAfter],
];
const UNDO: [&[OnAttempt]; 2] =
    [&[OnAttempt::Refuse, QUICK, OnAttempt::DropAfter], &[OnAttempt::DropBefore, SLOW, OnAttempt::DropAfter]];

/// The steps that install, start, stop or copy.
const LONG: &[&str] =
    &["pgbackrest", "stanza", "restart", "base-backup", "dump-tools", "prover-tools", "dump-now"];

impl Round {
    const EVERY: [Self; 5] = [Self::Commands, Self::Undone, Self::Done, Self::Failed, Self::Silent];

    fn name(self) -> String {
        format!("{self:?}")
    }

    /// The first command of an attempt meets all faults. Of the further ones, each second is killed halfway, and the
    /// answers to the others are lost, so that an attempt is cut short after every one of its parts. Of verifying, the
    /// first command is lost on its way there, and the answer to the second one on its way back.
    fn of_attempt(self, step: &str, purpose: Purpose, number: u32) -> &'static [OnAttempt] {
        let long = usize::from(LONG.contains(&step));
        let all = |faults: [&'static [OnAttempt]; 2]| match (faults[long], number) {
            (all, 1) => all,
            ([.., halfway, _], further) if further % 2 == 0 => std::slice::from_ref(halfway),
            ([.., lost], _) => std::slice::from_ref(lost),
            ([], _) => &[],
        };
        match (self, purpose, number) {
            (Self::Commands, Purpose::Action, _) => all(ACTION),
            (Self::Commands, Purpose::Undo, _) => all(UNDO),
            (Self::Commands, Purpose::Trial, 1) => &[OnAttempt::DropBefore],
            (Self::Commands, Purpose::Trial, 2) => &[OnAttempt::DropAfter],
            (Self::Commands, Purpose::Trial, _)
            | (Self::Undone | Self::Done | Self::Failed | Self::Silent, ..) => &[],
        }
    }

    fn of_request(self, method: &str) -> &'static [OnRequest] {
        match (self, method) {
            (Self::Commands, "GET" | "HEAD") => &[OnRequest::SlowDown, OnRequest::DropAfter],
            (_, "GET" | "HEAD") | (Self::Commands, _) => &[],
            (Self::Undone, _) => &[OnRequest::Refuse, OnRequest::DropBefore, OnRequest::SlowDown],
            (Self::Done, _) => &[OnRequest::DropAfter],
            (Self::Failed, _) => &[OnRequest::Fail],
            (Self::Silent, _) => &[OnRequest::Silence],
        }
    }

    /// How long a request may take: only where no answer comes, less than usual.
    fn deadlines(self) -> Deadlines {
        match self {
            Self::Commands | Self::Undone | Self::Done | Self::Failed => Deadlines::default(),
            Self::Silent => Deadlines { attempt: Duration::from_secs(6), ..Deadlines::default() },
        }
    }
}

/// The faults of a round, and those that were met, in a file: its first line is the round, each other one a fault.
#[derive(Debug)]
struct Listed {
    round: Round,
    file: PathBuf,
    met: Mutex<BTreeMap<String, usize>>,
}

impl Listed {
    fn read(file: &Path) -> Self {
        let text = fs::read_to_string(file).expect("the file of faults");
        let mut lines = text.lines();
        let name = lines.next().unwrap_or_default();
        let round = Round::EVERY.into_iter().find(|round| round.name() == name).expect("a round");
        let mut met = BTreeMap::new();
        for line in lines {
            *met.entry(line.split('\t').next().unwrap_or_default().to_owned()).or_insert(0) += 1;
        }
        Self { round, file: file.to_owned(), met: Mutex::new(met) }
    }

    fn next<F: Copy + std::fmt::Debug>(&self, what: String, faults: &[F]) -> Option<F> {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let count = met.entry(what.clone()).or_insert(0);
        let fault = *faults.get(*count)?;
        *count += 1;
        let mut file = File::options().append(true).open(&self.file).expect("the file of faults");
        writeln!(file, "{what}\t{fault:?}").expect("the file of faults");
        Some(fault)
    }
}

impl Choose for Listed {
    fn attempt(&self, host: &HostName, attempt: &AttemptId, number: u32) -> OnAttempt {
        let purpose = attempt.label.purpose;
        let what = format!("{} {host} {purpose:?} {number}", attempt.step);
        self.next(what, self.round.of_attempt(attempt.step.as_str(), purpose, number))
            .unwrap_or(OnAttempt::Pass)
    }

    fn request(&self, method: &str, uri: &str) -> Option<OnRequest> {
        self.next(format!("{method} {}", shape(path_of(uri))), self.round.of_request(method))
    }

    fn deadlines(&self) -> Deadlines {
        self.round.deadlines()
    }
}

/// A request's path without what differs from run to run, and without the values of its parameters.
fn shape(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let fixed = |part: &&str| part.len() < 30 && !part.starts_with(|c: char| c.is_ascii_digit());
    let path: Vec<_> = path.split('/').map(|part| if fixed(&part) { part } else { "*" }).collect();
    let names: BTreeSet<_> = query.split('&').filter_map(|pair| pair.split('=').next()).collect();
    format!("{}?{}", path.join("/"), names.into_iter().collect::<Vec<_>>().join("&"))
}

/// A workspace in which things go wrong.
struct Scenery<'a> {
    workspace: &'a Workspace<'a>,
    file: PathBuf,
}

impl<'a> Scenery<'a> {
    fn new(workspace: &'a Workspace<'a>, round: Round) -> Self {
        let file = workspace.path().join("faults");
        fs::write(&file, format!("{}\n", round.name())).unwrap();
        Self { workspace, file }
    }

    /// One hactl with faults.
    fn hactl(&self, args: &[&str]) -> Ran {
        let faulty = format!("{ARGUMENT}{}", self.file.display());
        let all: Vec<_> = std::iter::once(faulty.as_str()).chain(args.iter().copied()).collect();
        Running::start_as(&std::env::current_exe().unwrap(), self.workspace.path(), &all).end()
    }

    fn met(&self) -> Vec<String> {
        fs::read_to_string(&self.file).unwrap().lines().skip(1).map(str::to_owned).collect()
    }

    /// Types `first`, and after each stop `then`, until it is done. Each stop has to say where things stand and what to
    /// type next, and comes of faults that were not met before.
    fn through(&self, first: &[&str], then: &[&str]) {
        let began = Instant::now();
        let mut args = first;
        let mut stops = 0;
        loop {
            let before = self.met().len();
            let ran = self.hactl(args);
            if ran.status == 0 {
                break;
            }
            stops += 1;
            assert!(stops < 200, "it does not come to an end: {ran}");
            let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
            eprintln!("exit {}: {}", ran.status, said.split_once("error[").map_or("?", |(_, error)| error));
            assert!(ran.status == 1 || ran.status == 6, "{ran}");
            assert!(said.contains("next:") && said.contains("hactl") && said.contains("now:"), "{ran}");
            if self.met().last().is_some_and(|met| met.contains(" Trial ")) {
                assert!(
                    !said.contains("may or may not have had its effect"),
                    "the change itself is there: {ran}"
                );
            }
            if first.contains(&"rollback") {
                let again = said.contains("hactl phase rollback 0") && !said.contains("hactl resume");
                assert!(again, "what goes on is the same rollback: {ran}");
            }
            assert!(self.met().len() > before, "nothing was put in, and it stopped: {ran}");
            args = then;
        }
        let met = self.met().len();
        eprintln!("{first:?}: {met} faults, {stops} stops, {:.0} s", began.elapsed().as_secs_f32());
    }
}

fn each_change_and_its_way_back() {
    let lab = Lab::up("faulty", Scene::SingleServer);
    let workspace = lab.workspace("cell0");
    let before = world(&workspace);
    let started = starts(&lab);
    let run = ["phase", "run", "0", "--yes"];
    let resume = ["resume", "--yes"];
    let back = ["phase", "rollback", "0", "--yes"];

    let scenery = Scenery::new(&workspace, Round::Commands);
    scenery.through(&run, &resume);
    workspace.must(&["journal", "verify"]);
    assert_each_action_met_everything(&scenery.met());
    assert_the_data_is_backed_up(&workspace);
    assert_eq!(starts(&lab) - started, 1, "PostgreSQL was restarted once");
    assert_eq!(full_backups(&lab), 1);
    assert_eq!(dumps(&workspace), 1);
    assert_eq!(halves(&world(&workspace)), [""; 0]);
    // It is as it would be without any faults: nothing is left to be done.
    workspace.must(&["phase", "verify", "0"]);
    let records = workspace.journal().lines().len();
    workspace.must(&run);
    assert_eq!(workspace.journal().lines().len(), records + 1, "only that somebody went on");

    scenery.through(&back, &back);
    assert_eq!(left_after_rollback(&before, &world(&workspace)), [""; 0]);
    assert_eq!(starts(&lab) - started, 2, "taking the settings back restarts it once more");
    assert_eq!(psql(&lab, "cell", "SHOW archive_mode"), "off");
    workspace.must(&["journal", "verify"]);
}

/// Every action that sends commands met each fault, but that one which is killed halfway may have been done all the same,
/// and then nobody waits for an answer that could be lost.
fn assert_each_action_met_everything(met: &[String]) {
    let of = |action: &str| -> Vec<&str> {
        let begin = format!("{action} Action 1\t");
        met.iter().filter_map(|line| line.strip_prefix(begin.as_str())).collect()
    };
    let firsts = met.iter().filter_map(|line| line.split_once('\t')?.0.strip_suffix(" Action 1"));
    let actions: BTreeSet<_> = firsts.collect();
    let mut lost = 0;
    for action in &actions {
        let (step, _host) = action.split_once(' ').unwrap();
        let wanted = Round::Commands.of_attempt(step, Purpose::Action, 1);
        let wanted: Vec<_> = wanted.iter().map(|fault| format!("{fault:?}")).collect();
        let faults = of(action);
        assert!(faults == wanted || faults == wanted[..wanted.len() - 1], "{action}: {faults:?}");
        lost += usize::from(faults.len() == wanted.len());
    }
    eprintln!("{} actions met each fault: {actions:?}", actions.len());
    assert!(actions.len() >= 14 && lost >= 10, "{lost} of {}", actions.len());
}

/// What killed writes have left.
fn halves(world: &[String]) -> Vec<String> {
    world.iter().filter(|line| line.contains("/.hactl.")).cloned().collect()
}

/// How many dumps are in the bucket.
fn dumps(workspace: &Workspace<'_>) -> usize {
    let keys = Bucket::of(workspace).keys("dumps/");
    keys.iter().filter(|key| key.ends_with("/manifest.json")).count()
}

const TO_THE_BUCKET: &str = r#"
[runbook]
name = "bucket"
title = "The bucket"
summary = "What acts on the bucket alone."

[[phase]]
id = "0"
title = "The bucket"

[[phase.step]]
id = "bucket"
title = "Make the bucket"
retries = 2
action.s3_bucket = {}

[[phase.step]]
id = "restore-credential"
title = "See that the restore credential can only read"
action.s3_restore_credential = {}
"#;

fn each_request() {
    let lab = Lab::up("requests", Scene::Nodes(1));
    let back = ["phase", "rollback", "0", "--yes"];
    for round in Round::EVERY {
        // A run of its own, for what is verified once is not verified again.
        let workspace = lab.workspace_of("bucket.toml", TO_THE_BUCKET);
        let bucket = Bucket::of(&workspace);
        let scenery = Scenery::new(&workspace, round);
        scenery.through(&["phase", "run", "0", "--yes"], &["resume", "--yes"]);
        assert_eq!(bucket.keys(""), [""; 0], "{round:?}: something of a trial is left");
        assert!(bucket.exists(), "{round:?}");
        for of in ["/round-trip", "/restore-credential"] {
            assert!(
                scenery.met().iter().any(|met| met.contains(of)),
                "{round:?}: nothing went wrong at {of}"
            );
        }
        scenery.through(&back, &back);
        assert!(!bucket.exists(), "{round:?}: the bucket is still there");
        workspace.must(&["journal", "verify"]);
    }

    // Nothing of this is possible where it is no rehearsal.
    let production = lab.workspace_of("bucket.toml", TO_THE_BUCKET);
    let of_the_lab = format!("[lab]\nname = \"{}\"\n", lab.name());
    production.edit("hactl.toml", |text| {
        assert!(text.contains(&of_the_lab), "{text}");
        text.replace(&of_the_lab, "")
    });
    let ran = Scenery::new(&production, Round::Undone).hactl(&["phase", "run", "0"]);
    assert_eq!(ran.status, 1, "{ran}");
    assert!(ran.stderr.contains("lab::seal") && ran.stderr.contains("faults"), "{ran}");
    assert!(production.journal().lines().is_empty());
}
