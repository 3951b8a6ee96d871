//! The tokio runtime, and what Ctrl-C does to the work in it.
//!
//! Invariant: the runtime is made after the lab's namespaces were entered, and has one thread. The first Ctrl-C asks
//! the driver to stop; the second one drops the driver's future, which leaves the intent on disk for the next resume.

use std::pin::pin;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::diagnostic::{Error, Result, codes};
use crate::engine::interrupt::Interrupt;
use crate::event::{Event, Listener};

/// How long a thread that hangs in a blocking call may keep hactl from ending.
const LINGER: Duration = Duration::from_secs(2);

/// Runs `work` to its end on a runtime of its own.
///
/// # Errors
/// What `work` could not do.
pub fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::new(codes::IO, "cannot start: the runtime is refused").source(e))?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(LINGER);
    result
}

/// Runs `work` until it ends, or until the operator asked twice to stop.
///
/// # Errors
/// What `work` could not do, or [`codes::INTERRUPTED`] after the second request.
pub async fn interruptible<T>(
    interrupt: &Interrupt,
    listener: &impl Listener,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let refused = |e| Error::new(codes::IO, "cannot listen for Ctrl-C").source(e);
    let mut ctrl_c = signal(SignalKind::interrupt()).map_err(refused)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(refused)?;
    let mut work = pin!(work);
    let mut now = pin!(interrupt.now());
    loop {
        tokio::select! {
            biased;
            result = &mut work => return result,
            () = &mut now => return Err(stopped_now()),
            _ = ctrl_c.recv() => request(interrupt, listener),
            _ = terminate.recv() => request(interrupt, listener),
        }
    }
}

fn request(interrupt: &Interrupt, listener: &impl Listener) {
    if !interrupt.wanted() {
        listener.event(Event::Stopping);
    }
    interrupt.request();
}

fn stopped_now() -> Error {
    Error::new(codes::INTERRUPTED, "stopped now, as you asked twice")
        .state("an action that was running may or may not have had its effect; the journal has its intent")
        .next("hactl resume    (looks at what became of it, and goes on)")
}

#[cfg(test)]
mod tests {
    use super::interruptible;
    use crate::diagnostic::{Result, codes};
    use crate::engine::interrupt::Interrupt;
    use crate::event::{Collect, Event, Nobody};

    #[tokio::test(flavor = "current_thread")]
    async fn the_second_request_drops_the_work() {
        let interrupt = Interrupt::default();
        let asked = interrupt.clone();
        let work = async move {
            asked.request();
            asked.request();
            std::future::pending::<Result<()>>().await
        };
        let error = interruptible(&interrupt, &Nobody, work).await.unwrap_err();
        assert_eq!(error.code(), codes::INTERRUPTED);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_signal_is_told_and_asks_the_driver_to_stop() {
        let interrupt = Interrupt::default();
        let seen = interrupt.clone();
        let told = Collect::default();
        let work = async move {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).unwrap();
            while !seen.wanted() {
                tokio::task::yield_now().await;
            }
            Ok(())
        };
        interruptible(&interrupt, &told, work).await.unwrap();
        assert!(matches!(told.0.borrow()[..], [Event::Stopping]));
    }
}
