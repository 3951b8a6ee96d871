//! The journal's second copy, before an effect.
//!
//! Invariant: [`Journal::mirrored`] returns only once every record so far is in the mirror, where the workspace has one
//! and demands it; and what lets anything touch a host is made after that.

use std::rc::Rc;

use super::Journal;
use super::record::Seq;
use crate::diagnostic::{Error, Result, codes};
use crate::event::Event;
use crate::mirror::{Mirror, is_out_of_reach};
use crate::workspace::Demand;

impl Journal {
    /// Keeps every record from now on in this mirror too.
    pub fn mirror_to(&self, mirror: Mirror) {
        *self.mirror.borrow_mut() = Some(Rc::new(mirror));
    }

    /// Makes sure that the mirror holds every record so far.
    ///
    /// # Errors
    /// It does not, and the workspace demands it; or somebody else went on from it, whatever the workspace demands.
    pub async fn mirrored(&self) -> Result<()> {
        let Some(mirror) = self.mirror.borrow().clone() else { return Ok(()) };
        let last = self.hold.last().seq;
        let error = match mirror.reach(last, self.clock.as_ref()).await {
            Ok(_) => {
                if self.behind.take() {
                    self.tell(Event::MirrorCaughtUp { seq: last.0 });
                }
                return Ok(());
            }
            Err(error) => error,
        };
        match mirror.demand() {
            Demand::Wanted if is_out_of_reach(error.code()) => {
                if !self.behind.replace(true) {
                    self.tell(Event::MirrorBehind { seq: last.0, why: error.one_line() });
                }
                Ok(())
            }
            Demand::Required if is_out_of_reach(error.code()) => Err(behind(&mirror, last, error)),
            Demand::Wanted | Demand::Required => Err(error),
        }
    }

    fn tell(&self, event: Event) {
        let listener = self.listener.borrow().clone();
        if let Some(listener) = listener {
            listener.event(event);
        }
    }
}

fn behind(mirror: &Mirror, last: Seq, error: Error) -> Error {
    let what = format!("the mirror {} could not be brought up to record {last}", mirror.url());
    let mut stopped = Error::new(codes::MIRROR_BEHIND, what)
        .state("nothing was begun that the mirror does not know of; this journal holds every record");
    for next in error.next_moves() {
        stopped = stopped.next(next);
    }
    let stopped = match error.code() {
        code if code == codes::S3_NO_BUCKET => stopped.next("hactl journal mirror --make-bucket"),
        _other => stopped.next("hactl doctor"),
    };
    stopped
        .next("then: hactl resume")
        .next("to go on without it: mirror_required = false in [state], then: hactl resume --rebase")
        .source(error)
}
