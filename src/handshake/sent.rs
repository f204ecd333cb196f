//! The body of a response that switches, which notices whether the response is sent.

use std::{
    convert::Infallible,
    future::Future,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::{
        Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::upgrade::{OnUpgrade, Upgraded};
use tokio::{
    sync::oneshot,
    task::{self, Id},
};

use crate::handler::rejection::OwnBody;

/// The fate of the response that switches.
#[derive(Debug)]
pub(crate) enum Fate {
    /// The HTTP server took the 101. It hands over the connection once the 101 is written.
    Sent,
    /// The HTTP server took the 200 to an extended CONNECT, and handed over the stream.
    HandedOver(Upgraded),
    /// The client gets another response, or none.
    Replaced,
    /// The client reset the stream of an extended CONNECT before the 200 was sent.
    Lost(hyper::Error),
}

/// The way from the response that switches to the task that waits for its fate. If it is dropped, the
/// response is not sent.
#[derive(Debug)]
pub(crate) struct Departure {
    pub(super) task: oneshot::Sender<Fate>,
    /// That of an extended CONNECT, whose body looks itself whether the stream was handed over.
    pub(super) connect: Option<OnUpgrade>,
}

impl Departure {
    /// Returns the status of the response.
    pub(crate) fn status(&self) -> StatusCode {
        match self.connect {
            None => StatusCode::SWITCHING_PROTOCOLS,
            Some(_) => StatusCode::OK,
        }
    }

    /// Whether no task waits any more. The handshake may have timed out, or been aborted.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.task.is_closed()
    }

    /// Makes the body of the response. `alive` can be upgraded as long as the future that made the
    /// response is there. `sender` is the task that sends the response, if it is known.
    pub(crate) fn body(self, alive: Weak<()>, sender: Option<Id>) -> OwnBody {
        let Self { task, connect } = self;
        match connect {
            None => OwnBody::new(SwitchingBody::new(alive, task)),
            Some(on_upgrade) => OwnBody::new(ConnectBody::new(task, on_upgrade, sender)),
        }
    }
}

/// The body of a 200 to an extended CONNECT: empty, and dropped when the response is sent.
///
/// hyper hands over the stream after every 2xx, and asks the body nothing. But it hands over first, and
/// then drops the body, on the task of the stream. So the body was not that of the response if the stream is
/// not there by then, if something has polled the body, or if another task drops it.
///
/// [`Outermost`](crate::Outermost) makes it on the task of the stream. Without it, a layer may have moved the
/// call to a task of its own, so that any task may drop it. And if a layer drops it with a response that it
/// discards, other code that awaits the same stream is not woken any more.
#[derive(Debug)]
struct ConnectBody {
    waiting: Option<(oneshot::Sender<Fate>, OnUpgrade)>,
    /// The task that sends the response, if it is known.
    sender: Option<Id>,
    /// Something asked whether it has ended, as hyper does if the status is not a 2xx.
    asked: AtomicBool,
    polled: bool,
}

impl ConnectBody {
    fn new(task: oneshot::Sender<Fate>, on_upgrade: OnUpgrade, sender: Option<Id>) -> Self {
        Self {
            waiting: Some((task, on_upgrade)),
            sender,
            asked: AtomicBool::new(false),
            polled: false,
        }
    }

    /// Returns the fate of the response, if this is dropped now.
    fn fate(&self, on_upgrade: &mut OnUpgrade) -> Fate {
        if self.polled || (self.sender.is_some() && self.sender != task::try_id()) {
            return Fate::Replaced;
        }
        // hyper's promise panics if other code has a clone of it and has taken the stream.
        let polled = panic::catch_unwind(AssertUnwindSafe(|| {
            Pin::new(on_upgrade).poll(&mut Context::from_waker(Waker::noop()))
        }));
        match polled {
            Ok(Poll::Ready(Ok(stream))) => Fate::HandedOver(stream),
            Ok(Poll::Ready(Err(error))) if !self.asked.load(Relaxed) => Fate::Lost(error),
            _ => Fate::Replaced,
        }
    }
}

impl Body for ConnectBody {
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
        self.asked.store(true, Relaxed);
        // Layers drop a body that has ended before the response is sent.
        false
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}

impl Drop for ConnectBody {
    fn drop(&mut self) {
        if let Some((task, mut on_upgrade)) = self.waiting.take() {
            // The task may be gone, with the runtime.
            task.send(self.fate(&mut on_upgrade)).ok();
        }
    }
}

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
struct SwitchingBody {
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
    task: Option<oneshot::Sender<Fate>>,
}

impl SwitchingBody {
    fn new(alive: Weak<()>, task: oneshot::Sender<Fate>) -> Self {
        Self {
            alive,
            said_empty: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            sized: AtomicBool::new(false),
            polled: false,
            task: Some(task),
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
        if let Some(task) = self.task.take() {
            // The task may be gone, with the runtime.
            task.send(if is_sent { Fate::Sent } else { Fate::Replaced }).ok();
        }
    }
}
