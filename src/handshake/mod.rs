//! Decision 2, switch or reject: from the request that a handler owns to the response; and the answers
//! that the layer makes itself.

pub(crate) mod handler;
pub(crate) mod inner;
pub(crate) mod sent;
pub(crate) mod switching;
pub(crate) mod token;

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, RETRY_AFTER},
    request,
};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use pin_project_lite::pin_project;
use tokio::time::{Instant, error::Elapsed};

use self::{
    handler::{BoxedHandler, Responding},
    switching::Switching,
};
use crate::{
    connections::{
        NoPlace,
        admission::{Admission, Admissions},
        clock::Limits,
        control::Control,
        session::{FOREVER, Observer, Session},
        until::until,
    },
    error::{BoxError, UpgradeErrorKind},
    handler::{
        rejection::{OwnBody, Rejection},
        switch::Switch,
    },
    negotiation::{Mechanism, Offered, length::Length, protocol::Protocol},
};

/// The settings of all handshakes of a layer, and of the connections that come of them.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) observer: Observer,
    pub(crate) max_connections: usize,
    pub(crate) admissions: Admissions,
    pub(crate) timeout: Duration,
    pub(crate) limits: Limits,
}

impl Settings {
    /// Takes a place for a request.
    pub(crate) fn begin(
        &self,
        protocol: &Protocol<'_>,
        head: &request::Parts,
        admission: Admission,
    ) -> Result<Session, NoPlace> {
        let Admission { claims, attached } = admission;
        let control =
            |id| Control::new(id, protocol.clone().into_owned(), head, self.timeout, attached);
        let connections = &self.observer.connections;
        let place = connections.reserve(self.max_connections, claims, control)?;
        Ok(self.observer.begin(place, head))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            observer: Observer::default(),
            max_connections: usize::MAX,
            admissions: Admissions::default(),
            timeout: TIMEOUT,
            limits: Limits::default(),
        }
    }
}

/// A request that a handler took over.
pub(crate) struct Handshake {
    pub(crate) handler: BoxedHandler,
    pub(crate) deciding: Deciding,
}

impl Handshake {
    /// Reads the body, asks the handler, and makes the response.
    #[inline]
    pub(crate) fn respond<B>(self, head: request::Parts, body: B, length: Length) -> Responding
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let Self { handler, deciding } = self;
        if body.is_end_stream() && length.is_zero() {
            return handler.respond(deciding.request(head, Bytes::new()), deciding);
        }
        let session = Arc::clone(&deciding.switching.session);
        let mechanism = deciding.switching.mechanism;
        let read =
            session.instrument(until(deciding.deadline, read(body, length, handler.body_limit())));
        let reader = Arc::clone(&session);
        let decided = async move {
            // In both cases it is not known where the body ends, so nothing after it can be read.
            let (status, kind, error) = match read.await {
                Ok(Ok((body, trailers))) => {
                    let mut request = deciding.request(head, body);
                    if let Some(trailers) = trailers {
                        request.extensions_mut().insert(Trailers(trailers));
                    }
                    return handler.respond(request, deciding).await;
                }
                Ok(Err((status, error))) => (status, UpgradeErrorKind::Body, error),
                Err(late) => (StatusCode::REQUEST_TIMEOUT, UpgradeErrorKind::TimedOut, late.into()),
            };
            reader.failed(kind, Some(error));
            closing(status, mechanism)
        };
        Box::pin(UnlessAborted { session, mechanism, waker: None, decided })
    }
}

/// The parts that are needed to make a response of a handler's decision.
pub(crate) struct Deciding {
    /// When the handshake has to be over.
    pub(crate) deadline: Instant,
    pub(crate) offer: Offered,
    pub(crate) switching: Switching,
}

impl Deciding {
    /// Makes the request that the handler gets.
    #[inline]
    fn request(&self, head: request::Parts, body: Bytes) -> Request<Bytes> {
        let mut request = Request::from_parts(head, body);
        request.extensions_mut().insert(self.switching.session.protocol().clone());
        request
    }

