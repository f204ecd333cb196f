//! [`Tunnel`] and its options.

use std::{fmt, time::Duration};

use http::{HeaderValue, Uri};
use tower::Service;

use super::{
    connect::{Connector, InvalidUpstream, Tcp, Upstream},
    forwarded::Forwarded,
    request::Rewrite,
};

/// A handler that carries an upgrade through to an upstream. The [module](super) says what the upstream and
/// the client get.
///
/// # Example
///
/// ```
/// use std::convert::Infallible;
///
/// use http::{Request, Response};
/// use hyper::body::Incoming;
/// use hyper_util::{rt::TokioIo, service::TowerToHyperService};
/// use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::TcpListener};
/// use tower::{Layer, service_fn};
/// use tower_upgrade::{UpgradeLayer, tunnel::Tunnel};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let upstream = TcpListener::bind("127.0.0.1:0").await?;
/// let tunnel = Tunnel::to(&format!("http://{}", upstream.local_addr()?))?;
/// let layer = UpgradeLayer::new().on("echo/1", tunnel);
/// # let inner = service_fn(|_: Request<Incoming>| async {
/// #     Ok::<_, Infallible>(Response::new(String::new()))
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
///     "GET /a?b HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: foo, echo/1\r\n\r\n";
/// client.write_all(request.as_bytes()).await?;
///
/// let (mut upstream, _address) = upstream.accept().await?;
/// let mut asked = vec![0; 1024];
/// let read = upstream.read(&mut asked).await?;
/// let expected =
///     "GET /a?b HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: echo/1\r\n\r\n";
/// assert_eq!(str::from_utf8(&asked[..read])?, expected);
/// let answer =
///     "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\r\nhello";
/// upstream.write_all(answer.as_bytes()).await?;
/// upstream.shutdown().await?;
///
/// let mut answer = String::new();
/// client.read_to_string(&mut answer).await?;
/// assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
/// assert!(answer.ends_with("\r\n\r\nhello"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a tunnel does nothing unless it is registered"]
pub struct Tunnel<C> {
    pub(super) connector: C,
    pub(super) rewrite: Rewrite,
    pub(super) connect_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) closes_websocket: bool,
}

impl Tunnel<Tcp> {
    /// Makes a tunnel to an `http` URL, over TCP.
    ///
    /// A path in the URL comes before that of each request: with `http://10.0.0.7:9000/app`, a request
    /// for `/chat` goes up as `/app/chat`. The host's name is looked up for each connection.
    /// `TCP_NODELAY` is set.
    ///
    /// # Errors
    ///
    /// Fails if the text is not a URL with a host, if it has a query or user information, or if the
    /// scheme is not `http`. See [`with_connector`](Tunnel::with_connector) for `https`.
    ///
    /// See [`Tunnel`] for an example.
    pub fn to(url: &str) -> Result<Self, InvalidUpstream> {
        let upstream = Upstream::parse(url)?;
        let rewrite = Rewrite { base: base(&upstream.url), ..Rewrite::default() };
        Ok(Self { rewrite, ..Self::new(upstream.into_tcp()?) })
    }
}

#[cfg(unix)]
impl Tunnel<super::Unix> {
    /// Makes a tunnel to a Unix socket.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_upgrade::{UpgradeHandler, UpgradeLayer, tunnel::Tunnel};
    ///
    /// // `docker attach` and `docker exec` switch to `tcp`, with a body in their request.
    /// let docker = Tunnel::to_unix("/var/run/docker.sock");
    /// let layer = UpgradeLayer::new().on("tcp", docker.with_chunked_body_limit(4096));
    /// # drop(layer);
    /// ```
    pub fn to_unix(path: impl Into<std::path::PathBuf>) -> Self {
        Self::new(super::Unix { path: path.into().into() })
    }
}

