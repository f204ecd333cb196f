//! The head of the upgrading request, as the service of the streams gets it.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header,
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};

use super::settings::HTTP2_SETTINGS;
use crate::{host, negotiation::connection::RESERVED};

/// Makes a head of HTTP/2 from one of HTTP/1.1.
///
/// Returns `None` for a request that HTTP/1.1 does not allow to be answered, because it does not
/// have exactly one valid `Host` (RFC 9112 §3.2).
pub(super) fn convert(mut head: Parts) -> Option<Parts> {
    let host = host(&head)?;
    let keeps_host = host.is_none();
    head.headers = fields(head.headers, keeps_host);
    if let Some(authority) = host {
        let mut uri = head.uri.into_parts();
        uri.scheme.get_or_insert(Scheme::HTTP);
        uri.authority = Some(authority);
        uri.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
        // All the parts are there, so it cannot fail.
        head.uri = Uri::from_parts(uri).ok()?;
    }
    head.version = Version::HTTP_2;
    Some(head)
}

/// Returns the authority that a request is for: the target's own, or that of `Host`.
///
/// The inner `None` stands for a host that is valid and that `Authority` cannot hold.
#[allow(clippy::option_option, reason = "an invalid host and one without an authority differ")]
fn host(head: &Parts) -> Option<Option<Authority>> {
    let mut values = head.headers.get_all(header::HOST).iter().map(HeaderValue::as_bytes);
    let (host, None) = (values.next()?, values.next()) else {
        return None;
    };
    let of_host = match host::parse(host) {
        Some((authority, _)) => Some(authority),
        None if is_percent_encoded_host(host) => None,
        None => return None,
    };
    match head.uri.authority() {
        // RFC 9112 §3.2.2: the target's authority counts. User information is not allowed in it.
        Some(authority) => {
            host::parse(authority.as_str().as_bytes()).map(|(authority, _)| Some(authority))
        }
        None => Some(of_host),
    }
}

/// Whether this is a host with percent-encoded bytes, which RFC 3986 §3.2.2 allows and the type for
/// authorities does not. Sockets in a file system are so named.
fn is_percent_encoded_host(host: &[u8]) -> bool {
    let mut plain = Vec::with_capacity(host.len());
    let mut rest = host;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        match behind {
            [first, second, behind @ ..]
                if first.is_ascii_hexdigit() && second.is_ascii_hexdigit() =>
            {
                plain.push(b'x');
                rest = behind;
            }
            _ => return false,
        }
    }
    // In a port there is nothing but digits, and an `x` is none.
    host::parse(&plain).is_some()
}

/// Whether the target of a request is one that HTTP/2 has a form for (RFC 7540 §8.1.2.3).
pub(super) fn has_path(head: &Parts) -> bool {
    let path = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
    path.starts_with('/') || (path == "*" && head.method == Method::OPTIONS)
}

/// Leaves out the fields that were about the HTTP/1.1 connection (RFC 7540 §8.1.2.2), and keeps all
/// others in their order.
///
/// A header that `Connection` names stays: an outer layer may have added it, and a client must not be
/// able to remove it.
fn fields(headers: HeaderMap, keeps_host: bool) -> HeaderMap {
    let accepts_trailers = accepts_trailers(&headers);
    // `HeaderMap::remove` would move the last field into the gap.
    let mut kept = HeaderMap::with_capacity(headers.keys_len().min(RESERVED));
    let mut name = header::TE;
    for (next, value) in headers {
        // Further values of a name come without it.
        let is_first = next.is_some();
        name = next.unwrap_or(name);
        if name == header::TE {
            // Of its members, `trailers` is the one that may stand in HTTP/2.
            if is_first && accepts_trailers {
                kept.insert(header::TE, HeaderValue::from_static("trailers"));
            }
        } else if !is_connection_specific(&name) && (keeps_host || name != header::HOST) {
            kept.append(name.clone(), value);
        }
    }
    kept
}

