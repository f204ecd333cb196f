//! A future that has to be ready by a deadline, and has a timer only if it has to wait.

use std::{
    convert::Infallible,
    future::{Future, Pending, pending},
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Timeout, error::Elapsed, timeout_at};

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
        timer.as_mut().poll(cx).map(|late| late.map(|never| match never {}))
    }
}
