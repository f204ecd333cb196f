//! Which pages may connect: the check that stands between a user's cookies and other people's
//! pages.

use http::{Uri, header, request, uri::Authority};

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
        let uri: Uri = text.parse().ok()?;
        // What `Uri` takes is more than an origin: a path, a query.
        if uri.authority()?.as_str() != authority {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = host_and_port(uri.authority()?)?;
        Some(Self { port: port.or_else(|| default_port(&scheme)), scheme, host })
    }

    /// Whether the request with this head is sent to this origin's host and port.
    fn is_at(&self, head: &request::Parts) -> bool {
        let Some(default_port) = default_port(&self.scheme) else {
            return false;
        };
        // RFC 9112 §3.2.2: a target in absolute form counts instead of `Host`.
        let target = head.uri.authority().cloned().or_else(|| {
            let host = head.headers.get(header::HOST)?;
            Authority::try_from(host.as_bytes()).ok()
        });
        // The server may not know whether TLS is in front of it, so the origin's scheme counts.
        target.as_ref().and_then(host_and_port).is_some_and(|(host, port)| {
            host == self.host && Some(port.unwrap_or(default_port)) == self.port
        })
    }
}

/// Returns the host and the port, if that is all that there is: no user information, and no colon
/// without a host before it or a number behind it.
pub(super) fn host_and_port(authority: &Authority) -> Option<(String, Option<u16>)> {
    let (host, port) = (authority.host(), authority.port());
    let octets = host.len() + port.as_ref().map_or(0, |port| ":".len() + port.as_str().len());
    (!host.is_empty() && authority.as_str().len() == octets)
        .then(|| (host.to_ascii_lowercase(), port.map(|port| port.as_u16())))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}
