//! The layer around all others, where it shows whether a 101 leaves the server.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::upgrade::OnUpgrade;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::handshake::{
    sent::SwitchingBody,
    token::{Exit, Token, Verdict},
};

/// A [`Layer`] to put around all other layers of a server, so that each [`UpgradeLayer`] below it
/// knows for certain whether its 101 leaves the server.
///
/// Made by [`UpgradeLayer::outermost`]; see there for when to use it, and for an example.
///
/// It does nothing else. Request bodies, response bodies and errors of any type pass as they are,
/// and so does every response that is not the 101 of an [`UpgradeLayer`]. A request that does not ask
/// for an upgrade costs no allocation. Several [`UpgradeLayer`]s may be below it. Below another
/// `Outermost` it does nothing.
///
/// [`UpgradeLayer`]: crate::UpgradeLayer
/// [`UpgradeLayer::outermost`]: crate::UpgradeLayer::outermost
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a layer does nothing unless it is put around a service"]
pub struct Outermost {
    _private: (),
}

impl<S> Layer<S> for Outermost {
    type Service = OutermostService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OutermostService { inner }
    }
}

/// The [`Service`] that [`Outermost`] makes. Its readiness and its errors are those of the inner
/// service.
#[derive(Clone, Copy, Debug)]
pub struct OutermostService<S> {
    inner: S,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for OutermostService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<OutermostBody<ResBody>>;
    type Error = S::Error;
    type Future = OutermostFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let extensions = request.extensions_mut();
        // A layer can only switch if hyper could, and the first token is that of the outermost.
        let is_needed = extensions.get::<OnUpgrade>().is_some()
            && !extensions.get::<Token>().is_some_and(Token::is_valid);
        let exit = is_needed.then(|| {
            let exit = Arc::<Exit>::default();
            extensions.insert(exit.token());
            exit
        });
        OutermostFuture { inner: self.inner.call(request), exit }
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
    pub struct OutermostFuture<F> {
        #[pin]
        inner: F,
        // Held until this future is dropped, which the HTTP server does before it looks at the
        // response.
        exit: Option<Arc<Exit>>,
    }
}

impl<F, B, E> Future for OutermostFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<OutermostBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        let Some(exit) = this.exit else {
            return Poll::Ready(Ok(response.map(OutermostBody::inner)));
        };
        let status = response.status();
        Poll::Ready(Ok(match exit.leave(status, response.headers_mut()) {
            Verdict::Pass => response.map(OutermostBody::inner),
            Verdict::Confirm(sent) => {
                let body = SwitchingBody::new(Arc::downgrade(exit), sent);
                response.map(|_empty| OutermostBody { kind: Kind::Switching { body } })
            }
            Verdict::Unavailable => {
                let mut unavailable = Response::new(OutermostBody { kind: Kind::Empty });
                *unavailable.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                unavailable
            }
        }))
    }
}

impl<F> fmt::Debug for OutermostFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutermostFuture").finish_non_exhaustive()
    }
}

pin_project! {
    /// The body of the responses of [`OutermostService`]: that of the inner service, unchanged,
    /// unless the response is a 101 of an [`UpgradeLayer`](crate::UpgradeLayer), which has none.
    pub struct OutermostBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Inner { #[pin] body: B },
        Switching { body: SwitchingBody<Exit> },
        Empty,
    }
}

impl<B> OutermostBody<B> {
    fn inner(body: B) -> Self {
        Self { kind: Kind::Inner { body } }
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

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::Inner { body } => body.poll_frame(cx),
            // It has no frames.
            KindProj::Switching { body } => Pin::new(body).poll_frame(cx).map(|_| None),
            KindProj::Empty => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Switching { body } => body.is_end_stream(),
            Kind::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Switching { body } => body.size_hint(),
            Kind::Empty => SizeHint::with_exact(0),
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
            Kind::Switching { body } => f.debug_tuple(name).field(body).finish(),
            Kind::Empty => f.debug_tuple(name).finish(),
        }
    }
}
