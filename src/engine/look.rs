//! Looking at the world on behalf of a step: for a bounded time, and telling the listener what is looked at.
//!
//! Invariant: looking changes nothing, and records nothing.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::approver::Approver;
use super::driver::Driver;
use super::seam::{Resolved, Steps, Task};
use crate::diagnostic::{Error, Result, codes};
use crate::event::{Event, Listener};
use crate::journal::record::{Before, Observed, Place};
use crate::step::{Findings, Weight};
use crate::waiting::{Await, Waiting, awaited, begin, told};

/// How long one look at the world may take.
pub(super) const LOOK: Duration = Duration::from_secs(120);
/// How often something that is under way is looked at again.
const AGAIN: Duration = Duration::from_millis(500);

impl<S: Steps, A: Approver, L: Listener> Driver<'_, S, A, L> {
    /// Observes, waiting while something is under way, for at most the step's timeout.
    pub(super) async fn observe_settled(
        &self,
        task: &Task,
        resolved: &Resolved<S::Action>,
        before: Option<&Before>,
    ) -> Result<Observed> {
        let until = Instant::now() + task.timeout;
        let mut waiting: Option<Waiting> = None;
        loop {
            let seen = self
                .look(&task.place, "observing", self.steps.observe(task, &resolved.action, before))
                .await?;
            match seen {
                Observed::Running(what) if Instant::now() < until => {
                    self.busy(&task.place, &format!("waiting: {what}"));
                    let left = until.saturating_duration_since(Instant::now());
                    let begun = waiting.get_or_insert_with(|| begin(Await::new(what.clone()).within(left)));
                    begun.is_now(what, until);
                    sleep(AGAIN).await;
                }
                Observed::Applied(_)
                | Observed::NotApplied { .. }
                | Observed::Running(_)
                | Observed::Indeterminate(_) => return Ok(seen),
            }
        }
    }

    pub(super) async fn look<T>(
        &self,
        place: &Place,
        doing: &str,
        look: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let seen = self.within(LOOK, place, doing, look).await;
        seen.map_err(|error| error.default_state("nothing was changed by looking"))
    }

    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        place: &Place,
        doing: &str,
        look: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.listener.event(Event::Looking { place: place.clone(), doing: doing.to_owned() });
        match timeout(limit, awaited(Await::new(format!("{doing} to end")).within(limit), look)).await {
            Ok(result) => result,
            Err(_elapsed) => {
                let limit = humantime::format_duration(limit);
                Err(Error::new(codes::STEP_TIMEOUT, format!("{doing} took longer than {limit}"))
                    .state("nothing was changed by looking")
                    .next("hactl doctor"))
            }
        }
    }

    /// Tells the listener what `work` waits for.
    pub(super) async fn attended<T>(&self, place: &Place, work: impl Future<Output = T>) -> T {
        let tell = |wait| {
            let place = place.clone();
            self.listener.event(match wait {
                Some(wait) => Event::Waiting { place, wait },
                None => Event::Waited { place },
            });
        };
        told(self.clock, tell, work).await
    }

    pub(super) fn busy(&self, place: &Place, doing: &str) {
        self.listener.event(Event::Busy { place: place.clone(), doing: doing.to_owned() });
    }

    pub(super) fn show(&self, place: &Place, findings: &Findings) {
        for finding in &findings.0 {
            let weight = match finding.weight {
                Weight::Note => "note",
                Weight::Warning => "warning",
                Weight::Blocks => "blocks",
            };
            self.listener.event(Event::Found { place: place.clone(), weight, text: finding.text.clone() });
        }
    }
}
