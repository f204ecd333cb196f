//! [`Switch`]: the headers of a 101, and the function that runs on the connection after it.

use std::{fmt, future::Future, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, CONNECTION, UPGRADE},
};

use super::{
    answer::Link,
    outcome::{End, IntoOutcome},
};
use crate::{
    connections::{clock::Limits, run::Run, upgraded::Upgraded},
    negotiation::{Offered, protocol::Protocol},
};

/// A handler's decision to switch protocols: the headers of the `101 Switching Protocols`, and a
/// function that runs on the connection.
///
/// The function given to [`Switch::to`] runs once the HTTP server has sent the 101 and handed over the
/// connection.
///
/// In HTTP/2 the response to an [extended CONNECT](crate::UpgradeLayer::extended_connect) is a 200 without
/// `Upgrade` and `Connection`. All that this documentation says of the 101 holds for it.
///
/// # Example
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, header::{HeaderName, HeaderValue}};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tower_upgrade::{Switch, UpgradeLayer, Upgraded};
/// # use hyper::body::Incoming;
/// # use hyper_util::{rt::TokioIo, service::TowerToHyperService};
/// # use tower::Layer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let layer = UpgradeLayer::new().on("greeting/1", |_request: Request<Bytes>| async {
///     let switch = Switch::to(|mut io: Upgraded| async move { io.write_all(b"hello").await });
///     switch.header(HeaderName::from_static("x-mood"), HeaderValue::from_static("good"))
/// });
/// # let inner = tower::service_fn(|_: Request<Incoming>| async {
/// #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
/// # });
/// # let (mut client, server) = tokio::io::duplex(1024);
/// # let service = TowerToHyperService::new(layer.layer(inner));
/// # tokio::spawn(
/// #     hyper::server::conn::http1::Builder::new()
/// #         .serve_connection(TokioIo::new(server), service)
/// #         .with_upgrades(),
/// # );
///
/// // `layer` wraps a service, and `client` is the other end of a connection to it.
/// let request =
///     "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: greeting/1\r\n\r\n";
/// client.write_all(request.as_bytes()).await?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer).await?;
/// assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
/// assert!(answer.contains("upgrade: greeting/1\r\n"));
/// assert!(answer.contains("x-mood: good\r\n"));
/// assert!(answer.ends_with("\r\n\r\nhello"));
/// # Ok(())
/// # }
/// ```
#[must_use = "a switch does nothing unless the handler returns it"]
pub struct Switch {
    pub(super) headers: HeaderMap,
    protocols: Option<String>,
    max_lifetime: Option<Duration>,
    idle_timeout: Option<Duration>,
    run: Box<dyn Run>,
    /// Leads to the layer that waits for the inner service's answer, if it is known.
    pub(super) link: Option<Link>,
}

impl Switch {
    /// Switches protocols, and runs `run` on the connection.
    ///
    /// The function runs on a task of its own. Bytes the client sent right after its request are the
    /// first bytes it reads. It returns `()` or `Result<(), E>` with any error. An error or a panic
    /// closes the connection and is reported to
    /// [`UpgradeLayer::on_failure`](crate::UpgradeLayer::on_failure).
    ///
    /// The function does not run if the 101 does not leave the server. Without
    /// [`UpgradeLayer::outermost`](crate::UpgradeLayer::outermost) there are exceptions; see [layer
    /// order](crate#layer-order).
    ///
    /// A block that loops forever has neither type. Put the loop into an `async fn` that returns
    /// `io::Result<()>`.
    pub fn to<F, Fut>(run: F) -> Self
    where
        F: FnOnce(Upgraded) -> Fut + Send + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOutcome,
    {
        Self {
            headers: HeaderMap::new(),
            protocols: None,
            max_lifetime: None,
            idle_timeout: None,
            run: Box::new(|io| End::of(run(io))),
            link: None,
        }
    }

