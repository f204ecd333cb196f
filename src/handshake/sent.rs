//! The way of a response that switches to the client, and the body of the one to an extended CONNECT.

use std::{
    convert::Infallible,
    future::Future,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
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
    connections::fate::{Fate, Maker, Making, SwitchingBody, Teller},
    handler::rejection::OwnBody,
};

/// A response that switches, on its way to the client. If it is dropped, the response is not sent.
#[derive(Debug)]
pub(crate) struct Departure {
    pub(super) teller: Teller,
    pub(super) connect: Option<Connect>,
}

/// The stream of an extended CONNECT. The body of the response looks itself whether it was handed over.
#[derive(Debug)]
pub(super) struct Connect {
    pub(super) on_upgrade: OnUpgrade,
    pub(super) task: oneshot::Sender<hyper::Result<Upgraded>>,
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
        self.teller.is_late()
    }

    /// Makes a part of the future that gives the response to the HTTP server.
    pub(crate) fn making(&self, maker: Maker) -> Making {
        self.teller.making(maker)
    }

    /// Makes the body of the response, which is sent when the future of `maker` is gone. `sender` is the task
    /// that sends the response, if it is known.
    pub(crate) fn body(self, maker: Maker, sender: Option<Id>) -> OwnBody {
        let Self { teller, connect } = self;
        match connect {
            None => OwnBody::switching(SwitchingBody::new(teller, maker)),
            Some(connect) => OwnBody::new(ConnectBody::new(teller, connect, sender)),
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
    teller: Teller,
    connect: Option<Connect>,
    /// The task that sends the response, if it is known.
    sender: Option<Id>,
    polled: bool,
}

impl ConnectBody {
    fn new(teller: Teller, connect: Connect, sender: Option<Id>) -> Self {
        Self { teller, connect: Some(connect), sender, polled: false }
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
            Ok(Poll::Ready(stream)) => Some(stream),
            _ => None,
        }
    }
}

// It does not say that it has ended: layers drop such a body before the response is sent.
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
        self.teller.tell(fate);
    }
}
