//! [`Rejection`]: a handler's response in place of the 101. The connection stays HTTP.

use std::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONNECTION, CONTENT_TYPE, Entry, UPGRADE},
};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};

use crate::{
    connections::fate::SwitchingBody,
    error::BoxError,
    negotiation::{Mechanism, connection, protocol::Protocol},
    observe::Reason,
};

/// A handler's decision not to switch protocols: the response that the client gets instead.
///
/// It converts from a status, from a status and a text, and from a response with any body, streams
/// included. [`with_reason`](Self::with_reason) adds a word for logs and metrics, which the client
/// does not see.
///
/// The connection stays HTTP/1.1 and open, unless the response has `Connection: close`. Bytes the
/// client sent right after its request are read as its next HTTP request.
///
/// The layer completes the response where RFC 9110 requires it:
///
/// - A 426 without an `Upgrade` header gets one that names the negotiated protocol (§15.5.22).
/// - A response with an `Upgrade` header gets `upgrade` in its `Connection` header (§7.8).
/// - A 1xx status is not a final response, so the client gets a 500 in its place.
///
/// To an [extended CONNECT](crate::UpgradeLayer::extended_connect) a 426 is sent as a 400, because HTTP/2
/// has no `Upgrade` header, and a 2xx as a 500, because it would open the tunnel.
///
/// # Example
///
/// ```
/// use bytes::Bytes;
/// use http::{Response, StatusCode};
/// use http_body_util::Full;
/// use tower_upgrade::Rejection;
///
/// let rejection = Rejection::from(StatusCode::FORBIDDEN);
/// assert_eq!(rejection.status(), StatusCode::FORBIDDEN);
///
/// let rejection = Rejection::from((StatusCode::CONFLICT, "this name is taken\n"));
/// assert_eq!(rejection.status(), StatusCode::CONFLICT);
///
/// let response = Response::builder().status(404).body(Full::<Bytes>::from("no such room\n"))?;
/// assert_eq!(Rejection::from(response).status(), StatusCode::NOT_FOUND);
/// # Ok::<(), http::Error>(())
/// ```
#[must_use = "a rejection does nothing unless the handler returns it"]
pub struct Rejection {
    // Boxed so that a `Result<Switch, Rejection>` stays small.
    response: Box<Response<OwnBody>>,
    reason: Reason,
    /// It is a failure of the server, and reported as one.
    error: Option<BoxError>,
}

impl Rejection {
    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Sets the reason that logs and metrics show. The client does not see it. The default is none.
    ///
    /// It is the field `reason` of the event `rejected` and the label `reason` of the metric
    /// `http_upgrades_total`. Each reason is a time series of its own, so use few of them. Rejections
    /// of the module `websocket` have reasons already.
    ///
    /// # Example
    ///
    /// ```
    /// use http::StatusCode;
    /// use tower_upgrade::Rejection;
    ///
    /// let rejection = Rejection::from(StatusCode::FORBIDDEN);
    /// assert_eq!(rejection.reason(), None);
    /// assert_eq!(rejection.with_reason("banned").reason(), Some("banned"));
    /// ```
    pub fn with_reason(mut self, reason: &'static str) -> Self {
        self.reason.word = Some(reason);
        self
    }

