//! The origin of a page, as `Origin` names it, and the host that a request is sent to.

use std::fmt;

use http::{HeaderValue, header, request, uri::Scheme};

use crate::host;

/// The origin of the page that opens a WebSocket, as [`Origins::matching`](super::Origins::matching)
/// sees it (RFC 6454 §6.2).
///
/// It displays in the spelling of browsers: in lower case, without the ports 80 of `http` and 443 of
/// `https`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Box<str>,
    host: Box<str>,
    port: Option<u16>,
}

impl Origin {
    /// Parses a scheme, `://`, a host and perhaps a port; `null`; or `file://`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == NULL {
            return Some(Self { scheme: "".into(), host: "".into(), port: None });
        }
        let (scheme, authority) = text.split_once("://")?;
        let scheme = scheme.parse::<Scheme>().ok()?.as_str().to_ascii_lowercase();
        if scheme == FILE && authority.is_empty() {
            return Some(Self { scheme: scheme.into(), host: "".into(), port: None });
        }
        let (authority, port) = host::parse(authority.as_bytes())?;
        Some(Self {
            port: port.or_else(|| Self::default_port(&scheme)),
            scheme: scheme.into(),
            host: authority.host().to_ascii_lowercase().into(),
        })
    }

    /// Returns the scheme in lower case, such as `https`. It is empty for the origin `null`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Returns the host in lower case, such as `example.com` or `[::1]`. It is empty for the origins
    /// `null` and `file://`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port. For `http` and `https` it is always there.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether this is `null`: the page has no origin in particular, such as one in a sandboxed
    /// frame or, in some browsers, from a file.
    pub fn is_null(&self) -> bool {
        self.scheme.is_empty()
    }

    /// Returns the port that a scheme implies.
    pub(super) fn default_port(scheme: &str) -> Option<u16> {
        match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        }
    }

    /// Whether the request with this head is sent to this origin's host and port.
    pub(super) fn is_at(&self, head: &request::Parts) -> bool {
        let Some(default_port) = Self::default_port(&self.scheme) else {
            return false;
        };
        // The server may not know whether TLS is in front of it, so the origin's scheme counts.
        target(head).and_then(host::parse).is_some_and(|(authority, port)| {
            authority.host().eq_ignore_ascii_case(&self.host)
                && Some(port.unwrap_or(default_port)) == self.port
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port } = self;
        if self.is_null() {
            return f.write_str(NULL);
        }
        write!(f, "{scheme}://{host}")?;
        match port {
            Some(port) if Self::default_port(scheme) != Some(*port) => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

/// Returns the host and perhaps the port that a request is sent to.
pub(super) fn target(head: &request::Parts) -> Option<&[u8]> {
    match head.uri.authority() {
        // RFC 9112 §3.2.2: a target in absolute form counts instead of `Host`. In HTTP/2, it is
        // `:authority`.
        Some(authority) => Some(authority.as_str().as_bytes()),
        None => head.headers.get(header::HOST).map(HeaderValue::as_bytes),
    }
}

const NULL: &str = "null";

const FILE: &str = "file";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_displays_as_browsers_spell_it() {
        for (text, shown, port) in [
            ("HTTPS://A.test:443", "https://a.test", Some(443)),
            ("http://a.test:443", "http://a.test:443", Some(443)),
            ("http://[::1]", "http://[::1]", Some(80)),
            ("tauri://localhost", "tauri://localhost", None),
            ("file://", "file://", None),
            ("null", "null", None),
        ] {
            let origin = Origin::parse(text).unwrap();
            assert_eq!((origin.to_string().as_str(), origin.port()), (shown, port));
            assert_eq!(origin.is_null(), text == "null");
        }
    }
}