    /// Ties the switch to the layer that handed the request to the inner service.
    #[cfg(feature = "websocket")]
    pub(crate) fn with_link(mut self, link: Option<Link>) -> Self {
        self.link = link;
        self
    }

    /// Adds a header to the 101. Headers of the same name are sent in the order in which they were
    /// added.
    ///
    /// A header that a 101 cannot have is ignored, so that a proxy can pass on the headers of its
    /// upstream. These are `Connection` and `Upgrade`, which the layer sets itself, and
    /// `Content-Length`, `Content-Type`, `HTTP2-Settings`, `Keep-Alive`, `Proxy-Connection`, `TE`,
    /// `Trailer` and `Transfer-Encoding` (RFC 9110 §6.4.1, §7.6.1 and §8.6, RFC 9112 §6.1, RFC 7540
    /// §3.2.1).
    ///
    /// # Example
    ///
    /// ```
    /// use http::{Response, header::{CONTENT_LENGTH, HeaderValue, SERVER}};
    /// use tower_upgrade::{Switch, Upgraded};
    ///
    /// let switch = Switch::to(|_io: Upgraded| async {})
    ///     .header(SERVER, HeaderValue::from_static("example"))
    ///     .header(CONTENT_LENGTH, HeaderValue::from_static("5"));
    /// // An inner service returns it in this form; the layer sends the headers with the 101.
    /// let response: Response<String> = switch.into_response();
    /// assert_eq!(response.headers()[SERVER], "example");
    /// assert!(!response.headers().contains_key(CONTENT_LENGTH));
    /// ```
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if !is_forbidden(&name) {
            self.headers.append(name, value);
        }
        self
    }

    /// Sets the `Upgrade` header of the 101 to a list of protocols, such as `TLS/1.2, HTTP/1.1`. The
    /// default is the one protocol that was negotiated.
    ///
    /// Use it for a protocol that carries another one, lowest layer first (RFC 9110 §7.8). The first
    /// protocol must be the negotiated one. The client must have offered the others, except that
    /// `HTTP/1.1` may come after `TLS` (RFC 2817 §3.3). Otherwise the client gets a 500 in place of the
    /// 101, and [`UpgradeLayer::on_failure`](crate::UpgradeLayer::on_failure) receives
    /// [`UpgradeErrorKind::Switch`](crate::UpgradeErrorKind::Switch).
    ///
    /// # Example
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Request;
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// use tower_upgrade::{Switch, UpgradeLayer, Upgraded};
    /// # use hyper::body::Incoming;
    /// # use hyper_util::{rt::TokioIo, service::TowerToHyperService};
    /// # use tower::Layer;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let layer = UpgradeLayer::new().on("TLS/1.2", |_request: Request<Bytes>| async {
    ///     // A real handler does the TLS handshake on the connection.
    ///     Switch::to(|_io: Upgraded| async {}).protocols("TLS/1.2, HTTP/1.1")
    /// });
    /// # let inner = tower::service_fn(|_: Request<Incoming>| async {
    /// #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    /// # });
    /// # let (mut client, server) = tokio::io::duplex(1024);
    /// # let service = TowerToHyperService::new(layer.layer(inner));
    /// # tokio::spawn(
    /// #     hyper::server::conn::http1::Builder::new()
    /// #         .serve_connection(TokioIo::new(server), service)
    /// #         .with_upgrades(),
    /// # );
    ///
    /// // `layer` wraps a service, and `client` is the other end of a connection to it.
    /// let request =
    ///     "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: TLS/1.2\r\n\r\n";
    /// client.write_all(request.as_bytes()).await?;
    /// let mut answer = String::new();
    /// client.read_to_string(&mut answer).await?;
    /// assert!(answer.contains("upgrade: TLS/1.2, HTTP/1.1\r\n"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn protocols(mut self, protocols: impl Into<String>) -> Self {
        self.protocols = Some(protocols.into());
        self
    }

    /// Limits how long this connection may live, in place of
    /// [`UpgradeLayer::max_lifetime`](crate::UpgradeLayer::max_lifetime); see there for what happens then.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_upgrade::{Switch, Upgraded};
    ///
    /// // A session that is known to end in an hour.
    /// let switch = Switch::to(|_io: Upgraded| async {}).max_lifetime(Duration::from_secs(60 * 60));
    /// # drop(switch);
    /// ```
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = Some(lifetime);
        self
    }

    /// Limits how long this connection may be without a byte in either direction, in place of
    /// [`UpgradeLayer::idle_timeout`](crate::UpgradeLayer::idle_timeout); see there for what happens then.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_upgrade::{Switch, Upgraded};
    ///
    /// // A terminal, whose user may be away for lunch.
    /// let switch = Switch::to(|_io: Upgraded| async {}).idle_timeout(Duration::from_secs(60 * 60));
    /// # drop(switch);
    /// ```
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.idle_timeout = Some(limit);
        self
    }

    /// Sets the headers of the 101, which are those of another server's 101.
    #[cfg(feature = "tunnel")]
    pub(crate) fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// Sets the limit unless there is one.
    pub(super) fn or_max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime.get_or_insert(lifetime);
        self
    }

    /// Returns the limits of the connection, where the layer has these.
    pub(crate) fn limits(&self, layer: Limits) -> Limits {
        Limits {
            lifetime: self.max_lifetime.or(layer.lifetime),
            idle: self.idle_timeout.or(layer.idle),
            ..layer
        }
    }

    /// Divides the switch into the headers of the 101 and the function that runs after it.
    pub(crate) fn into_parts(
        self,
        protocol: &Protocol<'_>,
        offer: &Offered,
    ) -> Result<(HeaderMap, Box<dyn Run>), InvalidSwitch> {
        let upgrade = match self.protocols {
            None => protocol.to_header_value(),
            Some(protocols) => {
                stack(&protocols, protocol, offer).ok_or(InvalidSwitch { protocols })?
            }
        };
        let mut headers = self.headers;
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, upgrade);
        Ok((headers, self.run))
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { headers, protocols, max_lifetime, idle_timeout, run: _, link: _ } = self;
        f.debug_struct("Switch")
            .field("headers", headers)
            .field("protocols", protocols)
            .field("max_lifetime", max_lifetime)
            .field("idle_timeout", idle_timeout)
            .finish_non_exhaustive()
    }
}

