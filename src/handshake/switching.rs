//! From a yes to the end of what it runs: the response, the wait for the connection, and the task.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{self, AssertUnwindSafe},
    pin::{Pin, pin},
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use http::{
    Response, StatusCode,
    header::{CONNECTION, UPGRADE},
};
use hyper::upgrade::OnUpgrade;
use pin_project_lite::pin_project;
use tokio::{sync::oneshot, time::Instant};

use super::{
    sent::{Departure, Fate},
    token::Token,
    until::until,
};
use crate::{
    connect,
    connections::{
        clock::{Limited, Limits},
        session::Session,
        task,
        upgraded::Upgraded,
    },
    error::{BoxError, UpgradeErrorKind},
    handler::{
        rejection::OwnBody,
        switch::{Run, Switch},
    },
    negotiation::{Mechanism, Offered},
};

/// The parts that are needed to switch a connection.
pub(crate) struct Switching {
    pub(crate) on_upgrade: OnUpgrade,
    /// The outermost layer's, if there is one.
    pub(crate) token: Option<Token>,
    pub(crate) mechanism: Mechanism,
    /// The layer's, for switches that have none of their own.
    pub(crate) limits: Limits,
    pub(crate) session: Arc<Session>,
}

impl Switching {
    /// Makes the 101, or the 200 to an extended CONNECT, and has the connection waited for.
    pub(super) fn to(
        self,
        switch: Switch,
        offer: &Offered,
        alive: Weak<()>,
        deadline: Instant,
    ) -> Response<OwnBody> {
        let Self { on_upgrade, token, mechanism, limits, session } = self;
        let limits = switch.limits(limits);
        let (mut headers, run) = match switch.into_parts(session.protocol(), offer) {
            Ok(parts) => parts,
            Err(error) => {
                session.failed(UpgradeErrorKind::Switch, Some(error.into()));
                return super::plain(StatusCode::INTERNAL_SERVER_ERROR);
            }
        };
        let is_certain = token.is_some();
        // That of the exit: a layer may have put the token into a request of another connection.
        let on_upgrade = token.as_ref().map_or(on_upgrade, |token| token.on_upgrade.clone());
        let (on_upgrade, connect) = match mechanism {
            Mechanism::Upgrade => (Some(on_upgrade), None),
            Mechanism::ExtendedConnect => (None, Some(on_upgrade)),
        };
        let (sender, receiver) = oneshot::channel();
        let sent = Sent { receiver, is_certain, on_upgrade };
        let departure = Departure { task: sender, connect };
        let status = departure.status();
        let body = if let Some(token) = token {
            // `into_parts` always names the protocols.
            let upgrade = headers[UPGRADE].clone();
            if mechanism == Mechanism::ExtendedConnect {
                headers.insert(connect::SWITCH, upgrade.clone());
            }
            token.register(upgrade, departure);
            OwnBody::empty()
        } else {
            departure.body(alive, None)
        };
        if mechanism == Mechanism::ExtendedConnect {
            // RFC 9113 §8.2.2: HTTP/2 has neither.
            headers.remove(CONNECTION);
            headers.remove(UPGRADE);
        }
        // hyper hands over the connection only after it has written the response, so nobody could
        // wait for it here.
        let watches = limits.idle.is_some();
        let connection = connection(Arc::clone(&session), sent, deadline, watches, run);
        let connection = Limited::new(session.control(), limits, connection);
        task::spawn(session.instrument(connection));
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

/// Runs what the handler switched to, once the response is sent and the connection free.
async fn connection(session: Arc<Session>, sent: Sent, deadline: Instant, watches: bool, run: Run) {
    // Pinned here, because a future that is handed to another `async fn` is held twice, and
    // these are held as long as the connection.
    let mut connection = pin!(CatchPanic {
        future: async {
            let io = until(deadline, hand_over(sent)).await;
            let io = io.map_err(|late| (UpgradeErrorKind::TimedOut, Some(late.into())))??;
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

/// Hears what became of the response.
struct Sent {
    receiver: oneshot::Receiver<Fate>,
    /// It is the outermost layer that tells.
    is_certain: bool,
    /// For a 101. The stream of an extended CONNECT comes with the news.
    on_upgrade: Option<OnUpgrade>,
}

/// Waits until the HTTP server has taken our response and has handed over the connection.
async fn hand_over(
    sent: Sent,
) -> Result<hyper::upgrade::Upgraded, (UpgradeErrorKind, Option<BoxError>)> {
    let source = match (sent.receiver.await, sent.on_upgrade, sent.is_certain) {
        (Ok(Fate::HandedOver(stream)), ..) => return Ok(stream),
        (Ok(Fate::Lost(error)), ..) => return Err(lost(error)),
        (Ok(Fate::Sent), Some(on_upgrade), _) => return on_upgrade.await.map_err(lost),
        (.., false) => Some(REMEDY.into()),
        // It left the outermost layer, and was lost outside of it.
        (Ok(_), _, true) => Some(NOT_OUTERMOST.into()),
        // The outermost layer saw another response, or none.
        (Err(_), _, true) => None,
    };
    Err((UpgradeErrorKind::Replaced, source))
}

/// Converts the error of a connection that was promised.
fn lost(error: hyper::Error) -> (UpgradeErrorKind, Option<BoxError>) {
    let kind =
        if error.is_user() { UpgradeErrorKind::NotEnabled } else { UpgradeErrorKind::Disconnected };
    (kind, Some(error.into()))
}

pin_project! {
    /// Runs a handler's future. A panic in it becomes an error that holds the panic's message.
    pub(super) struct CatchPanic<F> {
        #[pin]
        pub(super) future: F,
    }
}

impl<F> Future for CatchPanic<F>
where
    F: Future,
{
    type Output = Result<F::Output, BoxError>;

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
pub(super) fn catch_panic<T>(function: impl FnOnce() -> T) -> Result<T, BoxError> {
    panic::catch_unwind(AssertUnwindSafe(function)).map_err(|payload| panic_message(&*payload))
}

/// The text that a panic was called with.
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
