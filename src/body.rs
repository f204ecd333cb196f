//! The body of a response: the inner service's unchanged, a rejection's, or that of a 101, which
//! notices whether the 101 is sent.

use std::{
    fmt,
    pin::Pin,
    sync::{OnceLock, Weak},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::oneshot;

use crate::{BoxError, rejection::RejectionBody};

pin_project! {
    /// The body of the responses of [`Upgrade`](crate::Upgrade).
    ///
    /// It is the inner service's body wherever the response is the inner service's: the same
    /// frames, the same size hint, the same end. See the [crate's documentation](crate) for an
    /// example.
    pub struct UpgradeBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Inner { #[pin] body: B },
        Rejection { body: RejectionBody },
        Switching { body: SwitchingBody },
    }
}

/// The body of a response that the layer makes itself.
#[derive(Debug)]
pub(crate) enum OwnBody {
    Rejection(RejectionBody),
    Switching(SwitchingBody),
}

impl<B> UpgradeBody<B> {
    pub(crate) fn inner(body: B) -> Self {
        Self { kind: Kind::Inner { body } }
    }

    pub(crate) fn own(body: OwnBody) -> Self {
        Self {
            kind: match body {
                OwnBody::Rejection(body) => Kind::Rejection { body },
                OwnBody::Switching(body) => Kind::Switching { body },
            },
        }
    }
}

impl<B> Body for UpgradeBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProj::Inner { body } => {
                Poll::Ready(ready!(body.poll_frame(cx)).map(|frame| frame.map_err(Into::into)))
            }
            KindProj::Rejection { body } => Pin::new(body).poll_frame(cx),
            KindProj::Switching { body } => {
                body.polled = true;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Rejection { body } => body.is_end_stream(),
            Kind::Switching { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Rejection { body } => body.size_hint(),
            Kind::Switching { body } => body.size_hint(),
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
            Kind::Rejection { body } => f.debug_tuple(name).field(body).finish(),
            Kind::Switching { body } => f.debug_tuple(name).field(body).finish(),
        }
    }
}

/// The body of a 101: empty, and the only part of it that can tell whether the 101 is sent.
///
/// hyper gives up the connection behind every response to a request with an `Upgrade` field, not
/// only behind a 101. So a layer outside that answers something else in place of our 101 would
/// have the handler talk behind that answer, unless the handler knows. What hyper does with a
/// response, and a layer that throws it away does not:
///
/// 1. The future that made the response is gone before hyper looks at the response.
/// 2. It asks the body whether it has ended, to choose the framing.
/// 3. If the status is 101, it then drops the body without polling it. If a layer left the body
///    alone and changed the status, it polls the body for content.
///
/// Whoever asks for the size before step 2 is a layer, which may act on the answer. It hears that
/// the body is empty, or a compressor would take it for content worth compressing; since a layer
/// may write the size into the header section, the answer stays the same from then on.
#[derive(Debug)]
pub(crate) struct SwitchingBody {
    /// Alive as long as the future that made the response.
    future: Weak<()>,
    /// Some layer was told that the size is zero.
    said_empty: OnceLock<()>,
    /// Step 2 has come.
    asked: OnceLock<()>,
    /// Step 3 has gone wrong.
    polled: bool,
    sent: Option<oneshot::Sender<()>>,
}

impl SwitchingBody {
    /// Makes the body, and what resolves once the HTTP server has taken the 101, or fails when
    /// that cannot happen any more.
    pub(crate) fn new(future: Weak<()>) -> (Self, oneshot::Receiver<()>) {
        let (sent, receiver) = oneshot::channel();
        let body = Self {
            future,
            said_empty: OnceLock::new(),
            asked: OnceLock::new(),
            polled: false,
            sent: Some(sent),
        };
        (body, receiver)
    }

    fn is_end_stream(&self) -> bool {
        if self.future.strong_count() > 0 {
            return true;
        }
        self.asked.get_or_init(|| ());
        self.said_empty.get().is_some()
    }

    fn size_hint(&self) -> SizeHint {
        if self.asked.get().is_none() {
            self.said_empty.get_or_init(|| ());
        }
        match self.said_empty.get() {
            Some(()) => SizeHint::with_exact(0),
            None => SizeHint::default(),
        }
    }
}

impl Drop for SwitchingBody {
    fn drop(&mut self) {
        if self.asked.get().is_some() && !self.polled {
            if let Some(sent) = self.sent.take() {
                // The task may be gone, with the runtime.
                sent.send(()).ok();
            }
        }
    }
}
