//! The "no" of a handler: a response of its own, and a connection that stays HTTP.

use std::fmt;

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, UPGRADE},
};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};

use crate::{
    error::BoxError,
    negotiation::{self, protocol::Protocol},
};

/// A handler's refusal to switch protocols: the response that the client gets instead.
///
/// Made from a status, from a status and a text, or from any response with any body, which may
/// stream. The connection stays HTTP/1.1 and is not closed, unless the response says
/// `Connection: close`. Bytes the client sent right after its request are then read as its next HTTP
/// request.
///
/// A response with status 426 that names no protocol gets `Upgrade` with the one that was
/// negotiated, and one with an `Upgrade` field gets `Connection: upgrade`, since the one may not
/// be sent without the other (RFC 9110 §7.8 and §15.5.22). A 1xx status is not an answer; a 500
/// is sent in its place.
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
}

impl Rejection {
    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    fn text(status: StatusCode, text: Full<Bytes>) -> Self {
        let mut response = Response::new(text);
        *response.status_mut() = status;
        let text_plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, text_plain);
        response.into()
    }

    /// Returns the response in a form that may answer an offer of `protocol`.
    pub(crate) fn into_response(self, protocol: &Protocol<'_>) -> Response<OwnBody> {
        let mut response = *self.response;
        if response.status().is_informational() {
            response = Response::new(empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        let names_no_protocol = !response.headers().contains_key(UPGRADE);
        if names_no_protocol && response.status() == StatusCode::UPGRADE_REQUIRED {
            response.headers_mut().insert(UPGRADE, protocol.to_header_value());
        }
        if response.headers().contains_key(UPGRADE) {
            negotiation::add_upgrade_option(response.headers_mut());
        }
        response
    }
}

impl From<StatusCode> for Rejection {
    /// Makes a response without content.
    fn from(status: StatusCode) -> Self {
        let mut response = Response::new(empty());
        *response.status_mut() = status;
        Self { response: Box::new(response) }
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
        let response = response.map(|body| body.map_err(Into::into).boxed_unsync());
        Self { response: Box::new(response) }
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { response } = self;
        f.debug_struct("Rejection")
            .field("status", &response.status())
            .field("headers", response.headers())
            .finish_non_exhaustive()
    }
}

/// The body of a response that the layer or a handler made.
pub(crate) type OwnBody = UnsyncBoxBody<Bytes, BoxError>;

pub(crate) fn empty() -> OwnBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}
