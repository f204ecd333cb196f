//! The body of a 101, which notices whether the 101 is sent.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

/// The body of a 101: empty, and the only part of a response that can tell whether it is sent. To
/// have the server ask, it says that it has not ended, and not how long it is.
///
/// hyper hands over the connection after every response to a request with an `Upgrade` header, not
/// only after a 101. If an outer layer answers something else in place of our 101, the handler would
/// talk after that answer, unless the handler knows. A layer that throws the response away does
/// not do what hyper does:
///
/// 1. The future that made the response is gone before hyper looks at the response.
/// 2. hyper asks the body whether it has ended and, if not, how long it is, to choose the framing.
/// 3. If the status is 101, it then drops the body without polling it. If a layer left the body
///    alone and changed the status, hyper polls the body, unless the new status has no body either.
///
/// A question for the size before step 2 comes from a layer, which may act on the answer. It is told
/// that the body is empty; otherwise a compressor would take it for a body worth compressing. Since
/// a layer may write the size into the headers, the answer stays the same from then on.
///
/// Under [`Outermost`](crate::Outermost) this body is put in at the exit, where no layer is left
/// that could ask.
#[derive(Debug)]
pub(crate) struct SwitchingBody {
    /// Can be upgraded as long as the future that made the response is there.
    alive: Weak<()>,
    /// Some layer was told that the size is zero.
    said_empty: AtomicBool,
    /// The first question of step 2 has come.
    asked: AtomicBool,
    /// And the second.
    sized: AtomicBool,
    /// It was polled, so the response was not sent as a 101.
    polled: bool,
    sent: Option<oneshot::Sender<bool>>,
}

impl SwitchingBody {
    /// Makes the body. When it is dropped, `sent` hears whether the HTTP server has taken the 101.
    pub(crate) fn new(alive: Weak<()>, sent: oneshot::Sender<bool>) -> Self {
        Self {
            alive,
            said_empty: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            sized: AtomicBool::new(false),
            polled: false,
            sent: Some(sent),
        }
    }
}

impl Body for SwitchingBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.polled = true;
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        if self.alive.strong_count() > 0 {
            return true;
        }
        self.asked.store(true, Relaxed);
        self.said_empty.load(Relaxed)
    }

    fn size_hint(&self) -> SizeHint {
        let question = if self.asked.load(Relaxed) { &self.sized } else { &self.said_empty };
        question.store(true, Relaxed);
        if self.said_empty.load(Relaxed) { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

impl Drop for SwitchingBody {
    fn drop(&mut self) {
        // A body that has ended is not asked for its size.
        let sized = self.sized.load(Relaxed) || self.said_empty.load(Relaxed);
        let is_sent = self.asked.load(Relaxed) && sized && !self.polled;
        if let Some(sent) = self.sent.take() {
            // The task may be gone, with the runtime.
            sent.send(is_sent).ok();
        }
    }
}
