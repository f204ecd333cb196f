//! The check of `Origin`: it decides which pages may connect with a user's cookies.

use std::{fmt, sync::Arc};

use http::{HeaderMap, header, request};

use super::{Origin, listed::Listed};

/// Decides which pages may open a WebSocket, by their origin (RFC 6455 §10.2). Those of the same host by
/// default.
///
/// A browser lets any page open a WebSocket to any host, sends the host's cookies along, and names
/// the page's origin in `Origin`. A request from an origin that is not allowed is rejected with 403.
///
/// For an axum handler that takes an [`Offer`](super::Offer), add the layer
/// `axum::Extension(Origins::list(…))` to its routes.
///
/// A request without `Origin` is not rejected: no browser sends it, so it carries no other user's
/// cookies. Some programs that are not browsers send `Origin` too, for example libraries for devices
/// and Python's `websocket-client`. A value that is not the server's own address, such as `file://`,
/// has to be [listed](Self::list). Any program can send any value: `Origin` protects the users of
/// browsers and does not authenticate a client.
///
/// # Example
///
/// ```
/// use http::{Request, StatusCode};
/// use tower_upgrade::websocket::{Offer, Origins};
///
/// let (mut head, ()) = Request::get("/chat")
///     .header("Host", "example.com")
///     .header("Origin", "https://example.com")
///     .header("Sec-WebSocket-Version", "13")
///     .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
///     .body(())?
///     .into_parts();
/// let lists = Origins::list(["https://*.example.com", "http://localhost:3000"]);
/// assert!(Offer::from_head(&head, &Origins::same_host()).is_ok());
/// assert!(Offer::from_head(&head, &lists).is_err());
///
/// head.headers.insert("Origin", "https://app.example.com".parse()?);
/// assert!(Offer::from_head(&head, &lists).is_ok());
/// let rejection = Offer::from_head(&head, &Origins::same_host()).unwrap_err();
/// assert_eq!(rejection.status(), StatusCode::FORBIDDEN);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "origins are checked only by a handler or an offer that gets this"]
pub struct Origins(Allowed);

#[derive(Clone)]
enum Allowed {
    Any,
    SameHost,
    List(Arc<[Listed]>),
    Matching(Arc<Matching>),
}

type Matching = dyn Fn(&request::Parts, &Origin) -> bool + Send + Sync;

impl Origins {
    /// Allows pages of every origin. Any page that a user opens can then connect with the user's
    /// cookies and client certificates, and from the user's network. Choose it only if a request
    /// gains nothing by them.
    pub const fn any() -> Self {
        Self(Allowed::Any)
    }

    /// Allows pages of the host and port that the request is sent to, over HTTP and HTTPS. The
    /// default of a [`WebSocket`](super::WebSocket).
    ///
    /// The origin is compared with the `Host` of the request, in which the ports 80 and 443 may be missing. A
    /// proxy in front has to pass on the host and the port that the browser sees. Two settings of
    /// nginx do not:
    ///
    /// - `proxy_set_header Host $host` drops the port. A page of `http://example.com:8080` is then
    ///   rejected.
    /// - `proxy_set_header Host $host:$server_port` names nginx's own port. If TLS ends in front of
    ///   nginx on another port, say 443 in front of 8080, a page of `https://example.com` is
    ///   rejected.
    ///
    /// Write `proxy_set_header Host $http_host`, or use a [list](Self::list). The log shows the two
    /// values that were compared:
    ///
    /// ```text
    /// rejected status=403 reason="origin" origin="http://example.com:8080" host="example.com"
    /// ```
    ///
    /// A [list](Self::list) also rejects two kinds of pages that this check accepts: pages at a name that an
    /// attacker makes point to your host (DNS rebinding), and pages that were loaded over HTTP from a host
    /// that you serve over HTTPS.
    pub const fn same_host() -> Self {
        Self(Allowed::SameHost)
    }

