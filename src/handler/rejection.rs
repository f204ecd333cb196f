//! The "no" of a handler: a response of its own, and a connection that stays HTTP.

use std::{
    fmt,
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
    /// Makes a response without content.
    fn from(status: StatusCode) -> Self {
        let mut response = Response::new(OwnBody::empty());
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
        Self { response: Box::new(response.map(OwnBody::new)) }
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