/// Returns the `Upgrade` header value for a list of protocols, if `offer` allows it.
fn stack(protocols: &str, negotiated: &Protocol<'_>, offer: &Offered) -> Option<HeaderValue> {
    let members = protocols.split(',').map(|member| member.trim_matches([' ', '\t']));
    let stack: Vec<Protocol<'_>> =
        members.map(|member| member.parse().ok()).collect::<Option<_>>()?;
    let (lowest, upper) = stack.split_first()?;
    if lowest != negotiated || !offer.allows(negotiated, &stack) {
        return None;
    }
    let mut value = negotiated.to_string();
    for protocol in upper {
        value.push_str(", ");
        value.push_str(&protocol.to_string());
    }
    HeaderValue::try_from(value).ok()
}

/// The error for a [`Switch`] whose protocols the offer does not allow.
#[derive(Debug)]
pub(crate) struct InvalidSwitch {
    protocols: String,
}

impl fmt::Display for InvalidSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` has to start with the negotiated protocol and to name only protocols that were offered",
            self.protocols.escape_debug(),
        )
    }
}

impl std::error::Error for InvalidSwitch {}

/// Whether a 101 cannot have this header, because it is about the HTTP connection or about a body.
fn is_forbidden(name: &HeaderName) -> bool {
    const FORBIDDEN: [HeaderName; 7] = [
        CONNECTION,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        UPGRADE,
    ];
    FORBIDDEN.contains(name)
        || ["http2-settings", "keep-alive", "proxy-connection"].contains(&name.as_str())
}
