//! The future of a response: the inner service's, or a handshake.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;

use super::body::UpgradeBody;
use crate::handler::rejection::OwnBody;

pin_project! {
    /// The future of the responses of [`Upgrade`](crate::Upgrade).
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the inner service's future, or the handler's. A connection is only ever
    /// switched after this future is ready, so dropping it before never leaves one half-switched.
    #[must_use = "futures do nothing unless polled"]
    pub struct UpgradeFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Forward {
            #[pin]
            inner: F,
        },
        Handshake {
            response: Pin<Box<dyn Future<Output = Response<OwnBody>> + Send>>,
            // Tells the body of a 101 that this future is gone.
            alive: Arc<()>,
        },
    }
}

impl<F> UpgradeFuture<F> {
    pub(crate) fn forward(inner: F) -> Self {
        Self { state: State::Forward { inner } }
    }

    /// Makes the future from what it is to await, which is given a sign of the future's life.
    pub(crate) fn handshake<H>(respond: impl FnOnce(Weak<()>) -> H) -> Self
    where
        H: Future<Output = Response<OwnBody>> + Send + 'static,
    {
        let alive = Arc::new(());
        let response = Box::pin(respond(Arc::downgrade(&alive)));
        Self { state: State::Handshake { response, alive } }
    }
}

impl<F, B, E> Future for UpgradeFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<UpgradeBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Forward { inner } => {
                Poll::Ready(ready!(inner.poll(cx)).map(|response| response.map(UpgradeBody::inner)))
            }
            StateProj::Handshake { response, .. } => {
                Poll::Ready(Ok(ready!(response.as_mut().poll(cx)).map(UpgradeBody::own)))
            }
        }
    }
}

impl<F> fmt::Debug for UpgradeFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeFuture").finish_non_exhaustive()
    }
}
