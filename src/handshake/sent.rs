//! The body of a 101, which notices whether the 101 is sent.

use std::{
    pin::Pin,
    sync::{OnceLock, Weak},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

use crate::error::BoxError;

/// The body of a 101: empty, and the only part of it that can tell whether the 101 is sent. To have
/// the server ask, it says that it has not ended, and not how long it is.
///
/// hyper gives up the connection behind every response to a request with an `Upgrade` field, not
/// only behind a 101. So a layer outside that answers something else in place of our 101 would
/// have the handler talk behind that answer, unless the handler knows. What hyper does with a
/// response, and a layer that throws it away does not:
///
/// 1. The future that made the response is gone before hyper looks at the response.
/// 2. hyper asks the body whether it has ended and, if not, how long it is, to choose the framing.
/// 3. If the status is 101, it then drops the body without polling it. If a layer left the body
///    alone and changed the status, it polls the body for content, unless the new status has none
///    either.
///
/// Whoever asks for the size before step 2 is a layer, which may act on the answer. It hears that
/// the body is empty; otherwise a compressor would take it for content worth compressing. Since a
/// layer may write the size into the header section, the answer stays the same from then on.
#[derive(Debug)]
pub(crate) struct SwitchingBody {
    /// Can be upgraded as long as the future that made the response is there.
    alive: Weak<()>,
    /// Some layer was told that the size is zero.
    said_empty: OnceLock<()>,
    /// The first question of step 2 has come.
    asked: OnceLock<()>,
    /// And the second.
    sized: OnceLock<()>,
    /// It was polled, so the response was not sent as a 101.
    polled: bool,
    sent: Option<oneshot::Sender<()>>,
}

impl SwitchingBody {
    /// Makes the body, and what resolves once the HTTP server has taken the 101, or fails when
    /// that cannot happen any more.
    pub(crate) fn new(alive: Weak<()>) -> (Self, oneshot::Receiver<()>) {
        let (sent, receiver) = oneshot::channel();
        let body = Self {
            alive,
            said_empty: OnceLock::new(),
            asked: OnceLock::new(),
            sized: OnceLock::new(),
            polled: false,
            sent: Some(sent),
        };
        (body, receiver)
    }
}

impl Body for SwitchingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.polled = true;
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        if self.alive.strong_count() > 0 {
            return true;
        }
        self.asked.get_or_init(|| ());
        self.said_empty.get().is_some()
    }

    fn size_hint(&self) -> SizeHint {
        let question = if self.asked.get().is_some() { &self.sized } else { &self.said_empty };
        question.get_or_init(|| ());
        match self.said_empty.get() {
            Some(()) => SizeHint::with_exact(0),
            None => SizeHint::default(),
        }
    }
}

impl Drop for SwitchingBody {
    fn drop(&mut self) {
        // A body that has ended is not asked for its size.
        let sized = self.sized.get().is_some() || self.said_empty.get().is_some();
        if self.asked.get().is_some() && sized && !self.polled {
            if let Some(sent) = self.sent.take() {
                // The task may be gone, with the runtime.
                sent.send(()).ok();
            }
        }
    }
}
