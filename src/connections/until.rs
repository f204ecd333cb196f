//! A future that has to be ready by a deadline, and has a timer only if it has to wait; and how a timer is
//! polled beside another future.

use std::{
    convert::Infallible,
    future::{Future, Pending, pending, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::{
    task::coop,
    time::{Instant, Timeout, error::Elapsed, timeout_at},
};

pin_project! {
    /// As [`timeout_at`], which makes its timer before it polls the future. Most steps of a handshake are
    /// ready when they are polled first.
    pub(crate) struct Until<F> {
        #[pin]
        future: F,
        deadline: Instant,
        timer: Option<Pin<Box<Timeout<Pending<Infallible>>>>>,
    }
}

/// Fails if `future` is not ready by the deadline.
pub(crate) fn until<F>(deadline: Instant, future: F) -> Until<F> {
    Until { future, deadline, timer: None }
}

impl<F> Future for Until<F>
where
    F: Future,
{
    type Output = Result<F::Output, Elapsed>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        let deadline = *this.deadline;
        let timer = this.timer.get_or_insert_with(|| Box::pin(timeout_at(deadline, pending())));
        poll_timer(timer.as_mut(), cx).map(|late| late.map(|never| match never {}))
    }
}

/// Polls a timer after another future, in the same task.
///
/// tokio lets a task do only so much at a time, and a timer counts for that as a read does. A future that always
/// uses it up, as one that reads from a client which never stops sending, would leave nothing for the timer.
pub(crate) fn poll_timer<T>(mut timer: Pin<&mut T>, cx: &mut Context<'_>) -> Poll<T::Output>
where
    T: Future,
{
    pin!(coop::unconstrained(poll_fn(|cx| timer.as_mut().poll(cx)))).poll(cx)
}
