//! A signal to all connections of a layer, raised once: a drain, or an abort.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
};

use tokio_util::sync::CancellationToken;

/// A signal that all connections of a layer can wait for. Clones share the same signal.
///
/// The token wakes the tasks that wait. Asking the token takes a lock that all connections share, so
/// the flag beside it answers instead.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signal {
    raised: Arc<AtomicBool>,
    token: CancellationToken,
}

impl Signal {
    pub(crate) fn raise(&self) {
        // The flag comes first, so that a woken task finds it raised.
        self.raised.store(true, Ordering::Release);
        self.token.cancel();
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    /// Waits until the signal is raised.
    pub(crate) fn wait(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.token.clone().cancelled_owned()
    }

    /// Waits for a future. Returns `None` if the signal is raised before the future is ready.
    pub(crate) async fn unless_raised<F>(&self, mut future: Pin<&mut F>) -> Option<F::Output>
    where
        F: Future,
    {
        let mut raised = pin!(self.token.cancelled());
        let mut known: Option<Waker> = None;
        poll_fn(|cx| {
            if self.is_raised() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            // The token is polled, and its lock taken, only if the waker has changed.
            if !known.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                known = Some(cx.waker().clone());
                return raised.as_mut().poll(cx).map(|()| None);
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio_test::{assert_pending, assert_ready_eq, task};

    use super::*;

    #[test]
    fn a_signal_wakes_waiting_tasks_and_cancels_pending_futures() {
        let signal = Signal::default();
        let mut wait = task::spawn(signal.wait());
        let mut forever = task::spawn(async { signal.unless_raised(pin!(pending::<()>())).await });
        assert_pending!(wait.poll());
        assert_pending!(forever.poll());
        assert_pending!(forever.poll());
        assert!(!signal.is_raised());

        signal.clone().raise();
        signal.raise();
        assert!(signal.is_raised());
        assert!(wait.is_woken() && forever.is_woken());
        assert_ready_eq!(wait.poll(), ());
        assert_ready_eq!(forever.poll(), None);
    }

    #[test]
    fn a_future_that_is_ready_before_the_signal_keeps_its_output() {
        let signal = Signal::default();
        let mut first = task::spawn(async { signal.unless_raised(pin!(ready(7))).await });
        assert_ready_eq!(first.poll(), Some(7));
        signal.raise();
        let mut late = task::spawn(async { signal.unless_raised(pin!(ready(7))).await });
        assert_ready_eq!(late.poll(), None);
    }

    #[test]
    fn the_task_that_polls_last_is_woken() {
        let signal = Signal::default();
        let mut future = Box::pin(async { signal.unless_raised(pin!(pending::<()>())).await });
        assert_pending!(task::spawn(future.as_mut()).poll());
        let mut last = task::spawn(future.as_mut());
        assert_pending!(last.poll());
        signal.raise();
        assert!(last.is_woken());
        assert_ready_eq!(last.poll(), None);
    }
}
