//! Decision 2, switch or refuse: from the request that a handler owns to the end of what it runs;
//! and the answers that the layer makes itself.

pub(crate) mod sent;
pub(crate) mod token;

use std::{
    any::Any,
    future::Future,
    panic::{self, AssertUnwindSafe},
    pin::{Pin, pin},
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, RETRY_AFTER, UPGRADE},
    request,
};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::upgrade::OnUpgrade;
use pin_project_lite::pin_project;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use self::{sent::SwitchingBody, token::Token};
use crate::{
    connections::{NoPlace, session::Session, task, upgraded::Upgraded},
    error::{BoxError, UpgradeErrorKind},
    handler::{
        BoxedHandler,
        rejection::{self, OwnBody},
        switch::{Run, Switch},
    },
    negotiation::length::Length,
};

/// A request that a handler took over.
pub(crate) struct Handshake {
    pub(crate) handler: BoxedHandler,
    pub(crate) on_upgrade: OnUpgrade,
    /// The outermost layer's, if there is one.
    pub(crate) token: Option<Token>,
    pub(crate) session: Arc<Session>,
}

impl Handshake {
    /// Reads the body, asks the handler, and makes the response.
    ///
    /// `alive` can be upgraded as long as the future that this runs in is there.
    pub(crate) async fn respond<B>(
        self,
        head: request::Parts,
        body: B,
        length: Length,
        alive: Weak<()>,
    ) -> Response<OwnBody>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let session = Arc::clone(&self.session);
        let deadline = Instant::now() + self.session.handshake_timeout();
        let response = session.instrument(self.decide(head, body, length, alive, deadline));
        let aborted = || {
            session.failed(UpgradeErrorKind::Aborted, None);
            closing(StatusCode::SERVICE_UNAVAILABLE)
        };
        session.aborting().unless_raised(pin!(response)).await.unwrap_or_else(aborted)
    }

    async fn decide<B>(
        self,
        mut head: request::Parts,
        body: B,
        length: Length,
        alive: Weak<()>,
        deadline: Instant,
    ) -> Response<OwnBody>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let Self { handler, session, .. } = &self;
        let body = read(body, length, handler.body_limit());
        let (body, trailers) = match timeout_at(deadline, body).await {
            Ok(Ok(read)) => read,
            // In both cases it is not known where the body ends, so nothing after it can be read.
            Ok(Err((status, error))) => {
                session.failed(UpgradeErrorKind::Body, Some(error));
                return closing(status);
            }
            Err(late) => {
                session.failed(UpgradeErrorKind::TimedOut, Some(late.into()));
                return closing(StatusCode::REQUEST_TIMEOUT);
            }
        };
        let lines = head.headers.get_all(UPGRADE).iter();
        let offer: HeaderMap = lines.map(|line| (UPGRADE, line.clone())).collect();
        head.extensions.insert(session.protocol().clone());
        if let Some(trailers) = trailers {
            head.extensions.insert(Trailers(trailers));
        }
        let request = Request::from_parts(head, body);
        let decision = CatchPanic { future: async { handler.upgrade(request).await } };
        match timeout_at(deadline, decision).await {
            Ok(Ok(Ok(switch))) => self.switch(switch, &offer, alive, deadline),
            Ok(Ok(Err(rejection))) => {
                let response = rejection.into_response(session.protocol());
                session.rejected(response.status());
                response
            }
            Ok(Err(panic)) => {
                session.failed(UpgradeErrorKind::Panicked, Some(panic));
                plain(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Err(late) => {
                session.failed(UpgradeErrorKind::TimedOut, Some(late.into()));
                plain(StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    }

    /// Makes the 101, and has the connection waited for.
    fn switch(
        self,
        switch: Switch,
        offer: &HeaderMap,
        alive: Weak<()>,
        deadline: Instant,
    ) -> Response<OwnBody> {
        let Self { handler: _, on_upgrade, token, session } = self;
        let (headers, run) = match switch.into_parts(session.protocol(), offer) {
            Ok(parts) => parts,
            Err(error) => {
                session.failed(UpgradeErrorKind::Switch, Some(error.into()));
                return plain(StatusCode::INTERNAL_SERVER_ERROR);
            }
        };
        let (sender, sent) = oneshot::channel();
        let sent = Sent { receiver: sent, is_certain: token.is_some() };
        let body = match token {
            Some(token) => {
                // `into_parts` always names the protocols.
                token.register(headers[UPGRADE].clone(), sender);
                rejection::empty()
            }
            None => {
                SwitchingBody::new(alive, sender).map_err(|never| match never {}).boxed_unsync()
            }
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
    receiver: oneshot::Receiver<()>,
    /// It is the outermost layer that tells.
    is_certain: bool,
}

/// Waits until the HTTP server has taken our 101 and has handed over the connection.
async fn hand_over(
    sent: Sent,
    on_upgrade: OnUpgrade,
) -> Result<hyper::upgrade::Upgraded, (UpgradeErrorKind, Option<BoxError>)> {
    if sent.receiver.await.is_err() {
        let remedy = (!sent.is_certain).then(|| REMEDY.into());
        return Err((UpgradeErrorKind::Replaced, remedy));
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

/// Reads a body to its end. Fails with the status to answer.
///
/// Reading is also what makes hyper send the 100 that a client may be waiting for.
async fn read<B>(
    body: B,
    length: Length,
    limit: usize,
) -> Result<(Bytes, Option<HeaderMap>), (StatusCode, BoxError)>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let announced = match length {
        Length::Exactly(bytes) => usize::try_from(bytes).ok(),
        Length::Chunked => None,
    };
    let read = Limited::new(body, announced.unwrap_or(limit)).collect().await.map(|collected| {
        let trailers = collected.trailers().cloned();
        (collected.to_bytes(), trailers)
    });
    match read {
        Ok((body, trailers)) if announced.is_none_or(|announced| body.len() == announced) => {
            Ok((body, trailers))
        }
        Ok(_shorter) => Err((StatusCode::BAD_REQUEST, SHORTER.into())),
        Err(error) if announced.is_none() && error.is::<LengthLimitError>() => {
            Err((StatusCode::PAYLOAD_TOO_LARGE, error))
        }
        Err(error) => Err((StatusCode::BAD_REQUEST, error)),
    }
}

/// The trailers of the request's body, in the extensions of the request that a handler gets.
#[derive(Clone, Debug)]
pub(crate) struct Trailers(
    #[cfg_attr(not(feature = "h2c"), expect(dead_code))] pub(crate) HeaderMap,
);

/// Answers a request for which there is no place.
pub(crate) fn turn_away(no_place: NoPlace, length: Length) -> Response<OwnBody> {
    // RFC 9110 §10.1.1 wants it said if a body is left unread.
    let mut response = match no_place {
        NoPlace::Full if length.is_zero() => plain(StatusCode::SERVICE_UNAVAILABLE),
        NoPlace::Full | NoPlace::Draining => closing(StatusCode::SERVICE_UNAVAILABLE),
    };
    if no_place == NoPlace::Full {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// A response behind which the connection ends.
fn closing(status: StatusCode) -> Response<OwnBody> {
    let mut response = plain(status);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn plain(status: StatusCode) -> Response<OwnBody> {
    let mut response = Response::new(rejection::empty());
    *response.status_mut() = status;
    response
}

pin_project! {
    /// Runs a handler's future. A panic in it becomes an error that holds the panic's message.
    struct CatchPanic<F> {
        #[pin]
        future: F,
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

/// What [`UpgradeErrorKind::Replaced`] says if no outermost layer is there.
const REMEDY: &str = "put `UpgradeLayer::outermost()` around all layers of the server: a layer that \
                      hides the body of the 101, or its end, has this one take the 101 for replaced";

const SHORTER: &str = "the body is shorter than its head says";
