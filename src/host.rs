//! A host and a port, as in the `Host` header and in an origin.

use http::uri::Authority;

/// Parses a host and an optional port (RFC 9110 §7.2). An empty port counts as no port.
///
/// Returns `None` if the host is empty (§4.2.1), if the port is not a number, or if there is
/// anything else, such as user information (§4.2.4).
pub(crate) fn parse(bytes: &[u8]) -> Option<(Authority, Option<u16>)> {
    let authority = Authority::try_from(bytes).ok()?;
    // `Authority` also accepts user information, so the rest is checked here.
    let host = authority.host();
    let rest = authority.as_str().strip_prefix(host)?;
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        Some("") => None,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok()?),
        _ => return None,
    };
    (!host.is_empty()).then_some(port).map(|port| (authority, port))
}

/// Whether [`parse`] would succeed. Most hosts are plain names, for which it need not be asked.
#[cfg(feature = "websocket")]
pub(crate) fn is_valid(bytes: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    (!bytes.is_empty() && bytes.iter().all(is_plain)) || parse(bytes).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_perhaps_a_port() {
        for (text, expected) in [
            ("a.test", Some(("a.test", None))),
            ("a.test:", Some(("a.test", None))),
            ("A.test:3000", Some(("A.test", Some(3000)))),
            ("127.0.0.1:080", Some(("127.0.0.1", Some(80)))),
            ("[::1]", Some(("[::1]", None))),
            ("[::1]:65535", Some(("[::1]", Some(65_535)))),
            ("", None),
            (":80", None),
            (":::", None),
            ("[::1", None),
            ("a b", None),
            ("a.test:x", None),
            ("a.test:+1", None),
            ("a.test:65536", None),
            ("a.test/x", None),
            ("user@a.test", None),
            ("user:80@a.test", None),
            ("a.test, b.test", None),
        ] {
            let parsed = parse(text.as_bytes());
            #[cfg(feature = "websocket")]
            assert_eq!(is_valid(text.as_bytes()), expected.is_some(), "{text}");
            let parsed = parsed.as_ref().map(|(authority, port)| (authority.host(), *port));
            assert_eq!(parsed, expected, "{text}");
        }
    }
}
