//! The future of a response: the inner service's, or a handshake.

use std::{
    fmt,
    future::{self, Future},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;

use super::{
    bodies::{Bodies, Wrapped},
    config::Config,
    forwarding,
};
use crate::{
    connections::fate::Making,
    handler::rejection::OwnBody,
    handshake::{handler::Responding, inner::Asked},
};

pin_project! {
    /// The future of the responses of [`Upgrade`](crate::Upgrade).
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the inner service's future, or the handler's. A connection is switched only after
    /// this future is ready, so dropping it before switches nothing.
    #[must_use = "futures do nothing unless polled"]
    pub struct UpgradeFuture<F, M = Wrapped> {
        #[pin]
        pub(super) route: Route<F>,
        pub(super) bodies: M,
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
        // In a box, so that an ordinary request has nothing more to move and to drop.
        Watched {
            watched: Pin<Box<Watched<F>>>,
        },
        Handshake {
            response: Responding,
            // Tells the body of a 101 that this future is gone.
            making: Option<Making>,
        },
    }
}

pin_project! {
    /// A request of which the layer looks at the inner service's response.
    pub(super) struct Watched<F> {
        #[pin]
        inner: F,
        // If the response may switch.
        asked: Option<Asked>,
        // If a response that does not switch advertises.
        advertise: Option<Arc<Config>>,
    }
}

impl<F> Route<F> {
    pub(super) fn forward(inner: F) -> Self {
        Self::Forward { inner }
    }

    /// Makes the future of a request whose response may switch, or advertises.
    pub(super) fn watched(inner: F, asked: Option<Asked>, advertise: Option<Arc<Config>>) -> Self {
        Self::Watched { watched: Box::pin(Watched { inner, asked, advertise }) }
    }

    /// Makes the future of a response that is there.
    pub(super) fn answered(response: Response<OwnBody>) -> Self {
        Self::Handshake { response: Box::pin(future::ready(response)), making: None }
    }

    /// Makes the future of the response to a request that a handler took over.
    pub(super) fn handshake(response: Responding, making: Making) -> Self {
        Self::Handshake { response, making: Some(making) }
    }
}

impl<F, M, B, E> Future for UpgradeFuture<F, M>
where
    F: Future<Output = Result<Response<B>, E>>,
    M: Bodies<B>,
{
    type Output = Result<Response<M::Body>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let bodies = this.bodies;
        match this.route.project() {
            RouteProj::Forward { inner } => {
                let response = ready!(inner.poll(cx))?;
                Poll::Ready(Ok(bodies.inner(response)))
            }
            RouteProj::Watched { watched } => {
                let watched = watched.as_mut().project();
                let response = ready!(watched.inner.poll(cx))?;
                Poll::Ready(Ok(answer(
                    response,
                    watched.asked,
                    watched.advertise.as_deref(),
                    bodies,
                )))
            }
            RouteProj::Handshake { response, .. } => {
                Poll::Ready(Ok(ready!(response.as_mut().poll(cx)).map(|body| bodies.own(body))))
            }
        }
    }
}

/// Switches if the inner service's response is a yes, and advertises otherwise. Out of line, because
/// hardly any response is looked at.
#[cold]
fn answer<M, B>(
    mut response: Response<B>,
    asked: &mut Option<Asked>,
    advertise: Option<&Config>,
    bodies: &M,
) -> Response<M::Body>
where
    M: Bodies<B>,
{
    if let Some(switched) = asked.as_mut().and_then(|asked| asked.answer(&mut response)) {
        return switched.map(|body| bodies.own(body));
    }
    if let Some(config) = advertise {
        forwarding::advertise(&mut response, &config.registered);
    }
    bodies.inner(response)
}

impl<F, M> fmt::Debug for UpgradeFuture<F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeFuture").finish_non_exhaustive()
    }
}
