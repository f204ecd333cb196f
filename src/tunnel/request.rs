//! The request that goes up: from what the client sent, and what was negotiated.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ALLOW, CONNECTION, COOKIE, HOST, SEC_WEBSOCKET_KEY, UPGRADE},
    request,
    uri::{Authority, PathAndQuery},
};
use http_body_util::Full;

use super::{
    forwarded::Forwarded,
    headers::{end_to_end, is_decoded},
};
use crate::{
    connect, connections::clock::random, handler::rejection::Rejection, host,
    negotiation::protocol::Protocol, websocket::key,
};

/// The changes to the path and the host on their way up.
#[derive(Clone, Debug, Default)]
pub(super) struct Rewrite {
    /// The path before that of each request, without a slash at its end.
    pub(super) base: Box<str>,
    /// The start that the path has to have, which is removed.
    pub(super) prefix: Box<str>,
    pub(super) host: Option<HeaderValue>,
    pub(super) forwarded: Option<Forwarded>,
}

/// The request to the upstream, and the expected answer.
pub(super) struct Asked {
    pub(super) request: Request<Full<Bytes>>,
    /// The value of `Sec-WebSocket-Accept`, if the protocol is WebSocket.
    pub(super) accept: Option<HeaderValue>,
    /// The client's request was an extended CONNECT.
    pub(super) is_connect: bool,
}

impl Rewrite {
    /// Whether the path begins with the prefix that is removed.
    pub(super) fn applies_to(&self, uri: &Uri) -> bool {
        self.path(uri).is_some()
    }

    /// Returns the path after the prefix.
    fn path<'a>(&self, uri: &'a Uri) -> Option<&'a str> {
        let path = uri.path().strip_prefix(&*self.prefix)?;
        // `/api` is no prefix of `/apis`.
        (self.prefix.is_empty() || path.is_empty() || path.starts_with('/')).then_some(path)
    }

    /// Returns the target in origin-form, RFC 9112 §3.2.1.
    fn target(&self, head: &request::Parts, is_connect: bool) -> Result<Uri, Rejection> {
        let uri = &head.uri;
        let path = self.path(uri).unwrap_or_else(|| uri.path());
        let is_kept = self.base.is_empty() && self.prefix.is_empty() && !path.is_empty();
        // `OPTIONS *` is for the whole server, RFC 9112 §3.2.4. No other method has this target.
        if path == "*" && (head.method != Method::OPTIONS || is_connect) {
            return Err(Rejection::from(StatusCode::BAD_REQUEST).with_reason("target"));
        }
        if is_kept || path == "*" {
            let target = uri.path_and_query().cloned();
            return Ok(target.map_or_else(Uri::default, Uri::from));
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        let mut target = format!("{}{slash}{path}", self.base);
        if let Some(query) = uri.query() {
            target.push('?');
            target.push_str(query);
        }
        // Of valid parts, it can only be too long.
        PathAndQuery::try_from(target).map(Uri::from).map_err(|_| StatusCode::URI_TOO_LONG.into())
    }

    /// Makes the request that goes up.
    pub(super) fn ask(
        &self,
        head: &request::Parts,
        body: Bytes,
        protocol: &Protocol<'_>,
    ) -> Result<Asked, Rejection> {
        let is_connect = connect::protocol(head).is_some();
        if !is_decoded(&head.headers) {
            // RFC 9112 §6.1. Without the header, the upstream would not know that the body is coded.
            return Err(Rejection::from(StatusCode::NOT_IMPLEMENTED).with_reason("coding"));
        }
        let replaced = self.forwarded.as_ref().map_or(&[][..], Forwarded::replaced);
        let mut headers = end_to_end(&head.headers, replaced);
        let host = host(head, is_connect)?;
        if let Some(forwarded) = &self.forwarded {
            forwarded.add(head, &host, &mut headers);
        }
        headers.insert(HOST, self.host.clone().unwrap_or(host));
        if is_connect {
            join_cookies(&mut headers);
        }
        let accept = if protocol.is_websocket() {
            Some(websocket(head, is_connect, &mut headers)?)
        } else {
            None
        };
        let connection = add_settings(head, protocol, &mut headers);
        headers.insert(CONNECTION, HeaderValue::from_static(connection));
        headers.insert(UPGRADE, protocol.to_header_value());
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = if is_connect { Method::GET } else { head.method.clone() };
        *request.uri_mut() = self.target(head, is_connect)?;
        *request.headers_mut() = headers;
        Ok(Asked { request, accept, is_connect })
    }
}

/// Returns the host that the client asks for.
fn host(head: &request::Parts, is_connect: bool) -> Result<HeaderValue, Rejection> {
    let mut lines = head.headers.get_all(HOST).iter();
    let authority = head.uri.authority().map(Authority::as_str);
    let host = match (authority, lines.next(), lines.next()) {
        // RFC 9113 §8.3.1.
        (Some(authority), ..) if is_connect => HeaderValue::from_str(authority).ok(),
        // RFC 9112 §3.2.2: in absolute-form the target's is the host, whatever the header says. Without a
        // scheme it would be authority-form, which is for CONNECT only.
        (Some(authority), Some(_), None) if head.uri.scheme().is_some() => {
            HeaderValue::from_str(authority).ok()
        }
        (None, Some(host), None) => Some(host.clone()),
        // RFC 9112 §3.2. hyper does not look, and the upstream might go by another than we do.
        _ => None,
    };
    let is_host = |host: &HeaderValue| host::parse(host.as_bytes()).is_some();
    let invalid = || Rejection::from(StatusCode::BAD_REQUEST).with_reason("host");
    host.filter(is_host).ok_or_else(invalid)
}

/// Makes one `Cookie` of those that HTTP/2 may send in its place, RFC 9113 §8.2.3.
fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1 {
        let joined = HeaderValue::from_bytes(&cookies.join(&b"; "[..]));
        headers.insert(COOKIE, joined.expect("parts of values are a value"));
    }
}

/// Checks the key of a WebSocket, or makes one for an upstream whose client needs none. Returns what the
/// upstream has to answer.
fn websocket(
    head: &request::Parts,
    is_connect: bool,
    headers: &mut HeaderMap,
) -> Result<HeaderValue, Rejection> {
    if is_connect {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&random().to_ne_bytes());
        nonce[8..].copy_from_slice(&random().to_ne_bytes());
        let made = HeaderValue::try_from(STANDARD.encode(nonce));
        headers.insert(SEC_WEBSOCKET_KEY, made.expect("base64 makes a header value"));
    } else if head.method != Method::GET {
        // S-6
        let mut response = Response::new(Full::<Bytes>::default());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return Err(Rejection::from(response).with_reason("method"));
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) if key::is_key(key.as_bytes().trim_ascii()) => {
            Ok(key::accept(key.as_bytes().trim_ascii()))
        }
        _ => Err(Rejection::from(StatusCode::BAD_REQUEST).with_reason("key")),
    }
}

/// Passes the settings of h2c on, which are for the connection, and so for the next one as well. Returns
/// the options of `Connection`.
fn add_settings(
    head: &request::Parts,
    protocol: &Protocol<'_>,
    headers: &mut HeaderMap,
) -> &'static str {
    if !is_h2c(protocol) || !head.headers.contains_key(HTTP2_SETTINGS) {
        return "upgrade";
    }
    for settings in head.headers.get_all(HTTP2_SETTINGS) {
        headers.append(HTTP2_SETTINGS, settings.clone());
    }
    "upgrade, http2-settings"
}

pub(super) fn is_h2c(protocol: &Protocol<'_>) -> bool {
    protocol.name().eq_ignore_ascii_case("h2c")
}

const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