    /// Makes the response. The decision fails if it comes too late, or if the handler panics.
    fn respond(
        self,
        decision: Result<Result<Result<Switch, Rejection>, BoxError>, Elapsed>,
    ) -> Response<OwnBody> {
        let Self { deadline, offer, switching } = self;
        let session = &switching.session;
        match decision {
            Ok(Ok(Ok(switch))) => switching.to(switch, &offer, deadline),
            Ok(Ok(Err(mut rejection))) => {
                let (reason, error) = (rejection.take_reason(), rejection.take_error());
                let response = rejection.finish(Some(session.protocol()), switching.mechanism);
                match error {
                    None => session.rejected(response.status(), &reason),
                    Some(error) => session.failed(UpgradeErrorKind::Upstream, Some(error)),
                }
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
}

pin_project! {
    /// Makes the response of a handshake, or another one if the connection is aborted before.
    struct UnlessAborted<F> {
        session: Arc<Session>,
        mechanism: Mechanism,
        waker: Option<Waker>,
        #[pin]
        decided: F,
    }
}

impl<F> Future for UnlessAborted<F>
where
    F: Future<Output = Response<OwnBody>>,
{
    type Output = Response<OwnBody>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let control = this.session.control();
        let decided = ready!(control.poll_unless_aborted(cx, this.decided, this.waker));
        Poll::Ready(decided.unwrap_or_else(|| {
            this.session.failed(UpgradeErrorKind::Aborted, None);
            closing(StatusCode::SERVICE_UNAVAILABLE, *this.mechanism)
        }))
    }
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
        Length::Exactly(bytes) | Length::Announced(bytes) => usize::try_from(bytes).ok(),
        Length::Chunked => None,
    };
    match collect(Limited::new(body, announced.unwrap_or(limit))).await {
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

/// Copies each piece: hyper's are parts of its read buffer, of which each keeps 8 KiB alive however
/// small it is.
async fn collect<B>(body: B) -> Result<(Bytes, Option<HeaderMap>), BoxError>
where
    B: Body<Error = BoxError>,
{
    let mut body = pin!(body);
    let (mut bytes, mut trailers) = (BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => bytes.put(data),
            Err(frame) => trailers = frame.into_trailers().ok().or(trailers),
        }
    }
    Ok((bytes.freeze(), trailers))
}

/// The trailers of the request's body, in the extensions of the request that a handler gets.
#[derive(Clone, Debug)]
pub(crate) struct Trailers(
    #[cfg_attr(not(feature = "h2c"), expect(dead_code, reason = "h2c alone reads them"))]
    pub(crate) HeaderMap,
);

/// When a handshake that has begun has to be over.
pub(crate) fn deadline(session: &Session, timeout: Duration) -> Instant {
    session.control().since() + timeout.min(FOREVER)
}

/// Answers a request for which there is no place.
pub(crate) fn turn_away(
    no_place: NoPlace,
    length: Length,
    mechanism: Mechanism,
) -> Response<OwnBody> {
    // RFC 9110 §10.1.1 wants it said if a body is left unread.
    let status = match no_place {
        NoPlace::Full | NoPlace::Draining => StatusCode::SERVICE_UNAVAILABLE,
        // RFC 6585 §4.
        NoPlace::FullForKey => StatusCode::TOO_MANY_REQUESTS,
    };
    let mut response = match no_place {
        NoPlace::Full | NoPlace::FullForKey if length.is_zero() => plain(status),
        _ => closing(status, mechanism),
    };
    if no_place != NoPlace::Draining {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// A response behind which a connection of HTTP/1.1 ends. HTTP/2 has other streams on it.
fn closing(status: StatusCode, mechanism: Mechanism) -> Response<OwnBody> {
    let mut response = plain(status);
    if mechanism == Mechanism::Upgrade {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn plain(status: StatusCode) -> Response<OwnBody> {
    let mut response = Response::new(OwnBody::empty());
    *response.status_mut() = status;
    response
}

const SHORTER: &str = "the body is shorter than its head says";

/// Long enough for a slow network and a slow database, short enough for half-open handshakes.
const TIMEOUT: Duration = Duration::from_secs(10);
