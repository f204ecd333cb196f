//! The checks of RFC 6455 §4.2.1: pure, from the head of a request.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header, request,
};
use http_body_util::Full;

use super::{
    Origins, key,
    origin::{Origin, target},
};
use crate::{connect, handler::rejection::Rejection, host};

/// Checks an opening handshake: RFC 6455 §4.2.1 in HTTP/1.1, and RFC 8441 §5 in HTTP/2. Returns the value
/// of `Sec-WebSocket-Accept`, which HTTP/2 does without.
pub(super) fn check(
    head: &request::Parts,
    origins: &Origins,
) -> Result<Option<HeaderValue>, Rejection> {
    let headers = &head.headers;
    let is_http_2 = head.version == Version::HTTP_2 || connect::protocol(head).is_some();
    check_method(head, is_http_2)?;
    check_host(head, is_http_2)?;
    let version = single(headers, &VERSION)?;
    if !is_version(version) {
        return Err(malformed(&VERSION));
    }
    if version != b"13" {
        // RFC 6455 §4.4, and RFC 9110 §15.5.22.
        return Err(reject(
            VERSION.reason,
            StatusCode::UPGRADE_REQUIRED,
            "this server speaks only version 13 of WebSocket",
            &[(header::SEC_WEBSOCKET_VERSION, "13"), (header::UPGRADE, "websocket")],
        ));
    }
    let accept = if is_http_2 { None } else { Some(check_key(headers)?) };
    if !origins.allow(head) {
        let why = "pages of this origin may not connect";
        let origin = headers.get(header::ORIGIN).map_or(&[][..], HeaderValue::as_bytes);
        let rejection = reject("origin", StatusCode::FORBIDDEN, why, &[]);
        return Err(rejection.with_origin(origin, target(head).unwrap_or_default()));
    }
    Ok(accept)
}

fn check_method(head: &request::Parts, is_http_2: bool) -> Result<(), Rejection> {
    let (is_right, why, allow) = if is_http_2 {
        let is_right =
            connect::protocol(head).is_some_and(|it| it.eq_ignore_ascii_case("websocket"));
        (is_right, "in HTTP/2 a WebSocket is opened with an extended CONNECT", "CONNECT")
    } else {
        (head.method == Method::GET, "a WebSocket is opened with GET", "GET")
    };
    if is_right {
        return Ok(());
    }
    Err(reject("method", StatusCode::METHOD_NOT_ALLOWED, why, &[(header::ALLOW, allow)]))
}

/// Checks the host that the request is for: RFC 9112 §3.2, which hyper does not look at, and RFC 9113
/// §8.3.1.
fn check_host(head: &request::Parts, is_http_2: bool) -> Result<(), Rejection> {
    let Some(authority) = head.uri.authority().filter(|_| is_http_2) else {
        let host = single(&head.headers, &HOST)?;
        return if host::is_valid(host) { Ok(()) } else { Err(malformed(&HOST)) };
    };
    let authority =
        host::parse(authority.as_str().as_bytes()).ok_or_else(|| malformed(&AUTHORITY))?;
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let Some(host) = hosts.next() else {
        return Ok(());
    };
    // A cache or a filter in front may have gone by the other.
    let host = host::parse(host.as_bytes()).filter(|_| hosts.next().is_none());
    let default_port = head.uri.scheme_str().and_then(Origin::default_port);
    let is_same = host.is_some_and(|(host, port)| {
        host.host().eq_ignore_ascii_case(authority.0.host())
            && port.or(default_port) == authority.1.or(default_port)
    });
    if is_same { Ok(()) } else { Err(malformed(&HOST)) }
}

/// Checks the key. Returns the value of `Sec-WebSocket-Accept`.
fn check_key(headers: &HeaderMap) -> Result<HeaderValue, Rejection> {
    let key = single(headers, &KEY)?;
    if key::is_key(key) { Ok(key::accept(key)) } else { Err(malformed(&KEY)) }
}

/// The rejection of a malformed `Sec-WebSocket-Extensions`.
pub(super) fn malformed_extensions() -> Rejection {
    malformed(&EXTENSIONS)
}

/// The value of a header that has to be there once, without surrounding whitespace.
fn single<'h>(headers: &'h HeaderMap, header: &Header) -> Result<&'h [u8], Rejection> {
    let mut lines = headers.get_all(&header.key).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => Ok(line.as_bytes().trim_ascii()),
        _ => Err(reject(
            header.reason,
            StatusCode::BAD_REQUEST,
            &format!("{} has to be there exactly once", header.name),
            &[],
        )),
    }
}

/// `NZDIGIT` and so on, RFC 6455 §4.3: 0 to 255 without a leading zero.
fn is_version(value: &[u8]) -> bool {
    match value {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => {
            rest.iter().all(u8::is_ascii_digit)
                && std::str::from_utf8(value).is_ok_and(|value| value.parse::<u8>().is_ok())
        }
        _ => false,
    }
}

fn malformed(header: &Header) -> Rejection {
    let why = format!("{} is malformed", header.name);
    reject(header.reason, StatusCode::BAD_REQUEST, &why, &[])
}

fn reject(
    reason: &'static str,
    status: StatusCode,
    why: &str,
    more: &[(HeaderName, &'static str)],
) -> Rejection {
    let mut response = Response::new(Full::<Bytes>::from(format!("{why}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    for (name, value) in more {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Rejection::from(response).with_reason(reason)
}

/// A header that is checked.
struct Header {
    /// Its name in texts.
    name: &'static str,
    /// Its word in logs and metrics.
    reason: &'static str,
    key: HeaderName,
}

// No constants, of which each use would be a copy.
static HOST: Header = Header { name: "Host", reason: "host", key: header::HOST };
static AUTHORITY: Header = Header { name: ":authority", reason: "host", key: header::HOST };
static VERSION: Header =
    Header { name: "Sec-WebSocket-Version", reason: "version", key: header::SEC_WEBSOCKET_VERSION };
static KEY: Header =
    Header { name: "Sec-WebSocket-Key", reason: "key", key: header::SEC_WEBSOCKET_KEY };
static EXTENSIONS: Header = Header {
    name: "Sec-WebSocket-Extensions",
    reason: "extensions",
    key: header::SEC_WEBSOCKET_EXTENSIONS,
};
