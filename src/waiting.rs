//! What is awaited, on which host, since when, and until when at the latest.
//!
//! Invariant: saying it decides nothing: whoever waits keeps its own limit, and tells it here. Whatever may take longer
//! than a few seconds says so where it waits ([`awaited`], [`begin`]); whoever shows it listens from outside
//! ([`told`]), and is told only of what has lasted for [`PATIENCE`]. Outside of [`told`] saying it costs nothing.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::clock::Clock;
use crate::name::HostName;

/// What ends sooner is not worth a word.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// A limit beyond this is none that anybody waits for: a person's time, not a machine's.
const NO_LIMIT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Something that is being waited for, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// What: "the command psql to end".
    pub what: String,
    /// On which host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// Since when.
    pub since: Timestamp,
    /// When it was told.
    pub at: Timestamp,
    /// The latest moment at which it is given up; none where it has no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Something that will be waited for.
#[derive(Clone, Debug)]
#[must_use = "what is awaited is said by awaited() or begin()"]
pub struct Await {
    what: String,
    host: Option<HostName>,
    within: Option<Duration>,
}

impl Await {
    /// `what` fits after "waits for".
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), host: None, within: None }
    }

    /// On this host.
    pub fn on(self, host: &HostName) -> Self {
        Self { host: Some(host.clone()), ..self }
    }

    /// For at most so long.
    pub fn within(self, limit: Duration) -> Self {
        Self { within: Some(limit).filter(|limit| *limit < NO_LIMIT), ..self }
    }
}

tokio::task_local! {
    static BOARD: Option<Board>;
}

/// Where waits are written down, seen from within one of them.
#[derive(Clone, Debug)]
struct Board {
    all: Rc<All>,
    depth: u32,
    /// When the waits around this one are given up.
    cap: Option<Instant>,
}

#[derive(Debug, Default)]
struct All {
    entries: RefCell<Vec<Entry>>,
    next: Cell<u64>,
    changed: Notify,
}

#[derive(Clone, Debug)]
struct Entry {
    id: u64,
    depth: u32,
    what: String,
    host: Option<HostName>,
    began: Instant,
    until: Option<Instant>,
}

impl All {
    /// The innermost wait, and of several the oldest.
    fn current(&self) -> Option<Entry> {
        let entries = self.entries.borrow();
        entries.iter().max_by_key(|entry| (entry.depth, std::cmp::Reverse(entry.id))).cloned()
    }
}

impl Entry {
    fn told(&self, clock: &dyn Clock) -> Wait {
        let (now, at) = (Instant::now(), clock.now());
        let long = |duration: Duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        let since = at.saturating_sub(long(now.duration_since(self.began))).unwrap_or(at);
        let left = self.until.map(|until| long(until.saturating_duration_since(now)));
        let until = left.map(|left| at.saturating_add(left).unwrap_or(Timestamp::MAX));
        Wait { what: self.what.clone(), host: self.host.clone(), since, at, until }
    }
}

/// A wait that lasts until this is dropped.
#[derive(Debug)]
#[must_use = "the wait ends when this is dropped"]
pub struct Waiting(Option<(Board, u64)>);