impl<S> Tunnel<Connector<S>> {
    /// Makes a tunnel whose connections a service opens, such as `HttpConnector` of hyper-util, or one
    /// that speaks TLS. It gets the URL. A path in the URL comes before that of each request.
    ///
    /// The upstream is spoken to in HTTP/1.1, so a connector with TLS must not offer `h2` in ALPN.
    ///
    /// # Errors
    ///
    /// Fails if the text is not a URL with a host, or if it has a query or user information.
    ///
    /// # Example
    ///
    /// ```
    /// use http::Uri;
    /// use hyper_util::rt::TokioIo;
    /// use tokio::net::TcpStream;
    /// use tower::service_fn;
    /// use tower_upgrade::tunnel::Tunnel;
    ///
    /// // Put a TLS handshake here, or take a connector that does it.
    /// let connector = service_fn(|url: Uri| async move {
    ///     let address = (url.host().unwrap_or_default(), url.port_u16().unwrap_or(443));
    ///     TcpStream::connect(address).await.map(TokioIo::new)
    /// });
    /// let tunnel = Tunnel::with_connector("https://example.com", connector)?;
    /// # drop(tunnel);
    /// # Ok::<(), tower_upgrade::tunnel::InvalidUpstream>(())
    /// ```
    pub fn with_connector(url: &str, service: S) -> Result<Self, InvalidUpstream>
    where
        S: Service<Uri>,
    {
        let Upstream { url, .. } = Upstream::parse(url)?;
        let rewrite = Rewrite { base: base(&url), ..Rewrite::default() };
        Ok(Self { rewrite, ..Self::new(Connector { url, service }) })
    }
}

impl<C> Tunnel<C> {
    /// Makes a tunnel whose connections a function opens. It gets the head of the client's request, and
    /// chooses the upstream.
    ///
    /// Do not connect to a host that the client names, such as its `Host`, unless it is in a list of yours.
    ///
    /// # Example
    ///
    /// ```
    /// use http::request;
    /// use tokio::net::TcpStream;
    /// use tower_upgrade::{UpgradeLayer, tunnel::Tunnel};
    ///
    /// let tunnel = Tunnel::new(|head: request::Parts| async move {
    ///     let port = if head.uri.path().starts_with("/beta/") { 9001 } else { 9000 };
    ///     TcpStream::connect(("127.0.0.1", port)).await
    /// });
    /// let layer = UpgradeLayer::new().on("websocket", tunnel);
    /// # drop(layer);
    /// ```
    pub fn new(connector: C) -> Self {
        Self {
            connector,
            rewrite: Rewrite::default(),
            connect_timeout: CONNECT_TIMEOUT,
            response_timeout: RESPONSE_TIMEOUT,
            idle_timeout: None,
            closes_websocket: false,
        }
    }

    /// Removes a prefix of the path before the request is sent to the upstream. A request with another path
    /// is not accepted. Nothing is removed by default.
    ///
    /// With `/api`, a request for `/api/chat?room=1` goes up as `/chat?room=1`, one for `/api` as `/`,
    /// and one for `/apis` is forwarded to the inner service. Together with a path in the URL of
    /// [`to`](Tunnel::to), it replaces a prefix by another.
    ///
    /// Below `nest`, axum has removed the prefix of the route already.
    ///
    /// # Panics
    ///
    /// Panics if the prefix does not begin with a slash, or ends with one.
    ///
    /// # Example
    ///
    /// ```
    /// use http::Request;
    /// use tower_upgrade::{UpgradeHandler, tunnel::Tunnel};
    ///
    /// let tunnel = Tunnel::to("http://127.0.0.1:9000/v2")?.strip_prefix("/api");
    /// let accepts = |path| {
    ///     let (head, ()) = Request::get(path).body(()).expect("a path").into_parts();
    ///     tunnel.accepts(&head, &"websocket".parse().expect("a protocol"))
    /// };
    /// // Goes up as `/v2/chat`.
    /// assert!(accepts("/api/chat"));
    /// assert!(!accepts("/apis"));
    /// # Ok::<(), tower_upgrade::tunnel::InvalidUpstream>(())
    /// ```
    #[track_caller]
    pub fn strip_prefix(mut self, prefix: &str) -> Self {
        let is_prefix = prefix.starts_with('/') && !prefix.ends_with('/');
        assert!(
            is_prefix,
            "`{prefix}` is no prefix of a path: it begins with a slash, and does not end with one"
        );
        self.rewrite.prefix = prefix.into();
        self
    }

