//! How fast one may ask: 3,600 requests an hour for a whole project, which others use too.

use std::cell::Cell;
use std::time::Duration;

use reqwest::header::HeaderMap;
use tokio::time::sleep;

use crate::waiting::{Await, awaited};

/// The share of the hour's requests that is left for others; within it, one is sent only as fast as one comes back.
const RESERVE: u64 = 10;

/// What the newest answer said of it.
#[derive(Debug, Default)]
pub(super) struct Pace(Cell<Option<Left>>);

#[derive(Clone, Copy, Debug)]
struct Left {
    limit: u64,
    remaining: u64,
}

impl Pace {
    /// Takes in what an answer says.
    pub(super) fn heard(&self, headers: &HeaderMap) {
        let limit = number(headers, "ratelimit-limit").filter(|limit| *limit > 0);
        if let (Some(limit), Some(remaining)) = (limit, number(headers, "ratelimit-remaining")) {
            self.0.set(Some(Left { limit, remaining }));
        }
    }

    /// How many requests are left, and of how many, as the newest answer said.
    pub(super) fn left(&self) -> Option<(u64, u64)> {
        self.0.get().map(|left| (left.remaining, left.limit))
    }

    /// Waits where there are few requests left.
    pub(super) async fn wait(&self) {
        if let Some(gap) = self.gap() {
            let what = "the cloud to have requests left: few are, of what a project may send in an hour";
            awaited(Await::new(what).within(gap), sleep(gap)).await;
        }
    }

    fn gap(&self) -> Option<Duration> {
        const HOUR_MS: u64 = 3_600_000;
        let left = self.0.get()?;
        // An odd limit must not stop everything.
        let gap = Duration::from_millis(HOUR_MS / left.limit).min(Duration::from_secs(5));
        (left.remaining < left.limit / RESERVE).then_some(gap)
    }
}

/// How long the server wants one to wait, in seconds.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    number(headers, "retry-after").map(Duration::from_secs)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::header::{HeaderMap, HeaderValue};

    use super::{Pace, retry_after};

    fn said(limit: &'static str, remaining: &'static str) -> HeaderMap {
        HeaderMap::from_iter([
            ("ratelimit-limit".parse().unwrap(), HeaderValue::from_static(limit)),
            ("ratelimit-remaining".parse().unwrap(), HeaderValue::from_static(remaining)),
        ])
    }

    #[test]
    fn where_few_requests_are_left_one_is_sent_as_fast_as_one_comes_back() {
        let pace = Pace::default();
        assert_eq!(pace.gap(), None);
        pace.heard(&said("3600", "3599"));
        assert_eq!(pace.gap(), None);
        pace.heard(&said("3600", "359"));
        assert_eq!(pace.gap(), Some(Duration::from_secs(1)));
        // What says nothing, or nothing usable, changes nothing; an odd limit does not stop everything.
        pace.heard(&HeaderMap::new());
        pace.heard(&said("0", "0"));
        pace.heard(&said("many", "few"));
        assert_eq!(pace.gap(), Some(Duration::from_secs(1)));
        pace.heard(&said("20", "0"));
        assert_eq!(pace.gap(), Some(Duration::from_secs(5)));
    }

    #[test]
    fn the_wait_that_the_server_wants_is_in_seconds() {
        let after = |text| retry_after(&HeaderMap::from_iter([("retry-after".parse().unwrap(), text)]));
        assert_eq!(after(HeaderValue::from_static("7")), Some(Duration::from_secs(7)));
        assert_eq!(after(HeaderValue::from_static("Wed, 21 Oct 2026 07:28:00 GMT")), None);
    }
}
