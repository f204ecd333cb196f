//! The answer to requests that open no tunnel.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header::CONNECTION};
use http_body::Body;
use http_body_util::Full;

/// The service inside of the layer.
pub(crate) async fn elsewhere<B: Body>(
    request: Request<B>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = if request.method() == Method::CONNECT {
        // RFC 9220 §3: also to an extended CONNECT for another protocol.
        (StatusCode::NOT_IMPLEMENTED, "there is no such tunnel\n")
    } else if request.uri().path().starts_with("/.well-known/masque/") {
        // Without an offer, or with a body, which the layer leaves to its inner service.
        (StatusCode::BAD_REQUEST, "a tunnel needs an `Upgrade` header, and no body\n")
    } else {
        (StatusCode::NOT_FOUND, "there is nothing here\n")
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    // The bytes after a CONNECT may be meant for the tunnel (RFC 9931 §8). A body is not read.
    let may_continue = request.method() != Method::CONNECT && request.body().is_end_stream();
    if request.version() < Version::HTTP_2 && !may_continue {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}