fn is_connection_specific(name: &HeaderName) -> bool {
    const NAMES: [HeaderName; 4] =
        [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, HTTP2_SETTINGS];
    NAMES.contains(name) || ["keep-alive", "proxy-connection"].contains(&name.as_str())
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::TE).iter();
    values
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .any(|member| member.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    /// A head as hyper makes it from these headers.
    fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn fields_of_the_connection_are_left_out_and_the_others_keep_their_order() {
        let head = head(
            "GET",
            "/x?y",
            &[
                ("host", "a.test:80"),
                ("connection", "Upgrade, HTTP2-Settings, X-Real-Ip"),
                ("connection", "close"),
                ("upgrade", "h2c"),
                ("http2-settings", "AAMAAABk"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "keep-alive"),
                ("transfer-encoding", "chunked"),
                ("expect", "100-continue"),
                ("content-length", "0"),
                ("x-real-ip", "1"),
                ("te", "gzip;q=0.5, Trailers"),
                ("te", "trailers"),
                ("cookie", "a=1; b=2"),
                ("cookie", "c=3"),
                ("x-empty", ""),
            ],
        );
        let head = convert(head).unwrap();
        let fields: Vec<_> = head
            .headers
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
            .collect();
        let expected = [
            "expect=100-continue",
            "content-length=0",
            "x-real-ip=1",
            "te=trailers",
            "cookie=a=1; b=2",
            "cookie=c=3",
            "x-empty=",
        ];
        assert_eq!(fields, expected);
        assert_eq!(head.version, Version::HTTP_2);
        let without_trailers = self::head("GET", "/", &[("host", "a"), ("te", "gzip")]);
        assert!(convert(without_trailers).unwrap().headers.is_empty());
    }

    #[test]
    fn the_target_gets_a_scheme_and_an_authority() {
        for (method, target, expected) in [
            ("GET", "/", "http://a.test/"),
            ("OPTIONS", "*", "http://a.test*"),
            ("GET", "http://b.test:81/x?", "http://b.test:81/x?"),
            ("GET", "https://b.test", "https://b.test/"),
            ("M-SEARCH", "/a%20b", "http://a.test/a%20b"),
        ] {
            let head = head(method, target, &[("host", "a.test")]);
            assert!(has_path(&head), "{target}");
            let head = convert(head).unwrap();
            assert_eq!((head.method.as_str(), &*head.uri.to_string()), (method, expected));
            assert!(!head.headers.contains_key("host"), "{target}");
        }
        for (method, target) in [("GET", "*"), ("GET", "a.test:80")] {
            assert!(!has_path(&head(method, target, &[])), "{method} {target}");
        }
    }

    #[test]
    fn a_host_that_no_authority_holds_stays_a_header() {
        for (target, host, uri) in [
            ("/x", "%2ftmp%2fx.sock", "/x"),
            ("/x", "%2ftmp%2fx.sock:80", "/x"),
            ("http://b.test/x", "%2F", "http://b.test/x"),
        ] {
            let converted = convert(head("GET", target, &[("host", host)])).unwrap();
            assert_eq!(converted.uri, uri);
            let kept = converted.headers.get("host").map(|host| host.to_str().unwrap());
            assert_eq!(kept, (uri == "/x").then_some(host));
        }
        for host in ["%2", "%", "%2g", "a%2fb c", "a.test:%38", "%40@a.test"] {
            assert!(convert(head("GET", "/", &[("host", host)])).is_none(), "{host}");
        }
    }

    #[test]
    fn a_request_without_one_valid_host_is_for_nobody() {
        // R9112-3.2-01, VTX-04
        let absolute = "http://b.test/";
        for (target, hosts, expected) in [
            ("/", &["a.test"][..], Some("a.test")),
            ("/", &["[::1]:80"], Some("[::1]:80")),
            (absolute, &["a.test"], Some("b.test")),
            ("http://me@b.test/", &["a.test"], None),
            ("/", &[], None),
            (absolute, &[], None),
            ("/", &["a.test", "a.test"], None),
            (absolute, &["a.test", "b.test"], None),
            ("/", &[""], None),
            ("/", &["a.test, b.test"], None),
            ("/", &["localhost:not"], None),
            ("/", &["me@a.test"], None),
            ("/", &["a@a"], None),
            ("/", &["a:1@a"], None),
            ("/", &["a.test/x"], None),
            ("/", &["\u{e9}.test"], None),
        ] {
            let hosts: Vec<_> = hosts.iter().map(|&host| ("host", host)).collect();
            let converted = convert(head("GET", target, &hosts));
            let authority = converted.as_ref().map(|head| head.uri.authority().unwrap().as_str());
            assert_eq!(authority, expected, "{target} {hosts:?}");
        }
    }
}
