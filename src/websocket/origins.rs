//! Which pages may connect: the check that stands between a user's cookies and other people's
//! pages.

use http::{HeaderValue, header, request, uri::Scheme};

use crate::host;

/// Which origins' pages may open a WebSocket (RFC 6455 §10.2).
///
/// Only browsers send `Origin`. A request without it is not refused: it cannot be a page acting
/// behind a user's back.
///
/// # Example
///
/// ```
/// use tower_upgrade::{Upgraded, websocket::{Handshake, Origins, WebSocket}};
///
/// let websocket = WebSocket::new(|_io: Upgraded, _handshake: Handshake| async {})
///     .origins(Origins::list(["https://example.com", "http://localhost:3000"]));
/// assert!(format!("{websocket:?}").contains("example.com"));
/// ```
#[derive(Clone, Debug)]
pub struct Origins(Allowed);

#[derive(Clone, Debug)]
enum Allowed {
    Any,
    SameHost,
    List(Vec<Origin>),
}

impl Origins {
    /// Allows pages of every origin. Choose it only if no cookie, client certificate or place in
    /// the network lets a request do what a stranger's may not.
    pub const fn any() -> Self {
        Self(Allowed::Any)
    }

    /// Allows pages of the host and port that the request is sent to, over HTTP and HTTPS. The
    /// default of a [`WebSocket`](super::WebSocket).
    ///
    /// The `Host` of the request is compared, with 80 and 443 as the ports that may be left out.
    /// Behind a proxy that changes `Host`, name the [list](Self::list). The list is also what
    /// helps against a name that an attacker makes point to your host, and against a page that
    /// was loaded over HTTP where yours is on HTTPS: both are of the same host.
    pub const fn same_host() -> Self {
        Self(Allowed::SameHost)
    }

    /// Allows pages of these origins only, such as `https://example.com`. Another scheme, host or
    /// port is another origin; ports 80 and 443 may be left out.
    ///
    /// # Panics
    ///
    /// Panics if one of them is not a scheme, `://`, a host, and perhaps a port, or if it is the
    /// address of a WebSocket: pages come from `https`, not from `wss`.
    #[track_caller]
    pub fn list<I>(origins: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut list = Vec::new();
        for origin in origins {
            let text = origin.as_ref();
            match Origin::parse(text) {
                // A page is not loaded from a WebSocket, so this would match nobody.
                Some(origin) if !["ws", "wss"].contains(&&*origin.scheme) => list.push(origin),
                _ => panic!(
                    "`{}` is not an origin of pages: scheme://host[:port], such as https://a.test",
                    text.escape_debug(),
                ),
            }
        }
        Self(Allowed::List(list))
    }

    /// Whether the request with this head may connect.
    pub(super) fn allow(&self, head: &request::Parts) -> bool {
        let mut lines = head.headers.get_all(header::ORIGIN).iter();
        let origin = match (lines.next(), lines.next()) {
            (None, _) => return true,
            (Some(line), None) => line.to_str().ok().and_then(Origin::parse),
            (Some(_), Some(_)) => None,
        };
        match (&self.0, origin) {
            (Allowed::Any, _) => true,
            // A page may be of no origin in particular, and then says `null`.
            (_, None) => false,
            (Allowed::List(origins), Some(origin)) => origins.contains(&origin),
            (Allowed::SameHost, Some(origin)) => origin.is_at(head),
        }
    }
}

/// A serialised origin, RFC 6454 §6.2, with its port written out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme = scheme.parse::<Scheme>().ok()?.as_str().to_ascii_lowercase();
        let (authority, port) = host::parse(authority.as_bytes())?;
        Some(Self {
            port: port.or_else(|| default_port(&scheme)),
            scheme,
            host: authority.host().to_ascii_lowercase(),
        })
    }

    /// Whether the request with this head is sent to this origin's host and port.
    fn is_at(&self, head: &request::Parts) -> bool {
        let Some(default_port) = default_port(&self.scheme) else {
            return false;
        };
        let target = match head.uri.authority() {
            // RFC 9112 §3.2.2: a target in absolute form counts instead of `Host`.
            Some(authority) => Some(authority.as_str().as_bytes()),
            None => head.headers.get(header::HOST).map(HeaderValue::as_bytes),
        };
        // The server may not know whether TLS is in front of it, so the origin's scheme counts.
        target.and_then(host::parse).is_some_and(|(authority, port)| {
            authority.host().eq_ignore_ascii_case(&self.host)
                && Some(port.unwrap_or(default_port)) == self.port
        })
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}
