//! The layer around all others, where it shows whether a response that switches leaves the server.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::upgrade::OnUpgrade;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::{
    bodies::{Bodies, Mapped, Transparent},
    make::IntoMakeService,
};
use crate::{
    connections::fate::{Maker, Making},
    handler::rejection::OwnBody,
    handshake::token::{Exit, Token, Verdict},
    negotiation::length::Length,
};

/// The [`Layer`] to add last, around all other layers of a server: each [`UpgradeLayer`] below it knows
/// whether its 101 leaves the server.
///
/// Made by [`UpgradeLayer::outermost`]; see there for when to use it, and for an example.
///
/// It does nothing else. It passes on request bodies, response bodies and errors of any type unchanged, and
/// every response that is not the 101 of an [`UpgradeLayer`]. A request without an offer costs no
/// allocation. Several [`UpgradeLayer`]s may be below it. Below another
/// `Outermost` it does nothing.
///
/// [`UpgradeLayer`]: crate::UpgradeLayer
/// [`UpgradeLayer::outermost`]: crate::UpgradeLayer::outermost
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a layer does nothing unless it is put around a service"]
pub struct Outermost<M = Transparent> {
    bodies: M,
}

impl<M> Outermost<M> {
    /// Has the service answer with the body type of the inner service, as
    /// [`UpgradeLayer::with_body`] does.
    ///
    /// [`UpgradeLayer::with_body`]: crate::UpgradeLayer::with_body
    pub fn with_body<B>(self, make: fn(OwnBody) -> B) -> Outermost<Mapped<B>> {
        Outermost { bodies: Mapped(make) }
    }

    /// Has the service answer with axum's body: [`with_body`](Self::with_body) of
    /// `axum::body::Body::new`.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use axum::{Router, routing::get};
    /// use tower::Layer;
    /// use tower_upgrade::UpgradeLayer;
    ///
    /// # async fn serve(listener: tokio::net::TcpListener) -> std::io::Result<()> {
    /// let app: Router = Router::new().route("/", get(|| async { "plain" }));
    /// let service = UpgradeLayer::outermost().for_axum().layer(app);
    /// axum::serve(listener, service.into_make_service()).await
    /// # }
    /// ```
    #[cfg(feature = "axum")]
    #[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
    pub fn for_axum(self) -> Outermost<Mapped<axum_core::body::Body>> {
        self.with_body(axum_core::body::Body::new)
    }
}

impl<S, M> Layer<S> for Outermost<M>
where
    M: Clone,
{
    type Service = OutermostService<S, M>;

    fn layer(&self, inner: S) -> Self::Service {
        OutermostService { inner, bodies: self.bodies.clone() }
    }
}

/// The [`Service`] that [`Outermost`] makes. Its readiness and its errors are those of the inner
/// service.
#[derive(Clone, Copy, Debug)]
pub struct OutermostService<S, M = Transparent> {
    inner: S,
    bodies: M,
}

impl<S, M> OutermostService<S, M> {
    /// Makes a service that makes a clone of this one for each connection, for `axum::serve`.
    ///
    /// See `Outermost::for_axum` for an example.
    pub fn into_make_service(self) -> IntoMakeService<Self> {
        IntoMakeService::new(self)
    }
}

impl<S, M, ReqBody, ResBody> Service<Request<ReqBody>> for OutermostService<S, M>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    M: Bodies<ResBody>,
{
    type Response = Response<M::Body>;
    type Error = S::Error;
    type Future = OutermostFuture<S::Future, M>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let exit = request.extensions().get::<OnUpgrade>().cloned().and_then(|on_upgrade| {
            // The first token is that of the outermost. One without an exit is another request's.
            if request.extensions().get::<Token>().is_some_and(Token::is_valid) {
                return None;
            }
            let exit = Arc::<Exit>::default();
            let length = Length::of(request.headers(), 0, None);
            request.extensions_mut().insert(exit.token(on_upgrade, length));
            Some(exit)
        });
        OutermostFuture {
            inner: self.inner.call(request),
            exit,
            making: None,
            bodies: self.bodies.clone(),
        }
    }
}

pin_project! {
    /// The future of the responses of [`OutermostService`].
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the inner service's future. A handler that has agreed to switch by then
    /// does not run.
    #[must_use = "futures do nothing unless polled"]
    pub struct OutermostFuture<F, M = Transparent> {
        #[pin]
        inner: F,
        bodies: M,
        exit: Option<Arc<Exit>>,
        // From the confirmation until this future is dropped, which the HTTP server does before it
        // looks at the response.
        making: Option<Making>,
    }
}

impl<F, M, B, E> Future for OutermostFuture<F, M>
where
    F: Future<Output = Result<Response<B>, E>>,
    M: Bodies<B>,
{
    type Output = Result<Response<M::Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        let bodies = this.bodies;
        let Some(exit) = this.exit else {
            return Poll::Ready(Ok(bodies.inner(response)));
        };
        let status = response.status();
        Poll::Ready(Ok(match exit.leave(status, response.headers_mut()) {
            Verdict::Pass => bodies.inner(response),
            Verdict::Confirm(departure) => {
                if status == StatusCode::SWITCHING_PROTOCOLS {
                    *response.version_mut() = Version::HTTP_11;
                }
                *this.making = Some(departure.making(Maker::Outermost));
                let body = departure.body(Maker::Outermost, tokio::task::try_id());
                response.map(|_empty| bodies.own(body))
            }
            Verdict::Unavailable => {
                let mut unavailable = Response::new(bodies.own(OwnBody::empty()));
                *unavailable.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                unavailable
            }
        }))
    }
}

impl<F, M> fmt::Debug for OutermostFuture<F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutermostFuture").finish_non_exhaustive()
    }
}

pin_project! {
    /// The body of the responses of [`OutermostService`]: that of the inner service, with its data and
    /// its errors, unless the response is a 101 of an [`UpgradeLayer`](crate::UpgradeLayer), which has
    /// none.
    pub struct OutermostBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Inner { #[pin] body: B },
        Own { body: OwnBody },
    }
}

impl<B> OutermostBody<B> {
    pub(super) fn inner(body: B) -> Self {
        Self { kind: Kind::Inner { body } }
    }

    pub(super) fn own(body: OwnBody) -> Self {
        Self { kind: Kind::Own { body } }
    }
}

impl<B> Default for OutermostBody<B>
where
    B: Default,
{
    fn default() -> Self {
        Self::inner(B::default())
    }
}

impl<B> Body for OutermostBody<B>
where
    B: Body,
{
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::Inner { body } => body.poll_frame(cx),
            // It has no frames.
            KindProj::Own { body } => Pin::new(body).poll_frame(cx).map(|_| None),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Own { body } => body.is_end_stream(),
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Own { body } => body.size_hint(),
        }
    }
}

impl<B> fmt::Debug for OutermostBody<B>
where
    B: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = "OutermostBody";
        match &self.kind {
            Kind::Inner { body } => f.debug_tuple(name).field(body).finish(),
            Kind::Own { body } => f.debug_tuple(name).field(body).finish(),
        }
    }
}
