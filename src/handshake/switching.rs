//! From a yes to the end of what it runs: the 101, the wait for the connection, and the task.

use std::{
    any::Any,
    future::Future,
    panic::{self, AssertUnwindSafe},
    pin::{Pin, pin},
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use http::{Response, StatusCode, header::UPGRADE};
use hyper::upgrade::OnUpgrade;
use pin_project_lite::pin_project;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{sent::SwitchingBody, token::Token};
use crate::{
    connections::{session::Session, task, upgraded::Upgraded},
    error::{BoxError, UpgradeErrorKind},
    handler::{
        rejection::OwnBody,
        switch::{Run, Switch},
    },
    negotiation::Offered,
};

/// The parts that are needed to switch a connection.
pub(crate) struct Switching {
    pub(crate) on_upgrade: OnUpgrade,
    /// The outermost layer's, if there is one.
    pub(crate) token: Option<Token>,
    pub(crate) session: Arc<Session>,
}

impl Switching {
    /// Makes the 101, and has the connection waited for.
    pub(super) fn to(
        self,
        switch: Switch,
        offer: &Offered,
        alive: Weak<()>,
        deadline: Instant,
    ) -> Response<OwnBody> {
        let Self { on_upgrade, token, session } = self;
        let (headers, run) = match switch.into_parts(session.protocol(), offer) {
            Ok(parts) => parts,
            Err(error) => {
                session.failed(UpgradeErrorKind::Switch, Some(error.into()));
                return super::plain(StatusCode::INTERNAL_SERVER_ERROR);
            }
        };
        let (sender, sent) = oneshot::channel();
        let sent = Sent { receiver: sent, is_certain: token.is_some() };
        let (on_upgrade, body) = match token {
            Some(token) => {
                // `into_parts` always names the protocols.
                token.register(headers[UPGRADE].clone(), sender);
                // That of the exit: a layer may have put the token into a request of another connection.
                (token.on_upgrade, OwnBody::empty())
            }
            None => (on_upgrade, OwnBody::new(SwitchingBody::new(alive, sender))),
        };
        // hyper hands over the connection only after it has written the response, so nobody could
        // wait for it here.
        let connection = connection(Arc::clone(&session), sent, on_upgrade, deadline, run);
        task::spawn(session.instrument(connection));
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = headers;
        response
    }
}

/// Runs what the handler switched to, once the 101 is sent and the connection free.
async fn connection(
    session: Arc<Session>,
    sent: Sent,
    on_upgrade: OnUpgrade,
    deadline: Instant,
    run: Run,
) {
    // Pinned here, because a future that is handed to another `async fn` is held twice, and
    // these are held as long as the connection.
    let connection = pin!(CatchPanic {
        future: async {
            let io = timeout_at(deadline, hand_over(sent, on_upgrade)).await;
            let io = io.map_err(|late| (UpgradeErrorKind::TimedOut, Some(late.into())))??;
            session.switched();
            let io = Upgraded::new(io, Arc::clone(&session));
            run(io).await.map_err(|error| (UpgradeErrorKind::Handler, Some(error)))
        }
    });
    let (kind, source) = match session.aborting().unless_raised(connection).await {
        Some(Ok(Ok(()))) => return,
        Some(Ok(Err(failure))) => failure,
        Some(Err(panic)) => (UpgradeErrorKind::Panicked, Some(panic)),
        None => (UpgradeErrorKind::Aborted, None),
    };
    session.failed(kind, source);
}

/// Hears whether the 101 is sent.
struct Sent {
    receiver: oneshot::Receiver<bool>,
    /// It is the outermost layer that tells.
    is_certain: bool,
}

/// Waits until the HTTP server has taken our 101 and has handed over the connection.
async fn hand_over(
    sent: Sent,
    on_upgrade: OnUpgrade,
) -> Result<hyper::upgrade::Upgraded, (UpgradeErrorKind, Option<BoxError>)> {
    let source = match (sent.receiver.await, sent.is_certain) {
        (Ok(true), _) => None,
        (_, false) => Some(Some(REMEDY.into())),
        // It left the outermost layer, and was lost outside of it.
        (Ok(false), true) => Some(Some(NOT_OUTERMOST.into())),
        // The outermost layer saw another response, or none.
        (Err(_), true) => Some(None),
    };
    if let Some(source) = source {
        return Err((UpgradeErrorKind::Replaced, source));
    }
    on_upgrade.await.map_err(|error| {
        let kind = if error.is_user() {
            UpgradeErrorKind::NotEnabled
        } else {
            UpgradeErrorKind::Disconnected
        };
        (kind, Some(error.into()))
    })
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
        match panic::catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(panic_message(&*payload))),
        }
    }
}

/// The text that a panic was called with.
fn panic_message(payload: &(dyn Any + Send)) -> BoxError {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a value that is not text").into()
}

/// The source of [`UpgradeErrorKind::Replaced`] if there is no outermost layer.
const REMEDY: &str = "a layer may hide the body of the 101, which then looks replaced: add \
                      `UpgradeLayer::outermost()` after all other layers";

/// The source if there is one that is not the outermost.
const NOT_OUTERMOST: &str = "a layer is around `UpgradeLayer::outermost()`, or replaces the body that \
                             leaves it: add `outermost()` after all other layers";
