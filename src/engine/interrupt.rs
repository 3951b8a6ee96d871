//! Ctrl-C: the first one asks to stop after the current action, the second one stops now.
//!
//! The driver asks [`Interrupt::wanted`] before each effect. Stopping now is dropping the driver's future: the
//! intent is on disk, so the next resume finds the step in doubt and decides it by observing.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

/// How often the operator asked to stop.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    count: Cell<u32>,
    changed: Notify,
}

impl Interrupt {
    /// Notes one more request to stop.
    pub fn request(&self) {
        self.0.count.set(self.0.count.get().saturating_add(1));
        self.0.changed.notify_waiters();
    }

    /// True once a stop was asked for.
    #[must_use]
    pub fn wanted(&self) -> bool {
        self.0.count.get() > 0
    }

    /// Ends when a second request came: stop now.
    pub async fn now(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.0.count.get() > 1 {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Interrupt;

    #[tokio::test(flavor = "current_thread")]
    async fn the_second_request_ends_the_wait_and_the_first_does_not() {
        let interrupt = Interrupt::default();
        assert!(!interrupt.wanted());
        interrupt.request();
        assert!(interrupt.wanted());
        let wait = interrupt.now();
        tokio::pin!(wait);
        tokio::select! {
            biased;
            () = &mut wait => panic!("one request is not two"),
            () = tokio::task::yield_now() => {}
        }
        interrupt.request();
        wait.await;
    }
}
