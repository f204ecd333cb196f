//! The task of a connection: it waits until the connection is handed over, and runs the function on it.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{self, AssertUnwindSafe},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use hyper::upgrade::OnUpgrade;
use pin_project_lite::pin_project;
use tokio::{sync::oneshot, time::Instant};

use super::{
    clock::{Limited, Limits},
    fate::Fate,
    session::Session,
    until::until,
    upgraded::Upgraded,
};
use crate::error::{BoxError, UpgradeErrorKind};

/// The function that runs on a connection, of any type.
///
/// Its future has no box of its own: it is a part of what the task of the connection runs.
pub(crate) trait Run: Send {
    /// Returns what the task runs: it waits for the connection, and runs this on it.
    fn on(self: Box<Self>, promised: Promised, limits: Limits) -> Running;
}

/// In a box, since tokio would copy the future several times: into the task, and each time when its state
/// changes.
pub(crate) type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection that is handed over if the response that switches is sent.
pub(crate) struct Promised {
    pub(crate) session: Arc<Session>,
    pub(crate) promise: Promise,
    /// It is the outermost layer that tells the fate of the response.
    pub(crate) is_certain: bool,
    /// When it has to be handed over.
    pub(crate) deadline: Instant,
}

/// The way by which a connection comes.
pub(crate) enum Promise {
    /// hyper's promise, kept once the 101 is written.
    Upgrade(OnUpgrade),
    /// The body of the 200 to an extended CONNECT passes the stream on.
    Connect(oneshot::Receiver<hyper::Result<hyper::upgrade::Upgraded>>),
}

impl<R, F> Run for R
where
    R: FnOnce(Upgraded) -> F + Send + 'static,
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    fn on(self: Box<Self>, promised: Promised, limits: Limits) -> Running {
        let session = Arc::clone(&promised.session);
        let connection = connection(promised, limits.idle.is_some(), self);
        Box::pin(session.instrument(Limited::new(session.control(), limits, connection)))
    }
}

/// Runs the function, once the response is sent and the connection free.
// Not an `async fn`, which would hold its arguments twice: as captured, and as moved into its body.
fn connection<R, F>(
    promised: Promised,
    watches: bool,
    run: Box<R>,
) -> impl Future<Output = ()> + use<R, F>
where
    R: FnOnce(Upgraded) -> F,
    F: Future<Output = Result<(), BoxError>>,
{
    let Promised { session, promise, is_certain, deadline } = promised;
    async move {
        // Pinned here, because a future that is handed to another `async fn` is held twice, and
        // these are held as long as the connection.
        let mut connection = pin!(CatchPanic {
            future: async {
                let io = until(deadline, hand_over(&session, promise, is_certain)).await;
                let io = io.map_err(|late| (UpgradeErrorKind::TimedOut, Some(late.into())));
                // If the response has not left yet, it is not to leave any more.
                let io = io.and_then(|io| io).inspect_err(|_| {
                    session.control().end();
                })?;
                session.switched();
                if watches {
                    // Until here it was no connection that could be idle.
                    session.control().watch();
                }
                let io = Upgraded::new(io, Arc::clone(&session));
                run(io).await.map_err(|error| (UpgradeErrorKind::Handler, Some(error)))
            }
        });
        let (control, mut waker) = (session.control(), None);
        let ended = poll_fn(|cx| control.poll_unless_aborted(cx, connection.as_mut(), &mut waker));
        let (kind, source) = match ended.await {
            Some(Ok(Ok(()))) => return,
            Some(Ok(Err(failure))) => failure,
            Some(Err(panic)) => (UpgradeErrorKind::Panicked, Some(panic)),
            None => (UpgradeErrorKind::Aborted, None),
        };
        session.failed(kind, source);
    }
}

/// Waits until the HTTP server has taken our response and has handed over the connection.
async fn hand_over(
    session: &Session,
    promise: Promise,
    is_certain: bool,
) -> Result<hyper::upgrade::Upgraded, Failure> {
    let source = match (poll_fn(|cx| session.control().poll_fate(cx)).await, promise) {
        (Fate::Sent, Promise::Upgrade(promise)) => return promise.await.map_err(lost),
        (Fate::Sent, Promise::Connect(stream)) => match stream.await {
            Ok(stream) => return stream.map_err(lost),
            // It is sent before.
            Err(_) => None,
        },
        _ if !is_certain => Some(REMEDY.into()),
        // It left the outermost layer, and was lost outside of it.
        (Fate::Replaced, _) => Some(NOT_OUTERMOST.into()),
        // The outermost layer saw another response, or none.
        (Fate::Withheld, _) => None,
    };
    Err((UpgradeErrorKind::Replaced, source))
}

type Failure = (UpgradeErrorKind, Option<BoxError>);

/// Converts the error of a connection that was promised.
fn lost(error: hyper::Error) -> Failure {
    let kind =
        if error.is_user() { UpgradeErrorKind::NotEnabled } else { UpgradeErrorKind::Disconnected };
    (kind, Some(error.into()))
}

pin_project! {
    /// Runs a handler's future. A panic in it becomes an error that holds the panic's message.
    pub(crate) struct CatchPanic<F> {
        #[pin]
        pub(crate) future: F,
    }
}

impl<F> Future for CatchPanic<F>
where
    F: Future,
{
    type Output = Result<F::Output, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.project().future;
        // The future is not polled again after a panic, so nobody sees what it may have left
        // broken.
        match catch_panic(|| future.poll(cx)) {
            Ok(poll) => poll.map(Ok),
            Err(message) => Poll::Ready(Err(message)),
        }
    }
}

/// Calls a function. A panic in it becomes an error that holds the panic's message.
#[inline]
pub(crate) fn catch_panic<T>(function: impl FnOnce() -> T) -> Result<T, BoxError> {
    panic::catch_unwind(AssertUnwindSafe(function)).map_err(|payload| panic_message(&*payload))
}

/// The text that a panic was called with.
#[cold]
fn panic_message(payload: &(dyn Any + Send)) -> BoxError {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a value that is not text").into()
}

/// The source of [`UpgradeErrorKind::Replaced`] if there is no outermost layer.
const REMEDY: &str = "a layer may hide the body of the response, which then looks replaced: add \
                      `UpgradeLayer::outermost()` after all other layers";

/// The source if there is one that is not the outermost.
const NOT_OUTERMOST: &str = "a layer is around `UpgradeLayer::outermost()`, or replaces the body that \
                             leaves it: add `outermost()` after all other layers";
