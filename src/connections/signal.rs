//! A signal that is raised once, and that any number of tasks can wait for: a drain.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::atomic::{AtomicBool, Ordering},
    task::{Poll, Waker},
};

use tokio::sync::Notify;

/// A flag, and the tasks that wait for it.
///
/// Those who only ask take no lock.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    raised: AtomicBool,
    waiting: Notify,
}

impl Signal {
    pub(crate) fn raise(&self) {
        // The flag comes first, so that a woken task finds it raised.
        if !self.raised.swap(true, Ordering::AcqRel) {
            self.waiting.notify_waiters();
        }
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    /// Wakes those who wait, although it is not raised.
    pub(crate) fn wake(&self) {
        self.waiting.notify_waiters();
    }

    /// Waits until the signal is raised.
    pub(crate) async fn wait(&self) {
        self.wait_unless(|| false).await;
    }

    /// Waits until the signal is raised, or until those who wait are woken because of something else, which
    /// may have come already.
    pub(crate) async fn wait_unless(&self, has_come: impl FnOnce() -> bool) {
        // It hears of everything from here on, polled or not. So the flag is asked after this.
        let notified = self.waiting.notified();
        if !self.is_raised() && !has_come() {
            notified.await;
        }
    }

    /// Waits for a future. Returns `None` if the signal is raised before the future is ready.
    #[cfg_attr(not(any(feature = "h2c", test)), expect(dead_code, reason = "h2c alone waits so"))]
    pub(crate) async fn unless_raised<F>(&self, mut future: Pin<&mut F>) -> Option<F::Output>
    where
        F: Future,
    {
        let mut notified = pin!(self.waiting.notified());
        let mut known: Option<Waker> = None;
        poll_fn(|cx| {
            if self.is_raised() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            // To register takes a lock. It is taken only if the waker has changed.
            if !known.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                known = Some(cx.waker().clone());
                return notified.as_mut().poll(cx).map(|()| None);
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

        signal.raise();
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