    /// Sets the `Host` header of the requests that go up. The default is the client's.
    ///
    /// Then an upstream that checks `Origin` against `Host`, as WebSocket servers do, rejects browsers.
    pub fn host(mut self, host: HeaderValue) -> Self {
        self.rewrite.host = Some(host);
        self
    }

    /// Tells the upstream who the client is, by `Forwarded` and `X-Forwarded-*`. By default these
    /// headers go up as the client sent them.
    ///
    /// # Example
    ///
    /// ```
    /// use std::net::SocketAddr;
    ///
    /// use axum::extract::ConnectInfo;
    /// use tower_upgrade::tunnel::{Forwarded, Tunnel};
    ///
    /// // With axum, served by `into_make_service_with_connect_info::<SocketAddr>()`.
    /// let forwarded = Forwarded::set(|head| {
    ///     head.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())
    /// });
    /// let tunnel = Tunnel::to("http://127.0.0.1:9000")?.forwarded(forwarded.https());
    /// # drop(tunnel);
    /// # Ok::<(), tower_upgrade::tunnel::InvalidUpstream>(())
    /// ```
    pub fn forwarded(mut self, forwarded: Forwarded) -> Self {
        self.rewrite.forwarded = Some(forwarded);
        self
    }

    /// Limits how long connecting to the upstream may take, name lookup included. The default is 3
    /// seconds.
    ///
    /// All of it is part of the handshake: raise [`UpgradeLayer::handshake_timeout`] as well for more
    /// than 10 seconds together with [`response_timeout`](Self::response_timeout), or the client gets
    /// its 503 first.
    ///
    /// [`UpgradeLayer::handshake_timeout`]: crate::UpgradeLayer::handshake_timeout
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Limits how long the upstream may take to answer, from the connection to the head of its response.
    /// The default is 5 seconds. See [`connect_timeout`](Self::connect_timeout) for more than that.
    pub fn response_timeout(mut self, limit: Duration) -> Self {
        self.response_timeout = limit;
        self
    }

    /// Closes a tunnel in which no byte was sent in either direction for this long. The default is that of
    /// [`UpgradeLayer::idle_timeout`](crate::UpgradeLayer::idle_timeout).
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.idle_timeout = Some(limit);
        self
    }

    /// Has a drain end each WebSocket with a close frame: 1001, going away (RFC 6455 §7.4.1). The
    /// default is to close the connection once it is idle.
    ///
    /// The close frame is sent only after a complete frame of the upstream, never inside one. The client's
    /// close frame is passed to the upstream, which then ends the WebSocket. Frames that the upstream still
    /// sends are discarded. If no byte goes either way for 5 seconds, both connections are closed.
    pub fn close_websocket_on_drain(mut self) -> Self {
        self.closes_websocket = true;
        self
    }
}

/// Returns the path of an upstream's URL, as it comes before that of a request.
fn base(url: &Uri) -> Box<str> {
    url.path().trim_end_matches('/').into()
}

impl<C> fmt::Debug for Tunnel<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            connector: _,
            rewrite,
            connect_timeout,
            response_timeout,
            idle_timeout,
            closes_websocket,
        } = self;
        f.debug_struct("Tunnel")
            .field("rewrite", rewrite)
            .field("connect_timeout", connect_timeout)
            .field("response_timeout", response_timeout)
            .field("idle_timeout", idle_timeout)
            .field("closes_websocket", closes_websocket)
            .finish_non_exhaustive()
    }
}

/// Together less than the ten seconds of a handshake, or its limit would always come first.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
