//! The "no" of a handler: a response of its own, and a connection that stays HTTP.

use std::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, Entry, UPGRADE},
};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};

use crate::{
    error::BoxError,
    negotiation::{self, protocol::Protocol},
    observe::Reason,
};

/// A handler's decision not to switch protocols: the response that the client gets instead.
///
/// Made from a status, from a status and a text, or from any response with any body, which may
/// stream. The connection stays HTTP/1.1 and is not closed, unless the response says
/// `Connection: close`. Bytes the client sent right after its request are then read as its next HTTP
/// request.
///
/// A response with status 426 that names no protocol gets `Upgrade` with the one that was
/// negotiated, and one with an `Upgrade` header gets `Connection: upgrade`, since the one may not
/// be sent without the other (RFC 9110 §7.8 and §15.5.22). A 1xx status is not an answer; a 500
/// is sent in its place.
///
/// [`with_reason`](Self::with_reason) adds a word for logs and metrics, which the client does not
/// see.
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
pub struct Rejection {
    // Boxed so that a `Result<Switch, Rejection>` stays small.
    response: Box<Response<OwnBody>>,
    reason: Reason,
}

impl Rejection {
    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Adds a word that says why, for the field `reason` of the event `rejected` and the label
    /// `reason` of the metric `http_upgrades_total`. The client does not see it. The default is
    /// none.
    ///
    /// Each word is a time series of its own, so use few of them. Rejections of the module
    /// `websocket` have words already.
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

    /// Returns the word that says why, if there is one.
    pub fn reason(&self) -> Option<&'static str> {
        self.reason.word
    }

    /// Adds the origin that was not allowed and the host that the request was sent to, for the log.
    #[cfg(feature = "websocket")]
    pub(crate) fn with_origin(mut self, origin: &[u8], host: &[u8]) -> Self {
        self.reason.origin = Some(logged(origin));
        self.reason.host = Some(logged(host));
        self
    }

    /// Takes out what is logged.
    pub(crate) fn take_reason(&mut self) -> Reason {
        mem::take(&mut self.reason)
    }

    /// Makes the response of an inner service, by which the layer knows why.
    #[cfg(feature = "axum")]
    pub(crate) fn into_response(mut self) -> Response<OwnBody> {
        let reason = self.take_reason();
        let mut response = self.finish(None);
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

    /// Returns the response in a form that may answer an offer, of this protocol if it is known.
    pub(crate) fn finish(self, protocol: Option<&Protocol<'_>>) -> Response<OwnBody> {
        let mut response = *self.response;
        if response.status().is_informational() {
            response = Response::new(OwnBody::empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        if response.status() == StatusCode::UPGRADE_REQUIRED {
            if let (Entry::Vacant(upgrade), Some(protocol)) =
                (response.headers_mut().entry(UPGRADE), protocol)
            {
                upgrade.insert(protocol.to_header_value());
            }
        }
        if response.headers().contains_key(UPGRADE) {
            negotiation::add_upgrade_option(response.headers_mut());
        }
        response
    }
}

impl From<StatusCode> for Rejection {
    /// Makes a response without a body.
    fn from(status: StatusCode) -> Self {
        let mut response = Response::new(OwnBody::empty());
        *response.status_mut() = status;
        Self { response: Box::new(response), reason: Reason::default() }
    }
}

impl From<(StatusCode, &'static str)> for Rejection {
    /// Makes a response with a plain text.
    fn from((status, text): (StatusCode, &'static str)) -> Self {
        Self::text(status, Full::from(text))
    }
}

impl From<(StatusCode, String)> for Rejection {
    /// Makes a response with a plain text.
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
        Self { response: Box::new(response.map(OwnBody::new)), reason: Reason::default() }
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { response, reason } = self;
        f.debug_struct("Rejection")
            .field("status", &response.status())
            .field("headers", response.headers())
            .field("reason", &reason.word)
            .finish_non_exhaustive()
    }
}

/// The start of a header's value, which a client may have made as long as the server lets it.
#[cfg(feature = "websocket")]
fn logged(value: &[u8]) -> Box<str> {
    const BYTES: usize = 256;

    String::from_utf8_lossy(&value[..value.len().min(BYTES)]).into()
}

/// The body of a response that a layer or a handler made itself.
///
/// [`UpgradeLayer::with_body`](crate::UpgradeLayer::with_body) turns it into the type that the inner
/// service's responses have.
pub struct OwnBody(UnsyncBoxBody<Bytes, BoxError>);

impl OwnBody {
    pub(crate) fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(body.map_err(Into::into).boxed_unsync())
    }

    pub(crate) fn empty() -> Self {
        Self(UnsyncBoxBody::default())
    }
}

impl Body for OwnBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl fmt::Debug for OwnBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnBody").finish_non_exhaustive()
    }
}