    /// Allows pages of these origins only. The server's own host is not included: list it too.
    ///
    /// | entry | allows |
    /// |---|---|
    /// | `https://example.com` | pages of this scheme, host and port; 80 for `http` and 443 for `https` may be left out |
    /// | `https://*.example.com` | pages of all names below `example.com`, at any depth, but not of `example.com` itself |
    /// | `file://` | pages from files, as some browsers and web views name them |
    /// | `null` | pages without an origin: from files in other browsers, and from sandboxed frames, into which any page can put itself |
    ///
    /// # Panics
    ///
    /// Panics if an entry cannot match a page: if it has a path or a trailing slash, is the address
    /// of a WebSocket (pages come from `https`, not from `wss`), has a `*` anywhere else, names
    /// several origins at once, or is not in ASCII (browsers send the `xn--` form of a name).
    #[track_caller]
    pub fn list<I>(origins: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut list = Vec::new();
        for origin in origins {
            let text = origin.as_ref();
            match Listed::parse(text) {
                Some(listed) => list.push(listed),
                None => panic!(
                    "`{}` is not an origin of pages: scheme://host[:port], such as https://a.test, \
                     or https://*.a.test for all names below a.test, or null, or file://",
                    text.escape_debug(),
                ),
            }
        }
        Self(Allowed::List(list.into()))
    }

    /// Allows pages for which a function returns `true`. It gets the head of the request and the
    /// origin of the page.
    ///
    /// It is not called for a request without `Origin`, which is allowed, nor for one with several
    /// or a malformed one, which are rejected. It must not block.
    ///
    /// # Example
    ///
    /// ```
    /// use http::Request;
    /// use tower_upgrade::websocket::{Offer, Origins};
    ///
    /// // Previews have names like `pr-17.example.com`, and read only.
    /// let origins = Origins::matching(|head, origin| {
    ///     let is_preview =
    ///         origin.host().starts_with("pr-") && origin.host().ends_with(".example.com");
    ///     origin.scheme() == "https" && is_preview && head.uri.path() == "/feed"
    /// });
    /// let (mut head, ()) = Request::get("/feed")
    ///     .header("Host", "example.com")
    ///     .header("Origin", "https://pr-17.example.com")
    ///     .header("Sec-WebSocket-Version", "13")
    ///     .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    ///     .body(())?
    ///     .into_parts();
    /// assert!(Offer::from_head(&head, &origins).is_ok());
    /// head.uri = "/edit".parse()?;
    /// assert!(Offer::from_head(&head, &origins).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn matching<F>(matches: F) -> Self
    where
        F: Fn(&request::Parts, &Origin) -> bool + Send + Sync + 'static,
    {
        Self(Allowed::Matching(Arc::new(matches)))
    }

    /// Whether the request with this head may connect.
    pub(super) fn allow(&self, head: &request::Parts) -> bool {
        if matches!(self.0, Allowed::Any) || !head.headers.contains_key(header::ORIGIN) {
            return true;
        }
        let Some(origin) = origin(&head.headers) else {
            return false;
        };
        match &self.0 {
            Allowed::Any => true,
            Allowed::SameHost => origin.is_at(head),
            Allowed::List(list) => list.iter().any(|listed| listed.matches(&origin)),
            Allowed::Matching(matches) => matches(head, &origin),
        }
    }
}

impl Default for Origins {
    /// Returns [`Origins::same_host`].
    fn default() -> Self {
        Self::same_host()
    }
}

impl fmt::Debug for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("Any"),
            Self::SameHost => f.write_str("SameHost"),
            Self::List(list) => f.debug_list().entries(&**list).finish(),
            Self::Matching(_) => f.write_str("Matching"),
        }
    }
}

/// The origin that a request names once and well-formed.
fn origin(headers: &HeaderMap) -> Option<Origin> {
    let mut lines = headers.get_all(header::ORIGIN).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => Origin::parse(line.to_str().ok()?),
        _ => None,
    }
}
