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

use super::bodies::{Bodies, Wrapped};
use crate::{handler::rejection::OwnBody, handshake::inner::Asked};

pin_project! {
    /// The future of the responses of [`Upgrade`](crate::Upgrade).
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the inner service's future, or the handler's. A connection is only ever
    /// switched after this future is ready, so dropping it before never leaves one half-switched.
    #[must_use = "futures do nothing unless polled"]
    pub struct UpgradeFuture<F, M = Wrapped> {
        #[pin]
        route: Route<F>,
        bodies: M,
    }
}

pin_project! {
    /// Whose response it is.
    #[project = RouteProj]
    pub(super) enum Route<F> {
        Forward {
            #[pin]
            inner: F,
        },
        Asked {
            #[pin]
            inner: F,
            asked: Option<Box<Asked>>,
            // As below.
            alive: Arc<()>,
        },
        Handshake {
            response: Pin<Box<dyn Future<Output = Response<OwnBody>> + Send>>,
            // Tells the body of a 101 that this future is gone.
            alive: Arc<()>,
        },
    }
}

impl<F, M> UpgradeFuture<F, M> {
    pub(super) fn new(route: Route<F>, bodies: M) -> Self {
        Self { route, bodies }
    }
}

impl<F> Route<F> {
    pub(super) fn forward(inner: F) -> Self {
        Self::Forward { inner }
    }

    /// Makes the future of a request that the inner service may switch.
    pub(super) fn asked(inner: F, asked: Asked) -> Self {
        Self::Asked { inner, asked: Some(Box::new(asked)), alive: Arc::new(()) }
    }

    /// Makes the future from what it is to await, which is given a sign of the future's life.
    pub(super) fn handshake<H>(respond: impl FnOnce(Weak<()>) -> H) -> Self
    where
        H: Future<Output = Response<OwnBody>> + Send + 'static,
    {
        let alive = Arc::new(());
        let response = Box::pin(respond(Arc::downgrade(&alive)));
        Self::Handshake { response, alive }
    }
}

impl<F, M, B, E> Future for UpgradeFuture<F, M>
where
    F: Future<Output = Result<Response<B>, E>>,
    M: Bodies<B>,
{
    type Output = Result<Response<M::Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let bodies = this.bodies;
        Poll::Ready(match this.route.project() {
            RouteProj::Forward { inner } => {
                ready!(inner.poll(cx)).map(|response| response.map(|body| bodies.inner(body)))
            }
            RouteProj::Asked { inner, asked, alive } => {
                let mut response = ready!(inner.poll(cx))?;
                let asked = asked.take().expect("polled after completion");
                Ok(match asked.answer(&mut response, Arc::downgrade(alive)) {
                    None => response.map(|body| bodies.inner(body)),
                    Some(switched) => switched.map(|body| bodies.own(body)),
                })
            }
            RouteProj::Handshake { response, .. } => {
                Ok(ready!(response.as_mut().poll(cx)).map(|body| bodies.own(body)))
            }
        })
    }
}

impl<F, M> fmt::Debug for UpgradeFuture<F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeFuture").finish_non_exhaustive()
    }
}