impl Waiting {
    /// The same wait is for something else now, or until another moment.
    pub fn is_now(&self, what: impl Into<String>, until: Instant) {
        let Some((board, id)) = &self.0 else { return };
        let mut entries = board.all.entries.borrow_mut();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.id == *id) {
            let (what, until) = (what.into(), Some(earlier(until, board.cap)));
            if entry.what != what || entry.until != until {
                // A new sentence is told anew; the wait is as old as it was.
                (entry.what, entry.until) = (what, until);
                board.all.changed.notify_one();
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some((board, id)) = &self.0 {
            board.all.entries.borrow_mut().retain(|entry| entry.id != *id);
            board.all.changed.notify_one();
        }
    }
}

fn earlier(until: Instant, cap: Option<Instant>) -> Instant {
    cap.map_or(until, |cap| cap.min(until))
}

/// Says that something is awaited from now on.
pub fn begin(what: Await) -> Waiting {
    let Some(board) = BOARD.try_with(Clone::clone).ok().flatten() else { return Waiting(None) };
    let id = board.all.next.get();
    board.all.next.set(id + 1);
    let began = Instant::now();
    let own = what.within.map(|within| began + within);
    let until = own.map_or(board.cap, |own| Some(earlier(own, board.cap)));
    let Await { what, host, .. } = what;
    let entry = Entry { id, depth: board.depth, what, host, began, until };
    board.all.entries.borrow_mut().push(entry);
    board.all.changed.notify_one();
    Waiting(Some((board, id)))
}

/// Says that something is awaited while `work` goes on. What `work` itself awaits is said in its place.
pub async fn awaited<T>(what: Await, work: impl Future<Output = T>) -> T {
    let waiting = begin(what);
    let within = waiting.0.as_ref().map(|(board, id)| {
        let entries = board.all.entries.borrow();
        let cap = entries.iter().find(|entry| entry.id == *id).and_then(|entry| entry.until);
        Board { all: Rc::clone(&board.all), depth: board.depth + 1, cap }
    });
    // Boxed: waits lie within waits, and the compiler counts every layer.
    let done = BOARD.scope(within, Box::pin(work)).await;
    drop(waiting);
    done
}

/// What `work` awaits is not said: what is awaited around it says more.
pub async fn quietly<T>(work: impl Future<Output = T>) -> T {
    BOARD.scope(None, work).await
}

/// Tells what `work` awaits, each wait once it has lasted for [`PATIENCE`], and nothing when it is over.
pub async fn told<T>(clock: &dyn Clock, tell: impl Fn(Option<Wait>), work: impl Future<Output = T>) -> T {
    let all = Rc::new(All::default());
    let board = Board { all: Rc::clone(&all), depth: 0, cap: None };
    // Boxed: what is carried out is deep already, and the compiler counts every layer around it.
    let mut work = Box::pin(BOARD.scope(Some(board), work));
    let mut said: Option<(u64, String, Option<Instant>)> = None;
    let done = loop {
        let current = all.current();
        let same = |entry: &Entry| {
            said.as_ref()
                .is_some_and(|(id, what, until)| (*id, what, *until) == (entry.id, &entry.what, entry.until))
        };
        if said.is_some() && !current.as_ref().is_some_and(&same) {
            let goes_on = current.as_ref().is_some_and(|entry| entry.began.elapsed() >= PATIENCE);
            if !goes_on {
                tell(None);
            }
            said = None;
        }
        let due = current.filter(|_| said.is_none());
        tokio::select! {
            biased;
            done = &mut work => break done,
            () = all.changed.notified() => {}
            () = until_due(due.as_ref()) => if let Some(entry) = due {
                tell(Some(entry.told(clock)));
                said = Some((entry.id, entry.what, entry.until));
            },
        }
    };
    if said.is_some() {
        tell(None);
    }
    done
}

async fn until_due(entry: Option<&Entry>) {
    match entry {
        Some(entry) => sleep_until(entry.began + PATIENCE).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use jiff::Timestamp;
    use tokio::time::{Instant, sleep};

    use super::{Await, awaited, begin, quietly, told};
    use crate::clock::FixedClock;

    /// What is told of `work`: what, and in how many seconds it is given up; `over` where it ended.
    async fn heard(work: impl Future<Output = ()>) -> Vec<String> {
        let clock = FixedClock::new(Timestamp::UNIX_EPOCH + Duration::from_secs(1000));
        let heard = RefCell::new(Vec::new());
        let tell = |wait: Option<super::Wait>| {
            heard.borrow_mut().push(wait.map_or("over".to_owned(), |wait| {
                let host = wait.host.map(|host| format!(" on {host}")).unwrap_or_default();
                let left =
                    wait.until.map(|until| format!(" {} s left", until.duration_since(wait.at).as_secs()));
                assert!(wait.since < wait.at, "nothing is told at once");
                format!("{}{host}{}", wait.what, left.unwrap_or_default())
            }));
        };
        told(&clock, tell, work).await;
        heard.into_inner()
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn what_ends_soon_is_not_told_and_what_lasts_is_told_once() {
        let quick = awaited(Await::new("a moment").within(secs(60)), sleep(secs(2)));
        assert_eq!(heard(quick).await, [""; 0]);
        let slow = awaited(Await::new("the rain to stop").within(secs(60)), sleep(secs(20)));
        assert_eq!(heard(slow).await, ["the rain to stop 57 s left", "over"]);
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn the_innermost_is_told_and_ends_with_what_is_around_it() {
        let inner = async {
            sleep(secs(5)).await;
            awaited(Await::new("an answer").within(secs(600)), sleep(secs(10))).await;
            sleep(secs(10)).await;
        };
        let work = awaited(Await::new("the action to end").within(secs(60)), inner);
        let told = [
            "the action to end 57 s left",
            "over",
            "an answer 52 s left",
            "the action to end 45 s left",
            "over",
        ];
        assert_eq!(heard(work).await, told);
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn of_several_the_oldest_is_told_and_a_person_has_no_limit() {
        let work = async {
            let one = awaited(Await::new("one").within(secs(100)), sleep(secs(8)));
            let two = awaited(Await::new("two").within(secs(40 * 24 * 3600)), sleep(secs(20)));
            tokio::join!(one, two);
        };
        assert_eq!(heard(work).await, ["one 97 s left", "two", "over"]);
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn what_is_around_can_speak_for_what_is_within_and_change_its_mind() {
        let work = async {
            let waiting = begin(Await::new("psql to end").within(secs(60)));
            quietly(awaited(Await::new("an answer").within(secs(5)), sleep(secs(4)))).await;
            waiting.is_now("the host to answer again", Instant::now() + secs(45));
            quietly(sleep(secs(4))).await;
        };
        assert_eq!(
            heard(work).await,
            ["psql to end 57 s left", "the host to answer again 45 s left", "over"]
        );
        // Nobody listens: nothing to be told, and nothing breaks.
        awaited(Await::new("nothing"), async { drop(begin(Await::new("x"))) }).await;
    }
}
