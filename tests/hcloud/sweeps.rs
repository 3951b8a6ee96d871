//! What the kinds of the cloud are put through alike: each gives a bench with what it makes, and how it looks when that is
//! there and when it is gone again.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use hactl::journal::fake::{FakeDisk, Fault as DiskFault};
use hactl::lab::cloud::{Fault, FaultKind};
use hactl::plan::Outlook;

use crate::bench::{Bench, Job};

/// What can become of a request that changes something.
fn faults() -> Vec<FaultKind> {
    let refused = |status, code: &str| FaultKind::Refused { status, code: code.to_owned() };
    vec![
        FaultKind::RateLimited { retry_after: 0 },
        refused(500, "server_error"),
        refused(502, "bad_gateway"),
        refused(504, "timeout"),
        refused(409, "conflict"),
        refused(423, "locked"),
        FaultKind::Garbled { status: 200 },
        FaultKind::Garbled { status: 502 },
        FaultKind::DropBefore,
        FaultKind::DropAfter,
        FaultKind::GatewayAfter,
        FaultKind::Hang { milliseconds: 600 },
        FaultKind::HangAfter { milliseconds: 600 },
    ]
}

/// So many stories are told at a time: most of each is waiting.
const AT_ONCE: usize = 4;

/// A request that changes something: its method and its path.
pub(crate) type Change = (&'static str, &'static str);

/// Each of these paths by itself, in a run and in its way back: an object is made and deleted, and an action asked for.
pub(crate) fn one_by_one(paths: &[&'static str]) -> Vec<(Vec<Change>, Vec<Change>)> {
    let back = |path: &str| if path.contains("/actions/") { "POST" } else { "DELETE" };
    paths.iter().map(|path| (vec![("POST", *path)], vec![(back(path), *path)])).collect()
}

/// A run makes it all; a second one, one of a fresh journal and a plan ask for no change; the way back takes it back, and
/// a second one asks for no change.
pub(crate) fn made_once_and_taken_back_once<W, G>((bench, whole, gone): (Bench, W, G))
where
    W: Fn(&Bench, &str),
    G: Fn(&Bench, &str),
{
    let disk = FakeDisk::default();
    bench.process(&disk, Job::Run).unwrap();
    whole(&bench, "made");
    bench.cloud.forget_requests();
    bench.process(&disk, Job::Run).unwrap();
    bench.process(&FakeDisk::default(), Job::Run).unwrap();
    let plan = bench.plan();
    assert!(plan.places().all(|place| place.outlook == Outlook::AlreadyThere), "{plan:?}");
    assert_eq!(bench.changes(), [""; 0]);

    bench.process(&disk, Job::RollBack).unwrap();
    gone(&bench, "taken back");
    bench.cloud.forget_requests();
    bench.process(&disk, Job::RollBack).unwrap();
    assert_eq!(bench.changes(), [""; 0]);
}

/// Each of [`faults`] meets each set of requests, those of the run and those of its way back: what is wanted is there once,
/// and taken back once.
pub(crate) fn whatever_becomes_of<W, G>(
    sets: &[(Vec<Change>, Vec<Change>)],
    make: impl Fn() -> (Bench, W, G) + Sync,
) where
    W: Fn(&Bench, &str),
    G: Fn(&Bench, &str),
{
    let mut stories = Vec::new();
    for (run, back) in sets {
        for (number, fault) in faults().into_iter().enumerate() {
            // One that passes, and one that does not pass before hactl gives up: an operator goes on.
            let times = if number % 2 == 0 { 1 } else { 3 };
            let befall = |changes: &[Change]| -> Vec<Fault> {
                changes.iter().map(|(how, path)| Fault::next(how, path, fault.clone()).times(times)).collect()
            };
            stories.push((befall(run), befall(back)));
        }
    }
    at_once(&stories, |(run, back)| through(run, back, &make));
}

/// Each story's faults meet the run, and meet its way back anew: a list that is behind, an action that hangs or fails.
pub(crate) fn however<W, G>(stories: &[Vec<Fault>], make: impl Fn() -> (Bench, W, G) + Sync)
where
    W: Fn(&Bench, &str),
    G: Fn(&Bench, &str),
{
    at_once(stories, |faults| through(faults, faults, &make));
}

/// What lags or breaks in the background with objects of one kind: its lists, those of servers, and its actions.
pub(crate) fn behind_stuck_or_failing(many: &str) -> Vec<Vec<Fault>> {
    let stale = |path: &str| Fault::next("GET", path, FaultKind::Stale { milliseconds: 150 }).times(1000);
    let action = |kind| Fault::next("POST", &format!("{many}/*"), kind);
    let fails = FaultKind::ActionFails { code: "action_failed".into() };
    [stale(many), stale("/servers"), action(FaultKind::ActionStuck), action(fails)]
        .map(|one| vec![one])
        .into()
}

fn through<W, G>(run: &[Fault], back: &[Fault], make: impl Fn() -> (Bench, W, G))
where
    W: Fn(&Bench, &str),
    G: Fn(&Bench, &str),
{
    let story = format!("{run:?}, {back:?}");
    let (bench, whole, gone) = make();
    bench.hurry();
    let disk = FakeDisk::default();
    run.iter().for_each(|fault| bench.cloud.fault(fault.clone()));
    bench.carry_through(&disk, Job::Run, &story);
    bench.cloud.clear_faults();
    whole(&bench, &story);
    back.iter().for_each(|fault| bench.cloud.fault(fault.clone()));
    bench.carry_through(&disk, Job::RollBack, &story);
    bench.cloud.clear_faults();
    gone(&bench, &story);
}

/// Kills the process at each `step`th call of the journal's disk. Every second time it is gone on with, and `whole` looks;
/// each time it is taken back, and `gone` looks. There are at least `least` calls to be killed in.
pub(crate) fn killed_at_each_call<W, G>(step: usize, least: usize, make: impl Fn() -> (Bench, W, G) + Sync)
where
    W: Fn(&Bench, &str),
    G: Fn(&Bench, &str),
{
    let over = AtomicBool::new(false);
    let numbers: Vec<usize> = (0..700 / step).collect();
    at_once(&numbers, |number| {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let call = number * step;
        let (bench, whole, gone) = make();
        let disk = FakeDisk::default();
        disk.fail_at(call, DiskFault::Killed(call % 7));
        let ended = bench.process(&disk, Job::Run);
        if !disk.is_dead() {
            ended.unwrap();
            assert!(call > least, "only {call} places to be killed in");
            return over.store(true, Ordering::Relaxed);
        }
        let story = format!("killed in disk call {call}");
        let disk = FakeDisk::holding(disk.live());
        if number % 2 == 0 {
            bench.carry_through(&disk, Job::Run, &story);
            whole(&bench, &story);
        }
        bench.carry_through(&disk, Job::RollBack, &story);
        gone(&bench, &story);
    });
    assert!(over.into_inner(), "it never ends");
}

/// Tells each story, some of them at the same time.
pub(crate) fn at_once<S: Sync>(stories: &[S], tell: impl Fn(&S) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(story) = stories.get(next.fetch_add(1, Ordering::Relaxed)) {
                    tell(story);
                }
            });
        }
    });
}
