//! The body of a response that switches, which notices whether the response is sent.

use std::{
    convert::Infallible,
    future::Future,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::{
        Arc,
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

use crate::{
    connections::{
        control::Control,
        fate::{Fate, Maker, Making},
    },
    handler::rejection::OwnBody,
};

/// The way from the response that switches to the task that waits for its fate. If it is dropped, the
/// response is not sent.
#[derive(Debug)]
pub(crate) struct Departure {
    control: Arc<Control>,
    connect: Option<Connect>,
}

/// The stream of an extended CONNECT. The body of the response looks itself whether it was handed over.
#[derive(Debug)]
pub(super) struct Connect {
    pub(super) on_upgrade: OnUpgrade,
    pub(super) task: oneshot::Sender<hyper::Result<Upgraded>>,
}

impl Departure {
    pub(super) fn new(control: &Arc<Control>, connect: Option<Connect>) -> Self {
        Self { control: Arc::clone(control), connect }
    }

    /// Returns the status of the response.
    pub(crate) fn status(&self) -> StatusCode {
        match self.connect {
            None => StatusCode::SWITCHING_PROTOCOLS,
            Some(_) => StatusCode::OK,
        }
    }

    /// Whether no task waits any more. The handshake may have timed out, or been aborted.
    pub(crate) fn is_abandoned(&self) -> bool {
        !self.control.is_open()
    }

    /// Makes the body of the response, which is sent when the future of `maker` is gone. `sender` is the task
    /// that sends the response, if it is known.
    pub(crate) fn body(mut self, maker: Maker, sender: Option<Id>) -> OwnBody {
        match self.connect.take() {
            None => OwnBody::new(SwitchingBody::new(self, maker)),
            Some(connect) => OwnBody::new(ConnectBody::new(self, connect, sender)),
        }
    }

    /// Makes a part of the future that gives the response to the HTTP server.
    pub(crate) fn making(&self, maker: Maker) -> Making {
        Making::new(&self.control, maker)
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        self.control.tell(Fate::Withheld);
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
    departure: Departure,
    connect: Option<Connect>,
    /// The task that sends the response, if it is known.
    sender: Option<Id>,
    /// Something asked whether it has ended, as hyper does if the status is not a 2xx.
    asked: AtomicBool,
    polled: bool,
}

impl ConnectBody {
    fn new(departure: Departure, connect: Connect, sender: Option<Id>) -> Self {
        Self {
            departure,
            connect: Some(connect),
            sender,
            asked: AtomicBool::new(false),
            polled: false,
        }
    }

    /// Returns the stream if this is dropped now and the response is sent, or the error with which the client
    /// reset it before.
    fn stream(&self, on_upgrade: &mut OnUpgrade) -> Option<hyper::Result<Upgraded>> {
        if self.polled || (self.sender.is_some() && self.sender != task::try_id()) {
            return None;
        }
        // hyper's promise panics if other code has a clone of it and has taken the stream.
        let polled = panic::catch_unwind(AssertUnwindSafe(|| {
            Pin::new(on_upgrade).poll(&mut Context::from_waker(Waker::noop()))
        }));
        match polled {
            Ok(Poll::Ready(Ok(stream))) => Some(Ok(stream)),
            Ok(Poll::Ready(Err(error))) if !self.asked.load(Relaxed) => Some(Err(error)),
            _ => None,
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
        let Some(Connect { mut on_upgrade, task }) = self.connect.take() else {
            return;
        };
        let fate = match self.stream(&mut on_upgrade) {
            Some(stream) => {
                // The task may be gone, with the runtime.
                task.send(stream).ok();
                Fate::Sent
            }
            None => Fate::Replaced,
        };
        self.departure.control.tell(fate);
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
    departure: Departure,
    /// The future that is gone when the HTTP server asks.
    maker: Maker,
    /// Some layer was told that the size is zero.
    said_empty: AtomicBool,
    /// The first question of step 2 has come.
    asked: AtomicBool,
    /// And the second.
    sized: AtomicBool,
    /// It was polled, so the response was not sent as a 101.
    polled: bool,
}

impl SwitchingBody {
    fn new(departure: Departure, maker: Maker) -> Self {
        Self {
            departure,
            maker,
            said_empty: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            sized: AtomicBool::new(false),
            polled: false,
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
        if !self.departure.control.is_made(self.maker) {
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
        self.departure.control.tell(if is_sent { Fate::Sent } else { Fate::Replaced });
    }
}
