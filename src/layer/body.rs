//! The body of a response: the inner service's unchanged, or one of the layer's own.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{error::BoxError, handler::rejection::OwnBody};

pin_project! {
    /// The body of the responses of [`Upgrade`](crate::Upgrade).
    ///
    /// For a response of the inner service, it is that service's body: the same frames, size hint and
    /// end. It is not `Sync`, because the body of a rejection need not be: box it with `boxed_unsync`. If
    /// axum expects a `Response<Body>` and finds this type, call `UpgradeLayer::for_axum`.
    pub struct UpgradeBody<B> {
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

impl<B> UpgradeBody<B> {
    pub(crate) fn inner(body: B) -> Self {
        Self { kind: Kind::Inner { body } }
    }

    pub(crate) fn own(body: OwnBody) -> Self {
        Self { kind: Kind::Own { body } }
    }
}

impl<B> Default for UpgradeBody<B>
where
    B: Default,
{
    fn default() -> Self {
        Self::inner(B::default())
    }
}

impl<B> Body for UpgradeBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProj::Inner { body } => {
                Poll::Ready(ready!(body.poll_frame(cx)).map(|frame| frame.map_err(Into::into)))
            }
            KindProj::Own { body } => Pin::new(body).poll_frame(cx),
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

impl<B> fmt::Debug for UpgradeBody<B>
where
    B: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = "UpgradeBody";
        match &self.kind {
            Kind::Inner { body } => f.debug_tuple(name).field(body).finish(),
            Kind::Own { body } => f.debug_tuple(name).field(body).finish(),
        }
    }
}