    /// Returns the reason that logs and metrics show, if one is set.
    pub fn reason(&self) -> Option<&'static str> {
        self.reason.word
    }

    /// Adds the rejected origin and the request's host, for the log.
    #[cfg(feature = "websocket")]
    pub(crate) fn with_origin(mut self, origin: &[u8], host: &[u8]) -> Self {
        self.reason.origin = Some(logged(origin));
        self.reason.host = Some(logged(host));
        self
    }

    /// Adds the failure that led to this response.
    #[cfg(feature = "tunnel")]
    pub(crate) fn with_error(mut self, error: BoxError) -> Self {
        self.error = Some(error);
        self
    }

    /// Takes the failure that led to this response, if there was one.
    pub(crate) fn take_error(&mut self) -> Option<BoxError> {
        self.error.take()
    }

    /// Takes the parts that are logged.
    pub(crate) fn take_reason(&mut self) -> Reason {
        mem::take(&mut self.reason)
    }

    /// Makes the response of an inner service. The layer finds the reason in its extensions.
    #[cfg(feature = "axum")]
    pub(crate) fn into_response(mut self) -> Response<OwnBody> {
        let reason = self.take_reason();
        let mut response = self.finish(None, Mechanism::Upgrade);
        response.extensions_mut().insert(reason);
        response
    }

    fn text(status: StatusCode, text: Full<Bytes>) -> Self {
        let mut response = Response::new(text);
        *response.status_mut() = status;
        let text_plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, text_plain);
        response.into()
    }

    /// Returns the response, with the headers that the answer to an offer needs. `protocol` is the
    /// negotiated one, if it is known.
    pub(crate) fn finish(
        self,
        protocol: Option<&Protocol<'_>>,
        mechanism: Mechanism,
    ) -> Response<OwnBody> {
        let mut response = *self.response;
        if response.status().is_informational() {
            response = Response::new(OwnBody::empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        if mechanism == Mechanism::ExtendedConnect {
            fit_connect(&mut response);
            return response;
        }
        if response.status() == StatusCode::UPGRADE_REQUIRED {
            if let (Entry::Vacant(upgrade), Some(protocol)) =
                (response.headers_mut().entry(UPGRADE), protocol)
            {
                upgrade.insert(protocol.to_header_value());
            }
        }
        if response.headers().contains_key(UPGRADE) {
            connection::add_upgrade_option(response.headers_mut());
        }
        response
    }
}

/// Makes the response of a rejection one to an extended CONNECT.
pub(crate) fn fit_connect<B>(response: &mut Response<B>) {
    // RFC 9113 §8.2.2: HTTP/2 has neither.
    response.headers_mut().remove(CONNECTION);
    response.headers_mut().remove(UPGRADE);
    let status = response.status_mut();
    if *status == StatusCode::UPGRADE_REQUIRED {
        // RFC 9110 §15.5.22: a 426 has to have an `Upgrade` header.
        *status = StatusCode::BAD_REQUEST;
    } else if status.is_success() {
        // RFC 9110 §9.3.6: it would open the tunnel.
        *status = StatusCode::INTERNAL_SERVER_ERROR;
    }
}

impl From<StatusCode> for Rejection {
    /// Makes a response with an empty body.
    fn from(status: StatusCode) -> Self {
        let mut response = Response::new(OwnBody::empty());
        *response.status_mut() = status;
        Self { response: Box::new(response), reason: Reason::default(), error: None }
    }
}

impl From<(StatusCode, &'static str)> for Rejection {
    /// Makes a `text/plain` response.
    fn from((status, text): (StatusCode, &'static str)) -> Self {
        Self::text(status, Full::from(text))
    }
}

impl From<(StatusCode, String)> for Rejection {
    /// Makes a `text/plain` response.
    fn from((status, text): (StatusCode, String)) -> Self {
        Self::text(status, Full::from(text))
    }
}

impl<B> From<Response<B>> for Rejection
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn from(response: Response<B>) -> Self {
        Self {
            response: Box::new(response.map(OwnBody::new)),
            reason: Reason::default(),
            error: None,
        }
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { response, reason, error } = self;
        f.debug_struct("Rejection")
            .field("status", &response.status())
            .field("headers", response.headers())
            .field("reason", &reason.word)
            .field("error", error)
            .finish_non_exhaustive()
    }
}

/// Returns the start of a header value, because a client may send a long one.
#[cfg(feature = "websocket")]
fn logged(value: &[u8]) -> Box<str> {
    const BYTES: usize = 256;

    String::from_utf8_lossy(&value[..value.len().min(BYTES)]).into()
}

/// The body of the layer's own responses, such as rejections.
///
/// [`UpgradeLayer::with_body`](crate::UpgradeLayer::with_body) converts it into the body type of the
/// inner service.
pub struct OwnBody(Kind);

enum Kind {
    Boxed(UnsyncBoxBody<Bytes, BoxError>),
    /// Of a 101, without a box, because each connection has one.
    Switching(SwitchingBody),
}

impl OwnBody {
    pub(crate) fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Kind::Boxed(body.map_err(Into::into).boxed_unsync()))
    }

    pub(crate) fn switching(body: SwitchingBody) -> Self {
        Self(Kind::Switching(body))
    }

    pub(crate) fn empty() -> Self {
        Self(Kind::Boxed(UnsyncBoxBody::default()))
    }
}

impl Body for OwnBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Boxed(body) => Pin::new(body).poll_frame(cx),
            Kind::Switching(body) => body.poll_end().map(|()| None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Boxed(body) => body.is_end_stream(),
            Kind::Switching(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Boxed(body) => body.size_hint(),
            Kind::Switching(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for OwnBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnBody").finish_non_exhaustive()
    }
}
